"""A language model that really learns in context, offline and without chance: nearest neighbour over its own prompt.

It reads the demos that stand in the prompt, finds the one whose image is nearest to the image asked about, and answers
with that demo's label. Without demos it can only guess, and does so by a hash. So the number of demos and their choice
decide the score, as they do with a real model, and the same prompt always has the same answer.

Plain data in and out, without dspy: the engine of `dspex.samples.digits` and the server of `dspex.samples.server` are
two ways to call it.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from operator import mul

_IMAGE = re.compile(r"\[\[ ## image ## \]\]([\d\s]+)")
_DIGIT = re.compile(r"""\[\[ ## digit ## \]\]\s*(\d)|"digit":\s*"?(\d)""")
_NAMED_LATENCY = re.compile(r"-(\d+)ms$")

# What dspy's JSONAdapter ends its question with. A model that answers it with markers could not be used with it.
_ASKS_FOR_JSON = "Respond with a JSON object"

# Squared distances of a digit to its neighbours are some hundreds apart: at temperature 1 the nearest usually wins.
_DISTANCE_PER_TEMPERATURE = 100.0


@dataclass(frozen=True)
class Answer:
    """What the model writes, and what it counts."""

    text: str
    digit: str
    input_tokens: int
    output_tokens: int


class UnreadablePromptError(ValueError):
    """The prompt is not one that this model can answer."""


def answer(messages: Sequence[tuple[str, str]], temperature: float = 0.0, salt: str | None = None) -> Answer:
    """The answer to messages of (role, text), oldest first: a function of them alone.

    With a salt and a temperature above 0 it is a function of these as well: a sample, another one for another salt.
    """
    asked = _read_image(messages[-1][1])[0] if messages else None
    if asked is None:
        raise UnreadablePromptError("the prompt has no [[ ## image ## ]] of 64 numbers; this model reads digits only")
    spread = temperature * _DISTANCE_PER_TEMPERATURE if salt is not None else 0.0
    digit = _nearest(asked, messages[:-1], spread, salt or "")
    if _ASKS_FOR_JSON in messages[-1][1]:
        text = json.dumps({"digit": digit})
    else:
        text = f"[[ ## digit ## ]]\n{digit}\n\n[[ ## completed ## ]]"
    return Answer(text, digit, sum(count_tokens(content) for _, content in messages), count_tokens(text))


# A real provider counts tokens; words are as good here, and anyone can check them.
@lru_cache(maxsize=2048)
def count_tokens(text: str) -> int:
    """How many tokens this text has."""
    return len(text.split())


def named_latency(model: str) -> float | None:
    """The seconds that a model's name asks to wait ("digits/nearest-demo-50ms"), if it does.

    In the name, because dspy passes no setting on that real providers do not know.
    """
    named = _NAMED_LATENCY.search(model)
    return float(named.group(1)) / 1000 if named else None


def _nearest(asked: bytes, earlier: Sequence[tuple[str, str]], spread: float, salt: str) -> str:
    chance = _chance(asked, salt) if spread > 0 else None
    best, label = None, None
    for (role, question), (_, reply) in pairwise(earlier):
        if role != "user":
            continue
        image, square = _read_image(question)
        digit = _read_digit(reply)
        if image is None or digit is None:
            continue
        # |a - b|^2 without the part that all demos share.
        distance: float = square - 2 * sum(map(mul, asked, image))
        if chance is not None:
            # The least of distances with Gumbel noise is a sample of their softmax.
            distance += spread * math.log(-math.log(chance.random() or 0.5))
        if best is None or distance < best:
            best, label = distance, digit
    if label is None:
        return str(_hashed(asked, salt if spread > 0 else "")[3] % 10)
    return label


def _chance(asked: bytes, salt: str) -> random.Random:
    return random.Random(int.from_bytes(_hashed(asked, salt), "big"))


def _hashed(asked: bytes, salt: str) -> bytes:
    # surrogatepass: JSON may carry half a pair.
    return hashlib.sha256(asked + salt.encode("utf-8", "surrogatepass")).digest()


# Demos come back in every prompt: each is read once. All 1,797 digits fit.
@lru_cache(maxsize=2048)
def _read_image(text: str) -> tuple[bytes | None, int]:
    found = _IMAGE.search(text)
    numbers = found.group(1).split() if found else []
    if len(numbers) != 64 or not all(int(number) < 256 for number in numbers):
        return None, 0
    image = bytes(int(number) for number in numbers)
    return image, sum(map(mul, image, image))


@lru_cache(maxsize=256)
def _read_digit(text: str) -> str | None:
    found = _DIGIT.search(text)
    return found.group(1) or found.group(2) if found else None
