"""An explanation as plain text: each figure with its formula, the same in numbers, and where it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.columns import fill, wrap
from selfhost.messages import text
from selfhost.planner.layouts import describe
from selfhost.units import GIB, format_bytes

if TYPE_CHECKING:
    from selfhost.planner.explain import Explanation, Term, Tried
    from selfhost.planner.quantity import Quantity


def draw_explanation(explanation: Explanation, *, width: int) -> str:
    """Layouts, terms of the budget and arithmetic of the KV cache, in lines of at most `width` characters."""
    if not explanation.terms:
        return fill(text("explain.nothing"), width)
    parts = [_title("explain.title_layouts", width)]
    parts += [_layout(tried, width) for tried in explanation.layouts]
    parts.append("\n" + _title("explain.title_memory", width))
    parts += [_term(term, width) for term in explanation.terms]
    if explanation.encoder:
        parts.append("\n" + _title("explain.title_encoder", width))
        parts += [_quantity(quantity, width) for quantity in explanation.encoder]
    parts.append("\n" + _title("explain.title_kv_cache", width))
    parts += [_quantity(quantity, width) for quantity in explanation.kv_cache]
    return "\n".join(parts)


def _title(key: str, width: int) -> str:
    return fill(text(key), width)


def _layout(tried: Tried, width: int) -> str:
    line = text(
        "explain.layout_chosen" if tried.chosen else "explain.layout",
        layout=describe(tried.layout),
        verdict=tried.verdict,
        weights=format_bytes(tried.weight_bytes),
        tokens=tried.tokens_all_engines,
        length=tried.max_model_len,
    )
    return fill(line, width, initial_indent="  ", subsequent_indent="      ")


def _term(term: Term, width: int) -> str:
    lines = [f"  {term.name}: {term.value_bytes / GIB:,.2f} GiB"]
    if term.low != term.high:
        lines[0] += " " + text("explain.range", low=f"{term.low / GIB:,.2f}", high=f"{term.high / GIB:,.2f}")
    for tensors in term.tensors:
        shape = " x ".join(map(str, tensors.shape))
        name = f"{tensors.name} {f'({shape})' if shape else ''}".strip()
        lines.append(_wrapped(f"{name}: {tensors.number} * {tensors.bytes_each}", width))
    if not term.tensors:
        lines += [_wrapped(f"= {line}", width) for line in (term.formula, term.in_numbers) if line]
    if term.formula is None:
        lines.append(_wrapped(text("explain.measured"), width))
    return "\n".join(
        [*lines, _wrapped(f"= {term.value_bytes} bytes; {text('explain.source', source=term.source)}", width)]
    )


def _quantity(quantity: Quantity, width: int) -> str:
    value = f"{quantity.value:,}" if isinstance(quantity.value, int) else f"{quantity.value:,.2f}"
    lines = [f"  {quantity.name}: {value}"]
    lines += [_wrapped(f"= {line}", width) for line in (quantity.formula, quantity.in_numbers) if line]
    return "\n".join([*lines, _wrapped(text("explain.source", source=quantity.source), width)])


def _wrapped(line: str, width: int) -> str:
    return "\n".join(
        wrap(
            line,
            width,
            initial_indent="    ",
            subsequent_indent="      ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
