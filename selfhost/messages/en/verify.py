"""Messages about verifying and repairing files."""

from selfhost.messages import Text

MESSAGES = {
    "verify.suspects": Text("{name}: written to since it was verified, reading again: {files}"),
    "verify.not_there": Text(
        "`{name}` is not on this machine",
        "stored: {known}",
        "list what is stored: `selfhost ls`; or name a directory: `selfhost verify ./DIRECTORY`",
    ),
    "verify.several_variants": Text(
        "several variants of `{name}` are stored",
        "stored: {variants}",
        "name one: `selfhost verify {name} --variant {first}`",
    ),
    "verify.nothing_to_compare": Text(
        "nothing to verify `{path}` against",
        "names, sizes and headers are sound, but neither `{lock}` nor `{sums}` is there to compare bytes with",
        "put the publisher's digests into `{path}/{sums}`, as `sha256sum` writes them",
    ),
    "verify.bad_sums": Text(
        "`{path}` is not a list of digests",
        "{detail}",
        "write it as `sha256sum` does: a digest, two spaces, a name",
    ),
    "verify.damaged": Text(
        "damaged files of `{name}`: {count}",
        "{files}",
        "{hint}",
    ),
    "verify.missing": Text(
        "missing files of `{name}`: {count}",
        "{files}",
        "{hint}",
    ),
    "verify.file_digest": Text("`{path}`: wrong bytes, the first in {begin}-{end} of {size:,}"),
    "verify.file_size": Text("`{path}`: {found:,} bytes, {size:,} wanted"),
    "verify.file_missing": Text("`{path}`: missing"),
    "verify.file_extra": Text("`{path}` is not one of the model's files"),
    "verify.structure_lacks": Text("every file is as it was written down, but: {what}"),
    "verify.whole": Text("`{name}` is whole: {count} files, {size}"),
    "verify.goes_on": Text(
        "an earlier verification of `{name}` was interrupted: files it found right are not read again"
    ),
    "verify.no_lock_to_repair": Text(
        "`{path}` cannot be repaired",
        "it has no `{lock}` that tells where its files came from",
        "download the damaged files again",
    ),
    "verify.other_piece": Text(
        "the source has another content for `{path}`",
        "bytes {begin}-{end} end in the mark {wanted}, what was fetched in {found}; the damaged file was left as it is",
        "take the revision that was downloaded first, or download the model again",
    ),
    "verify.other_source": Text(
        "the source has another content for `{path}`",
        "sha256 wanted: {wanted}\nsha256 found: {found}\nthe damaged file was left as it is",
        "take the revision that was downloaded first, or download the model again",
    ),
    "verify.short_source": Text(
        "the source did not give all of `{path}`",
        "{wanted:,} bytes wanted, {found:,} came",
        "run the same command again",
    ),
    "verify.no_space": Text(
        "not enough space to repair `{path}`",
        "a copy needs {needed} in `{where}`, {free} is free",
        "free some space: `selfhost gc`",
    ),
    "verify.repaired": Text("`{path}` is right again: {how}"),
    "verify.from_store": Text("taken from the store"),
    "verify.from_source": Text("{size} fetched"),
    "verify.progress": Text("{phase}: {done} of {total}, {rate}/s, {left} left"),
}
