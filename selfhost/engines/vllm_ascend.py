"""Plan -> options of vllm-ascend 0.23.0: what differs from vLLM 0.32, for plans.

Options that memory, layout and start depend on; variables are in `ascend_variables`, the files that CANN's own come
from in `cann`. Tuning of one model (`weight_nz_mode`, speculation) is its recipe's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.engines import additional_config, owned, vllm
from selfhost.planner import ascend_terms
from selfhost.quant.ascend import METHOD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from selfhost.engines.known import Known
    from selfhost.engines.owned import Option
    from selfhost.planner.plan import ModelToPlan, Plan


def fitting(model: ModelToPlan, known: Known) -> tuple[ModelToPlan, list[str]]:
    """The model without parsers of its recipe that this older engine does not have, and those options.

    Recipes name the parsers of the other engine's newer vLLM. Raises UsageError as `owned.parse` does.
    """
    has = {"--tool-call-parser": known.tool_call_parsers, "--reasoning-parser": known.reasoning_parsers}
    given = owned.parse(model.engine_args, known)
    gone = {
        option.flag.name: option
        for option in given
        if option.values[:1] and option.values[0] not in has.get(option.flag.name, option.values)
    }
    left = {*gone, *(["--enable-auto-tool-choice"] if "--tool-call-parser" in gone else [])}
    kept = tuple(token for option in given if option.flag.name not in left for token in option.tokens)
    return replace(model, engine_args=kept), [" ".join(option.tokens) for option in gone.values()]


_WHOLE, _WHOLE_SPREAD = "enable_flashcomm1", "enable_shared_expert_dp"


def counted(given: Iterable[Option]) -> frozenset[str]:
    """`--additional-config`, when nothing is in it but what a plan's figures have; else none."""
    own = [option for option in given if option.flag.name == additional_config.FLAG]
    keys = {key for option in own for key in additional_config.read(option.given, option.values)}
    return frozenset([additional_config.FLAG]) if own and keys <= {_WHOLE, _WHOLE_SPREAD} else frozenset()


def keeps_shared_experts_whole(given: Iterable[Option], *, spread: bool) -> bool:
    """Whether options keep the shared experts whole on every rank, which gathers no tokens for them.

    given: of recipe and request, in this order. spread: whether experts are spread over the ranks, without which one of
    the two keys does nothing (vllm-ascend 0.23.0 ascend_config.py).
    """
    config: dict[str, object] = {}
    for option in given:
        if option.flag.name == additional_config.FLAG:
            config = additional_config.joined(config, additional_config.read(option.given, option.values))
    return bool(config.get(_WHOLE)) or (spread and bool(config.get(_WHOLE_SPREAD)))


def with_whole_shared_experts(model: ModelToPlan) -> ModelToPlan:
    """The model as it is loaded then."""
    return replace(
        model,
        arch=replace(model.arch, whole_shared_experts=True),
        variants=tuple(with_whole_shared_experts(variant) for variant in model.variants),
    )


def options(plan: Plan, model: ModelToPlan) -> Iterator[tuple[str, ...]]:
    """The options of the plan itself, as `engines.vllm.own` gives them."""
    small = plan.hardware.device.family == ascend_terms.SMALL_FAMILY
    for option in vllm.own(plan, model):
        yield ("--dtype", "float16") if small and option[0] == "--dtype" else option
    yield "--block-size", str(plan.kv_cache.block_size)
    quantization = model.arch.quantization
    if quantization is not None and quantization.method == METHOD:
        yield "--quantization", METHOD
    if not plan.settings.enforce_eager:
        # As every tutorial has it: graphs of prefill as well ask for more streams than older drivers have (FAQ 17).
        yield "--compilation-config", '{"cudagraph_mode":"FULL_DECODE_ONLY"}'
    if small:
        yield "--additional-config", '{"ascend_compilation_config":{"enable_npugraph_ex":false}}'
