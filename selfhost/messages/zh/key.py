"""Messages about API keys."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "key.bad_name": Text(
        "不是有效的密钥名称：`{name}`",
        "应为：字母、数字、`.`、`_` 和 `-`，最多 64 个，以字母或数字开头",
        "例如 `selfhost key new my-laptop`",
    ),
    "key.taken": Text(
        "已有同名的密钥：`{name}`",
        "创建于 {created}；密钥不能再次显示",
        "换一个名称，或先吊销它：`selfhost key revoke {name}`",
    ),
    "key.unknown": Text(
        "没有这个名称的密钥：`{name}`",
        "最接近的：{nearest}",
        "查看全部：`selfhost key ls`",
    ),
    "key.exposed": Text(
        "没有 API 密钥，拒绝监听 `{host}`",
        "该地址可从其他机器访问，而没有密钥：任何人都能使用模型",
        "创建密钥：`selfhost key new NAME`\n或只在本机：`--host 127.0.0.1`",
    ),
    "key.damaged": Text(
        "API 密钥文件已损坏：`{path}`",
        "{detail}",
        "用备份替换它，或删除它并创建新密钥：`selfhost key new NAME`",
    ),
    "key.unreadable": Text(
        "无法读取 API 密钥文件：`{path}`",
        "{detail}",
        "查看谁可以读取、那里是什么：`ls -ld {path}`；在能够读取之前，服务拒绝所有密钥",
    ),
    "key.newer": Text(
        "API 密钥文件由更新的 selfhost 写入：`{path}`",
        "schema_version 实为：{found}，支持：{understood}",
        "使用写入它的 selfhost",
    ),
    "key.output_exists": Text("不会覆盖 `{path}`", hint="指定一个尚不存在的文件"),
    "key.output_unwritable": Text(
        "密钥无法写入 `{path}`",
        "{detail}",
        "指定另一个文件；没有创建密钥",
    ),
    "key.no_directory": Text("没有这个目录：`{path}`", hint="先创建它：`mkdir -p {path}`"),
    "key.gateway_taken": Text(
        "文件中已有同名的密钥：`{name}`",
        "{path}",
        "换一个名称，或先吊销它：`selfhost key revoke {name} --gateway {quoted}`",
    ),
    "key.gateway_unknown": Text(
        "`{path}` 中没有这个名称的密钥：`{name}`",
        "最接近的：{nearest}",
        "查看全部：`selfhost key ls --gateway {quoted}`",
    ),
    "key.gateway_no_file": Text(
        "没有这个文件：`{path}`",
        hint="创建第一个密钥时会生成它：`selfhost key new NAME --gateway {quoted}`",
    ),
    "key.gateway_place": Text(
        "这里不能放密钥文件：`{path}`",
        "它是目录、设备或管道，或者其所在目录的上级目录不存在",
        "指定所生成目录下的文件：`--gateway gateway/keys/keys.conf`",
    ),
    "key.gateway_damaged": Text(
        "nginx 不接受这个密钥文件：`{path}`",
        "第 {line} 行不是 map 的条目；没有任何改动",
        '用编辑器把它改为条目 `"~^KEY$" "NAME";`，或改为注释',
    ),
    "key.gateway_none": Text("文件中没有密钥：网关不允许任何人进入"),
    "key.output_is_gateway": Text(
        "`--output` 和 `--gateway` 是同一个文件：`{path}`",
        "单个密钥会取代网关的全部密钥",
        "指定另一个文件：`--output {path}.key`",
    ),
    "key.gateway_unreadable": Text(
        "无法读取密钥文件：`{path}`",
        "{detail}",
        "以其所有者的身份或用 `sudo` 运行该命令",
    ),
    "key.gateway_expires": Text(
        "网关的密钥不会自行失效",
        "nginx 只比较密钥，不认识时间",
        "去掉 `--expires`，到时候再吊销它：`selfhost key revoke NAME --gateway FILE`",
    ),
    "key.bad_time": Text(
        "`{flag}` 不是有效的时间：`{text}`",
        "应为：数字加 `s`、`m`、`h`、`d` 或 `w`，且结束于公元 9999 年之前",
        "例如 `{flag} 30d`",
    ),
    "key.rotated": Text("已为 `{name}` 创建另一个密钥；只显示这一次；之前的密钥还可使用 {keep}"),
    "key.rotated_to": Text(
        "已为 `{name}` 创建另一个密钥；它在 `{path}` 中（权限 0600），别处没有保存；之前的密钥还可使用 {keep}"
    ),
    "key.gateway_rotated": Text(
        "已为 `{name}` 创建另一个密钥；它以明文保存在 `{path}` 中；"
        "之前的密钥可使用到 `selfhost key revoke {name} --old --gateway {quoted}` 为止"
    ),
    "key.ends": Text("它将在 {duration} 后自行失效"),
    "key.old_revoked": Text("`{name}` 之前留下的密钥已吊销；最新的密钥有效"),
    "key.gateway_made": Text("密钥 `{name}` 已创建；它以明文保存在 `{path}` 中：该文件只应由其所有者和网关读取"),
    "key.gateway_reload": Text(
        "网关在启动时和收到 SIGHUP 时读取该文件：`docker compose kill -s HUP gateway`、"
        "`podman kill -s HUP NAME-gateway`、`systemctl reload NAME-gateway`；"
        "在 Kubernetes 中按所生成文件的 `README.md` 操作"
    ),
    "key.gateway_revoked": Text("密钥 `{name}` 已不在 `{path}` 中"),
    "key.made": Text("密钥 `{name}` 已创建；只显示这一次，别处没有保存"),
    "key.written": Text("密钥 `{name}` 已创建；它在 `{path}` 中（权限 0600），别处没有保存"),
    "key.in_force": Text("它现在就有效，对运行中的服务也是如此；此前不要求密钥的服务从现在起要求密钥"),
    "key.revoked": Text("密钥 `{name}` 已吊销；运行中的服务在约一秒内拒绝它"),
    "key.none": Text("没有密钥；用 `selfhost key new NAME` 创建一个"),
}
