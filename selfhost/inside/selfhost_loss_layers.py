"""A model of which only one layer is in memory at a time, twice: with the source's weights and with the variant's.

The model is built without weights. One pass in which every decoder layer only notes what it was handed gives the
embedding and each layer's arguments (masks, positions), which do not depend on weights; then each layer runs by itself
on what the layer before it gave, with weights lent for the call; at the end the model's own code makes the logits.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from selfhost_quantize_events import Refused
from torch.func import functional_call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from selfhost_loss_weights import Weights

SMALL_BYTES = 6 << 30
"""Up to here the largest part is computed in float32, else in the model's dtype."""


class Skeleton:
    """A causal language model without weights."""

    def __init__(self, source: Path, device: str) -> None:
        from accelerate import init_empty_weights
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        try:
            with init_empty_weights(include_buffers=False):
                self.model = AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()
            _experts_one_by_one(self.model)
        except (ValueError, KeyError) as error:
            raise Refused("quantize.unsupported", detail=str(error).splitlines()[0][:300]) from error
        self.device = torch.device(device)
        self.prefix, self.layers = _decoder(self.model)
        for module in self.model.modules():
            for name, buffer in module._buffers.items():  # noqa: SLF001 - parameters cannot move, they are nowhere
                if buffer is not None and not buffer.is_meta:
                    module._buffers[name] = buffer.to(self.device)  # noqa: SLF001
        self.dtype = self._dtype()

    def _dtype(self) -> torch.dtype:
        sizes = [sum(p.numel() for p in layer.parameters()) for layer in self.layers]
        sizes.append(sum(p.numel() for p in self.model.parameters()) - sum(sizes))
        return torch.float32 if 4 * max(sizes) <= SMALL_BYTES else torch.bfloat16

    def _names(self, module: torch.nn.Module, prefix: str) -> dict[str, str]:
        """Parameters and buffers of a module that a checkpoint holds: name in the module -> name in the checkpoint."""
        return {name: f"{prefix}{name}" for name in module.state_dict(keep_vars=True)}

    def _lent(self, names: Mapping[str, str], weights: Weights) -> dict[str, torch.Tensor]:
        found = {}
        for own, name in names.items():
            value = weights.value(name, self.dtype)
            if value is None and own == "lm_head.weight":
                value = weights.value(f"{self.prefix.removesuffix('layers.')}embed_tokens.weight", self.dtype)
            if value is None:
                raise Refused("quantize.unsupported", detail=f"the checkpoint has no `{name}`")
            found[own] = value.to(self.device)
        return found

    def layer_weights(self, number: int, weights: Weights) -> dict[str, torch.Tensor]:
        """All of a layer, as numbers."""
        return self._lent(self._names(self.layers[number], f"{self.prefix}{number}."), weights)

    def outer_weights(
        self, weights: Weights, like: Mapping[str, torch.Tensor] | None = None
    ) -> dict[str, torch.Tensor]:
        """Embedding, last norm, head; those that equal others are the same ones, so that they are in memory once."""
        found: dict[str, torch.Tensor] = {}
        others = like or {}
        for own in self._names(self.model, ""):
            if not own.startswith(self.prefix):
                value = self._lent({own: own}, weights)[own]
                known = [*found.values(), *([others[own]] if own in others else [])]
                found[own] = next((one for one in known if torch.equal(one, value)), value)
        return found

    def enter(self, outer: Mapping[str, torch.Tensor], ids: torch.Tensor) -> tuple[torch.Tensor, list[Any]]:
        """What the first layer is handed for a block of tokens, and the other arguments of each layer."""
        handed: list[Any] = []
        first: list[torch.Tensor] = []

        def note(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            first.append(hidden)
            handed.append((args, kwargs))
            return hidden

        with self._instead([note] * len(self.layers)):
            self._call(outer, ids, logits_to_keep=1)
        return first[0], handed

    def leave(self, outer: Mapping[str, torch.Tensor], ids: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of what the last layer gave, for every token of a block."""
        same: Any = lambda given, *_, **__: given  # noqa: E731
        last: Any = lambda *_, **__: hidden  # noqa: E731
        with self._instead([*[same] * (len(self.layers) - 1), last]):
            return self._call(outer, ids).float()

    def _call(self, outer: Mapping[str, torch.Tensor], ids: torch.Tensor, **more: Any) -> torch.Tensor:
        lent = dict(outer)
        arguments = {"input_ids": ids.to(self.device), "use_cache": False, **more}
        return functional_call(self.model, lent, (), arguments, tie_weights=False).logits[0]

    @contextmanager
    def _instead(self, forwards: list[Any]) -> Iterator[None]:
        for layer, forward in zip(self.layers, forwards, strict=True):
            layer.forward = forward
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.forward

    def run(self, number: int, lent: Mapping[str, torch.Tensor], hidden: torch.Tensor, handed: Any) -> torch.Tensor:
        """What a layer makes of what it is handed, with the weights that it is lent."""
        args, kwargs = handed
        given = functional_call(self.layers[number], dict(lent), (hidden, *args), kwargs)
        return given[0] if isinstance(given, tuple) else given

    @contextmanager
    def rounding(self, number: int, weights: Weights) -> Iterator[None]:
        """Round the inputs of a layer's quantized parts while they run, where the engine does."""
        rounding = weights.rounding()
        hooks = []
        for name, module in self.layers[number].named_modules() if rounding else ():
            if weights.is_rounded(f"{self.prefix}{number}.{name}"):
                hooks.append(module.register_forward_pre_hook(lambda _, args: (rounding(args[0]), *args[1:])))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _experts_one_by_one(model: torch.nn.Module) -> None:
    """Matrices of their own for experts, as checkpoints have them; transformers stacks them."""
    from llmcompressor.modeling.moe.linear_experts import LinearExperts2D
    from llmcompressor.modeling.moe.linearize import get_non_linearized_moes

    for name, module in get_non_linearized_moes(model):
        kind = LinearExperts2D.get_linear_experts_cls(type(module))
        with torch.device("meta"):
            model.set_submodule(name, kind(getattr(module, "config", model.config)))


def _decoder(model: torch.nn.Module) -> tuple[str, torch.nn.ModuleList]:
    """The decoder layers and what their names begin with."""
    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and re.search(r"(^|[.])layers$", name) and len(module) == count:
            return f"{name}.", module
    raise Refused("quantize.unsupported", detail=f"{type(model).__name__} has no list of {count} layers")
