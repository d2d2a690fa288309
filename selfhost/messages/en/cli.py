"""Messages of the command line itself."""

from selfhost.messages import Text

MESSAGES = {
    "cli.unexpected": Text(
        "unexpected failure: {kind}: {detail}",
        hint="this is a defect in selfhost; run again with `SELFHOST_TRACEBACK=1` and report what it prints",
    ),
    "cli.interrupted": Text("interrupted"),
    "cli.terminated": Text("terminated"),
    "cli.not_writable": Text(
        "cannot write to `{path}`",
        "{detail}",
        "make it writable for user {user}, or set `SELFHOST_HOME` to a directory that is",
    ),
    "cli.no_home": Text(
        "there is no home directory for `{path}`",
        "no such user; or `HOME` is not set, and this uid has no passwd entry",
        "name a directory: `export SELFHOST_HOME=/path`; and write paths without `~`",
    ),
    "cli.no_space": Text(
        "no space left while writing `{path}`",
        "{detail}",
        "free some space, or set `SELFHOST_HOME` to a larger file system",
    ),
}
