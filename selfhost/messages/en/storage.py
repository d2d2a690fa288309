"""Messages about the store: what is in it, and giving the space back."""

from selfhost.messages import Text

MESSAGES = {
    "storage.in_flight": Text("`{variant}` has no files; the recipe that knows it: `{path}`"),
    "storage.unknown": Text(
        "the store has no model `{name}`",
        "stored: {known}",
        "list what is stored: `selfhost ls`",
    ),
    "storage.image": Text("image {name}, {size}: `{path}`"),
    "storage.in_use": Text(
        "`{path}` is in use",
        "the server `{server}` runs with it",
        "stop it first: `selfhost stop {server}`",
    ),
    "storage.unseen": Text(
        "it cannot be told which contents models have: nothing is removed",
        "`{path}`: {detail}",
        "if it is on a share that is not mounted, mount it; if it belongs to another user, let that one run this;\n"
        "if the models were removed by hand, remove `{blobs}` as well",
    ),
    "storage.pull_runs": Text(
        "a download or a repair is running",
        "what it counts on would be removed",
        "wait until it has ended, then run `selfhost gc` again",
    ),
    "storage.other_content": Text(
        "`{path}` has another content than expected",
        "wanted: {wanted}\nfound: {found}",
        "get this file again from where it came from",
    ),
    "storage.bad_paths": Text(
        "the files of `{name}` do not make a directory",
        "{detail}",
        "the source lists names that are not safe: take another source",
    ),
    "storage.confirm_needed": Text(
        "`rm` asks before it removes, and there is no terminal to ask on",
        "it would remove: {paths}",
        "say yes with `--yes`, or look first with `--dry-run`",
    ),
    "storage.confirm": Text("remove {paths} and free {size}? [y/N] "),
    "storage.not_removed": Text("nothing was removed"),
    "storage.empty": Text("no models; `selfhost recipe ls` lists what there are recipes for"),
    "storage.totals": Text("{count} contents take {size}; `selfhost gc` would free {reclaimable}"),
    "storage.partials": Text("downloads are not complete: {count}, {names}"),
    "storage.partial": Text("`{name}` {there} of {size}"),
    "storage.removed": Text("removed `{path}`"),
    "storage.would_remove": Text("would remove `{path}`"),
    "storage.freed": Text("{size} freed"),
    "storage.would_free": Text("{size} would be freed"),
    "storage.blobs_kept": Text("a download is running: the space is freed by `selfhost gc` once it has ended"),
    "storage.state": Text("`{name}` ({variant}) is {state}: {problem}"),
    "storage.waiting": Text("another selfhost is working on the model; waiting for it"),
}
