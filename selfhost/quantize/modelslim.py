"""msModelSlim, which makes weights for Ascend: the command for a model, what it needs, and whether its result is whole.

It runs on NPUs, in CANN's own environment; selfhost does not run it. Names of models and versions of transformers:
config/config.ini of Ascend/msmodelslim (read 2026-11-27); scripts and what they were verified for: its
example/DeepSeek/README. What vllm-ascend 0.23.0 reads: its quantization/ (`quant.ascend` has the bytes).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.quant.ascend import BITS, DESCRIPTION, FLOAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.models.headers import Tensor

REPOSITORY = "https://gitcode.com/Ascend/msmodelslim"
_ADAPTERS: Mapping[str, tuple[str, ...]] = {
    "deepseek_v3": (
        *("DeepSeek-V3", "DeepSeek-V3-0324", "DeepSeek-R1", "DeepSeek-R1-0528", "DeepSeek-V3.1"),
        "DeepSeek-V3.1-Terminus",
    ),
    "deepseek_v3_2": ("DeepSeek-V3.2-Exp", "DeepSeek-V3.2"),
    "glm_5": ("GLM-5", "GLM-5.1"),
    "glm4_moe": ("GLM-4.5", "GLM-4.6", "GLM-4.7"),
    "qwen2": ("Qwen2-7B", "Qwen2-7B-Instruct", "Qwen2-72B"),
    "qwen2_5": (
        *("Qwen2.5-7B-Instruct", "Qwen2.5-32B-Instruct", "Qwen2.5-72B-Instruct", "Qwen2.5-Coder-7B-Instruct"),
        *("DeepSeek-R1-Distill-Qwen-1.5B", "DeepSeek-R1-Distill-Qwen-7B"),
    ),
    "qwen3": ("Qwen3-8B", "Qwen3-14B", "Qwen3-32B"),
    "qwen3_moe": ("Qwen3-30B", "Qwen3-235B", "Qwen3-Coder-480B-A35B"),
    "qwq": ("QwQ-32B",),
    "kimi_k2": ("Kimi-K2-Instruct-0905", "Kimi-K2-Thinking"),
    "kimi_k2_5": ("Kimi-K2.5",),
    "minimax_m2": ("MiniMax-M2.7",),
}
_TRANSFORMERS = {
    "deepseek_v3": "4.48.2",
    "deepseek_v3_2": "4.48.2",
    "glm4_moe": "4.57.3",
    "glm_5": "5.4.0",
    "qwen3": "4.51.0",
    "qwen3_moe": "4.57.6",
    "kimi_k2": "4.48.2",
    "kimi_k2_5": "4.57.6",
    "minimax_m2": "4.57.1",
}
_FOUR_BITS = ("DeepSeek-V3.1", "DeepSeek-R1", "DeepSeek-R1-0528", "GLM-5", "GLM-5.1", "Kimi-K2.5")
"""Models with a published description or script for W4A8."""
_SCRIPTS = {"w8a8": "quant_deepseek_w8a8.py", "w4a8": "quant_deepseek_w4a8.py"}
LEAST_MEMORY_GIB = 60
"""Of an NPU (`>= 64 GB` by the label), for DeepSeek's script."""


class Steps(NamedTuple):
    """How a model is made on a machine with NPUs."""

    model_type: str
    commands: tuple[str, ...]
    """To be pasted in order."""
    transformers: str | None
    """The version it wants in its environment; None: no fixed one."""
    takes_fp8: bool
    """Whether it takes FP8 files as they are; else they are made into 16 bits first."""


def steps(  # noqa: PLR0913 - what, of what, to where, on what
    name: str, kind: str, *, source: str, target: str, devices: int, fp8: bool
) -> Steps | None:
    """The commands for a repository's name (`Qwen2.5-72B-Instruct`) and a kind (`w8a8`, `w4a8`).

    None where msModelSlim does not know the model, or the kind for it. Check: DeepSeek-V3 w8a8 from FP8 ->
    `python3 quant_deepseek_w8a8.py ... --from_fp8`.
    """
    found = _adapter(name)
    if found is None or (kind == "w4a8" and found[1] not in _FOUR_BITS):
        return None
    adapter, model_type = found
    npus = ",".join(map(str, range(devices)))
    prepare = (
        f"git clone {REPOSITORY} && cd msmodelslim && bash install.sh",
        "export PYTORCH_NPU_ALLOC_CONF=expandable_segments:False",
    )
    script, paths = adapter == "deepseek_v3", f"--model_path {source} --save_path {target}"
    if script:
        of = "--from_fp8" if fp8 else "--from_bf16"
        run = [
            f"export ASCEND_RT_VISIBLE_DEVICES={npus}",
            f"cd example/DeepSeek && python3 {_SCRIPTS[kind]} {paths} {of} --trust_remote_code True",
        ]
    else:
        what = f"--model_type {model_type} --quant_type {kind}"
        run = [f"msmodelslim quant {paths} --device npu:{npus} {what} --trust_remote_code True"]
    return Steps(model_type, (*prepare, *run), _TRANSFORMERS.get(adapter), takes_fp8=script)


def _adapter(name: str) -> tuple[str, str] | None:
    """Its adapter and what the adapter calls it: `Qwen3-30B-A3B` is its `Qwen3-30B`."""
    for adapter, names in _ADAPTERS.items():
        for known in names:
            short = adapter == "qwen3_moe" and name.startswith(f"{known}-A")
            if name.lower() == known.lower() or short:
                return adapter, known
    return None


