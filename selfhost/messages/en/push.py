"""`selfhost bundle push`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "push.digest": Text(
        "`{given}` names a digest, which nobody can choose",
        "what is sent has the digest that it has",
        "name a tag, or none: `selfhost bundle push DIR HOST/REPOSITORY`",
    ),
    "push.one_tag": Text(
        "several things cannot all be called `:{tag}`",
        "without a tag each gets its own",
        "leave the tag out, or choose one model: `--model NAME`",
    ),
    "push.same_name": Text(
        "two things of the bundle would get one name there",
        "{names}",
        "push models one by one: `--model NAME`, with a tag for each; give images names that differ in their last part",
    ),
    "push.no_model": Text(
        "the bundle `{label}` has no such model: {name}", "its models: {known}", "see: `selfhost bundle inspect DIR`"
    ),
    "push.no_models": Text(
        "the bundle `{label}` has no models",
        "",
        "see what it has: `selfhost bundle inspect DIR`; container images are pushed with `--as images`",
    ),
    "push.no_images": Text(
        "the bundle `{label}` has no container images", "", "see what it has: `selfhost bundle inspect DIR`"
    ),
    "push.image_name": Text(
        "the image `{name}` has no name that a registry takes", "", "give one image a name of its own: REF with a tag"
    ),
    "push.lacking": Text(
        "{count} contents of `{label}` are neither here nor in the registry ({size})",
        "they are on:\n{names}",
        "name these volumes too, or push them next: what is there is not sent again",
    ),
    "push.lacking_here": Text(
        "{count} contents of `{label}` are not here ({size}), and an image needs all of a model at a time",
        "they are on:\n{names}",
        "name these volumes too: `selfhost bundle push DIR DIR HOST/REPOSITORY --as modelcar`",
    ),
    "push.done": Text("{name}: {reference}@{digest}"),
    "push.count": Text("sent: {sent} ({size}); there before: {there}; taken from another repository: {mounted}"),
}
