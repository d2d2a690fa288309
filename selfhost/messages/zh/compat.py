"""Messages of the Ascend stack: items, what was found, what to change first."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "compat.column_item": Text("项目"),
    "compat.column_wanted": Text("需要"),
    "compat.column_found": Text("现有"),
    "compat.chip": Text("芯片系列"),
    "compat.driver_complete": Text("驱动安装"),
    "compat.driver": Text("驱动（Ascend HDK）"),
    "compat.firmware": Text("固件"),
    "compat.vllm_ascend": Text("vllm-ascend"),
    "compat.build": Text("vllm-ascend 构建目标"),
    "compat.python": Text("Python"),
    "compat.cann": Text("CANN"),
    "compat.nnal": Text("NNAL"),
    "compat.vllm": Text("vllm"),
    "compat.torch": Text("torch"),
    "compat.torch_npu": Text("torch-npu"),
    "compat.triton": Text("triton-ascend"),
    "compat.weights": Text("权重"),
    "compat.not_told": Text("未能得知"),
    "compat.absent": Text("无"),
    "compat.unfinished": Text("未完成"),
    "compat.unquantized": Text("未量化"),
    "compat.no_image": Text("适合该芯片的官方镜像"),
    "compat.driver_wanted": Text("{least} 或更新，用于 CANN {cann}"),
    "compat.graph_driver": Text("低于 {wanted} 时图可能用尽流：加 `--enforce-eager` 则不需要"),
    "compat.firmware_wanted": Text("与驱动版本一致"),
    "compat.firmware_differs": Text("与驱动版本不一致"),
    "compat.python_wanted": Text("{low} 或更新，低于 {below}"),
    "compat.two_tritons": Text("{found}，旁边还有 triton {other}"),
    "compat.glibc": Text("C 库"),
    "compat.machine": Text("机器"),
    "compat.mismatch": Text("不匹配：{item}，需要 {wanted}，现有 {found}"),
    "compat.finding": Text("{item} 不匹配", "需要：{wanted}\n现有：{found}\n来源：{source}", "{fix}"),
    "compat.not_here": Text("`{name}` 不能在 {device} 上运行：`selfhost plan MODEL --variant VARIANT` 会说明原因"),
    "compat.first": Text("首先要改的：{remedy}"),
    "compat.remark": Text("{item} {found}：{note}"),
    "compat.unchecked": Text("未检查，因为这里无从得知：{items}"),
    "compat.forced": Text("尽管 Ascend 软件栈不匹配，因 `--force` 仍然启动：{items}"),
    "compat.not_started": Text(
        "`{name}` 没有启动：{engine} {version} 的要求不满足：{items}",
        "{table}",
        "{remedy}\n仍要启动：`--force`",
    ),
    "compat.host": Text(
        "无论以何种方式安装，本机都不适合 {engine} {version}",
        "{table}",
        "{remedy}\n若本机只用来为另一台机器做准备：`selfhost engine install ascend --no-driver-check`",
    ),
    "compat.image_of_families": Text("IMAGE，按芯片系列：{images}"),
    "compat.by_image": Text(
        "{engine} {version} 没有安装在这里：它的镜像适合本机，它的 wheel 包不适合",
        "{table}",
        "使用镜像：{image}\n"
        "其中带有 selfhost、用于 `selfhost render` 的文件：`selfhost image build ascend --base IMAGE`",
    ),
    "compat.by_wheels": Text(
        "selfhost 不安装 {engine} {version}：没有锁文件能列出它的全部软件包",
        "{table}\n"
        "制作锁文件所用的索引上没有这些 wheel 包：triton-ascend {triton}、arctic-inference {arctic}，以及 "
        "x86_64 的 torch {torch}+cpu",
        "使用镜像：{image}\n"
        "或自建一个环境；INDEX 是 vllm-ascend 安装指南中 triton-ascend {triton} 所在的索引；x86_64 "
        "还需要一个用于 torch {torch}+cpu 的索引；arctic-inference {arctic} 从源码构建，需要 C++ 编译器：\n"
        "`{python} -m venv DIR && DIR/bin/pip install vllm=={version}`\n"
        "`DIR/bin/pip install {engine}=={version} --extra-index-url INDEX`\n"
        "然后 `selfhost serve MODEL --engine-python DIR/bin/python`",
    ),
    "compat.fix_chip": Text("为其他设备做规划：vllm-ascend 没有 {chip} 的算子，最早支持 A2（910B1 到 910B4）"),
    "compat.fix_driver_complete": Text(
        "重新安装 Ascend 驱动并重启：/etc/ascend_install.info 中没有 `Driver_Install_Status=complete`"
    ),
    "compat.fix_driver": Text(
        "在主机上先升级驱动、再升级固件，然后重启：CANN {cann} 需要 Ascend HDK {least} 或更新（与 HDK {paired} "
        "一同发布），而不是 {found}"
    ),
    "compat.fix_firmware": Text("在主机上安装 Ascend HDK {driver} 的固件，然后重启"),
    "compat.fix_vllm_ascend": Text("使用带有 vllm-ascend {wanted} 的环境（`--engine-python PYTHON`），或镜像 {image}"),
    "compat.fix_build": Text(
        "使用镜像 {image}，或设置 `SOC_VERSION` 后从源码构建 vllm-ascend：当前的是为 {found} 构建的，而不是 {family}"
    ),
    "compat.fix_python": Text("用 Python {low} 或更新、低于 {below} 的版本建立环境；镜像 {image} 中有"),
    "compat.fix_cann": Text("安装 CANN {wanted}：toolkit、该芯片的 ops 和 NNAL，版本都要一致；或在镜像 {image} 中运行"),
    "compat.fix_nnal": Text(
        "安装含有 libatb.so 的 NNAL {wanted}：`./Ascend-cann-nnal_{wanted}_linux-$(uname -m).run --install`"
    ),
    "compat.fix_package": Text("`{python} -m pip install --no-deps {name}=={wanted}`"),
    "compat.fix_torch": Text(
        "`{python} -m pip install --no-deps {name}=={wanted}+cpu --extra-index-url INDEX`：INDEX 是 PyTorch 自己的 "
        "CPU wheel 包索引，torch-npu 在 x86_64 上要求它"
    ),
    "compat.fix_triton": Text(
        "`{python} -m pip uninstall -y triton triton-ascend`，然后 `{python} -m pip install --no-deps "
        "triton-ascend=={wanted} --extra-index-url INDEX`：INDEX 见 vllm-ascend 的安装指南"
    ),
    "compat.fix_weights": Text("使用未量化的权重，或为 Ascend 制作的 W8A8、W4A8：{method} 不能在 {family} 上运行"),
}
