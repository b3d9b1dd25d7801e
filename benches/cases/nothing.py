"""A program that does nothing, and a metric that asks for nothing: what is left is the cost of having them executed."""

from __future__ import annotations

import time
from typing import Any

import dspy


class Nothing(dspy.Module):
    def forward(self, image: str) -> Any:
        return dspy.Prediction(digit="0")


class Waiting(dspy.Module):
    """Waits as for a language model, without the CPU time that dspy takes for a call of one."""

    def forward(self, image: str) -> Any:
        time.sleep(0.2)
        return dspy.Prediction(digit="0")


def is_zero(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.digit == prediction.digit)
