"""Functions and programs for tests of dspex.distribute. Workers import this file."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import driver_program as program
import dspy
from dspy.utils.parallelizer import ParallelExecutor


def step(item: Any) -> Any:
    """Does what the item says, and returns it."""
    if item == "raise" or (isinstance(item, tuple) and item[0] == "raise"):
        raise ValueError(f"told to: {item}")
    if item == "return":
        return KeyError("returned, not raised")
    if item == "none":
        return None
    if item == "die":
        os._exit(9)
    if item == "sleep":
        time.sleep(60)
    if item == "lock":
        return threading.Lock()
    if item == "odd":
        raise program.Odd(first=1, second=2)
    return item


def where(item: Any) -> tuple[int, bool]:
    return os.getpid(), threading.current_thread() is threading.main_thread()


def alarmed(item: Any) -> str:
    """As code interpreters and time limits do: only the main thread may."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    return "set"


def settings(item: Any) -> tuple[Any, Any, Any]:
    return dspy.settings.mine, type(dspy.settings.adapter).__name__, dspy.settings.trace


class Keeping(dspy.Module):  # type: ignore[misc]
    """Holds what only the driver has."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("question -> answer")
        self.lock = threading.Lock()

    def forward(self, question: str) -> Any:
        return self.answer(question=question)


def key(item: Any) -> tuple[bool, bool]:
    """Whether the LM of the settings, or the one that is the item, has its key, and whether anybody else sees it."""
    lm = item if isinstance(item, dspy.LM) else dspy.settings.lm
    return lm.kwargs["api_key"] == "a-very-secret-value", "a-very-secret-value" in [
        value for name, value in os.environ.items() if name != "MINE_TOKEN"
    ]


def nested(item: Any) -> Any:
    """A batch of its own."""
    return ParallelExecutor(num_threads=1, disable_progress_bar=True).execute(step, [item + 1, item + 2])
