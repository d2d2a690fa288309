"""Make a lock anew from its inputs; a developer's tool, never run by selfhost itself (see README.md).

uv resolves for all platforms at once. What no Linux machine with CPython 3.11 to 3.14 installs is then cut, and the
hashes of the CPU torch wheels, which are on PyTorch's own index only, are put in from `torch-cpu-wheels.txt`.
"""
# ruff: noqa: INP001 (a script beside its data, not a module)

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

from packaging.markers import Marker

HERE = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.*?))? \\$")


def main() -> None:
    """`python relock.py UV cpu|cuda|quantize-cpu|quantize-cuda [options of uv, such as --find-links DIR]`."""
    uv, name, *options = sys.argv[1:]
    argv = [uv, "pip", "compile", "--quiet", "--universal", "--no-build", "--generate-hashes", "--no-header"]
    argv += ["--python-version", PYTHONS[0], *options, f"{name}.in"]
    if (HERE / f"{name}.overrides").exists():
        argv += ["--override", f"{name}.overrides"]
    resolved = subprocess.run(argv, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout
    entries = [entry for block in re.split(r"(?m)^(?=[A-Za-z0-9])", resolved) if (entry := _trimmed(block))]
    # First what a registry may not have: an install then learns it before it has downloaded anything else.
    entries.sort(key=lambda entry: "+cpu" not in entry.partition("\n")[0])
    header = f"# Made by relock.py (see README.md) for Linux {', '.join(MACHINES)}; CPython {', '.join(PYTHONS)}.\n"
    (HERE / f"{name}.lock").write_text(header + "".join(entries))


def targets() -> list[dict[str, str]]:
    """Marker environments of the machines that the locks are for."""
    fixed = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return [
        {**fixed, "python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
        for python, machine in itertools.product(PYTHONS, MACHINES)
    ]


def _trimmed(block: str) -> str | None:
    """An entry as it goes into the lock: None when no target installs it, without its marker when all of them do."""
    head, _, rest = block.partition("\n")
    match = _ENTRY.match(head)
    if not match:
        return None
    holds = [not match["marker"] or Marker(match["marker"]).evaluate(target) for target in targets()]
    if not any(holds):
        return None
    if match["version"].endswith("+cpu"):
        rest = _torch_hashes() + re.sub(r"(?m)^    --hash.*\n", "", rest)
    marker = "" if all(holds) else f" ; {match['marker']}"
    return f"{match['name']}=={match['version']}{marker} \\\n{rest}"


def _torch_hashes() -> str:
    lines = (HERE / "torch-cpu-wheels.txt").read_text().splitlines()
    hashes = sorted(line.split()[2] for line in lines if line and not line.startswith("#"))
    return " \\\n".join(f"    --hash=sha256:{digest}" for digest in hashes) + "\n"


if __name__ == "__main__":
    main()
