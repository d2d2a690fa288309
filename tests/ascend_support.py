"""A machine with CANN, NNAL and the driver's libraries in a folder, laid out as their installers do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.system import System

if TYPE_CHECKING:
    from pathlib import Path

# What the scripts of CANN 9.1.0 and of ATB export, by logs that users posted of their environment
# (vllm-project/vllm-ascend issues, section `ENV Variables` of collect_env); the rest of them is not here.
TOOLKIT = """
export ASCEND_TOOLKIT_HOME=@/cann-9.1.0
export ASCEND_HOME_PATH=${ASCEND_TOOLKIT_HOME}
export ASCEND_OPP_PATH=${ASCEND_TOOLKIT_HOME}/opp
export LD_LIBRARY_PATH=${ASCEND_TOOLKIT_HOME}/lib64:${ASCEND_TOOLKIT_HOME}/lib64/plugin/opskernel:$LD_LIBRARY_PATH
export PYTHONPATH=${ASCEND_OPP_PATH}/built-in/op_impl/ai_core/tbe:$PYTHONPATH
export PYTHONPATH=${ASCEND_TOOLKIT_HOME}/python/site-packages:$PYTHONPATH
export PATH=${ASCEND_TOOLKIT_HOME}/bin:$PATH
[ -n "$1" ] && export SEEN_BY_TOOLKIT=$1
"""
NNAL = """
echo "ATB says something"
[ "$1" = --cxx_abi=1 ] || python3 -c 'import torch'
export ATB_HOME_PATH=@/nnal/atb/latest/atb/cxx_abi_1
export LD_LIBRARY_PATH=${ATB_HOME_PATH}/lib:$LD_LIBRARY_PATH
export ATB_WORKSPACE_MEM_ALLOC_GLOBAL=1
export ATB_SHARE_MEMORY_NAME_SUFFIX=""
"""


def install(root: Path, environ: dict[str, str] | None = None) -> System:
    """The machine, and what to change in it: `root / "usr/local/Ascend"`."""
    ascend = root / "usr/local/Ascend"
    for library in (
        *("cann-9.1.0/lib64/libascendcl.so", "cann-9.1.0/lib64/libhccl.so"),
        *("nnal/atb/latest/atb/cxx_abi_1/lib/libatb.so", "driver/lib64/driver/libascend_hal.so"),
        "driver/lib64/common/libc_sec.so",
    ):
        (ascend / library).parent.mkdir(parents=True, exist_ok=True)
        (ascend / library).touch()
    (ascend / "cann-9.1.0/set_env.sh").write_text(TOOLKIT.replace("@", str(ascend)))
    (ascend / "cann").symlink_to("cann-9.1.0")
    (ascend / "nnal/atb/set_env.sh").write_text(NNAL.replace("@", str(ascend)))
    return System(root=root, environ={"PATH": "/usr/bin:/bin", **(environ or {})})
