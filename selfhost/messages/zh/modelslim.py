"""Messages about weights that msModelSlim made."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "modelslim.absent": Text(
        "{count} 个张量有描述，但不在文件中",
        "{names}",
        "运行未完成，或有文件未复制：重新复制，或重新运行 msModelSlim",
    ),
    "modelslim.undescribed": Text(
        "{count} 个张量在文件中，但没有描述",
        "{names}",
        "描述属于另一次运行：请用随这些文件生成的 `quant_model_description.json`",
    ),
    "modelslim.unknown_type": Text(
        "{count} 个张量的类型为 `{kind}`，vllm-ascend 没有相应代码",
        "{names}；已知：{known}",
        "换一个 `--quant_type` 重新量化：w8a8、w4a8",
    ),
    "modelslim.no_scale": Text(
        "文件中缺少量化矩阵所需的 {count} 个张量",
        "{names}",
        "重新运行 msModelSlim：缺少它们时引擎会在加载中停止",
    ),
    "modelslim.dtype": Text(
        "{count} 个矩阵的存储与其类型不符",
        "{names}",
        "描述和文件来自不同的运行：两者应取自同一次",
    ),
    "modelslim.differ": Text(
        "引擎要合并的 {count} 个矩阵类型不同",
        "{names}",
        "统一类型：在 msModelSlim 所用的 YAML 中全部排除或都不排除",
    ),
    "modelslim.other_method": Text(
        "config.json 仍标明权重为 {method}",
        "msModelSlim 复制了来源的该段；引擎会把 int8 当作 {method} 读取",
        "从 config.json 中删除 `quantization_config`",
    ),
    "modelslim.architectures": Text(
        "config.json 中的 `architectures` 不是列表",
        "实际为：{found}",
        '按来源的写法：`"architectures": ["DeepseekV3ForCausalLM"]`',
    ),
    "modelslim.no_description": Text(
        "`{path}` 中没有 `quant_model_description.json`",
        "msModelSlim 把它写在权重旁；引擎据此识别权重",
        "请指定其 `--save_path` 目录",
    ),
    "modelslim.sound": Text("{path}：完整，{modules} 个矩阵：{counts}"),
}
