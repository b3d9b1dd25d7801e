"""Arguments of callers, as they travel. Refused where the caller is: what a frame cannot say would end the client
process, which all threads share.
"""

from __future__ import annotations

import operator
from typing import Any

# What an address looks like.
ADDRESS = '"HOST:PORT" or "unix:PATH"'
_COUNT_END = 2**32
_INTEGER_END = 2**63
# More milliseconds than this have no form in a frame.
_SECONDS_END = 1e10


def whole(name: str, value: Any, least: int) -> int:
    """Of any kind of integer, numpy's as well."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {value!r}") from None
    if not least <= number < _COUNT_END:
        raise ValueError(f"{name} must be at least {least} and below 2**32, not {value}")
    return number


def seconds(name: str, value: Any) -> float:
    number = _real(name, "a number of seconds", value)
    if not 0 < number < _SECONDS_END:
        raise ValueError(f"{name} is a number of seconds above 0 and below 1e10, or None for no limit, not {value}")
    return number


def score(name: str, value: Any) -> float:
    """True counts as 1, as it does in a sum."""
    try:
        number = operator.index(value)
    except TypeError:
        return _real(name, "a number", value)
    return number if -_INTEGER_END <= number < _INTEGER_END else _real(name, "a number", value)


def flag(name: str, value: Any) -> bool:
    if value not in (True, False):
        raise TypeError(f"{name} is True or False, not {value!r}")
    return bool(value)


def text(name: str, value: Any, example: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a string ({example}), not {value!r}")
    return str.__str__(value)  # Of a subclass, too, which has no form in a frame.


def _real(name: str, what: str, value: Any) -> float:
    # A string has no __float__: "1" is no number.
    if not hasattr(type(value), "__float__") and not hasattr(type(value), "__index__"):
        raise TypeError(f"{name} is {what}, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {what} in a float's range, not {value}") from None
