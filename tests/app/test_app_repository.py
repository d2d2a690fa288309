"""A repository that no recipe has: planned from what its hub says, fetched before it is served."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from selfhost.app import model, repository, serve_tools, weights
from selfhost.app.plan import plan_for
from selfhost.app.pull import PullRequest
from selfhost.errors import (
    IncompleteError,
    IntegrityError,
    NoError,
    SelfhostError,
    TrustError,
    UsageError,
)
from selfhost.home import find_home
from selfhost.models.arch import ModelArch
from selfhost.models.small import Room, shrink
from selfhost.planner.plan import PlanRequest
from selfhost.units import GIB
from selfhost.weights.places import hub as hub_place
from tests.models.header_sets import tensors
from tests.pull_support import OPTIONS, Silent
from tests.standins.faults import Fault
from tests.standins.hub import Hub
from tests.standins.modelscope import ModelScope
from tests.tiny_models import config_of

SHARDS = 6
HEADER_BYTES = 64 << 10
"""Most of one request for a header."""


def write_model(directory, **changes) -> int:
    """A model whose shards hold the tensors that its configuration leads to; their bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    config = config_of("qwen2")
    every = list(tensors(ModelArch.from_config(config)).items())
    weight_map = {}
    for number in range(SHARDS):
        name, header, end = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors", {}, 0
        for tensor, entry in every[number::SHARDS]:
            offsets = [end, end := end + entry.bytes]
            header[tensor] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
            weight_map[tensor] = name
        text = json.dumps(header).encode()
        (directory / name).write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    (directory / "config.json").write_text(json.dumps(config | changes))
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "README.md").write_text("# not needed")
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "hub" / "org" / "tiny"


@pytest.fixture
def weight_bytes(directory):
    return write_model(directory)


@pytest.fixture
def hub(tmp_path, weight_bytes, monkeypatch):
    with Hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def plan(name="org/tiny", on="1xL20"):
    return plan_for(name, on=on, request=PlanRequest())


def files_of(found) -> list[str]:
    return [reason for reason in found.reasons if reason.startswith("files: ")]


def test_a_plan_from_what_the_hub_says(hub, home, weight_bytes):
    found = plan()
    assert found.fits
    assert files_of(found) == []
    assert found.weight_bytes_total == weight_bytes
    assert str(home / "models" / "org" / "tiny") in found.argv
    assert not home.exists()


def test_headers_are_pieces_of_at_most_four_files(hub, weight_bytes):
    plan()
    asked = [request for request in hub.requests if (request.file or "").endswith(".safetensors")]
    assert {request.range for request in asked} == {(0, HEADER_BYTES)}
    assert sorted(r.file for r in asked) == [f"model-{n:05}-of-{SHARDS:05}.safetensors" for n in range(1, 5)]
    assert sum(request.sent_bytes for request in asked) <= 4 * HEADER_BYTES < weight_bytes
    others = {request.file for request in hub.requests if request.file} - {request.file for request in asked}
    assert others == {"config.json", "model.safetensors.index.json"}


def test_what_does_not_fit_does_not(hub, directory):
    for path in directory.glob("*.safetensors"):
        with path.open("r+b") as stream:
            stream.truncate(128 << 20)
    found = plan(on="cpu@1")
    assert found.weight_bytes_total == SHARDS * (128 << 20)
    assert not found.fits


def test_files_that_contradict_the_configuration(hub, directory):
    write_model(directory, vocab_size=1024)
    found = files_of(plan())
    assert "`model.embed_tokens.weight` is [512, 256] in the files, the config leads" in found[0]


def test_a_server_without_ranges(hub, weight_bytes, home):
    hub.add(Fault("no_range", path="*.safetensors"))
    found = plan()
    assert found.fits
    (note,) = files_of(found)
    assert "range" in note
    asked = [request for request in hub.requests if (request.file or "").endswith(".safetensors")]
    assert len(asked) <= 2
    assert not home.exists()


def test_headers_behind_signed_addresses(tmp_path, weight_bytes, monkeypatch):
    with Hub(tmp_path / "hub", signed=True, cached=True) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert files_of(plan()) == []
        assert {r.range for r in hub.requests if r.listener == "cdn"} == {(0, HEADER_BYTES)}


def test_headers_that_do_not_come_are_a_note(hub):
    hub.add(Fault("status", path="*.safetensors", status=403))
    found = plan()
    assert found.fits
    (note,) = files_of(found)
    assert "`model-00001-of-00006.safetensors`" in note


