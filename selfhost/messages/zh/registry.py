"""Container registries: names, logins, pushing and pulling."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "registry.bad_reference": Text(
        "`{given}` 不是镜像仓库中的名称",
        "{detail}",
        "请写成 HOST[:PORT]/REPOSITORY[:TAG]，例如 `registry.example:5000/models/qwen2.5-7b:bf16`",
    ),
    "registry.bad_auth_file": Text(
        "`{path}` 中没有登录信息",
        "{detail}",
        "重新登录：`skopeo login HOST`；或指定其他文件：`export REGISTRY_AUTH_FILE=/path/to/auth.json`",
    ),
    "registry.helper": Text(
        "`{program}` 没有给出登录身份",
        "{detail}",
        "它由登录信息文件指定；不用它时，登录到文件："
        "`skopeo login --authfile auth.json HOST && export REGISTRY_AUTH_FILE=$PWD/auth.json`",
    ),
    "registry.nobody": Text("未登录"),
    "registry.somebody": Text("现有登录的权限不足"),
    "registry.no_way": Text("它既不要求令牌，也不要求密码"),
    "registry.denied": Text(
        "`{host}` 拒绝访问：HTTP {status}",
        "需要：{what}\n{who}\n其说明：{detail}",
        "以有权限的身份登录：`skopeo login {host}`",
    ),
    "registry.bad_realm": Text(
        "`{host}` 指定的取令牌地址不能接收密码",
        "实际为：`{url}`",
        "令牌经 https 获取；测试用的镜像仓库使用明文 HTTP：加 `--plain-http`",
    ),
    "registry.bad_token": Text(
        "`{url}` 没有给出令牌",
        "无法理解其响应",
        "检查镜像仓库的日志",
    ),
    "registry.refused": Text(
        "镜像仓库拒绝：HTTP {status}",
        "`{url}`\n其说明：{detail}",
        "确认那里有该仓库，且镜像仓库接受 OCI 制品",
    ),
    "registry.redirects": Text("镜像仓库无限重定向", "超过 {count} 次，最后一次到 `{url}`"),
    "registry.bad_location": Text(
        "镜像仓库指向不予采用的地址",
        "`{url}` 指向 `{found}`：不是 HTTP，或安全性低于原地址",
        "在终止 TLS 的代理之后，镜像仓库须知道自己的地址：docker-registry 有 `http.host` 或 `http.relativeurls: true`",
    ),
    "registry.quota": Text(
        "`{host}` 没有空间存放它",
        "HTTP {status}\n其说明：{detail}",
        "提高项目的配额或删除旧标签；已发送的部分会保留：重新运行同一命令",
    ),
    "registry.gave_up": Text(
        "`{host}`：连续失败 {count} 次，已放弃",
        "位置：{name}\n最后一次：{detail}",
        "已到达的部分保留在那里：重新运行同一命令；没有 TLS 的镜像仓库需要 `--plain-http`",
    ),
    "registry.other_bytes": Text(
        "`{name}` 已损坏或被改动",
        "sha256 应为：{wanted}\nsha256 实际：{found}\n已通知镜像仓库丢弃它",
        "查明问题：`selfhost bundle verify DIR`；在制作离线包的地方重新复制该卷",
    ),
    "registry.other_size": Text(
        "`{host}` 中该摘要对应的是其他内容",
        "sha256:{sha256}\n应为：{wanted:,} 字节\n实际：{found} 字节",
        "其存储已损坏：在那里删除该 blob，再运行同一命令",
    ),
    "registry.other_digest": Text(
        "`{host}` 中的不是所要求的内容：`{name}`",
        "应为：{wanted}\n实际：{found}",
        "不要使用其内容：其存储已损坏，或途中有设备改动内容",
    ),
    "registry.not_kept": Text(
        "`{host}` 保存的 `{name}` 与发送的不同",
        "本机的内容是正确的\n其说明：{detail}",
        "检查镜像仓库的磁盘，以及途中的设备",
    ),
    "registry.large": Text(
        "`{host}` 给出的清单过大：`{name}`",
        "最多读取 {limit:,} 字节",
        "查看其内容：`skopeo inspect --raw docker://{host}/NAME:TAG`",
    ),
    # Notes
    "registry.slow": Text("`{url}` 在 {seconds} s 后仍未完成响应"),
    "registry.smaller": Text("{name}：`{host}` 不接受这样大的请求；改用更小的继续"),
    "registry.elsewhere": Text("{name}：镜像仓库的接收位置与本机不同"),
    "registry.lost": Text("{name}：镜像仓库丢失了它已有的部分（HTTP {status}）；重新开始"),
    "registry.bad_range": Text("`{host}` 称已有 `{found}`，而实际已发送到 {end}"),
}
