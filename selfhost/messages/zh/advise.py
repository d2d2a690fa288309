"""Messages of `selfhost quantize --advise`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # What is out
    "advise.plain_already": Text("模型已经是 16 位"),
    "advise.quantized_already": Text("模型发布时已量化，且不是 FP8：已损失的无法恢复"),
    "advise.fp8_already": Text("模型发布时已是 FP8"),
    "advise.ascend_own_tool": Text("昇腾上的权重由 msModelSlim 制作，见下"),
    "advise.modelslim_unknown": Text("msModelSlim 没有公布 {name} 的 {kind} 说明"),
    # What should be known
    "advise.note_fp8": Text("不需要文本；FP8 计算，激活值的缩放因子在服务时得出"),
    "advise.note_fp8_weights": Text("不需要文本；该 GPU 没有 FP8 计算：权重会被展宽（Marlin）"),
    "advise.note_w8a8": Text("INT8 计算；需要校准文本"),
    "advise.note_w8a8_beside_fp8": Text("INT8 计算；在这里 FP8 同样快，损失更小，且不需要文本"),
    "advise.note_w8a16": Text("不需要文本；8 位权重，16 位计算"),
    "advise.note_w4a16": Text("4 位权重，16 位计算；需要校准文本，并应查看其损失"),
    "advise.note_bnb": Text("不需要文本，只需一分钟；服务时比其他都慢：用于快速放下模型"),
    "advise.note_bf16": Text("用于没有 FP8 的设备，以及需要从 16 位开始的情况"),
    "advise.note_modelslim": Text("在 {memory} GiB 及以上的 NPU 上、CANN 的环境中运行（CANN 9.1，torch_npu{pinned}）"),
    "advise.note_modelslim_bf16": Text("；需要 16 位：先 `selfhost quantize MODEL --scheme bf16`"),
    # The answer
    "advise.serve_own": Text("{hardware} 上的 {model}：直接使用 {name}，不需要制作任何东西"),
    "advise.take_ready": Text("{hardware} 上的 {model}：使用现成的变体 {name}"),
    "advise.make": Text("{hardware} 上的 {model}：制作 {name}"),
    "advise.make_modelslim": Text("{hardware} 上的 {model}：用 msModelSlim 制作 {name}"),
    "advise.shorter": Text("{hardware} 上的 {model}：没有能容纳全部上下文的；{name} 能容纳其中 {length} token"),
    "advise.own_shorter": Text("损失更小的 {name} 能容纳 {whole} token 中的 {length}"),
    "advise.nothing": Text("{hardware} 上的 {model}：都放不下"),
    "advise.larger": Text("最少需要：{hardware}，使用 {name}"),
    "advise.no_larger": Text("用 32 个也不行"),
    "advise.kind_ready": Text("现成 {name}"),
    "advise.kind_make": Text("制作 {name}"),
    "advise.kind_modelslim": Text("modelslim {name}"),
    "advise.head_way": Text("方式"),
    "advise.head_verdict": Text("结论"),
    "advise.head_weights": Text("权重/RANK"),
    "advise.head_kv": Text("留给 KV"),
    "advise.head_context": Text("上下文"),
    "advise.head_layout": Text("布局"),
    "advise.head_time": Text("时间"),
    "advise.head_memory": Text("RAM"),
    "advise.head_disk": Text("磁盘"),
    "advise.arithmetic": Text("计算（推导而非实测；磁盘 {disk} GB/s，{flops} TFLOPS 的 {share} %）："),
    "advise.arithmetic_plain": Text("计算（推导而非实测；磁盘 {disk} GB/s）："),
    "advise.term_fit": Text(
        "{name}：每 rank {budget} = 权重 {weights} + 激活值 {activations} + 其他 {other} + KV 缓存 {kv}；"
        "一个 {length} token 的请求占用 {request}"
    ),
    "advise.term_time": Text("时间 {time} = {terms}"),
    "advise.term_memory": Text("RAM {memory} = {terms}"),
    "advise.term_disk": Text("磁盘 {disk} = 结果 {output}{first}"),
    "advise.term_disk_first": Text(" + 其 16 位副本 {first}，不保留"),
    "advise.why": Text("其他方式不合适的原因："),
    "advise.why_line": Text("{name}：{why}"),
    "advise.note_line": Text("{name}：{note}"),
    "advise.how": Text("做法："),
}
