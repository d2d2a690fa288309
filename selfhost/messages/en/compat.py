"""Messages of the Ascend stack: items, what was found, what to change first."""

from selfhost.messages import Text

MESSAGES = {
    "compat.column_item": Text("ITEM"),
    "compat.column_wanted": Text("WANTED"),
    "compat.column_found": Text("FOUND"),
    "compat.chip": Text("chip family"),
    "compat.driver_complete": Text("driver installation"),
    "compat.driver": Text("driver (Ascend HDK)"),
    "compat.firmware": Text("firmware"),
    "compat.vllm_ascend": Text("vllm-ascend"),
    "compat.build": Text("vllm-ascend built for"),
    "compat.python": Text("Python"),
    "compat.cann": Text("CANN"),
    "compat.nnal": Text("NNAL"),
    "compat.vllm": Text("vllm"),
    "compat.torch": Text("torch"),
    "compat.torch_npu": Text("torch-npu"),
    "compat.triton": Text("triton-ascend"),
    "compat.weights": Text("weights"),
    "compat.not_told": Text("not told"),
    "compat.absent": Text("none"),
    "compat.unfinished": Text("not finished"),
    "compat.unquantized": Text("not quantized"),
    "compat.no_image": Text("the official image for this chip"),
    "compat.driver_wanted": Text("{least} or newer, for CANN {cann}"),
    "compat.graph_driver": Text("below {wanted} graphs may run out of streams: `--enforce-eager` does without them"),
    "compat.firmware_wanted": Text("of the driver's release"),
    "compat.firmware_differs": Text("not of the driver's release"),
    "compat.python_wanted": Text("{low} or newer, below {below}"),
    "compat.two_tritons": Text("{found} beside triton {other}"),
    "compat.glibc": Text("C library"),
    "compat.machine": Text("machine"),
    "compat.mismatch": Text("does not match: {item}, wanted {wanted}, found {found}"),
    "compat.finding": Text("{item} does not match", "wanted: {wanted}\nfound: {found}\nsource: {source}", "{fix}"),
    "compat.not_here": Text("`{name}` does not run on {device}: `selfhost plan MODEL --variant VARIANT` says why"),
    "compat.first": Text("to change first: {remedy}"),
    "compat.remark": Text("{item} {found}: {note}"),
    "compat.unchecked": Text("not checked, because nothing here tells: {items}"),
    "compat.forced": Text("starting although the Ascend stack does not match, because of `--force`: {items}"),
    "compat.not_started": Text(
        "`{name}` is not started: what {engine} {version} needs does not match: {items}",
        "{table}",
        "{remedy}\nto start it nevertheless: `--force`",
    ),
    "compat.host": Text(
        "this machine does not suit {engine} {version}, whichever way it is installed",
        "{table}",
        "{remedy}\non a machine that only prepares another: `selfhost engine install ascend --no-driver-check`",
    ),
    "compat.image_of_families": Text("IMAGE, by chip family: {images}"),
    "compat.by_image": Text(
        "{engine} {version} is not installed here: its image suits this machine, its wheels do not",
        "{table}",
        "take the image: {image}\n"
        "with selfhost in it, for the files of `selfhost render`: `selfhost image build ascend --base IMAGE`",
    ),
    "compat.by_wheels": Text(
        "{engine} {version} is not installed by selfhost: no lock can name all of its packages",
        "{table}\n"
        "no wheels on the index that locks are made from: triton-ascend {triton}, arctic-inference {arctic}, and for "
        "x86_64 torch {torch}+cpu",
        "take the image: {image}\n"
        "or make an environment; INDEX is where vllm-ascend's installation guide finds triton-ascend {triton}; x86_64 "
        "needs one more, for torch {torch}+cpu; arctic-inference {arctic} is built from source, with a C++ compiler:\n"
        "`{python} -m venv DIR && DIR/bin/pip install vllm=={version}`\n"
        "`DIR/bin/pip install {engine}=={version} --extra-index-url INDEX`\n"
        "then `selfhost serve MODEL --engine-python DIR/bin/python`",
    ),
    "compat.fix_chip": Text(
        "plan for another device: {chip} has no kernels in vllm-ascend, A2 (910B1 to 910B4) is first"
    ),
    "compat.fix_driver_complete": Text(
        "install the Ascend driver again and reboot: /etc/ascend_install.info has no `Driver_Install_Status=complete`"
    ),
    "compat.fix_driver": Text(
        "upgrade the driver on the host, then the firmware, and reboot: Ascend HDK {least} or newer for CANN {cann} "
        "(published with HDK {paired}), not {found}"
    ),
    "compat.fix_firmware": Text("install the firmware of Ascend HDK {driver} on the host, and reboot"),
    "compat.fix_vllm_ascend": Text(
        "take an environment with vllm-ascend {wanted} (`--engine-python PYTHON`), or the image {image}"
    ),
    "compat.fix_build": Text(
        "take the image {image}, or build vllm-ascend from source with `SOC_VERSION` set: this one is built for "
        "{found}, not {family}"
    ),
    "compat.fix_python": Text(
        "make the environment with Python {low} or newer, below {below}; the image {image} has one"
    ),
    "compat.fix_cann": Text(
        "install CANN {wanted}: toolkit, ops for the chip, and NNAL, all of this version; or run in the image {image}"
    ),
    "compat.fix_nnal": Text(
        "install NNAL {wanted}, which has libatb.so: `./Ascend-cann-nnal_{wanted}_linux-$(uname -m).run --install`"
    ),
    "compat.fix_package": Text("`{python} -m pip install --no-deps {name}=={wanted}`"),
    "compat.fix_torch": Text(
        "`{python} -m pip install --no-deps {name}=={wanted}+cpu --extra-index-url INDEX`: INDEX is PyTorch's own of "
        "CPU wheels, which torch-npu asks for on x86_64"
    ),
    "compat.fix_triton": Text(
        "`{python} -m pip uninstall -y triton triton-ascend`, then `{python} -m pip install --no-deps "
        "triton-ascend=={wanted} --extra-index-url INDEX`: INDEX as vllm-ascend's installation guide names it"
    ),
    "compat.fix_weights": Text(
        "take weights that are not quantized, or W8A8 or W4A8 made for Ascend: {method} does not run on {family}"
    ),
}
