"""What `selfhost doctor` finds about Ascend NPUs."""

from selfhost.messages import Text

MESSAGES = {
    "doctor_ascend.no_driver_files": Text(
        "/usr/local/Ascend/driver/version.info is not there",
        "CANN reads the driver's version from it",
        "install the driver on the host; in a container, mount that file and /usr/local/Ascend/driver/lib64",
    ),
    "doctor_ascend.no_node": Text(
        "the device file {path} is not there",
        hint="on the host: is the driver loaded? `npu-smi info`; in a container: `--device {path}`",
    ),
    "doctor_ascend.shut_nodes": Text(
        "this user may not use {paths}",
        "they belong to HwHiAiUser, mostly uid and gid 1000, mode 0660",
        "run as that user or in its group (`--group-add 1000`); as root keep the capability CAP_DAC_OVERRIDE",
    ),
    "doctor_ascend.no_davinci": Text(
        "npu-smi tells of {told} devices, and there is no /dev/davinci0",
        hint="in a container: `--device /dev/davinci0` for each, and the three that all need: "
        "davinci_manager, devmm_svm, hisi_hdc",
    ),
    "doctor_ascend.no_cann": Text(
        "CANN is not found",
        "looked for: `ASCEND_TOOLKIT_HOME`, `ASCEND_HOME_PATH`, /usr/local/Ascend/cann, "
        "/usr/local/Ascend/ascend-toolkit",
        "use the image of vllm-ascend for this family, or install the CANN toolkit, its `ops` package and NNAL",
    ),
    "doctor_ascend.no_set_env": Text(
        "this shell does not have CANN's variables: {names}",
        "`selfhost serve` reads them from CANN's and NNAL's own scripts; an engine that is started by hand does not",
        "by hand: `{source}`",
    ),
    "doctor_ascend.no_library_path": Text(
        "the driver's libraries are not on `LD_LIBRARY_PATH`",
        "`selfhost serve` adds them; an engine that is started by hand does not find them",
        "by hand: add /usr/local/Ascend/driver/lib64/common and /usr/local/Ascend/driver/lib64/driver",
    ),
    "doctor_ascend.bad_buffer": Text(
        "`HCCL_BUFFSIZE` is no size: `{value}`",
        "megabytes above 0; 200 when it is not set",
        "`export HCCL_BUFFSIZE=200`",
    ),
    "doctor_ascend.two_allocators": Text(
        "`PYTORCH_NPU_ALLOC_CONF` and `PYTORCH_ALLOC_CONF` are both set",
        "torch_npu for torch 2.10 refuses that",
        "`unset PYTORCH_ALLOC_CONF`",
    ),
    "doctor_ascend.blocking": Text(
        "`ASCEND_LAUNCH_BLOCKING` is 1",
        "graphs cannot be captured with it",
        "`unset ASCEND_LAUNCH_BLOCKING`, or serve with `--enforce-eager`",
    ),
    "doctor_ascend.no_preload": Text(
        "`LD_PRELOAD` names a file that is not there: {path}",
        "every program says so, and runs without it",
        "install jemalloc, or take it out of `LD_PRELOAD`",
    ),
    "doctor_ascend.numa_balancing": Text(
        "the kernel moves memory between NUMA nodes",
        "the vendor's guides switch it off for inference",
        "`sudo sysctl kernel.numa_balancing=0`",
    ),
    "doctor_ascend.no_hccn_conf": Text(
        "/etc/hccn.conf is not there",
        "it has the addresses of the NPUs' own network; one node does without",
        "for several nodes: set them with `hccn_tool`, and mount the file into containers",
    ),
}
