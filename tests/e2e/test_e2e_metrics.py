"""Metrics of the real CPU engine against the facts, and against what alerts and dashboards ask for."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import pytest

from selfhost.engines import known
from selfhost.render import alerts, dashboard
from tests.e2e.test_e2e_serve_directory import selfhost
from tests.render.kubernetes.plans import deployment
from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.e2e


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.usefixtures("engine_home")
def test_what_alerts_and_dashboards_ask_for_is_there(engine_python, tmp_path):
    model = tmp_path / "tiny"
    make_tiny_model(engine_python, "qwen2", model)
    started = selfhost("serve", str(model), "--detach", "--port", "0", "--max-model-len", "512", "--json")
    server = json.loads(started.stdout)
    try:
        selfhost("chat", "tiny", "你好")
        wrong = urllib.request.Request(f"{server['url']}/v1/completions", data=b"{}")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(wrong, timeout=30)
        text = get(f"{server['url']}/metrics")
    finally:
        selfhost("stop", "tiny")
    found = set(re.findall(r"^((?:vllm:|http_)\w+)", text, re.MULTILINE))
    made = deployment("smollm2-135m-cpu")
    assert len(found) > 60
    assert found <= known.load("vllm-cpu").series
    asked = [alert.query for alert in alerts.alerts(made)]
    asked += [query for panel in dashboard.PANELS for _, query in panel.queries]
    assert set().union(*map(alerts.series_in, asked)) <= found
    for reason in ("abort", "error", "stop"):
        assert re.search(rf'^vllm:request_success_total{{.*finished_reason="{reason}"', text, re.MULTILINE)
    for status in ("2xx", "4xx"):
        assert re.search(rf'^http_requests_total{{.*status="{status}"', text, re.MULTILINE)
