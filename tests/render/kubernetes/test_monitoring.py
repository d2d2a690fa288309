"""Alerts and dashboards: names that the engine has, rules that fire when they should and not before."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace

import pytest
import yaml

from selfhost.engines import known
from selfhost.render import alerts, dashboard
from selfhost.render.monitoring import monitoring_files
from tests.render.kubernetes.plans import deployment, objects

CUDA, ASCEND = "qwen2.5-7b-1xRTX4090", "qwen2.5-72b-8x910B3"
JOB = "qwen2-5-7b"
START_S = deployment(CUDA).times.start_s


def queries(made):
    return [target["expr"] for panel in dashboard.dashboard(made)["panels"] for target in panel["targets"]] + [
        rule["expr"] for group in alerts.groups(made)["groups"] for rule in group["rules"]
    ]


@pytest.mark.parametrize("name", [CUDA, ASCEND, "smollm2-135m-cpu"])
def test_queries_name_only_what_the_engine_exports(name):
    made = deployment(name)
    series = known.load(made.plan.engine.name).series
    used = {found for query in queries(made) for found in re.findall(r"[a-z_]+:[a-z0-9_]+|http_[a-z0-9_]+", query)}
    assert used <= series
    assert len(used) > 10


@pytest.mark.parametrize("name", [CUDA, ASCEND])
def test_queries_are_about_this_deployment_only(name):
    made = deployment(name)
    for query in queries(made):
        assert "@" not in query
        assert query.count("{") == query.count(f'{{job="{made.name}"')


def test_an_alert_about_a_metric_that_the_engine_does_not_have_is_left_out():
    # vLLM 0.23 counts no rejections.
    names = [{alert.name for alert in alerts.alerts(deployment(name))} for name in (CUDA, ASCEND)]
    assert names[0] - names[1] == {"SelfhostRejects"}


def test_each_alert_says_what_happened_and_what_to_do():
    for alert in alerts.alerts(deployment(CUDA)):
        assert alert.summary
        assert alert.description.endswith((".", "?"))
        assert alert.severity in {"critical", "warning"}


def test_the_rules_in_the_cluster_watch_the_job_that_the_monitor_makes():
    found = objects("qwen2.5-7b-1xRTX4090")
    monitor, rules = found["ServiceMonitor", JOB], found["PrometheusRule", JOB]
    service = found["Service", f"{JOB}-api"]
    label = monitor["spec"]["jobLabel"]
    assert f'job="{service["metadata"]["labels"][label]}"' in rules["spec"]["groups"][0]["rules"][0]["expr"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": f"{JOB}-metrics", "key": "token"}


def test_a_dashboard_is_laid_out_without_overlaps():
    panels = dashboard.dashboard(deployment(CUDA))["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)


def test_a_dashboard_is_json_that_is_the_same_each_time():
    made = deployment(CUDA)
    assert json.loads(dashboard.dashboard_text(made)) == dashboard.dashboard(made)
    assert dashboard.dashboard_text(made) == dashboard.dashboard_text(replace(made))


def test_a_dashboard_of_a_changed_plan_replaces_the_old_one():
    made = deployment(CUDA)
    other = replace(made, store="/elsewhere")
    assert other.fingerprint != made.fingerprint
    assert dashboard.dashboard(other)["uid"] == dashboard.dashboard(made)["uid"]
    assert len(dashboard.dashboard(replace(made, name="a" * 63))["uid"]) == 40


@pytest.fixture
def promtool(debian_tool):
    return debian_tool("promtool", "prometheus")


def run(promtool, *arguments, cwd):
    done = subprocess.run([promtool, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [CUDA, ASCEND, "deepseek-v3-2x8xH20"])
def test_prometheus_takes_configuration_and_rules(name, promtool, tmp_path):
    for file in monitoring_files(deployment(name)):
        path = tmp_path / file.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(file.text)
    run(promtool, "check", "config", "--syntax-only", "prometheus.yml", cwd=tmp_path / "monitoring")
    said = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml", cwd=tmp_path / "monitoring")
    assert f"{len(alerts.alerts(deployment(name)))} rules found" in said


def series(name, values, **labels):
    said = ",".join(f'{key}="{value}"' for key, value in {"job": JOB, **labels}.items())
    return {"series": f"{name}{{{said}}}", "values": values}


RUNNING = series("vllm:num_requests_running", "4x200")
BUSY = [RUNNING, series("vllm:generation_tokens_total", "0+6000x200"), series("vllm:prompt_tokens_total", "0+600x200")]
STOPS = series("vllm:request_success_total", "0+60x200", finished_reason="stop")
SLOW = [
    series("vllm:time_to_first_token_seconds_bucket", "0+10x200", le="5.0"),
    series("vllm:time_to_first_token_seconds_bucket", "0+20x200", le="20.0"),
    series("vllm:time_to_first_token_seconds_bucket", "0+20x200", le="+Inf"),
]
FIRES = {
    # alert: (series at one-minute steps, minute at which it does not fire yet, minute at which it does)
    "SelfhostMissing": ([series("other", "1x200")], 4, 6),
    "SelfhostDown": ([series("up", "1x9 0x100")], 11, 13),
    "SelfhostStartTooLong": ([series("up", "0x200")], START_S // 60 - 1, START_S // 60 + 2),
    "SelfhostStuck": (
        [
            RUNNING,
            series("vllm:generation_tokens_total", "0+100x9 900x100"),
            series("vllm:prompt_tokens_total", "0+10x9 90x100"),
        ],
        20,
        30,
    ),
    "SelfhostKvCacheFull": ([series("vllm:kv_cache_usage_perc", "0.5x9 0.99x100")], 18, 21),
    "SelfhostQueueGrows": ([series("vllm:num_requests_waiting", "0x9 1+1x100")], 20, 30),
    "SelfhostPreempts": ([series("vllm:num_preemptions_total", "0x9 0+60x100")], 15, 25),
    "SelfhostRejects": ([series("vllm:admission_rejections_total", "0x9 1+5x100", reason="full")], 12, 20),
    "SelfhostErrors": (
        [STOPS, series("vllm:request_success_total", "0x9 0+5x100", finished_reason="error")],
        13,
        20,
    ),
    "SelfhostServerErrors": (
        [
            series("http_requests_total", "0+60x200", status="2xx"),
            series("http_requests_total", "0x9 0+5x100", status="5xx"),
        ],
        13,
        20,
    ),
    "SelfhostAborts": (
        [STOPS, series("vllm:request_success_total", "0x9 0+60x100", finished_reason="abort")],
        18,
        35,
    ),
    "SelfhostFirstTokenSlow": (SLOW, 8, 15),
}


def test_each_alert_is_tested():
    assert {*FIRES} == {alert.name for alert in alerts.alerts(deployment(CUDA))}


def expected(name, made):
    rules = alerts.groups(made)["groups"][0]["rules"]
    (rule,) = [rule for rule in rules if rule["alert"] == name]
    by_target = "sum" not in rule["expr"] and "max" not in rule["expr"] and "histogram" not in rule["expr"]
    labels = {**rule["labels"], **({"job": JOB} if by_target else {})}
    return [{"exp_labels": labels, "exp_annotations": rule["annotations"]}]


@pytest.mark.parametrize("name", FIRES)
def test_an_alert_fires_when_it_should_and_not_before(name, promtool, tmp_path):
    made = deployment(CUDA)
    (tmp_path / "alerts.yaml").write_text(alerts.alert_file(made).text)
    given, before, after = FIRES[name]
    case = {
        "interval": "1m",
        "input_series": given,
        "alert_rule_test": [
            {"eval_time": f"{before}m", "alertname": name, "exp_alerts": []},
            {"eval_time": f"{after}m", "alertname": name, "exp_alerts": expected(name, made)},
        ],
    }
    text = yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [case]})
    (tmp_path / "test.yaml").write_text(text)
    run(promtool, "test", "rules", "test.yaml", cwd=tmp_path)


def test_nothing_fires_on_a_server_that_works(promtool, tmp_path):
    (tmp_path / "alerts.yaml").write_text(alerts.alert_file(deployment(CUDA)).text)
    given = [
        *BUSY,
        STOPS,
        series("up", "1x200"),
        series("vllm:kv_cache_usage_perc", "0.6x200"),
        series("vllm:num_requests_waiting", "0 3 1 0 2" + " 0 1 2 0 1" * 30),
        series("vllm:num_preemptions_total", "0+1x200"),
        series("vllm:request_success_total", "0+3x200", finished_reason="abort"),
        series("vllm:request_success_total", "0x200", finished_reason="error"),
        series("http_requests_total", "0+60x200", status="2xx"),
        series("vllm:time_to_first_token_seconds_bucket", "0+60x200", le="0.5"),
        series("vllm:time_to_first_token_seconds_bucket", "0+60x200", le="+Inf"),
    ]
    quiet = [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": []} for minute in (30, 90) for name in FIRES]
    case = {"interval": "1m", "input_series": given, "alert_rule_test": quiet}
    text = yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [case]})
    (tmp_path / "test.yaml").write_text(text)
    run(promtool, "test", "rules", "test.yaml", cwd=tmp_path)
