"""Plan -> argv and env of vllm-ascend 0.23; every flag and value is one that the engine's facts know."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.app.engine_env import engine_command
from selfhost.app.model import resolve
from selfhost.app.plan import plan_for, plan_model
from selfhost.engines import known, patience, vllm_ascend
from selfhost.hardware.spec import parse
from selfhost.planner.plan import PlanRequest
from tests.bench import bench_plan_matrix as matrix

ENGINE = known.load("vllm-ascend")
FP8_ALONE = {"deepseek-v4-flash", "deepseek-v4-pro", "kimi-k2-instruct-0905", "kimi-k3", "minimax-m2"}
"""Recipes in FP8 or MXFP4 alone; this engine takes the first for DeepSeek-V4 only, and that is not planned on it."""


SMALL = {"ascend_compilation_config": {"enable_npugraph_ex": False}}
"""What a plan for a 310P says itself."""


def planned(name: str, on: str, **request):
    return plan_for(name, on=on, request=PlanRequest(**request))


def values(argv: tuple[str, ...]) -> dict[str, str]:
    return {
        word: "" if following.startswith("--") else following
        for word, following in zip(argv, (*argv[1:], "--"), strict=True)
        if word.startswith("--")
    }


def test_deepseek_v3_on_two_nodes():
    """The form of vllm-ascend's tutorials for DeepSeek-R1 and V3.1 on two A2 servers."""
    made = planned("deepseek-v3", "2x8x910B3")
    assert made.argv[:3] == ("vllm", "serve", made.model_path)
    assert made.argv[3:] == (
        *("--served-model-name", "deepseek-v3", "--host", "127.0.0.1", "--port", "8000"),
        *("--tensor-parallel-size", "4", "--pipeline-parallel-size", "1", "--data-parallel-size", "4"),
        *("--enable-expert-parallel", "--data-parallel-size-local", "2", "--data-parallel-address", "NODE0"),
        *("--data-parallel-rpc-port", "29550"),
        *("--dtype", "bfloat16", "--max-model-len", "131072", "--max-num-seqs", "64"),
        *("--max-num-batched-tokens", "2048", "--gpu-memory-utilization", "0.92", "--kv-cache-dtype", "auto"),
        *("--allowed-media-domains", "none.invalid", "--disable-fastapi-docs", "--shutdown-timeout", "10"),
        *("--block-size", "128", "--quantization", "ascend"),
        *("--compilation-config", '{"cudagraph_mode":"FULL_DECODE_ONLY"}'),
        *("--enable-auto-tool-choice", "--tool-call-parser", "deepseek_v3"),
        *("--override-generation-config", '{"temperature":0.3,"top_p":0.95}'),
    )
    assert made.node_argv == (made.argv, (*made.argv, "--data-parallel-start-rank", "2", "--headless"))
    assert made.env == {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True",
        "TASK_QUEUE_ENABLE": "1",
        "OMP_PROC_BIND": "false",
        "OMP_NUM_THREADS": "1",
        "HCCL_BUFFSIZE": "200",
        # 691 GB at 200 MB/s, twice.
        "HCCL_CONNECT_TIMEOUT": "6910",
        "HCCL_EXEC_TIMEOUT": "6910",
        "HCCL_INTRA_PCIE_ENABLE": "1",
        "HCCL_INTRA_ROCE_ENABLE": "0",
    }


def test_one_npu_needs_neither_nodes_nor_quantization_nor_buffers():
    made = planned("qwen2.5-7b", "910B3")
    found = values(made.argv)
    assert not {"--data-parallel-size-local", "--nnodes", "--quantization", "--additional-config"} & set(found)
    assert found["--block-size"] == "128"
    assert made.env["VLLM_HOST_IP"] == "127.0.0.1"
    assert not [name for name in made.env if name.startswith(("HCCL_", "ASCEND_"))]


def test_a3_expands_collectives_on_the_vector_cores():
    made = planned("deepseek-v3", "16x910C")
    assert made.env["HCCL_OP_EXPANSION_MODE"] == "AIV"
    assert "HCCL_INTRA_PCIE_ENABLE" not in made.env


@pytest.mark.parametrize("on", ["8x910B3", "2x8x910B3"])
def test_dense_models_and_single_nodes_dispatch_nothing_between_nodes(on):
    made = planned("qwen2.5-72b", on)
    assert made.env["HCCL_CONNECT_TIMEOUT"] == "1456"
    assert not {"HCCL_EXEC_TIMEOUT", "HCCL_INTRA_PCIE_ENABLE", "HCCL_OP_EXPANSION_MODE"} & set(made.env)


