"""A program over large rows that does nothing. Where BENCH_REFUSED is set it cannot be loaded, and no run is stored."""

from __future__ import annotations

import os
from typing import Any

import dspy

if os.environ.get("BENCH_REFUSED"):
    raise RuntimeError("told to")


class Length(dspy.Module):
    def forward(self, text: str) -> Any:
        return dspy.Prediction(length=len(text))


def right(example: Any, prediction: Any, trace: Any = None) -> bool:
    return len(example.text) == prediction.length
