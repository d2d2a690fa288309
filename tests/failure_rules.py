"""What the doctor can find and what a log can say, from the rules themselves: ids, severities, exit codes, lines."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from selfhost.doctor import rules_detect
from selfhost.errors import ExitCode
from selfhost.findings import Severity
from selfhost.hardware import ascend, cuda, npu_codes, probe, probe_ascend, probe_host, sharing
from selfhost.messages import Message
from tests.pattern_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from selfhost.serve.fingerprints import Rule

DETECTING = (cuda, ascend, npu_codes, probe, probe_ascend, probe_host, sharing)
"""Modules whose messages `rules_detect` judges."""
_ORDER = list(Severity)


class Found(NamedTuple):
    """A finding of the doctor, and how bad it is; of some that depends on the machine."""

    message_id: str
    severities: tuple[Severity, ...]


class Logged(NamedTuple):
    """A failure that an engine's log tells, with the exit code of the start that ends by it."""

    message_id: str
    code: ExitCode
    lines: tuple[str, ...]


def findings(module: ModuleType) -> list[Found]:
    """Each `Message(...)` that a module hands to something with a severity."""
    found: dict[str, set[Severity]] = {}
    for function in _functions(module):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            told = set().union(*(_severities(node, function) for node in (call.func, *given)))
            for message_id in (one for node in given for one in _ids(node, function)):
                if told:
                    found.setdefault(message_id, set()).update(told)
    return [Found(key, tuple(sorted(told, key=_ORDER.index))) for key, told in found.items()]


def detected() -> list[Found]:
    """What detection says of this machine, as `rules_detect` judges it."""
    ids = [key for module in DETECTING for key in _notes(module)]
    return [found for key in dict.fromkeys(ids) for found in _judged(key)]


def _judged(message_id: str) -> Iterator[Found]:
    facts = SimpleNamespace(snapshot=SimpleNamespace(messages=(Message(message_id),)))
    for finding in rules_detect.detected(cast("Any", facts)):
        yield Found(message_id, (finding.severity,))


def logged(rules: Iterable[Rule]) -> list[Logged]:
    """The rules of a table; those with one message are told together."""
    found: dict[str, Logged] = {}
    for rule in rules:
        before = found.get(rule.message_id)
        lines = shown(rule.pattern.pattern)
        found[rule.message_id] = Logged(rule.message_id, rule.code, (*(before.lines if before else ()), *lines))
    return list(found.values())


def _functions(module: ModuleType) -> Iterator[ast.FunctionDef]:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _notes(module: ModuleType) -> Iterator[str]:
    """Ids of `hardware` in a module, but those of reasons, which stand beside a device: `text("hardware...")`."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    reasons = {id(call.args[0]) for call in calls if call.func.id == "text" and call.args}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in reasons:
            area, dot, name = node.value.partition(".")
            if area == "hardware" and dot and name.isidentifier():
                yield node.value


def _ids(node: ast.expr, function: ast.FunctionDef) -> list[str]:
    """Of `Message("area.name", ...)`, also where it was given a name first."""
    if isinstance(node, ast.Name):
        return [
            key
            for value in _given_to(node.id, function)
            if isinstance(value, ast.Call)
            for key in _ids(value, function)
        ]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Message":
        return [str(ast.literal_eval(node.args[0]))]
    return []


def _severities(node: ast.expr, function: ast.FunctionDef) -> set[Severity]:
    """Those an expression may stand for: `warning`, `Severity.ERROR`, `error if ... else note`, a name of these."""
    if isinstance(node, ast.IfExp):
        return _severities(node.body, function) | _severities(node.orelse, function)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Severity":
        return {Severity[node.attr]}
    if not isinstance(node, ast.Name):
        return set()
    if node.id in list(Severity):
        return {Severity(node.id)}
    if node.id == "serious":  # of `hccn_judge`: on A2, on A3
        return {Severity.ERROR, Severity.WARNING}
    values = [value for value in _given_to(node.id, function) if not isinstance(value, ast.Name)]
    return set().union(*(_severities(value, function) for value in values))


def _given_to(name: str, function: ast.FunctionDef) -> list[ast.expr]:
    """The values that a name gets in a function."""
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]


def ends(module: ModuleType) -> list[Logged]:
    """What is said of an end by how it ended: each `Diagnosis` with an id and a code of its own."""
    found: dict[str, Logged] = {}
    for function in _functions(module):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            named, code = given.get("message_id"), given.get("code")
            if isinstance(named, ast.Constant) and isinstance(code, ast.Attribute):
                found[str(named.value)] = Logged(str(named.value), ExitCode[code.attr], ())
    return list(found.values())
