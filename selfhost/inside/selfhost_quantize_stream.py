"""Makes a quantized checkpoint without data, shard by shard. Runs over there, in the `quantize` environment.

    QUANTIZE_PYTHON selfhost_quantize_stream.py JOB.json

JOB: {"schema_version": 1, "scheme": "fp8" | "fp8-block" | "w8a16" | "int8" | "nf4" | "bf16", "source": DIR,
"target": DIR, "group_size": N or null, "ignore": [more entries, see selfhost_quantize_names.py], "device": "auto" |
"cpu" | "cuda", "jobs": N or null}. Prints one JSON object a line: `plan`, `progress`, `file` (one is finished, or kept
from an earlier run), `done` with size and sha256 of every file, or `error` with an id and parameters and exit status 1.

Memory: some megabytes for each thread and the scales of two files, whatever the size of the model or of its files.
One file of the output for each of the input, written under `.selfhost-quantize/`, read back, synced and only then
renamed; a run that was killed goes on with the first file that is not there.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost_quantize_config import model_types, new_section, section, with_section
from selfhost_quantize_events import Progress, Refused, attempt, take_stdout, tell
from selfhost_quantize_files import (
    CONFIG,
    INDEX,
    ITEM_BITS,
    Tensor,
    others,
    read_header,
    read_json,
    weight_files,
    write_json,
)
from selfhost_quantize_names import HEAD, SPLIT_EXPERTS, choose, entries_of
from selfhost_quantize_state import State, job_digest, sha256_of

if TYPE_CHECKING:
    from selfhost_quantize_shards import Shard

SCHEME_NAMES = ("fp8", "fp8-block", "w8a16", "int8", "nf4", "bf16")
_PACKED = ("I8", "U8", "I16", "U16", "I32", "U32", "F8_E4M3", "F8_E5M2", "F8_E8M0")
"""What numbers of fewer bits lie in; matrices of 64 bits are tables of positions."""


class Job:
    """What is asked for, with the source's config; raises Refused for a job that cannot be done."""

    def __init__(self, raw: dict[str, Any]) -> None:
        try:
            self.scheme = str(raw["scheme"])
            self.source, self.target = Path(raw["source"]), Path(raw["target"])
            self.group_size = int(raw["group_size"]) if raw.get("group_size") else None
            self.ignore = tuple(str(entry) for entry in raw.get("ignore") or ())
            self.device = str(raw.get("device") or "auto")
            self.jobs = int(raw.get("jobs") or len(os.sched_getaffinity(0)))
        except (LookupError, TypeError, ValueError) as error:
            raise Refused("quantize.bad_job", detail=str(error)) from error
        if self.scheme not in SCHEME_NAMES or raw.get("schema_version") != 1:
            raise Refused("quantize.bad_job", detail=f"scheme {self.scheme}, schema {raw.get('schema_version')}")
        self.config = read_json(self.source / CONFIG)
        said = section(self.config)
        if said and self.scheme != "bf16":
            raise Refused("quantize.already", method=str(said.get("quant_method", "unknown")))

    @property
    def dtype(self) -> str:
        """The model's, as its config spells it."""
        return "float16" if "float16" in (self.config.get("dtype"), self.config.get("torch_dtype")) else "bfloat16"


def checkpoint(job: Job) -> dict[Path, list[Tensor]]:
    """The tensors of each file of the source, experts one by one; raises Refused for what cannot be read."""
    found: dict[Path, list[Tensor]] = {}
    splits = any(kind in SPLIT_EXPERTS for kind in model_types(job.config))
    for path in weight_files(job.source):
        found[path] = []
        for tensor in read_header(path).values():
            found[path] += _experts(tensor, splits=splits)
    return found


def _experts(tensor: Tensor, *, splits: bool) -> list[Tensor]:
    """All experts of a layer in one tensor are cut: gate and up of the first, of the second, and so on."""
    before, _, last = tensor.name.removesuffix(".weight").rpartition(".")
    if len(tensor.shape) != 3 or not before.endswith("experts"):  # noqa: PLR2004
        return [tensor]
    names = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}.get(last)
    if not splits or names is None or tensor.shape[1] % len(names):
        raise Refused("quantize.experts", tensor=tensor.name, shape=list(tensor.shape))
    count, rows, columns = tensor.shape[0], tensor.shape[1] // len(names), tensor.shape[2]
    size = tensor.size // (count * len(names))
    pieces = [(expert, name) for expert in range(count) for name in names]
    return [
        Tensor(
            f"{before}.{expert}.{name}.weight",
            tensor.dtype,
            (rows, columns),
            tensor.file,
            tensor.start + n * size,
            size,
        )
        for n, (expert, name) in enumerate(pieces)
    ]


