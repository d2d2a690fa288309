"""What a supervisor sees of its server, and what it is told to do: the alphabet of the state machine in `lifecycle`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.serve.lifecycle import Phase


@dataclass(frozen=True, slots=True)
class PhaseSeen:
    """The engine's log shows a phase."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Healthy:
    """`/health` answered 200."""


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """`/health` answered 503 (`dead`: the engine says so itself) or not at all."""

    dead: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The question was answered; `right` tells whether as expected. `at_s`: when, by the supervisor's clock."""

    right: bool
    text: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """The question was refused, cut off or timed out."""

    detail: str
    late: bool = False
    """No answer within its time: the engine may only be busy."""
    declined: bool = False
    """The API server refused it by itself (4xx), which says nothing about the engine."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The engine's counters say that it computed something."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """The counters have not moved for a while: it has nothing to do, or it hangs."""


@dataclass(frozen=True, slots=True)
class ProcessLost:
    """A process of the engine's tree that was there when it became ready is gone, and the main process is not."""


@dataclass(frozen=True, slots=True)
class EngineExited:
    """The engine's main process is gone."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The engine could not be started at all."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time allowed for starting is over."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """A signal arrived. The second one means at once."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Every process of the tree is gone, but for `survivors` that nothing ends."""

    at_s: float = 0.0
    survivors: bool = False


@dataclass(frozen=True, slots=True)
class BackoffOver:
    """The wait before a restart is over."""


Event = (
    PhaseSeen
    | Healthy
    | Unhealthy
    | Answered
    | NotAnswered
    | Moved
    | Stalled
    | ProcessLost
    | EngineExited
    | NotStarted
    | DeadlinePassed
    | StopRequested
    | Ended
    | BackoffOver
)


class Action(StrEnum):
    """What the driver has to do; each may be asked for again and then does nothing new."""

    START = "start"
    """Start the engine again."""
    SHOW = "show"
    """State or phase changed: write the record, tell the user."""
    ASK = "ask"
    """Ask the question whose answer is known."""
    ASK_TOKEN = "ask_token"  # noqa: S105 - a token of text
    """Ask for a single token: whether the engine computes at all."""
    END_TREE = "end_tree"
    """TERM, grace, KILL; `Ended` follows."""
    KILL_TREE = "kill_tree"
    """No more grace."""
    FINISH = "finish"
    """Write the last record and return."""
