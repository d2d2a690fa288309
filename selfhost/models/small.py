"""A model made small: the same architecture, widths and format of weights, with few layers, experts and words.

For a start that proves a machine and needs none of the model's weights. Kept is what kernels and communication are
chosen by: hidden size, heads, widths of the feed-forward parts, experts per token, quantization. Each thing that is
given up is told. Not covered: what sees images is left out; Kimi-K3, which has lists of layers within its lists.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError
from selfhost.messages import Message
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import checkpoint_bytes
from selfhost.models.families import FAMILIES
from selfhost.models.stand_in import TOKEN_IDS
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VOCAB_SIZE = 8192
"""Words at most: they are cut over ranks like more of them, and a tokenizer for so few is written in no time."""
LEAST_EXPERTS = 16
"""DeepSeek-V3 takes the best two of each of its eight groups (`n_group` is 8 where a config does not say)."""
_LEAST_LAYERS = 2
_EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
_INDICES = ("mlp_only_layers",)
"""Keys that list layers by their number."""
_QUANTIZATION = ("quantization_config", "compression_config")
_FOREIGN = ("auto_map", "audio_config", "vision_config", "text_config", "_name_or_path")
_BACKBONES = {
    "Qwen2_5_VLForConditionalGeneration": ("Qwen2ForCausalLM", "qwen2"),
    "Qwen2_5OmniModel": ("Qwen2ForCausalLM", "qwen2"),
    "Qwen2_5OmniForConditionalGeneration": ("Qwen2ForCausalLM", "qwen2"),
    "Qwen3VLForConditionalGeneration": ("Qwen3ForCausalLM", "qwen3"),
    "Qwen3VLMoeForConditionalGeneration": ("Qwen3MoeForCausalLM", "qwen3_moe"),
    "Glm4vMoeForConditionalGeneration": ("Glm4MoeForCausalLM", "glm4_moe"),
    "KimiK25ForConditionalGeneration": ("DeepseekV3ForCausalLM", "deepseek_v3"),
    "Qwen3_5ForConditionalGeneration": ("Qwen3_5ForCausalLM", "qwen3_5_text"),
    "Qwen3_5MoeForConditionalGeneration": ("Qwen3_5MoeForCausalLM", "qwen3_5_moe_text"),
}
"""What a model that sees images is without them, as vLLM 0.32 builds it (`init_vllm_registered_model`, `qwen3_5.py`):
class, type."""
_THREE_COORDINATES = ("Qwen3_5ForCausalLM", "Qwen3_5MoeForCausalLM")
"""Classes for text that take positions as those of images are, in three coordinates (`SupportsMRoPE`)."""
_OWN_CONFIGS = {"InternLM3ForCausalLM": ("LlamaForCausalLM", "llama")}
"""Classes whose configuration is code in the model's repository, and what the engine runs for them: class, type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What the small model has to suit."""

    most_bytes: int
    """Of all its weights; experts are given up for it."""
    stages: int = 1
    """Pipeline stages: each has a layer at least."""
    expert_ranks: int = 1
    """Ranks that whole experts are dealt to."""
    plain: bool = False
    """Without quantization: the engine here has no kernels for it."""
    drafts: bool = False
    """With the layers of multi-token prediction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduction:
    """One thing that is smaller than in the model, or gone."""

    name: str
    before: int | str
    after: int | str

    @property
    def message(self) -> Message:
        """For people."""
        return Message("smoke.reduction", {"name": self.name, "before": self.before, "after": self.after})

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"name": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True, kw_only=True, slots=True)
class Small:
    """The small model."""

    config: Mapping[str, Any]
    """Its config.json."""
    arch: ModelArch
    reductions: tuple[Reduction, ...]


def shrink(config: Mapping[str, Any], room: Room) -> Small:
    """A model small enough for `room`, from the config of a model; raises what `ModelArch.from_config` raises.

    Layers are the first ones, as many as it takes to have each kind; of leading dense layers one is kept. Experts are
    halved while the weights are more than there is room for. Raises NoError for a class that cannot be made small.
    Check: DeepSeek-V3 in bfloat16 with room for 4 GiB -> 2 of 61 layers, 16 of 256 experts.
    """
    made, told = _text_only(config)
    if room.plain:
        told += _without_quantization(made)
    before = ModelArch.from_config(made).num_hidden_layers
    if not room.drafts:
        # A server does not load them, and their place in lists of layers would move.
        made = {**made, "num_nextn_predict_layers": 0}
    made |= TOKEN_IDS
    told += [*_fewer_layers(made, room.stages, before), *_fewer_words(made), *_fewer_experts(made, room)]
    return Small(config=made, arch=ModelArch.from_config(made), reductions=tuple(told))


def _text_only(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Reduction]]:
    architecture = next((name for name in config.get("architectures") or () if name in FAMILIES), None)
    if architecture is None or FAMILIES[architecture].tower is None:
        made = {key: value for key, value in config.items() if key not in _FOREIGN}
        if architecture in _OWN_CONFIGS:
            name, model_type = _OWN_CONFIGS[architecture]
            made |= {"architectures": [name], "model_type": model_type}
        return made, []
    if architecture not in _BACKBONES:
        raise NoError("smoke.unsupported", architecture=architecture)
    backbone, model_type = _BACKBONES[architecture]
    within = FAMILIES[architecture].within
    if within is not None:
        part = config.get(within)
        config = {key: value for key, value in config.items() if not isinstance(value, dict)}
        config |= part if isinstance(part, dict) else {}
    nested = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    made = {key: value for key, value in {**config, **(nested or {})}.items() if key not in _FOREIGN}
    made |= {"architectures": [backbone], "model_type": model_type}
    for key in () if backbone in _THREE_COORDINATES else ("rope_scaling", "rope_parameters"):
        # Positions of images have three coordinates; text has one.
        if isinstance(made.get(key), dict):
            made[key] = {name: value for name, value in made[key].items() if name != "mrope_section"}
            if made[key].get("type", made[key].get("rope_type")) in {"mrope", "default"}:
                del made[key]
    return made, [Reduction(name="architecture", before=architecture, after=backbone)]


def _without_quantization(made: dict[str, Any]) -> list[Reduction]:
    found = ModelArch.from_config(made).quantization
    for key in _QUANTIZATION:
        made.pop(key, None)
    return [Reduction(name="quantization", before=found.method, after="none")] if found else []


def _fewer_layers(made: dict[str, Any], stages: int, before: int) -> Iterator[Reduction]:
    dense = made.get("first_k_dense_replace")
    if isinstance(dense, int) and dense > 1:
        made["first_k_dense_replace"] = 1
        yield Reduction(name="first_k_dense_replace", before=dense, after=1)
    arch = ModelArch.from_config(made)
    every_kind = 1 + max(arch.layers.index(kind) for kind in set(arch.layers))
    after = min(before, max(_LEAST_LAYERS, stages, every_kind))
    if after == before:
        return
    for key, value in made.items():
        if isinstance(value, list) and key in _INDICES:
            made[key] = [layer for layer in value if layer < after]
        elif isinstance(value, list) and before <= len(value) <= before + arch.num_nextn_predict_layers + 1:
            # One entry for each layer, and further ones for those of multi-token prediction, whether loaded or not.
            made[key] = [*value[:after], *value[before:]]
    made["num_hidden_layers"] = after
    yield Reduction(name="num_hidden_layers", before=before, after=after)


def _fewer_words(made: dict[str, Any]) -> Iterator[Reduction]:
    before = made.get("vocab_size")
    if isinstance(before, int) and before > VOCAB_SIZE:
        made["vocab_size"] = VOCAB_SIZE
        yield Reduction(name="vocab_size", before=before, after=VOCAB_SIZE)


def _fewer_experts(made: dict[str, Any], room: Room) -> Iterator[Reduction]:
    key = next((key for key in _EXPERTS if isinstance(made.get(key), int)), None)
    if key is None:
        return
    before = after = made[key]
    while weight_bytes(ModelArch.from_config(made)) > room.most_bytes:
        after //= 2
        if after < max(LEAST_EXPERTS, room.expert_ranks) or after % room.expert_ranks or made[key] % 2:
            break
        made[key] = after
    if made[key] != before:
        yield Reduction(name=key, before=before, after=made[key])


def weight_bytes(arch: ModelArch) -> int:
    """Bytes of the weights of all ranks, without layers of multi-token prediction."""
    return checkpoint_bytes(replace(arch, draft=None, num_nextn_predict_layers=0))
