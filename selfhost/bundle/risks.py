"""What a model carries beside numbers: code, pickles, programs, no text of its terms, files that do not fit together.

Told before a bundle leaves and after it arrived, each with the sha256 that it is about, so that who reviews one file
needs to review it once.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Any

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.records import dataclass
from selfhost.weights.checkpoint import shown
from selfhost.weights.places.names import is_licence, remote_code
from selfhost.weights.remote import RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from selfhost.weights.lock import LockedFile

SCHEMA_VERSION = 1
HEAD_BYTES = 16
"""Of each file, enough to tell programs, archives and pickles by their first bytes."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".h5", ".keras")
"""Formats that can run code when they are opened; NumPy's can hold pickled objects, Keras' Lambda layers."""
_CODE = (".py", ".pyc", ".ipynb", ".js", ".jar", ".lua", ".cu", ".cpp", ".c")
_PROGRAMS = (".so", ".sh", ".exe", ".dll", ".dylib", ".bat", ".ps1")
_PROGRAM_HEADS = (b"\x7fELF", b"MZ", b"#!", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe")
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!\x1a")
_ARCHIVE_NAMES = (".tar", ".nemo")
"""Nothing at the beginning of a tar says that it is one."""
_PICKLE_PROTOCOLS = b"\x02\x03\x04\x05"
_PICKLE_OPCODES = b"\x95c}]()KXN\x8cq"
"""What pickles begin with after `\\x80` and the number of their protocol (Lib/pickletools.py)."""
_OLD_PICKLE = re.compile(
    rb"c(?:posix|nt|os|sys|pty|runpy|subprocess|builtins|__builtin__|copyreg|copy_reg|torch|numpy|collections)[.\w]*\n"
    rb"|\([dl]p[0-9]+\n"
)
"""Pickles of protocols 0 and 1, which are text: a module from which something is called, or a dict or list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What was read of a model, small files and first bytes only."""

    name: str
    """As users know it: `qwen2.5-7b (fp8)`."""
    files: tuple[LockedFile, ...]
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON files that an engine reads first, by their path."""
    heads: Mapping[str, bytes] = field(default_factory=dict)
    """The first `HEAD_BYTES` of each file."""
    problems: tuple[str, ...] = ()
    """Of its structure: shards, headers, tokenizer."""

    @property
    def paths(self) -> frozenset[str]:
        """Of all files."""
        return frozenset(file.path for file in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class Risk:
    """One thing to know before a model is used."""

    kind: str
    """`pickle`, `code`, `code_elsewhere`, `code_absent`, `program`, `archive`, `licence_text`, `structure`."""
    finding: Finding
    files: tuple[LockedFile, ...] = ()
    """What it is about; empty when it is about what is not there."""

    def as_dict(self) -> dict[str, Any]:
        """For the inventory of a bundle and `--json`."""
        files = [{"path": file.path, "sha256": file.sha256, "size": file.size} for file in self.files]
        return {"kind": self.kind, **self.finding.as_dict(), "files": files}


def risks(model: ModelFacts) -> tuple[Risk, ...]:
    """Everything to know of a model, errors first."""
    found = [*_by_content(model), *_code(model), *_structure(model)]
    if not any(is_licence(path) for path in model.paths):
        found.append(_risk("licence_text", Severity.WARNING, model, Message("risk.no_licence", {"name": model.name})))
    order = list(Severity)
    return tuple(sorted(found, key=lambda risk: (order.index(risk.finding.severity), risk.kind)))


def document(found: Mapping[str, Iterable[Risk]]) -> dict[str, Any]:
    """The risk list of a bundle, by model; the same risks give the same bytes."""
    models = [{"name": name, "risks": [risk.as_dict() for risk in of]} for name, of in sorted(found.items())]
    return {"schema_version": SCHEMA_VERSION, "models": models}


def _risk(
    kind: str, severity: Severity, model: ModelFacts, message: Message, files: tuple[LockedFile, ...] = ()
) -> Risk:
    return Risk(kind=kind, finding=Finding(severity=severity, where=model.name, message=message), files=files)


def _is_pickle(path: str, head: bytes) -> bool:
    begins = head[:1] == b"\x80" and head[1:2] in _PICKLE_PROTOCOLS and head[2:3] in _PICKLE_OPCODES
    is_old = _OLD_PICKLE.match(head) is not None
    return path.lower().endswith(_PICKLES) or (len(head) > len("\x80\x04.") and begins) or is_old


def _is_code(path: str, head: bytes) -> bool:
    return path.lower().endswith(_CODE) and not head.startswith(_PROGRAM_HEADS)


def _is_program(path: str, head: bytes) -> bool:
    return path.lower().endswith(_PROGRAMS) or head.startswith(_PROGRAM_HEADS)


def _is_archive(path: str, head: bytes) -> bool:
    return (head.startswith(_ARCHIVES) or path.lower().endswith(_ARCHIVE_NAMES)) and not _is_pickle(path, head)


def _by_content(model: ModelFacts) -> Iterator[Risk]:
    def those(test: Callable[[str, bytes], bool]) -> tuple[LockedFile, ...]:
        return tuple(file for file in model.files if test(file.path, model.heads.get(file.path, b"")))

    for kind, files in (
        ("pickle", those(_is_pickle)),
        ("program", those(_is_program)),
        ("archive", those(_is_archive)),
    ):
        if not files:
            continue
        params = {"name": model.name, "count": len(files), "files": shown(file.path for file in files)}
        severity = Severity.NOTE if kind == "archive" else Severity.WARNING
        message = {
            "pickle": Message("risk.pickle", params),
            "program": Message("risk.program", params),
            "archive": Message("risk.archive", params),
        }[kind]
        yield _risk(kind, severity, model, message, files)


def _code(model: ModelFacts) -> Iterator[Risk]:
    remote = tuple(RemoteFile(path=file.path, size=file.size, sha256=file.sha256) for file in model.files)
    named = remote_code(remote, list(model.configs.values()))
    files = tuple(file for file in model.files if _is_code(file.path, model.heads.get(file.path, b"")))
    params: dict[str, object] = {"name": model.name, "count": len(files), "files": shown(file.path for file in files)}
    if named.files:
        yield _risk("code", Severity.WARNING, model, Message("risk.code_named", params), files)
    elif files:
        yield _risk("code", Severity.NOTE, model, Message("risk.code_unnamed", params), files)
    if named.absent:
        absent = {"name": model.name, "files": shown(named.absent)}
        yield _risk("code_absent", Severity.ERROR, model, Message("risk.code_absent", absent))
    if named.elsewhere:
        elsewhere = {"name": model.name, "repositories": shown(named.elsewhere)}
        yield _risk("code_elsewhere", Severity.ERROR, model, Message("risk.code_elsewhere", elsewhere))


def _structure(model: ModelFacts) -> Iterator[Risk]:
    if model.problems:
        params = {"name": model.name, "problems": "\n".join(model.problems)}
        yield _risk("structure", Severity.ERROR, model, Message("risk.structure", params))
