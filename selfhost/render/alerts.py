"""Alerts for Prometheus: rules that name only what the pinned engine exports, and say what to do.

Thresholds are where a person should look, not where something is certainly broken; sites change them in their copy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from selfhost.engines import known
from selfhost.records import dataclass
from selfhost.render.rendered import RenderedFile, header, yaml_text

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

KV_CACHE_FULL_FRACTION = 0.95
PREEMPTIONS_PER_S = 0.1
ERRORS_FRACTION = 0.01
ABORTS_FRACTION = 0.2
FIRST_TOKEN_S = 10
"""Of the 95th percentile; people at a chat window leave before it."""
_SERIES = re.compile(r"\b(?:vllm:|http_)[a-z0-9_]+")
_MIN_ANSWERS_PER_S = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One rule."""

    name: str
    query: str
    """PromQL, with `@` where the selector of the deployment's targets belongs."""
    minutes: float
    """How long it must hold."""
    severity: str
    """`critical`: nobody is served; `warning`: somebody is served badly."""
    summary: str
    description: str


def series_in(query: str) -> set[str]:
    """Names of the engine's series in a query.

    >>> sorted(series_in('rate(vllm:num_preemptions_total{job="a"}[5m]) > 0 and up == 1'))
    ['vllm:num_preemptions_total']
    """
    return set(_SERIES.findall(query))


def alerts(deployment: Deployment) -> list[Alert]:
    """The rules of a deployment, without those of metrics that its engine does not have."""
    series, name = known.load(deployment.plan.engine.name).series, deployment.name
    every = (*_life(deployment), *_load(name), *_answers(name))
    return [alert for alert in every if series_in(alert.query) <= series]


def groups(deployment: Deployment, job: str = "") -> dict[str, Any]:
    """The rules as Prometheus reads them; also the `spec` of a PrometheusRule. job: the deployment's name if empty."""
    selector = f'job="{job or deployment.name}"'
    return {
        "groups": [
            {
                "name": f"selfhost-{deployment.name}",
                "rules": [
                    {
                        "alert": alert.name,
                        "expr": alert.query.replace("@", selector),
                        "for": f"{round(alert.minutes * 60)}s",
                        "labels": {"severity": alert.severity},
                        "annotations": {"summary": alert.summary, "description": alert.description},
                    }
                    for alert in alerts(deployment)
                ],
            }
        ]
    }


def alert_file(deployment: Deployment) -> RenderedFile:
    """The rules as a file for `rule_files` of Prometheus."""
    return RenderedFile(path="monitoring/alerts.yaml", text=header(deployment) + yaml_text(groups(deployment)))


def _life(deployment: Deployment) -> list[Alert]:
    name, start_s = deployment.name, deployment.times.start_s
    return [
        Alert(
            name="SelfhostMissing",
            query="absent(up{@})",
            minutes=5,
            severity="critical",
            summary=f"{name} is not watched",
            description="Prometheus has no target of this job: is the deployment there, and does its scrape "
            "configuration name it?",
        ),
        Alert(
            name="SelfhostDown",
            query="up{@} == 0",
            minutes=2,
            severity="warning",
            summary=f"{name} does not answer",
            description=f"It is starting, which may take {start_s} s, or it stopped, or the key for /metrics is wrong.",
        ),
        Alert(
            name="SelfhostStartTooLong",
            query="up{@} == 0",
            minutes=start_s / 60,
            severity="critical",
            summary=f"{name} has not answered for longer than a start takes",
            description=f"A start takes {start_s} s at most, by the size of the model: read the engine's log.",
        ),
        Alert(
            name="SelfhostStuck",
            query="sum(vllm:num_requests_running{@}) > 0 and sum(rate(vllm:generation_tokens_total{@}[5m])) == 0"
            " and sum(rate(vllm:prompt_tokens_total{@}[5m])) == 0",
            minutes=10,
            severity="critical",
            summary=f"{name} has requests and produces nothing",
            description="A rank waits for another one: look at the accelerators and the network between nodes, "
            "then restart all nodes.",
        ),
    ]


def _load(name: str) -> list[Alert]:
    return [
        Alert(
            name="SelfhostKvCacheFull",
            query=f"max(vllm:kv_cache_usage_perc{{@}}) > {KV_CACHE_FULL_FRACTION}",
            minutes=10,
            severity="warning",
            summary=f"the KV cache of {name} is full",
            description="Further requests wait or push others out: lower --max-num-seqs or --max-model-len, or add "
            "accelerators.",
        ),
        Alert(
            name="SelfhostQueueGrows",
            query="sum(min_over_time(vllm:num_requests_waiting{@}[10m])) >= 1"
            " and sum(deriv(vllm:num_requests_waiting{@}[10m])) > 0",
            minutes=5,
            severity="warning",
            summary=f"more requests come to {name} than it finishes",
            description="The queue has not been empty for 10 minutes and grows: limit clients, or add accelerators.",
        ),
        Alert(
            name="SelfhostPreempts",
            query=f"sum(rate(vllm:num_preemptions_total{{@}}[5m])) > {PREEMPTIONS_PER_S}",
            minutes=10,
            severity="warning",
            summary=f"{name} pushes running requests out and computes them again",
            description="The KV cache is too small for so many requests at a time: lower --max-num-seqs.",
        ),
        Alert(
            name="SelfhostRejects",
            query="sum(rate(vllm:admission_rejections_total{@}[5m])) > 0",
            minutes=5,
            severity="warning",
            summary=f"{name} turns requests away",
            description="A limit of the queue is reached: limit clients, or add accelerators.",
        ),
    ]


def _answers(name: str) -> list[Alert]:
    ended = "sum(rate(vllm:request_success_total{@}[10m]))"
    failed, aborted = (ended.replace("@", f'@,finished_reason="{reason}"') for reason in ("error", "abort"))
    return [
        Alert(
            name="SelfhostErrors",
            query=f"{failed} > {ERRORS_FRACTION} * {ended}",
            minutes=5,
            severity="critical",
            summary=f"requests to {name} end in errors",
            description="The engine could not finish them: read its log.",
        ),
        Alert(
            name="SelfhostServerErrors",
            query=f'sum(rate(http_requests_total{{@,status="5xx"}}[10m])) > {ERRORS_FRACTION} * '
            "sum(rate(http_requests_total{@}[10m]))",
            minutes=5,
            severity="critical",
            summary=f"{name} answers with 5xx",
            description="Read the engine's log; 503 means that it is starting or stopping.",
        ),
        Alert(
            name="SelfhostAborts",
            query=f"{aborted} > {ABORTS_FRACTION} * {ended} and {ended} > {_MIN_ANSWERS_PER_S}",
            minutes=10,
            severity="warning",
            summary=f"clients of {name} give up before the answer ends",
            description="Answers are too slow for them, or a proxy in between cuts long ones off.",
        ),
        Alert(
            name="SelfhostFirstTokenSlow",
            query="histogram_quantile(0.95, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket{@}[10m]))) "
            f"> {FIRST_TOKEN_S}",
            minutes=10,
            severity="warning",
            summary=f"the first token of {name} comes late",
            description=f"One request in twenty waits longer than {FIRST_TOKEN_S} s for it: requests queue, or prompts "
            "are very long.",
        ),
    ]