def refuse_packed(copied: list[Tensor]) -> None:
    """Raises Refused for a matrix that is quantized in a way that is not read here, and would be copied as it is."""
    for tensor in copied:
        packed = tensor.dtype in _PACKED and len(tensor.shape) > 1
        if packed or tensor.dtype not in ITEM_BITS:
            raise Refused("quantize.dtype", tensor=tensor.name, dtype=tensor.dtype)


def plan(job: Job, files: dict[Path, list[Tensor]]) -> tuple[list[Shard], dict[str, Any] | None]:
    """What each file becomes, and the section of the new config; raises Refused before anything is written."""
    from selfhost_quantize_bf16 import is_dropped, scale_names, to_bf16
    from selfhost_quantize_schemes import SCHEMES, Scheme
    from selfhost_quantize_shards import Shard, cached_reader

    everything = {tensor.name: tensor for tensors in files.values() for tensor in tensors}
    matrices = [tensor for tensor in everything.values() if tensor.name.endswith(".weight") and len(tensor.shape) == 2]  # noqa: PLR2004
    new, dropped = None, set()
    scheme: Scheme
    if job.scheme == "bf16":
        scales = scale_names(everything)
        if not scales:
            raise Refused("quantize.not_fp8", path=str(job.source))
        block = section(job.config).get("weight_block_size")
        scheme = to_bf16({name: everything[scale] for name, scale in scales.items()}, cached_reader(), block)
        chosen = set(scales)
        dropped = {*scales.values(), *(name for name in everything if is_dropped(name))}
    else:
        modules = [tensor.name.removesuffix(".weight") for tensor in matrices]
        choice = choose(modules, entries_of(model_types(job.config), job.ignore))
        scheme = SCHEMES[job.scheme](job.group_size)
        chosen = {f"{module}.weight" for module in choice.quantized}
        entries = choice.entries
        if job.scheme in ("int8", "nf4"):
            entries = (*(entry for entry in entries if not entry.startswith("re:")), *choice.by_pattern)
        new = new_section(job.scheme, entries or (HEAD,), job.group_size, job.dtype)
        if not chosen:
            raise Refused("quantize.nothing", path=str(job.source))
    shards = []
    for path, tensors in files.items():
        kept = [tensor for tensor in tensors if tensor.name not in dropped]
        refuse_packed([tensor for tensor in kept if tensor.name not in chosen])
        shards.append(Shard(path, kept, {tensor.name: scheme for tensor in kept if tensor.name in chosen}))
    return [shard for shard in shards if shard.tensors], new


def run(job: Job) -> None:
    """Do the job; tells of it as it goes."""
    from selfhost_quantize_shards import Converter, device_of

    began = time.monotonic()
    files = checkpoint(job)
    shards, new = plan(job, files)
    for shard in shards:
        shard.outs()
    device = device_of(job.device)
    size = sum(shard.size for shard in shards)
    tell(
        "plan", files=len(shards), bytes=size, device=str(device), quantized=sum(len(shard.schemes) for shard in shards)
    )
    state = State(job.target, job_digest(job.scheme, job.group_size, job.ignore, files))
    kept = [shard for shard in shards if state.has(shard.path.name)]
    for shard in kept:
        tell("file", path=shard.path.name, **state.files[shard.path.name], kept=True)
    progress = Progress(sum(shard.size for shard in kept))
    Converter(device, job.jobs, state, progress).convert([shard for shard in shards if shard not in kept])
    found = {**state.files, **finish(job, shards, new)}
    shutil.rmtree(state.folder)
    tell(
        "done",
        files=[{"path": path, **found[path]} for path in sorted(found)],
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        seconds=round(time.monotonic() - began, 3),
        kept=len(kept),
        versions={name: metadata.version(name) for name in ("torch", "bitsandbytes") if _installed(name)},
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def finish(job: Job, shards: list[Shard], new: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Write what is no weight: index, config, and copies; size and sha256 of each."""
    paths = others(job.source)
    for path in paths:
        (job.target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(job.source / path, job.target / path)
    write_json(job.target / CONFIG, with_section(job.config, new))
    paths.append(Path(CONFIG))
    if len(shards) > 1 or (job.source / INDEX).is_file():
        outs = [(out, shard.path.name) for shard in shards for out in shard.outs()]
        total = sum(out.size for out, _ in outs)
        weight_map = {out.name: name for out, name in sorted(outs, key=lambda pair: pair[0].name)}
        write_json(job.target / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})
        paths.append(Path(INDEX))
    return {
        str(path): {"size": (job.target / path).stat().st_size, "sha256": sha256_of(job.target / path)}
        for path in paths
    }


def main(path: str) -> int:
    """Run a job; the exit status."""
    # One thread of ours for each of the processor's: the libraries' own would only get in the way.
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    take_stdout()
    return attempt(lambda raw: run(Job(raw)), path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
