"""Messages about servers that are watched, started again and ended."""

from selfhost.messages import Text

MESSAGES = {
    "supervise.bad_restart": Text(
        "not a way to restart: `{value}`",
        "known: `never`, `on-failure` (five times in a row), `on-failure:N`",
        "for example `--restart on-failure`",
    ),
    "supervise.restarting": Text("restarting: {cause}"),
    "supervise.ready_again": Text("ready: `{name}` serves again"),
    "supervise.wedged": Text(
        "`{name}` answers health checks but computes nothing, so it was stopped",
        "no counter of the engine moved and a question of one token had no answer for {waited}\n"
        "last of the log: {line}",
        "read the log: `selfhost logs {name}`; where it keeps happening, `selfhost serve {model} --restart on-failure`",
    ),
    "supervise.crash_loop": Text(
        "`{name}` failed {count} times in a row and is not started again",
        "the last time: {last}\n{why}",
        "{hint}",
    ),
    "supervise.stopped_held": Text(
        "{name} stopped: {count} processes ended in {seconds} s, port {port} is closed; "
        "memory of its devices that was free before its start is still in use: {held}"
    ),
    "supervise.stray_stopped": Text("{name} stopped: {count} processes without a record ended in {seconds} s"),
    "supervise.stray_survivors": Text(
        "processes of `{name}`, which has no record, cannot be ended",
        "still there after SIGKILL: pid {pids}",
        "a process that waits in a driver cannot be killed: look at the driver, or restart the machine",
    ),
    "supervise.stray": Text(
        "{name}: {count} processes without a record (pid {pids}); `selfhost stop --orphans` ends them"
    ),
    "supervise.restarted": Text("{name}: restarts: {count}, the last because {what}"),
    "supervise.no_orphans": Text("no orphans"),
    "supervise.read_log": Text("read the log: `selfhost logs {name}`"),
}