@pytest.mark.parametrize("model", ["deepseek-v3", "glm-4.6"])
@pytest.mark.parametrize("seqs", [1, 16, 64, 256, 512])
def test_the_buffer_holds_what_dispatch_in_two_steps_wants(model, seqs):
    """Its own formula, which replaces that of one step: moeExpertNum * Bs * (H * 2 + 4 * align8(K) * 4) + 104 MB.

    Source: operator documents of CANN (aclnnMoeDistributeDispatch, `hierarchy`).
    """
    made = planned(model, "2x8x910B3", max_num_seqs=seqs)
    arch = resolve(model).to_plan().arch
    assert made.env["HCCL_INTRA_PCIE_ENABLE"] == "1"
    tokens = -(-seqs // made.layout.tensor_parallel_size)
    chosen = -(-arch.experts.num_experts_per_tok // 8) * 8
    wanted = arch.experts.num_experts * tokens * (2 * arch.hidden_size + 16 * chosen) + (104 << 20)
    assert int(made.env["HCCL_BUFFSIZE"]) << 20 >= wanted


def test_an_engine_that_may_sleep_has_another_allocator():
    assert "PYTORCH_NPU_ALLOC_CONF" not in planned("qwen2.5-7b", "910B3", engine_args=("--enable-sleep-mode",)).env


@pytest.mark.parametrize(
    ("seconds", "connect", "execute"), [(1, "120", None), (1837, "1837", "1837"), (10**6, "7200", "17340")]
)
def test_time_limits_stay_within_what_hccl_takes(seconds, connect, execute):
    found = patience.hccl(seconds)
    assert (found["HCCL_CONNECT_TIMEOUT"], found.get("HCCL_EXEC_TIMEOUT")) == (connect, execute)


def test_pipeline_stages_over_nodes_have_the_options_of_ranks():
    found = values(planned("qwen2.5-72b", "2x8x910B3").argv)
    assert (found["--nnodes"], found["--node-rank"], found["--master-addr"]) == ("2", "0", "NODE0")
    assert "--data-parallel-address" not in found


def test_a_310p_computes_in_float16_and_without_npugraph_ex():
    found = values(planned("qwen2.5-7b", "310P3").argv)
    assert found["--dtype"] == "float16"
    assert found["--additional-config"] == '{"ascend_compilation_config":{"enable_npugraph_ex":false}}'


@pytest.mark.parametrize(
    ("recipe", "given", "config"),
    [
        ((), ("--additional-config", '{"weight_nz_mode":2}'), {"weight_nz_mode": 2, **SMALL}),
        (
            ("--additional-config", '{"weight_nz_mode": 1, "ascend_compilation_config": {"fuse_norm_quant": false}}'),
            ("--additional-config.weight_nz_mode=2", "--additional-config.pa_shape_list+", "1,2"),
            {
                "weight_nz_mode": 2,
                "ascend_compilation_config": {"enable_npugraph_ex": False, "fuse_norm_quant": False},
                "pa_shape_list": ["1", "2"],
            },
        ),
        (
            (),
            ("--additional-config", '{"ascend_compilation_config":{"enable_npugraph_ex":true}}'),
            {"ascend_compilation_config": {"enable_npugraph_ex": True}},
        ),
    ],
    ids=["beside the plan's", "over the recipe's, beside the plan's", "over the plan's"],
)
def test_additional_config_of_plan_recipe_and_user_is_joined_and_the_users_counts(recipe, given, config):
    model = replace(resolve("qwen2.5-7b").to_plan(), engine_args=recipe, variants=())
    argv = plan_model(model, parse("310P3"), PlanRequest(engine_args=given)).argv
    assert sum(word.startswith("--additional-config") for word in argv) == 1
    assert json.loads(values(argv)["--additional-config"]) == config


def test_additional_config_of_a_recipe_alone_stays_as_it_is_written():
    given = ("--additional-config", '{"weight_nz_mode": 2}')
    model = replace(resolve("qwen2.5-7b").to_plan(), engine_args=given, variants=())
    assert plan_model(model, parse("910B3"), PlanRequest()).argv[-2:] == given


def test_without_graphs_no_mode_of_graphs():
    found = values(planned("qwen2.5-7b", "910B3", enforce_eager=True).argv)
    assert "--enforce-eager" in found
    assert "--compilation-config" not in found


def test_what_was_given_replaces_what_the_plan_says():
    given = ("--compilation-config", '{"cudagraph_mode":"PIECEWISE"}')
    argv = planned("qwen2.5-7b", "910B3", engine_args=given).argv
    assert argv.count("--compilation-config") == 1
    assert argv[-2:] == given


def test_devices_are_bound_by_the_variable_of_ascend_and_not_by_those_of_cuda():
    # In a container that got the last four of eight: they are counted from 0 there.
    hardware = replace(
        parse("4x910B3"), device_indices=(4, 5, 6, 7), physical_ids=(4, 5, 6, 7), logical_ids=(0, 1, 2, 3)
    )
    made = plan_model(resolve("qwen2.5-72b").to_plan(), hardware, PlanRequest())
    assert made.fits
    assert not [name for name in made.env if name.startswith("CUDA_")]
    assert made.env["ASCEND_RT_VISIBLE_DEVICES"] == "0,1,2,3"


def test_devices_whose_logical_ids_are_not_known_are_not_bound():
    """Another number would take another device, or none."""
    hardware = replace(parse("4x910B3"), device_indices=(4, 5, 6, 7))
    made = plan_model(resolve("qwen2.5-72b").to_plan(), hardware, PlanRequest())
    assert "ASCEND_RT_VISIBLE_DEVICES" not in made.env


def test_parsers_that_this_engine_does_not_have_are_left_out_and_told():
    model = replace(
        resolve("qwen2.5-7b").to_plan(),
        engine_args=("--enable-auto-tool-choice", "--tool-call-parser", "qwen3_json", "--reasoning-parser", "qwen3"),
        variants=(),
    )
    made = plan_model(model, parse("910B3"), PlanRequest())
    found = values(made.argv)
    assert not {"--tool-call-parser", "--enable-auto-tool-choice"} & set(found)
    assert found["--reasoning-parser"] == "qwen3"
    told = "command: without `--tool-call-parser qwen3_json`, which vllm-ascend 0.23.0 does not have"
    assert made.reasons[-1] == told


def test_parsers_that_it_has_stay():
    model = resolve("deepseek-r1").to_plan()
    assert vllm_ascend.fitting(model, ENGINE) == (model, [])


@pytest.mark.parametrize("recipe", matrix.recipes())
def test_every_line_has_only_flags_and_values_that_the_engine_knows(recipe):
    made = [plan for plan in matrix.plans(recipe) if plan.engine.name == "vllm-ascend" and plan.argv]
    lines = {argv for plan in made for argv in (plan.argv, *plan.node_argv)}
    # As `serve` runs it, with the front door; without the launcher, which is no option.
    lines |= {engine_command(Path("python"), plan)[1:] for plan in made}
    assert bool(lines) is (recipe not in FP8_ALONE)
    for argv in lines:
        for name, value in values(argv).items():
            flag = ENGINE.flags[name]
            assert flag.name == name
            assert bool(value) is (flag.values != 0)
            assert not flag.choices or value in flag.choices
        found = values(argv)
        assert found.get("--tool-call-parser") in {None, *ENGINE.tool_call_parsers}
        assert found.get("--reasoning-parser") in {None, *ENGINE.reasoning_parsers}


def weights_gib(on: str, model: str, *given: str, **settings) -> float:
    made = plan_model(resolve(model, variant="w8a8").to_plan(), parse(on), PlanRequest(engine_args=given, **settings))
    return made.memory.weight_bytes / (1 << 30)


@pytest.mark.parametrize("key", ["enable_shared_expert_dp", "enable_flashcomm1"])
@pytest.mark.parametrize(
    ("model", "tp", "layers", "width", "hidden", "itemsize"),
    [("glm-4.7", 8, 89, 1536, 5120, 2), ("glm-5", 16, 75, 2048, 6144, 1)],
)
def test_shared_experts_that_an_option_keeps_whole_are_counted_whole(key, model, tp, layers, width, hidden, itemsize):  # noqa: PLR0917
    """Source: vllm-ascend 0.23.0 ops/linear_op.py `get_parallel_op`. Issue 12839: 49 GB of GLM-5 on 16 dies with it."""
    asked = {"tensor_parallel_size": tp, "data_parallel_size": 16 // tp, "max_model_len": 8192}
    cut = weights_gib("16x910C", model, **asked)
    whole = weights_gib("16x910C", model, "--additional-config", json.dumps({key: True}), **asked)
    more = layers * 3 * width * hidden * itemsize * (tp - 1) / tp / (1 << 30)
    assert whole - cut == pytest.approx(more, rel=0.01)
    off = weights_gib("16x910C", model, "--additional-config", json.dumps({key: False}), **asked)
    assert off == cut


def test_only_spread_experts_have_shared_ones_in_data_parallel():
    given = ("--additional-config", '{"enable_shared_expert_dp":true}')
    asked = {"tensor_parallel_size": 8, "enable_expert_parallel": False, "max_model_len": 8192}
    one = weights_gib("8x910C", "glm-4.7", *given, **asked)
    assert one == weights_gib("8x910C", "glm-4.7", **asked)


def test_what_is_counted_of_additional_config_is_not_told_as_left_out():
    def told(config: str) -> list[str]:
        made = planned("glm-4.7", "16x910C", engine_args=("--additional-config", config))
        return [reason for reason in made.reasons if "counted" in reason]

    [counted] = told('{"enable_shared_expert_dp":true}')
    assert counted.startswith("weights: the shared experts are whole on every NPU")
    assert any("not counted in these figures" in reason for reason in told('{"weight_nz_mode":2}'))
