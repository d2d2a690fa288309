"""The places against the stand-ins, which are proven with the real clients: listings, addresses, faults."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request

import pytest

from selfhost.errors import IncompleteError, IntegrityError, MissingError, TrustError, UsageError
from selfhost.weights.places import names, pick
from selfhost.weights.places.choose import choose
from selfhost.weights.places.folder import Folder
from selfhost.weights.places.hub import Hub
from selfhost.weights.places.mirror import Mirror
from selfhost.weights.places.modelscope import ModelScope
from tests.standins import hub as standin_hub
from tests.standins import mirror as standin_mirror
from tests.standins import modelscope as standin_modelscope
from tests.standins.faults import Fault
from tests.standins.sample import write

MODEL = "org/name"
FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 400,
    "README.md": b"# x\n",
    "original/consolidated.00.pth": b"pickle",
    "empty.json": b"",
}
NEEDED = ["config.json", "model.safetensors", "tokenizer.json"]
TOKEN = "secret-token"


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "models" / MODEL, FILES)
    return tmp_path / "models"


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """No setting of the developer's; what a place changes for the process ends with the test."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    for name in ("TRANSFORMERS_OFFLINE", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN", "MODELSCOPE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "tokens"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", constants.HF_HUB_DISABLE_TELEMETRY)
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http._GLOBAL_CLIENT_FACTORY)


def fetched(address):
    request = urllib.request.Request(address.url, headers=dict(address.headers))
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


PLACES = {
    "hub": (standin_hub.Hub, {}, lambda url: Hub(MODEL, None, endpoint=url)),
    "hub, signed": (standin_hub.Hub, {"signed": True}, lambda url: Hub(MODEL, "main", endpoint=url)),
    "modelscope": (standin_modelscope.ModelScope, {}, lambda url: ModelScope(MODEL, None, endpoint=url)),
    "modelscope, no digests": (
        standin_modelscope.ModelScope,
        {"digests": "none"},
        lambda url: ModelScope(MODEL, None, endpoint=url),
    ),
    "modelscope, digests of nothing": (
        standin_modelscope.ModelScope,
        {"digests": "of_nothing"},
        lambda url: ModelScope(MODEL, "master", endpoint=url),
    ),
    "mirror": (standin_mirror.Mirror, {"sums": True}, lambda url: Mirror(url, MODEL)),
    "mirror, by its directory": (standin_mirror.Mirror, {"sums": True}, lambda url: Mirror(f"{url}/{MODEL}")),
}


@pytest.mark.parametrize(("standin", "options", "make"), PLACES.values(), ids=PLACES)
def test_what_is_listed_is_what_is_there_and_addresses_lead_to_it(root, standin, options, make):
    with standin(root, **options) as server:
        place = make(server.url)
        listing = place.listing()
        assert {file.path: file.size for file in listing.files} == {path: len(data) for path, data in FILES.items()}
        for file in listing.files:
            data = FILES[file.path]
            assert file.sha256 in (None, hashlib.sha256(data).hexdigest())
            assert file.git_sha1 in (None, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())
        taken = names.needed(listing.files, name=MODEL)
        assert [file.path for file in taken] == NEEDED
        assert {path: fetched(place.address(path)) for path in NEEDED} == {path: FILES[path] for path in NEEDED}
        assert listing.origin.revision == getattr(place, "_commit", None)


def test_all_three_know_the_digest_of_the_weights(root):
    digest = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    for standin, options, make in (PLACES["hub"], PLACES["modelscope"], PLACES["mirror"]):
        with standin(root, **options) as server:
            found = {file.path: file.sha256 for file in make(server.url).listing().files}
            assert found["model.safetensors"] == digest


def test_a_revision_is_one_of_the_places_and_what_it_lists_is_of_it(root, tmp_path):
    write(tmp_path / "old", {**FILES, "config.json": b"old"})
    revisions = {f"{MODEL}@v1": tmp_path / "old"}
    for standin, cls in ((standin_hub.Hub, Hub), (standin_modelscope.ModelScope, ModelScope)):
        with standin(root, revisions=revisions) as server:
            now, old = (cls(MODEL, revision, endpoint=server.url) for revision in (None, "v1"))
            assert now.listing().origin.revision != old.listing().origin.revision
            assert (fetched(old.address("config.json")), fetched(now.address("config.json"))) == (
                b"old",
                FILES["config.json"],
            )
            by_commit = cls(MODEL, old.listing().origin.revision, endpoint=server.url)
            assert by_commit.listing() == old.listing()


