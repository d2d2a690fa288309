"""How long things may take, when a restart is due, and what counts as progress."""

from __future__ import annotations

import os

import pytest

from selfhost.app.orders import limits_of
from selfhost.errors import UsageError
from selfhost.serve import disk
from selfhost.serve.liveness import Figures, Watch, read_figures
from selfhost.serve.restart import SETTLED_S, backoff_s, failures_in_a_row, parse
from selfhost.serve.times import start_deadline_s, stop_grace_s, wedge_s
from tests.serve.serve_support import make_plan


@pytest.mark.parametrize(
    ("weight_bytes", "disk_bytes_per_s", "seconds"),
    [
        pytest.param(0, None, 2700, id="nothing to read"),
        pytest.param(100_000_000_000, None, 4700, id="an unknown disk is a slow one"),
        pytest.param(100_000_000_000, 800_000_000, 3200, id="a quarter of what one reader gets"),
        pytest.param(100_000_000_000, 12_000_000_000, 3200, id="no faster than 200 MB/s"),
        pytest.param(100_000_000_000, 1_000_000, 12_700, id="no slower than 10 MB/s"),
    ],
)
def test_the_deadline_of_a_start(weight_bytes, disk_bytes_per_s, seconds):
    assert start_deadline_s(weight_bytes, disk_bytes_per_s) == seconds


def test_the_grace_of_a_stop():
    assert (stop_grace_s(0), stop_grace_s(10), stop_grace_s(60)) == (30, 30, 70)


def test_a_wedge_is_no_longer_than_the_longest_step():
    assert wedge_s(8192, accelerator=True) == pytest.approx(316.4, abs=0.1)
    assert wedge_s(4096, accelerator=False) == pytest.approx(381.9, abs=0.1)
    assert wedge_s(131_072, accelerator=True) > 500, "a prompt of 128k in one step"


@pytest.mark.parametrize(
    ("text", "policy"),
    [("never", "never"), ("on-failure", "on-failure:5"), ("on-failure:1", "on-failure:1")],
)
def test_policies(text, policy):
    assert str(parse(text)) == policy
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize("text", ["", "always", "on-failure:0", "on-failure:", "on-failure:-1", "On-Failure"])
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.message.hint == "for example `--restart on-failure`"


def test_waits_double_up_to_a_minute():
    assert [backoff_s(tries) for tries in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


def test_serving_for_long_forgives_earlier_failures():
    assert failures_in_a_row(4, SETTLED_S - 1) == 5
    assert failures_in_a_row(4, SETTLED_S) == 1
    assert failures_in_a_row(4, None) == 5


PAGE = """# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
vllm:prompt_tokens_total{{engine="0",model_name="a b"}} {prompt}
vllm:prompt_tokens_total{{engine="1",model_name="a b"}} 5.0
vllm:prompt_tokens_created{{engine="0"}} 1.7e+09
vllm:generation_tokens_total{{engine="0",model_name="a b"}} 1.5e+06
vllm:kv_cache_usage_perc{{engine="0",model_name="a b"}} {usage}
vllm:request_prompt_tokens_sum 12.0
"""


def test_figures_of_a_page_are_added_up_over_engines():
    assert read_figures(PAGE.format(prompt="10.0", usage=0.25)) == Figures(15.0, 1.5e6, 0.25)


@pytest.mark.parametrize(
    "page", ["", "vllm:prompt_tokens_total 1.0\n", "vllm:prompt_tokens_total x\nvllm:generation_tokens_total 1\n"]
)
def test_a_page_without_them_tells_nothing(page):
    assert read_figures(page) is None


def test_a_long_prompt_moves_the_fill_of_the_cache_before_it_is_counted():
    pages = [read_figures(PAGE.format(prompt="10.0", usage=usage)) for usage in (0.1, 0.1, 0.2)]
    watch = Watch().seen(pages[0], 0.0)
    assert watch.seen(pages[1], 50.0) is watch
    assert watch.stalled(60.0, 60.0)
    assert not watch.seen(pages[2], 59.0).stalled(60.0, 60.0)


def test_where_nothing_can_be_told_nothing_stalls():
    assert not Watch().seen(None, 0.0).stalled(1e9, 60.0)
    assert not Watch(figures=Figures(1, 1, 0)).seen(None, 5.0).stalled(1e9, 60.0)


def test_the_speed_of_the_disk_is_read_from_the_largest_file(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(os.urandom(12 << 20))
    ticks = iter([0.0, 0.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(disk.time, "monotonic", lambda: next(ticks))
    # Two pieces of 4 MiB from the beginning, and then two seconds are over.
    assert disk.read_speed(tmp_path) == pytest.approx((8 << 20) / 2.0)


@pytest.mark.parametrize("size", [None, 0, 1 << 20])
def test_of_small_files_and_of_none_nothing_can_be_told(tmp_path, size):
    if size is not None:
        (tmp_path / "model.safetensors").write_bytes(bytes(size))
    assert disk.read_speed(tmp_path if size is not None else tmp_path / "none") is None


def test_the_times_of_a_plan(tmp_path):
    limits = limits_of(make_plan(model_path=str(tmp_path / "none"), argv=("vllm", "--shutdown-timeout", "60")))
    assert limits.deadline_s == pytest.approx(2700)
    assert limits.grace_s == 70
    assert limits.wedge_s == pytest.approx(300 + 512 / 50)
