"""Messages about what an engine would fetch while it runs."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "closure.verifier": Text(
        "{name} 是另一个模型的草稿模型，而离线包中没有那个模型：{repository}",
        "引擎会从仓库站点下载它",
        "把两者都放入离线包：`selfhost bundle create --model {repository} ...`",
    ),
    "closure.vocabulary": Text(
        "{name} 缺少其分词器要读取的词表：{files}",
        "引擎会到仓库站点上查找",
        "获取完整的模型：`selfhost pull MODEL --update`",
    ),
    "closure.harmony": Text(
        "{name} 需要一个不在其文件中的词表：{file}",
        "引擎的 openai_harmony 在第一次对话时下载它，除非 `TIKTOKEN_ENCODINGS_BASE` 指明了其目录",
        "把 `{file}` 放入一个目录，一同带去，并在那里设置：`export TIKTOKEN_ENCODINGS_BASE=/path/to/folder`",
    ),
    "closure.cubin": Text(
        "wheel 包中没有 FlashInfer 的编译好的算子：flashinfer-cubin {version}",
        "没有它时，算子在首次使用时下载或编译；两者都不行时，引擎会关闭 FlashInfer，改用较慢的算子",
        "把它的 wheel 包放到 `{folder}` 中其他 wheel 包旁边，然后重新制作离线包；在引擎可以联网的地方，"
        "`vllm download-kernels --dry-run` 会打印获取它的命令",
    ),
    "closure.cubin_version": Text(
        "FlashInfer 的编译好的算子属于另一个版本",
        "需要：{version}\n现有：{found}",
        "两者使用同一版本：`flashinfer-cubin=={version}`",
    ),
}
