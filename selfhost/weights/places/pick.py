"""Which place a model is taken from: as asked, else the first of its places that answers."""

from __future__ import annotations

import os
import threading
import time
from queue import Empty, Queue
from typing import TYPE_CHECKING

from selfhost import offline
from selfhost.errors import IncompleteError, SelfhostError, UsageError
from selfhost.home import user_path
from selfhost.messages import text
from selfhost.recipe.schema import Source, SourceKind
from selfhost.records import dataclass
from selfhost.weights.places import ask, hub, modelscope
from selfhost.weights.places.folder import Folder
from selfhost.weights.places.hub import Hub
from selfhost.weights.places.mirror import Mirror
from selfhost.weights.places.modelscope import ModelScope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROBE_S = 3.0
_UNAVAILABLE = frozenset({502, 503, 504})
_CHOICES = "huggingface, modelscope, wheel, http://HOST/PATH, https://HOST/PATH, DIRECTORY"
_LABELS = {SourceKind.HUGGINGFACE: "Hugging Face", SourceKind.MODELSCOPE: "ModelScope"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What `--source` says."""

    kind: SourceKind
    where: str | None = None
    """An address or a path; None for the hubs and a wheel, which a recipe knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One place a model may be at. Nothing is opened yet."""

    kind: SourceKind
    id: str
    """Repository, address, path or distribution, as the kind has it."""
    revision: str | None = None
    model: str | None = None
    """The hub id, by which a mirror may have it."""
    source: Source | None = None
    """What the recipe says of this place: files, digests."""

    @property
    def label(self) -> str:
        """What users call it."""
        if self.kind in _LABELS:
            return _LABELS[self.kind]
        return f"{self.kind} {ask.shown_url(self.id)}" if self.kind is SourceKind.MIRROR else f"{self.kind} {self.id}"

    def open(self) -> Hub | ModelScope | Mirror | Folder:
        """The place itself. Raises UsageError for what is none, and for a wheel, which pip knows how to get."""
        match self.kind:
            case SourceKind.HUGGINGFACE:
                return Hub(self.id, self.revision)
            case SourceKind.MODELSCOPE:
                return ModelScope(self.id, self.revision)
            case SourceKind.MIRROR:
                return Mirror(self.id, self.model)
            case SourceKind.DIRECTORY:
                return Folder(user_path(self.id), self.model)
            case _:
                raise UsageError("places.not_opened", kind=self.kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """A place that was not taken, and why."""

    label: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The place to take, and those before it that did not answer."""

    candidate: Candidate
    passed: tuple[Passed, ...] = ()

    def __str__(self) -> str:
        """`ModelScope (Hugging Face: connection refused)`."""
        return self.told(self.candidate.label)

    def told(self, label: str) -> str:
        """The same, with the place called `label`."""
        reasons = "; ".join(f"{one.label}: {one.reason}" for one in self.passed)
        return f"{label} ({reasons})" if reasons else label


def parse_source(value: str) -> Named:
    """What `--source` means. Raises UsageError, naming the choices, for what is none of them."""
    if value in (SourceKind.HUGGINGFACE, SourceKind.MODELSCOPE, SourceKind.WHEEL):
        return Named(kind=SourceKind(value))
    if value.lower().startswith(("http://", "https://")):
        return Named(kind=SourceKind.MIRROR, where=ask.endpoint(value, "--source"))
    path = user_path(value)
    if value and (path.is_dir() or value.startswith(("/", "./", "../", "~")) or value in (".", "..")):
        return Named(kind=SourceKind.DIRECTORY, where=str(path))
    raise UsageError("places.unknown_source", value=ask.shown_url(value), choices=_CHOICES)


def of_recipe(sources: Sequence[Source], hub_id: str) -> tuple[Candidate, ...]:
    """The recipe's places in its order; with HF_ENDPOINT set, Hugging Face is first: it was named."""
    nowhere = (SourceKind.BUNDLE, SourceKind.QUANTIZED)
    found = [_candidate(source, hub_id) for source in sources if source.kind not in nowhere]
    if os.environ.get(hub.ENDPOINT_VARIABLE):
        found.sort(key=lambda one: one.kind is not SourceKind.HUGGINGFACE)
    return tuple(found)


def of_hub_id(model: str, revision: str | None) -> tuple[Candidate, ...]:
    """Hugging Face; then ModelScope, unless HF_ENDPOINT says where the hub is."""
    first = Candidate(kind=SourceKind.HUGGINGFACE, id=model, revision=revision)
    if os.environ.get(hub.ENDPOINT_VARIABLE):
        return (first,)
    # A name that both have is the same model; `main` is the name of a branch at one of them only.
    there = None if revision == "main" else revision
    return first, Candidate(kind=SourceKind.MODELSCOPE, id=model, revision=there)


def of_named(named: Named, sources: Sequence[Source], hub_id: str) -> Candidate:
    """The place that was asked for, with what the recipe knows of it.

    Raises UsageError for a wheel of a model that has none.
    """
    if named.where is not None:
        return Candidate(kind=named.kind, id=named.where, model=hub_id)
    for source in sources:
        if source.kind is named.kind:
            return _candidate(source, hub_id)
    if named.kind is SourceKind.WHEEL:
        kinds = ", ".join(dict.fromkeys(str(source.kind) for source in sources)) or "huggingface, modelscope"
        raise UsageError("places.no_wheel", name=hub_id, kinds=kinds)
    return Candidate(kind=named.kind, id=hub_id)


def _candidate(source: Source, hub_id: str) -> Candidate:
    return Candidate(kind=source.kind, id=source.id, revision=source.revision, model=hub_id, source=source)


# Asking


def why_not(candidate: Candidate) -> str:
    """Why a place cannot be taken now; empty when it can. Connects, asks for a few bytes, waits `PROBE_S` at most."""
    try:
        return _asked(candidate)
    except ask.UnreachableError as error:
        return str(error)
    except IncompleteError as error:
        return text("places.is_offline") if error.message.id == "places.offline" else error.message.why
    except SelfhostError as error:
        return str(error)


def _asked(candidate: Candidate) -> str:
    match candidate.kind:
        case SourceKind.DIRECTORY:
            candidate.open()
            return ""
        case SourceKind.HUGGINGFACE:
            Hub(candidate.id, candidate.revision).check_allowed()
            url = f"{hub.endpoint_in_force()}/api/models/{candidate.id}"
        case SourceKind.MODELSCOPE:
            url = f"{modelscope.endpoint_in_force()}/api/v1/models/{candidate.id}"
        case SourceKind.MIRROR:
            url = f"{ask.endpoint(candidate.id, 'address of the mirror')}/"
        case _:  # pip alone knows whether its index answers
            return text("places.is_offline") if offline.is_offline() else ""
    plain, headers = ask.split_credentials(url)
    answer = ask.ask(plain, method="HEAD", headers=headers, timeout_s=PROBE_S)
    # Whatever else it says, somebody who speaks HTTP is there.
    return text("places.status", status=answer.status) if answer.status in _UNAVAILABLE else ""


def first_reachable(
    candidates: Sequence[Candidate], probe: Callable[[Candidate], str] = why_not, timeout_s: float = PROBE_S + 1
) -> Choice:
    """The first, in order, that answers; all are asked at once. A single one is not asked: it will tell itself.

    Raises IncompleteError, naming each with its reason, when none does.
    """
    if len(candidates) == 1:
        return Choice(candidate=candidates[0])
    answers: Queue[tuple[int, str]] = Queue()
    for number, candidate in enumerate(candidates):
        # Daemons: a name server that does not answer holds its asker longer than anybody waits.
        threading.Thread(target=_probe, args=(number, candidate, probe, answers), daemon=True).start()
    reasons: dict[int, str] = {}
    deadline = time.monotonic() + timeout_s
    for number, candidate in enumerate(candidates):
        while number not in reasons:
            try:
                answered, reason = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                reasons[number] = text("places.timed_out")
            else:
                reasons[answered] = reason
        if not reasons[number]:
            passed = tuple(Passed(label=candidates[n].label, reason=reasons[n]) for n in range(number))
            return Choice(candidate=candidate, passed=passed)
    listed = "\n".join(f"{one.label}: {reasons[number]}" for number, one in enumerate(candidates))
    raise IncompleteError("places.none_reachable", reasons=listed)


def _probe(
    number: int, candidate: Candidate, probe: Callable[[Candidate], str], answers: Queue[tuple[int, str]]
) -> None:
    try:
        answers.put((number, probe(candidate)))
    except Exception as error:  # noqa: BLE001 - a thread that dies silently would look like a timeout
        answers.put((number, f"{type(error).__name__}: {error}"))
