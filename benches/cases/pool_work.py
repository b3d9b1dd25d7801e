"""What the workers of all systems do: the same functions for pools, executors and actors."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

SECONDS = 0.02


def ping(payload: str) -> dict[str, Any]:
    return {"worker": os.getpid(), "payload": payload}


def predict(image: str) -> dict[str, Any]:
    """One dspy.Predict; the program is built once in each worker, as `create_program` does it."""
    import dspy

    program, lm = _program()
    with dspy.context(lm=lm):
        return {"digit": program(image=image).digit}


@cache
def _program() -> tuple[Any, Any]:
    from dspex.samples import digits

    return digits.zero_shot(), digits.lm


def slow_double(number: int) -> list[int]:
    """20 ms of waiting, then a result that can be checked, and who gave it."""
    time.sleep(SECONDS)
    return [os.getpid(), 2 * number]


def ready(seconds: float) -> int:
    """A worker as a DSPy user needs it. It keeps the worker for a while, so that the next call goes to another."""
    import dspy  # noqa: F401

    time.sleep(seconds)
    return os.getpid()
