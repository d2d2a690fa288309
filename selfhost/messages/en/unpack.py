"""Reading, verifying and importing bundles."""

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "unpack.no_directory": Text("`{path}` is no directory", "", "name the directory of a volume, or mount its drive"),
    "unpack.no_volume": Text(
        "no volume of a bundle in `{path}`",
        "a volume has a `{sums}`",
        "name the directory of the volume: `selfhost bundle verify DIR`",
    ),
    "unpack.file_absent": Text(
        "`{path}` is missing",
        "the bundle lists it, or cannot do without it",
        "copy this volume again where the bundle was made",
    ),
    "unpack.not_readable": Text(
        "`{path}` cannot be read by this user", "{detail}", "give it the right to, or run as somebody who has it"
    ),
    "unpack.unreadable": Text(
        "`{path}` cannot be read",
        "the medium says: {detail}",
        "check cable and drive; then copy this volume again where the bundle was made",
    ),
    "unpack.odd_file": Text(
        "`{path}` is no plain file",
        "found: {kind}",
        "a bundle has files and folders only: do not use this medium before somebody has looked at it",
    ),
    "unpack.too_large": Text(
        "`{path}` is too large for what it is", "at most {limit:,} bytes are read", "ask who made the bundle"
    ),
    "unpack.too_deep": Text("`{path}` is a folder too deep for a volume", "at most {limit}", "ask who made the bundle"),
    "unpack.too_many_files": Text("`{path}` has too many files for a volume", "at most {limit:,}", ""),
    "unpack.other_size": Text(
        "`{path}` has another size than was written down",
        "wanted: {wanted:,} bytes\nfound: {found:,} bytes",
        "copy this volume again where the bundle was made",
    ),
    "unpack.other_bytes": Text(
        "`{path}` is damaged or was changed",
        "sha256 wanted: {wanted}\nsha256 found: {found}",
        "copy this volume again where the bundle was made; what else is wrong: `selfhost bundle verify DIR`",
    ),
    "unpack.not_listed": Text(
        "`{path}` is not listed in `{sums}`", "what is not listed is not trusted", "ask who made the bundle"
    ),
    "unpack.bad_sums": Text("`{path}` is no list of the files of a volume", "{detail}", "copy this volume again"),
    "unpack.lists_differ": Text(
        "`{sums}` and `{info}` of `{path}` do not list the same files",
        "the first that differs: `{file}`",
        "copy this volume again where the bundle was made",
    ),
    "unpack.two_of_one": Text(
        "two different directories say that they are volume {number} of this bundle",
        "{one}\n{other}",
        "name the one that verifies: `selfhost bundle verify {one}`",
    ),
    "unpack.foreign": Text(
        "the volumes are not of one bundle",
        "{one}: {label}\n{other}: {found}",
        "name the volumes of one bundle at a time",
    ),
    "unpack.not_same": Text(
        "the volumes do not describe the same bundle",
        "`{info}` or who signed it differs:\n{one}\n{other}",
        "do not use them before somebody has looked: one was changed after the bundle was made",
    ),
    "unpack.other_type": Text(
        "the index of `{path}` and the manifest of `{name}` contradict each other", "", "ask who made the bundle"
    ),
    "unpack.content_unknown": Text(
        "`{name}` has a file that the bundle `{path}` does not have", "{file}", "ask who made the bundle"
    ),
    "unpack.content_absent": Text(
        "a content of `{label}` is on a volume that is not here", "sha256: {sha256}", "name that volume, too"
    ),
    "unpack.no_manifest": Text(
        "the bundle `{label}` has no list of files of {name} ({variant})", "", "ask who made the bundle"
    ),
    "unpack.bad_lock": Text(
        "the lock of {name} ({variant}) in the bundle is not that of its files", "{detail}", "ask who made the bundle"
    ),
    "unpack.extra": Text(
        "files in `{path}` that the bundle does not list: {count}",
        "{names}",
        "nobody vouches for them: remove them, or use another copy of this volume",
    ),
    "unpack.no_space": Text(
        "not enough space to import `{label}`",
        "needed: {needed}, free in `{path}`: {free}",
        "free some: `selfhost gc`, `selfhost rm MODEL`; or another disk: `SELFHOST_HOME=DIR`",
    ),
    "unpack.volumes_absent": Text(
        "volumes of `{label}` are still needed: {size}",
        "{volumes}",
        "import them, in any order: `selfhost bundle import DIR`; what was imported is kept",
    ),
    "unpack.base_absent": Text(
        "`{label}` builds on contents that are not here: {count}",
        "it is for who has these bundles: {base}\n{names}",
        "import those first, or have a bundle made for this machine: `selfhost bundle inventory > have.json`, "
        "then `selfhost bundle create --have have.json`",
    ),
    "unpack.other_model": Text(
        "another model is stored as {name} ({variant})",
        "stored from: {found}\nin the bundle: {wanted}",
        "remove that first: `selfhost rm {name} --variant {variant}`",
    ),
    "unpack.damaged": Text(
        "damaged files in `{label}`: {count}",
        "{files}",
        "have a small bundle made of what is wrong: `selfhost bundle repair-list {volumes} > repair.json`, then where "
        "the bundle was made `selfhost bundle create --have repair.json`; import it after this one",
    ),
    "unpack.missing": Text(
        "missing files of `{label}`: {count}",
        "{files}",
        "copy the volume again, or have what is missing sent: `selfhost bundle repair-list {volumes} > repair.json`, "
        "then where the bundle was made `selfhost bundle create --have repair.json`; import it after this one",
    ),
    "unpack.absent": Text(
        "volumes of `{label}` are not here: {size}",
        "{volumes}\nwhat is here is right",
        "name them too: `selfhost bundle verify DIR DIR`; or look at one drive after the other: `--partial`",
    ),
    "unpack.file_ok": Text("volume {volume}: `{path}`: ok"),
    "unpack.file_missing": Text("volume {volume}: `{path}`: missing"),
    "unpack.file_size": Text("volume {volume}: `{path}`: another size than was written down"),
    "unpack.file_digest": Text("volume {volume}: `{path}`: wrong bytes"),
    "unpack.file_digest_at": Text("volume {volume}: `{path}`: wrong bytes, the first in {begin}-{end}"),
    "unpack.file_unreadable": Text("volume {volume}: `{path}`: the medium does not give it back"),
    "unpack.file_extra": Text("volume {volume}: `{path}`: not listed, nobody vouches for it"),
    "unpack.file_odd": Text("volume {volume}: `{path}`: no plain file: {detail}"),
    "unpack.progress": Text("{phase}: {done} of {total}"),
    "unpack.unsigned": Text("`{path}` is not signed: who made it cannot be told"),
    "unpack.signed": Text("signed by: {signer}"),
    "unpack.whole": Text("{label}: whole, {count} files, {size}"),
    "unpack.whole_fast": Text("{label}: names and sizes are right, {count} files, {size}; bytes were not read"),
    "unpack.absent_volume": Text("not here: {label}, {size}"),
    "unpack.imported": Text("{name} ({variant}): `{path}`"),
    "unpack.already": Text("{name} ({variant}) is there already: `{path}`"),
    "unpack.wheelhouse": Text(
        "wheels: `{path}`; install the engine: `selfhost engine install ENGINE --wheelhouse {path}`"
    ),
    "unpack.accepted": Text("the terms of {id} were accepted where the bundle was made, {at}: {url}"),
    "unpack.recipe_kept": Text("your own recipe `{path}` stays; the bundle has another one of that name"),
    "unpack.copied": Text("copied: {copied}, there already: {there}"),
    "unpack.other_machine": Text(
        "`{label}` was made for a machine that has what this one has not",
        "{problems}",
        "have one made for this machine: `selfhost detect --json > target.json`, then `selfhost bundle create --for "
        "target.json`; to import it all the same, for others to fetch: `--allow-mismatch`",
    ),
    "unpack.mismatch_allowed": Text("imported all the same, by `--allow-mismatch`: {problems}"),
    "unpack.bad_profile": Text(
        "what the bundle `{label}` says of the machine that it is for cannot be read",
        "{detail}",
        "use the selfhost that is in the bundle, or ask who made it",
    ),
    "unpack.signed_model": Text(
        "{name} has a signature of its own; to check it without selfhost: `model_signing verify key {path} --signature "
        "{path}/model.sig --public_key KEY.pem`"
    ),
    "unpack.staged": Text(
        "imports that are not done: {count}; nothing is removed",
        "{listed}",
        "go on with it: `selfhost bundle import DIR`; or give it up: `selfhost bundle gc --forget {first}`",
    ),
    "unpack.not_staged": Text(
        "no import of that name waits: {name}", "waiting: {listed}", "leave `--forget` out: `selfhost bundle gc`"
    ),
    "unpack.nothing_so_called": Text(
        "no wheels or image of that name: {name}", "here: {listed}", "models are removed with `selfhost rm MODEL`"
    ),
    "unpack.forgotten": Text("given up: {line}"),
    "unpack.would_forget": Text("would be given up: {line}"),
    "unpack.accepting": Text("{name} ({variant}): starts, to be asked: {prompt}"),
    "unpack.accepts": Text("{name} ({variant}) answers as expected: {answer}"),
    "unpack.not_accepted": Text(
        "models that do not answer as expected: {count}",
        "{listed}",
        "what was imported stays; look at how it is served: `selfhost serve MODEL --offline`, then `selfhost chat`",
    ),
    "unpack.bad_recipe": Text(
        "the recipe `{path}` of the bundle cannot be used", "{detail}", "ask who made the bundle"
    ),
    "unpack.repair_nothing": Text("nothing to repair in `{label}`"),
}
