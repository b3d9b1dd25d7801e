"""What the server counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from dspex.samples.server.plan import Fault


@dataclass(frozen=True)
class Outcome:
    """How a request ended: one of the counts of `/stats`, and which one of those."""

    kind: str
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


ABANDONED = Outcome("abandoned")


class Stats:
    """Counts; every request that started ends in exactly one outcome."""

    def __init__(self) -> None:
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Starts anew. What is in flight stays and is counted when it ends."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._started = self._in_flight
        self._most_in_flight = self._in_flight
        self._prompt_tokens = 0
        self._completion_tokens = 0

    def start(self) -> None:
        """A request came."""
        self._started += 1
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)

    def end(self, outcome: Outcome) -> None:
        """It ended."""
        self._in_flight -= 1
        self._counts[outcome.kind, outcome.detail] += 1
        self._prompt_tokens += outcome.prompt_tokens
        self._completion_tokens += outcome.completion_tokens

    def snapshot(self) -> dict[str, Any]:
        """The answer of `/stats`."""
        refused = {detail: count for (kind, detail), count in sorted(self._counts.items()) if kind == "refused"}
        return {
            "requests": self._started,
            "answered": self._counts["answered", ""],
            "faults": {fault.value: self._counts["fault", fault.value] for fault in Fault},
            "rate_limited": self._counts["rate_limited", ""],
            "refused": refused,
            "abandoned": self._counts["abandoned", ""],
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "tokens": {"prompt": self._prompt_tokens, "completion": self._completion_tokens},
        }
