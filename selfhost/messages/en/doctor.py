"""What `selfhost doctor` finds about the machine around the accelerators, and what it says of itself."""

from selfhost.messages import Text

MESSAGES = {
    # The command
    "doctor.line": Text("{severity}: {where}: {what}"),
    "doctor.is_error": Text("error"),
    "doctor.is_warning": Text("warning"),
    "doctor.is_note": Text("note"),
    "doctor.fix": Text("fix: {hint}"),
    "doctor.see": Text("see: {link}"),
    "doctor.clean": Text("nothing is wrong that can be told from here"),
    "doctor.summary": Text("errors: {errors}, warnings: {warnings}, notes: {notes}"),
    "doctor.not_told": Text("not told: {what}"),
    "doctor.two_questions": Text(
        "`--log` reads a log and asks nothing of this machine",
        "given: `--log` and `--model`",
        "ask twice: `selfhost doctor --log FILE`, then `selfhost doctor --model MODEL`",
    ),
    # What could not be asked
    "doctor.dmesg_closed": Text("the kernel's log: this user may not read it; as root: `sudo dmesg`"),
    "doctor.dmesg_silent": Text("the kernel's log: `dmesg` did not answer within {seconds} s"),
    "doctor.nvml_silent": Text("the health of the GPUs: {detail}"),
    "doctor.python_silent": Text("the packages of `{python}`: {detail}"),
    "doctor.not_stored": Text("how fast the disk is: `{name}` is not stored here yet"),
    "doctor.unread": Text("how fast the disk is: {detail}"),
    "doctor.servers_unread": Text("a server's record: {detail}"),
    # The machine
    "doctor.open_files": Text(
        "at most {found} files may be open",
        "vLLM asks for {wanted}; each request takes a connection, each worker some",
        "raise the hard limit: `ulimit -Hn 65535`, or `LimitNOFILE=65535` in the unit, `--ulimit nofile=65535` for a "
        "container",
    ),
    "doctor.locked_memory": Text(
        "only {found} of memory may be locked",
        "RDMA registers its buffers as locked memory, and fails with `Cannot allocate memory`",
        "`ulimit -l unlimited`, or `LimitMEMLOCK=infinity` in the unit, `--ulimit memlock=-1` for a container",
    ),
    "doctor.no_shm": Text(
        "shared memory, /dev/shm, is not there",
        "workers of one server exchange messages in it",
        "mount one: `--shm-size=16g` for a container",
    ),
    "doctor.small_shm": Text(
        "shared memory, /dev/shm, is small: {size}",
        "workers of several devices need 240 MiB for messages and more for collectives; {wanted} is enough for most",
        "`--shm-size=16g` or `--ipc=host` for a container; `sudo mount -o remount,size=16G /dev/shm` on a host",
    ),
    "doctor.full_shm": Text(
        "shared memory, /dev/shm, is full: {free} free of {size}",
        "what killed servers left stays there until somebody removes it",
        "see what is in it: `ls -l /dev/shm`; remove what no running process has open",
    ),
    "doctor.small_cgroup": Text(
        "the control group allows {limit} of main memory",
        "several workers, each with the libraries of torch, and buffers for loading weights: {wanted} is little",
        "raise it: `--memory` of the container, `resources.limits.memory` of the pod, `MemoryMax=` of the unit",
    ),
    "doctor.oom_kills": Text(
        "the kernel ended {count} processes of this control group because memory ran out",
        hint="raise the limit, or start fewer workers; what a model needs: `selfhost plan MODEL`",
    ),
    "doctor.killed": Text(
        "the kernel ended {count} processes because memory ran out, the last was {last}",
        hint="what a model needs: `selfhost plan MODEL`",
    ),
    "doctor.full_disk": Text(
        "little room for models: {free} free of {total} at {path}",
        hint="see what is stored, and what nobody needs: `selfhost ls`, `selfhost gc`; or move `SELFHOST_HOME`",
    ),
    "doctor.slow_disk": Text(
        "`{name}` takes {time} to load from this disk",
        "weights: {size}, measured: {speed} per second",
        "put the store on a faster disk",
    ),
    "doctor.disk_speed": Text("`{name}` loads in about {time}", "weights: {size}, measured: {speed} per second"),
    "doctor.clock": Text(
        "the clock is wrong: {now}",
        "it is after {first}; certificates are refused, and signatures seem to be from the future",
        "set it: `sudo timedatectl set-ntp true`",
    ),
    "doctor.nameless": Text(
        "this user has no entry in the user database",
        "torch asks for the name of its user, and ends when there are several ranks",
        "use a uid that /etc/passwd has, or mount an /etc/passwd with this one",
    ),
    "doctor.unfinished_engine": Text(
        "an engine was not installed to its end: {path}",
        hint="`selfhost engine remove {name}`, then `selfhost engine install {name}`",
    ),
    "doctor.other_engine": Text(
        "the engine `{name}` is from another lock than this selfhost's: {path}",
        "it is not used",
        "`selfhost engine install {name}` makes the one of version {version}",
    ),
    "doctor.none_supported": Text(
        "none of the {count} accelerators can be used",
        "{reasons}",
        "what can: `selfhost plan MODEL --matrix`",
    ),
    "doctor.not_supported": Text("`{name}` cannot be used", "{reason}"),
    "doctor.mixture": Text(
        "accelerators of several kinds: {kinds}",
        "one server runs on one kind",
        "give each server its own: `CUDA_VISIBLE_DEVICES`, `ASCEND_RT_VISIBLE_DEVICES`",
    ),
    "doctor.memory_held": Text(
        "{where}: {used} of {total} is in use",
        "{who}",
        "end what is left over: `selfhost ps`, `selfhost stop NAME`, `kill PID`",
    ),
    "doctor.memory_held_by": Text(
        "{where}: {used} of {total} is in use, by nobody who can be seen from here",
        "processes of another container or user, or ones that ended without letting go",
        "see who: `{tool}` on the host",
    ),
    "doctor.no_plan": Text("`{name}` does not run here: {verdict}", "{reasons}", "what would: `selfhost plan {model}`"),
    # Logs
    "doctor.no_log": Text("cannot read the log `{path}`", "{detail}", "name the file of an engine's output"),
    "doctor.log_clean": Text("no failure that is known in {lines} lines"),
    "doctor.log_cause": Text("cause, line {number}: {what}"),
    "doctor.log_also": Text("also, line {number}: {what}"),
    "doctor.log_symptom": Text("symptom, line {number}: {what}"),
    "doctor.log_times": Text("{count} times"),
    "doctor.log_first": Text("the first failure is the cause; what comes later mostly follows from it"),
    "doctor.log_unknown": Text("an exception that is not known"),
    "doctor.log_cut": Text("the log is cut off or damaged: {detail}"),
    "doctor.log_unfinished": Text("the packed file ends in the middle"),
    # Other nodes
    "doctor.node_unread": Text("cannot read `{path}`", "{detail}", "name a report of another node: `--node FILE`"),
    "doctor.node_empty": Text(
        "`{path}` tells nothing of the network of NPUs",
        "wanted: a report of `selfhost doctor --report`, what `hccn_tool` said in a terminal, or `/etc/hccn.conf`",
        "there: `selfhost doctor --keep-addresses --report FILE`",
    ),
    # Reports
    "doctor.report_exists": Text(
        "`{path}` is there already",
        "a report is not written over anything",
        "choose another name: `--report {path}.2`",
    ),
    "doctor.report_nowhere": Text("there is no folder `{folder}`", hint="`mkdir -p {folder}`, or another place"),
    "doctor.report_written": Text(
        "report: {path}, {size}, for this user only",
        "keys, tokens, names of hosts and users, addresses and texts of requests are taken out: {count} places",
        "read it before you give it away",
    ),
}
