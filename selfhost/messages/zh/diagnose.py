"""What lines of an engine's log mean, and what to do. Every message gets `name`, `model`, `phase` and `line`."""

from __future__ import annotations

from selfhost.messages import Text

_FAILED = "`{name}` 在{phase}时失败"
_LINE = "引擎：{line}"
_LOG = "\n完整日志：`selfhost logs {name}`"

MESSAGES: dict[str, Text] = {
    "diagnose.kv_too_small": Text(
        _FAILED + "：KV 缓存放不下一个 {max_model_len} token 的请求",
        "需要 {needed} GiB，除去权重和缓冲区后剩余 {available} GiB\n" + _LINE,
        "尝试 `selfhost serve {model} --max-model-len {longest}`，或释放设备上的显存",
    ),
    "diagnose.no_kv_memory": Text(
        _FAILED + "：没有剩余内存给 KV 缓存",
        _LINE,
        "查看内存的去向：`selfhost plan {model}`\n"
        "然后使用更多设备（`--tensor-parallel-size`）、更小的变体，或更高的 `--gpu-memory-utilization`",
    ),
    "diagnose.memory_in_use": Text(
        _FAILED + "：其他程序占用了设备的显存",
        "{total} GiB 中剩余 {free} GiB，要求 {wanted} GiB（总量的 {fraction}）\n" + _LINE,
        "查看占用者：`selfhost ps` 和驱动自带的工具；停止它们，或降低 `--gpu-memory-utilization`",
    ),
    "diagnose.cpu_memory_in_use": Text(
        _FAILED + "：其他程序占用了本机的内存",
        "{total} GiB 中可用 {free} GiB，要求 {wanted} GiB（总量的 {fraction}）\n" + _LINE,
        "停止其他程序，或降低 `--gpu-memory-utilization`，在 CPU 上它是内存的占比",
    ),
    "diagnose.cpu_kv_too_large": Text(
        _FAILED + "：内存不足以容纳 KV 缓存",
        "{total} GiB 中可用 {free} GiB，要求 {wanted} GiB\n" + _LINE,
        "停止其他程序，或减少要求：`--max-model-len`、`--max-num-seqs`、`--gpu-memory-utilization`",
    ),
    "diagnose.memory_moved": Text(
        _FAILED + "：启动过程中另一个程序释放或占用了设备显存",
        _LINE,
        "等该设备上没有其他程序启动或停止时再启动：`selfhost serve {model}`",
    ),
    "diagnose.out_of_memory": Text(
        _FAILED + "：内存耗尽",
        _LINE,
        "查看内存的去向：`selfhost plan {model}`\n"
        "然后使用更多设备（`--tensor-parallel-size`）、更小的变体，或降低 `--max-num-batched-tokens` "
        "和 `--max-num-seqs`",
    ),
    "diagnose.heads": Text(
        _FAILED + "：{heads} 个注意力头无法分到 {tensor_parallel_size} 个设备上",
        _LINE,
        "选择能整除 {heads} 的 `--tensor-parallel-size`",
    ),
    "diagnose.shards": Text(
        _FAILED + "：量化权重无法切成这么多分片",
        _LINE,
        "降低 `--tensor-parallel-size`；对混合专家模型，`--enable-expert-parallel` 使专家保持完整",
    ),
    "diagnose.max_model_len": Text(
        _FAILED + "：模型最多支持 {longest} token，要求 {wanted}",
        _LINE,
        "尝试 `selfhost serve {model} --max-model-len {longest}`",
    ),
    "diagnose.architecture": Text(
        _FAILED + "：该引擎不认识模型的架构",
        _LINE,
        "使用支持它的引擎版本；参见 `selfhost engine ls`",
    ),
    "diagnose.cpu_no_fp8": Text(
        _FAILED + "：FP8 权重需要带 AMX 的 CPU",
        _LINE,
        "使用 bf16、AWQ、GPTQ 或 W8A8-INT8 变体：`selfhost recipe show {model}`",
    ),
    "diagnose.cpu_no_sparse": Text(
        _FAILED + "：稀疏注意力不能在 CPU 上运行",
        _LINE,
        "为 GPU 做规划：`selfhost plan {model} --on 8xH200`",
    ),
    "diagnose.quantization": Text(
        _FAILED + "：该引擎或设备不能运行模型的量化方式",
        _LINE,
        "查看变体：`selfhost recipe show {model}`",
    ),
    "diagnose.remote_code": Text(
        _FAILED + "：模型要运行其仓库中的代码",
        _LINE,
        "查看会运行什么，并用 `--accept-remote-code` 接受一次：`selfhost plan {model}`",
    ),
    "diagnose.weights_missing": Text(
        _FAILED + "：缺少模型的文件",
        _LINE,
        "把目录与模型的文件清单对照，下载缺少的文件",
    ),
    "diagnose.weights_corrupt": Text(
        _FAILED + "：模型的一个文件已损坏或被截断",
        _LINE,
        "重新下载文件，并与来源比较大小和 sha256" + _LOG,
    ),
    "diagnose.tokenizer": Text(
        _FAILED + "：分词器的文件缺失或无法读取",
        _LINE,
        "下载模型的 `tokenizer.json` 和 `tokenizer_config.json`",
    ),
    "diagnose.port": Text(
        _FAILED + "：一个端口在此期间被占用",
        _LINE,
        "换一个端口再启动：`selfhost serve {model} --port 0` 会选择空闲端口",
    ),
    "diagnose.numa": Text(
        _FAILED + "：{workers} 个工作进程放不进本机的 NUMA 节点",
        _LINE,
        "降低 `--tensor-parallel-size` 和 `--pipeline-parallel-size`",
    ),
    "diagnose.library": Text(
        _FAILED + "：缺少系统库 `{library}`",
        _LINE,
        "安装发行版中含有 `{library}` 的软件包，然后检查：`selfhost engine check`",
    ),
    "diagnose.symbol": Text(
        _FAILED + "：混用了不同版本的库（`{symbol}`）",
        _LINE,
        "重建引擎的环境：`selfhost engine remove` 和 `selfhost engine install`；不在 selfhost 中时，"
        "把 torch 和 vllm 作为一套重新安装",
    ),
    "diagnose.no_user": Text(
        _FAILED + "：运行它的用户（{uid}）在 /etc/passwd 中没有条目",
        _LINE,
        "以有条目的用户运行；在容器中，挂载一个含有 {uid} 一行的 /etc/passwd",
    ),
    "diagnose.few_devices": Text(
        _FAILED + "：本节点需要 {wanted} 个设备，可见 {found} 个",
        _LINE,
        "查看有哪些设备：`selfhost detect`；容器或 `CUDA_VISIBLE_DEVICES` 可能隐藏了一些",
    ),
    "diagnose.module": Text(
        _FAILED + "：引擎的环境不完整",
        _LINE,
        "用 `selfhost engine check` 检查；`selfhost engine remove` 和 `selfhost engine install` 可以重建",
    ),
    "diagnose.device": Text(
        _FAILED + "：引擎找不到可用的设备",
        _LINE,
        "查看有哪些设备、有什么问题：`selfhost detect`、`selfhost doctor`",
    ),
    "diagnose.collective": Text(
        _FAILED + "：设备之间无法通信",
        _LINE,
        "查找在它之前的第一条警告：`selfhost logs {name}`；然后检查共享内存、链路、设备互访：`selfhost doctor`",
    ),
    "diagnose.open_files": Text(
        _FAILED + "：打开的文件过多",
        _LINE,
        "提高限制后再启动：`ulimit -n 65536`",
    ),
    "diagnose.permission": Text(
        _FAILED + "：引擎无权读写某个文件",
        _LINE,
        "让运行 selfhost 的用户可以访问；有些工具写出的文件权限是 0600",
    ),
    "diagnose.space": Text(
        _FAILED + "：没有剩余空间",
        _LINE,
        "查看哪个文件系统已满，包括 /dev/shm：`df -h`",
    ),
    "diagnose.flag": Text(
        _FAILED + "：引擎拒绝了一个选项",
        _LINE,
        "检查命令行中 `--` 之后的内容和配方的设置",
    ),
    "diagnose.oom_killer": Text(
        _FAILED + "：因内存耗尽被内核结束",
        "内存耗尽处理程序（OOM killer）在此期间动作过；日志末行：{line}",
        "释放内存，或查看模型的需求：`selfhost plan {model}`",
    ),
    "diagnose.unknown": Text(
        _FAILED,
        _LINE,
        "查看此前的日志：`selfhost logs {name}`",
    ),
    "diagnose.signal": Text(
        _FAILED + "：主进程被信号 {signal} 结束",
        "该信号不是 selfhost 发出的；日志末行：{line}",
        "如果没有人发出，请查看内核日志；再次启动：`selfhost serve {model}`",
    ),
    "diagnose.worker_died": Text(
        _FAILED + "：一个工作进程无声地结束了",
        _LINE,
        "如果没有人结束它，请查看内核日志和 `selfhost logs {name}`\n再次启动：`selfhost serve {model}`",
    ),
    "diagnose.exited": Text(
        _FAILED + "：主进程自行结束，状态 {status}",
        "日志末行：{line}",
        "查看日志：`selfhost logs {name}`",
    ),
    "diagnose.cuda_libraries": Text(
        _FAILED + "：已加载的 NVIDIA 内核驱动与其库的版本不同",
        _LINE,
        "驱动更新后请重启；在容器中，让 NVIDIA container toolkit 挂载该库（错误 803）\n查看两个版本：`selfhost doctor`",
    ),
    "diagnose.cuda_compat": Text(
        _FAILED + "：CUDA 的兼容库不能在这种 GPU 上运行",
        _LINE,
        "从 `LD_LIBRARY_PATH` 中去掉目录 `cuda/compat`，或更新驱动：该库只用于数据中心 GPU（错误 804）",
    ),
    "diagnose.cuda_fabric": Text(
        _FAILED + "：GPU 尚未连通：fabric manager 没有运行",
        _LINE,
        "在主机上启动它，使用与驱动相同的版本：`sudo systemctl enable --now nvidia-fabricmanager`",
    ),
    "diagnose.cuda_driver_old": Text(
        _FAILED + "：NVIDIA 驱动比该引擎的 CUDA 旧",
        _LINE,
        "更新驱动，然后检查：`selfhost engine check`",
    ),
    "diagnose.gpu_broken": Text(
        _FAILED + "：有 GPU 报告硬件故障",
        _LINE,
        "查看计数器和内核消息：`selfhost doctor`；复位或重启，若再次出现，请更换",
    ),
    "diagnose.gpu_crashed": Text(
        _FAILED + "：GPU 上的一个算子崩溃",
        _LINE,
        "再次启动：`selfhost serve {model} --enforce-eager`；若仍然出现，查找 Xid 消息：`selfhost doctor`",
    ),
    "diagnose.peer_access": Text(
        _FAILED + "：两个 GPU 无法访问彼此的显存",
        _LINE,
        "设置 `NCCL_P2P_DISABLE=1` 后启动，并查看是哪两个：`selfhost doctor`",
    ),
    "diagnose.shared_memory": Text(
        _FAILED + "：/dev/shm 太小",
        _LINE,
        "给容器更多：`--shm-size=16g` 或 `--ipc=host`",
    ),
    "diagnose.speculative": Text(
        _FAILED + "：推测解码的设置无法理解",
        _LINE,
        "检查 `--speculative-config` 之后的内容：方法和 token 数",
    ),
    "diagnose.stuck": Text(
        _FAILED + "：有进程一分钟没有响应",
        _LINE,
        "捕获图或转换权重时属于正常；若一直如此，则有 rank 卡住：比较各 rank 的末行，"
        "尝试 `--enforce-eager` 和更大的 /dev/shm",
    ),
    "diagnose.few_files": Text(
        _FAILED + "：最多只能打开 {found} 个文件",
        _LINE,
        "提高限制后再启动：`ulimit -n 65536`",
    ),
    "diagnose.no_platform": Text(
        _FAILED + "：引擎没有找到它认识的设备",
        _LINE,
        "日志中此前有插件的错误；查看有哪些设备：`selfhost detect`",
    ),
}
