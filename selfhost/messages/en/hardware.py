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
    "hardware.unsupported_310": Text("Ascend 310: vllm-ascend starts with the 310P"),
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
    "hardware.npu_faulty": Text(
        "NPU {index} ({name}) reports health `{health}`, faults {codes}",
        hint="`npu-smi info -t health -i {index}` has their names; a reset or a reboot clears what can be cleared",
    ),
    "hardware.npu_held": Text(
        "the Ascend driver refuses ({code}, an inner error): in a container, another one holds the NPUs, or this user "
        "may not use them",
        hint="stop the other container, or run as the owner of /dev/davinci* (`ls -ln /dev/davinci*`); root needs "
        "CAP_DAC_OVERRIDE; of an A3 card, map both dies",
    ),
    "hardware.npu_occupied": Text(
        "another container or process holds the NPUs ({code})",
        hint="stop it; several containers share an NPU after `npu-smi set -t device-share -i CARD -c CHIP -d 1` on the "
        "host",
    ),
    "hardware.npu_not_permitted": Text(
        "this user may not ask the Ascend driver ({code})",
        hint="run as the owner of /dev/davinci* (`ls -ln /dev/davinci*`), or add this user to its group",
    ),
    "hardware.npu_no_answer": Text(
        "the Ascend driver does not reach the NPUs ({code}, time or message lost)",
        hint="`dmesg | grep -i -e devdrv -e davinci` says more; reset the NPU (`npu-smi set -t reset -i CARD -c CHIP`) "
        "or reboot, and compare driver and firmware",
    ),
    "hardware.npu_not_there": Text(
        "the Ascend driver finds no such NPU ({code})",
        hint="compare `ls /dev/davinci*` with `npu-smi info -l`; in a container, map the devices and "
        "/dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc",
    ),
    "hardware.npu_not_ready": Text(
        "the NPUs are not ready ({code}): being reset, or just after it",
        hint="try again in a minute; when it stays, reboot",
    ),
    "hardware.npu_not_in_container": Text(
        "the Ascend driver does not tell this within a container ({code})",
        hint="run `selfhost detect --json` on the host",
    ),
    "hardware.npu_upgrading": Text(
        "the firmware of the NPUs is being upgraded ({code})",
        hint="wait until it is done, then reboot",
    ),
    "hardware.npu_not_queried": Text(
        "the Ascend driver does not support this question ({code})",
        hint="the versions of npu-smi and driver may differ: `npu-smi -v`, `cat /usr/local/Ascend/driver/version.info`",
    ),
    "hardware.npu_dcmi_failed": Text(
        "the Ascend driver refuses ({code})",
        hint="`ls -ln /dev/davinci*` and the driver's log (`dmesg`) say more",
    ),
    "hardware.npu_none": Text(
        "npu-smi finds no NPU",
        hint="in a container, map /dev/davinci0 and the following, /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc",
    ),
    "hardware.npu_no_library": Text(
        "npu-smi does not find its libraries: {detail}",
        hint="in a container, mount /usr/local/Ascend/driver/lib64 and /usr/local/dcmi from the host; on a host, "
        "install the driver again",
    ),
    "hardware.npu_not_run": Text(
        "npu-smi cannot be run: {detail}",
        hint="`ls -l $(command -v npu-smi)`; it must be of this machine's processor, and executable",
    ),
    "hardware.npu_failed": Text("cannot read npu-smi: {detail}", hint="run `npu-smi info` and see what it says"),
    "hardware.npu_hangs": Text(
        "npu-smi did not answer within {seconds} s",
        hint="run `npu-smi info -t health -i 0` for each NPU; one that hangs needs a reset or a reboot",
    ),
    "hardware.npu_part_hangs": Text(
        "`npu-smi info {question}` did not answer in time: what it tells is not known, and nothing more was asked",
        hint="run `npu-smi info -t health -i 0` for each NPU; one that hangs needs a reset or a reboot",
    ),
    "hardware.npu_no_tool": Text(
        "an Ascend NPU is there, but npu-smi is not",
        hint="install the Ascend driver; in a container, mount /usr/local/bin/npu-smi and "
        "/usr/local/Ascend/driver/lib64 from the host",
    ),
    "hardware.npu_on_bus": Text(
        "{count} Ascend NPUs ({families}) are on the PCI bus, but no driver is here",
        hint="install the Ascend driver; in a container, map /dev/davinci* and mount the driver from the host",
    ),
    "hardware.npu_not_loaded": Text(
        "{count} Ascend NPUs are on the PCI bus and a driver is installed, but it made no devices",
        hint="reboot after an installation; `dmesg | grep -i devdrv` says why its modules are not loaded; in a "
        "container, map /dev/davinci*",
    ),
    "hardware.npu_driver_differs": Text(
        "the running Ascend driver is {running}, its files are of {files}",
        hint="reboot after an update of the driver; in a container, mount the files of the host's",
    ),
    "hardware.npu_firmware": Text(
        "firmware {firmware} does not go with driver {driver}, which takes {wanted}",
        hint="install the pair of one release: driver first, then firmware, then reboot",
    ),
    "hardware.npu_by_torch": Text(
        "the NPUs were asked through torch_npu ({python}): no health, no processes, no driver version",
    ),
    "hardware.npu_torch_failed": Text(
        "torch_npu ({python}) does not tell of the NPUs either: {detail}",
        hint="`source` the set_env.sh of the CANN toolkit first",
    ),
    "hardware.npu_torch_silent": Text("no answer in time"),
    "hardware.npu_unread": Text("its kind and memory are not known: {detail}"),
    "hardware.npu_unknown": Text("`{name}` is no Ascend device that selfhost knows"),
    "hardware.npu_no_memory": Text("how much memory it has is not told"),
    "hardware.npu_half_installed": Text(
        "the Ascend driver was not installed to the end",
        hint="install it again: `cat /etc/ascend_install.info` must say Driver_Install_Status=complete",
    ),
    "hardware.npu_cut": Text(
        "the output of npu-smi is cut or damaged: {count} of its rows are not read, {read} devices are",
        hint="compare with `npu-smi info`",
    ),
    "hardware.npu_incompatible": Text(
        "driver {driver} and firmware {firmware} do not go together: npu-smi says `{said}`",
        hint="install the pair of one release, the driver first, and reboot",
    ),
    "hardware.npu_no_node": Text(
        "npu-smi lists NPUs without a device node here: {nodes}",
        hint="in a container, map them; an engine cannot open what has no node",
    ),
    "hardware.npu_not_listed": Text(
        "device nodes that npu-smi does not list ({read} NPUs are): {nodes}",
        hint="`npu-smi info -l` and `dmesg` tell whether a card was lost",
    ),
    "hardware.npu_mixed": Text(
        "NPUs of different kinds: {kinds}",
        hint="an engine takes those of one kind: give them with ASCEND_RT_VISIBLE_DEVICES, or plan `--on` one kind",
    ),
    "hardware.npu_half_card": Text(
        "only one die of the A3 card is here: card {cards}",
        hint="hand over whole cards: both /dev/davinciN of each",
    ),
    "hardware.hidden_unknown": Text(
        "{variable} is set to `{value}`: which NPUs it leaves is not known, as npu-smi does not tell their logical ids",
        hint="see `npu-smi info -m`; `unset {variable}` to use all",
    ),
    "hardware.hidden": Text(
        "{variable} is set to `{value}`: an engine started from here sees {kept} of {found}",
        hint="`unset {variable}` to use all",
    ),
    "hardware.busy": Text(
        "accelerator {index} ({name}) is in use: {used} of {total}{by}",
        hint="stop what uses it, or lower `--gpu-memory-utilization`",
    ),
    "hardware.visible_assumed": Text(
        "what an engine can see of `{name}` is not known: {visible} is assumed",
        hint="give it when you know better, as in `--on DEVICE@GIB`",
    ),
}
