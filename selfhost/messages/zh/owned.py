"""Messages about options after `--` and variables of the engine."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "owned.own_option": Text(
        "`{flag}` 由 selfhost 管理",
        "selfhost 须知道服务监听的位置，才能访问并守护它",
        "把 `{flag}` 写在 `--` 之前",
    ),
    "owned.listening": Text(
        "`{flag}` 由 selfhost 管理",
        "它改变服务监听的位置或方式：selfhost 将无法判断是否就绪",
        "请用 `--host` 和 `--port`；TLS 和路径放到前面的代理（nginx、Caddy）",
    ),
    "owned.tls": Text(
        "`{flag}` 由 selfhost 管理",
        "selfhost 须知道服务的证书，才能访问它并与其他服务区分",
        "`selfhost serve MODEL --ssl-certfile FILE --ssl-keyfile FILE`，写在 `--` 之前；生成的部署由其网关处理",
    ),
    "owned.tls_clients": Text(
        "`{flag}` 由 selfhost 管理",
        "它针对客户端的证书；selfhost 自己对服务的检查没有客户端证书，而请求者的身份由密钥说明",
        "去掉它；通往根证书的各级证书放入 `--ssl-certfile` 的文件，排在服务自身的证书之后",
    ),
    "owned.keys": Text(
        "`{flag}` 由 selfhost 管理",
        "密钥由 selfhost 的准入层在每个路由上检查；引擎的 `--api-key` 会放过一部分，"
        "且命令行上的密钥对主机的所有用户可见",
        "`selfhost key new` 生成密钥",
    ),
    "owned.front_end": Text(
        "`{flag}` 由 selfhost 管理",
        "它会启动另一个前端或开放其他路由，selfhost 的准入层无法覆盖",
        "去掉它",
    ),
    "owned.config_file": Text(
        "`{flag}` 由 selfhost 管理",
        "选项文件中可能含有应由 selfhost 决定的选项",
        "把选项本身写在 `--` 之后",
    ),
    "owned.part_of_plan": Text(
        "`{flag}` 由 selfhost 管理",
        "它由规划决定",
        "先写模型；内存请用 `--max-model-len`、`--max-num-seqs` 和 `--gpu-memory-utilization`",
    ),
    "owned.layout": Text(
        "`{flag}` 由 selfhost 管理",
        "它使布局的设备数倍增，规划尚不支持",
        "请用 `--tensor-parallel-size` 和 `--pipeline-parallel-size`；"
        "长上下文还可用 `-- --decode-context-parallel-size`",
    ),
    "owned.format": Text(
        "`{flag}` 由 selfhost 管理",
        "规划的数字取决于检查点的格式",
        "改选检查点：用配方的 `--variant NAME`，或其他目录",
    ),
    "owned.pickle": Text(
        "拒绝 `{flag} {value}`：它读取 pickle 文件，打开时可执行任意代码",
        "需要 safetensors",
        "去掉它：safetensors 会自动找到",
    ),
    "owned.remote_code": Text(
        "拒绝 `{flag}`：它会运行模型目录中的 Python 文件",
        "selfhost 不运行未经审查的模型代码，目前也无法标明已审查",
        "去掉它：引擎自身支持的架构不需要模型的代码",
    ),
    "owned.unknown": Text(
        "{engine} {version} 没有选项 `{flag}`",
        "最接近的：{nearest}",
        "不接受缩写：写全选项，或去掉",
    ),
    "owned.unknown_key": Text(
        "{engine} {version} 的 `{flag}` 没有键 `{key}`",
        "最接近的：{nearest}；引擎不读取的键不起作用，也没有提示",
        "更正该键，或去掉",
    ),
    "owned.not_an_option": Text(
        "`{word}` 不是选项",
        "模型或 `--` 之后必须是引擎的选项及其值",
        "selfhost plan MODEL --on HW -- --seed 1",
    ),
    "owned.value_missing": Text("`{flag}` 需要值", hint="写作 `{flag} VALUE` 或 `{flag}=VALUE`"),
    "owned.one_value": Text("`{flag}` 在此只能有一个值，不能是 `{values}`", hint="一个服务只有一个名称；请只给一个值"),
    "owned.choice": Text(
        "`{flag}` 不能是 `{value}`",
        "可选：{choices}",
        "请使用其中之一",
    ),
    "owned.not_a_number": Text("`{flag}` 需要数字，不能是 `{value}`", hint="例如 `{flag} 1`"),
    "owned.not_an_object": Text(
        "`{flag}` 需要 JSON 对象，不能是 `{value}`",
        hint="""例如 `{flag} '{{"method": "mtp", "num_speculative_tokens": 1}}'`""",
    ),
    "owned.given_twice": Text("`{flag}` 给了两次：{first} 和 {second}", hint="只给一次，写在 `--` 之前"),
    "owned.variable": Text("环境中设置了 `{name}`，但它由 selfhost 决定：启动引擎时不带它", hint="unset {name}"),
}
