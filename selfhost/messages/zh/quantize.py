"""Messages about making variants."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "quantize.unknown_scheme": Text(
        "此处不能生成方案 `{name}`",
        "已知：{names}",
        "是否指 `--scheme {nearest}`？`selfhost quantize MODEL --advise --on HW` 说明哪个适合某设备",
    ),
    "quantize.no_scheme": Text(
        "未指定方案",
        "已知：{names}",
        "加 `--scheme fp8`，或询问哪个合适：`selfhost quantize {model} --advise --on HW`",
    ),
    "quantize.makes_no_files": Text("`{mode}` 不生成文件，而 `{option}` 针对生成的文件", hint="去掉其中之一"),
    "quantize.bad_limit": Text(
        "`--max-kl {limit}` 不是有效的上限",
        "应为不小于 0 的数，单位 nat/token",
        "指定可接受的损失：`--max-kl 0.05`",
    ),
    "quantize.no_limit_for": Text(
        "`--max-kl` 无法用于 `{scheme}`：该方案不测量损失",
        "16 位可表示 FP8 的所有数值",
        "去掉 `--max-kl`",
    ),
    "quantize.on_without_advise": Text(
        "`--on` 为建议假定硬件；变体由本机硬件生成",
        hint="加 `--advise`，或去掉 `--on`",
    ),
    "quantize.not_stored": Text(
        "存储库中没有 `{name}` 的文件",
        "变体由这些文件生成",
        "`{command}`",
    ),
    "quantize.quantized_already": Text(
        "`{name}` 已经量化",
        "由 {method} 量化为 {format}；再次量化会损失两次",
        "从 16 位权重生成：`{command}`",
    ),
    "quantize.quantized_for_good": Text(
        "`{name}` 已经量化",
        "由 {method} 量化为 {format}；损失的精度无法恢复",
        "使用 16 位的变体，或可由 `--scheme bf16` 转为 16 位的 FP8；`selfhost recipe ls` 列出各变体",
    ),
    "quantize.plain_already": Text(
        "`{name}` 未量化：`bf16` 由 FP8 生成",
        hint="直接部署，或指定其他方案：`--scheme fp8`",
    ),
    "quantize.fp8_wanted": Text(
        "`{name}` 不能转为 16 位：只有 FP8 可以",
        "它由 {method} 量化为 {format}",
        "使用模型自己的文件：`selfhost recipe ls` 列出其变体",
    ),
    "quantize.name_of_directory": Text(
        "`{path}` 不属于任何配方：没有可命名为 `{name}` 的变体",
        hint="去掉 `--variant-name`，并为结果指定目录：`--output DIR`",
    ),
    "quantize.bad_name": Text(
        "`{name}` 不能作为变体名",
        "应符合：{pattern}",
        "小写字母、数字、`.`、`_` 和 `-`：`--variant-name fp8-mine`",
    ),
    "quantize.name_taken": Text(
        "配方 `{recipe}` 已有变体 `{name}`，且不是在此生成的",
        "变体：{names}",
        "换个名称：`--variant-name {name}-local`",
    ),
    "quantize.not_in_flight": Text(
        "`--in-flight` 只能与 `--scheme nf4` 同用：`{scheme}` 需事先生成",
        hint="去掉 `--in-flight`",
    ),
    "quantize.in_flight_summary": Text("{source} 的文件，加载时由 vllm-bnb-plugin 转为 NF4"),
    "quantize.registered": Text("`{path}` 已登记 `{name}`（{variant}）；它没有自己的文件"),
    "quantize.output_not_empty": Text("`{path}` 已存在且不为空", hint="请指定尚不存在的目录：`--output DIR`"),
    "quantize.output_no_directory": Text("`{path}` 已存在且不是目录", hint="请指定尚不存在的目录：`--output DIR`"),
    "quantize.output_in_source": Text(
        "`{path}` 位于其来源之中",
        "`{source}` 中会有两个模型",
        "请指定旁边的目录：`--output {source}-{scheme}`",
    ),
    "quantize.output_mounted": Text(
        "`{path}` 是文件系统的挂载点：结果无法取代它",
        hint="请指定其中的目录：`--output {path}/{name}`",
    ),
    "quantize.name_or_directory": Text(
        "`--output` 生成普通目录：没有配方以 `{name}` 登记它",
        hint="去掉 `--variant-name` 或 `--output`",
    ),
    "quantize.no_parent": Text("无法创建 `{path}`：没有目录 `{parent}`", hint="创建：`mkdir -p {parent}`"),
    "quantize.output_needed": Text(
        "`{path}` 不属于任何配方：必须指明结果的位置",
        hint="加 `--output DIR`；之后可用 `selfhost serve DIR` 部署",
    ),
    "quantize.recipe_elsewhere": Text(
        "不能向配方 `{path}` 添加变体",
        "变体只能添加到内置配方和 `{folder}` 中的配方",
        "复制到那里：`cp {path} {folder}/{name}.toml`；或生成普通目录：`--output DIR`",
    ),
    "quantize.recipe_broken": Text(
        "加入新变体后配方 `{path}` 将无效；文件已在存储库中",
        "{detail}",
        "更正该文件，或移走后重新运行同一命令",
    ),
    "quantize.exists": Text(
        "`{name}` 已有变体 `{variant}`，但生成方式不同",
        "`{path}` 的来源或参数不同",
        "删除它：`selfhost rm {name} --variant {variant}`；或换个名称：`--variant-name NAME`",
    ),
    "quantize.not_measured": Text(
        "`{name}`（{variant}）的损失未知：它是用 `--no-loss` 生成的",
        "`--max-kl` 无法用于它",
        "去掉 `--max-kl`，或重新生成：`selfhost rm {name} --variant {variant}`，再运行同一命令",
    ),
    "quantize.runs": Text(
        "另一进程正在生成该变体",
        "其工作目录为 `{path}`",
        "等待它，或停止它后重新运行同一命令",
    ),
    # Shapes and text
    "quantize.no_groups": Text(
        "方案 `{scheme}` 不分组：`--group-size {size}` 对它没有意义",
        hint="去掉 `--group-size`，或改用 `--scheme w4a16-gptq`",
    ),
    "quantize.group_size": Text(
        "引擎没有适用于 `--group-size {size}` 的算子",
        "已知：{sizes}",
        "不指定则取能整除每一层的最大值",
    ),
    "quantize.undivided": Text(
        "组大小 {size} 不能整除 `{name}` 的各层",
        "{layers}",
        "`--group-size {fits}` 可整除所有层；不加该选项时即用它",
    ),
    "quantize.no_group_size": Text(
        "没有能整除 `{name}` 各层的组大小",
        "已试 {sizes}；{size} 不能整除：{layers}",
        "改用每个输出一个缩放因子的方案：`--scheme w8a8`、`--scheme fp8`、`--scheme w8a16`",
    ),
    "quantize.needs_no_text": Text(
        "方案 `{scheme}` 不需要校准文本",
        "给出的是：`{path}`",
        "去掉 `--calibration`",
    ),
    "quantize.bad_calibration": Text(
        "`{path}` 不是校准文本",
        "{detail}",
        "请指定以空行分隔段落的 .txt 文件，或每行含 `text` 的 .jsonl 文件；\n"
        "不加 `--calibration` 时使用 selfhost 自带的中英文文本",
    ),
    "quantize.no_blocks": Text(
        "128 x 128 的块不适合 `{name}` 的各层",
        "{layers}",
        "改为每个输出一个缩放因子：`--scheme fp8`",
    ),
    # Environment
    "quantize.no_python": Text(
        "`{python}` 不是可运行的 Python",
        hint="请指定装有 llm-compressor 的环境的 Python；或安装：`selfhost engine install quantize`",
    ),
    "quantize.no_device": Text(
        "设备 `{device}` 不存在",
        "环境中的 torch 找不到设备",
        "去掉 `--device`：有 GPU 时自动使用；输出见：`{log}`",
    ),
    # Space
    "quantize.disk_too_small": Text(
        "空间不足，无法生成",
        "`{path}`：需要 {needed}，空闲 {free}；结果占 {output}，其中 {have} 已存在",
        "腾出空间（`selfhost gc`），或把 SELFHOST_HOME 或 `--output` 指向更大的磁盘",
    ),
    "quantize.no_memory": Text(
        "内存不足，无法使用 `{scheme}`",
        "需要 {needed}（{terms}），可用 {available}",
        "停止占用内存的程序，减少样本（`--samples 128`），改用不需要文本的方案（`--scheme fp8`），或不做比对："
        "`--no-loss`",
    ),
    "quantize.term_shards": Text("最大文件的两倍"),
    "quantize.term_base": Text("Python 和 torch"),
    "quantize.term_model": Text("模型"),
    "quantize.term_activations": Text("单层的激活值"),
    "quantize.term_layer": Text("单层及其缩放因子"),
    "quantize.term_comparing": Text("每次与来源比对的部分"),
    "quantize.term_moving": Text("读写"),
    "quantize.term_copying": Text("其 16 位副本"),
    "quantize.term_passes": Text("文本的前向计算"),
    # The run
    "quantize.announced": Text("{name}：{scheme}，{size} -> {output}，内存最多 {memory}，存入 `{path}`"),
    "quantize.resuming": Text(
        "{name}：{scheme}，{size} -> {output}，内存最多 {memory}，存入 `{path}`；接着上次已完成的 {have} 继续",
    ),
    "quantize.anew": Text(
        "{name}：{scheme}，{size} -> {output}，内存最多 {memory}，存入 `{path}`；从头开始，"
        "因为校准被中断后不保留任何结果"
    ),
    "quantize.finished_before": Text("{name}：{scheme}，{size} -> {output}，存入 `{path}`；其文件在上次运行时已生成"),
    "quantize.dry_run": Text("将由 {source} 生成 `{name}`（{variant}）：{scheme}，{size} -> {output}"),
    "quantize.dry_run_needs": Text("磁盘：来源之外 {disk}；内存：{memory}（{terms}）"),
    "quantize.dry_run_argv": Text("执行：{python} {script}"),
    "quantize.progress": Text("{what}：{done}/{total}（{percent} %）{rate}{file}"),
    "quantize.progress_left": Text("，{rate}/s，剩余 {left}"),
    "quantize.steps_left": Text("，剩余 {left}"),
    "quantize.comparing": Text("正在与来源比对"),
    "quantize.made": Text("已生成 `{name}`，用时 {duration}：{path}"),
    "quantize.there_already": Text("`{name}` 已存在，来源和参数相同：{path}"),
    "quantize.use_it": Text("部署：`selfhost serve {name} --variant {variant}`"),
    "quantize.variant_summary": Text("{scheme}，用 `selfhost quantize` 由 {source} 生成"),
    "quantize.variant_note": Text("生成方式：见其文件旁的 {name}"),
    # What a script says
    "quantize.already": Text(
        "来源已经量化",
        "由 {method} 量化；再次量化会损失两次",
        "使用 16 位权重；FP8 可由 `--scheme bf16` 转换",
    ),
    "quantize.bad_job": Text(
        "脚本无法理解其任务",
        "{detail}",
        "它是否属于另一版本的 selfhost？输出见：`{log}`",
    ),
    "quantize.unsupported": Text(
        "该模型不能这样量化",
        "{detail}",
        "其他方案也许可行：`selfhost quantize MODEL --advise --on HW`；输出见：`{log}`",
    ),
    "quantize.bad_shape": Text(
        "有一层的形状不符合方案要求",
        "{detail}",
        "换一个 `--group-size`，或换一个方案",
    ),
    "quantize.shape": Text(
        "有一层的形状不符合 `{scheme}` 的要求",
        "{tensor}：{rows} x {columns}，不是 {multiple} 的倍数",
        "改用每个输出一个缩放因子的方案：`--scheme fp8`、`--scheme w8a8`",
    ),
    "quantize.experts": Text(
        "该模型的专家以未知的方式存储",
        "{tensor}：{shape}",
        "使用配方中现成的变体：`selfhost recipe show MODEL`",
    ),
    "quantize.dtype": Text(
        "有权重的类型不能量化",
        "{tensor}：{dtype}",
        "使用模型自己的 16 位文件",
    ),
    "quantize.merged_differ": Text(
        "所排除的部分拆开了引擎会合并的矩阵",
        "`{plain}` 保持不变，`{quantized}` 则要量化",
        "两者都排除，或都不排除",
    ),
    "quantize.nothing": Text(
        "其中没有可量化的内容",
        "`{path}`",
        "它是语言模型吗？`selfhost plan {path}` 显示识别结果",
    ),
    "quantize.unlike_config": Text(
        "`{path}` 的权重与其 config.json 所述不符",
        "{detail}",
        "获取同一模型的文件：`selfhost pull MODEL`，或与原来的来源比对",
    ),
    "quantize.not_fp8": Text(
        "其中没有可转为 16 位的 FP8",
        "`{path}`",
        "直接部署",
    ),
    "quantize.no_weights": Text(
        "其中没有权重",
        "`{path}`",
        "获取：`selfhost pull MODEL`；检查：`selfhost verify MODEL`",
    ),
    "quantize.unreadable": Text(
        "无法读取 `{path}`",
        "{detail}",
        "设为可读：`chmod a+r {path}`",
    ),
    "quantize.unwritable": Text(
        "无法写入 `{path}`，或无法读取其来源",
        "{detail}",
        "查看所有者和所在的文件系统：`ls -ld {path}`、`df {path}`；输出见：`{log}`",
    ),
    "quantize.broken_file": Text(
        "`{path}` 已损坏",
        "{detail}",
        "检查并修复来源：`selfhost verify MODEL --repair`",
    ),
    "quantize.no_scale": Text(
        "有 FP8 权重缺少缩放因子",
        "{tensor}；需要：{wanted}",
        "来源缺少文件：`selfhost verify MODEL`",
    ),
    "quantize.scale_shape": Text(
        "FP8 权重与其缩放因子不匹配",
        "{tensor}：{shape}，缩放因子 {scale}",
        "检查来源：`selfhost verify MODEL`",
    ),
    "quantize.not_finite": Text(
        "来源中有权重不是有限数",
        "{tensor}，位于 `{path}`",
        "检查来源：`selfhost verify MODEL`；若完整无误，应告知其制作者",
    ),
    "quantize.too_large": Text(
        "有权重对 `int8` 过大",
        "{tensor} 含 {value:g}；bitsandbytes 使用 float16，上限为 {most:g}",
        "改用没有此限制的方案：`--scheme w8a16`、`--scheme nf4`",
    ),
    "quantize.check_failed": Text(
        "写入的内容与读回的不一致",
        "`{path}`：{detail}",
        "磁盘可能有故障：见 `dmesg`；同一命令会重新生成该文件",
    ),
    "quantize.bad_result": Text(
        "结果与要求不符，不予使用",
        "`{path}`：{detail}",
        "重新运行同一命令；若再次发生，该目录旁的日志记录了过程",
    ),
    "quantize.no_space": Text(
        "磁盘已满",
        "`{path}`：{detail}",
        "腾出空间（`selfhost gc`）再运行同一命令；除校准外，已完成的部分会保留",
    ),
    "quantize.out_of_memory": Text(
        "内存不足",
        "{detail}",
        "减少样本（`--samples 128`），GPU 过小时用 `--device cpu`，或改用不需要文本的方案",
    ),
    "quantize.no_package": Text(
        "环境中缺少软件包：{package}",
        "{detail}",
        "重建环境：`selfhost engine remove quantize`、`selfhost engine install quantize`",
    ),
    "quantize.failed": Text(
        "量化脚本中止",
        "{detail}",
        "其输出：`{log}`",
    ),
    "quantize.killed": Text(
        "量化脚本被杀死，内存耗尽时内核会这样做",
        "信号 9；最后输出：{detail}",
        "减少样本（`--samples 128`），或改用不需要文本的方案；其输出：`{log}`",
    ),
    "quantize.died": Text(
        "量化脚本未作说明即退出：{how}",
        "{detail}",
        "其输出：`{log}`；重新运行同一命令：除校准外，已完成的部分会保留",
    ),
    "quantize.too_much_lost": Text(
        "变体损失过大",
        "平均 KL 散度 {kl:.4f}，上限为 {limit:g}；其文件：`{path}`",
        "改用位宽更大的方案（`--scheme w8a8`），或放宽上限：换一个 `--max-kl` 不会重新生成",
    ),
}
