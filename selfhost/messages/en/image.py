"""Container images in bundles."""

from selfhost.messages import Text

_LAYOUT = "make a layout of it: `skopeo copy --all docker://NAME:TAG oci:DIR:NAME:TAG`, then `--image oci:DIR:NAME:TAG`"

MESSAGES = {
    "image.bad": Text("`{path}` is no container image", "{detail}", _LAYOUT),
    "image.not_a_layout": Text("`{path}` is no OCI image layout", "{detail}", _LAYOUT),
    "image.bad_source": Text(
        "`{given}` names no container image",
        "wanted: `oci:DIR`, `oci:DIR:NAME`, or a name in a registry: `registry.example/team/engine:1.0`",
        _LAYOUT,
    ),
    "image.not_in_registry": Text(
        "the registry has no image {name}", "", "look at the name and the tag: `skopeo inspect docker://{name}`"
    ),
    "image.fetching": Text("{name}: {done} of {total}"),
    "image.not_there": Text(
        "no such image in `{path}`: {wanted}", "there: {listed}", "name one: `--image oci:{path}:NAME`"
    ),
    "image.no_name": Text(
        "the image in `{path}` has no name that every program takes: {name}",
        "wanted: lower case, as `registry/name:tag`",
        "give it one: `skopeo copy --all oci:{path} oci:DIR:registry/name:tag`",
    ),
    "image.unnameable": Text(
        "no program takes an image called {name}",
        "wanted: lower case, as `registry/name:tag`; the host is a name or an IPv4 address",
        _LAYOUT,
    ),
    "image.foreign": Text(
        "a layer of the image {name} is not in `{path}`, nor meant to be: its publisher lets nobody pass it on",
        "sha256: {sha256}",
        "push it to a registry of yours, which may keep such layers, or choose: `--platform linux/amd64`",
    ),
    "image.no_platform": Text(
        "{name} is not for the platform {platform}", "for: {listed}", "name one of those, or leave `--platform` out"
    ),
    "image.part_absent": Text(
        "a part of the image {name} is not in `{path}`",
        "sha256: {sha256}",
        "copy the whole image: `skopeo copy --all docker://{name} oci:DIR:{name}`; or choose: `--platform linux/amd64`",
    ),
    "image.part_damaged": Text(
        "a part of the image {name} in `{path}` is damaged",
        "sha256: {sha256}",
        "copy the image again: `skopeo copy --all docker://{name} oci:DIR:{name}`",
    ),
    "image.same_name": Text(
        "two contents of the bundle are called {name}", "", "give one image another name with `skopeo copy`"
    ),
    "image.no_program": Text(
        "`--load {program}` needs the program `{tool}`",
        "",
        "install it, or import without `--load`: images "
        "lie in `$SELFHOST_HOME/images`, which `skopeo copy oci:DIR` reads",
    ),
    "image.not_loaded": Text(
        "`{command}` did not take {name}",
        "exit status: {status}\n{lines}",
        "see to what it says (is the daemon running, may this user?), then import again: what was imported is kept",
    ),
    "image.loading": Text("{name}: {size} to `{command}`"),
    "image.loaded": Text("{name}: loaded into {program}"),
    "image.nothing": Text("`--load`: the bundle has no images"),
    "image.imported": Text(
        "image {name}: `{path}`; for example `skopeo copy --all oci:{path} docker://REGISTRY/NAME:TAG`"
    ),
}
