"""Messages of `pull`: which model, on what terms, from where, how far."""

from selfhost.messages import Text

MESSAGES = {
    "pull.directory": Text(
        "`{path}` is a directory, not a model to download",
        "MODEL is a recipe's name, or a hub id like `Qwen/Qwen2.5-7B-Instruct`",
        "serve it as it is: `selfhost serve {path}`; or take files from it: `selfhost pull MODEL --source {path}`",
    ),
    "pull.no_hub_id": Text(
        "`{name}` is neither a recipe nor a hub id",
        "a hub id has the form `organisation/name`",
        "`selfhost recipe ls` lists the recipes",
    ),
    "pull.other_variant": Text(
        "`{name}` is the variant {named} of `{recipe}`, not {variant}",
        "a repository is one checkpoint",
        "leave `--variant` out, or name the recipe: `selfhost pull {recipe} --variant {variant}`",
    ),
    "pull.no_variants": Text(
        "`--variant {variant}` does not go with `{name}`",
        "no recipe has this repository: it is one checkpoint",
        "name the repository of that variant, or a recipe: `selfhost recipe ls`",
    ),
    "pull.licence": Text("licence {id}: {conditions} {url}"),
    "pull.licence_question": Text("accept the terms of {id}?"),
    "pull.licence_not_accepted": Text(
        "the terms of `{name}` are not accepted",
        "{id}: {conditions}\n{url}",
        "read them; if you accept them: `--accept-license {id}` (remembered on this machine)",
    ),
    "pull.wrong_licence": Text(
        "`--accept-license {given}` names another licence",
        "`{name}` has {id}",
        "if you accept its terms: `--accept-license {id}`",
    ),
    "pull.no_terms": Text(
        "`--accept-license {given}` does not go with `{name}`",
        "no recipe has this repository: its terms are not known here, they are on its page",
        "leave `--accept-license` out",
    ),
    "pull.promised_absent": Text(
        "{place} does not have `{name}`",
        "the recipe names this file",
        "try another source: `--source huggingface`, `--source modelscope`, or a directory",
    ),
    "pull.promised_differs": Text(
        "`{name}` on {place} is not the file the recipe names",
        "wanted {wanted}, found {found}",
        "try another source with `--source`; if the model was updated, its recipe must be, too",
    ),
    "pull.no_space": Text(
        "not enough space for `{name}`",
        "{needed} are still to come into `{path}`, {free} is free",
        "see what can go with `selfhost ls` and `selfhost gc`; or set `SELFHOST_HOME` to a larger file system",
    ),
    "pull.other_revision": Text(
        "the store has another revision of `{name}`",
        "asked for {now}, there is {have}; {detail}",
        "to take the other in its place: the same command with `--update`",
    ),
    "pull.empty_revision": Text(
        "`--revision` is empty",
        "wanted a commit, a branch or a tag of `{name}`",
        "leave it out for the recipe's revision, or the main branch",
    ),
    "pull.other_model": Text(
        "the store has another model under the name of `{name}`",
        "`{path}` came from the repository `{id}`",
        "to take this one in its place: `selfhost pull` with `--update`; to keep both, give the recipe another name",
    ),
    "pull.offline": Text(
        "`{name}` is not on this machine, and no connection may be opened",
        "looked for it in `{path}`",
        "run `selfhost pull` without `--offline` once, or take the files from a directory: `--source DIR`",
    ),
    "pull.made_here": Text(
        "`{name}` was made on a machine, and no hub has it",
        "made of `{of}`; its files are not in the store",
        "make it again: `selfhost quantize {recipe} --scheme SCHEME`\n"
        "or take it from a bundle, or from a mirror that has it: `--source http://HOST:PORT`",
    ),
    "pull.no_source": Text(
        "no source of `{name}` is known",
        "its recipe names none",
        "say where its files are: `--source DIRECTORY`, `--source https://MIRROR`, or add a source to the recipe",
    ),
    "pull.no_revision": Text(
        "{place} does not have the revision `{revision}`",
        "it has one state of the model; its revision: {found}",
        "leave `--revision` out, or take it from a hub: `--source huggingface`, `--source modelscope`",
    ),
    "pull.unknown": Text("not known"),
    "pull.no_pieces": Text(
        "pieces of `{name}` cannot be fetched",
        "it came from a source of the kind {kind}",
        "make it again: `selfhost rm` and `selfhost pull`; or name a place that has its files: `--source DIRECTORY`",
    ),
    "pull.file_too_short": Text(
        "`{path}` in {place} is too short",
        "the bytes that are wanted are beyond its end",
        "name another source: `--source`",
    ),
    # Progress
    "pull.from": Text("from {place}"),
    "pull.announced": Text(
        "{name}: {count} files, {total}; {to_come} still to come, {free} free; revision {revision}, into {path}"
    ),
    "pull.code": Text(
        "{name} comes with code, which an engine runs only with `--trust-remote-code`: read it before: {files}"
    ),
    "pull.code_elsewhere": Text("the configuration of {name} names code that does not come with it: {others}"),
    "pull.copied": Text("this file system has no links: {path} holds copies of what the store has"),
    "pull.unchanged": Text("{name} is what its source has"),
    "pull.not_compared": Text("{name} is in the store; not compared with its source: {reason}"),
    "pull.moved": Text(
        "{name} has moved on: the store keeps {have}, its source has {now}; {detail}. To take that: `--update`"
    ),
    "pull.recipe_moved": Text(
        "{name}: the store keeps {have}, the recipe names {now}. To take that: `selfhost pull` with `--update`"
    ),
    "pull.changed": Text("changed: {files}"),
    "pull.same_files": Text("the files that are kept here are the same"),
    "pull.files_done": Text("{done} of {count} files"),
    "pull.bytes_done": Text("{have} of {total} ({percent} %)"),
    "pull.time_left": Text("{time} left"),
}
