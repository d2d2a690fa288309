"""Messages about servers that take the place of others."""

from selfhost.messages import Text

MESSAGES = {
    "replace.begin": Text("{old} goes on at {url} until {new} is ready"),
    "replace.switched": Text("new requests go to {new} ({url})"),
    "replace.draining": Text("{old} finishes what it has begun: {workers} workers of the gateway wait for it"),
    "replace.cut": Text("{old} was given {seconds} s to finish and had not: what still ran was cut off"),
    "replace.moved": Text("its address is another one now: {url}; a gateway keeps it (`selfhost gateway --help`)"),
    "replace.done": Text("{new} has taken the place of {old}"),
    "replace.leftover": Text("left by an earlier replacement that was interrupted: {name} is ended"),
    "replace.gap": Text("{old} is ended first: nothing answers until {new} is ready"),
    "replace.back": Text("{new} did not start: {old} is started again as it was"),
    "replace.busy": Text("`{name}` is being replaced already", hint="see it: `selfhost ps`"),
    "replace.not_serving": Text(
        "`{name}` does not serve now, so there is nothing to replace",
        "it is {state}",
        "start it: `selfhost serve`; see what is the matter: `selfhost ps`, `selfhost logs {name}`",
    ),
    "replace.foreground": Text(
        "`{name}` runs in the foreground of another command (pid {pid})",
        "that command ends with it, and what started it (a terminal, systemd, a container) may start it again",
        "replace servers that were started with `selfhost serve -d`",
    ),
    "replace.other_engine": Text(
        "the gateway `{path}` is not in front of `{name}`",
        "`{name}` is on port {port}, the gateway asks port {found}, where `{other}` is",
        "name the server that is behind it: `selfhost replace {other} --gateway {path}`",
    ),
    "replace.no_room": Text(
        "both do not fit at once: `{name}` and the one that is to replace it",
        "{reasons}",
        "end the old one first, with a gap: `selfhost replace {name} --stop-first`",
    ),
}
