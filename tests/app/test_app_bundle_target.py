"""Models of a bundle against the devices of `--for`; and models that are not in the store yet."""

from __future__ import annotations

import copy
import json
import re

import pytest

from selfhost.app import bundle_gather, bundle_inventory
from selfhost.app.bundle_target import model_findings
from selfhost.bundle.profile import Needs, target_from_dict
from selfhost.engines import specs
from selfhost.errors import ExitCode, IncompleteError, MissingError, NoError
from selfhost.home import Home
from selfhost.recipe import load
from selfhost.recipe.unserved import unserved
from tests.bundle.test_bundle_profile import GPU, TARGET
from tests.conftest import REPOSITORY
from tests.weights.storage_support import put, tiny_files

DENSE = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
    "max_position_embeddings": 256, "torch_dtype": "bfloat16", "tie_word_embeddings": True,
}  # fmt: skip
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


def npu(device_id, name, memory):
    return GPU | {"vendor": "huawei", "name": name, "device_id": device_id, "compute_capability": None,
                  "memory_bytes": memory << 30, "visible_memory_bytes": memory << 30}  # fmt: skip


A2, SMALL = npu("910B3", "910B3", 64), npu("310P3-Duo-44G", "310P3", 44)


def there(*accelerators, **host):
    data = copy.deepcopy(TARGET)
    data["accelerators"] = list(accelerators)
    data["host"] |= host
    return data


def model(folder, **config):
    directory = folder / "m"
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({**DENSE, **config}))
    return ("m/x", directory)


def refused(model, *accelerators, engine=None):
    found = model_findings([model], target_from_dict(there(*accelerators), "target.json"), engine)
    return [(one.message.id, one.message.params["devices"]) for one in found]


def deepseek(folder):
    public = json.loads((REPOSITORY / "tests/data/configs/deepseek.json").read_text())
    config = public["deepseek-ai/DeepSeek-V3"]["config"]
    return model(folder, **{**config, "quantization_config": None})


def test_a_model_for_910b_is_refused_for_310p_and_taken_where_one_device_runs_it(tmp_path):
    latent = deepseek(tmp_path)
    assert refused(latent, A2) == []
    assert refused(latent, SMALL) == [("target.model", "310P3")]
    assert refused(latent, SMALL, A2) == []
    assert refused(model(tmp_path), SMALL) == []


def test_fp8_weights_run_on_hopper_and_not_on_a2(tmp_path):
    weights = model(tmp_path, quantization_config=FP8)
    assert refused(weights, GPU) == []
    assert [message for message, _ in refused(weights, A2)] == ["target.model"]
    # What the bundled engine does not drive says nothing about it.
    assert refused(weights, A2, engine=specs.CUDA) == []


def test_what_cannot_be_planned_is_not_refused(tmp_path):
    assert refused(model(tmp_path, architectures=["Odd"], model_type="odd"), SMALL) == []
    assert refused(("none", tmp_path / "nowhere"), SMALL) == []


def test_the_refusal_is_exit_code_4_with_the_reason(tmp_path):
    target = tmp_path / "target.json"
    target.write_text(json.dumps(there(SMALL, soc_family="310P", disks=TARGET["host"]["disks"])))
    with pytest.raises(MissingError) as caught:
        bundle_inventory.check_target(target, Needs(), [deepseek(tmp_path)])
    assert caught.value.code is ExitCode.MISSING
    assert "m/x does not run on the devices there" in caught.value.message.why


def recipes(*, served: bool):
    found = load.find_recipes(Home(REPOSITORY / "none"))
    return [name for name, path in sorted(found.items()) if (not unserved(load.read_recipe(path))) is served]


@pytest.mark.parametrize("name", recipes(served=False))
def test_a_recipe_that_no_engine_serves_is_not_to_be_pulled(home, name):
    with pytest.raises(NoError) as caught:
        bundle_gather.find_models([name], None, Home(home))
    assert caught.value.message.id == "recipe.unserved"


@pytest.mark.parametrize("name", recipes(served=True))
def test_a_recipe_that_was_not_pulled_says_how_to_get_it(home, name):
    with pytest.raises(IncompleteError) as caught:
        bundle_gather.find_models([name], None, Home(home))
    assert caught.value.message.id == "pack.not_pulled"
    assert re.search(rf"`selfhost pull {re.escape(name)}( --variant \S+)?`", caught.value.message.hint)


def test_all_that_is_absent_is_told_at_once_and_what_is_not_known_is_no(home):
    put(home, tiny_files())
    asked = ["tiny", "qwen2.5-0.5b", "org/own"]
    with pytest.raises(IncompleteError) as caught:
        bundle_gather.find_models(asked, None, Home(home))
    assert caught.value.message.what == "not in the store yet: qwen2.5-0.5b, org/own"
    assert caught.value.message.hint.count("selfhost pull") == 2
    with pytest.raises(NoError):
        bundle_gather.find_models(["tiny", "nothing-such"], None, Home(home))
