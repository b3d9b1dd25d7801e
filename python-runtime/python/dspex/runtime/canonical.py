"""Predictions as canonical JSON: keys sorted, no spaces, UTF-8.

What has no JSON form (NaN, sets, objects, keys that are not strings, values that hold themselves) is shown by
`{"$lossy": type, "repr": ...}`; the form for the digest leaves the repr out, because a repr may hold an address. The
bytes are stored and hashed: the rules here never change.
"""

from __future__ import annotations

import json
import math
from typing import Any

import dspy
import pydantic

MAX_DEPTH = 100
# Values that hold each other in many ways would take for ever otherwise.
MAX_VALUES = 1_000_000
MAX_REPR = 16 * 1024
# A frame holds 32 MiB; a single prediction must fit beside its digest form.
MAX_BYTES = 12 * 1024 * 1024

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode

_LEAVES = frozenset((str, int, bool, type(None)))


class _TooManyValues(Exception):
    pass


def canonical(value: Any) -> tuple[bytes, bytes | None]:
    """(what is shown, what the digest reads where that differs). Never raises: the score is valid without it."""
    try:
        return _canonical(value)
    except _TooManyValues:
        return _all_lost(value, f"<a prediction of more than {MAX_VALUES} values>")
    except BaseException as error:
        # Looking at values runs user code, and another thread may be changing them.
        return _all_lost(value, f"<reading the prediction raised {type_name(error)}>")


def _canonical(value: Any) -> tuple[bytes, bytes | None]:
    fields = _fields(value) if isinstance(value, dspy.Example) else value
    if _is_flat(fields):
        try:
            shown = _encode(fields).encode("utf-8")
        except ValueError:
            pass  # A lone surrogate, or an integer too long for text: the slow path names it.
        else:
            if len(shown) <= MAX_BYTES:
                return shown, None
    plain = _Plain(shown=True)
    shown = _encode(plain.convert(fields)).encode("utf-8")
    if len(shown) > MAX_BYTES:
        return _all_lost(value, f"<a prediction of more than {MAX_BYTES} bytes>")
    if not plain.lossy:
        return shown, None
    return shown, _encode(_Plain(shown=False).convert(fields)).encode("utf-8")


def _fields(example: dspy.Example) -> Any:
    return dict(example.items())


def _is_flat(fields: Any) -> bool:
    """Whether the common case holds: a dict of strings to exact JSON leaves."""
    if type(fields) is not dict:
        return False
    for key, value in fields.items():
        if type(key) is not str:
            return False
        kind = type(value)
        if kind not in _LEAVES and not (kind is float and math.isfinite(value)):
            return False
    return True


def _all_lost(value: Any, why: str) -> tuple[bytes, bytes]:
    name = type_name(value)
    shown = {"$lossy": name, "repr": why}
    return _encode(shown).encode("utf-8"), _encode({"$lossy": name}).encode("utf-8")


class _Plain:
    """Converts a value to what json writes exactly as these rules say, and notes whether anything was lost."""

    def __init__(self, *, shown: bool) -> None:
        self.lossy = False
        self._shown = shown
        self._left = MAX_VALUES
        self._path: set[int] = set()

    def convert(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooManyValues
        kind = type(value)
        if kind is bool or kind is type(None):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self._lose(value)
        if depth >= MAX_DEPTH:
            return self._lose(value)
        key = id(value)
        if key in self._path:
            # No repr: that of a parent would show the whole tree again for each of its children.
            return self._lose(value, "...")
        self._path.add(key)
        converted = self._compound(value, depth + 1)
        self._path.remove(key)
        return converted

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, dspy.Example):
            value = _fields(value)
        elif isinstance(value, pydantic.BaseModel):
            try:
                value = value.model_dump(mode="json")
            except Exception:
                return self._lose(value)
        if isinstance(value, dict):
            if not all(isinstance(key, str) and _is_unicode(key) for key in value):
                return self._lose(value)
            return {str.__str__(key): self.convert(item, depth) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.convert(item, depth) for item in value]
        return self._lose(value)

    def _text(self, value: str) -> Any:
        return str.__str__(value) if _is_unicode(value) else self._lose(value)

    def _integer(self, value: int) -> Any:
        try:
            int.__repr__(value)
        except ValueError:  # More digits than the interpreter converts.
            return self._lose(value)
        return int(value)

    def _lose(self, value: Any, shown: str | None = None) -> dict[str, str]:
        self.lossy = True
        lost = {"$lossy": type_name(value)}
        if self._shown:
            lost["repr"] = _safe_repr(value) if shown is None else shown
        return lost


def type_name(value: Any) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _safe_repr(value: Any) -> str:
    try:
        text = ascii(value) if isinstance(value, str) else repr(value)
    except BaseException as error:
        return f"<repr raised {type(error).__name__}>"
    return text[:MAX_REPR].encode("utf-8", "backslashreplace").decode("utf-8")


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