@pytest.mark.parametrize(("cls", "standin"), [(Hub, standin_hub.Hub), (ModelScope, standin_modelscope.ModelScope)])
def test_what_is_not_there_is_told(root, cls, standin):
    with standin(root) as server:
        for model, revision, message in (
            ("org/gone", None, "places.unknown_model"),
            (MODEL, "v9", "places.unknown_revision"),
        ):
            with pytest.raises(UsageError) as caught:
                cls(model, revision, endpoint=server.url).listing()
            # This ModelScope says 404 for either.
            assert caught.value.message.id in (message, "places.unknown_model")


def test_a_gated_model_is_refused_with_where_to_accept_its_licence(root):
    with standin_hub.Hub(root, gated=[MODEL]) as server:
        with pytest.raises(TrustError) as caught:
            Hub(MODEL, None, endpoint=server.url).listing()
        assert f"{server.url}/{MODEL}" in caught.value.message.hint
        assert not server.sent_bytes


def test_a_private_model_is_given_to_the_right_token_only(root, monkeypatch):
    with standin_hub.Hub(root, token=TOKEN) as server:
        with pytest.raises(UsageError) as unknown:
            Hub(MODEL, None, endpoint=server.url).listing()
        assert "HF_TOKEN" in unknown.value.message.hint
        monkeypatch.setenv("HF_TOKEN", "another-token")
        with pytest.raises(MissingError) as refused:
            Hub(MODEL, None, endpoint=server.url).listing()
        assert refused.value.message.id == "places.token_refused"
        assert "another-token" not in repr(refused.value.message) + refused.value.message.why
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        place = Hub(MODEL, None, endpoint=server.url)
        place.listing()
        assert fetched(place.address("config.json")) == FILES["config.json"]


def test_a_private_model_at_modelscope_too(root, monkeypatch):
    with standin_modelscope.ModelScope(root, token=TOKEN) as server:
        place = ModelScope(MODEL, None, endpoint=server.url)
        with pytest.raises(MissingError) as caught:
            place.listing()
        assert caught.value.message.id == "places.token_wanted"
        assert "MODELSCOPE_API_TOKEN" in caught.value.message.hint
        monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
        place.listing()
        assert fetched(place.address("config.json")) == FILES["config.json"]


FAULTS = {
    "unavailable": ("status", {"status": 503}, "places.bad_answer"),
    "dropped": ("drop", {}, "places.unreachable"),
}


@pytest.mark.parametrize("case", [name for name in PLACES if "," not in name])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_place_that_fails_twice_is_asked_a_third_time_and_not_a_fourth(root, case, fault):
    waited = []
    kind, options, message = FAULTS[fault]
    standin, given, make = PLACES[case]
    paths = {"hub": "/api/*", "modelscope": "/api/*", "mirror": "*SHA256SUMS"}
    with standin(root, **given) as server:
        for times, works in ((2, True), (3, False)):
            server.clear()
            server.add(Fault(kind, path=paths[case], times=times, **options))
            place = make(server.url)
            if works:
                assert place.listing(waited.append).files
            else:
                with pytest.raises(IncompleteError) as caught:
                    place.listing(waited.append)
                assert caught.value.message.id == message
                assert server.url in caught.value.message.why
    assert waited == [1, 2, 1, 2]


@pytest.mark.parametrize("case", ["hub", "modelscope"])
def test_a_place_that_is_silent_is_given_up_once(root, case, monkeypatch):
    monkeypatch.setattr("selfhost.weights.places.ask.TIMEOUT_S", 0.2)
    standin, given, make = PLACES[case]
    with standin(root, faults=[Fault("silence", path="/api/*")], **given) as server:
        with pytest.raises(IncompleteError) as caught:
            make(server.url).listing(lambda _: pytest.fail("waited for silence"))
        assert caught.value.message.why == f"{server.url}: no answer in time"
        assert len(server.requests) == 1


