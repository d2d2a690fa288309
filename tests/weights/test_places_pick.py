"""Which place is taken: what `--source` means, the order of candidates, who answers."""

from __future__ import annotations

import threading

import pytest

from selfhost.errors import IncompleteError, UsageError
from selfhost.recipe.schema import Source, SourceKind
from selfhost.weights.places import pick
from selfhost.weights.places.folder import Folder
from selfhost.weights.places.hub import Hub
from selfhost.weights.places.mirror import Mirror
from selfhost.weights.places.modelscope import ModelScope
from selfhost.weights.places.pick import Candidate, Named
from tests.weights.places_server import Reply, closed_port, serving

HF, MS, MIRROR = SourceKind.HUGGINGFACE, SourceKind.MODELSCOPE, SourceKind.MIRROR
SOURCES = (
    Source(kind=MS, id="org/m-ms"),
    Source(kind=HF, id="org/m", revision="c" * 40),
    Source(kind=MIRROR, id="http://10.0.0.5/m"),
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for name in ("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("huggingface", Named(kind=HF)),
        ("modelscope", Named(kind=MS)),
        ("wheel", Named(kind=SourceKind.WHEEL)),
        ("http://10.0.0.5:8080/models/", Named(kind=MIRROR, where="http://10.0.0.5:8080/models")),
        ("HTTPS://host", Named(kind=MIRROR, where="HTTPS://host")),
        ("./gone", Named(kind=SourceKind.DIRECTORY, where="gone")),
        ("/srv/m", Named(kind=SourceKind.DIRECTORY, where="/srv/m")),
        (".", Named(kind=SourceKind.DIRECTORY, where=".")),
    ],
)
def test_a_source_is_a_hub_an_address_or_a_path(value, named):
    assert pick.parse_source(value) == named


def test_a_directory_that_is_there_needs_no_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    assert pick.parse_source("models") == Named(kind=SourceKind.DIRECTORY, where="models")


@pytest.mark.parametrize("value", ["", "hugginface", "ftp://x", "models", "bundle", "HuggingFace"])
def test_what_is_no_source_is_told_with_the_choices(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        pick.parse_source(value)
    assert caught.value.message.why.startswith("one of: huggingface, modelscope, wheel, http://")


def kinds(candidates):
    return [one.kind for one in candidates]


def test_the_recipes_order_is_kept_unless_the_hub_was_named(monkeypatch):
    assert kinds(pick.of_recipe(SOURCES, "org/m")) == [MS, HF, MIRROR]
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com")
    assert kinds(pick.of_recipe(SOURCES, "org/m")) == [HF, MS, MIRROR]


def test_a_hub_id_is_asked_for_at_modelscope_only_where_no_endpoint_is_set(monkeypatch):
    assert [(one.kind, one.revision) for one in pick.of_hub_id("org/m", "main")] == [(HF, "main"), (MS, None)]
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com")
    assert kinds(pick.of_hub_id("org/m", None)) == [HF]


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        (Named(kind=HF), ("org/m", "c" * 40)),
        (Named(kind=MS), ("org/m-ms", None)),
        (Named(kind=MIRROR, where="http://h"), ("http://h", None)),
        (Named(kind=SourceKind.DIRECTORY, where="/srv/m"), ("/srv/m", None)),
    ],
)
def test_a_named_place_is_taken_as_the_recipe_knows_it(named, wanted):
    found = pick.of_named(named, SOURCES, "org/m")
    assert (found.id, found.revision) == wanted
    assert found.model == "org/m"


def test_a_hub_that_the_recipe_does_not_list_is_asked_for_the_hub_id():
    assert pick.of_named(Named(kind=HF), SOURCES[:1], "org/m").id == "org/m"
    with pytest.raises(UsageError) as caught:
        pick.of_named(Named(kind=SourceKind.WHEEL), SOURCES, "org/m")
    assert caught.value.message.why == "its sources: modelscope, huggingface, mirror"


@pytest.mark.parametrize(
    ("kind", "identity", "cls", "label"),
    [
        (HF, "org/m", Hub, "Hugging Face"),
        (MS, "org/m", ModelScope, "ModelScope"),
        (MIRROR, "http://u:p@h/x", Mirror, "mirror http://h/x"),
        (SourceKind.DIRECTORY, "/", Folder, "directory /"),
    ],
)
def test_candidates_become_places_of_the_same_name(kind, identity, cls, label):
    candidate = Candidate(kind=kind, id=identity)
    place = candidate.open()
    assert isinstance(place, cls)
    assert candidate.label == place.label == label


