"""Experts over two nodes as it is rendered, with the real CPU engine: four of eight on each.

The engine's CPU part alone starts so and fails at the first request; what it lacks comes in by a plug-in of the test.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e import cpu_experts
from tests.e2e.network import two_machines
from tests.e2e.test_e2e_two_nodes import EAGER, REQUESTS, Cluster, answered, chat, texts
from tests.tiny_models import ANSWER, make_tiny_model

pytestmark = pytest.mark.e2e

INSIDE = Path(__file__).resolve().parents[2] / "selfhost" / "inside"
LACKS = """
import selfhost_launch
from vllm.distributed.device_communicators import base_device_communicator, cpu_communicator
for name in ("all_gatherv", "reduce_scatterv"):
    own, base = cpu_communicator.CpuCommunicator, base_device_communicator.DeviceCommunicatorBase
    try:
        assert getattr(own, name) is getattr(base, name)
        getattr(own, name)(None, None)
    except NotImplementedError:
        print(name)
"""


@pytest.fixture
def make_cluster(engine_python, tmp_path, debian_tool):
    if os.geteuid() != 0:
        pytest.skip("network namespaces are made by root")
    debian_tool("ip", "iproute2")
    with two_machines() as machines:
        made = []

        def make(kind: str) -> Cluster:
            model = make_tiny_model(engine_python, kind, tmp_path / "tiny")
            made.append(Cluster(machines, tmp_path, engine_python, model))
            made[-1].variables["PYTHONPATH"] = cpu_experts.install(tmp_path / "plug-in")
            return made[-1]

        try:
            yield make
        finally:
            for cluster in made:
                cluster.end()


def places(cluster: Cluster, number: int) -> list[str]:
    """Which experts a node says it has: rank, how many, and their numbers."""
    said = cluster.log(number).read_text()
    return re.findall(r"\[EP Rank (\S+)\].* experts: (\S+)\. .*: (0->\d), 1->\d, 2->\d, 3->\d\.", said)


@pytest.mark.parametrize(
    ("kind", "layout", "engines"),
    [("glm4_moe", {"data_parallel_size": 2}, {"0", "1"}), ("deepseek_v3", {"tensor_parallel_size": 2}, {"0"})],
    ids=["data parallel", "tensor parallel"],
)
def test_experts_are_spread_over_two_nodes(kind, layout, engines, make_cluster, debian_tool):
    cluster = make_cluster(kind)
    cluster.start(debian_tool("nginx", "nginx-light"), *EAGER, enable_expert_parallel=True, **layout)
    cluster.wait()
    assert places(cluster, 0) == [("0/2", "4/8", "0->0")]
    assert places(cluster, 1) == [("1/2", "4/8", "0->4")]
    assert set(texts(cluster.ask(*[chat()] * REQUESTS))) == {ANSWER}
    counts = answered(cluster)
    assert {engine for engine, count in counts.items() if count} == engines
    assert sum(counts.values()) == REQUESTS


def test_the_engine_alone_lacks_what_the_plug_in_brings(engine_python, tmp_path):
    environment = {"PYTHONPATH": str(INSIDE), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [engine_python, "-c", LACKS], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.split() == ["all_gatherv", "reduce_scatterv"], done.stderr[-2000:]
