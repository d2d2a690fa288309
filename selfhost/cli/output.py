"""The one place that prints: data to stdout, everything else to stderr.

Also the one place that speaks the language of the locale: what is printed for people, by `write`, `note` and `warn`,
and what is put together for them in `people()`. `--json` is English whatever the locale.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING

from selfhost import messages

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from selfhost.errors import SelfhostError
    from selfhost.messages import Message

_language = messages.ENGLISH
"""Of the people who read what is printed; the same for all threads."""


def choose_language() -> None:
    """Speak what the environment asks for, where both outputs can show it. Raises KeyError for an unknown one."""
    global _language  # noqa: PLW0603 - one process prints for one person
    _language = messages.ENGLISH
    _language = messages.chosen(os.environ, sys.stdout.encoding, sys.stderr.encoding)


def people() -> AbstractContextManager[None]:
    """Sentences of this block are for people: in their language."""
    return messages.speaking(_language)


def text(message_id: str, /, **params: object) -> str:
    """The `what` of a message, for people."""
    with people():
        return messages.text(message_id, **params)


def _spoken(said: str) -> str:
    with people():
        return str(said)


def open_what_was_closed() -> None:
    """Where a standard stream was closed (`>&-`), nothing is read or written.

    Else the next file or connection would take its number, and what another process prints would land in that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - until the process ends


def escape_what_stdout_lacks() -> None:
    r"""Characters that the encoding of stdout does not have are written as escapes, as Python does on stderr.

    Paths and model names may have any: `模型` under `LC_ALL=C`, a byte that is no UTF-8 in the name of a directory. A
    lone byte becomes `\udcff`, which JSON reads back as Python does.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """One piece of data on stdout."""
    sys.stdout.write(_spoken(text) + "\n")
    sys.stdout.flush()


def write_raw(text: str) -> None:
    """A piece of data on stdout as it is, without an end of line: logs, answers that stream."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_thought(text: str) -> bool:
    """What a model thinks before it answers: dimmed on a terminal, nowhere else; whether it was written."""
    if not is_terminal():
        return False
    to_stderr(_styled(text, "2"))
    return True


def write_json(value: object) -> None:
    """One JSON object on stdout and nothing else."""
    utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    write(json.dumps(value, indent=2, ensure_ascii=not utf8))


def note(text: str) -> None:
    """A line for people on stderr: progress, phases, warnings, hints."""
    to_stderr(_spoken(text) + "\n")


def to_stderr(text: str) -> None:
    """As it is; to a terminal that was closed, nothing: that must not keep a server from its orderly end."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def is_terminal() -> bool:
    """Whether stderr is a terminal that bars can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _styled(text: str, code: str) -> str:
    if os.environ.get("NO_COLOR") or not is_terminal():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


_ON_MARKS = {"+": "97;48;5;25", "~": "30;48;5;117", "<": "30;48;5;227", "-": "97;48;5;166", "x": "30;48;5;252"}
"""Ink and background of the marks of `planner.tables`, as in `sheet.colours`."""


def on_mark(mark: str, text: str) -> str:
    """A piece of data on stdout with the background of its mark, where colours are wanted; else as it is."""
    code = _ON_MARKS.get(mark)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text and _colours_on_stdout() else text


def _colours_on_stdout() -> bool:
    """On a terminal; `NO_COLOR` (no-color.org) forbids, else `FORCE_COLOR` (force-color.org) asks for them anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _indented(text: str, prefix: str) -> str:
    return "\n".join(prefix + line for line in text.splitlines())


def warn(text: str) -> None:
    """A warning on stderr."""
    note(_label("cli.label_warning", "33") + _spoken(text))


def _label(message_id: str, code: str) -> str:
    """With the space behind it, which a full-width colon has in it."""
    label = text(message_id)
    return _styled(label, code) + (" " if label.isascii() else "")


def print_error(error: SelfhostError) -> None:
    """What, why, what next; the same three parts for every error."""
    print_message(error.message)


def print_message(message: Message) -> None:
    """An error's message, where the command goes on to the next."""
    with people():
        what, why, hint = message.what, message.why, message.hint
    note(_label("cli.label_error", "31") + _spoken(what))
    if why:
        note(_indented(why, "  "))
    if hint:
        first, *rest = hint.splitlines()
        note(_label("cli.label_hint", "36") + first)
        for line in rest:
            note(f"      {line}")


def error_json(error: SelfhostError) -> None:
    """The same as one JSON object on stdout, for commands that were asked for `--json`."""
    message = error.message
    body: dict[str, object] = {
        "id": message.id,
        "code": int(error.code),
        "what": message.what,
        "why": message.why,
        "hint": message.hint,
    }
    if details := message.params.get("details"):
        body["details"] = details
    write_json({"schema_version": 1, "error": body})
