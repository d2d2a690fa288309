"""Variables that an engine for Ascend needs of CANN and NNAL: what their `set_env.sh` set, read without a login shell.

Both scripts are run by one bash, which starts with the engine's environment and none of the user's files; what differs
at the end is theirs. The plugin finds neither its operators nor its devices without it (vllm-project/vllm-ascend#262,
#540, #1440). Nothing is changed, and what is missing is told before anything is started.

Not covered: what a later release of CANN sets in another way than by its script.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.errors import MissingError
from selfhost.hardware import cann_folder
from selfhost.hardware.system import run
from selfhost.messages import word
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from selfhost.hardware.system import System

LIMIT_S = 30.0
"""For both scripts; the one of NNAL imports torch to learn its ABI, which is said instead (`--cxx_abi=1`)."""
_INSTALL_INFO = "/etc/ascend_install.info"
_MARK = "\0selfhost\0"
# One argument at a time is the script's own: without `set --` it would see this one's.
_SCRIPT = r"""
toolkit=$1 atb=$2 tell=$(command -v env)
set --
source "$toolkit"
source "$atb" --cxx_abi=1
printf '\0selfhost\0'
"$tell" -0
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_SHELL = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})
_PATHS = ("LD_LIBRARY_PATH", "PATH", "PYTHONPATH")
_LIBRARIES = (
    ("libascend_hal.so", "cann.no_driver_library"),
    ("libascendcl.so", "cann.no_library"),
    ("libhccl.so", "cann.no_library"),
    ("libatb.so", "cann.no_nnal_library"),
)
"""What is loaded first of driver, CANN and NNAL; and the message when it is in none of the folders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cann:
    """An installation of CANN and NNAL, and what it adds to an environment."""

    toolkit_script: Path
    nnal_script: Path
    variables: Mapping[str, str]
    """Only what differs; lists of folders are whole, with what was in them before."""


def read(system: System, base: Mapping[str, str], limit_s: float = LIMIT_S) -> Cann:
    """What CANN and NNAL of this machine add to the environment `base`.

    Raises MissingError when one of them, the driver's libraries or bash is not there, or a script does not work.
    """
    toolkit = _first(_toolkit_scripts(system), "cann.no_toolkit")
    nnal = _first(_nnal_scripts(system), "cann.no_nnal")
    after = _ask(system, base, (toolkit, nnal), limit_s)
    after["LD_LIBRARY_PATH"] = os.pathsep.join((after.get("LD_LIBRARY_PATH", ""), *_driver_folders(system)))
    after |= {name: _once(after[name]) for name in _PATHS if name in after}
    for variable, script in (("ASCEND_HOME_PATH", toolkit), ("ATB_HOME_PATH", nnal)):
        if not Path(after.get(variable) or "/nowhere").is_dir():
            raise MissingError(
                "cann.not_set", variable=variable, script=script, value=after.get(variable) or word("nothing")
            )
    _check_libraries(after["LD_LIBRARY_PATH"])
    return Cann(toolkit_script=toolkit, nnal_script=nnal, variables=differences(base, after))


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Variables that are new or changed, without those of the shell itself and its functions.

    >>> differences({"A": "1", "B": "2"}, {"A": "1", "B": "3", "C": "4", "PWD": "/", "BASH_FUNC_x%%": "() {"})
    {'B': '3', 'C': '4'}
    """
    return {
        name: value
        for name, value in after.items()
        if before.get(name) != value and name not in _OF_THE_SHELL and _NAME.fullmatch(name)
    }


def parse(said: str) -> dict[str, str] | None:
    """What `env -0` said behind the mark; None without the mark: the shell did not get that far."""
    _, mark, told = said.rpartition(_MARK)
    if not mark:
        return None
    return {name: value for name, equals, value in (entry.partition("=") for entry in told.split("\0")) if equals}


def _ask(system: System, base: Mapping[str, str], scripts: tuple[Path, Path], limit_s: float) -> dict[str, str]:
    bash = system.find("bash")
    if bash is None:
        raise MissingError("cann.no_bash", script=scripts[0])
    argv = [bash, "--noprofile", "--norc", "-c", _SCRIPT, "bash", *map(str, scripts)]
    # A variable of these would run a file of the user's, or change how the scripts are read.
    clean = {name: value for name, value in base.items() if name not in {"BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS"}}
    answer = run(argv, clean, limit_s)
    if answer.returncode is None:
        raise MissingError("cann.hangs", scripts=_both(scripts), seconds=f"{limit_s:g}")
    after = parse(answer.output)
    if after is None:
        lines = [line.strip() for line in answer.output.splitlines() if line.strip()]
        detail = "".join(c if c.isprintable() else "?" for c in (lines[-1] if lines else "no output")[:300])
        raise MissingError("cann.script_fails", scripts=_both(scripts), status=answer.returncode, detail=detail)
    return after


def _both(scripts: Iterable[Path]) -> str:
    return " and ".join(f"`{script}`" for script in scripts)


def _first(paths: Iterable[Path], missing: str) -> Path:
    """The first script that is there. Raises MissingError, `missing` when there is none."""
    looked = list(dict.fromkeys(paths))
    for path in looked:
        # False also where a folder above it may not be searched: then it is not there for this user.
        if os.path.isfile(path):  # noqa: PTH113
            if not os.access(path, os.R_OK):
                raise MissingError("cann.not_readable", script=path, uid=os.getuid())
            return path
    raise MissingError(missing, looked=", ".join(map(str, looked)))


def _toolkit_scripts(system: System) -> Iterator[Path]:
    """Of the toolkit whose version is judged; where there is none, all that were looked at."""
    if found := cann_folder.find_cann(system):
        yield from found.scripts
        return
    yield from (folder / cann_folder.SCRIPT for folder in cann_folder.folders(system))


def _nnal_scripts(system: System) -> Iterator[Path]:
    for home in cann_folder.named(system, "ATB_HOME_PATH"):
        # .../nnal/atb/latest/atb/cxx_abi_1
        yield from (folder / cann_folder.SCRIPT for folder in list(home.parents)[:4])
    for root in cann_folder.roots(system):
        yield root / "nnal" / "atb" / cann_folder.SCRIPT


def _driver_folders(system: System) -> list[str]:
    """Folders of the driver's libraries; in a container they are mounted, but in no path."""
    named = re.search(r"^Driver_Install_Path_Param=(/\S+)", system.read(_INSTALL_INFO), re.MULTILINE)
    roots = (system.at(named[1] if named else cann_folder.ROOT), system.at(cann_folder.ROOT))
    folders = [root / "driver" / "lib64" / part for root in roots for part in ("common", "driver", "")]
    return [str(folder) for folder in dict.fromkeys(folders) if folder.is_dir()]


def _once(folders: str) -> str:
    """Each folder once, in order: a script that runs twice adds its own twice."""
    return os.pathsep.join(dict.fromkeys(filter(None, folders.split(os.pathsep))))


def _check_libraries(path: str) -> None:
    folders = [Path(folder) for folder in path.split(os.pathsep) if folder]
    for library, message in _LIBRARIES:
        if not any((folder / library).exists() for folder in folders):
            raise MissingError(message, library=library, path=path or word("nothing"))
