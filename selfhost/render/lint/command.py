"""Commands of containers -> which engine they start, and with which options."""

from __future__ import annotations

import re
import shlex
from dataclasses import field
from typing import TYPE_CHECKING

from selfhost.engines import known
from selfhost.records import dataclass
from selfhost.render.lint.quantity import number
from selfhost.render.lint.values import name_and_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from selfhost.engines.known import Flag, Known

_SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_ENDS = {";", "&&", "||", "|", "&", ">", ">>", "<", "2>&1", "(", ")", "|&", "&>", ">&"}
_MODULE = "vllm.entrypoints.openai.api_server"
_LONG = re.compile(r"--[A-Za-z][\w.-]*(?:=.*)?", re.DOTALL)
_IMAGE_ENTRIES = {"vllm-openai": ("vllm", "serve"), "selfhost-": ("selfhost", "serve")}
_VERSION = re.compile(r":v?(\d+\.\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An engine that a command starts."""

    own: bool
    """`selfhost serve`: guarded and planned by us; otherwise the stock server."""
    facts: Known
    other_version: str = ""
    """Version the image says when it is not that of the facts."""
    model: str = ""
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the long name."""
    unknown: tuple[str, ...] = ()
    shortened: tuple[tuple[str, str], ...] = ()
    """Options that are written as a beginning of one name, and that name; the parser takes them."""

    def number(self, flag: str, default: int) -> int | None:
        """The value of a flag; None when it is a variable."""
        values = self.flags.get(flag)
        return default if values is None else number(values[0]) if values else None

    def text(self, flag: str) -> str:
        """The value of a flag; empty when it is not there."""
        return " ".join(self.flags.get(flag, ()))

    @property
    def headless(self) -> bool:
        """Serves no HTTP."""
        return "--headless" in self.flags

    @property
    def several_nodes(self) -> bool:
        """One of several nodes."""
        return bool(
            {"--nnodes", "--data-parallel-address", "--data-parallel-start-rank", "--headless"} & set(self.flags)
        )

    @property
    def keyed(self) -> bool:
        """Asks for a key."""
        return self.own or "--api-key" in self.flags

    @property
    def port(self) -> int:
        """Where it listens; 0 when it is a variable."""
        return self.number("--port", 8000) or 0

    @property
    def on_loopback(self) -> bool:
        """Nobody outside of its network namespace reaches it."""
        return self.text("--host") in {"127.0.0.1", "localhost", "::1"}

    @property
    def ranks_here(self) -> int | None:
        """Accelerators that its processes on this node use; None when that cannot be told."""
        sizes = [self.number(f"--{name}-parallel-size", 1) for name in ("tensor", "pipeline")]
        total, nodes = self.number("--data-parallel-size", 1), self.number("--nnodes", 1)
        here = self.number("--data-parallel-size-local", total or 1)
        if self.text("--distributed-executor-backend") == "ray":
            return None
        if None in sizes or not total or not nodes or here is None:
            return None
        each = (sizes[0] or 1) * (sizes[1] or 1)
        return each * total // nodes if nodes > 1 else each * here


def commands(words: Sequence[str]) -> list[list[str]]:
    """The simple commands in an argv: itself, or those of the script that a shell is given."""
    if not words or words[0].rpartition("/")[2] not in _SHELLS:
        return [list(words)]
    if words[1:] and not words[1].startswith("-"):
        # A script of its own, and what that is given.
        return [list(words)]
    for place, word in enumerate(words[1:], start=1):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            given = words[place + 2 :]
            return [_filled(command, given) for command in _script(" ".join(words[place + 1 : place + 2]))]
    return [list(words)]


def _filled(command: Sequence[str], given: Sequence[str]) -> list[str]:
    """A command of a script with what stands after the script in the place of `$0`, `$1`, `$@`."""
    filled: list[str] = []
    for word in command:
        if word in {"$@", "$*"}:
            filled += given[1:]
        elif re.fullmatch(r"\$\d", word):
            filled += given[int(word[1]) : int(word[1]) + 1]
        else:
            filled.append(word)
    return filled


def _script(text: str) -> list[list[str]]:
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:  # a quotation over several lines: rough words are better than none
            words = line.split()
        current: list[str] = []
        for word in words:
            if word in _ENDS:
                found.append(current)
                current = []
            else:
                current.append(word)
        found.append(current)
    return [inner for command in found if command for inner in _evaluated(command)]


def _evaluated(command: list[str]) -> list[list[str]]:
    if command[0] != "eval":
        return [command]
    rest = next((place for place, word in enumerate(command) if word != "eval"), len(command))
    return _script(" ".join(command[rest:]))


def engine_of(image: str, words: Sequence[str], *, replaced: bool = False) -> Engine | None:
    """The engine that a container starts; None when it starts something else.

    replaced: the words stand in the place of the image's entry point, not behind it.
    """
    base, _ = name_and_tag(image)
    started = [*words]
    if not replaced and (not words or words[0].startswith("-") or _is_model(words[0])):
        entry = next((entry for prefix, entry in _IMAGE_ENTRIES.items() if base.startswith(prefix)), None)
        started = [*(entry or ()), *words] if entry else started
    for command in commands(started):
        for name, rest in _entries(command):
            return _engine(image, name, rest)
    return None


def _is_model(word: str) -> bool:
    return "/" in word and not word.rpartition("/")[2].startswith(("sh", "bash", "python", "vllm", "env"))


def _entries(command: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    for place, word in enumerate(command):
        name = word.rpartition("/")[2]
        if name in {"vllm", "selfhost"} and command[place + 1 : place + 2] == ["serve"]:
            yield name, list(command[place + 2 :])
        elif word == _MODULE or word.endswith("entrypoints/openai/api_server.py"):
            yield "vllm", list(command[place + 1 :])


def _engine(image: str, entry: str, words: list[str]) -> Engine:
    facts = known.load("vllm-ascend" if "ascend" in image else "vllm")
    own = entry == "selfhost"
    further = words[words.index("--") + 1 :] if own and "--" in words else []
    flags, model, unknown = _options(words, facts)
    if own:
        unknown = _options(further, facts)[2]
    shortened = {word: flag for word in unknown if (flag := _beginning(word, facts))}
    found = _VERSION.search(image) if "vllm" in image else None
    other = found[1] if found and found[1] != facts.ref.version else ""
    return Engine(
        own=own, facts=facts, other_version=other, model=model or " ".join(flags.get("--model", ())),
        flags=flags, unknown=tuple(word for word in unknown if word not in shortened),
        shortened=tuple(shortened.items()),
    )  # fmt: skip


def _options(words: Sequence[str], facts: Known) -> tuple[dict[str, tuple[str, ...]], str, list[str]]:
    """Options by their long name, the first word that is none, and what the engine does not know."""
    flags: dict[str, tuple[str, ...]] = {}
    unknown: list[str] = []
    model, place = "", 0
    while place < len(words):
        word = words[place]
        place += 1
        if not word.startswith("-") or word == "--":
            model = model or ("" if word == "--" else word)
            continue
        flag, given = _flag(word, facts)
        if flag is None:
            if _LONG.fullmatch(word):
                unknown.append(word.partition("=")[0])
            flags[word.partition("=")[0]] = given or ()
            continue
        taken = given if given is not None else _values(words[place:], flag, facts)
        place += 0 if given is not None else len(taken)
        flags[flag.name] = taken
    return flags, model, unknown


def _flag(word: str, facts: Known) -> tuple[Flag | None, tuple[str, ...] | None]:
    """The option a word names, and the value in it: `--name=value`, `--name.part`, `--under_scores`; vLLM takes all."""
    name, equals, value = word.partition("=")
    name = name.partition(".")[0]
    flag = facts.flags.get(name) or facts.flags.get(name.replace("_", "-"))
    if flag is None and re.fullmatch(r"-O\d", name):
        return facts.flags.get("-O") or facts.flags.get("--optimization-level"), (name[2:],)
    return flag, (value,) if equals else None


def _beginning(word: str, facts: Known) -> str:
    """The one option whose name begins so; empty for none, or more than one."""
    found = {flag.name for name, flag in facts.flags.items() if name.startswith(word.replace("_", "-"))}
    return found.pop() if len(found) == 1 else ""


def _values(words: Sequence[str], flag: Flag, facts: Known) -> tuple[str, ...]:
    if flag.values == 0:
        return ()
    taken: list[str] = []
    for word in words:
        if (
            word.startswith("--")
            or (taken and word.startswith("-") and _flag(word, facts)[0])
            or (taken and flag.values in {1, "?"})
        ):
            break
        taken.append(word)
    return tuple(taken)
