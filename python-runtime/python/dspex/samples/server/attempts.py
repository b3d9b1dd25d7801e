"""How often each request came, and how much trouble it met."""

from __future__ import annotations

from dspex.samples.server.plan import Decision, Plan, decide

# About 150 MB. Beyond it the oldest requests count as new ones.
_REMEMBERED = 1_000_000


class Attempts:
    """Numbers the attempts of each digest, and has the plan decide about them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seen: dict[bytes, tuple[int, int]] = {}

    def next(self, digest: bytes) -> tuple[int, Decision]:
        """The number of this attempt, and what happens to it."""
        attempt, faults = self._seen.get(digest, (0, 0))
        decision = decide(self._plan, digest, attempt, faults)
        if attempt == 0 and len(self._seen) >= _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[digest] = (attempt + 1, faults + (decision.fault is not None))
        return attempt, decision

    def reset(self) -> None:
        """Every request is new again."""
        self._seen.clear()