def types_for(kind: str, *, experts: bool, latent: bool) -> dict[str, str]:
    """What its descriptions make of which modules, for planning before there is one.

    Attention with measured scales, experts with scales per token; the second matrix of a dense layer stays in 16 bits,
    as its examples have it, and `kv_b_proj` of latent attention.
    """
    left = {"*.kv_b_proj": FLOAT} if latent else {}
    if not experts:
        return {**left, "*.self_attn.*": "W8A8", "*.mlp.down_proj": FLOAT, "*.mlp.*": "W8A8"}
    routed = {"*.mlp.experts.*": "W4A8_DYNAMIC"} if kind == "w4a8" else {}
    return {**left, "*.self_attn.*": "W8A8", **routed, "*.mlp.*": "W8A8_DYNAMIC"}


# What it wrote

_BESIDE = {
    "W8A8": ("input_scale", "input_offset", "deq_scale", "quant_bias"),
    "W8A8_DYNAMIC": ("weight_scale", "weight_offset"),
    "W8A16": ("weight_scale", "weight_offset"),
    "W4A8_DYNAMIC": ("weight_scale", "weight_offset"),
    "W4A16": ("weight_scale", "weight_offset"),
}
_FLOATS = ("BF16", "F16", "F32")
_INTEGERS = ("I8", "U8", "I32")
_MERGED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("q_a_proj", "kv_a_proj_with_mqa"))
_EXPERT = re.compile(r"\.experts\.\d+\.")
_SHOWN = 3


def problems(description: Mapping[str, Any], tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> list[Finding]:
    """Where description, files and config of a result disagree, or say what the engine has no code for.

    tensors: of all weight files. Errors first come as they are found; empty for a sound result.
    """
    kinds = {name: kind for name, kind in description.items() if isinstance(kind, str) and "." in name}
    modules = {name.removesuffix(".weight"): kind for name, kind in kinds.items() if name.endswith(".weight")}
    found = [*_names(kinds, tensors), *_kinds(kinds), *_companions(modules, tensors), *_dtypes(modules, tensors)]
    return [*found, *_merged(modules), *_config(config)]


def counts(description: Mapping[str, Any]) -> dict[str, int]:
    """Modules by type, the most first."""
    kinds = Counter(kind for name, kind in description.items() if name.endswith(".weight") and isinstance(kind, str))
    return dict(kinds.most_common())


def _finding(message_id: str, where: str, names: list[str], **more: object) -> Finding:
    listed = ", ".join(sorted(names)[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    message = Message(message_id, {"count": len(names), "names": listed, **more})
    return Finding(severity=Severity.ERROR, where=where, message=message)


def _names(kinds: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    if absent := [name for name in kinds if name not in tensors]:
        yield _finding("modelslim.absent", DESCRIPTION, absent)
    if more := [name for name in tensors if name not in kinds]:
        yield _finding("modelslim.undescribed", DESCRIPTION, more)


def _kinds(kinds: Mapping[str, str]) -> Iterator[Finding]:
    unknown: dict[str, list[str]] = defaultdict(list)
    for name, kind in kinds.items():
        if kind != FLOAT and kind not in BITS:
            unknown[kind].append(name)
    for kind, names in sorted(unknown.items()):
        yield _finding("modelslim.unknown_type", DESCRIPTION, names, kind=kind, known=", ".join((FLOAT, *BITS)))


def _companions(modules: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    lacking = [
        f"{module}.{part}"
        for module, kind in modules.items()
        if f"{module}.weight" in tensors and not _is_norm(module)
        for part in _BESIDE.get(kind, ())
        if f"{module}.{part}" not in tensors
    ]
    if lacking:
        yield _finding("modelslim.no_scale", "weights", lacking)


def _dtypes(modules: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    wrong = []
    for module, kind in modules.items():
        tensor = tensors.get(f"{module}.weight")
        wanted = _FLOATS if kind == FLOAT or _is_norm(module) else _INTEGERS
        if kind in (FLOAT, *BITS) and tensor is not None and tensor.dtype not in wanted:
            wrong.append(f"{module}.weight ({kind}, {tensor.dtype})")
    if wrong:
        yield _finding("modelslim.dtype", "weights", wrong)


def _is_norm(module: str) -> bool:
    return "norm" in module.rpartition(".")[2]


def _merged(modules: Mapping[str, str]) -> Iterator[Finding]:
    """What the engine makes one matrix of has to be of one type; so have the experts of a layer."""
    differ = []
    for module in modules:
        before, _, last = module.rpartition(".")
        for parts in _MERGED:
            if last == parts[0]:
                there = {modules[f"{before}.{part}"] for part in parts if f"{before}.{part}" in modules}
                differ += [f"{before} ({', '.join(parts)}: {', '.join(sorted(there))})"] if len(there) > 1 else []
    experts: dict[str, set[str]] = defaultdict(set)
    for module, kind in modules.items():
        if _EXPERT.search(module):
            experts[_EXPERT.sub(".experts.*.", module)].add(kind)
    differ += [f"{name} ({', '.join(sorted(kinds))})" for name, kinds in experts.items() if len(kinds) > 1]
    if differ:
        yield _finding("modelslim.differ", DESCRIPTION, differ)


def _config(config: Mapping[str, Any]) -> Iterator[Finding]:
    section = config.get("quantization_config")
    method = section.get("quant_method") if isinstance(section, dict) else None
    if method not in (None, "ascend"):
        message = Message("modelslim.other_method", {"method": method})
        yield Finding(severity=Severity.ERROR, where="config.json", message=message)
    if not isinstance(config.get("architectures"), list):
        message = Message("modelslim.architectures", {"found": str(config.get("architectures"))[:80]})
        yield Finding(severity=Severity.ERROR, where="config.json", message=message)
