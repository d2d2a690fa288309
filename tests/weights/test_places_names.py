"""Which files serving needs, by tables of listings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.errors import IncompleteError, IntegrityError, NoError, SelfhostError, TrustError, UsageError
from selfhost.weights import checkpoint
from selfhost.weights.places import names
from selfhost.weights.places.sums import parse_sums
from selfhost.weights.remote import RemoteFile

DIGEST = "ab" * 32


def files(*paths: str) -> list[RemoteFile]:
    return [RemoteFile(path=path, size=1) for path in paths]


def taken(*paths: str, **rest) -> list[str]:
    return [file.path for file in names.needed(files(*paths), name="org/m", **rest)]


MODEL = ["config.json", "model.safetensors", "tokenizer.json"]
QWEN = [
    *[f"model-{n:05}-of-00002.safetensors" for n in (1, 2)],
    *("config.json", "generation_config.json", "merges.txt", "model.safetensors.index.json", "tokenizer.json"),
    *("tokenizer_config.json", "vocab.json", "LICENSE"),
]
INDEX = {"weight_map": {"a": QWEN[0], "b": QWEN[1]}}
JUNK = [
    *(".gitattributes", "README.md", "figures/a.png", "assets/b.json", "original/consolidated.00.pth"),
    *("original/params.json", "original/tokenizer.model", "onnx/model.onnx", "m-q4.gguf", "pytorch_model.bin"),
    *("pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack", "training_args.bin", "trainer_state.json"),
    *("runs/events.out", "inference/model.py", "inference/configs/config_671B.json", "configuration.json"),
    *("adapter_config.json", "adapter_model.safetensors", "vae/diffusion_pytorch_model.safetensors", "vae/config.json"),
    *("rust_model.ot", "coreml/x.mlpackage", "evaluate.py", "openvino_model.xml", "all_results.json"),
]


def test_a_usual_model_is_taken_whole_and_nothing_beside_it():
    assert taken(*QWEN, *JUNK, index=INDEX, configs=[{}]) == sorted(QWEN)


@pytest.mark.parametrize(
    "path",
    [
        *("tokenizer.model", "tokenizer.model.v3", "special_tokens_map.json", "added_tokens.json", "qwen.tiktoken"),
        *("tiktoken.model", "tekken.json", "spiece.model", "vocab.txt", "chat_template.jinja", "chat_template.json"),
        *("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"),
        *("hf_quant_config.json", "quantize_config.json", "quant_config.json", "quant_model_description.json"),
        *("additional_chat_templates/rag.jinja", "modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors"),
        *("LICENSE.md", "LICENSE-MODEL", "Notice.txt", "USE_POLICY.md", "MODEL_LICENSE", "COPYING"),
    ],
)
def test_what_engines_read_and_licences_travel_along(path):
    assert path in taken(*MODEL, path)


@pytest.mark.parametrize(
    ("present", "index", "weights"),
    [
        (["model.safetensors", "consolidated.safetensors"], None, ["model.safetensors"]),
        (["consolidated.safetensors", "params.json"], None, ["consolidated.safetensors", "params.json"]),
        (
            [*QWEN[:2], "model.safetensors", "model.safetensors.index.json"],
            INDEX,
            [*QWEN[:2], "model.safetensors.index.json"],
        ),
        (["model.safetensors", "consolidated.safetensors.index.json", "params.json"], None, ["model.safetensors"]),
        (
            ["consolidated-00001-of-00001.safetensors", "consolidated.safetensors.index.json", "params.json"],
            {"weight_map": {"a": "consolidated-00001-of-00001.safetensors"}},
            ["consolidated-00001-of-00001.safetensors", "consolidated.safetensors.index.json", "params.json"],
        ),
    ],
    ids=["a second copy", "only the vendor's layout", "only what the index names", "foreign index", "indexed layout"],
)
def test_weights_are_taken_once(present, index, weights):
    assert taken("config.json", *present, index=index) == sorted(["config.json", *weights])


@pytest.mark.parametrize(
    ("present", "rest", "kind", "message", "said"),
    [
        (["config.json", "pytorch_model.bin"], {}, TrustError, "model.only_pickle", "pytorch_model.bin"),
        (["config.json", "original/a.pth"], {}, TrustError, "model.only_pickle", "original/a.pth"),
        (["config.json", "m.gguf"], {}, NoError, "model.only_gguf", "m.gguf"),
        (["config.json", "training_args.bin"], {}, UsageError, "places.no_weights", "training_args.bin"),
        (["README.md"], {}, UsageError, "places.no_weights", "README.md"),
        (["adapter_model.safetensors"], {}, UsageError, "places.adapter", "adapter_model.safetensors"),
        (["vae/model.safetensors"], {}, UsageError, "places.no_weights", "vae/"),
        (["model.safetensors"], {}, UsageError, "places.no_config", "model.safetensors"),
        (["config.json", QWEN[0]], {}, IncompleteError, "places.absent", QWEN[1]),
        (["config.json", QWEN[0]], {"index": INDEX}, IncompleteError, "places.absent", QWEN[1]),
        (MODEL, {"index": {"weight_map": {}}}, IntegrityError, "places.bad_index", "weight_map"),
        (MODEL, {"index": {"weight_map": {"a": "x.bin"}}}, IntegrityError, "places.bad_index", "x.bin"),
        (MODEL, {"index": {"weight_map": {"a": "../x.safetensors"}}}, IntegrityError, "places.unsafe_path", "../x"),
        (MODEL, {"listed": ["config.json", "gone.json"]}, IncompleteError, "places.absent", "gone.json"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_fetched(present, rest, kind, message, said):
    with pytest.raises(kind) as caught:
        taken(*present, **rest)
    assert caught.value.message.id == message
    assert said in caught.value.message.what + caught.value.message.why


def test_a_list_of_the_recipe_is_taken_as_it_is():
    assert taken(*MODEL, "odd.dat", listed=["odd.dat", "config.json"]) == ["config.json", "odd.dat"]


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../x", "a/../x", "a/./b", "a//b", "a/", "", ".", "a\\b", "a\nb", "a\x1b[2Jb", "a\x00b"),
        *("x" * 256, "/".join(["x" * 200] * 6), "\ud800"),
    ],
)
def test_unsafe_paths_are_refused_wherever_they_are(path):
    with pytest.raises(IntegrityError) as caught:
        taken(*MODEL, path)
    assert caught.value.message.id == "places.unsafe_path"
    shown = caught.value.message.what + caught.value.message.why
    assert shown.isascii()
    assert shown.isprintable()


@given(st.text(max_size=20))
def test_a_path_that_passes_stays_in_its_directory(path):
    try:
        names.check_path(path, "m")
    except SelfhostError:
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))


def test_a_path_listed_with_two_contents_is_refused():
    with pytest.raises(IntegrityError) as caught:
        names.needed([*files(*MODEL), RemoteFile(path="config.json", size=2)], name="m")
    assert caught.value.message.id == "places.listed_twice"


def test_the_lock_of_another_store_is_no_file_of_the_model():
    assert "selfhost-model.json" not in taken(*MODEL, "selfhost-model.json")


def test_the_index_and_what_may_name_code_are_read_first():
    listed = files("tokenizer_config.json", *QWEN[:2], "model.safetensors.index.json", "config.json", "README.md")
    found = [file.path for file in names.read_first(listed)]
    assert found == ["config.json", "tokenizer_config.json", "model.safetensors.index.json"]


CODE = ["configuration_x.py", "modeling_x.py", "util.py"]


@pytest.mark.parametrize(
    ("configs", "found", "absent", "elsewhere"),
    [
        ([{}], [], [], []),
        ([{"auto_map": {"AutoConfig": "configuration_x.XConfig"}}], CODE, [], []),
        ([{}, {"auto_map": {"AutoTokenizer": ["tok_x.XTok", None]}}], CODE, ["tok_x.py"], []),
        ([{"auto_map": ["modeling_x.Tok", None]}], CODE, [], []),
        ([{"auto_map": {"AutoModel": "other/repo--modeling_y.Y"}}], [], [], ["other/repo"]),
        ([{"auto_map": {"AutoModel": 7}}], [], [], []),
    ],
    ids=["none", "config", "tokenizer", "older form", "another repository", "nonsense"],
)
def test_code_is_that_which_configurations_name_and_what_lies_beside(configs, found, absent, elsewhere):
    code = names.remote_code(files(*MODEL, *CODE, "inference/run.py"), configs)
    assert [file.path for file in code.files] == found
    assert list(code.absent) == absent
    assert list(code.elsewhere) == elsewhere
    assert taken(*MODEL, *CODE, "inference/run.py", configs=configs) == sorted([*MODEL, *found])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{DIGEST}  a.json\n{DIGEST} *b/c.bin\n", {"a.json": DIGEST, "b/c.bin": DIGEST}),
        (f"{DIGEST.upper()}  ./a\n\n# made by hand\n", {"a": DIGEST}),
        (f"\\{DIGEST}  a\\\\b\n", {"a\\b": DIGEST}),
        (f"{'0' * 64}  SHA256SUMS\n{DIGEST}  a\n", {"a": DIGEST}),
    ],
    ids=["text and binary", "upper case, dots, blank, comment", "escaped", "itself"],
)
def test_sums_are_read_as_sha256sum_writes_them(text, found):
    assert parse_sums(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html>", "line 1 is not"),
        (f"{DIGEST}  a\n{DIGEST[:-1]}  b", "line 2 is not"),
        (f"{DIGEST}  a\n{'0' * 64}  a", "line 2 gives `a` another digest"),
    ],
)
def test_what_are_no_sums_is_told_with_its_line(text, said):
    with pytest.raises(ValueError, match=said):
        parse_sums(text)


def test_a_listing_that_begins_many_sets_of_shards_is_no_bomb():
    listed = [f"s{n}-00001-of-99999.safetensors" for n in range(3000)]
    with pytest.raises(IncompleteError):
        taken("config.json", "tokenizer.json", *listed)
    assert len(checkpoint.siblings(listed)) < 200_000
    assert len(checkpoint.siblings(listed[:1])) == 99_999


@pytest.mark.parametrize("path", ["a\x9b2Jconfig.json", "a\u202econfig.json"])
def test_names_that_a_terminal_would_obey_are_refused(path):
    with pytest.raises(IntegrityError) as caught:
        taken(*MODEL, path)
    assert caught.value.message.id == "places.unsafe_path"


def test_what_the_store_would_refuse_is_refused_before_anything_is_fetched():
    with pytest.raises(IntegrityError) as caught:
        taken(*MODEL, "a\u3000config.json")
    assert caught.value.message.id == "storage.bad_paths"
    assert taken(*MODEL, "a\u3000photo.png") == taken(*MODEL)
