"""Messages about what a model is: its config, its formats, its tensors, the layouts it allows."""

from __future__ import annotations

from selfhost.messages import Text

_COMPARE = "把 `config.json` 与模型仓库中的比较"
_OTHER = "使用该模型的其他变体：`selfhost recipe ls`"
_LISTED = "`selfhost recipe ls` 列出可用的模型；更新的 selfhost 可能支持更多"

MESSAGES: dict[str, Text] = {
    "arch.bad_config": Text(
        "无法理解这个 `{architecture}` 的配置",
        "{problems}",
        _COMPARE + "；下载可能不完整，或文件被修改过",
    ),
    "arch.no_architecture": Text(
        "配置没有指明架构",
        "应为：`architectures`：含一个类名的列表；实为：{found}",
        _COMPARE,
    ),
    "arch.unsupported": Text(
        "不支持架构 `{architecture}`",
        "已知的最接近的：{nearest}",
        _LISTED,
    ),
    "arch.unsupported_files": Text(
        "不支持架构 `{architecture}`",
        "已知的最接近的：{nearest}；其文件含有 {total} 权重",
        _LISTED,
    ),
    "arch.key_missing": Text("缺少 `{key}`"),
    "arch.bad_value": Text("`{key}` 为 {found}；应为 {expected}"),
    "arch.bad_quantization": Text(
        "无法理解该模型的量化",
        "{detail}",
        "把 `config.json` 中的 `quantization_config` 与模型仓库中的比较",
    ),
    "arch.quantization_unknown": Text("未知的量化方法 `{method}`", "已知的最接近的：{nearest}", _OTHER),
    "arch.quantization_unsized": Text(
        "这里无法计算量化方法 `{method}` 的大小",
        "引擎支持它；selfhost 没有它占用内存的数据",
        _OTHER,
    ),
    "arch.compressed_unknown": Text(
        "该模型有一种未知的格式：{detail}",
        "在 compressed-tensors 的格式中，引擎和 selfhost 都没有这一种",
        _OTHER,
    ),
    "arch.mixed_windows": Text(
        "配置给 {count} 层中的 {layers} 层设置了滑动窗口",
        "对这类模型，引擎只支持所有层都有窗口或都没有",
        "把 `config.json` 中的 `use_sliding_window` 设为 false：长于窗口的文本会占用更多内存",
    ),
    "arch.shards_differ": Text(
        "检查点量化了 `{module}` 中的一部分矩阵，其余没有",
        "引擎把它们合并为一个，只能有一种格式",
        "使用该模型的其他变体，或把 `quantization_config` 与模型仓库中的比较",
    ),
    "arch.format_cpu_bits": Text("CPU 引擎的算子只支持 4 位的整数倍，不支持 {bits} 位"),
    "arch.format_cpu": Text("{format} 权重需要 FP8 算子，CPU 引擎只在有 AMX 时具备"),
    "arch.format_ascend": Text("{format} 权重不能在 {device} 上运行：它支持 bf16，以及为其制作的 W8A8 或 W4A8"),
    "arch.format_ascend_small": Text("{format} 权重不能在 {device} 上运行：它支持 16 位浮点，以及为其制作的 W8A8"),
    "arch.format_310p": Text("{types} 类型的权重不能在 {device} 上运行：它支持 W8A8 和 16 位浮点"),
    "arch.format_ascend_experts": Text("{format} 权重不能在 {device} 上运行：vllm-ascend 的 4 位算子只用于专家"),
    "arch.format_ascend_v4": Text(
        "{format} 权重不能在 {device} 上运行：vllm-ascend 0.23 只对 DeepSeek-V4 支持这种 FP8"
    ),
    "arch.format_only_ascend": Text("msModelSlim 制作的权重只能在昇腾上运行，不能在 {device} 上运行"),
    "arch.format_capability": Text("{format} 权重不能在 {device} 上运行：计算能力 {found}，需要：{wanted}"),
    "arch.format_int8": Text("{format} 权重不能在 {device} 上运行：计算能力 {found}，INT8 算子只到 10.0 以下"),
    "arch.format_only": Text("{format} 权重不能在 {device} 上运行：计算能力 {found}，其算子只用于 {only}"),
    "arch.format_order": Text("{method} 的输入组采用其他顺序（`desc_act`、`actorder`）：引擎不再支持"),
    "arch.format_asymmetric": Text("{method} 带零点（`sym` 为 false）：引擎不支持"),
    "arch.format_bits": Text("{bits} 位的 {method}：引擎支持 {known}"),
    "arch.layout_refined": Text("`{part}`：每 rank {width} 需要更细的 FP8 块，专家只在计算能力 8.9 及以上才有"),
    "arch.experts_w4a8": Text("4 位整数专家配 8 位激活值：引擎只在 CPU 上支持"),
    "arch.experts_channels": Text("每个输出一个缩放因子的整数专家，在计算能力 9 上没有算子"),
    "arch.experts_w4a8_width": Text("每 rank 宽 {width}、隐藏维度 {hidden} 的专家：W4A8 的算子要求为 256 的倍数"),
    "arch.experts_nvfp4_width": Text("每 rank 宽 {width} 的专家：NVFP4 的算子在这里要求为 64 的倍数"),
    "arch.layout_bitsandbytes": Text("由 bitsandbytes 预先量化的权重不能分到 {tp} 个 rank：只能分阶段"),
    "arch.layout_heads": Text("{heads} 个注意力头不能按张量并行大小 {tp} 划分"),
    "arch.layout_kv_heads": Text("{heads} 个 KV 头与张量并行大小 {tp}：其中一个必须整除另一个"),
    "arch.layout_linear_heads": Text("线性注意力的 {heads} 个 key 头不能按张量并行大小 {tp} 划分"),
    "arch.layout_vision_heads": Text(
        "视觉塔的 {heads} 个头不能按张量并行大小 {tp} 划分；`--mm-encoder-tp-mode data` 在每个 rank 上保留完整的视觉塔"
    ),
    "arch.layout_deepstack": Text("分为 {pp} 个流水线阶段时，第一阶段的层数少于视觉塔所接入的 {levels} 层"),
    "arch.layout_draft_stages": Text(
        "该模型的多 token 预测层不能在 {pp} 个流水线阶段下运行：引擎要求其输入来自前一阶段"
    ),
    "arch.layout_tied_stages": Text(
        "分为 {pp} 个流水线阶段时引擎不能启动该模型：它的输出头就是嵌入，而它的类在每个阶段都要查找嵌入"
    ),
    "arch.layout_groups": Text("{groups} 组输出头不能按张量并行大小 {tp} 划分"),
    "arch.layout_vocab": Text("填充到 {rows} 行的词表不能按张量并行大小 {tp} 划分"),
    "arch.layout_width": Text("{part} {width} 不能分到 {ranks} 个 rank"),
    "arch.layout_block": Text("{part}：每 rank {width} 不是量化块 {block} 的倍数"),
    "arch.layout_group": Text("{part}：每 rank {width} 个输入不是整数个大小为 {group} 的量化组"),
    "arch.layout_experts": Text("张量并行大小 {tp} 大于专家数 {experts}"),
    "arch.layout_expert_parallel": Text("专家并行需要混合专家模型；该模型没有专家"),
    "arch.layout_dcp_divides": Text("解码上下文并行大小 {dcp} 不能整除张量并行大小 {tp}"),
    "arch.layout_dcp_windows": Text("解码上下文并行不能与窗口和压缩注意力一起使用"),
    "arch.layout_dcp_heads": Text(
        "张量并行大小 {tp} 时的解码上下文并行大小 {dcp}：{heads} 个 KV 头各有 {queries} 个 query，"
        "拥有相同头的 rank 最多 {tp} // {heads} 个，并且必须整除 query 数"
    ),
    "arch.layout_stages": Text("{layers} 层不能分到 {pp} 个流水线阶段"),
    "arch.header": Text(
        "`{file}` 不是完整的 safetensors 文件",
        "{detail}",
        "重新下载该文件；它在磁盘上的大小是 {size} 字节",
    ),
    "arch.index_files": Text(
        "索引列出的文件不存在",
        "缺少：{files}",
        "下载缺少的文件，或重新下载整个模型",
    ),
    "arch.index_tensors": Text(
        "索引与文件不一致",
        "{detail}",
        "重新下载模型：索引与文件属于不同的版本",
    ),
    "arch.files_layers_missing": Text(
        "配置有 {config} 层，文件中有 {found} 层",
        "缺少：{missing}",
        "下载缺少的文件；或者配置属于另一个模型",
    ),
    "arch.files_layers_more": Text(
        "配置有 {config} 层，文件中有 {found} 层",
        "引擎会加载前 {config} 层",
        "把 `config.json` 中的 `num_hidden_layers` 与模型仓库中的比较",
    ),
    "arch.files_experts": Text(
        "配置每层有 {config} 个专家，文件中有 {found} 个",
        "引擎会找不到专家，或遗漏一些",
        "把 `config.json` 中的专家数与模型仓库中的比较",
    ),
    "arch.files_shape": Text(
        "`{name}` 在文件中为 {found}，按配置应为 {wanted}",
        "引擎无法加载形状不同的张量",
        _COMPARE,
    ),
    "arch.files_shapes_more": Text("另有 {count} 个张量的形状与配置不符"),
    "arch.files_no_head": Text(
        "文件中没有 `lm_head`，配置也没有让它与嵌入共用",
        "`tie_word_embeddings` 为 false 或不存在",
        "按模型仓库设置 `tie_word_embeddings`；或者缺少文件",
    ),
    "arch.files_quantized": Text(
        "文件中是量化权重，配置没有 `quantization_config`",
        "{count} 个张量，其中有 `{name}`",
        "从量化模型的仓库重新下载 `config.json`",
    ),
    "arch.files_not_quantized": Text(
        "配置是以 `{method}` 量化的权重，文件中没有",
        "所有张量都是模型自身 dtype 的完整数值",
        "从同一仓库下载配置和文件",
    ),
    "arch.files_dtype": Text(
        "文件中是 {found}，配置为 {config}：引擎加载时会转换",
        "`{name}`",
    ),
    "arch.files_total": Text(
        "文件中有 {found} 张量，按配置应为 {config}",
        "有配置没有说明的内容，或缺少内容",
        _COMPARE,
    ),
}