def test_a_gated_repository_says_what_to_do(tmp_path, weight_bytes, home, monkeypatch):
    with Hub(tmp_path / "hub", gated={"org/tiny"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(TrustError) as refused:
            plan()
        message = refused.value.message
        assert f"{hub.url}/org/tiny" in message.why + message.hint
    assert not home.exists()


def test_a_repository_that_is_not_there(hub):
    with pytest.raises(UsageError) as refused:
        plan("org/absent")
    assert "org/absent" in refused.value.message.what


def test_a_hub_that_is_away(hub):
    hub.stop()
    with pytest.raises(IncompleteError) as refused:
        plan()
    assert refused.value.code == 7
    assert hub.url in refused.value.message.what + refused.value.message.why


def test_offline(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    with pytest.raises(IncompleteError) as refused:
        plan()
    assert "offline" in refused.value.message.what + refused.value.message.why


def test_modelscope_where_the_hub_is_away(tmp_path, weight_bytes, monkeypatch):
    with Hub(tmp_path / "hub") as gone:
        monkeypatch.setattr(hub_place, "DEFAULT_ENDPOINT", gone.url)
    with ModelScope(tmp_path / "hub") as scope:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", scope.url)
        found = plan()
        assert (found.weight_bytes_total, files_of(found)) == (weight_bytes, [])
        assert {r.range for r in scope.requests if (r.file or "").endswith(".safetensors")} == {(0, HEADER_BYTES)}


def test_a_variant_of_it(hub):
    with pytest.raises(UsageError):
        model.resolve("org/tiny", variant="awq-int4", ask=repository.describe)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda d: (d / "config.json").write_text("{"), IntegrityError),
        (lambda d: (d / "config.json").write_text("[]"), IntegrityError),
        (lambda d: (d / "config.json").unlink(), UsageError),
        (lambda d: (d / "config.json").write_text('{"architectures": ["UnheardOfForCausalLM"]}'), NoError),
        (lambda d: (d / "model.safetensors.index.json").write_text("{}"), IntegrityError),
        (lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../x"}}'), IntegrityError),
    ],
)
def test_what_is_no_model(damage, error, hub, directory, home):
    damage(directory)
    with pytest.raises(error):
        plan()
    assert not home.exists()


def test_pickles_only(hub, directory):
    for path in (*directory.glob("*.safetensors"), directory / "model.safetensors.index.json"):
        path.unlink()
    (directory / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(TrustError):
        plan()


# Serving


def test_it_is_fetched_where_the_plan_says(hub, home, weight_bytes):
    found = model.resolve("org/tiny", ask=repository.describe)
    talk = Silent()
    made = weights.ensure(found, find_home(), PullRequest(), talk, OPTIONS)
    assert made == home / "models" / "org" / "tiny" == found.model_path
    (announced,) = (line for line in talk.said if re.search(r"\d files, ", line))
    assert "still to come" in announced
    # From here on it is there: no hub is asked for a plan, nor before it is opened.
    asked = len(hub.requests)
    again = model.resolve("org/tiny", ask=repository.describe)
    assert weights.ensure(again, find_home(), PullRequest(), talk, OPTIONS) == made
    assert plan().weight_bytes_total == weight_bytes
    assert len(hub.requests) == asked


def test_serve_asks_the_hub_and_fetches_from_it(hub, home, weight_bytes):
    python = Path("/opt/engine/bin/python")
    tools = serve_tools.real_tools(find_home(), python, Silent())
    found = tools.resolve("org/tiny", None)
    assert (found.to_plan().model_path, home.exists()) == (str(home / "models" / "org" / "tiny"), False)
    assert tools.ensure_weights(found, python) == home / "models" / "org" / "tiny"
    assert sum(r.sent_bytes for r in hub.requests if (r.file or "").endswith(".safetensors")) >= weight_bytes


def test_what_was_damaged_since_is_not_opened(hub, home):
    found = model.resolve("org/tiny", ask=repository.describe)
    made = weights.ensure(found, find_home(), PullRequest(), Silent(), OPTIONS)
    (made / "tokenizer.json").unlink()
    with pytest.raises(SelfhostError) as refused:
        weights.ensure(found, find_home(), PullRequest(), Silent(), OPTIONS)
    assert refused.value.code in (5, 7)


def test_a_small_model_can_be_made_from_what_the_hub_says(hub):
    found = repository.describe("org/tiny")
    made = shrink(found.config, Room(most_bytes=GIB))
    assert made.arch.hidden_size == found.arch.hidden_size
    assert made.arch.num_hidden_layers == 2
