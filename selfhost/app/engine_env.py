"""The environment an engine process gets: the caller's, without secrets, with the plan's variables and our marks."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.engines.owned import VARIABLES
from selfhost.hardware.types import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.hardware.system import System
    from selfhost.planner.plan import Plan
    from selfhost.serve.certificate import Pair

INSIDE = Path(__file__).resolve().parent.parent / "inside"
LAUNCHER = INSIDE / "selfhost_launch.py"
_QUIET_FLAG = "--disable-access-log-for-endpoints"
"""Of vLLM 0.23 as well, which vllm-ascend is built on."""
GATE_CLASS = "selfhost_gate.Gate"

# An engine opens files by path and needs no account anywhere; what it does not know it cannot log.
_SECRET = re.compile(
    r"(?:^|_)(?:API_?KEY|TOKEN|SECRET|SECRET_KEY|ACCESS_KEY|ACCESS_KEY_ID|CREDENTIALS|PAT)$|PASSW(?:OR)?D$",
    re.IGNORECASE,
)
_SECRET_NAMES = frozenset({"HUGGING_FACE_HUB_TOKEN", "MYSQL_PWD", "SSH_AUTH_SOCK", "GIT_ASKPASS"})
# Another Python's settings; and vLLM's own logging, whose format is read for phases and causes.
_FOREIGN = frozenset(
    {
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "VIRTUAL_ENV",
        "VLLM_LOGGING_CONFIG_PATH",
        "VLLM_LOGGING_LEVEL",
        "VLLM_LOGGING_PREFIX",
        "VLLM_LOGGING_STREAM",
        "VLLM_CONFIGURE_LOGGING",
        "VLLM_PROCESS_NAME_PREFIX",
    }
)
_OURS = ("SELFHOST_GATE", "SELFHOST_SERVER")


def is_secret(name: str) -> bool:
    """Whether a variable by its name holds something an engine must not see.

    >>> is_secret("HF_TOKEN"), is_secret("OPENAI_API_KEY"), is_secret("TOKENIZERS_PARALLELISM")
    (True, True, False)
    """
    return name in _SECRET_NAMES or bool(_SECRET.search(name))


def inherited(parent: Mapping[str, str]) -> dict[str, str]:
    """What an engine gets of the caller's environment."""
    dropped = _FOREIGN.union(_OURS, VARIABLES)
    return {name: value for name, value in parent.items() if not is_secret(name) and name not in dropped}


def of_machine(plan: Plan, python: Path) -> dict[str, str]:
    """Variables that the engine needs of this machine's installation; only Ascend has some. Raises MissingError."""
    if plan.hardware.device.platform is not Platform.ASCEND:
        return {}
    from selfhost.hardware.system import System

    return cann_env(System(), python)


def cann_env(system: System, python: Path) -> dict[str, str]:
    """What CANN of this machine adds to an engine's environment. Raises MissingError when it is not whole.

    The engine's own folder comes first in PATH, as in an environment that is activated: CANN runs `python3`. Nothing is
    taken that would not be taken from the caller.
    """
    from selfhost.engines import cann

    base = inherited(system.environ)
    base["PATH"] = os.pathsep.join(filter(None, (str(python.parent), base.get("PATH", os.defpath))))
    found = {"PATH": base["PATH"], **cann.read(system, base).variables}
    return {name: value for name, value in found.items() if name == "PYTHONPATH" or inherited({name: value})}


def engine_env(  # noqa: PLR0913 - two environments and four facts
    parent: Mapping[str, str], planned: Mapping[str, str], *, mark: str, gate: Path, cache: Path, has_home: bool
) -> dict[str, str]:
    """Variables for the engine process; the plan's win over the caller's.

    cache: a directory for what the engine caches when the user has no home directory of their own (`has_home`).
    """
    env = inherited(parent)
    if "PYTORCH_NPU_ALLOC_CONF" in planned:
        # The same for any device since torch 2.10; torch_npu takes one of the two only.
        env.pop("PYTORCH_ALLOC_CONF", None)
    if not has_home:
        # A container may run under a uid without a passwd entry and without HOME; torch asks for a user name.
        env |= {"HOME": str(cache), "USER": "selfhost", "LOGNAME": "selfhost"}
    return env | {
        **planned,
        # CANN has modules of its own that operators are compiled with.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(INSIDE), planned.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        "SELFHOST_GATE": str(gate),
        "SELFHOST_SERVER": mark,
        # setproctitle writes over the environment block, where the mark is read from, unless told not to.
        # Source: py-setproctitle's README, "Environment variables".
        "SPT_NOENV": "1",
    }


def engine_command(python: Path, plan: Plan) -> tuple[str, ...]:
    """The planned `vllm serve ...` as it is executed: through our launcher, with our front door."""
    # The supervisor asks these every few seconds: a log line each time would bury everything else.
    quiet = () if _QUIET_FLAG in plan.argv else (_QUIET_FLAG, "/health,/metrics")
    return (str(python), str(LAUNCHER), *plan.argv[1:], *quiet, "--middleware", GATE_CLASS)


def tls_options(tls: Pair | None) -> tuple[str, ...]:
    """The engine's own options for HTTPS; it reads the files again when they change: to renew them needs no restart."""
    if tls is None:
        return ()
    certfile, keyfile = tls.certfile.absolute(), tls.keyfile.absolute()
    return ("--ssl-certfile", str(certfile), "--ssl-keyfile", str(keyfile), "--enable-ssl-refresh")
