"""Files of a checkpoint, read in stretches of rows by many threads and written where they belong.

Runs in the `quantize` environment. Rows are read and written with positions, so threads share nothing but the file.
"""

from __future__ import annotations

import hashlib
import math
import os
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from selfhost_quantize_events import Progress, Refused, tell
from selfhost_quantize_files import ITEM_BITS, Out, Tensor, layout, read_header
from selfhost_quantize_schemes import DTYPES, PLAIN, Scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost_quantize_state import State

STRETCH = 1 << 20
"""Weights that a thread takes at a time: what they grow to on the way still fits a processor's cache."""
_ON_A_GPU, _FEED_A_GPU = 1 << 25, 4
"""There: weights at a time, and threads."""
_COPIED = 8 << 20
"""Bytes that a thread copies at a time."""
_READ_BACK = 4 << 20


def device_of(wanted: str) -> torch.device:
    """`auto`: a GPU where torch sees one. Raises Refused for a device that is not there."""
    has = torch.cuda.is_available()
    if wanted == "auto":
        return torch.device("cuda" if has else "cpu")
    if wanted not in ("cpu", "cuda") or (wanted == "cuda" and not has):
        raise Refused("quantize.no_device", device=wanted)
    return torch.device(wanted)


def read_at(file: int, start: int, size: int) -> torch.Tensor:
    """Bytes of an open file as a tensor of them; raises Refused when it ends before."""
    data = torch.empty(size, dtype=torch.uint8)
    view, done = memoryview(data.numpy()), 0
    while done < size:
        count = os.preadv(file, [view[done:]], start + done)
        if not count:
            raise Refused(
                "quantize.broken_file", path=str(Path(f"/proc/self/fd/{file}").readlink()), detail="it became shorter"
            )
        done += count
    return data


def write_at(file: int, start: int, values: torch.Tensor) -> None:
    """All of it."""
    data = values.contiguous().reshape(-1)
    view, done = memoryview(data.view(torch.uint8).numpy()), 0
    while done < len(view):
        done += os.pwrite(file, view[done:], start + done)


def cached_reader() -> Callable[[Tensor], torch.Tensor]:
    """Reads a whole small tensor, from whatever file it is in; the last few are kept."""

    @lru_cache(maxsize=64)
    def read(tensor: Tensor) -> torch.Tensor:
        file = os.open(tensor.file, os.O_RDONLY)
        try:
            return read_at(file, tensor.start, tensor.size).view(DTYPES[tensor.dtype]).view(tensor.shape)
        finally:
            os.close(file)

    return read


class Shard:
    """A file and what becomes of each of its tensors; those without a scheme are copied."""

    def __init__(self, path: Path, tensors: list[Tensor], schemes: dict[str, Scheme]) -> None:
        self.path, self.tensors, self.schemes = path, tensors, schemes
        self.size = sum(tensor.size for tensor in tensors)
        self._outs: list[Out] = []

    def outs(self) -> list[Out]:
        """The tensors of the new file; raises Refused for one that its scheme does not take."""
        if not self._outs:
            for tensor in self.tensors:
                scheme = self.schemes.get(tensor.name)
                copied = (Out(tensor.name, tensor.dtype, tensor.shape),)
                self._outs += scheme.outs(tensor) if scheme else copied
        return self._outs


class _Open:
    """A file on its way from one to the other."""

    def __init__(self, shard: Shard, part: Path) -> None:
        self.shard, self.part = shard, part
        header, self.begins = layout(shard.outs())
        self.reading = os.open(shard.path, os.O_RDONLY)
        self.writing = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.truncate(self.writing, max((self.begins[out.name] + out.size for out in shard.outs()), default=len(header)))
        os.pwrite(self.writing, header, 0)
        self.work: list[Future[Any]] = []

    def close(self) -> None:
        """Both ends."""
        os.close(self.reading)
        os.close(self.writing)


@dataclass(frozen=True, slots=True)
class _Work:
    """One weight on its way, with room for what is found in it."""

    file: _Open
    tensor: Tensor
    scheme: Scheme
    found: torch.Tensor | None


