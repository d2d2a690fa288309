"""Messages of `bench`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "bench.starting": Text("正在启动负载生成器：服务自身环境中的 `vllm bench serve`"),
    "bench.warming": Text("第 {number} 轮，共 {of} 轮：{requests} 个预热请求"),
    "bench.round": Text("第 {number} 轮，共 {of} 轮：{requests} 个请求中已完成 {done} 个，并发 {concurrency}"),
    "bench.same_cores": Text("负载生成器占用了引擎的核：在 CPU 上，数字因此偏低"),
    "bench.kept": Text("已保存：{path}"),
    "bench.not_kept": Text("这些数字无法保存到 {path}"),
    "bench.lengths": Text("提示词 + 回答，token：{lengths}；{languages}"),
    "bench.promise": Text("承诺（{source}）：同时 {concurrency} 个 {tokens} token 的请求"),
    "bench.holds": Text("承诺成立：没有错误，没有抢占，KV 缓存最多占用 {usage}"),
    "bench.broken": Text(
        "`{name}` 的承诺不成立：同时 {concurrency} 个 {tokens} token 的请求",
        "{reasons}",
        "以更少的并发或更短的请求启动：`selfhost serve {model} --max-num-seqs {fewer}`，或减小 `--max-model-len`",
    ),
    "bench.not_shown": Text(
        "没有证明 `{name}` 的承诺成立：同时 {concurrency} 个 {tokens} token 的请求",
        "没有失败，但 {reasons}",
        "用更多请求再试：`selfhost bench {name} --promise --num-prompts {more}`",
    ),
    "bench.failed": Text("{requests} 个请求中有 {failed} 个失败：{error}"),
    "bench.truncated": Text("{requests} 个回答中有 {truncated} 个中断"),
    "bench.preempted": Text("{preemptions} 次抢占：KV 缓存已满，请求重新开始"),
    "bench.queued": Text("{promised} 个中同时运行的不超过 {running} 个，其余在等待：KV 缓存占用 {usage}"),
    "bench.server_ended": Text("服务已结束：{what}"),
    "bench.no_round": Text("负载生成器没有完成一轮"),
    "bench.no_metrics": Text("引擎没有提供运行中和被抢占的请求数"),
    "bench.not_together": Text("{promised} 个中观察到同时运行的不超过 {running} 个"),
    "bench.nothing_completed": Text(
        "`{name}` 没有完成任何请求",
        "{error}",
        "查看其日志：`selfhost logs {name} -n 50`",
    ),
    "bench.some_failed": Text("{requests} 个请求中有 {failed} 个失败，{truncated} 个中断：{error}"),
    "bench.died": Text(
        "负载生成器没有完成工作就结束了",
        "{how}：{detail}\n日志：{log}",
        "服务是否用自己的引擎运行？`selfhost engine ls`；其日志有更多信息",
    ),
    "bench.busy": Text(
        "`{name}` 的另一个基准测试正在运行",
        "同时运行两个会互相影响",
        "等它完成",
    ),
    "bench.bad_levels": Text(
        "不是并发数的列表：`{given}`",
        "从 1 开始的数字，以逗号分隔",
        "例如 `--concurrency 1,8,64`",
    ),
    "bench.too_long": Text(
        "提示词和回答超出 `{name}` 的上下文",
        "要求 {wanted} token，其 `max_model_len` 为 {max_model_len}",
        "减少要求：`--input-len`、`--output-len`",
    ),
    "bench.either": Text(
        "`{one}` 与 `{other}` 不能同时使用",
        "{why}",
        "去掉其中之一",
    ),
    "bench.either_rounds": Text("两者都规定一轮的长度"),
    "bench.either_promise": Text("由承诺决定并发的请求数及其长度"),
}
