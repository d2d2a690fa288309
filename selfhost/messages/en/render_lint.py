"""Messages of the linter of deployment files."""

from selfhost.messages import Text

MESSAGES = {
    "render_lint.line": Text("{where}: {severity}{rule}: {what}"),
    "render_lint.clean": Text("{count} files: nothing found"),
    "render_lint.bad_yaml": Text(
        "not a YAML file that can be checked: {file}",
        "{detail}",
        "fix it; a template is rendered first, for example `helm template CHART > all.yaml`",
    ),
    "render_lint.bad_unit": Text(
        "not a unit file: {file}",
        "line {line} is neither a section nor `Key=value`: {text}",
        "fix the line",
    ),
    "render_lint.unreadable": Text(
        "a file cannot be read: {file}",
        "{detail}",
        "give the path of a text file",
    ),
    "render_lint.too_large": Text(
        "a file is too large to be a deployment file: {file}",
        "found: {size}; read at most: {limit}",
        "name the files to check: `selfhost render --lint compose.yaml`",
    ),
    "render_lint.nothing": Text(
        "no file of a kind that can be checked",
        "given: {files}",
        "give compose files, quadlets, units, or objects of Kubernetes: `selfhost render --lint compose.yaml`",
    ),
    "render_lint.bad_cuda": Text(
        "not a CUDA version: {value}",
        "wanted: two numbers, `12.8`",
        "print what the driver runs: `nvidia-smi`",
    ),
    "render_lint.unknown_rule": Text(
        "no such rule: {rule}",
        "known: R1 to R20",
        "take one of them: `--ignore R5`",
    ),
    "render_lint.not_known": Text(
        "not checked: neither compose, nor a unit, nor an object of Kubernetes",
    ),
    "render_lint.drop_in": Text(
        "not checked: a drop-in of a unit that is not among the files: {unit}",
    ),
    "render_lint.by_hand": Text(
        "not checked: a unit that runs a container with a line of options",
        "",
        "write it as a quadlet or as compose: those are checked",
    ),
    "render_lint.rules": Text(
        "what is looked at",
        "R1   an image is named by digest; one made on the machine has a version and is never pulled\n"
        "R2   an engine is told to stay off the network and to report no usage\n"
        "R3   a stock engine is reached through a gateway with an allow-list only\n"
        "R4   between TERM and KILL there is time for running requests\n"
        "R5   every limit of a start is longer than the start (`--model`, `--disk-mb-s`: than reading its weights)\n"
        "R6   an engine is watched, by probes that need no key: `/health`, not `/v1/...`\n"
        "R7   a node without HTTP is watched by a probe that dials the first node\n"
        "R8   no Service is called `vllm`, and variables of Services are off\n"
        "R9   a reservation names devices by number or by id, and says what they are for\n"
        "R10  the parallel sizes multiply to the devices, divide over the nodes, and fit the model (`--model`)\n"
        "R11  several processes have shared memory, and the container has memory for it\n"
        "R12  no secret is in a file that is passed around, nor in a command, nor in a file that others read\n"
        "R13  nothing is installed or fetched when a container starts\n"
        "R14  weights are read-only; caches can be written, and lie elsewhere\n"
        "R15  the nodes of one engine run the same image and read the same model\n"
        "R16  alert rules and dashboards ask for metrics that the engine has\n"
        "R17  Ascend: the command is written, devices come with their managers, the image is for the chips (`--on`)\n"
        "R18  the driver runs the CUDA of the image (`--cuda`)\n"
        "R19  the cluster or the kernel keeps an engine off the network\n"
        "R20  the engine has every option, and every choice",
        "leave one out: `selfhost render --lint FILE --ignore R5`",
    ),
    "render_lint.r1_tag": Text(
        "a tag can be moved: {image}",
        "the same file would start something else tomorrow",
        "name the digest: `skopeo inspect --format '{{{{.Digest}}}}' docker://{image}`, then `NAME@sha256:...`",
    ),
    "render_lint.r1_moving": Text(
        "an image without a version: {image}",
        "`{tag}` is moved with every build",
        "name the version, as `selfhost image ls` prints it",
    ),
    "render_lint.r1_pulled": Text(
        "an image made on this machine would be pulled: {image}",
        "no registry has it; pull policy: {pull}",
        "compose: `pull_policy: never`; quadlet: `Pull=never`; Kubernetes: `imagePullPolicy: Never`, of a "
        "volume `pullPolicy: Never`",
    ),
    "render_lint.r1_variable": Text(
        "which image runs is not in the files: {image}",
        "",
        "write the image with its digest, or hand over the file that sets the variable",
    ),
    "render_lint.r1_not_brought": Text(
        "an image that the bundle does not bring: {image}",
        "",
        "bring it: `selfhost bundle create --image {image} --to /media/usb`",
    ),
    "render_lint.r2_online": Text(
        "the engine may reach for a hub: {name}",
        "`HF_HUB_OFFLINE` is not set to 1",
        "set `HF_HUB_OFFLINE=1`, `TRANSFORMERS_OFFLINE=1`, `VLLM_NO_USAGE_STATS=1`",
    ),
    "render_lint.r2_usage": Text(
        "the engine reports its usage: {name}",
        "neither `VLLM_NO_USAGE_STATS` nor `DO_NOT_TRACK` is set to 1",
        "set `VLLM_NO_USAGE_STATS=1`",
    ),
    "render_lint.r3_published": Text(
        "the engine's own port is published: {port}",
        "the stock server answers control routes and most others without a key",
        "publish a gateway with an allow-list instead, and have the engine listen with `--host 127.0.0.1`",
    ),
    "render_lint.r3_host_network": Text(
        "the engine listens on every address of the host: port {port}",
        "it shares the network of the host, and `--host` is not a loopback address",
        "have it listen with `--host 127.0.0.1`, behind a gateway with an allow-list",
    ),
    "render_lint.r3_service": Text(
        "Service `{name}` leads to the engine's own port: {port}",
        "container `{container}` answers control routes and most others without a key there",
        "lead it to a gateway in the same pod, and have the engine listen with `--host 127.0.0.1`",
    ),
    "render_lint.r3_prefix": Text(
        "the gateway lets through whatever begins like this: {location}",
        "routes that nobody has looked at are among them",
        "write one `location = /path` for each route",
    ),
    "render_lint.r3_route": Text(
        "the gateway lets through a route that is not on the list: {path}",
        "",
        "remove its `location`",
    ),
    "render_lint.r3_lacking": Text(
        "the gateway lacks routes that clients use",
        "not let through: {paths}",
        "add them, or say with `--ignore R3` that this is wanted",
    ),
    "render_lint.r4_grace": Text(
        "`{name}` is killed before it has stopped",
        "between TERM and KILL: {grace} s; needed: {needed} s"
        " (waits before the stop {pre_stop} s, running requests {drain} s, the rest for itself)",
        "compose: `stop_grace_period`; quadlet: `StopTimeout=` and `TimeoutStopSec=`; systemd: `TimeoutStopSec=`;"
        " Kubernetes: `terminationGracePeriodSeconds`",
    ),
    "render_lint.r4_cut": Text(
        "running requests are cut off when `{name}` stops",
        "`--shutdown-timeout` is 0 unless it is given",
        "add `--shutdown-timeout 10`",
    ),
    "render_lint.r5_killed": Text(
        "`{name}` is ended while it may still be starting",
        "a start may take {limit} s; the engine itself gives up after {ready} s (`VLLM_ENGINE_READY_TIMEOUT_S`)",
        "Kubernetes: a `startupProbe` with `failureThreshold` x `periodSeconds` above it;"
        " systemd and quadlet: `TimeoutStartSec=`",
    ),
    "render_lint.r5_health": Text(
        "unhealthy while it may still be starting",
        "failures count after {limit} s; the engine itself gives up after {ready} s (`VLLM_ENGINE_READY_TIMEOUT_S`)",
        "compose: `start_period`; quadlet: `HealthStartPeriod=`",
    ),
    "render_lint.r5_weights": Text(
        "`{name}` gives up before its weights are read",
        "`VLLM_ENGINE_READY_TIMEOUT_S`: {ready} s; needed: {needed} s; reading takes {load} s at {speed} MB/s",
        "set `VLLM_ENGINE_READY_TIMEOUT_S={needed}`",
    ),
    "render_lint.r5_group": Text(
        "nodes give up waiting for one another before the engine does",
        "process group: {limit} s; start: {ready} s",
        "add `--distributed-timeout-seconds {ready}`",
    ),
    "render_lint.r6_keyed": Text(
        "a probe asks a route that needs a key: {path}",
        "it gets 401, and the container counts as broken",
        "ask `/health`, which needs none",
    ),
    "render_lint.r6_none": Text(
        "nothing watches the engine: {name}",
        "",
        "add probes of `/health`",
    ),
    "render_lint.r7_unwatched": Text(
        "nothing watches the node without HTTP: {name}",
        "a dead one looks healthy, and the others wait for it (github.com/defilantech/LLMKube/issues/1781)",
        "add a probe that runs a command: one that dials the first node at its master port",
    ),
    "render_lint.r7_http": Text(
        "a probe asks a node that has no HTTP: {path}",
        "`{name}` runs with `--headless`: nothing answers there",
        "have the probe run a command that dials the first node at its master port",
    ),
    "render_lint.r8_name": Text(
        "a Service called `{name}` stops the engine",
        "Kubernetes sets `VLLM_PORT=tcp://...` for it, and the engine reads that as its port",
        "give it another name",
    ),
    "render_lint.r8_links": Text(
        "variables of every Service of the namespace reach the engine: {name}",
        "one for a Service called `vllm` (`VLLM_PORT`) would stop it",
        "set `enableServiceLinks: false`",
    ),
    "render_lint.r9_both": Text(
        "devices by number and by id",
        "count: {count}; device_ids: {ids}",
        "keep one of `count` and `device_ids`",
    ),
    "render_lint.r9_capabilities": Text(
        "a reservation of devices without capabilities",
        "compose refuses the file",
        "add `capabilities: [gpu]`",
    ),
    "render_lint.r10_devices": Text(
        "the engine uses other devices than it is given: {ranks} of {devices}",
        "tensor x pipeline x data parallel size on this node: {ranks}; devices: {devices}",
        "make them equal",
    ),
    "render_lint.r10_nodes": Text(
        "{world} ranks do not divide over {nodes} nodes",
        "",
        "change `--nnodes` or the parallel sizes",
    ),
    "render_lint.r10_rank": Text(
        "`--node-rank {rank}` of {nodes} nodes",
        "ranks begin at 0",
        "change `--node-rank` or `--nnodes`",
    ),
    "render_lint.r10_local": Text(
        "{data} engines do not divide into {here} on each node",
        "",
        "change `--data-parallel-size` or `--data-parallel-size-local`",
    ),
    "render_lint.r10_heads": Text(
        "{heads} attention heads do not divide by {tensor}",
        "",
        "change `--tensor-parallel-size`",
    ),
    "render_lint.r10_dense": Text(
        "`{flag}` is for mixtures of experts, and the model is dense",
        "",
        "start independent servers behind a router",
    ),
    "render_lint.r11_default": Text(
        "no shared memory for {ranks} processes",
        "a container gets 64 MiB; NCCL needs more (github.com/vllm-project/vllm/issues/1710)",
        "compose: `shm_size: 16g`; quadlet: `ShmSize=16g`; Kubernetes: an `emptyDir` with `medium: Memory` at /dev/shm",
    ),
    "render_lint.r11_small": Text(
        "little shared memory for {ranks} processes: {shm}",
        "",
        "give them 2 GiB each, 16 GiB at most",
    ),
    "render_lint.r11_limit": Text(
        "shared memory alone may fill the container",
        "shared memory: {shm}; memory: {limit}; the one counts into the other",
        "raise the memory limit, or set a size for /dev/shm below it",
    ),
    "render_lint.r12_variable": Text(
        "a secret in the file: {variable}",
        "everybody who reads the file has it",
        "keep it in a file of its own, or in a secret that is only named here",
    ),
    "render_lint.r12_argument": Text(
        "a secret in the command: {flag}",
        "everybody who lists processes has it",
        "keep it in a file of its own, or in a secret that is only named here",
    ),
    "render_lint.r12_object": Text(
        "a Secret with its values in the file",
        "",
        "make it beside the files: `kubectl create secret generic NAME --from-file=FILE`",
    ),
    "render_lint.r12_key": Text(
        "this looks like a key, it begins with: {start}",
        "",
        "take it out, and make a new one: this one has been in a file",
    ),
    "render_lint.r12_mode": Text(
        "others can read a secret: {variable}",
        "mode: {mode}",
        "`chmod 600 {path}`",
    ),
    "render_lint.r13_installs": Text(
        "something is installed when the container starts: {commands}",
        "without a network it does not start, and with one it is another container each time",
        "put it into the image",
    ),
    "render_lint.r13_fetches": Text(
        "something is fetched when the container starts: {host}",
        "without a network it does not start",
        "put it into the image, or into a volume",
    ),
    "render_lint.r14_writable": Text(
        "the engine can change the weights: {path}",
        "mounted from: {source}",
        "mount them read-only",
    ),
    "render_lint.r14_together": Text(
        "caches are written beside the weights: {variable}={path}",
        "both are below {mount}",
        "give caches a volume of their own",
    ),
    "render_lint.r14_read_only": Text(
        "caches cannot be written: {variable}={path}",
        "{mount} is mounted read-only",
        "give caches a volume of their own",
    ),
    "render_lint.r14_root": Text(
        "caches cannot be written: {variable}={path}",
        "the container's root is read-only, and nothing is mounted there",
        "give caches a volume of their own",
    ),
    "render_lint.r15_image": Text(
        "nodes of one engine run different images",
        "here: {here}\nthere: {there} ({where})",
        "run the same on all nodes",
    ),
    "render_lint.r15_model": Text(
        "nodes of one engine read different models",
        "here: {here}\nthere: {there} ({where})",
        "read the same on all nodes",
    ),
    "render_lint.r16_metric": Text(
        "the engine has no such metric: {metric}",
        "similar: {nearest}",
        "ask for one that it has",
    ),
    "render_lint.r17_command": Text(
        "the container runs no engine: {image}",
        "Ascend's image starts a shell unless it is told what to run",
        "write the command: `vllm serve /path/of/model`",
    ),
    "render_lint.r17_devices": Text(
        "no Ascend device in the container",
        "wanted: `/dev/davinci0`, ... or the runtime `ascend`",
        "add the devices",
    ),
    "render_lint.r17_managers": Text(
        "Ascend's devices come without their managers",
        "lacking: {lacking}",
        "add them beside /dev/davinci*",
    ),
    "render_lint.r17_family": Text(
        "an image for other Ascend chips: {image}",
        "made for: {made_for}; the machine has: {family}",
        "take the image with the suffix of the machine: none for A2, `-a3`, `-310p`, `-950dt`",
    ),
    "render_lint.r18_cuda": Text(
        "the driver is too old for the image: {image}",
        "CUDA of the image: {cuda}; the driver runs at most: {ceiling}",
        "take an image of an older CUDA, or a newer driver",
    ),
    "render_lint.r19_policy": Text(
        "nothing keeps the engine off the network: {name}",
        "no NetworkPolicy with `policyTypes: [Egress]` is about its pod",
        "add one for the namespace that denies, and one that allows what is needed",
    ),
    "render_lint.r19_unit": Text(
        "nothing keeps the engine off the network: {name}",
        "`IPAddressDeny=any` is not set",
        "set `IPAddressDeny=any` and `IPAddressAllow=localhost`",
    ),
    "render_lint.r20_flag": Text(
        "{engine} has no such option: {flag}",
        "similar: {nearest}",
        "remove it, or spell it as `vllm serve --help=all` does",
    ),
    "render_lint.r20_key": Text(
        "{engine} has no such key of `{flag}`: {key}",
        "similar: {nearest}; it ignores the key and does not say so",
        "correct it, or remove it",
    ),
    "render_lint.r20_object": Text("`{flag}` needs a JSON object: {value}", hint="""write `{flag} '{{"key": 1}}'`"""),
    "render_lint.r20_shortened": Text(
        "a shortened option: {flag}",
        "it is `{whole}` now, and nothing once another option begins like that",
        "write `{whole}`",
    ),
    "render_lint.r20_choice": Text(
        "{engine} does not take this: `{flag} {value}`",
        "known: {choices}",
        "take one of them",
    ),
    "render_lint.r20_model": Text(
        "the model is the first word after `vllm serve`: {model}",
        "`--model` will be removed",
        "write `vllm serve {model}`",
    ),
    "render_lint.r20_version": Text(
        "options are not checked: the image has another version",
        "image: {other}; known here: {pinned}",
    ),
}
