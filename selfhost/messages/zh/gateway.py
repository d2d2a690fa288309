"""Messages about a gateway in front of servers that take each other's place."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "gateway.made": Text("{url} 前的网关，监听 {listen}：{folder}"),
    "gateway.start": Text("启动它：`{command}`"),
    "gateway.key": Text("经由它访问所用的密钥：`selfhost key new NAME --gateway {keys}`"),
    "gateway.replace": Text("替换其后的服务：`selfhost replace {name} --gateway {path}`"),
    "gateway.bad_listen": Text(
        "不是监听地址：`{listen}`",
        hint="`--listen 127.0.0.1:8080`，或用 `--listen 8080` 监听所有地址",
    ),
    "gateway.exists": Text(
        "`{folder}` 中已有网关",
        hint="使用它，或指定另一个目录；要重新制作，先删除 `{folder}/nginx.conf`",
    ),
    "gateway.two_doors": Text(
        "`{name}` 自己要求密钥，而网关在请求引擎之前会去掉密钥",
        "只要用 `selfhost key new` 创建过密钥，每个服务的入口都会要求密钥",
        "只保留其一：`selfhost key ls`，然后对每个密钥 `selfhost key revoke NAME`，"
        "并用 `selfhost key new NAME --gateway {keys}` 创建网关的密钥",
    ),
    "gateway.tls": Text(
        "`{name}` 自己使用 TLS，而网关访问引擎时不使用：{url}",
        hint="在回环地址上提供服务，不用 `--ssl-certfile`，并把证书交给网关："
        "`selfhost gateway {name} DIR --certificate CERTIFICATES`",
    ),
    "gateway.unreadable": Text("无法读取网关的配置：`{path}`", "{detail}"),
    "gateway.not_ours": Text(
        "不是可以替换引擎的配置：`{path}`",
        "应有：一行 `pid FILE;`，以及一个包含文件的上游 `selfhost_engine`",
        "制作一个：`selfhost gateway NAME DIR`",
    ),
    "gateway.not_running": Text(
        "没有以 `{path}` 运行的 nginx",
        "其 pid 文件没有给出：{pid_file}",
        "启动它：`nginx -e stderr -c {path} -g 'daemon off;'`",
    ),
    "gateway.refused": Text(
        "nginx 不接受其配置：`{path}`；没有任何改动",
        "{detail}",
        "自行查看：`nginx -t -e stderr -c {path}`",
    ),
    "gateway.not_allowed": Text(
        "当前用户无权重新加载 nginx（pid {pid}）；没有任何改动",
        hint="以运行 nginx 的用户或 root 的身份运行",
    ),
    "gateway.no_reload": Text(
        "nginx 在 {seconds} s 内没有重新加载 `{path}`；没有任何改动",
        hint="原因见其错误日志",
    ),
}
