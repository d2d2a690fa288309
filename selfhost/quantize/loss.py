"""The loss report beside a variant, as records and as sentences. The script that measures: selfhost_quantize_loss.py.

Kullback-Leibler divergence of the variant's next-token distribution from the source's, in nats; perplexity of both on
the same Chinese and English text; the share of tokens that both would choose first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from selfhost.errors import IntegrityError
from selfhost.messages import text
from selfhost.quantize.job import LOSS_NAME
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA_VERSION = 1
_LANGUAGES = {"en": "loss.english", "zh": "loss.chinese"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What was measured on one text."""

    tokens: int
    mean_kl: float
    """Nats per token."""
    mean_kl_error: float
    """Standard error of the mean."""
    top1_agreement: float
    """0..1."""
    perplexity_source: float
    perplexity_variant: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerLoss:
    """How far a decoder layer is off by itself, as a share of what it adds."""

    layer: int
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LossReport:
    """What a variant lost against its source."""

    overall: Score
    languages: tuple[tuple[str, Score], ...] = ()
    """By language code."""
    worst_layers: tuple[LayerLoss, ...] = ()
    """The worst first."""
    dtype: str = ""
    """That both models were computed in."""


def read_loss(body: Mapping[str, Any], path: object) -> LossReport:
    """The report in a JSON object; `path` is its file. Raises IntegrityError for one that is none, or is newer."""
    try:
        if int(body["schema_version"]) > SCHEMA_VERSION:
            detail = f"its schema_version is {body['schema_version']}, known is {SCHEMA_VERSION}"
            raise IntegrityError("loss.unreadable", path=path, detail=detail)
        return LossReport(
            overall=_score(body),
            languages=tuple((str(code), _score(said)) for code, said in (body.get("languages") or {}).items()),
            worst_layers=tuple(
                LayerLoss(layer=int(one["layer"]), error=_finite(one["error"]))
                for one in body.get("worst_layers") or ()
            ),
            dtype=str(body.get("dtype") or ""),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise IntegrityError("loss.unreadable", path=path, detail=detail) from error


def _score(said: Mapping[str, Any]) -> Score:
    return Score(
        tokens=int(said["tokens"]),
        mean_kl=_finite(said["mean_kl"]),
        mean_kl_error=_finite(said["mean_kl_error"]),
        top1_agreement=_finite(said["top1_agreement"]),
        perplexity_source=_finite(said["perplexity_source"]),
        perplexity_variant=_finite(said["perplexity_variant"]),
    )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or number < 0:
        msg = f"{value} is no measure"
        raise ValueError(msg)
    return number


def loss_line(report: LossReport) -> str:
    """The report in a line."""
    score = report.overall
    return text(
        "loss.summary",
        kl=score.mean_kl,
        error=score.mean_kl_error,
        top1=100 * score.top1_agreement,
        before=score.perplexity_source,
        after=score.perplexity_variant,
        tokens=score.tokens,
    )


def loss_lines(report: LossReport) -> Iterator[str]:
    """The report in a line, then by language, then the worst layers."""
    yield loss_line(report)
    for code, score in report.languages:
        yield text(
            "loss.of_language",
            language=text(_LANGUAGES[code]) if code in _LANGUAGES else code,
            kl=score.mean_kl,
            error=score.mean_kl_error,
            top1=100 * score.top1_agreement,
            before=score.perplexity_source,
            after=score.perplexity_variant,
        )
    if report.worst_layers:
        named = ", ".join(f"{one.layer} ({100 * one.error:.1f} %)" for one in report.worst_layers)
        yield text("loss.worst_layers", layers=named)


__all__ = ["LOSS_NAME", "LayerLoss", "LossReport", "Score", "loss_line", "loss_lines", "read_loss"]
