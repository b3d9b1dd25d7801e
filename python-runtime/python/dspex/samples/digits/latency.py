"""How long the model of the digits takes when it answers in this process."""

from __future__ import annotations

import os

from dspex.samples import nearest_demo

LATENCY_VARIABLE = "DSPEX_DIGITS_LATENCY_MS"


def latency(model: str) -> float:
    """Seconds to wait: from the model's name ("digits/nearest-demo-50ms"), else the environment, else none."""
    named = nearest_demo.named_latency(model)
    return float(os.environ.get(LATENCY_VARIABLE) or 0) / 1000 if named is None else named
