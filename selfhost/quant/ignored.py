"""Which modules a checkpoint leaves in the model's dtype, by the engine's own ways of matching names.

Each method of quantization reads its list in another way, and compares it with the names of the engine's modules, in
which q, k and v are one. Sources: vLLM 0.32 layers/quantization/utils/quant_utils.py `is_layer_skipped` (FP8: whole
names; AWQ: parts of names), utils/gptq_utils.py `get_dynamic_override` (GPTQ), utils/config_utils.py
`find_matching_patterns` (compressed-tensors), models/utils.py `WeightsMapper` (new names for old).

GPTQ, and AWQ without a list, also leave out what is not quantized in the files; a config does not tell that.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from selfhost.errors import NoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Renames = tuple[tuple[str, str], ...]
"""Beginnings of names in checkpoints, and what the engine makes of them, in order."""


def renamed(ignored: Iterable[str], renames: Renames) -> tuple[str, ...]:
    """A list of a checkpoint in the engine's names; patterns stay as they are.

    Check: `model.visual.merger.linear_fc1` -> `visual.merger.linear_fc1` with (("model.visual.", "visual."),).
    """
    return tuple(_renamed(entry, renames) for entry in ignored)


def _renamed(entry: str, renames: Renames) -> str:
    if entry.startswith("re:"):
        return entry
    for old, new in renames:
        if entry.startswith(old):
            entry = new + entry.removeprefix(old)
    return entry


class LeftOut:
    """Answers for a method and a list of names whether a module is not quantized."""

    def __init__(self, ignored: tuple[str, ...]) -> None:
        self.names = frozenset(ignored)
        self.patterns = [re.compile(entry.removeprefix("re:")) for entry in ignored if entry.startswith("re:")]

    def __call__(self, module: str, shards: tuple[str, ...] = ()) -> bool:
        """Whether a module is left out; module: its full name in the engine.

        shards: full names of the matrices that were merged into it; empty for a module that is one matrix.
        Raises NoError where some of the shards are left out and some are not: the engine refuses that.
        """
        if module.endswith(".experts"):
            return self.experts(module, shards)
        if self.one(module):
            return True
        found = {self.one(shard) for shard in shards}
        if len(found) > 1:
            raise NoError("arch.shards_differ", module=module)
        return True in found

    def one(self, name: str) -> bool:
        """Whether the list speaks of a name: it is one of the list, or begins with a pattern of it."""
        return name in self.names or any(pattern.match(name) for pattern in self.patterns)

    def experts(self, _module: str, shards: tuple[str, ...]) -> bool:
        """Whether the experts of a layer are left out, going by the first of them."""
        return all(self.one(shard) for shard in shards)


class _Fp8(LeftOut):
    """Whole names; experts when they are part of a name."""

    def __init__(self, ignored: tuple[str, ...]) -> None:
        super().__init__(ignored)
        self._experts = [name for name in ignored if "experts" in name]

    def experts(self, module: str, _shards: tuple[str, ...]) -> bool:
        return any(module in name for name in self._experts)


class _Awq(LeftOut):
    """Names that contain an entry. Entries are kept by the layer they name: there may be hundreds."""

    def __init__(self, ignored: tuple[str, ...]) -> None:
        super().__init__(())
        self._general: list[str] = []
        self._of_layer: dict[str, list[str]] = {}
        for entry in ignored:
            layer = _LAYER.search(entry)
            (self._of_layer.setdefault(layer[0], []) if layer else self._general).append(entry)

    def one(self, name: str) -> bool:
        layer = _LAYER.search(name)
        near = self._of_layer.get(layer[0], []) if layer else []
        return any(entry in name for entry in (*self._general, *near))

    def experts(self, module: str, _shards: tuple[str, ...]) -> bool:
        return self.one(module)


class _Gptq(LeftOut):
    """Rules of `dynamic` that exclude, tried on the module's name."""

    def experts(self, module: str, _shards: tuple[str, ...]) -> bool:
        return self.one(module)


class _ModelOpt(LeftOut):
    """Whole names, parts of names, and patterns with stars (modelopt.py `is_layer_excluded`)."""

    def one(self, name: str) -> bool:
        return any(entry in name or fnmatch.fnmatch(name, entry) for entry in self.names)


class _Bitsandbytes(LeftOut):
    """Steps of names, and beginnings of them (vllm-bnb-plugin quantization/utils.py `is_layer_skipped_bnb`)."""

    def one(self, name: str) -> bool:
        steps = name.split(".")
        starts = (".".join(steps[: count + 1]) for count in range(len(steps)))
        return not self.names.isdisjoint(steps) or any(start in self.names for start in starts)


class _Loose(LeftOut):
    """Methods whose way is not known here: an entry is a step of a name, its end, or a pattern with stars."""

    def __init__(self, ignored: tuple[str, ...]) -> None:
        super().__init__(ignored)
        self.patterns += [re.compile(fnmatch.translate(name)) for name in self.names if "*" in name]

    def one(self, name: str) -> bool:
        steps = name.split(".")
        ends = (".".join(steps[start:]) for start in range(len(steps)))
        return not self.names.isdisjoint(steps) or any(end in self.names for end in ends) or super().one(name)


_LAYER = re.compile(r"(?:layers|blocks)[.][0-9]+[.]")
_METHODS: dict[str, Callable[[tuple[str, ...]], LeftOut]] = {
    "fp8": _Fp8,
    "awq": _Awq,
    "gptq": _Gptq,
    "compressed-tensors": LeftOut,
    "modelopt": _ModelOpt,
    "bitsandbytes": _Bitsandbytes,
}


@lru_cache(maxsize=16)
def left_out(method: str, ignored: tuple[str, ...]) -> LeftOut:
    """How a method's list is read.

    Check: fp8 with `model.layers.0.self_attn.q_proj`, `k_proj` and `v_proj` -> `model.layers.0.self_attn.qkv_proj`
    is left out; awq with `visual` -> all of the tower is.
    """
    return _METHODS.get(method, _Loose)(ignored)
