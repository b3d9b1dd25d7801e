"""What a worker sends of a result that is longer than a frame, or has no form in one."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import dspy
import pytest
from conftest import Connection

from dspex.returned import ABSENT, open_returned
from dspex.runtime import loading, protocol, shipped
from dspex.runtime.datasets import RowReader
from dspex.runtime.execution import Execution
from dspex.runtime.outbox import Outbox, Result
from dspex.runtime.payload import Collect
from dspex.runtime.returning import Returning

MIB = 1024 * 1024
INDEX, SCORE, SHOWN, CANONICAL, FAILURE, USAGE, COST, RETURNED = 0, 2, 4, 5, 6, 7, 8, 10


class Long(dspy.Module):  # type: ignore[misc]
    """The set has no JSON form, so that there is a form for the digest, too."""

    def forward(self, mib: int) -> Any:
        return dspy.Prediction(answer="x" * (mib * MIB), tags={1})


class Process:
    def leave_if_forked(self) -> None:
        pass


def _executed(mib: int) -> Result:
    loaded = loading.Loaded(
        program=Long(),
        metric=lambda example, prediction: 1.0,
        reader=RowReader(["mib"], from_python=False, converters={}),
        rows=[],
        threads=1,
        failure_score=0.0,
        collecting=shipped.Collecting(Collect(), Returning([])),
    )
    return Execution(loaded, Process()).run(0, 1, json.dumps({"mib": mib}).encode())


def _result(index: int = 0, *, shown: bytes = b"{}", usage: Any = None, returned: bytes | None = None) -> Result:
    return index, 1, 1.0, 1, shown, None, None, usage, 0.5, 10, returned


def _sent(results: list[Result]) -> list[list[Any]]:
    """The results of each frame."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours)

    def send() -> None:
        with theirs:
            outbox = Outbox(theirs)
            # As if they had come while another frame was on its way.
            outbox._results.extend(results)
            outbox.flush()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    frames = []
    while (received := connection.receive()) is not None:
        assert received[0] == protocol.RESULTS
        frames.append(received[1]["results"])
    sender.join()
    connection.close()
    return frames


def test_what_does_not_fit_beside_a_long_prediction_is_left_out_and_named() -> None:
    result = _executed(11)
    ((sent,),) = _sent([result])
    assert (sent[SCORE], sent[FAILURE]) == (1.0, None)
    assert len(sent[SHOWN]) > 11 * MIB
    assert len(sent[CANONICAL]) > 11 * MIB
    returned = open_returned(sent[RETURNED], [])
    assert returned.prediction is ABSENT
    assert "the prediction did not come back" in returned.notes[-1]


def test_what_fits_comes_back_whole() -> None:
    returned = open_returned(_executed(3)[RETURNED] or b"", [])
    assert len(returned.prediction.answer) == 3 * MIB
    assert returned.notes == []


def test_a_long_result_has_a_frame_of_its_own() -> None:
    long = _result(1, shown=b"x" * (12 * MIB), returned=b"y" * (18 * MIB))
    frames = _sent([_result(0, shown=b"x" * (3 * MIB)), long, _result(2), _result(3)])
    assert [[result[INDEX] for result in frame] for frame in frames] == [[0], [1], [2, 3]]


@pytest.mark.parametrize(
    "usage", [{"m" * (33 * MIB): {"tokens": 1}}, {"m\ud800": {"tokens": 1}}, {"m": {"tokens": 2**70}}]
)
def test_usage_without_a_form_costs_neither_the_worker_nor_other_results(usage: Any) -> None:
    fine = _result(0, usage={"m": {"tokens": 1}})
    results = [result for frame in _sent([fine, _result(1, usage=usage, returned=b"r")]) for result in frame]
    assert [(result[SCORE], result[USAGE], result[COST]) for result in results] == [
        (1.0, {"m": {"tokens": 1}}, 0.5),
        (1.0, None, None),
    ]
    (note,) = open_returned(results[1][RETURNED], []).notes
    assert "nothing but the score" in note
