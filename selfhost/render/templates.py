"""A chat template that is a file: it travels with the rendered files, under one name everywhere."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from selfhost.render.deployment import HOME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from selfhost.render.deployment import Deployment

FLAG = "--chat-template"
FOLDER, NAME = "templates", "chat.jinja"
"""Beside the files."""
MOUNTED = f"{HOME}/{FOLDER}"
"""In a container."""
IN_CONTAINER = f"{MOUNTED}/{NAME}"
BESIDE = f"{FOLDER}/{NAME}"
APPLIED_LIMIT_BYTES = 250 << 10
"""Of all annotations together Kubernetes takes 256 KiB (apimachinery, `TotalAnnotationSizeLimitB`)."""
_OF_TEMPLATES = frozenset("{}\n")


def named(argv: Sequence[str]) -> str:
    """What an engine's command line gives as its chat template, in any spelling; empty for none.

    >>> named(["vllm", "serve", "/m", "--chat_template=a.jinja"]), named(["--chat-template", "{{ messages }}"])
    ('a.jinja', '{{ messages }}')
    """
    found = ""
    for word, following in itertools.pairwise([*argv, ""]):
        name, equals, value = word.partition("=")
        if _is_flag(name):
            found = value if equals else following
    return found


def is_text(value: str) -> bool:
    r"""Whether the engine takes a value that is no file as a template itself: it holds `{`, `}` or a line's end.

    Source: vLLM 0.32 renderers/chat_utils.py `_load_chat_template`, which looks for a file first.
    """
    return bool(_OF_TEMPLATES & set(value))


def applied_bytes(template: str) -> int:
    """What a text takes in the annotation in which `kubectl apply` keeps what it applied, as Go writes JSON."""
    text = json.dumps(template, ensure_ascii=False)
    return len(text.encode()) + len(r"\u003c"[1:]) * sum(map(text.count, "<>&"))


def with_template(argv: Iterable[str], path: str) -> tuple[str, ...]:
    """A command line with this chat template and no other.

    >>> with_template(["--chat-template=a", "--seed", "1", "--chat-template", "b"], "/c")
    ('--seed', '1', '--chat-template', '/c')
    """
    return (*without(argv), FLAG, path)


def without(argv: Iterable[str]) -> tuple[str, ...]:
    """A command line that names no chat template."""
    return tuple(_others(iter(argv)))


def at(deployment: Deployment, argv: Iterable[str], path: str) -> tuple[str, ...]:
    """A command line with the template that travels at another place; unchanged where none does."""
    return with_template(argv, path) if deployment.chat_template else tuple(argv)


def _others(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        name, equals, _ = word.partition("=")
        if not _is_flag(name):
            yield word
        elif not equals:
            next(words, None)


def _is_flag(name: str) -> bool:
    return name.startswith("--") and name.replace("_", "-") == FLAG
