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
}
