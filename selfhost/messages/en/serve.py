"""Messages about starting, watching and stopping servers."""

from selfhost.messages import Text

MESSAGES = {
    # Phases
    "serve.progress": Text("{elapsed:>10}  {what}"),
    "serve.phase_loading": Text("loading: starting the engine of `{name}`"),
    "serve.phase_checking": Text("checking: the engine is healthy; asking it a question"),
    "serve.phase_stopping": Text("stopping: ending every process of `{name}`"),
    "serve.step_engine": Text("loading: engine process is up"),
    "serve.step_weights": Text("loading: building the model"),
    "serve.step_shards": Text("loading: weights, file {done} of {total}"),
    "serve.step_profiling": Text("warming: weights are loaded; measuring memory"),
    "serve.step_compiling": Text("warming: compiling the model"),
    "serve.step_kv_cache": Text("warming: KV cache allocated"),
    "serve.step_graphs": Text("warming: capturing graphs, {done} of {total}"),
    "serve.step_http": Text("warming: starting the API server"),
    "serve.while_loading": Text("loading"),
    "serve.while_warming": Text("warming up"),
    "serve.while_checking": Text("being checked"),
    "serve.while_serving": Text("serving"),
    # Refused before anything was made
    "serve.bad_log_size": Text(
        "`SELFHOST_LOG_SIZE` is no size for a log: `{text}`",
        "wanted: at least {least}, for example `64MiB`",
        "unset SELFHOST_LOG_SIZE",
    ),
    "serve.bad_name": Text(
        "not a name for a server: `{name}`",
        "wanted: lower-case letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first",
        "choose one with `--name NAME`",
    ),
    "serve.name_taken": Text(
        "a server named `{name}` exists already",
        "it is {state}, at {url}",
        "end it with `selfhost stop {name}`, or give this one another name: `--name {free}`",
    ),
    "serve.port_taken": Text(
        "port {port} on {host} is taken",
        "by {holder}",
        "use the next free one: `selfhost serve {model} --port {free}`, or let one be chosen: `--port 0`",
    ),
    "serve.port_moved": Text("port {port} is taken by {holder}: {free} is used"),
    "serve.devices": Text("devices: {devices}"),
    "serve.blocked": Text(
        "`{name}` does not fit on {hardware} beside the servers that run",
        "{reasons}",
        "make room: `selfhost stop {servers}`; other ways are in `selfhost plan`\nto start it nevertheless: `--force`",
    ),
    "serve.holder_server": Text("the server `{name}`; `selfhost stop {name}` ends it"),
    "serve.holder_process": Text("{name} (pid {pid})"),
    "serve.holder_unknown": Text("a process of another user"),
    "serve.port_forbidden": Text(
        "this user may not listen on port {port}",
        "ports below 1024 need a privilege",
        "use one above: `selfhost serve {model} --port 8000`",
    ),
    "serve.bad_host": Text(
        "cannot listen on `{host}`",
        "{detail}",
        "use an address of this machine: `--host 127.0.0.1`",
    ),
    "serve.does_not_fit": Text(
        "`{name}` does not fit on {hardware}",
        "{reasons}",
        "try `{command}`\nto start it nevertheless: `--force`",
    ),
    "serve.several_nodes": Text(
        "`{name}` on {hardware} is served by {nodes} nodes",
        "`serve` starts the processes of this machine only",
        "run one on each node, the first one's address in place of `NODE0`:\n{commands}",
    ),
    "serve.unsupported": Text(
        "`{name}` cannot be served on {hardware}",
        "{reasons}",
        "change what the reasons name, or see whether other hardware could: `selfhost plan {model} --on 8xH20`",
    ),
    "serve.forced": Text("starting although the plan says that it does not fit, because of `--force`"),
    "serve.not_runnable": Text(
        "the engine cannot be started: `{python}`",
        "{detail}",
        "check its environment: `selfhost engine check`",
    ),
    # Failures of a start or of a running server; those read from the log are in `diagnose`
    "serve.wrong_answer": Text(
        "`{name}` answers nonsense, so it was stopped",
        "asked: {prompt}\nexpected in the answer: {expect}\nanswered: {line}",
        "check the model's files, and settings that change results (`--kv-cache-dtype`, flags after `--`)",
    ),
    "serve.no_answer": Text(
        "`{name}` is healthy but does not answer, so it was stopped",
        "{detail}\nlast of the log: {line}",
        "read the log: `selfhost logs {name}`",
    ),
    "serve.unhealthy": Text(
        "`{name}` stopped answering health checks while {phase}, so it was stopped",
        "last of the log: {line}",
        "read the log: `selfhost logs {name}`; start again with `selfhost serve {model}`",
    ),
    "serve.deadline": Text(
        "`{name}` was not ready within {deadline}, so it was stopped while {phase}",
        "last of the log: {line}",
        "see what it was waiting for: `selfhost logs {name}`",
    ),
    "serve.survivors": Text(
        "processes of `{name}` cannot be ended",
        "still there after SIGKILL: pid {pids}",
        "a process that waits in a driver cannot be killed: look at the driver, or restart the machine",
    ),
    "serve.supervisor_died": Text(
        "the supervisor of `{name}` ended unexpectedly; what it had started was stopped",
        "{line}",
        "its log: `{log}`",
    ),
    "serve.no_orders": Text(
        "there is nothing to supervise for `{name}`",
        "no orders in `{path}`",
        "start servers with `selfhost serve`",
    ),
    "serve.replaced": Text(
        "another start of `{name}` took its place",
        hint="see it: `selfhost ps`",
    ),
    "serve.stopped_meanwhile": Text(
        "`{name}` was stopped before it was ready",
        hint="somebody ran `selfhost stop {name}`; start again with `selfhost serve`",
    ),
    # Success
    "serve.ready": Text("ready: {url} (model `{model}`)"),
    "serve.foreground": Text("Ctrl-C stops it; the log: `selfhost logs {name} -f`"),
    "serve.detached": Text("chat: `selfhost chat {name}`, log: `selfhost logs {name} -f`, end: `selfhost stop {name}`"),
    "serve.ended": Text("{name} stopped: no process of it is left"),
    "serve.stopped": Text("{name} stopped: {count} processes ended in {seconds} s, port {port} is closed"),
    # Servers that are asked for
    "serve.unknown_server": Text(
        "no server named `{name}`",
        "known: {known}",
        "see all: `selfhost ps`",
    ),
    "serve.none_running": Text("no server is running", hint="start one: `selfhost serve MODEL -d`"),
    "serve.several_running": Text("several servers are running", "{names}", "say which one: `selfhost chat NAME`"),
    "serve.which_to_stop": Text(
        "`stop` takes names, or `--all`, or `--orphans`: one of the three",
        hint="say which: `selfhost stop NAME`, or all: `selfhost stop --all`, or orphans: `selfhost stop --orphans`",
    ),
    "serve.not_running": Text("`{name}` is not running", "it was stopped before"),
    "serve.was_dead": Text(
        "`{name}` is not running",
        "its record said {state}, but none of its processes is left; the record is cleaned",
    ),
    "serve.was_failed": Text(
        "`{name}` is not running",
        "{failure}; none of its processes is left, the record is cleaned",
        "its log: `selfhost logs {name}`",
    ),
    "serve.not_ready": Text(
        "`{name}` does not take questions now",
        "it is {state}",
        "see `selfhost ps`, `selfhost logs {name}`",
    ),
    "serve.port_still_open": Text(
        "`{name}` is ended, but somebody listens on port {port}",
        "now: {holder}",
        "see whether it belongs to you; none of it is a process of `{name}`",
    ),
    "serve.chat_cut": Text("the answer was cut off at `--max-tokens`"),
    "serve.chat_refused": Text("`{name}` did not answer", "{detail}", "see `selfhost ps` and `selfhost logs`"),
    "serve.newer_record": Text(
        "the server `{name}` was started by a newer selfhost",
        "schema_version {found} in `{path}`, this one knows {known}",
        "use that version for it",
    ),
    "serve.bad_record": Text("not a record of a server: `{path}`", hint="remove it if nothing runs there"),
    "serve.no_servers": Text("no servers"),
    "serve.state_failed": Text("{name}: {what}"),
}
