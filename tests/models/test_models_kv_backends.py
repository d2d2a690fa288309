"""Attention backends, block sizes and KV dtypes: against the engine's own choice, and worked ones."""

from __future__ import annotations

import json
import subprocess

import pytest

from selfhost.errors import NoError
from selfhost.hardware.types import Platform
from selfhost.models.kv_backends import Attention, AttentionNeeds, Backend, attention_backend, block_size
from tests.models.public_models import DATA

ANSWERS = json.loads((DATA / "oracle" / "kv-backends-vllm-0.32.0.json").read_text())["answers"]
LATENT, SPARSE, COMPRESSED = (
    AttentionNeeds(attention) for attention in (Attention.LATENT, Attention.SPARSE_LATENT, Attention.COMPRESSED)
)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda row: "-".join(map(str, row[:-1])))
def test_the_choice_is_the_engines(answer):
    major, minor, attention, width, nope, kv, chosen = answer
    needs = AttentionNeeds(Attention(attention), head_dim=width, qk_nope_head_dim=nope)
    if chosen is None:
        with pytest.raises(NoError):
            attention_backend(needs, Platform.CUDA, (major, minor), kv)
        return
    name, size, stored, outermost = chosen
    stored = "bfloat16" if stored == "auto" else stored
    ours = attention_backend(needs, Platform.CUDA, (major, minor), kv)
    assert (ours.name, ours.block_size, ours.kv_cache_dtype, ours.block_outermost) == (name, size, stored, outermost)


@pytest.mark.parametrize(
    ("needs", "amx", "expected"),
    [
        (AttentionNeeds(Attention.GROUPED, dtype="float32"), False, Backend("CPU_ATTN", 128, 32, "float32")),
        (LATENT, False, Backend("CPU_MLA", 16, 16, "bfloat16", fixed_block_size=True)),
        (LATENT, True, Backend("AMX_MLA", 128, 32, "bfloat16")),
        (
            COMPRESSED,
            False,
            Backend("SPARSE_DSV4", 256, 256, "fp8_ds_mla", fixed_block_size=True, block_outermost=True),
        ),
    ],
)
def test_cpu_backends(needs, amx, expected):
    assert attention_backend(needs, Platform.CPU, amx=amx) == expected


def test_sparse_attention_does_not_run_on_a_cpu():
    with pytest.raises(NoError, match="sparse attention does not run on a CPU"):
        attention_backend(SPARSE, Platform.CPU)


def test_glm_5_keeps_fp8_on_blackwell_unless_told_otherwise():
    needs = SPARSE._replace(fp8_on_blackwell=True, qk_nope_head_dim=192)
    assert attention_backend(needs, Platform.CUDA, (10, 0)).kv_cache_dtype == "fp8_e4m3"
    assert attention_backend(needs, Platform.CUDA, (10, 0), "bfloat16").kv_cache_dtype == "bfloat16"
    assert attention_backend(needs, Platform.CUDA, (9, 0)).kv_cache_dtype == "bfloat16"


def test_deepseek_v4_keeps_its_own_fp8_format_and_packs_blocks():
    backend = attention_backend(COMPRESSED, Platform.CUDA, (9, 0), "fp8")
    assert (backend.block_size, backend.kv_cache_dtype, backend.block_outermost) == (256, "fp8_ds_mla", True)
    with pytest.raises(NoError, match="FP8 only"):
        attention_backend(COMPRESSED, Platform.CUDA, (9, 0), "bfloat16")


def test_ascend_takes_blocks_of_128():
    assert attention_backend(LATENT, Platform.ASCEND).block_size == 128
    assert attention_backend(AttentionNeeds(Attention.GROUPED), Platform.ASCEND).block_size == 128


def test_a_device_of_unknown_capability_takes_the_common_sizes():
    assert attention_backend(AttentionNeeds(Attention.GROUPED), Platform.CUDA).block_size == 16
    assert attention_backend(LATENT, None).block_size == 16
    assert attention_backend(SPARSE, None).block_size == 64


def test_a_block_size_that_is_asked_for_holds_where_the_engine_keeps_it():
    assert block_size(Backend("FLASH_ATTN", 16, 16, "bfloat16"), 64) == 64
    assert block_size(Backend("FLASH_ATTN", 16, 16, "bfloat16")) == 16
    # Logged by the CPU engine: CPU MLA backend requires block_size=16, overriding user-specified block_size=64.
    assert block_size(attention_backend(LATENT, Platform.CPU), 64) == 16


@pytest.mark.e2e
def test_the_kept_answers_are_what_the_engine_says_today(engine_python):
    command = [str(engine_python), str(DATA.parent / "oracle/kv_backends.py"), "--print"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == ANSWERS
