"""What a system does in an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# An example's position, its score, and the process that executed it.
Result = tuple[int, bool, int]


class Evaluator:
    """So many worker processes, each with so many examples at once. Used as it comes, without retries of one's own."""

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self.threads = threads

    def start(self) -> None:
        """The system is there; nothing of the program has been loaded."""
        raise NotImplementedError

    def evaluate(self, rows: list[dict[str, Any]]) -> Iterator[Result | BaseException]:
        """Results as they come; what the user would have seen raised in the place of those that are lost."""
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError
