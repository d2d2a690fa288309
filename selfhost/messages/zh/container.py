"""Messages of `image`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "container.unknown": Text("没有这个镜像：`{name}`", "已知：{names}", "尝试 `selfhost image build {nearest}`"),
    "container.unknown_builder": Text(
        "没有这个构建程序：`{name}`",
        "已知：{names}",
        "去掉 `--with`：将使用第一个已安装的",
    ),
    "container.no_builder": Text(
        "找不到构建镜像的程序",
        "已查找：{names}",
        "安装一个：`apt-get install buildah`；不需要 root，也不需要守护进程",
    ),
    "container.not_installed": Text("`{name}` 没有安装", "", "安装它，或去掉 `--with`"),
    "container.no_isolation": Text(
        "docker 没有 `--isolation {isolation}`", "", "用 podman 或 buildah 构建：`--with buildah`"
    ),
    "container.bad_python": Text(
        "不是 Python 版本：`{given}`", "应为：两个数字，例如 3.12", "查看基础镜像中的版本：`python3 --version`"
    ),
    "container.old_python": Text(
        "selfhost 不能在 Python {given} 上运行", "需要：3.11 或更新", "使用带有更新版本的基础镜像：`--base`"
    ),
    "container.bad_base": Text(
        "不是镜像的名称：`{given}`",
        "应为：`NAME:TAG`，或 `NAME@sha256:` 加 64 位摘要",
        "查找摘要：`skopeo inspect --format '{{{{.Digest}}}}' docker://NAME:TAG`",
    ),
    "container.bad_tag": Text(
        "镜像不能命名为 `{given}`",
        "应为：小写，然后是冒号和版本",
        "例如 `--tag registry.example/team/selfhost-cuda:1`",
    ),
    "container.bad_isolation": Text(
        "没有这种隔离方式：`{given}`", "已知：{known}", "去掉它，或在容器中用 `--isolation chroot`"
    ),
    "container.no_space": Text(
        "`{command}` 没有剩余空间",
        "{lines}",
        "构建程序把镜像放在自己的目录中：`podman info`、`buildah info` 或 `docker info` 会给出位置；"
        "在那里删除镜像，或移动该目录",
    ),
    "container.build_failed": Text(
        "`{command}` 失败",
        "退出状态：{status}\n{lines}",
        "按其输出处理；在没有特权的容器中：`--isolation chroot`；"
        "基础镜像必须有 Python {python}，没有网络时还必须有 containers/README.md 列出的内容",
    ),
    "container.not_understood": Text("`{command}` 没有给出镜像的描述", "{detail}", "手工查看：`{command}`"),
    "container.wheels": Text("{machine} 上 Python {python} 的 wheel 包"),
    "container.base_tag": Text("基础镜像由标签指定，标签可能移动：{base}；`--base NAME@sha256:...` 可以固定它"),
    "container.built": Text("{reference}：解包后 {size}，{digest}，由 {builder} 构建，用时 {duration}"),
    "container.none": Text("{builder} 的存储中没有 selfhost 的镜像；`selfhost image build cpu` 会构建一个"),
}
