"""What can go wrong, by exit code.

    SelfhostError                  1  unexpected failure
    +-- UsageError                 2  the request itself is wrong: name, value, contradiction
    +-- NoError                    3  the answer is no: does not fit, unsupported, not running
    +-- MissingError               4  needed and missing, or not matching: driver, engine, tool, port, permission
    +-- IntegrityError             5  digest, size, structure of files
    +-- TrustError                 6  signature, key, unreviewed code, licence
    +-- IncompleteError            7  file missing, interrupted but resumable, source unreachable
    +-- NoSpaceError               8  no space
    +-- EngineFailedError          *  the engine process failed; keeps its command, status and last lines;
                                      the code is that of the recognised cause, 1 when none is recognised

Library code raises these and never prints or exits; only `cli.main` does. An error names a message of the catalogue
(`selfhost.messages`) and carries the values as attributes, so that callers can act on them and translators can work.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """The contract of the command line; documented in the README, never renumbered."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NO = 3
    MISSING = 4
    INTEGRITY = 5
    TRUST = 6
    INCOMPLETE = 7
    NO_SPACE = 8
    INTERRUPTED = 130
    TERMINATED = 143


class Stopped(BaseException):
    """A signal that ends the command, raised in the main thread so that `finally` blocks run."""

    code: ClassVar[ExitCode]


class Terminated(Stopped):
    """SIGTERM."""

    code = ExitCode.TERMINATED


class Interrupted(Stopped):
    """SIGINT. Not KeyboardInterrupt: Typer would take that one and exit without a word."""

    code = ExitCode.INTERRUPTED


class SelfhostError(Exception):
    """A failure with a message of the catalogue: `raise UsageError("model.unknown", name=..., nearest=...)`."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE

    def __init__(self, message_id: str, /, **params: object) -> None:
        super().__init__(message_id)
        self.message = Message(message_id, params)

    def __str__(self) -> str:
        return self.message.what

    @property
    def code(self) -> ExitCode:
        """Exit code of this very error; a property because an engine's failure carries its own."""
        return self.exit_code


class UsageError(SelfhostError):
    """The request is wrong: an unknown name, an impossible value, settings that contradict each other."""

    exit_code = ExitCode.USAGE


class NoError(SelfhostError):
    """The question was understood and the answer is no: does not fit, unsupported, not running."""

    exit_code = ExitCode.NO


class MissingError(SelfhostError):
    """Something needed is missing or does not match: driver, engine, tool, port, permission."""

    exit_code = ExitCode.MISSING


class IntegrityError(SelfhostError):
    """Files are not what they should be: digest, size, structure."""

    exit_code = ExitCode.INTEGRITY


class TrustError(SelfhostError):
    """Something would have to be trusted that was not: a key, code, pickle files, a licence."""

    exit_code = ExitCode.TRUST


class IncompleteError(SelfhostError):
    """Not there yet: a file is missing, a source unreachable, work interrupted that can be resumed."""

    exit_code = ExitCode.INCOMPLETE


class NoSpaceError(SelfhostError):
    """A file system is too small for what was asked."""

    exit_code = ExitCode.NO_SPACE


class EngineFailedError(SelfhostError):
    """The engine process failed. Keeps what was run and what it said last."""

    def __init__(
        self,
        message_id: str,
        /,
        *,
        argv: Sequence[str],
        returncode: int | None,
        last_lines: Sequence[str],
        cause: ExitCode = ExitCode.FAILURE,
        **params: object,
    ) -> None:
        super().__init__(message_id, returncode=returncode, **params)
        self.argv = tuple(argv)
        self.returncode = returncode
        self.last_lines = tuple(last_lines)
        self._cause = cause

    @property
    def code(self) -> ExitCode:
        """Exit code of the recognised cause."""
        return self._cause
