"""Model directories that are not whole: one clear error each, with its exit code."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import SelfhostError
from selfhost.weights import check, checkpoint
from tests.tiny_models import safetensors_bytes

CONFIG = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def weights(name: str = "a") -> bytes:
    return safetensors_bytes({name: ("BF16", (2, 2), b"\0" * 8)})


@pytest.fixture
def model(tmp_path):
    """A whole directory; tests break it."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(weights())
    return directory


def shards(model, count: int, *, index: bool):
    (model / "model.safetensors").unlink()
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    for name in names:
        (model / name).write_bytes(weights(name))
    if index:
        (model / checkpoint.INDEX).write_text(
            json.dumps({"metadata": {}, "weight_map": {name: name for name in names}})
        )
    return names


def refused(directory) -> tuple[int, str, str, str]:
    with pytest.raises(SelfhostError) as caught:
        check.check_directory(directory)
    message = caught.value.message
    return int(caught.value.code), message.what, message.why, message.hint


def test_a_whole_directory(model):
    found = check.check_directory(model)
    size = (model / "model.safetensors").stat().st_size
    assert (found.config, found.weights, found.weight_bytes) == (CONFIG, ("model.safetensors",), size)


def test_types_of_weights_made_for_ascend_come_with_the_config(model):
    types = {"model.layers.0.mlp.up_proj.weight": "W8A8_DYNAMIC", "lm_head.weight": "FLOAT"}
    (model / "quant_model_description.json").write_text(json.dumps({"version": "1.0.0", **types}))
    found = check.read_config(model)
    assert found == {
        **CONFIG,
        "quantization_config": {
            "quant_method": "ascend",
            "types": {"model.layers.*.mlp.up_proj": "W8A8_DYNAMIC", "lm_head": "FLOAT"},
        },
    }


def test_a_description_that_is_cut_off_is_told_by_its_name(model):
    (model / "quant_model_description.json").write_text('{"version": "1.0')
    code, what, _, _ = refused(model)
    assert (code, what) == (5, f"`{model / 'quant_model_description.json'}` is not valid JSON")


@pytest.mark.parametrize("index", [True, False], ids=["with index", "without"])
def test_shards_that_are_all_there(model, index):
    names = shards(model, 3, index=index)
    found = check.check_directory(model)
    assert found.weights == tuple(names)
    assert found.weight_bytes == sum((model / name).stat().st_size for name in names) == check.weight_files(model).bytes


def test_a_second_copy_in_the_vendors_layout_is_not_counted(model):
    (model / "consolidated.safetensors").write_bytes(weights() * 3)
    assert check.check_directory(model).weights == ("model.safetensors",)
    assert check.weight_files(model).bytes == len(weights())


def test_no_config(model):
    (model / "config.json").unlink()
    assert refused(model) == (
        2,
        f"`{model}` has no config.json",
        "found there: model.safetensors, tokenizer.json",
        "download the model's whole repository, not only its weights",
    )


def test_a_config_one_level_down_is_named(model):
    code, what, why, hint = refused(model.parent)
    assert (code, what) == (2, f"`{model.parent}` has no config.json")
    assert (why, hint) == (f"there is one in `{model}`", f"name that directory: `{model}`")


def test_config_cut_off(model):
    (model / "config.json").write_text('{"architectures": [')
    code, what, _, _ = refused(model)
    assert (code, what) == (5, f"`{model}/config.json` is not valid JSON")


def test_config_is_a_list(model):
    (model / "config.json").write_text("[]")
    code, _, why, _ = refused(model)
    assert (code, why) == (5, "wanted a JSON object with `architectures`, found list")


def test_only_pickle_weights(model):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"\x80")
    (model / "training_args.bin").write_bytes(b"\x80")
    assert refused(model) == (
        6,
        f"`{model}` has only pickle weights: pytorch_model.bin",
        "loading a pickle runs whatever code is in it, so selfhost does not",
        "take the model's safetensors files instead; most repositories have both",
    )


