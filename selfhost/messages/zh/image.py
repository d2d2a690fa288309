"""Container images in bundles."""

from __future__ import annotations

from selfhost.messages import Text

_LAYOUT = "制作它的布局：`skopeo copy --all docker://NAME:TAG oci:DIR:NAME:TAG`，然后 `--image oci:DIR:NAME:TAG`"

MESSAGES: dict[str, Text] = {
    "image.bad": Text("`{path}` 不是容器镜像", "{detail}", _LAYOUT),
    "image.not_a_layout": Text("`{path}` 不是 OCI 镜像布局", "{detail}", _LAYOUT),
    "image.bad_source": Text(
        "`{given}` 不是容器镜像的名称",
        "应为：`oci:DIR`、`oci:DIR:NAME`，或镜像仓库中的名称：`registry.example/team/engine:1.0`",
        _LAYOUT,
    ),
    "image.not_in_registry": Text("镜像仓库中没有镜像 {name}", "", "检查名称和标签：`skopeo inspect docker://{name}`"),
    "image.fetching": Text("{name}：{total} 中已有 {done}"),
    "image.not_there": Text(
        "`{path}` 中没有这个镜像：{wanted}", "现有：{listed}", "指定一个：`--image oci:{path}:NAME`"
    ),
    "image.no_name": Text(
        "`{path}` 中的镜像没有各种程序都接受的名称：{name}",
        "应为：小写，形如 `registry/name:tag`",
        "给它命名：`skopeo copy --all oci:{path} oci:DIR:registry/name:tag`",
    ),
    "image.unnameable": Text(
        "没有程序接受名为 {name} 的镜像",
        "应为：小写，形如 `registry/name:tag`；主机为名称或 IPv4 地址",
        _LAYOUT,
    ),
    "image.foreign": Text(
        "镜像 {name} 的一个层不在 `{path}` 中，也不应在其中：发布者不允许他人转发",
        "sha256：{sha256}",
        "把它推送到可以保存这种层的自有镜像仓库，或选择：`--platform linux/amd64`",
    ),
    "image.no_platform": Text(
        "{name} 不适用于平台 {platform}", "适用于：{listed}", "指定其中之一，或去掉 `--platform`"
    ),
    "image.part_absent": Text(
        "镜像 {name} 的一部分不在 `{path}` 中",
        "sha256：{sha256}",
        "复制整个镜像：`skopeo copy --all docker://{name} oci:DIR:{name}`；或选择：`--platform linux/amd64`",
    ),
    "image.part_damaged": Text(
        "`{path}` 中镜像 {name} 的一部分已损坏",
        "sha256：{sha256}",
        "重新复制镜像：`skopeo copy --all docker://{name} oci:DIR:{name}`",
    ),
    "image.same_name": Text("离线包中有两个内容都名为 {name}", "", "用 `skopeo copy` 给一个镜像换名"),
    "image.no_program": Text(
        "`--load {program}` 需要程序 `{tool}`",
        "",
        "安装它，或不带 `--load` 导入：镜像位于 `$SELFHOST_HOME/images`，`skopeo copy oci:DIR` 可以读取",
    ),
    "image.not_loaded": Text(
        "`{command}` 没有接受 {name}",
        "退出状态：{status}\n{lines}",
        "按其输出处理（守护进程是否在运行，当前用户是否有权限？），然后再次导入：已导入的会保留",
    ),
    "image.loading": Text("{name}：{size}，交给 `{command}`"),
    "image.loaded": Text("{name}：已载入 {program}"),
    "image.nothing": Text("`--load`：离线包中没有镜像"),
    "image.imported": Text("镜像 {name}：`{path}`；例如 `skopeo copy --all oci:{path} docker://REGISTRY/NAME:TAG`"),
}
