"""A machine to probe: a tree of files, tools on a PATH, and an NVML, all of them the test's."""

from __future__ import annotations

from pathlib import Path

from selfhost.hardware.probe import probe
from selfhost.hardware.system import System

DATA = Path(__file__).parents[1] / "data"
NVIDIA, ASCEND = DATA / "nvidia", DATA / "ascend"


class Machine:
    """A root directory, a PATH and an NVML that tests fill."""

    def __init__(self, root: Path):
        self.root, self.bin, self.nvml = root / "root", root / "bin", ("/bin/cat", str(NVIDIA / "absent"))
        self.root.mkdir()
        self.bin.mkdir()
        self.environ = {"PATH": str(self.bin)}

    def file(self, path: str, content: str = "") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def tool(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\necho {name} $* >> {self.bin}/calls\n{body}\n")
        path.chmod(0o755)

    def nvml_does(self, body: str) -> None:
        self.nvml = ("/bin/sh", "-c", f"PATH=/usr/bin:/bin; {body}")

    def says_nvml(self, name: str) -> None:
        """NVML answers with a recorded file; its indentation is undone, as the child prints one line."""
        self.nvml_does(f"tr -d '\\n' < {NVIDIA / name}")
        self.file("dev/nvidiactl")

    def npu_smi(self, **answers: str) -> None:
        """npu-smi replays captures by its arguments: `info`, `m`, `board`, `chip` (a board with `-c`), `topo`."""
        cases = {"m": "'info -m'", "chip": "'info -t board'*-c*", "board": "'info -t board'*", "topo": "'info -t topo'"}
        body = [f"{cases[name]}) cat '{ASCEND / answers[name]}.txt';;" for name in cases if name in answers]
        self.tool(
            "npu-smi",
            f"case \"$*\" in info) cat '{ASCEND / answers['info']}.txt';;\n" + "\n".join(body) + "\n*) exit 1;; esac",
        )

    def nodes(self, *numbers: int) -> None:
        """Device nodes; files will do."""
        for number in numbers:
            self.file(f"dev/davinci{number}")

    def pci(self, vendor: str, device: str, count: int = 1, kind: str = "0x120000") -> None:
        """Devices on the PCI bus."""
        for number in range(count):
            for name, value in (("vendor", vendor), ("device", device), ("class", kind)):
                self.file(f"sys/bus/pci/devices/0000:{number + 1:02x}:00.0/{name}", f"{value}\n")

    def probe(self, limit_s: float = 5.0, torch_npu=tuple):
        """Probe it, each call within the limit, all within twice that."""
        system = System(
            root=self.root,
            environ=self.environ,
            nvml_argv=self.nvml,
            call_limit_s=limit_s,
            npu_limit_s=limit_s,
            total_limit_s=2 * limit_s,
            torch_limit_s=limit_s,
        )
        return probe(self.root / "home", system, torch_npu)

    def calls(self) -> list[str]:
        path = self.bin / "calls"
        return path.read_text().splitlines() if path.exists() else []
