"""What workers keep of pydantic's adapters changes nothing of what dspy makes of values."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
import pytest
from dspy.adapters import utils

from dspex.runtime import dspy_seams


class Answer(pydantic.BaseModel):
    text: str


VALUES: list[Any] = [
    "text", "", "\ud800", "1", 1, -(2**70), 0.5, float("nan"), float("inf"), True, None, b"bytes", b"\xff",
    [], [1, "a", {"b": (None,)}], {"a": {1, 2}}, {1: [Answer(text="x")]}, {"o": object}, Answer(text="y"), (1, 2), {3},
]  # fmt: skip
READINGS: list[tuple[Any, Any]] = [
    ("7", int), ("7.5", float), ("true", bool), ("no", bool), ("[1, 2]", list), ('{"a": 1}', dict), ("[1]", list[int]),
    ("x", int), ("", list), (5, int), ("null", type(None)), ('{"text": "z"}', Answer), ("a", Literal["a", "b"]),
]  # fmt: skip


def _outcome(function: Any, *arguments: Any) -> Any:
    try:
        return repr(function(*arguments))
    except Exception as error:
        return type(error), str(error)


def _all() -> list[Any]:
    shown = [_outcome(utils.serialize_for_json, value) for value in VALUES]
    return shown + [_outcome(utils.parse_value, text, kind) for text, kind in READINGS]


def test_values_are_shown_and_read_as_without_kept_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "TypeAdapter", pydantic.TypeAdapter)
    before = _all()
    dspy_seams.keep_plain_adapters()
    assert utils.TypeAdapter is not pydantic.TypeAdapter
    assert _all() == before
    assert _all() == before


def test_plain_types_have_one_adapter_and_classes_a_new_one_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "TypeAdapter", pydantic.TypeAdapter)
    dspy_seams.keep_plain_adapters()
    assert utils.TypeAdapter(str) is utils.TypeAdapter(str)
    assert utils.TypeAdapter(str, config={}) is not utils.TypeAdapter(str)
    for kind in (Answer, list[int], Literal["a"]):
        assert utils.TypeAdapter(kind) is not utils.TypeAdapter(kind)