def test_a_wheel_is_no_place():
    with pytest.raises(UsageError):
        Candidate(kind=SourceKind.WHEEL, id="x").open()


# Who answers


def probe(**reasons):
    return lambda candidate: reasons.get(candidate.kind.value, "")


def test_the_first_that_answers_is_taken_and_says_why_not_another():
    candidates = pick.of_recipe(SOURCES, "org/m")
    assert str(pick.first_reachable(candidates, probe())) == "ModelScope"
    choice = pick.first_reachable(candidates, probe(modelscope="connection refused", huggingface="HTTP 503"))
    assert str(choice) == "mirror http://10.0.0.5/m (ModelScope: connection refused; Hugging Face: HTTP 503)"
    assert choice.candidate.source == SOURCES[2]


def test_the_order_counts_and_not_who_is_fastest():
    second_asked = threading.Event()

    def slow_first(candidate):
        if candidate.kind is MS:
            assert second_asked.wait(10)
        else:
            second_asked.set()
        return ""

    assert pick.first_reachable(pick.of_recipe(SOURCES, "org/m"), slow_first).candidate.kind is MS


def test_who_does_not_answer_in_time_is_passed_over():
    never = threading.Event()
    choice = pick.first_reachable(
        pick.of_recipe(SOURCES[:2], "org/m"), lambda one: "" if one.kind is HF else str(never.wait(20)), timeout_s=0.2
    )
    never.set()
    assert str(choice) == "Hugging Face (ModelScope: no answer in time)"


def test_none_is_an_error_that_names_each():
    with pytest.raises(IncompleteError) as caught:
        pick.first_reachable(pick.of_recipe(SOURCES[:2], "org/m"), probe(modelscope="a", huggingface="b"))
    assert caught.value.message.why == "ModelScope: a\nHugging Face: b"


def test_a_probe_that_breaks_is_a_reason():
    def broken(_candidate):
        raise RuntimeError("oops")

    with pytest.raises(IncompleteError) as caught:
        pick.first_reachable(pick.of_recipe(SOURCES[:2], "org/m"), broken)
    assert "ModelScope: RuntimeError: oops" in caught.value.message.why


def test_a_single_place_is_not_asked_first():
    def fail(_candidate):
        pytest.fail("asked")

    assert pick.first_reachable(pick.of_recipe(SOURCES[:1], "org/m"), fail).candidate.kind is MS


def test_places_are_asked_for_real(monkeypatch, tmp_path):
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", closed_port())
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        candidates = {
            HF: Candidate(kind=HF, id="org/m"),
            MS: Candidate(kind=MS, id="org/m"),
            MIRROR: Candidate(kind=MIRROR, id=f"{server.url}/x"),
            SourceKind.DIRECTORY: Candidate(kind=SourceKind.DIRECTORY, id=str(tmp_path / "gone")),
            SourceKind.WHEEL: Candidate(kind=SourceKind.WHEEL, id="a-wheel"),
        }
        server.replies["/x/"] = Reply(503)
        assert {kind: pick.why_not(one) for kind, one in candidates.items()} == {
            HF: "connection refused",
            MS: "",
            MIRROR: "HTTP 503",
            SourceKind.DIRECTORY: f"no directory `{tmp_path / 'gone'}`",
            SourceKind.WHEEL: "",
        }
        assert {one.method for one in server.asked} == {"HEAD"}
        choice = pick.first_reachable(list(candidates.values()))
        assert str(choice) == "ModelScope (Hugging Face: connection refused)"


def test_the_hubs_own_switch_is_a_reason(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pick.why_not(Candidate(kind=HF, id="org/m")) == "`HF_HUB_OFFLINE` is set in the environment"


def test_offline_is_a_reason(monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    with pytest.raises(IncompleteError) as caught:
        pick.first_reachable([*pick.of_hub_id("org/m", None), Candidate(kind=SourceKind.WHEEL, id="w")])
    assert caught.value.message.why == "Hugging Face: offline\nModelScope: offline\nwheel w: offline"
