"""Messages of `render`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "render.does_not_fit": Text(
        "未生成：{name} 无法在 {hardware} 上运行",
        "{reasons}",
        "查看怎样放得下：`selfhost plan {name} --on {hardware}`\n或仍然生成：`--force`",
    ),
    "render.no_command": Text(
        "未生成：{name} 无法在 {hardware} 上启动",
        "{reasons}",
        "查看怎样可行：`selfhost plan {name} --matrix`",
    ),
    "render.bad_host": Text(
        "不能作为部署文件的发布地址：`{host}`",
        "主机名在别处可能指另一台机器，且容器引擎只接受地址",
        "请写地址：`--host 192.0.2.7`，或用 `--host 0.0.0.0` 表示机器的所有地址",
    ),
    "render.low_port": Text(
        "机器的端口 {port} 只供 root 使用，而生成的服务都不以 root 运行",
        "此处服务直接在机器的网络中监听，没有容器引擎代为发布",
        "使用不小于 1024 的端口：`--port 8443`，置于已占用 {port} 的服务之后",
    ),
    "render.odd_path": Text(
        "容器引擎无法挂载该路径：`{path}`",
        "`:` 在那里是路径的分隔，换行则在任何地方都会截断路径",
        "换一个位置：`{option} /srv/models`",
    ),
    "render.output_is_a_file": Text(
        "`--output` 是文件：`{path}`",
        "要写入多个文件，需要目录",
        "请指定目录：`--output {path}.d`",
    ),
    "render.not_readable": Text(
        "无法读取目录中已有的内容：`{path}`",
        "{detail}",
        "以其所有者身份运行，或指定其他目录：`--output deploy`",
    ),
    "render.not_writable": Text(
        "无法写入 `{path}`",
        "{detail}",
        "让用户 {user} 可写，或指定其他目录：`--output deploy`",
    ),
    "render.private_store": Text(
        "`{store}` 位于家目录之下，单元的用户无法进入：请指定其他位置，`--store /srv/selfhost`",
    ),
    "render.replaced": Text("已替换与之前不同的文件：{paths}；`--check` 显示差异而不写入"),
    "render.left_over": Text("此前生成、这次不再生成的文件仍在；不再需要时：`{command}`"),
    "render.local_file": Text("`{option} {path}` 是本机的文件：不会写入部署，请在那里一并挂载"),
    "render.template_not_here": Text(
        "`--chat-template {path}` 在本机不是文件，不会写入部署：引擎会在其运行处和自带模板中查找",
    ),
    "render.empty_template": Text(
        "对话模板为空：`{path}`",
        "模型将收不到任何提问内容",
        "用 `-- --chat-template FILE` 指定其他模板，或去掉以使用模型自带的",
    ),
    "render.large_template": Text(
        "对话模板对 Kubernetes 过大",
        "`kubectl apply` 把它存入注解，此处最多 {limit} KiB",
        "用 `-- --chat-template FILE` 指定更小的模板，或放入镜像并在此写其路径",
    ),
    "render.bad_template": Text(
        "无法读取对话模板：`{path}`",
        "{detail}",
        "用 `-- --chat-template FILE` 指定 UTF-8 文本文件，或去掉以使用模型自带的",
    ),
    "render.bad_image": Text(
        "不是镜像名：`{image}`",
        "应为 `registry/name:tag` 或 `registry/name@sha256:...`",
        "显示镜像的摘要：`skopeo inspect --format '{{{{.Digest}}}}' docker://NAME:TAG`",
    ),
    "render.unknown_target": Text(
        "未知的目标：`{target}`",
        "已知：{targets}",
        "请使用其中之一",
    ),
    "render.no_port": Text(
        "部署文件需要端口：`--port 0` 表示任意空闲端口",
        "端口会写入文件",
        "请指定：`--port 8000`",
    ),
    "render.relative_path": Text(
        "不是绝对路径：`{path}`",
        "`{option}` 是运行这些文件的机器上的位置",
        "请从根目录写起：`{option} /srv/{path}`",
    ),
    "render.bad_name": Text(
        "不能作为部署的名称：`{name}`",
        "可用小写字母、数字和 `-`，以字母开头，最多 63 个字符；不能是 `vllm`，它会使 Kubernetes 设置 VLLM_PORT",
        "换一个：`--name {suggestion}`",
    ),
    "render.not_stored": Text("`{name}` 不在本机的存储库中，文件里也没有其摘要：`selfhost pull {pull}`"),
    "render.forced": Text("规划显示在 {hardware} 上放不下：仍然生成"),
    "render.tag_only": Text("`{image}` 用标签指定，而标签可能移动：请用摘要指定，`NAME@sha256:...`"),
    "render.no_probe": Text("其他节点无法得知首个节点是否存活：用 `--host 0.0.0.0` 时其网关会应答它们"),
    "render.exposed": Text("发布在 {address}，端口 {port}：其他机器可访问，但须有 API 密钥"),
    "render.several_nodes": Text(
        "`k8s` 用于单台机器，而 {name} 的规划需要 {nodes} 台",
        "Deployment 不能成组启动 pod",
        "生成 LeaderWorkerSet：`selfhost render k8s-lws {name} ...`",
    ),
    "render.one_node": Text(
        "`k8s-lws` 用于多台机器，而 {name} 的规划只需一台",
        "单个 pod 的 LeaderWorkerSet 等于 Deployment 加一个需要安装的控制器",
        "生成 Deployment：`selfhost render k8s {name} ...`",
    ),
    "render.bad_version": Text(
        "不是可生成文件的 Kubernetes 版本：`{value}`",
        "最旧的：{oldest}",
        "请指定集群中最旧的版本：`--cluster version=1.30`",
    ),
    "render.model_by_tag": Text(
        "模型镜像没有摘要：`{image}`",
        "文件中没有其他内容说明是哪个模型，而标签可能移动",
        "请用摘要指定：`--cluster image=NAME@sha256:...`；"
        "可用 `skopeo inspect --format '{{{{.Digest}}}}' docker://{image}` 显示",
    ),
    "render.no_model_image": Text(
        "`storage=image` 没有说明哪个镜像含有模型",
        "pod 会挂载它来代替存储库",
        "请用摘要指定：`--cluster image=NAME@sha256:...`",
    ),
    "render.two_places": Text(
        "一个模型有两个位置：`{other}` 和 `image={image}`",
        "pod 只挂载其中之一",
        "去掉其中之一",
    ),
    "render.no_image_volumes": Text(
        "Kubernetes {version} 不支持镜像卷，而未指定其他版本时文件须能在该版本上运行",
        "最早支持的版本：{first}",
        "请指定集群中最旧的版本：`--cluster version=1.35`；或使用存储声明（PVC）：`--cluster claim=NAME`",
    ),
    "render.image_of_clusters": Text(
        "`{target}` 不挂载含模型的镜像",
        "`--cluster image=...` 是 Kubernetes 的镜像卷",
        "去掉它：模型取自机器上的 `--store`",
    ),
    "render.image_volume_gate": Text(
        "Kubernetes {first} 之前镜像卷默认关闭：API server 和 kubelet 需要特性门控 `ImageVolume`",
    ),
    "render.bad_cluster": Text(
        "`--cluster` 不接受 `{word}`",
        "已知：`version=1.30`、`namespace=NAME`、`storage=claim`、`storage=host` 或 `storage=image`、`claim=NAME`、"
        "`image=NAME@sha256:...`、`uid=any`、`resource=nvidia.com/gpu`、`interface=eth0`",
        "请写其中之一：`--cluster namespace=llm`",
    ),
}
