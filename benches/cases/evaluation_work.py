"""What a user of Ray or Dask hands to the workers: one example of an evaluation; a process builds its program once."""

from __future__ import annotations

import os
from functools import cache
from typing import Any


def evaluated(row: dict[str, Any]) -> tuple[int, bool, int]:
    """The example's position, its score, and the process that executed it."""
    import dspy
    from dspex.samples.digits import exact

    program, lm = _program()
    example = dspy.Example(**row).with_inputs("image")
    with dspy.context(lm=lm):
        return row["id"], exact(example, program(**example.inputs())), os.getpid()


@cache
def _program() -> tuple[Any, Any]:
    from dspex.samples import digits

    return digits.zero_shot(), digits.lm
