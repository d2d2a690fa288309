"""YAML text -> documents with the line of each place; safe against texts that grow when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from selfhost.errors import IntegrityError
from selfhost.render.lint.site import Document
from selfhost.render.lint.values import join

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_NODES = 200_000
"""With every alias counted as often as it is used; the largest public manifests have some ten thousand."""


class _Loader(yaml.SafeLoader):
    """Takes compose's own tags (`!reset`, `!override`) for what they are put on."""


def _plain(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _plain)


def documents(file: str, text: str) -> list[Document]:
    """The documents of a file that say something. Raises IntegrityError for text that is not YAML."""
    if file.endswith(".json"):
        text = text.replace("\t", " ")  # never inside of a string there, and YAML takes none before a key
    try:
        return list(_documents(file, text))
    except yaml.YAMLError as error:
        raise IntegrityError("render_lint.bad_yaml", file=file, detail=_detail(error)) from error
    except RecursionError as error:
        raise IntegrityError("render_lint.bad_yaml", file=file, detail="nested too deeply") from error
    except ValueError as error:  # of a date or a number that cannot be
        raise IntegrityError("render_lint.bad_yaml", file=file, detail=str(error)) from error


def _documents(file: str, text: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _check(file, node)
            lines: dict[str, int] = {}
            _lines(node, "", lines)
            data = loader.construct_document(node)
            if data is not None:
                yield Document(file=file, data=data, lines=lines)
    finally:
        loader.dispose()


def _detail(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    said = str(getattr(error, "problem", None) or error).splitlines()[0]
    return f"line {mark.line + 1}: {said}" if mark else said


def _check(file: str, node: yaml.Node) -> None:
    """Refuse what contains itself, what grows past all bounds, and a key that is there twice."""
    sizes: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise IntegrityError("render_lint.bad_yaml", file=file, detail="an alias contains itself")
            return sizes[id(node)]
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(file, node)
            total += sum(count(key) + count(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(map(count, node.value))
        if total > _MOST_NODES:
            raise IntegrityError("render_lint.bad_yaml", file=file, detail=f"more than {_MOST_NODES} values")
        sizes[id(node)] = total
        return total

    count(node)


def _check_keys(file: str, node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            continue
        if key.value in seen:
            line = key.start_mark.line + 1
            raise IntegrityError("render_lint.bad_yaml", file=file, detail=f"line {line}: `{key.value}` is there twice")
        seen.add(key.value)


def _lines(node: yaml.Node, place: str, lines: dict[str, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                below = join(place, key.value)
                lines.setdefault(below, key.start_mark.line + 1)
                _lines(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            below = f"{place}[{number}]"
            lines.setdefault(below, value.start_mark.line + 1)
            _lines(value, below, lines)
