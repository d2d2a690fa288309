"""`selfhost bundle push`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "push.digest": Text(
        "`{given}` 指定了摘要，而摘要不能自选",
        "发送内容的摘要由内容决定",
        "指定标签，或不指定：`selfhost bundle push DIR HOST/REPOSITORY`",
    ),
    "push.one_tag": Text(
        "多项内容不能都叫 `:{tag}`",
        "不指定标签时各有自己的标签",
        "去掉标签，或只选一个模型：`--model NAME`",
    ),
    "push.same_name": Text(
        "离线包中有两项在那里会得到同一名称",
        "{names}",
        "逐个推送模型：`--model NAME`，各用一个标签；镜像的名称末段应各不相同",
    ),
    "push.no_model": Text(
        "离线包 `{label}` 中没有该模型：{name}",
        "其中的模型：{known}",
        "查看：`selfhost bundle inspect DIR`",
    ),
    "push.no_models": Text(
        "离线包 `{label}` 中没有模型",
        hint="查看内容：`selfhost bundle inspect DIR`；容器镜像用 `--as images` 推送",
    ),
    "push.no_images": Text("离线包 `{label}` 中没有容器镜像", hint="查看内容：`selfhost bundle inspect DIR`"),
    "push.image_name": Text("镜像 `{name}` 没有镜像仓库可接受的名称", hint="给单个镜像指定名称：带标签的 REF"),
    "push.lacking": Text(
        "`{label}` 有 {count} 份内容（{size}）既不在此处，也不在镜像仓库中",
        "它们位于：\n{names}",
        "一并指定这些卷，或接着推送它们：已有的不会重发",
    ),
    "push.lacking_here": Text(
        "`{label}` 有 {count} 份内容（{size}）不在此处，而镜像须同时具备模型的全部内容",
        "它们位于：\n{names}",
        "一并指定这些卷：`selfhost bundle push DIR DIR HOST/REPOSITORY --as modelcar`",
    ),
    "push.done": Text("{name}: {reference}@{digest}"),
    "push.count": Text("已发送：{sent}（{size}）；原已存在：{there}；取自其他仓库：{mounted}"),
}
