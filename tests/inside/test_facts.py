"""What vllm-ascend adds to an engine, read from its source without importing it."""

from __future__ import annotations

import ast
import sys

import pytest

from selfhost.inside import selfhost_facts

# The forms that vllm-ascend 0.23.0 uses: github.com/vllm-project/vllm-ascend, tag v0.23.0.
FILES = {
    "utils.py": 'import torch_npu\nASCEND_QUANTIZATION_METHOD = "ascend"\nFP8_METHOD = "fp8"\n',
    "platform.py": "class NPUPlatform(Platform):\n"
    '    supported_quantization: list[str] = [ASCEND_QUANTIZATION_METHOD, FP8_METHOD, "deepseek_v4_fp8"]\n',
    "ascend_config.py": "class AscendConfig:\n"
    "    def __init__(self, additional_config):\n"
    '        self.a = additional_config.get("enable_shared_expert_dp", False)\n'
    '        self.b = self._get_config_value(additional_config, "weight_nz_mode", {})\n'
    '        self.c = other.get("not_a_key", 1)\n'
    '        xlite_graph_config = additional_config.get("xlite_graph_config", {})\n'
    "        self.d = XliteGraphConfig(xlite_graph_config, vllm_config)\n"
    '        ascend_compilation_config = additional_config.get("ascend_compilation_config", {})\n'
    "        self.e = AscendCompilationConfig(**ascend_compilation_config)\n"
    '        eplb_config = additional_config.get("eplb_config", {})\n'
    "        self.f = EplbConfig(eplb_config)\n"
    "class XliteGraphConfig:\n"
    "    def __init__(self, xlite_graph_config, vllm_config):\n"
    '        self.enabled = xlite_graph_config.get("enabled", vllm_config.get("not_a_key"))\n'
    "class AscendCompilationConfig:\n"
    "    def __init__(self, enable_npugraph_ex=True, **kwargs):\n"
    '        self.fuse_muls_add = kwargs.get("fuse_muls_add", True)\n'
    "class EplbConfig:\n"
    '    _defaults = {"dynamic_eplb": False}\n'
    "    def __init__(self, user_config=None):\n"
    "        self.config = user_config\n",
    "worker/worker.py": 'if "enable_dsa_cp" in vllm_config.additional_config:\n'
    '    a = vllm_config.additional_config["refresh"]\n'
    'b = eplb_config.get("expert_map_path")\n',
    "models/__init__.py": "def register_model():\n"
    '    ModelRegistry.register_model("DeepseekV4ForCausalLM", "vllm_ascend.models.deepseek_v4:X")\n',
}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    for name, content in FILES.items():
        path = tmp_path / "vllm_ascend" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    info = tmp_path / "vllm_ascend-0.23.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-ascend\nVersion: 0.23.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.usefixtures("plugin")
def test_what_the_plugin_adds_is_read_without_importing_it():
    assert selfhost_facts.ascend() == {
        "version": "0.23.0",
        "architectures": ["DeepseekV4ForCausalLM"],
        "quantization": ["ascend", "deepseek_v4_fp8", "fp8"],
        "additional_config": {
            "ascend_compilation_config": ["enable_npugraph_ex", "fuse_muls_add"],
            "enable_dsa_cp": None,
            "enable_shared_expert_dp": None,
            "eplb_config": ["dynamic_eplb", "expert_map_path"],
            "refresh": None,
            "weight_nz_mode": None,
            "xlite_graph_config": ["enabled"],
        },
    }
    assert "vllm_ascend" not in sys.modules


def test_without_the_plugin_nothing_is_added():
    assert selfhost_facts.ascend() == {}


# The forms that vLLM 0.32.0 uses: v1/metrics/loggers.py, v1/spec_decode/metrics.py, parser/metrics.py, kv_offload.
METRICS = """
NAME = "vllm:tool_calls_total"
kept = Counter(name=NAME, documentation="see vllm:not_a_metric")

class Logger:
    def __init__(self):
        self.running = self._gauge_cls(name="vllm:running", labelnames=[])
        self.done = self._counter_cls(name="vllm:done")
        assert line.startswith("vllm:draft")
        self.other = other_call(help="not vllm:other")

    def drafts(self):
        specs = [("vllm:drafts", "Number."), ("vllm:accepted", "Number.")]
        return [self._counter_cls(name=name, documentation=doc) for name, doc in specs]
"""


def test_metrics_are_read_with_their_types():
    assert selfhost_facts.metrics_of(ast.parse(METRICS), "vllm:") == {
        "vllm:tool_calls_total": "counter",
        "vllm:running": "gauge",
        "vllm:done": "counter",
        # Their names come in a variable: nothing says what they are.
        "vllm:drafts": "unknown",
        "vllm:accepted": "unknown",
    }


def test_metrics_of_other_packages_are_not_read():
    assert selfhost_facts.metrics_of(ast.parse(METRICS), "http_") == {}
