"""Messages of `image`."""

from selfhost.messages import Text

MESSAGES = {
    "container.unknown": Text("no such image: `{name}`", "known: {names}", "try `selfhost image build {nearest}`"),
    "container.unknown_builder": Text(
        "no such program to build with: `{name}`",
        "known: {names}",
        "leave `--with` out: the first that is installed is taken",
    ),
    "container.no_builder": Text(
        "no program that builds images was found",
        "looked for: {names}",
        "install one: `apt-get install buildah`; nobody needs to be root, nor a daemon to run",
    ),
    "container.not_installed": Text("`{name}` is not installed", "", "install it, or leave `--with` out"),
    "container.no_isolation": Text(
        "docker has no `--isolation {isolation}`", "", "build with podman or buildah: `--with buildah`"
    ),
    "container.bad_python": Text(
        "not a version of Python: `{given}`", "wanted: two numbers, as 3.12", "see the base's: `python3 --version`"
    ),
    "container.old_python": Text(
        "selfhost does not run on Python {given}", "wanted: 3.11 or newer", "take a base with a newer one: `--base`"
    ),
    "container.bad_base": Text(
        "not the name of an image: `{given}`",
        "wanted: `NAME:TAG` or `NAME@sha256:` with 64 digits of a digest",
        "find the digest: `skopeo inspect --format '{{{{.Digest}}}}' docker://NAME:TAG`",
    ),
    "container.bad_tag": Text(
        "an image cannot be called `{given}`",
        "wanted: lower case, then a colon and a version",
        "for example `--tag registry.example/team/selfhost-cuda:1`",
    ),
    "container.bad_isolation": Text(
        "no such isolation: `{given}`", "known: {known}", "leave it out, or `--isolation chroot` in a container"
    ),
    "container.no_space": Text(
        "`{command}` found no space left",
        "{lines}",
        "the builder keeps images in a folder of its own: `podman info`, `buildah info` or `docker info` name it;"
        " remove images there, or move it",
    ),
    "container.build_failed": Text(
        "`{command}` failed",
        "exit status: {status}\n{lines}",
        "see to what it says; in a container without privileges: `--isolation chroot`; "
        "the base must have Python {python} and, without a network, what containers/README.md names",
    ),
    "container.not_understood": Text(
        "`{command}` did not describe the image", "{detail}", "look at it by hand: `{command}`"
    ),
    "container.wheels": Text("wheels for Python {python} on {machine}"),
    "container.base_tag": Text(
        "the base is named by a tag, which can be moved: {base}; `--base NAME@sha256:...` pins it"
    ),
    "container.built": Text("{reference}: {size} unpacked, {digest}, built by {builder} in {duration}"),
    "container.none": Text("no image of selfhost's in {builder}'s store; `selfhost image build cpu` makes one"),
}