CODE = {
    **FILES,
    "config.json": b'{"auto_map": {"AutoConfig": "conf.Conf"}}',
    "conf.py": b"1",
    "util.py": b"2",
    "model-00001-of-00001.safetensors": b"x",
    "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}',
}
CHOSEN = ["conf.py", "config.json", "model-00001-of-00001.safetensors", "model.safetensors.index.json"]


@pytest.mark.parametrize("case", [*PLACES, "directory", "directory of many"])
def test_index_and_configurations_are_read_and_decide(root, case):
    write(root / MODEL, CODE)
    if case.startswith("directory"):
        place = Folder(root, MODEL) if "many" in case else Folder(root / MODEL)
        chosen = choose(place, place.listing(), name=MODEL)
    else:
        standin, given, make = PLACES[case]
        with standin(root, **given) as server:
            place = make(server.url)
            chosen = choose(place, place.listing(), name=MODEL)
    assert [file.path for file in chosen.files] == [*CHOSEN, "tokenizer.json", "util.py"]
    assert [file.path for file in chosen.code.files] == ["conf.py", "util.py"]


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (Fault("flip", path="config.json"), IntegrityError, "places.changed"),
        (Fault("portal", path="config.json"), IntegrityError, "places.changed"),
        (Fault("status", path="config.json", status=403), MissingError, "places.not_given"),
        (Fault("status", path="config.json", status=404), IncompleteError, "places.not_given"),
        (Fault("drop", path="config.json"), IncompleteError, "places.unreachable"),
        (Fault("cut", path="config.json", after_bytes=3), IncompleteError, "places.unreachable"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_a_configuration_that_is_not_as_listed_is_not_believed(root, fault, kind, message):
    with standin_hub.Hub(root) as server:
        place = Hub(MODEL, None, endpoint=server.url)
        listing = place.listing()
        server.add(fault)
        with pytest.raises(kind) as caught:
            choose(place, listing, name=MODEL, sleep=lambda _: None)
        assert caught.value.message.id == message
        server.clear()
        assert choose(place, listing, name=MODEL).files


@pytest.mark.parametrize(("content", "message"), [(b"[]", "config_not_object"), (b"{", "config_not_json")])
def test_a_configuration_that_is_none_is_told(root, content, message):
    write(root / MODEL, {"config.json": content})
    place = Folder(root / MODEL)
    with pytest.raises(IntegrityError) as caught:
        choose(place, place.listing(), name=MODEL)
    assert caught.value.message.id == f"model.{message}"


def test_the_first_that_answers_is_taken(root, monkeypatch):
    with standin_hub.Hub(root) as hub, standin_modelscope.ModelScope(root) as modelscope:
        monkeypatch.setattr("selfhost.weights.places.hub.DEFAULT_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", modelscope.url)
        assert str(pick.first_reachable(pick.of_hub_id(MODEL, None))) == "Hugging Face"
        hub.stop()
        choice = pick.first_reachable(pick.of_hub_id(MODEL, None))
        assert str(choice) == "ModelScope (Hugging Face: connection refused)"
        assert [file.path for file in names.needed(choice.candidate.open().listing().files, name=MODEL)] == NEEDED


def test_a_mirror_without_a_list_is_told_what_to_offer(root):
    with standin_mirror.Mirror(root, index=True) as server, pytest.raises(MissingError) as caught:
        Mirror(server.url, MODEL).listing()
    assert caught.value.message.id == "places.no_list"


def test_an_address_gives_its_token_to_the_hub_and_to_nobody_it_redirects_to(root, monkeypatch):
    """As the transport does it: this asks for a signed address without following."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    with standin_hub.Hub(root, token=TOKEN, signed=True) as server:
        place = Hub(MODEL, None, endpoint=server.url)
        place.listing()
        address = place.address("model.safetensors")
        request = urllib.request.Request(address.url, headers=dict(address.headers))
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(Stay).open(request, timeout=10)
        with caught.value as answer:
            assert answer.status == 302
            assert TOKEN not in answer.headers["Location"]
