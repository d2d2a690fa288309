"""A host with NPUs that is none: a tree of files, and an npu-smi that replays captured output. No device is here."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

from selfhost.app import compat
from selfhost.hardware import probe
from selfhost.hardware.system import System

DATA = Path(__file__).parent / "data" / "ascend"
A2, A3 = "910B3_8npu_info_24.1.rc1.b030.txt", "A3_2card_4die_info_25.2.0.txt"
BOARD = "910B_A2_info-t-board_i0_25.5.1.txt"
LISTING = "910B_A2_8npu_info-l_25.5.1.txt"
PACKAGES = {
    "vllm": "0.23.0",
    "vllm-ascend": "0.23.0",
    "torch": "2.10.0+cpu",
    "torch-npu": "2.10.0.post4",
    "triton-ascend": "3.2.2",
}


class AscendHost:
    """Everything matches vllm-ascend 0.23.0 until a test changes it."""

    def __init__(self, root: Path, monkeypatch, table: str = A2):
        self.root = root / "ascend-host"
        self.environments = 0
        self.driver("26.1.0")
        self.cann("9.1.0")
        self.table(table)
        # Devices and driver of whoever runs the tests are left out.
        for module in (probe, compat):
            monkeypatch.setattr(module, "System", self.system)

    def system(self) -> System:
        return System(root=self.root, environ={"PATH": str(self.root / "bin")})

    def file(self, path: str, content: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def driver(self, version: str) -> None:
        self.file("usr/local/Ascend/driver/version.info", f"Version={version}\npackage_version={version}\n")
        self.file("etc/ascend_install.info", "Driver_Install_Type=full\nDriver_Install_Status=complete\n")

    def cann(self, version: str) -> None:
        self.file("usr/local/Ascend/cann/aarch64-linux/ascend_toolkit_install.info", f"version={version}\n")
        for old in (self.root / "usr/local/Ascend/nnal/atb").glob("*"):
            old.rename(old.with_name(version))
        self.file(f"usr/local/Ascend/nnal/atb/{version}/version.info", "")

    def table(self, name: str) -> None:
        self.file(
            "bin/npu-smi",
            f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in info) cat {DATA / name};;\n'
            f'"info -l") cat {DATA / LISTING};;\n'
            f'"info -t board -i 0") cat {DATA / BOARD};; *) exit 1;; esac\n',
        )
        (self.root / "bin" / "npu-smi").chmod(0o755)

    def engine(self, *, build: str = "A2", **changes: str | None) -> Path:
        """Python of an environment with the right packages, some of them changed (`torch_npu="2.9.0"`) or left out."""
        self.environments += 1
        path = self.root / f"engine-{self.environments}"
        venv.create(path, symlinks=True)
        site = path / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
        versions = PACKAGES | {name.replace("_", "-"): version for name, version in changes.items()}
        for name, version in versions.items():
            if version is not None:
                info = site / f"{name.replace('-', '_')}-{version}.dist-info"
                info.mkdir(parents=True)
                (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (site / "vllm_ascend").mkdir()
        # Nothing may import it to find out what it is built for: that loads CANN's libraries.
        (site / "vllm_ascend" / "__init__.py").write_text("raise SystemExit('imported')\n")
        (site / "vllm_ascend" / "_build_info.py").write_text(f"# Auto-generated file\n__device_type__ = '{build}'\n")
        return path / "bin" / "python"
