"""What docs/troubleshooting.md says between the messages, in each language."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """The fixed words of a page."""

    head: str
    sections: dict[str, str]
    error: str
    warning: str
    note: str
    depends: str
    """Between severities, where it depends on the machine."""
    doctor_code: str
    start_code: str
    no_code: str
    colon: str
    """After the words below."""
    why: str
    fix: str
    see: str
    lines: str


WORDS = {
    "en": Words(
        head="""# Troubleshooting

[中文](troubleshooting.zh-CN.md)

What `selfhost doctor` finds on a machine and `selfhost doctor --log FILE` in an engine's log: why, and what to do. Look
for the words that you see, or for the id that `--json` prints. Words in capitals stand for values.

- Of a machine, `selfhost doctor` has exit code 3 when there is an error, 0 with warnings and notes only.
- Of a log, it has exit code 3 when the log has a failure. A start (`serve`, `smoke`, `replace`) that ends by that
  failure has the exit code that is given here.
- The first failure in a log is the cause; what comes later mostly follows from it.
- Nothing helps: `selfhost doctor --report FILE` writes what others need to help, without keys, names and addresses.

This page is made by `make docs` from the rules and the messages; a test compares them.
""",
        sections={
            "host": "The machine",
            "nvidia": "NVIDIA GPUs",
            "ascend": "Ascend NPUs",
            "detected": "Drivers that do not answer, devices that are hidden",
            "network": "The NPUs' own network",
            "logs": "Logs: vLLM, CUDA, Python",
            "logs_ascend": "Logs: vllm-ascend, CANN, HCCL",
            "clues": "Logs: symptoms, never the cause of an end",
            "ends": "Ends of which the log says nothing that is known",
        },
        error="error",
        warning="warning",
        note="note",
        depends=" or ",
        doctor_code="exit code {code}",
        start_code="exit code of the start {code}",
        no_code="ends nothing by itself",
        colon=": ",
        why="why",
        fix="what to do",
        see="more",
        lines="in the log",
    ),
    "zh": Words(
        head="""# 故障排查

[English](troubleshooting.md)

`selfhost doctor` 在机器上、`selfhost doctor --log FILE` 在引擎日志里能发现什么：原因是什么，该怎么办。
请按看到的文字查找，或按 `--json` 打印的 id 查找。大写的词代表具体的值。

- 检查机器时，有错误则 `selfhost doctor` 的退出码是 3，只有警告和提示则是 0。
- 检查日志时，日志里有故障则退出码是 3。因该故障而结束的启动（`serve`、`smoke`、`replace`）以这里给出的退出码结束。
- 日志里的第一个故障是原因；后面的多半由它引起。
- 都无济于事时：`selfhost doctor --report FILE` 写出别人帮忙时需要的内容，不含密钥、名称和地址。

本页由 `make docs` 根据规则和消息生成；测试会比较两者。
""",
        sections={
            "host": "机器",
            "nvidia": "NVIDIA GPU",
            "ascend": "昇腾 NPU",
            "detected": "没有应答的驱动，被隐藏的设备",
            "network": "NPU 自己的网络",
            "logs": "日志：vLLM、CUDA、Python",
            "logs_ascend": "日志：vllm-ascend、CANN、HCCL",
            "clues": "日志：只是症状，从来不是结束的原因",
            "ends": "日志里没有任何已知说明的结束",
        },
        error="错误",
        warning="警告",
        note="提示",
        depends=" 或 ",
        doctor_code="退出码 {code}",
        start_code="启动的退出码 {code}",
        no_code="本身不会让任何进程结束",
        colon="：",
        why="原因",
        fix="怎么办",
        see="更多",
        lines="日志里的文字",
    ),
}
