"""Messages of the command line itself."""

from selfhost.messages import Text

MESSAGES = {
    "cli.label_error": Text("error:"),
    "cli.label_hint": Text("hint:"),
    "cli.label_warning": Text("warning:"),
    "cli.unexpected": Text(
        "unexpected failure: {kind}: {detail}",
        hint="this is a defect in selfhost; run again with `SELFHOST_TRACEBACK=1` and report what it prints",
    ),
    "cli.unknown_language": Text(
        "`SELFHOST_LANG` names a language that is not here: `{value}`",
        "here: {known}",
        "`export SELFHOST_LANG=en`; unset, the locale counts: `LC_ALL`, `LC_MESSAGES`, `LANG`",
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
