"""Speed and memory of `bundle push` beside `skopeo copy` of the same artifact to the same docker-registry, in turn.

    python -m tests.bench.bench_push [GIB] [DIR]

A model of 2 GiB (or as given) in four files. Each round pushes to an empty registry. Printed: rates by the medians,
their ratio, peak memory of each process. Needs Debian's docker-registry and skopeo.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selfhost.bundle import layout, modelpack, pack
from selfhost.bundle.layout import ModelRef
from selfhost.bundle.write import Content, LinkMode
from selfhost.files import sha256_file
from selfhost.units import GIB, MIB
from selfhost.weights.lock import LockedFile, ModelLock, Origin
from tests.registry.registry_support import run_registry

FILES = 4
ROUNDS = 3


def make(folder: Path, size: int) -> Path:
    """A volume with one model, whose files each repeat a block of their own."""
    locked, contents = [], []
    for number in range(FILES):
        block, path = os.urandom(MIB), folder / f"model-{number}.safetensors"
        with path.open("wb") as stream:
            for _ in range(size // FILES // MIB):
                stream.write(block)
        sha256, count = sha256_file(path), path.stat().st_size
        locked.append(LockedFile(path=path.name, size=count, sha256=sha256))
        contents.append(Content(sha256=sha256, size=count, source=path))
    origin = Origin(kind="huggingface", id="org/bench", revision="a" * 40)
    built = modelpack.build_model(ModelLock(recipe="bench", variant="bf16", source=origin, files=tuple(locked)))
    small = [Content(sha256=modelpack.sha256_of(d), size=len(d), data=d) for d in (built.manifest, built.config)]
    path = folder / layout.volume_name("bench", 1, 1)
    plan = pack.BundlePlan(
        label="bench",
        serial=1,
        tool="bench",
        models=(ModelRef(name="bench", variant="bf16", manifest=built.entry.sha256),),
        base=(),
        have=(),
        index=modelpack.build_index([built.entry]),
        volumes=(pack.VolumePlan(path=path, contents=(*contents, *small)),),
        link=LinkMode.HARD,
    )
    pack.create(plan, pack.Finishing(read_back=False))
    return path


def run(argv: list[str], environ: dict[str, str]) -> tuple[float, int]:
    """Seconds, and peak memory in bytes."""
    began = time.perf_counter()
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    taken = time.perf_counter() - began
    if status:
        sys.exit(process.stderr.read().decode())
    return taken, used.ru_maxrss * 1024


def main(size: int, folder: Path) -> None:
    """Print rates, ratio and memory."""
    program = shutil.which("docker-registry") or sys.exit("docker-registry is missing: install the Debian package")
    volume = make(folder, size)
    auth = folder / "auth.json"
    auth.write_text("{}")
    environ = {**os.environ, "REGISTRY_AUTH_FILE": str(auth), "SELFHOST_HOME": str(folder / "home")}
    taken: dict[str, list[float]] = {"selfhost": [], "skopeo": []}
    memory = dict.fromkeys(taken, 0)
    for number in range(ROUNDS):
        for who, found in taken.items():
            place = folder / f"registry-{who}-{number}"
            with run_registry(program, place) as port:
                host = f"127.0.0.1:{port}"
                argv = {
                    "selfhost": f"{sys.executable} -m selfhost bundle push {volume} {host}/bench:v1 --plain-http",
                    "skopeo": f"skopeo copy --dest-tls-verify=false oci:{volume}:bench/bf16 docker://{host}/bench:v1",
                }[who].split()
                seconds, peak = run(argv, environ)
            found.append(seconds)
            memory[who] = max(memory[who], peak)
            shutil.rmtree(place)
    rates = {who: size / statistics.median(times) / GIB for who, times in taken.items()}
    print("  ".join(f"{who} {rate:.2f} GiB/s, {memory[who] / MIB:.0f} MiB" for who, rate in rates.items()))
    print(f"ratio {rates['selfhost'] / rates['skopeo']:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as temporary:
        main(int(float(sys.argv[1]) * GIB) if len(sys.argv) > 1 else 2 * GIB, Path(temporary))