class Converter:
    """Converts files one after the other, stretches of each in parallel; while one is read back, the next is begun."""

    def __init__(self, device: torch.device, jobs: int, state: State, progress: Progress) -> None:
        on_cpu = device.type == "cpu"
        self._device, self._state, self._progress = device, state, progress
        self._stretch, self._jobs = (STRETCH, jobs) if on_cpu else (_ON_A_GPU, min(jobs, _FEED_A_GPU))

    def convert(self, shards: list[Shard]) -> None:
        """All of them; the first failure ends it."""
        torch.set_num_threads(1)
        with ThreadPoolExecutor(self._jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                self._one_by_one(shards, pool)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _one_by_one(self, shards: list[Shard], pool: ThreadPoolExecutor) -> None:
        before: _Open | None = None
        for shard in shards:
            now = _Open(shard, self._state.part(shard.path.name))
            self._begin(now, pool)
            if before:
                self._finish(before)
            before = now
        if before:
            self._finish(before)

    def _begin(self, file: _Open, pool: ThreadPoolExecutor) -> None:
        for tensor in file.shard.tensors:
            scheme = file.shard.schemes.get(tensor.name)
            if scheme is None:
                file.work += [pool.submit(self._copy, file, tensor, at) for at in range(0, tensor.size, _COPIED)]
                continue
            # Made here, in one piece: small tensors that threads keep would hold on to the heaps that they lie in.
            room = scheme.room(tensor)
            found = torch.empty(room.shape, dtype=DTYPES[room.dtype], device=self._device) if room else None
            work = _Work(file, tensor, scheme, found)
            parts = [pool.submit(self._rows, work, row, until) for row, until in self._stretches(tensor, scheme)]
            file.work += [*parts, pool.submit(self._rest, work, parts)] if room else parts

    def _stretches(self, tensor: Tensor, scheme: Scheme) -> Iterator[tuple[int, int]]:
        """Rows from and to, as many as a stretch takes and the scheme wants together."""
        rows, columns = tensor.shape
        step = scheme.step(tensor)
        step *= max(1, self._stretch // (scheme.share * step * columns))
        return ((row, min(row + step, rows)) for row in range(0, rows, step))

    def _copy(self, file: _Open, tensor: Tensor, at: int) -> None:
        size = min(_COPIED, tensor.size - at)
        data = read_at(file.reading, tensor.start + at, size)
        # Norms and embeddings go through every token: one NaN and all answers are. Infinities may be meant (masks).
        if tensor.dtype in PLAIN and bool(data.view(DTYPES[tensor.dtype]).isnan().any()):
            raise Refused("quantize.not_finite", tensor=tensor.name, path=str(tensor.file))
        write_at(file.writing, file.begins[tensor.name] + at, data)
        self._progress.add(size, file.shard.path.name)

    def _rows(self, work: _Work, row: int, until: int) -> None:
        file, tensor, scheme = work.file, work.tensor, work.scheme
        line = tensor.size // tensor.shape[0]
        data = read_at(file.reading, tensor.start + row * line, (until - row) * line)
        values = data.view(DTYPES[tensor.dtype]).view(until - row, tensor.shape[1]).to(self._device)
        written, found = scheme.convert(tensor, values, row)
        begin = file.begins[scheme.outs(tensor)[0].name]
        write_at(file.writing, begin + scheme.offset(tensor, row), written.cpu())
        if work.found is not None:
            at = scheme.place(tensor, row)
            work.found[at : at + len(found)] = found
        self._progress.add((until - row) * line, file.shard.path.name)

    def _rest(self, work: _Work, parts: list[Future[Any]]) -> None:
        # Submitted after the parts, so a thread that takes this up waits for others that are at work.
        for part in parts:
            part.result()
        file, sizes = work.file, {out.name: out for out in work.scheme.outs(work.tensor)}
        for name, values in work.scheme.finish(work.tensor, work.found).items():
            if values.numel() * values.element_size() != sizes[name].size:
                raise Refused("quantize.check_failed", path=str(file.part), detail=f"{name} is not as planned")
            write_at(file.writing, file.begins[name], values.cpu())

    def _finish(self, file: _Open) -> None:
        """Wait for the rest of a file, sync it, read it back, and put it in its place."""
        wait(file.work, return_when=FIRST_EXCEPTION)
        for work in file.work:
            if work.done():
                work.result()
        file.work.clear()
        os.fsync(file.writing)
        digest, size = hashlib.sha256(), 0
        buffer = memoryview(bytearray(_READ_BACK))
        while count := os.preadv(file.writing, [buffer], size):
            digest.update(buffer[:count])
            size += count
        self._check(file, size)
        file.close()
        self._state.finished(file.shard.path.name, size, digest.hexdigest())
        tell("file", path=file.shard.path.name, size=size, sha256=digest.hexdigest(), kept=False)

    def _check(self, file: _Open, size: int) -> None:
        """That the file has the tensors that were planned, and that every scale in it is finite."""
        found = read_header(file.part)
        outs = {out.name: out for out in file.shard.outs()}
        if {name: (tensor.dtype, tensor.shape) for name, tensor in found.items()} != {
            name: (out.dtype, out.shape) for name, out in outs.items()
        }:
            raise Refused("quantize.check_failed", path=str(file.part), detail="its tensors are others")
        scales = [
            found[out.name]
            for tensor in file.shard.tensors
            if tensor.name in file.shard.schemes
            for out in file.shard.schemes[tensor.name].outs(tensor)[1:]
            if out.dtype in ("F32", "F16", "BF16")
        ]
        for scale in scales:
            values = read_at(file.writing, scale.start, scale.size).view(DTYPES[scale.dtype]).float()
            if not bool(torch.isfinite(values).all()):
                raise Refused("quantize.check_failed", path=str(file.part), detail=f"{scale.name} is not finite")
        end = max(
            (math.prod(out.shape) * ITEM_BITS[out.dtype] // 8 + found[name].start for name, out in outs.items()),
            default=size,
        )
        if end != size:
            raise Refused("quantize.check_failed", path=str(file.part), detail=f"{size} bytes, not {end}")
