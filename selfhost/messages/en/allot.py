"""Messages about several servers on one machine: devices, memory and cores among them."""

from selfhost.messages import Text

MESSAGES = {
    # What `--devices` says
    "allot.malformed": Text(
        "not a list of devices: `{devices}`",
        "`{word}` is neither a number, nor a range, nor a uuid that begins with `GPU-` or `MIG-`",
        "as `selfhost detect` numbers them: `--devices 0,1`, `--devices 4-7`",
    ),
    "allot.twice": Text("`--devices {devices}` names `{word}` twice", hint="name each device once"),
    "allot.with_on": Text(
        "`--devices` chooses among the devices that are here, and `--on {on}` supposes others",
        hint="leave one of the two out; `--on 2xH20` supposes two",
    ),
    "allot.with_many": Text("`--devices` is for one plan", hint="leave it out, or `--matrix` and `--for-hardware`"),
    "allot.unknown": Text("there is no device `{word}` here", "found: {found}", "see what there is: `selfhost detect`"),
    "allot.several": Text(
        "`{word}` is the beginning of several uuids", "found: {found}", "give more of it: `selfhost detect --json`"
    ),
    "allot.no_uuid": Text(
        "the slices of GPU {index} cannot be told apart", hint="their uuids are not known: see `nvidia-smi -L`"
    ),
    "allot.hidden": Text(
        "device `{word}` is hidden by `{variable}={value}`",
        hint="whoever set that gives it to somebody else: unset it, or name one that is left (`selfhost detect`)",
    ),
    "allot.unusable": Text(
        "device `{word}` ({name}) cannot be used", "{reason}", "see what there is: `selfhost detect`"
    ),
    "allot.mixed": Text(
        "an engine takes devices of one kind, and `--devices {devices}` names several",
        "{found}",
        "name devices of one kind",
    ),
    "allot.one_slice": Text(
        "an engine takes one slice of a GPU, and `--devices {devices}` names several",
        "slices cannot reach each other",
        "start a server for each",
    ),
    "allot.no_such_cpu": Text(
        "CPU {word} is not there, or not for this process",
        "no accelerator was found, so that `--devices` are cores; found: {found}",
        "name some of those: `--devices {found}`",
    ),
    # Reasons of a plan
    "allot.holds": Text("held: {unit} {devices} by server `{server}`, {promised} each"),
    "allot.holds_loading": Text(
        "held: {unit} {devices} by server `{server}`, which is loading; {promised} each are promised"
    ),
    "allot.holds_host": Text(
        "held: {promised} of the host's memory by server `{server}`; {to_come} of that is promised and not taken yet"
    ),
    "allot.cpus": Text("cores: bound to CPU {cpus}, which no other server is bound to"),
    "allot.cpus_named": Text("cores: bound to CPU {cpus}, as asked for"),
    "allot.cpus_shared": Text(
        "cores: none is free of the threads of {servers}; the servers slow each other down. Give each its own:"
        " `--devices 0-3`, `--devices 4-7`"
    ),
    "allot.blocked": Text("room: it would fit without the server `{server}`: `selfhost stop {server}`"),
    "allot.blocked_by_all": Text("room: it would fit without these servers: `selfhost stop {servers}`"),
}
