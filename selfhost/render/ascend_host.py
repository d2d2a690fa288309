"""On machines without containers: CANN's and NNAL's variables for an engine that systemd starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.render.deployment import Entry
from selfhost.render.rendered import RenderedFile, header

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

NAME = "with-ascend.sh"
_SCRIPT = r"""# Runs a command with what the scripts of CANN and NNAL set, which a unit cannot source.
# Installed elsewhere than under /usr/local/Ascend: change `root`. It has not been run on a device.
root=/usr/local/Ascend
command=("$@")
# What is sourced would take the words of the command for its own.
set --
toolkit=$root/ascend-toolkit/set_env.sh
[ -r "$toolkit" ] || toolkit=$root/cann/set_env.sh
for script in "$toolkit" "$root/nnal/atb/set_env.sh"; do
    [ -r "$script" ] || { echo "$script is not there, or may not be read by $(id -un)" >&2; exit 78; }
done
source "$toolkit"
# The ABI of the engine's torch, which the script would import torch to learn.
source "$root/nnal/atb/set_env.sh" --cxx_abi=1
for folder in "$root"/driver/lib64/common "$root"/driver/lib64/driver; do
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
export LD_LIBRARY_PATH
exec "${command[@]}"
"""
"""In the order in which `hardware.cann_folder` looks. 78: EX_CONFIG of sysexits.h."""


def is_wanted(deployment: Deployment) -> bool:
    """Whether the unit has to start the engine by the script: `selfhost serve` reads those of CANN itself."""
    return deployment.platform is Platform.ASCEND and deployment.entry is Entry.STOCK


def script(deployment: Deployment) -> RenderedFile:
    """The script beside the unit."""
    return RenderedFile(path=NAME, text=header(deployment) + _SCRIPT)
