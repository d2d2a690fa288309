"""`selfhost doctor`: exit codes, text and JSON."""

from __future__ import annotations

import json

import pytest

from selfhost.app import doctor as app
from selfhost.app.doctor import Examined
from selfhost.doctor.examine import examine
from selfhost.messages import Message
from tests.doctor.doctor_support import ascend, cuda, with_host
from tests.serve.serve_support import LOGS

FAILED = LOGS / "kv-too-small.log"


@pytest.fixture
def here(monkeypatch):
    """Make a machine the one that is examined."""

    def be(facts):
        examined = Examined(facts=facts, findings=examine(facts))
        monkeypatch.setattr(app, "examine_here", lambda _home, _model, **_: examined)

    return be


def test_a_machine_that_is_well_is_exit_code_0(here, selfhost):
    here(cuda())
    code, out, err = selfhost("doctor")
    assert (code, out) == (0, "nothing is wrong that can be told from here\n")
    assert err == "errors: 0, warnings: 0, notes: 0\n"


def test_warnings_are_exit_code_0_and_errors_3(here, selfhost):
    here(with_host(cuda(), open_files=1024))
    assert selfhost("doctor")[0] == 0
    here(ascend(driver_files=False))
    code, out, _ = selfhost("doctor")
    assert code == 3
    assert out == (
        "error: driver: /usr/local/Ascend/driver/version.info is not there\n"
        "    CANN reads the driver's version from it\n"
        "    fix: install the driver on the host; in a container, mount that file and /usr/local/Ascend/driver/lib64\n"
        "    see: https://docs.vllm.ai/projects/ascend/en/latest/installation.html\n"
    )


def test_json_has_the_same_and_what_was_not_told(here, selfhost):
    from dataclasses import replace

    here(replace(ascend(driver_files=False), not_told=(Message("doctor.dmesg_closed"),)))
    code, out, err = selfhost("doctor", "--json")
    body = json.loads(out)
    assert (code, err) == (3, "")
    assert (body["schema_version"], body["errors"], body["warnings"]) == (1, 1, 0)
    [found] = body["findings"]
    assert (found["severity"], found["id"]) == ("error", "doctor_ascend.no_driver_files")
    assert found["link"].startswith("https://")
    assert len(body["not_told"]) == 1


def test_a_log_with_a_cause_is_exit_code_3(selfhost):
    code, out, err = selfhost("doctor", "--log", FAILED)
    assert code == 3
    assert out.startswith("cause, line 66: the KV cache cannot hold one request of 1024 tokens\n")
    assert "\n    fix: try `selfhost serve MODEL --max-model-len 256`" in out
    assert "symptom, line 12: at most 20000 files may be open\n" in out
    assert err == "the first failure is the cause; what comes later mostly follows from it\n"


def test_a_log_as_json(selfhost):
    code, out, _ = selfhost("doctor", "--log", FAILED, "--json")
    body = json.loads(out)
    assert (code, body["cause"]["id"], body["cause"]["line_number"]) == (3, "diagnose.kv_too_small", 66)
    assert (body["cut"], body["cause"]["count"]) == (None, 2)


def test_a_log_without_a_failure_is_exit_code_0(selfhost, tmp_path):
    path = tmp_path / "engine.log"
    path.write_text("INFO 11-22 04:08:47 [x.py:1] all is well\n")
    assert selfhost("doctor", "--log", path) == (0, "", "no failure that is known in 1 lines\n")


def test_a_log_that_is_not_there_is_exit_code_7(selfhost, tmp_path):
    assert selfhost("doctor", "--log", tmp_path / "absent")[0] == 7


def test_a_log_and_a_model_are_two_questions(selfhost):
    code, _, err = selfhost("doctor", "--log", FAILED, "--model", "m")
    assert code == 2
    assert "`--log` and `--model`" in err


def test_a_report_takes_a_log_along(selfhost, tmp_path, here):
    here(cuda())
    path = tmp_path / "report.json"
    code, out, _ = selfhost("doctor", "--log", FAILED, "--report", path)
    assert (code, out.startswith("cause, line 66: ")) == (3, True)
    log = json.loads(path.read_text())["log"]
    assert (log["cause"]["id"], log["cause"]["code"]) == ("diagnose.kv_too_small", 3)
    assert 50 < len(log["last_lines"]) <= 80


def test_a_report_of_this_machine(selfhost, tmp_path):
    path = tmp_path / "report.json"
    code, out, err = selfhost("doctor", "--report", path)
    assert code in (0, 3)
    assert json.loads(path.read_text())["schema_version"] == 1
    assert f"report: {path}" in err
    assert selfhost("doctor", "--report", path)[0] == 2
    assert out


def test_a_model_that_does_not_exist_is_exit_code_2(selfhost):
    assert selfhost("doctor", "--model", "no-such-model")[0] == 2


def test_nodes_are_compared_where_no_npu_is(selfhost, tmp_path):
    """From the machine of who looks after them: two texts of terminals."""
    for name, tls in (("a.txt", 0), ("b.txt", 1)):
        text = f"# hccn_tool -i 0 -tls -g\ndev_id:0, tls switch[{tls}](0:disable, 1:enable)\n"
        (tmp_path / name).write_text(text)
    code, out, _ = selfhost("doctor", "--node", tmp_path / "a.txt", "--node", tmp_path / "b.txt")
    assert code == 3
    assert "TLS is on for some NPUs and off for others" in out
    assert "on: b.txt: NPU 0" in out
    assert selfhost("doctor", "--node", tmp_path / "absent")[0] == 4
