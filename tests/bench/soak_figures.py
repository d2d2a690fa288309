"""What a soak checks and computes, without a server: one stream to its end, a line through samples of memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

MIB = 1 << 20
FLAT_FRACTION = 0.03
"""Memory is flat when the last third of a run holds at most this much more than the middle third."""


class LostError(Exception):
    """A stream that was not cancelled did not come whole."""


@dataclass
class Stream:
    """A streamed answer as it comes, line by line; `finish` says whether it was whole."""

    tokens: int = 0
    events: int = 0
    finish_reason: str | None = None
    usage_tokens: int | None = None
    done: bool = False
    _after_done: list[str] = field(default_factory=list)

    def feed(self, line: bytes) -> None:
        """One line of server-sent events. Raises LostError for what is none."""
        text = line.decode(errors="strict").strip()
        if not text or text.startswith(":"):
            return
        if self.done:
            self._after_done.append(text)
        elif text == "data: [DONE]":
            self.done = True
        elif text.startswith("data: "):
            self._take(json.loads(text.removeprefix("data: ")))
        else:
            msg = f"not an event: {text[:100]}"
            raise LostError(msg)

    def _take(self, event: dict) -> None:
        if "error" in event:
            msg = f"error in the stream: {event['error']}"
            raise LostError(msg)
        self.events += 1
        for choice in event.get("choices", []):
            # Asked for by `return_token_ids`: pieces of text do not tell how many tokens they are.
            self.tokens += len(choice.get("token_ids") or [])
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if usage := event.get("usage"):
            self.usage_tokens = usage["completion_tokens"]

    def finish(self) -> None:
        """Raises LostError when the end is not one, or tokens are missing."""
        problems = []
        if self.finish_reason not in ("stop", "length"):
            problems.append(f"finish_reason {self.finish_reason}")
        if not self.done:
            problems.append("no [DONE]")
        if self._after_done:
            problems.append("more after [DONE]")
        if self.usage_tokens is None:
            problems.append("no usage")
        elif self.tokens != self.usage_tokens:
            problems.append(f"{self.tokens} tokens came, usage says {self.usage_tokens}")
        if problems:
            raise LostError(", ".join(problems))


@dataclass(frozen=True)
class Memory:
    """Samples of a size over a time."""

    samples: tuple[tuple[float, int], ...]
    """Seconds and bytes, in order."""

    def slope_bytes_per_hour(self) -> float:
        """Of the line of least squares through the samples after the first third, in which caches fill."""
        points = self.samples[len(self.samples) // 3 :]
        if len(points) < 2:
            return 0.0
        middle_s = sum(s for s, _ in points) / len(points)
        middle = sum(b for _, b in points) / len(points)
        spread = sum((s - middle_s) ** 2 for s, _ in points)
        return 3600 * sum((s - middle_s) * (b - middle) for s, b in points) / spread if spread else 0.0

    def growth_fraction(self) -> float:
        """The mean of the last third over that of the middle third, less one."""
        third = len(self.samples) // 3
        if not third:
            return 0.0
        middle = [size for _, size in self.samples[third : 2 * third]]
        last = [size for _, size in self.samples[-third:]]
        return (sum(last) / len(last)) / (sum(middle) / len(middle)) - 1

    def line(self, name: str) -> str:
        """For people."""
        first, last, most = self.samples[0][1], self.samples[-1][1], max(size for _, size in self.samples)
        return (
            f"{name}: {first / MIB:.1f} MiB at first, {last / MIB:.1f} at last, {most / MIB:.1f} at most; "
            f"slope {self.slope_bytes_per_hour() / MIB:+.1f} MiB/h, last third against middle third "
            f"{self.growth_fraction():+.2%} ({len(self.samples)} samples)"
        )
