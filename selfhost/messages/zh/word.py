"""单个的词：结论、状态、表头。"""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # Where nothing is to be listed.
    "word.none": Text("无"),
    "word.nothing": Text("无"),
    # Verdicts, and what figures rest on.
    "word.fits": Text("放得下"),
    "word.tight": Text("勉强放得下"),
    "word.does_not_fit": Text("放不下"),
    "word.not_fitting": Text("放不下"),
    "word.unsupported": Text("不支持"),
    "word.out": Text("不适用"),
    "word.measured": Text("实测"),
    "word.calibrated": Text("校准"),
    "word.derived": Text("推导"),
    # Memory of a rank.
    "word.weights": Text("权重"),
    "word.buffers": Text("缓冲区"),
    "word.activation": Text("激活值"),
    "word.non_torch": Text("非 torch"),
    "word.cuda_graphs": Text("CUDA 图"),
    "word.npu_graphs": Text("NPU 图"),
    "word.kv_cache": Text("KV 缓存"),
    "word.budget": Text("预算"),
    # How bad a finding is.
    "word.error": Text("错误"),
    "word.warning": Text("警告"),
    "word.note": Text("提示"),
    # States of servers, of models.
    "word.ready": Text("就绪"),
    "word.starting": Text("启动中"),
    "word.stopping": Text("停止中"),
    "word.restarting": Text("重启中"),
    "word.stopped": Text("已停止"),
    "word.failed": Text("失败"),
    "word.orphaned": Text("失去守护"),
    "word.dead": Text("已消失"),
    "word.whole": Text("完整"),
    "word.damaged": Text("损坏"),
    "word.unlocked": Text("无锁文件"),
    # Heads of tables.
    "word.head_name": Text("名称"),
    "word.head_model": Text("模型"),
    "word.head_state": Text("状态"),
    "word.head_pid": Text("PID"),
    "word.head_devices": Text("设备"),
    "word.head_url": Text("URL"),
    "word.head_uptime": Text("运行时间"),
    "word.head_restarts": Text("重启次数"),
    "word.head_variant": Text("变体"),
    "word.head_size": Text("大小"),
    "word.head_unique": Text("独占"),
    "word.head_files": Text("文件"),
    "word.head_source": Text("来源"),
    "word.head_revision": Text("版本"),
    "word.head_parameters": Text("参数量"),
    "word.head_context": Text("上下文"),
    "word.head_variants": Text("变体"),
    "word.head_licence": Text("许可证"),
    "word.head_verdict": Text("结论"),
    "word.head_layout": Text("布局"),
    "word.head_requests": Text("请求数"),
    "word.head_tokens": Text("token 数"),
}
