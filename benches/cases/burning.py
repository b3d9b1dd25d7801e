"""A metric that needs CPU, as a parser, a sandbox or a text distance does."""

from __future__ import annotations

import time
from typing import Any

from dspex.samples.digits import exact


def exact_after_5_ms(example: Any, prediction: Any, trace: Any = None) -> bool:
    """The time of this thread alone: waiting for the interpreter lock does not count as work."""
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    return exact(example, prediction)
