"""Keys of `--additional-config`: those of the release go through, others are refused instead of ignored."""

from __future__ import annotations

import pytest

from selfhost.engines import known, owned
from selfhost.errors import UsageError

ASCEND = known.load("vllm-ascend")


@pytest.mark.parametrize(
    "given",
    [
        # As vllm-ascend's tutorials of GLM-4.7, GLM-5.2, Qwen3-30B-A3B and of the 310P have them.
        (
            '{"enable_shared_expert_dp":true,"ascend_fusion_config":{"fusion_ops_gmmswigluquant":false}}',
            '{"enable_dsa_cp":true,"enable_balance_scheduling":true,"multistream_overlap_shared_expert":true}',
            '{"enable_sparse_li_c8":true}',
        ),
        ('{"weight_nz_mode": 2}', '{"ascend_compilation_config":{"enable_npugraph_ex":false}}', "{}"),
    ],
)
def test_keys_of_the_tutorials_are_known(given):
    for text in given:
        assert owned.parse(["--additional-config", text], ASCEND)[0].values == (text,)


def test_a_key_may_be_in_the_name_of_the_option():
    given = ["--additional-config.enable_cpu_binding", "false", "--additional-config.pa_shape_list+", "1"]
    given += ["--additional-config.ascend_compilation_config.enable_npugraph_ex=false"]
    assert len(owned.parse(given, ASCEND)) == 3


@pytest.mark.parametrize(
    ("given", "key", "nearest"),
    [
        (["--additional-config", '{"enable_mlappo":true}'], "enable_mlappo", "enable_mlapo"),
        (
            ["--additional-config", '{"ascend_compilation_config":{"enable_npugraph":true}}'],
            "ascend_compilation_config.enable_npugraph",
            "enable_npugraph_ex",
        ),
        # As the tutorials for 310P write it.
        (
            ["--additional-config", '{"ascend_compilation_config":{"enable_npu_graph_ex":false}}'],
            "ascend_compilation_config.enable_npu_graph_ex",
            "enable_npugraph_ex",
        ),
        (["--additional-config.weight_nz=2"], "weight_nz", "weight_nz_mode"),
        # vLLM turns `_` and `-` into one another in the option's name, not in its keys.
        (["--additional-config.weight-nz-mode=2"], "weight-nz-mode", "weight_nz_mode"),
        # A key of releases before 0.18, which later ones ignore.
        (["--additional-config", '{"torchair_graph_config":{"enabled":true}}'], "torchair_graph_config", ""),
    ],
)
def test_others_are_refused_with_the_nearest(given, key, nearest):
    with pytest.raises(UsageError) as caught:
        owned.parse(given, ASCEND)
    assert caught.value.message.id == "owned.unknown_key"
    assert caught.value.message.params["key"] == key
    assert nearest in caught.value.message.why


@pytest.mark.parametrize("text", ["true", "[1]", "{", "path.json", "[" * 9999])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(UsageError) as caught:
        owned.parse(["--additional-config", text], ASCEND)
    assert caught.value.message.id == "owned.not_an_object"


def test_another_engine_has_keys_of_its_own():
    """Platforms besides Ascend read the option, too: nothing is known of theirs."""
    assert owned.parse(["--additional-config", '{"any":1}'], known.load("vllm"))
