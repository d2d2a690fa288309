"""Plan -> options of vllm-ascend 0.23.0: what differs from vLLM 0.32, for plans.

Options that memory, layout and start depend on; variables are in `ascend_variables`, the files that CANN's own come
from in `cann`. Tuning of one model (`weight_nz_mode`, speculation) is its recipe's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.engines import owned, vllm
from selfhost.planner import ascend_terms
from selfhost.quant.ascend import METHOD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.engines.known import Known
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
