"""Messages of detection, of the catalogue and of `--on`. Notes are shown as `what; hint` on one line."""

from selfhost.messages import Text

MESSAGES = {
    "hardware.spec_malformed": Text(
        "cannot read hardware `{spec}`",
        "the form is [[NODESx]COUNTx]DEVICE[@GIB]: numbers from 1, memory per device as the engine sees it",
        "for example `--on 8xH20`, `--on 2x8x910B3`, `--on RTX4090@23.5`, `--on cpu@16`",
    ),
    "hardware.device_unknown": Text(
        "unknown device `{device}`",
        "nearest in the catalogue: {nearest}",
        "for a CUDA device that is not listed, give the GiB that an engine can see on it: `--on {spec}@80`",
    ),
    "hardware.device_ambiguous": Text(
        "`{device}` stands for several devices",
        "it may be: {candidates}",
        "give one of these with `--on`",
    ),
    "hardware.cpu_needs_memory": Text(
        "`{spec}` does not say how much memory the host has",
        hint="give it in GiB: `--on cpu@16`",
    ),
    "hardware.cpu_is_one": Text(
        "`{spec}`: a CPU is the whole host and is named once",
        "the ranks of an engine are processes on it and share its memory",
        "`--on cpu@16 --tensor-parallel-size 2` plans two of them",
    ),
    "hardware.unsupported_910_gen1": Text(
        "first-generation Ascend 910: vllm-ascend starts with the 910B1 to 910B4 (A2)"
    ),
    "hardware.unsupported_310b": Text("Ascend 310B, a developer kit: vllm-ascend does not support it"),
    "hardware.unsupported_mlu": Text("Cambricon: none of the engines that selfhost drives has a backend for it"),
    "hardware.unsupported_mtt": Text("Moore Threads: its vLLM plugin is not driven by selfhost"),
    "hardware.nvidia_mismatch": Text(
        "the loaded NVIDIA kernel driver and its library have different versions",
        hint="reboot, or reload the kernel modules (`sudo rmmod nvidia_uvm nvidia && sudo modprobe nvidia`); "
        "in a container, restart it",
    ),
    "hardware.nvidia_not_loaded": Text(
        "the NVIDIA kernel driver is not loaded",
        hint="`sudo modprobe nvidia`; when that fails, `sudo dmesg | grep -i nvrm` says why (after a new kernel the "
        "driver has to be installed again)",
    ),
    "hardware.nvidia_no_library": Text(
        "an NVIDIA GPU or driver is there, but its library `libnvidia-ml.so.1` is not",
        hint="install the NVIDIA driver; in a container, hand the GPUs over (`docker run --gpus all`)",
    ),
    "hardware.nvidia_no_driver": Text(
        "an NVIDIA GPU is on the PCI bus, but no NVIDIA driver is installed",
        hint="install the NVIDIA driver; in a container, hand the GPUs over (`docker run --gpus all`)",
    ),
    "hardware.nvidia_permission": Text(
        "this user may not use the NVIDIA driver",
        hint="give it read and write access to /dev/nvidia* (`ls -l /dev/nvidia*`)",
    ),
    "hardware.nvidia_lost": Text(
        "an NVIDIA GPU no longer answers (lost from the bus)",
        hint="`sudo dmesg | grep -i xid` says why; reboot to get it back",
    ),
    "hardware.nvidia_no_devices": Text(
        "the NVIDIA driver finds no GPU",
        hint="`sudo dmesg | grep -i nvrm` says why; in a container, hand the GPUs over (`docker run --gpus all`)",
    ),
    "hardware.nvidia_unknown_error": Text(
        "the NVIDIA driver answers `Unknown Error`",
        hint="in a container, restart it: the host took its devices away (a reload of systemd does); "
        "on a host, `sudo dmesg | grep -i xid` says more",
    ),
    "hardware.nvidia_failed": Text(
        "cannot read the NVIDIA driver: {detail}",
        hint="run `nvidia-smi` and see what it says",
    ),
    "hardware.nvidia_hangs": Text(
        "the NVIDIA driver did not answer within {seconds} s",
        hint="`sudo dmesg | grep -i -e xid -e nvrm` says more; a driver that hangs needs a reboot",
    ),
    "hardware.nvidia_crashed": Text(
        "the NVIDIA library crashed (signal {signal})",
        hint="run `nvidia-smi`; when it crashes too, install the driver again",
    ),
    "hardware.gpu_unreadable": Text("it does not answer: {detail}"),
    "hardware.mig_without_slices": Text(
        "MIG is enabled, but no slice was made (`nvidia-smi mig -lgip` lists the profiles)"
    ),
    "hardware.capability_too_low": Text("compute capability {found}: the engine needs {wanted} or later"),
    "hardware.npu_unhealthy": Text(
        "NPU {index} ({name}) reports health `{health}`",
        hint="`npu-smi info -t health -i {index}` says why",
    ),
    "hardware.npu_held": Text(
        "the Ascend driver refuses ({code}): another container holds the NPUs, or this user may not use them",
        hint="stop the other container, or run as the owner of /dev/davinci* (`ls -ln /dev/davinci*`)",
    ),
    "hardware.npu_dcmi_failed": Text(
        "the Ascend driver refuses ({code})",
        hint="`ls -ln /dev/davinci*` and the driver's log (`dmesg`) say more",
    ),
    "hardware.npu_none": Text(
        "npu-smi finds no NPU",
        hint="in a container, map /dev/davinci0 and the following, /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc",
    ),
    "hardware.npu_failed": Text("cannot read npu-smi: {detail}", hint="run `npu-smi info` and see what it says"),
    "hardware.npu_hangs": Text(
        "npu-smi did not answer within {seconds} s",
        hint="run `npu-smi info -t health -i 0` for each NPU; one that hangs needs a reset or a reboot",
    ),
    "hardware.npu_no_tool": Text(
        "an Ascend NPU is there, but npu-smi is not",
        hint="install the Ascend driver; in a container, mount /usr/local/bin/npu-smi and "
        "/usr/local/Ascend/driver/lib64 from the host",
    ),
    "hardware.npu_unknown": Text("`{name}` is no Ascend device that selfhost knows"),
    "hardware.hidden": Text(
        "{variable} is set to `{value}`: an engine started from here sees {kept} of {found}",
        hint="`unset {variable}` to use all",
    ),
    "hardware.busy": Text(
        "accelerator {index} ({name}) is in use: {used} of {total}",
        hint="stop what uses it, or lower `--gpu-memory-utilization`",
    ),
    "hardware.visible_assumed": Text(
        "what an engine can see of `{name}` is not known: {visible} is assumed",
        hint="give it when you know better, as in `--on DEVICE@GIB`",
    ),
}
