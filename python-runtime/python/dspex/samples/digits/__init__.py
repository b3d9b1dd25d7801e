"""Reading handwritten digits with a language model that needs demos: a real task, offline, with pinned scores.

    dspex eval dspex.samples.digits:few_shot_16 --devset dspex.samples.digits:devset \\
        --metric dspex.samples.digits:exact --lm dspex.samples.digits:lm

The programs score 9.5, 60.5 and 95.5 with 0, 16 and 200 demos on the 200 images that are held out.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import dspy

from dspex.samples.digits import data

# dspy 3.4 brought engines, and its 3.5 is announced to take the older way away.
if find_spec("dspy.lm15") is not None:
    from dspex.samples.digits.engine import make_lm
else:
    from dspex.samples.digits.base_lm import make_lm

__all__ = ["ReadDigit", "devset", "exact", "few_shot_16", "few_shot_200", "lm", "trainset", "zero_shot"]


class ReadDigitSignature(dspy.Signature):  # type: ignore[misc]
    """Read the handwritten digit: 8 rows of 8 numbers, the darkness of each square from 0 to 16."""

    image: str = dspy.InputField()
    digit: str = dspy.OutputField(desc="one digit from 0 to 9")


class ReadDigit(dspy.Module):  # type: ignore[misc]
    """Reads one image."""

    def __init__(self, demos: list[dspy.Example] | None = None) -> None:
        super().__init__()
        self.read = dspy.Predict(ReadDigitSignature)
        self.read.demos = list(demos or [])

    def forward(self, image: str) -> dspy.Prediction:
        return self.read(image=image)


lm = make_lm("digits/nearest-demo")


def zero_shot() -> ReadDigit:
    """Without demos: the model can only guess."""
    return ReadDigit()


def few_shot_16() -> ReadDigit:
    """16 demos, evenly spread over the training images."""
    return ReadDigit(data.rest(step=100))


def few_shot_200() -> ReadDigit:
    """200 demos, evenly spread over the training images."""
    return ReadDigit(data.rest(start=1, step=8))


def exact(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    """The metric: is it the right digit?"""
    return bool(example.digit == prediction.digit)


def __getattr__(name: str) -> list[dspy.Example]:
    """`devset` and `trainset`, read when first asked for: importing the program stays cheap."""
    if name == "devset":
        return data.held_out()
    if name == "trainset":
        return data.rest()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