def test_pickle_beside_safetensors_is_left_alone(model):
    (model / "pytorch_model.bin").write_bytes(b"\x80")
    assert check.check_directory(model).weights == ("model.safetensors",)


def test_only_gguf(model):
    (model / "model.safetensors").rename(model / "model.gguf")
    assert refused(model)[:2] == (3, f"`{model}` has only GGUF weights: model.gguf")


def test_no_weights(model):
    (model / "model.safetensors").unlink()
    assert refused(model)[:3] == (
        7,
        f"`{model}` has no weights",
        "wanted *.safetensors, found config.json, tokenizer.json",
    )
    assert check.weight_files(model) == (frozenset(), frozenset(), frozenset(), 0)


def test_no_tokenizer(model):
    (model / "tokenizer.json").unlink()
    assert refused(model)[:2] == (7, f"`{model}` has no tokenizer")


@pytest.mark.parametrize(
    ("index", "by"),
    [(True, "`model.safetensors.index.json`"), (False, "the numbers in the names of the others")],
    ids=["index", "names"],
)
def test_absent_shards(model, index, by):
    second, third = shards(model, 3, index=index)[1:]
    (model / second).unlink()
    (model / third).unlink()
    assert refused(model) == (
        5,
        f"2 weight files of `{model}` are missing",
        f"named by {by}, absent: {second}, {third}",
        "download them into this directory",
    )


def test_a_link_that_leads_nowhere_is_an_absent_file(model):
    first = shards(model, 2, index=True)[0]
    (model / first).unlink()
    (model / first).symlink_to("../blobs/0123")
    assert refused(model)[0] == 5


@pytest.mark.parametrize("text", ["{", "{}", '{"weight_map": []}'])
def test_an_index_that_is_none(model, text):
    (model / checkpoint.INDEX).write_text(text)
    assert refused(model)[:2] == (5, f"`{model}/{checkpoint.INDEX}` is not an index of weights")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_git_lfs_pointers(model, name):
    (model / name).write_bytes(LFS)
    assert refused(model) == (
        5,
        f"`{model}` holds 1 Git LFS pointers instead of files: {name}",
        "the repository was cloned without its large files",
        f"fetch them: `git -C {model} lfs pull`",
    )


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (0, "0 bytes; a header length alone takes 8"),
        (20, "truncated: header of 88 bytes in a file of 20"),
        (-1, "truncated: tensors need 8 bytes after the header, the file has 7"),
    ],
    ids=["empty", "in the header", "in the data"],
)
def test_truncated_weights(model, kept, why):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert refused(model) == (
        5,
        f"weights of `{model}` are damaged",
        f"model.safetensors: {why}",
        "download the files named above again",
    )


def test_overlapping_tensors(model):
    path = model / "model.safetensors"
    two = safetensors_bytes({"a": ("BF16", (2, 2), b"\0" * 8), "b": ("BF16", (2, 2), b"\0" * 8)})
    assert two.count(b"[8,16]") == 1
    path.write_bytes(two.replace(b"[8,16]", b"[4,12]"))
    code, _, why, _ = refused(model)
    assert (code, why) == (5, "model.safetensors: tensor `b` overlaps `a` by 4 bytes")


def test_an_index_that_names_tensors_its_files_lack(model):
    names = shards(model, 2, index=True)
    (model / names[1]).write_bytes(weights("another"))
    code, _, why, _ = refused(model)
    lost = f"1 tensors of the index are not in their files: {names[1]}"
    assert (code, why) == (5, f"{checkpoint.INDEX}: {lost}")


def test_a_header_that_claims_to_be_huge_is_not_read_whole(model):
    (model / "model.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    assert refused(model)[0] == 5


def test_many_names_are_cut_short():
    assert checkpoint.shown(f"f{n}" for n in range(9)) == "f0, f1, f2, f3, f4 and 4 more"
    assert checkpoint.shown([]) == "nothing"
