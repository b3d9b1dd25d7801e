"""The UCI digits: 1,797 images of 8 x 8 numbers from 0 to 16, with their labels (LICENSE-digits.txt)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import dspy

_FILE = Path(__file__).with_name("digits.txt")
_NUMBERS = str.maketrans({code: str(value) for value, code in enumerate("0123456789abcdefg")})

# Every ninth image is held out: 200 of them, spread evenly over the people who wrote the digits.
_HELD_OUT = 9


def _lines() -> list[str]:
    return _FILE.read_text("ascii").split()


def _example(line: str) -> dspy.Example:
    rows = [" ".join(line[start : start + 8]).translate(_NUMBERS) for start in range(1, 65, 8)]
    return dspy.Example(image="\n".join(rows), digit=line[0]).with_inputs("image")


@cache
def held_out() -> list[dspy.Example]:
    """200 images that no program may take demos from."""
    return [_example(line) for line in _lines()[::_HELD_OUT]]


def rest(start: int = 0, step: int = 1) -> list[dspy.Example]:
    """The other 1,597, or every `step`th of them from `start` on."""
    lines = [line for number, line in enumerate(_lines()) if number % _HELD_OUT]
    return [_example(line) for line in lines[start::step]]
