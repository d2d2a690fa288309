"""What lines of an engine's log mean on Ascend. Every message gets `name`, `model`, `phase` and `line`."""

from __future__ import annotations

from selfhost.messages import Text

_FAILED = "`{name}` 在{phase}时失败"
_LINE = "引擎：{line}"
_PLOG = "最先失败的 rank 在 `~/ascend/log/*/plog` 中有更多信息"

MESSAGES: dict[str, Text] = {
    "diagnose_ascend.library": Text(
        _FAILED + "：找不到昇腾驱动或 CANN 的 `{library}`",
        _LINE,
        "source 两者：`/usr/local/Ascend/ascend-toolkit/set_env.sh` 和 `/usr/local/Ascend/nnal/atb/set_env.sh`\n"
        "在容器中，挂载 /usr/local/Ascend/driver/lib64 并映射 /dev/davinci_manager；然后 `npu-smi info`",
    ),
    "diagnose_ascend.held": Text(
        _FAILED + "：NPU 被另一个进程或容器占用，或无权打开",
        _LINE,
        "NPU 归最先打开它的容器：结束那个容器，或使用其他 NPU\n"
        "以 uid 1000 或在其组中运行，以 root 运行时保留 CAP_DAC_OVERRIDE；A3 卡的两个 die 要一起使用",
    ),
    "diagnose_ascend.no_devices": Text(
        _FAILED + "：本节点需要 {wanted} 个 NPU，可见 {found} 个",
        _LINE,
        "把 /dev/davinci0 及后续设备映射到容器中；`ASCEND_RT_VISIBLE_DEVICES` 在容器中从 0 计数",
    ),
    "diagnose_ascend.family": Text(
        _FAILED + "：vllm-ascend 是为 {built} 芯片构建的，而这里是 {found}",
        _LINE,
        "软件包索引上的 wheel 包只用于 A2：使用该系列的镜像（`-a3`、`-310p`、`-950dt`），或用 `SOC_VERSION` 构建",
    ),
    "diagnose_ascend.first_generation": Text(
        _FAILED + "：CANN 没有适用于该芯片的算子",
        _LINE,
        "不支持第一代芯片（910、910A、910Pro、不带数字的 `910B`）和 310B：`selfhost detect`\n"
        "若芯片受支持，则缺少 CANN 的算子软件包（`ops`）",
    ),
    "diagnose_ascend.pair": Text(
        _FAILED + "：vllm 与其插件 vllm-ascend 不匹配（{module}）",
        _LINE,
        "每个 vllm-ascend 需要特定版本的 vllm：两者都重新安装，或使用官方镜像\n"
        "当前目录中名为 `vllm` 的目录会遮住该软件包",
    ),
    "diagnose_ascend.triton": Text(
        _FAILED + "：缺少 triton-ascend，或被 triton 覆盖",
        _LINE,
        "依次执行：`pip uninstall -y triton-ascend triton`，然后从华为的索引重新安装 triton-ascend",
    ),
    "diagnose_ascend.invalid_version": Text(
        _FAILED + "：vllm 的版本号无法比较",
        _LINE,
        "指明它所基于的版本：`export VLLM_VERSION=0.23.0`",
    ),
    "diagnose_ascend.symbol": Text(
        _FAILED + "：混用了不同版本的库（`{symbol}`）",
        _LINE,
        "torch、torch_npu、CANN 和引擎是固定搭配的：用 `selfhost doctor` 查看现有的，并重新安装一整套",
    ),
    "diagnose_ascend.not_quantized": Text(
        _FAILED + "：权重不是由 msModelSlim 制作的",
        _LINE,
        "去掉 `--quantization ascend`，或下载与权重配套的 `quant_model_description.json`",
    ),
    "diagnose_ascend.no_flag": Text(
        _FAILED + "：该 vllm 不认识 `--quantization ascend`",
        _LINE,
        "插件没有加载：查找 `Failed to load plugin ascend`，并安装更新的 vllm-ascend",
    ),
    "diagnose_ascend.not_compressed": Text(
        _FAILED + "：权重不是 compressed-tensors 格式",
        _LINE,
        "去掉 `--quantization compressed-tensors`",
    ),
    "diagnose_ascend.scheme": Text(
        _FAILED + "：vllm-ascend 不能运行方案 {scheme}",
        _LINE,
        "查看能在该芯片上运行的变体：`selfhost recipe show {model}`",
    ),
    "diagnose_ascend.mla_heads": Text(
        _FAILED + "：使用图时，MLA 要求每个 NPU 上有 32、64 或 128 个头",
        _LINE,
        "降低 `--tensor-parallel-size` 并提高 `--data-parallel-size`（DeepSeek V3 和 R1：不超过 4），或用 "
        "`--enforce-eager`",
    ),
    "diagnose_ascend.float16": Text(
        _FAILED + "：310P 芯片只以 float16 计算，并走专门的路径",
        _LINE,
        "加上 `--dtype float16` 和 `--additional-config "
        '\'{{"ascend_compilation_config":{{"enable_npugraph_ex":false}}}}\'`，并使用镜像 `-310p`',
    ),
    "diagnose_ascend.eplb": Text(
        _FAILED + "：专家负载均衡（EPLB）需要专家并行",
        _LINE,
        "加上 `--enable-expert-parallel`，或不使用 EPLB",
    ),
    "diagnose_ascend.data_parallel": Text(
        _FAILED + "：数据并行的选项相互矛盾",
        _LINE,
        "使用外部负载均衡时给出大于 1 的 `--data-parallel-size`，并在每个节点上给出 `--data-parallel-start-rank`",
    ),
    "diagnose_ascend.streams": Text(
        _FAILED + "：图需要的流比 NPU 拥有的多",
        _LINE,
        '加上 `--compilation-config \'{{"cudagraph_mode":"FULL_DECODE_ONLY"}}\'`，减少捕获的大小，或用 '
        "`--enforce-eager`\n驱动 25.5.1 或更新版本有更多的流",
    ),
    "diagnose_ascend.memory": Text(
        _FAILED + "：一个 NPU 在预算之外的显存耗尽",
        _LINE,
        "在昇腾上图占用的显存在预算之外：降低 `--gpu-memory-utilization`（0.8 到 0.9）和 `--max-num-batched-tokens`",
    ),
    "diagnose_ascend.buffer": Text(
        _FAILED + "：HCCL 的缓冲区对这个混合专家模型太小",
        "需要 {needed} MB，已设 {found} MB\n" + _LINE,
        "调大：`export HCCL_BUFFSIZE=1024`（MB）；每组 rank 有两个这样的缓冲区，占用显存",
    ),
    "diagnose_ascend.bad_buffer": Text(
        _FAILED + "：`HCCL_BUFFSIZE` 不是有效的大小",
        _LINE,
        "给出大于 0 的兆字节数，或使用默认的 200：`unset HCCL_BUFFSIZE`",
    ),
    "diagnose_ascend.tls": Text(
        _FAILED + "：有些 NPU 开启了 TLS，有些关闭",
        _LINE,
        "在所有节点上比较，并设为一致：`hccn_tool -i 0 -tls -g`",
    ),
    "diagnose_ascend.interface": Text(
        _FAILED + "：为 HCCL 指定的网络接口在这里不存在",
        _LINE,
        "把 `HCCL_SOCKET_IFNAME`、`GLOO_SOCKET_IFNAME` 和 `TP_SOCKET_IFNAME` 设为本节点上 `ip -br address` 显示的接口",
    ),
    "diagnose_ascend.hccl_port": Text(
        _FAILED + "：HCCL 的一个端口被占用（地址 {address}，端口 {port}）",
        _LINE,
        "另一个任务在使用这些 NPU，或留下了进程：`npu-smi info` 会列出它们\n"
        "或更换端口：`HCCL_HOST_SOCKET_PORT_RANGE`、`HCCL_NPU_SOCKET_PORT_RANGE`",
    ),
    "diagnose_ascend.rank_table": Text(
        _FAILED + "：rank table 的类型与这些 NPU 需要的不同",
        _LINE,
        "vLLM 不需要它：`unset RANK_TABLE_FILE`；在 950 上它是 2.0 版，/etc/hccl_rootinfo.json",
    ),
    "diagnose_ascend.connect_timeout": Text(
        _FAILED + "：NPU 之间没有及时建立连接",
        _LINE,
        "查看最先失败的 rank；然后在每个节点上：`hccn_tool -i 0 -link -g`、`-net_health -g`、`-tls -g`\n"
        "若只是某个节点加载慢：`export HCCL_CONNECT_TIMEOUT=1200`；" + _PLOG,
    ),
    "diagnose_ascend.notify_timeout": Text(
        _FAILED + "：一个 rank 没有等到另一个 rank",
        _LINE,
        "另一个 rank 卡住或已结束：原因在它自己的日志中；若只是慢：`export HCCL_EXEC_TIMEOUT=3600`",
    ),
    "diagnose_ascend.link": Text(
        _FAILED + "：两个 NPU 之间的链路无法建立",
        _LINE,
        "查看没有报告的 rank；然后在两个节点上：`hccn_tool -i 0 -link -g`；" + _PLOG,
    ),
    "diagnose_ascend.hccl_init": Text(
        _FAILED + "：HCCL 无法建立 rank 组（错误 {number}）",
        _LINE,
        "查看其后的日志行，或" + _PLOG,
    ),
    "diagnose_ascend.device_error": Text(
        _FAILED + "：NPU 驱动报告错误 507{number}",
        _LINE,
        "驱动、CANN 和 torch_npu 必须是同一套：`selfhost doctor`；然后 `npu-smi info`，查看其中的健康状态；" + _PLOG,
    ),
    "diagnose_ascend.mooncake": Text(
        _FAILED + "：负责传输 KV 缓存的 Mooncake 无法启动",
        _LINE,
        "检查它的 JSON 文件，把 Mooncake 和 /usr/local/lib 加入 `LD_LIBRARY_PATH`，并减小 `global_segment_size`",
    ),
    "diagnose_ascend.image": Text(
        _FAILED + "：这里的 Docker 对该镜像来说太旧",
        _LINE,
        "在另一台机器上拉取后带过来：`docker save`、`docker load`",
    ),
    "diagnose_ascend.not_permitted": Text(
        _FAILED + "：主机不允许容器得到它所要求的",
        _LINE,
        "使用了 `--shm-size` 时：去掉它，改用主机的共享内存 `--ipc=host`；`--privileged` 也可以，"
        "但会把整个主机交给容器",
    ),
    "diagnose_ascend.dispatch": Text(
        _FAILED + "：不同 NPU 上的专家无法交换 token",
        _LINE,
        "前后的日志行说明了原因：`HCCL_BUFFSIZE is too SMALL`，或链路超时",
    ),
    "diagnose_ascend.no_mc2": Text(
        _FAILED + "：专家的融合交换（MC2）没有 rank 组",
        _LINE,
        "加上 `--enable-expert-parallel`，或关闭 `enable_fused_mc2`",
    ),
    "diagnose_ascend.no_triton": Text(
        _FAILED + "：采样没有使用 Triton，较慢",
        _LINE,
        "安装与这一套版本相符的 triton-ascend；310P 上没有",
    ),
    "diagnose_ascend.halved": Text(
        _FAILED + "：在 310P 上 KV 缓存显存的一半被预留",
        _LINE,
        "按此规划：`selfhost plan {model} --on 310P3`",
    ),
    "diagnose_ascend.unbound": Text(
        _FAILED + "：进程没有绑定到靠近其 NPU 的 CPU",
        _LINE,
        "`npu-smi info -m` 和 `npu-smi info -t topo` 必须能在容器中运行",
    ),
}
