"""A draft as the text of a recipe file: what is left to do stands as comments where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.messages import text
from selfhost.recipe import write
from selfhost.recipe.draft import is_unpinned
from selfhost.recipe.schema import SCHEMA_VERSION, SourceKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.recipe.draft import Draft, DraftVariant
    from selfhost.recipe.draft_licence import Told
    from selfhost.recipe.schema import Source

MARK = "TODO "
_SHOWN = 3
_PARSERS = {
    "tool_call_parser": "draft.todo_tool_call_parser",
    "reasoning_parser": "draft.todo_reasoning_parser",
}


class Written(NamedTuple):
    """A file, and what is left to do in it."""

    text: str
    todos: tuple[str, ...]
    """`family: ...`: one sentence each, the key in front."""


class _Lines:
    """A file that grows, with the things to do in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.todos: list[str] = []

    def add(self, *lines: str) -> None:
        self.lines += lines

    def key(self, key: str, value: object) -> None:
        """A key with its value; nothing for None and for an empty list."""
        if value is not None and value != ():
            self.add(write.line(key, value))

    def todo(self, key: str, message_id: str, /, *example: str, **params: object) -> None:
        """A thing to do, with lines that could stand there, all as comments."""
        sentence = f"{key}: {text(message_id, **params)}"
        self.todos.append(" ".join(sentence.split()))
        self.add(write.comment(MARK + sentence), *(write.comment(line) for line in example))

    def written(self) -> Written:
        return Written("\n".join(self.lines).rstrip("\n") + "\n", tuple(self.todos))


def as_toml(draft: Draft, made_of: str) -> Written:
    """A recipe file; `made_of`: the repository or directory, for its first line."""
    lines = _Lines()
    lines.add(write.comment(text("draft.head", of=made_of)))
    _first(lines, draft)
    lines.add("", "[licence]")
    _licence(lines, draft.licence)
    lines.add("", write.table("config", draft.config).rstrip("\n"), "")
    _variant(lines, draft.variant)
    _serving(lines, draft)
    lines.add("")
    lines.todo("check", "draft.todo_check", "[check]", 'prompt = "..."', 'expect = "..."')
    if not draft.facts:
        lines.add("")
        lines.todo("source", "draft.todo_source", "[[source]]", 'fact = "config"', 'url = "https://..."')
    for fact in draft.facts:
        lines.add("", "[[source]]", write.line("fact", fact.fact), write.line("url", fact.url))
    return lines.written()


def _first(lines: _Lines, draft: Draft) -> None:
    lines.add(f"schema_version = {SCHEMA_VERSION}", write.line("name", draft.name), write.line("title", draft.title))
    if draft.family_is_guess:
        lines.todo("family", "draft.todo_family")
    lines.key("family", draft.family)
    lines.todo("summary", "draft.todo_summary")
    lines.key("summary", draft.summary)
    if draft.hub_id is None:
        lines.todo("hub_id", "draft.todo_hub_id", 'hub_id = "ORGANISATION/NAME"')
    lines.key("hub_id", draft.hub_id)
    if draft.context is None:
        lines.todo("context", "draft.todo_context", "context = 32768")
    lines.key("context", draft.context)
    if draft.parameters is None:
        lines.todo("parameters", "draft.todo_parameters", "parameters = 7_000_000_000")
    lines.key("parameters", draft.parameters)
    lines.key("active_parameters", draft.active_parameters)
    lines.key("notes", draft.notes)
    lines.key("unverified", draft.unverified)


def _licence(lines: _Lines, told: Told) -> None:
    if not told.is_known:
        lines.todo("licence.id", "draft.todo_licence")
    lines.key("id", told.id)
    if told.url is None:
        lines.todo("licence.url", "draft.todo_licence_url")
    lines.key("url", told.url or "unknown")
    if told.research_only:
        lines.add("research_only = true")
    if told.own_terms:
        lines.todo("licence.conditions", "draft.todo_conditions")
        lines.key("conditions", (text("draft.not_read"),))


def _variant(lines: _Lines, variant: DraftVariant) -> None:
    lines.add("[[variant]]", write.line("name", variant.name))
    if variant.scheme_is_guess:
        lines.todo("variant.scheme", "draft.todo_scheme")
    lines.key("scheme", variant.scheme)
    lines.key("bytes_on_disk", variant.bytes_on_disk)
    if variant.bytes_loaded is None:
        lines.todo("variant.bytes_loaded", "draft.todo_loaded", "bytes_loaded = 7_000_000_000")
    lines.key("bytes_loaded", variant.bytes_loaded)
    for sentence in variant.contradictions:
        lines.todo("variant", "draft.todo_contradiction", sentence=sentence)
    if variant.quantization_config is not None:
        lines.add("", write.table("variant.quantization_config", variant.quantization_config).rstrip("\n"))
    for source in variant.sources:
        lines.add("", "[[variant.source]]")
        _source(lines, source)
    kinds = {source.kind for source in variant.sources}
    hub = next((one for one in variant.sources if one.kind in (SourceKind.HUGGINGFACE, SourceKind.MODELSCOPE)), None)
    if hub is not None and len(kinds) == 1:
        other = SourceKind.MODELSCOPE if hub.kind is SourceKind.HUGGINGFACE else SourceKind.HUGGINGFACE
        lines.add("")
        example = ("[[variant.source]]", write.line("kind", other.value), write.line("id", hub.id))
        lines.todo("variant.source", "draft.todo_other_hub", *example, hub=other.value)


def _source(lines: _Lines, source: Source) -> None:
    lines.add(write.line("kind", source.kind.value), write.line("id", source.id))
    if is_unpinned(source):
        lines.todo("variant.source.revision", "draft.todo_revision", 'revision = "..."')
    lines.key("revision", source.revision)


def _serving(lines: _Lines, draft: Draft) -> None:
    lines.add("", "[serving]")
    of = ", ".join(draft.relatives[:_SHOWN]) + (", ..." if len(draft.relatives) > _SHOWN else "")
    for key, nothing_known in _PARSERS.items():
        if key in draft.parsers:
            lines.todo(f"serving.{key}", "draft.todo_parser_like", write.line(key, draft.parsers[key]), of=of)
        else:
            lines.todo(f"serving.{key}", nothing_known, f'{key} = "..."')
    if draft.sampling:
        lines.add("", write.table("serving.sampling", draft.sampling).rstrip("\n"))
    else:
        lines.add("")
        lines.todo("serving.sampling", "draft.todo_sampling", "[serving.sampling]", "temperature = 0.7")


def variant_document(variant: DraftVariant, config: Mapping[str, object]) -> dict[str, object]:
    """A checkpoint as `write.variant` takes it; `config`: keys that the recipe's says otherwise."""
    return {
        "name": variant.name,
        "scheme": variant.scheme,
        "bytes_on_disk": variant.bytes_on_disk,
        "bytes_loaded": variant.bytes_loaded,
        "config": dict(config) or None,
        "unverified": list(variant.unverified) or None,
        "quantization_config": variant.quantization_config,
        "source": [
            {"kind": source.kind.value, "id": source.id, "revision": source.revision} for source in variant.sources
        ],
    }
