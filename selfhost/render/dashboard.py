"""A Grafana dashboard that queries only what the pinned engine exports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from selfhost.engines import known
from selfhost.records import dataclass
from selfhost.render.alerts import series_in
from selfhost.render.rendered import RenderedFile

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

_SCHEMA_VERSION = 39
"""Grafana 11; newer ones migrate it."""
_UID_CHARACTERS = 40
_COLUMNS, _WIDTH, _HEIGHT = 2, 12, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One graph."""

    title: str
    unit: str
    """As Grafana names units: `s`, `percentunit`, `short`, `reqps`."""
    queries: tuple[tuple[str, str], ...]
    """(legend, PromQL with `@` where the selector belongs)."""


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) (rate({metric}_bucket{{@}}[$__rate_interval])))")
        for share in (50, 95, 99)
    )


def _rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{@}}[$__rate_interval]))"


PANELS = (
    Panel(title="Answers", unit="short", queries=(("up", "up{@}"),)),
    Panel(
        title="Requests",
        unit="short",
        queries=(
            ("running", "sum(vllm:num_requests_running{@})"),
            ("waiting", "sum(vllm:num_requests_waiting{@})"),
        ),
    ),
    Panel(
        title="Requests ended, by reason",
        unit="reqps",
        queries=(("{{finished_reason}}", _rate("vllm:request_success_total", "finished_reason")),),
    ),
    Panel(
        title="HTTP answers, by status",
        unit="reqps",
        queries=(("{{status}}", _rate("http_requests_total", "status")),),
    ),
    Panel(
        title="Tokens per second",
        unit="short",
        queries=(
            ("prompt", _rate("vllm:prompt_tokens_total")),
            ("generated", _rate("vllm:generation_tokens_total")),
        ),
    ),
    Panel(title="Time to the first token", unit="s", queries=_quantiles("vllm:time_to_first_token_seconds")),
    Panel(title="Time between tokens", unit="s", queries=_quantiles("vllm:inter_token_latency_seconds")),
    Panel(title="Time of a whole request", unit="s", queries=_quantiles("vllm:e2e_request_latency_seconds")),
    Panel(title="Time in the queue", unit="s", queries=_quantiles("vllm:request_queue_time_seconds")),
    Panel(
        title="KV cache in use",
        unit="percentunit",
        queries=(("engine {{engine}}", "vllm:kv_cache_usage_perc{@}"),),
    ),
    Panel(
        title="Prompt tokens found in the prefix cache",
        unit="percentunit",
        queries=(("hits", f"{_rate('vllm:prefix_cache_hits_total')} / {_rate('vllm:prefix_cache_queries_total')}"),),
    ),
    Panel(title="Preemptions per second", unit="short", queries=(("", _rate("vllm:num_preemptions_total")),)),
)


def dashboard(deployment: Deployment, job: str = "") -> dict[str, Any]:
    """The dashboard as Grafana imports it, without panels of metrics that the engine does not have.

    job: of Prometheus; the deployment's name if empty.
    """
    selector = f'job="{job or deployment.name}"'
    series = known.load(deployment.plan.engine.name).series
    panels = [panel for panel in PANELS if all(series_in(query) <= series for _, query in panel.queries)]
    return {
        "title": f"selfhost: {deployment.name}",
        # The same after a change of the plan, so that an import replaces the old one.
        "uid": f"selfhost-{deployment.name}"[:_UID_CHARACTERS],
        "schemaVersion": _SCHEMA_VERSION,
        "tags": ["selfhost"],
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [_panel(panel, number, selector) for number, panel in enumerate(panels)],
    }


def _panel(panel: Panel, number: int, selector: str) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {
            "x": number % _COLUMNS * _WIDTH,
            "y": number // _COLUMNS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "legendFormat": legend,
                "expr": query.replace("@", selector),
            }
            for place, (legend, query) in enumerate(panel.queries)
        ],
    }


def dashboard_text(deployment: Deployment, job: str = "") -> str:
    """The dashboard as JSON."""
    return json.dumps(dashboard(deployment, job), indent=2, ensure_ascii=False) + "\n"


def dashboard_file(deployment: Deployment) -> RenderedFile:
    """The dashboard as a file that Grafana imports or provisions."""
    return RenderedFile(path="monitoring/dashboard.json", text=dashboard_text(deployment))
