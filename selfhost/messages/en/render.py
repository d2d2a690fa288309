"""Messages of `render`."""

from selfhost.messages import Text

MESSAGES = {
    "render.does_not_fit": Text(
        "nothing is rendered: {name} does not run on {hardware}",
        "{reasons}",
        "see what would fit: `selfhost plan {name} --on {hardware}`\nor render all the same: `--force`",
    ),
    "render.bad_image": Text(
        "not the name of an image: `{image}`",
        "wanted: `registry/name:tag` or `registry/name@sha256:...`",
        "print the digest of one: `skopeo inspect --format '{{{{.Digest}}}}' docker://NAME:TAG`",
    ),
    "render.unknown_target": Text(
        "unknown target: `{target}`",
        "known: {targets}",
        "take one of them",
    ),
    "render.no_port": Text(
        "files need a port: `--port 0` means any free one",
        "the port is written into them",
        "name one: `--port 8000`",
    ),
    "render.relative_store": Text(
        "not an absolute path: `{store}`",
        "`--store` is where SELFHOST_HOME lies on the machines that run the files",
        "write it from the root: `--store /srv/selfhost`",
    ),
    "render.bad_name": Text(
        "not a name for a deployment: `{name}`",
        "wanted: lower-case letters, digits and `-`, at most 63, not `vllm`, which makes Kubernetes set VLLM_PORT",
        "take another: `--name {suggestion}`",
    ),
    "render.not_stored": Text(
        "`{name}` is not in the store here, nor its digest in the files: `selfhost pull {name} --variant {variant}`"
    ),
    "render.forced": Text("the plan says that it does not fit on {hardware}: rendered all the same"),
    "render.tag_only": Text("`{image}` is named by a tag, which can be moved: name it by digest, `NAME@sha256:...`"),
    "render.no_probe": Text(
        "the other nodes cannot see whether the first one lives: with `--host 0.0.0.0` its gateway answers them"
    ),
    "render.exposed": Text("published on {address}, port {port}: others reach it, with an API key only"),
}
