"""What `selfhost doctor` finds about NVIDIA GPUs."""

from selfhost.messages import Text

MESSAGES = {
    "doctor_cuda.library_differs": Text(
        "CUDA's library is of driver {found}, and driver {loaded} is loaded",
        "{path}; CUDA says 803, NVML says `Driver/library version mismatch`",
        "after an update of the driver: reboot; in a container: make it anew, so that the toolkit mounts the new "
        "library",
    ),
    "doctor_cuda.second_library": Text(
        "a library of another driver lies beside the right one: {path}",
        "it is of {found}, and {loaded} is loaded",
        "remove the package of the old driver",
    ),
    "doctor_cuda.compat": Text(
        "CUDA's compatibility library is found first, and {names} cannot use it",
        "{path}; it is for data centre GPUs, CUDA says 804",
        "take it out of `LD_LIBRARY_PATH` and /etc/ld.so.conf.d, and update the driver instead",
    ),
    "doctor_cuda.missing_nodes": Text(
        "device files are missing: {paths}",
        "CUDA cannot start without them, although `nvidia-smi` answers",
        "on the host: `sudo nvidia-modprobe -c 0 -u`; in a container: start it with `--gpus all`",
    ),
    "doctor_cuda.fabric": Text(
        "GPU {index} is not connected to the others: {state}",
        "the fabric manager connects GPUs behind NVSwitches; until then CUDA says 802",
        "on the host, in the driver's own version: `sudo systemctl restart nvidia-fabricmanager`",
    ),
    "doctor_cuda.no_fabric_manager": Text(
        "there are {count} NVSwitches, and the fabric manager does not run",
        "it connects the GPUs; until then CUDA says 802",
        "install it in the driver's own version: `sudo systemctl enable --now nvidia-fabricmanager`",
    ),
    "doctor_cuda.no_peers": Text(
        "GPUs cannot reach each other's memory",
        "{pairs}\nwhat they exchange goes through main memory, slower",
        "see how they are connected: `nvidia-smi topo -m`; IOMMU and ACS switched off help on some boards",
    ),
    "doctor_cuda.mig_mixture": Text(
        "GPU {cut} is cut into MIG slices, GPU {whole} is not",
        "a process sees one slice, or whole GPUs; CUDA takes the slice when both are visible",
        "choose with `CUDA_VISIBLE_DEVICES`, or undo it: `sudo nvidia-smi -mig 0 -i N`",
    ),
    "doctor_cuda.no_toolkit": Text(
        "{runtime} is here, and NVIDIA's container toolkit is not",
        "containers get no GPUs",
        "install the package `nvidia-container-toolkit`, then `sudo nvidia-ctk cdi generate "
        "--output=/etc/cdi/nvidia.yaml`",
    ),
    "doctor_cuda.stale_cdi": Text(
        "containers would get libraries of driver {found}, and {loaded} is loaded",
        "{path} was written before the driver was updated",
        "write it anew: `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
    ),
    "doctor_cuda.no_cdi": Text(
        "`nvidia-ctk cdi list` names no GPU",
        "{runtime} finds GPUs by their CDI names, `nvidia.com/gpu=all`",
        "`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`",
    ),
    "doctor_cuda.no_engine": Text(
        "there are GPUs, and no engine for them is installed",
        hint="`selfhost engine install cuda`, or use an image of one",
    ),
    "doctor_cuda.ecc": Text(
        "GPU {index}: {count} errors of its memory that could not be corrected, since the driver was loaded",
        hint="end what runs on it and reset it: `sudo nvidia-smi -r -i {index}`; when they come back, have it replaced",
    ),
    "doctor_cuda.ecc_ever": Text(
        "GPU {index}: {count} errors of its memory that could not be corrected, all before the driver was loaded",
        hint="watch it: `nvidia-smi -q -d ECC,ROW_REMAPPER -i {index}`",
    ),
    "doctor_cuda.ecc_off": Text(
        "GPU {index}: correction of memory errors is switched off",
        "a wrong bit is not noticed",
        "`sudo nvidia-smi -e 1 -i {index}`, then reboot",
    ),
    "doctor_cuda.remap_pending": Text(
        "GPU {index}: memory waits to be replaced by spare memory",
        "that happens at a reset",
        "end what runs on it: `sudo nvidia-smi -r -i {index}`, or reboot",
    ),
    "doctor_cuda.remap_failed": Text(
        "GPU {index}: bad memory could not be replaced, no spare is left",
        hint="have the board replaced: `nvidia-smi -q -d ROW_REMAPPER -i {index}` is the evidence",
    ),
    "doctor_cuda.slowed": Text(
        "GPU {index} is slowed down by {reasons}",
        hint="see temperatures and power: `nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER -i {index}`; then air, "
        "cables and power supplies",
    ),
    "doctor_cuda.pcie_width": Text(
        "GPU {index} has {found} lanes of the bus, it could have {wanted}",
        "loading weights and traffic between GPUs are slower",
        "another slot or riser, and `sudo lspci -vv` (LnkCap, LnkSta)",
    ),
    "doctor_cuda.links_down": Text(
        "GPU {index}: NVLinks are down: {links}",
        hint="`nvidia-smi nvlink -s -i {index}`; a bridge that is loose, or Xid 74 in the kernel's log",
    ),
    "doctor_cuda.persistence": Text(
        "persistence mode is off for GPU {indices}",
        "the driver unloads when nobody uses them: the next start takes seconds longer, settings are lost",
        "`sudo systemctl enable --now nvidia-persistenced`, or `sudo nvidia-smi -pm 1` until the next boot",
    ),
    "doctor_cuda.prohibited": Text(
        "GPU {index} is in compute mode `Prohibited`",
        "CUDA cannot be used on it",
        "`sudo nvidia-smi -c 0 -i {index}`",
    ),
    "doctor_cuda.exclusive": Text(
        "GPU {index} is in compute mode `Exclusive_Process`",
        "one process at a time: a second server on it fails",
        "`sudo nvidia-smi -c 0 -i {index}` when several should share it",
    ),
    "doctor_cuda.sxid": Text(
        "NVSwitch {bus}: fatal error {number}, {count} times",
        "{line}",
        "reboot; when it comes back, have it replaced",
    ),
    "doctor_cuda.xid_hardware": Text(
        "GPU at {bus}: Xid {number}, {count} times since the machine was started",
        "{line}",
        "a fault of the board, its memory, links or power: reset or reboot, and have it replaced when it comes back",
    ),
    "doctor_cuda.xid_application": Text(
        "GPU at {bus}: Xid {number}, {count} times since the machine was started",
        "{line}",
        "a program did something wrong there, or was ended; look at the log of what ran then: "
        "`selfhost doctor --log FILE`",
    ),
    "doctor_cuda.xid": Text(
        "GPU at {bus}: Xid {number}, {count} times since the machine was started",
        "{line}",
        "look the number up",
    ),
}
