"""What lines of an engine's log mean, and what to do. Every message gets `name`, `model`, `phase` and `line`."""

from selfhost.messages import Text

_LOG = "\nfull log: `selfhost logs {name}`"

MESSAGES = {
    "diagnose.kv_too_small": Text(
        "`{name}` failed while {phase}: the KV cache cannot hold one request of {max_model_len} tokens",
        "needed {needed} GiB, left after weights and buffers {available} GiB\nengine: {line}",
        "try `selfhost serve {model} --max-model-len {longest}`, or free memory on the device",
    ),
    "diagnose.no_kv_memory": Text(
        "`{name}` failed while {phase}: no memory is left for the KV cache",
        "engine: {line}",
        "see where the memory goes: `selfhost plan {model}`\n"
        "then use more devices (`--tensor-parallel-size`), a smaller variant, or a higher `--gpu-memory-utilization`",
    ),
    "diagnose.memory_in_use": Text(
        "`{name}` failed while {phase}: other programs hold memory of the device",
        "free {free} GiB of {total} GiB, asked for {wanted} GiB ({fraction} of all)\nengine: {line}",
        "see who: `selfhost ps`, and your driver's tool; stop them, or lower `--gpu-memory-utilization`",
    ),
    "diagnose.cpu_memory_in_use": Text(
        "`{name}` failed while {phase}: other programs hold memory of this machine",
        "available {free} GiB of {total} GiB, asked for {wanted} GiB ({fraction} of all)\nengine: {line}",
        "stop other programs, or lower `--gpu-memory-utilization`, which is the share of main memory on a CPU",
    ),
    "diagnose.cpu_kv_too_large": Text(
        "`{name}` failed while {phase}: not enough main memory for the KV cache",
        "available {free} GiB of {total} GiB, asked for {wanted} GiB\nengine: {line}",
        "stop other programs, or ask for less: `--max-model-len`, `--max-num-seqs`, `--gpu-memory-utilization`",
    ),
    "diagnose.memory_moved": Text(
        "`{name}` failed while {phase}: another program freed or took device memory during the start",
        "engine: {line}",
        "start again when nothing else starts or stops on this device: `selfhost serve {model}`",
    ),
    "diagnose.out_of_memory": Text(
        "`{name}` failed while {phase}: out of memory",
        "engine: {line}",
        "see where the memory goes: `selfhost plan {model}`\n"
        "then use more devices (`--tensor-parallel-size`), a smaller variant, or lower `--max-num-batched-tokens` "
        "and `--max-num-seqs`",
    ),
    "diagnose.heads": Text(
        "`{name}` failed while {phase}: {heads} attention heads cannot be spread over {tensor_parallel_size} devices",
        "engine: {line}",
        "choose a `--tensor-parallel-size` that divides {heads}",
    ),
    "diagnose.shards": Text(
        "`{name}` failed while {phase}: the quantized weights cannot be cut into that many shards",
        "engine: {line}",
        "lower `--tensor-parallel-size`; for mixture-of-experts models `--enable-expert-parallel` keeps experts whole",
    ),
    "diagnose.max_model_len": Text(
        "`{name}` failed while {phase}: the model takes at most {longest} tokens, asked for {wanted}",
        "engine: {line}",
        "try `selfhost serve {model} --max-model-len {longest}`",
    ),
    "diagnose.architecture": Text(
        "`{name}` failed while {phase}: this engine does not know the model's architecture",
        "engine: {line}",
        "use an engine version that supports it; see `selfhost engine ls`",
    ),
    "diagnose.cpu_no_fp8": Text(
        "`{name}` failed while {phase}: FP8 weights need a CPU with AMX tiles",
        "engine: {line}",
        "take a bf16, AWQ, GPTQ or W8A8-INT8 variant: `selfhost recipe show {model}`",
    ),
    "diagnose.cpu_no_sparse": Text(
        "`{name}` failed while {phase}: sparse attention does not run on a CPU",
        "engine: {line}",
        "plan it for a GPU: `selfhost plan {model} --on 8xH200`",
    ),
    "diagnose.quantization": Text(
        "`{name}` failed while {phase}: this engine or device cannot run the model's quantization",
        "engine: {line}",
        "see the variants: `selfhost recipe show {model}`",
    ),
    "diagnose.remote_code": Text(
        "`{name}` failed while {phase}: the model wants to run code from its repository",
        "engine: {line}",
        "see what would run, and accept it once with `--accept-remote-code`: `selfhost plan {model}`",
    ),
    "diagnose.weights_missing": Text(
        "`{name}` failed while {phase}: files of the model are missing",
        "engine: {line}",
        "compare the directory with the model's file list, and fetch what is missing",
    ),
    "diagnose.weights_corrupt": Text(
        "`{name}` failed while {phase}: a file of the model is damaged or cut off",
        "engine: {line}",
        "fetch the files again, and compare their sizes and sha256 with the source" + _LOG,
    ),
    "diagnose.tokenizer": Text(
        "`{name}` failed while {phase}: the tokenizer's files are missing or unreadable",
        "engine: {line}",
        "fetch `tokenizer.json` and `tokenizer_config.json` of the model",
    ),
    "diagnose.port": Text(
        "`{name}` failed while {phase}: a port was taken meanwhile",
        "engine: {line}",
        "start again with another port: `selfhost serve {model} --port 0` chooses a free one",
    ),
    "diagnose.numa": Text(
        "`{name}` failed while {phase}: {workers} workers do not fit on this machine's NUMA nodes",
        "engine: {line}",
        "lower `--tensor-parallel-size` and `--pipeline-parallel-size`",
    ),
    "diagnose.library": Text(
        "`{name}` failed while {phase}: the system library `{library}` is missing",
        "engine: {line}",
        "install the package of your distribution that has `{library}`, then check: `selfhost engine check`",
    ),
    "diagnose.symbol": Text(
        "`{name}` failed while {phase}: libraries of different releases are mixed (`{symbol}`)",
        "engine: {line}",
        "make the engine's environment anew: `selfhost engine remove` and `selfhost engine install`; outside of "
        "selfhost, install torch and vllm anew as one set",
    ),
    "diagnose.no_user": Text(
        "`{name}` failed while {phase}: the user it runs as ({uid}) has no entry in /etc/passwd",
        "engine: {line}",
        "run as a user that has one; in a container, mount an /etc/passwd with a line for {uid}",
    ),
    "diagnose.few_devices": Text(
        "`{name}` failed while {phase}: {wanted} devices are needed on this node, {found} are visible",
        "engine: {line}",
        "see what there is: `selfhost detect`; a container or `CUDA_VISIBLE_DEVICES` may hide some",
    ),
    "diagnose.module": Text(
        "`{name}` failed while {phase}: the engine's environment is incomplete",
        "engine: {line}",
        "check it with `selfhost engine check`; `selfhost engine remove` and `selfhost engine install` make it anew",
    ),
    "diagnose.device": Text(
        "`{name}` failed while {phase}: the engine finds no device it can use",
        "engine: {line}",
        "see what there is and what is wrong with it: `selfhost detect`, `selfhost doctor`",
    ),
    "diagnose.collective": Text(
        "`{name}` failed while {phase}: the devices cannot talk to each other",
        "engine: {line}",
        "look for the first warning before it: `selfhost logs {name}`; then shared memory, links, peer access: "
        "`selfhost doctor`",
    ),
    "diagnose.open_files": Text(
        "`{name}` failed while {phase}: too many open files",
        "engine: {line}",
        "raise the limit and start again: `ulimit -n 65536`",
    ),
    "diagnose.permission": Text(
        "`{name}` failed while {phase}: the engine may not read or write something",
        "engine: {line}",
        "make it accessible for the user that runs selfhost; files some tools write are mode 0600",
    ),
    "diagnose.space": Text(
        "`{name}` failed while {phase}: no space is left",
        "engine: {line}",
        "see which file system is full, /dev/shm too: `df -h`",
    ),
    "diagnose.flag": Text(
        "`{name}` failed while {phase}: the engine refuses a flag",
        "engine: {line}",
        "check what follows `--` on your command line, and the recipe's settings",
    ),
    "diagnose.oom_killer": Text(
        "`{name}` failed while {phase}: the kernel ended it because main memory ran out",
        "the out-of-memory killer struck during this time; last of the log: {line}",
        "free main memory, or see what the model needs: `selfhost plan {model}`",
    ),
    "diagnose.unknown": Text(
        "`{name}` failed while {phase}",
        "engine: {line}",
        "read what came before it: `selfhost logs {name}`",
    ),
    "diagnose.signal": Text(
        "`{name}` failed while {phase}: its main process was ended by signal {signal}",
        "selfhost did not send it; last of the log: {line}",
        "if nobody did, look into the kernel's log; start again with `selfhost serve {model}`",
    ),
    "diagnose.worker_died": Text(
        "`{name}` failed while {phase}: one of its worker processes ended without a word",
        "engine: {line}",
        "if nobody ended it, look into the kernel's log and `selfhost logs {name}`\n"
        "start again with `selfhost serve {model}`",
    ),
    "diagnose.exited": Text(
        "`{name}` failed while {phase}: its main process ended by itself with status {status}",
        "last of the log: {line}",
        "read the log: `selfhost logs {name}`",
    ),
    "diagnose.cuda_libraries": Text(
        "`{name}` failed while {phase}: the loaded NVIDIA kernel driver and its library have different versions",
        "engine: {line}",
        "reboot after a driver update; in a container, let the NVIDIA container toolkit mount the library "
        "(error 803)\n"
        "see both versions: `selfhost doctor`",
    ),
    "diagnose.cuda_compat": Text(
        "`{name}` failed while {phase}: CUDA's compatibility library does not run on this GPU",
        "engine: {line}",
        "take the folder `cuda/compat` out of `LD_LIBRARY_PATH`, or update the driver: that library is for "
        "data centre GPUs (error 804)",
    ),
    "diagnose.cuda_fabric": Text(
        "`{name}` failed while {phase}: the GPUs are not connected yet: the fabric manager does not run",
        "engine: {line}",
        "start it on the host, in the driver's own version: `sudo systemctl enable --now nvidia-fabricmanager`",
    ),
    "diagnose.cuda_driver_old": Text(
        "`{name}` failed while {phase}: the NVIDIA driver is older than this engine's CUDA",
        "engine: {line}",
        "update the driver, then check: `selfhost engine check`",
    ),
    "diagnose.gpu_broken": Text(
        "`{name}` failed while {phase}: a GPU reports a fault of its hardware",
        "engine: {line}",
        "see the counters and the kernel's messages: `selfhost doctor`; reset or reboot, and have it "
        "replaced when it comes back",
    ),
    "diagnose.gpu_crashed": Text(
        "`{name}` failed while {phase}: a kernel on the GPU crashed",
        "engine: {line}",
        "start again with `selfhost serve {model} --enforce-eager`; when it goes on, look for Xid messages: "
        "`selfhost doctor`",
    ),
    "diagnose.peer_access": Text(
        "`{name}` failed while {phase}: two GPUs cannot reach each other's memory",
        "engine: {line}",
        "start with `NCCL_P2P_DISABLE=1`, and see which ones: `selfhost doctor`",
    ),
    "diagnose.shared_memory": Text(
        "`{name}` failed while {phase}: /dev/shm is too small",
        "engine: {line}",
        "give the container more: `--shm-size=16g`, or `--ipc=host`",
    ),
    "diagnose.speculative": Text(
        "`{name}` failed while {phase}: the settings of speculative decoding are not understood",
        "engine: {line}",
        "check what follows `--speculative-config`: method and number of tokens",
    ),
    "diagnose.stuck": Text(
        "`{name}` failed while {phase}: a process has not answered for a minute",
        "engine: {line}",
        "normal while graphs are captured or weights are converted; when it goes on, one rank hangs: compare "
        "their last lines, try `--enforce-eager`, and a larger /dev/shm",
    ),
    "diagnose.few_files": Text(
        "`{name}` failed while {phase}: at most {found} files may be open",
        "engine: {line}",
        "raise the limit and start again: `ulimit -n 65536`",
    ),
    "diagnose.no_platform": Text(
        "`{name}` failed while {phase}: the engine found no device it knows",
        "engine: {line}",
        "an error of a plugin stands above it in the log; see what there is: `selfhost detect`",
    ),
}
