"""`bundle create`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "pack.source_damaged": Text(
        what="`{path}` is damaged and does not go on a medium",
        why="its sha256 should be {sha256}",
        hint="put it right (a model: `selfhost verify MODEL --repair`; an image: `skopeo copy`, "
        "or remove this file where it was fetched), "
        "then create the bundle again",
    ),
    "pack.odd_source": Text(
        what="`{path}` is no plain file and does not go on a medium",
        hint="put it right, then create the bundle again: `selfhost verify MODEL --repair`",
    ),
    "pack.unreadable": Text(
        what="`{path}` cannot be read or written",
        why="{detail}",
        hint="look at the disk (`dmesg`); then run the same command again: what was written is kept",
    ),
    "pack.bad_medium": Text(
        what="the medium gives back other bytes than were written: `{path}`",
        hint="use another medium; or run the same command again: only this file is written anew",
    ),
    "pack.file_too_large": Text(
        what="the file system takes no file of this size: `{path}`",
        hint="format the medium with exFAT, ext4 or XFS, or raise the limit (`ulimit -f unlimited`)",
    ),
    "pack.no_link": Text(
        what="`{source}` cannot be linked as asked for: {mode}",
        why="not between these file systems: `{path}`",
        hint="let the cheapest way be chosen: `--link auto`",
    ),
    "pack.in_the_way": Text(
        what="`{path}` is in the way of a volume",
        hint="give the bundle another name: `--label NAME`",
    ),
    "pack.exists": Text(
        what="`{path}` is there already",
        why="it is finished, or something else; nothing in it was changed",
        hint="give the bundle another name: `--label NAME`",
    ),
    "pack.in_store": Text(
        what="`{path}` is in the store",
        why="what selfhost keeps itself lies in `{folder}`",
        hint="give a folder on a medium: `--to DIR`",
    ),
    "pack.busy": Text(
        what="another process is making `{path}`",
        hint="wait for it, or give the bundle another name: `--label NAME`",
    ),
    "pack.no_space": Text(
        what="`{path}` is too small",
        why="to write: {need}, free: {have}",
        hint="give more media (`--to` once more), or one on the file system of the store, where links take no space",
    ),
    "pack.nothing": Text(
        what="nothing to put into the bundle",
        hint="name some: `--model NAME`, `--engine cpu`, `--image oci:DIR:NAME`",
    ),
    "pack.no_image": Text(
        what="`--platform` is for container images, and none is named",
        hint="name one: `--image oci:DIR:NAME`",
    ),
    "pack.not_pulled": Text(
        what="not in the store yet: {names}",
        why="stored: {known}",
        hint="get it, then create the bundle again:\n{commands}",
    ),
    "pack.several": Text(
        what="several variants of `{name}` are stored",
        why="{variants}",
        hint="name one: `--model {name} --variant {first}`, or each as `--model {name}/VARIANT`",
    ),
    "pack.variant_of_many": Text(
        what="`--variant` needs exactly one `--model`",
        hint="with several models: `--model NAME/VARIANT`",
    ),
    "pack.bad_label": Text(
        what="`{label}` cannot be the name of a bundle",
        why="wanted: at most 100 letters, digits, `.`, `_`, `-`",
        hint="for example `--label qwen-2026-11`",
    ),
    "pack.bad_size": Text(what="`{size}` is no size of a volume", hint="for example `--volume-size 931G`"),
    "pack.bad_json_file": Text(
        what="`{path}` is not what `{option}` takes",
        why="{detail}",
        hint="make it on the other machine: `{command}`",
    ),
    "pack.no_engine": Text(
        what="`--wheelhouse` does not say for which engine",
        hint="name it: `--engine cuda` or `--engine cpu`",
    ),
    "pack.missing_wheels": Text(
        what="`{path}` does not have all wheels of the engine `{engine}`",
        why="missing: {names}",
        hint="fill it, then create the bundle again",
    ),
    "pack.filling": Text(what="downloading the wheels of `{engine}` that are not in `{path}` yet: minutes"),
    "pack.passphrase": Text(what="passphrase of `{path}`: "),
    "pack.writing": Text(what="bundle: {phase} {done} of {total} ({percent} %)"),
    "pack.made": Text(what="volume {number} of {count}: {files} contents, {size}; new on the disk: {extra}"),
    "pack.would_make": Text(what="volume {number} of {count}: {files} contents, {size}"),
    "pack.unsigned": Text(
        what="the bundle is not signed: whoever imports it cannot tell who made it; sign it with `--sign-key KEY`"
    ),
    "pack.read_back": Text(what="read back after writing: {size}, all right"),
}
