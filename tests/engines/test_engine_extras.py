"""What of the engine's options and variables is part of a boot record's subject."""

from __future__ import annotations

import pytest

from selfhost.engines import known
from selfhost.engines.extras import _HARMLESS, extras
from selfhost.errors import UsageError

VLLM = known.load("vllm")


def test_harmless_options_are_options_of_the_engine():
    assert {VLLM.flags[name].name for name in _HARMLESS} == set(_HARMLESS)


@pytest.mark.parametrize(
    ("recipe", "request_", "environment", "expected"),
    [
        ([], [], {}, ()),
        (["--enable-auto-tool-choice", "--tool-call-parser", "hermes"], ["--seed", "7"], {}, ()),
        ([], ["--enable-lora", "--max-loras=4"], {}, ("--enable-lora", "--max-loras 4")),
        (["--block-size", "32"], ["--block-size", "64"], {}, ("--block-size 64",)),
        (["--block-size", "32"], ["--enable-lora"], {}, ("--block-size 32", "--enable-lora")),
        (
            [],
            [],
            {
                "VLLM_USE_V2_MODEL_RUNNER": "0",
                "PYTORCH_CUDA_ALLOC_CONF": "a",
                "NCCL_BUFFSIZE": "1",
                "NCCL_DEBUG": "INFO",
                "VLLM_LOGGING_LEVEL": "DEBUG",
                "HOME": "/root",
            },
            ("NCCL_BUFFSIZE=1", "PYTORCH_CUDA_ALLOC_CONF=a", "VLLM_USE_V2_MODEL_RUNNER=0"),
        ),
        (
            [],
            [],
            {"HCCL_BUFFSIZE": "512", "HCCL_CONNECT_TIMEOUT": "600", "HCCL_EXEC_TIMEOUT": "2000", "HCCL_IF_IP": "x"},
            ("HCCL_BUFFSIZE=512",),
        ),
    ],
    ids=["nothing", "harmless", "some", "the request replaces the recipe's", "both", "variables", "variables of HCCL"],
)
def test_what_may_change_memory(recipe, request_, environment, expected):
    assert extras(recipe, request_, environment, VLLM) == expected


def test_an_option_the_engine_does_not_have_is_refused():
    with pytest.raises(UsageError):
        extras([], ["--no-such-option"], {}, VLLM)
