"""What a worker returns of an example: everything, or what can be pickled of it, within the limit."""

from __future__ import annotations

import threading
from typing import Any

import dspy
import pytest

from dspex.returned import ABSENT, open_returned
from dspex.runtime import returning
from dspex.runtime.collecting import Collected
from dspex.runtime.payload import Collect
from dspex.runtime.returning import Returning

KNOWN = dspy.Predict("question -> answer")


def _collected(**parts: Any) -> Collected:
    collected = Collected(0, Collect(events=True, usage=True))
    for name, part in parts.items():
        setattr(collected, name, part)
    return collected


def _there_and_back(collected: Collected, prediction: Any = None, score: Any = 1.0, error: Any = None) -> Any:
    data = Returning([KNOWN]).result(collected, prediction, score, error)
    assert len(data) <= returning.MAX_BYTES
    return open_returned(data, [KNOWN])


def test_known_objects_come_back_as_themselves() -> None:
    prediction = dspy.Prediction(by=KNOWN, answer="a")
    events = [
        ("on_module_start", "1", None, KNOWN, {"x": 1}, None),
        ("on_module_end", "1", None, None, prediction, None),
    ]
    returned = _there_and_back(_collected(events=events), prediction)
    assert returned.prediction.by is KNOWN
    assert returned.events[0][3] is KNOWN
    assert returned.events[1][4] is returned.prediction, "the callback gets the object of the result"
    assert (returned.score, returned.notes) == (ABSENT, []), "a plain score travels in the result"


def test_histories_of_unknown_owners_have_none() -> None:
    entry = {"prompt": "p"}
    history = [(entry, KNOWN, [KNOWN, dspy.Predict("a -> b")]), (entry, dspy.Predict("a -> b"), [])]
    returned = _there_and_back(_collected(history=history))
    assert returned.history == [(entry, KNOWN, [KNOWN]), (entry, None, [])]


def test_parts_that_cannot_be_pickled_are_left_out_and_named() -> None:
    lock = threading.Lock()
    collected = _collected(
        history=[({"prompt": "p", "response": lock}, KNOWN, [])],
        events=[
            ("on_tool_start", "1", None, lock, {"a": lock, "b": 2}, None),
            ("on_tool_end", "1", None, None, lock, None),
        ],
    )
    returned = _there_and_back(collected, dspy.Prediction(lock=lock), {"lock": lock})
    assert returned.prediction is ABSENT
    assert returned.score is ABSENT
    assert returned.history == [({"prompt": "p", "response": None}, KNOWN, [])]
    assert [event[3:5] for event in returned.events] == [(None, {"a": None, "b": 2}), (None, None)]
    assert any("'response' of an entry of the LM history" in note for note in returned.notes)
    assert all("cannot pickle '_thread.lock' object" in note for note in returned.notes)


def test_what_is_too_large_goes_in_the_order_of_its_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "MAX_BYTES", 10_000)
    events = [("on_lm_start", "1", None, KNOWN, {"x": "e" * 9_000}, None)]
    history = [({"prompt": "h" * 2_000}, KNOWN, [])]
    returned = _there_and_back(_collected(events=events, history=history), dspy.Prediction(answer="a"))
    assert (returned.events, len(returned.history), returned.prediction.answer) == ([], 1, "a")
    assert "the events did not come back" in returned.notes[0]
    returned = _there_and_back(_collected(events=events, history=history), dspy.Prediction(answer="a" * 11_000))
    assert (returned.events, returned.history, returned.prediction) == ([], [], ABSENT)
    assert "there is room for 10000" in returned.notes[-1]


def test_usage_goes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "MAX_BYTES", 10_000)
    collected = _collected()
    collected.tracker.usage_data["m" * 11_000].append({})
    returned = _there_and_back(collected, dspy.Prediction(answer="a"))
    assert (returned.prediction, returned.usage) == (ABSENT, None)
    assert "the usage did not come back" in returned.notes[-1]


def test_a_long_prediction_leaves_less_room() -> None:
    data = Returning([]).result(_collected(), dspy.Prediction(answer="a" * 5_000), 1.0, None, 4_000)
    assert len(data) <= 4_000
    (note,) = open_returned(data, []).notes
    assert "the prediction did not come back" in note
    assert "room for 4000" in note


def test_what_cannot_be_read_here_is_a_note() -> None:
    assert open_returned(b"", []).notes == []
    assert "cannot be read here" in open_returned(b"\x80\x05garbage", []).notes[0]
    assert "cannot be read here" in open_returned(Returning([KNOWN]).dumps({"prediction": KNOWN}), []).notes[0]
