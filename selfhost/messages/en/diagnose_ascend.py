"""What lines of an engine's log mean on Ascend. Every message gets `name`, `model`, `phase` and `line`."""

from selfhost.messages import Text

_LINE = "engine: {line}"
_PLOG = "the first rank that failed has more in `~/ascend/log/*/plog`"

MESSAGES = {
    "diagnose_ascend.library": Text(
        "`{name}` failed while {phase}: `{library}` of the Ascend driver or of CANN is not found",
        _LINE,
        "source both: `/usr/local/Ascend/ascend-toolkit/set_env.sh` and `/usr/local/Ascend/nnal/atb/set_env.sh`\n"
        "in a container, mount /usr/local/Ascend/driver/lib64 and map /dev/davinci_manager; then `npu-smi info`",
    ),
    "diagnose_ascend.held": Text(
        "`{name}` failed while {phase}: the NPU is held by another process or container, or may not be opened",
        _LINE,
        "an NPU belongs to the first container that opens it: end that one, or take other NPUs\n"
        "run as uid 1000 or in its group, keep CAP_DAC_OVERRIDE as root, and take both dies of an A3 card",
    ),
    "diagnose_ascend.no_devices": Text(
        "`{name}` failed while {phase}: {wanted} NPUs are needed on this node, {found} are visible",
        _LINE,
        "map /dev/davinci0 and the following into the container; `ASCEND_RT_VISIBLE_DEVICES` counts from 0 in there",
    ),
    "diagnose_ascend.family": Text(
        "`{name}` failed while {phase}: vllm-ascend was built for {built} chips, and this is {found}",
        _LINE,
        "the wheel on the package index is for A2 only: use the image of this family (`-a3`, `-310p`, `-950dt`), or "
        "build it with `SOC_VERSION`",
    ),
    "diagnose_ascend.first_generation": Text(
        "`{name}` failed while {phase}: CANN has no kernels for this chip",
        _LINE,
        "first-generation chips (910, 910A, 910Pro, `910B` without a digit) and 310B are not supported: "
        "`selfhost detect`\non a supported chip the CANN package of kernels (`ops`) is missing",
    ),
    "diagnose_ascend.pair": Text(
        "`{name}` failed while {phase}: vllm and its plugin vllm-ascend do not match ({module})",
        _LINE,
        "each vllm-ascend needs one version of vllm: install both anew, or use the official image\n"
        "a folder named `vllm` in the current directory hides the package",
    ),
    "diagnose_ascend.triton": Text(
        "`{name}` failed while {phase}: triton-ascend is missing, or triton lies over it",
        _LINE,
        "in this order: `pip uninstall -y triton-ascend triton`, then install triton-ascend again from Huawei's index",
    ),
    "diagnose_ascend.invalid_version": Text(
        "`{name}` failed while {phase}: the version of vllm is not one that can be compared",
        _LINE,
        "name the release it was built from: `export VLLM_VERSION=0.23.0`",
    ),
    "diagnose_ascend.symbol": Text(
        "`{name}` failed while {phase}: libraries of different releases are mixed (`{symbol}`)",
        _LINE,
        "torch, torch_npu, CANN and the engine come in fixed sets: see what is here with `selfhost doctor`, and "
        "install one set anew",
    ),
    "diagnose_ascend.not_quantized": Text(
        "`{name}` failed while {phase}: the weights were not made by msModelSlim",
        _LINE,
        "leave out `--quantization ascend`, or fetch the `quant_model_description.json` that belongs to them",
    ),
    "diagnose_ascend.no_flag": Text(
        "`{name}` failed while {phase}: this vllm does not know `--quantization ascend`",
        _LINE,
        "the plugin is not loaded: look for `Failed to load plugin ascend`, and install a newer vllm-ascend",
    ),
    "diagnose_ascend.not_compressed": Text(
        "`{name}` failed while {phase}: the weights are not in the format compressed-tensors",
        _LINE,
        "leave out `--quantization compressed-tensors`",
    ),
    "diagnose_ascend.scheme": Text(
        "`{name}` failed while {phase}: vllm-ascend does not run the scheme {scheme}",
        _LINE,
        "see the variants that run on this chip: `selfhost recipe show {model}`",
    ),
    "diagnose_ascend.mla_heads": Text(
        "`{name}` failed while {phase}: with graphs, MLA needs 32, 64 or 128 heads on each NPU",
        _LINE,
        "lower `--tensor-parallel-size` and raise `--data-parallel-size` (DeepSeek V3 and R1: at most 4), or "
        "`--enforce-eager`",
    ),
    "diagnose_ascend.float16": Text(
        "`{name}` failed while {phase}: 310P chips compute in float16 only, by paths of their own",
        _LINE,
        "add `--dtype float16` and `--additional-config "
        '\'{{"ascend_compilation_config":{{"enable_npugraph_ex":false}}}}\'`, and use the image `-310p`',
    ),
    "diagnose_ascend.eplb": Text(
        "`{name}` failed while {phase}: balancing of experts (EPLB) needs expert parallelism",
        _LINE,
        "add `--enable-expert-parallel`, or leave EPLB out",
    ),
    "diagnose_ascend.data_parallel": Text(
        "`{name}` failed while {phase}: the flags of data parallelism contradict each other",
        _LINE,
        "give `--data-parallel-size` above 1 with an outside balancer, and `--data-parallel-start-rank` on each node",
    ),
    "diagnose_ascend.streams": Text(
        "`{name}` failed while {phase}: the graphs need more streams than the NPU has",
        _LINE,
        'add `--compilation-config \'{{"cudagraph_mode":"FULL_DECODE_ONLY"}}\'`, capture fewer sizes, or '
        "`--enforce-eager`\na driver of 25.5.1 or newer has more of them",
    ),
    "diagnose_ascend.memory": Text(
        "`{name}` failed while {phase}: an NPU ran out of memory outside the budget",
        _LINE,
        "graphs come on top of the budget on Ascend: lower `--gpu-memory-utilization` (0.8 to 0.9) and "
        "`--max-num-batched-tokens`",
    ),
    "diagnose_ascend.buffer": Text(
        "`{name}` failed while {phase}: HCCL's buffer is too small for this mixture of experts",
        "needed {needed} MB, set {found} MB\n" + _LINE,
        "raise it: `export HCCL_BUFFSIZE=1024` (MB); two such buffers for each group of ranks come off the memory",
    ),
    "diagnose_ascend.bad_buffer": Text(
        "`{name}` failed while {phase}: `HCCL_BUFFSIZE` is not a size",
        _LINE,
        "give megabytes above 0, or let it be 200: `unset HCCL_BUFFSIZE`",
    ),
    "diagnose_ascend.tls": Text(
        "`{name}` failed while {phase}: TLS is switched on for some NPUs and off for others",
        _LINE,
        "compare on all nodes, and make them equal: `hccn_tool -i 0 -tls -g`",
    ),
    "diagnose_ascend.interface": Text(
        "`{name}` failed while {phase}: the network interface that HCCL was told does not exist here",
        _LINE,
        "set `HCCL_SOCKET_IFNAME`, `GLOO_SOCKET_IFNAME` and `TP_SOCKET_IFNAME` to what `ip -br address` shows on "
        "this node",
    ),
    "diagnose_ascend.hccl_port": Text(
        "`{name}` failed while {phase}: a port of HCCL is taken (address {address}, port {port})",
        _LINE,
        "another job uses these NPUs, or left processes behind: `npu-smi info` lists them\n"
        "or move the ports: `HCCL_HOST_SOCKET_PORT_RANGE`, `HCCL_NPU_SOCKET_PORT_RANGE`",
    ),
    "diagnose_ascend.rank_table": Text(
        "`{name}` failed while {phase}: the rank table is of another kind than these NPUs need",
        _LINE,
        "vLLM needs none: `unset RANK_TABLE_FILE`; on 950 it is version 2.0, /etc/hccl_rootinfo.json",
    ),
    "diagnose_ascend.connect_timeout": Text(
        "`{name}` failed while {phase}: NPUs could not connect to each other in time",
        _LINE,
        "see which rank failed first; then each node: `hccn_tool -i 0 -link -g`, `-net_health -g`, `-tls -g`\n"
        "when one only loads slowly: `export HCCL_CONNECT_TIMEOUT=1200`; " + _PLOG,
    ),
    "diagnose_ascend.notify_timeout": Text(
        "`{name}` failed while {phase}: a rank waited in vain for another one",
        _LINE,
        "the other rank hangs or has ended: its own log has the cause; `export HCCL_EXEC_TIMEOUT=3600` when it is slow",
    ),
    "diagnose_ascend.link": Text(
        "`{name}` failed while {phase}: the link between two NPUs could not be set up",
        _LINE,
        "look at ranks that report nothing; then `hccn_tool -i 0 -link -g` on both nodes; " + _PLOG,
    ),
    "diagnose_ascend.hccl_init": Text(
        "`{name}` failed while {phase}: HCCL could not set up a group of ranks (error {number})",
        _LINE,
        "the lines after it, or " + _PLOG,
    ),
    "diagnose_ascend.device_error": Text(
        "`{name}` failed while {phase}: the NPU's driver reports error 507{number}",
        _LINE,
        "driver, CANN and torch_npu must be of one set: `selfhost doctor`; then `npu-smi info` and the health there; "
        + _PLOG,
    ),
    "diagnose_ascend.mooncake": Text(
        "`{name}` failed while {phase}: Mooncake, which moves the KV cache, could not start",
        _LINE,
        "check its JSON file, put Mooncake and /usr/local/lib on `LD_LIBRARY_PATH`, and make `global_segment_size` "
        "smaller",
    ),
    "diagnose_ascend.image": Text(
        "`{name}` failed while {phase}: this Docker is too old for the image",
        _LINE,
        "pull it on another machine and bring it: `docker save`, `docker load`",
    ),
    "diagnose_ascend.not_permitted": Text(
        "`{name}` failed while {phase}: this host does not let the container have what it asks for",
        _LINE,
        "with `--shm-size`: leave it out and take the host's shared memory, `--ipc=host`; `--privileged` helps too, "
        "but gives the container all of the host",
    ),
    "diagnose_ascend.dispatch": Text(
        "`{name}` failed while {phase}: experts on different NPUs could not exchange tokens",
        _LINE,
        "the lines around it say why: `HCCL_BUFFSIZE is too SMALL`, or a link that timed out",
    ),
    "diagnose_ascend.no_mc2": Text(
        "`{name}` failed while {phase}: the fused exchange of experts (MC2) has no group of ranks",
        _LINE,
        "add `--enable-expert-parallel`, or switch `enable_fused_mc2` off",
    ),
    "diagnose_ascend.no_triton": Text(
        "`{name}` failed while {phase}: sampling runs without Triton, slower",
        _LINE,
        "install triton-ascend in the version of this set; on 310P there is none",
    ),
    "diagnose_ascend.halved": Text(
        "`{name}` failed while {phase}: on 310P half of the memory for the KV cache is set aside",
        _LINE,
        "plan with that: `selfhost plan {model} --on 310P3`",
    ),
    "diagnose_ascend.unbound": Text(
        "`{name}` failed while {phase}: processes are not bound to CPUs near their NPU",
        _LINE,
        "`npu-smi info -m` and `npu-smi info -t topo` must work in the container",
    ),
}
