"""A worker that loads what a driver shipped: what it refuses, and how it asks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import driver_program as program
import dspy
import msgspec
import pytest
from conftest import Worker, Zygote

from dspex.runtime import asking, payload
from dspex.runtime.payload import Opener
from dspex.shipping import ship

INDEX, ATTEMPT, SCORE, KIND, PREDICTION, CANONICAL, FAILURE, USAGE, COST, DURATION, RETURNED = range(11)


def _ship(metric_on: str = "worker", metric: Any = program.metric) -> Any:
    with dspy.context(lm=program.make_lm()):
        return ship(program.Answering(), metric, program.devset(3), metric_on=metric_on, max_errors=7, num_threads=4)


@pytest.fixture
def worker(zygote: Zygote) -> Iterator[Worker]:
    forked = zygote.fork("/")
    yield forked
    forked.connection.close()


def _changed(**header: Any) -> bytes:
    return msgspec.msgpack.encode({**msgspec.msgpack.decode(_ship().payload), **header})


def test_a_payload_reports_what_its_header_says(worker: Worker) -> None:
    shipment = _ship()
    report = worker.load("pickle:abc", metric="pickle:metric", payload=shipment.payload)
    assert report == {
        "program": "Answering",
        "metric": "metric",
        "inputs": ["question"],
        "inputs_from": "dataset",
        "columns": None,
        "lm": "mine/model (configured by the program)",
        "notes": [],
        "max_errors": 7,
        "num_threads": 4,
        "sources": {},
    }
    results = worker.execute(shipment.rows.split(b"\n")[:-1])
    assert [(result[SCORE], result[PREDICTION]) for result in results] == [
        (1.0, json.dumps({"answer": str(n)}, separators=(",", ":")).encode()) for n in (1, 2, 3)
    ]
    returned = Opener(results[2][RETURNED], shipment.objects).load()
    assert returned["prediction"].answer == "3"
    assert len(returned["history"]) == 2


def test_other_runs_return_nothing(zygote: Zygote, worker: Worker) -> None:
    worker.load(f"{program.__file__}:Answering", metric="metric", columns=["question"])
    (result,) = worker.execute([{"question": "raise"}])
    assert len(result) == 11
    assert result[RETURNED] is None


@pytest.mark.parametrize(
    ("header", "kind", "says"),
    [
        ({"version": 2}, "arguments", "version 2, this worker reads 1"),
        ({"python": "3.1"}, "arguments", "the driver has Python 3.1"),
        ({"dspy": "3.2.0"}, "arguments", "the driver has dspy 3.2.0"),
        ({"cloudpickle": "2.2.1"}, "arguments", "the driver has cloudpickle 2"),
        ({"pickle": pickle.dumps(1)}, "program_raised", "loading Answering as the driver sent it"),
        ({"pickle": b"cno_such_library\nThing\n."}, "program_raised", "No module named 'no_such_library'"),
    ],
)
def test_what_cannot_be_loaded_is_told(worker: Worker, header: dict[str, Any], kind: str, says: str) -> None:
    answer, body = worker.try_load("pickle:abc", payload=_changed(**header))
    assert (answer, body["kind"]) == (18, kind), body
    assert says in body["message"]


def test_no_payload_is_told(worker: Worker) -> None:
    answer, body = worker.try_load("pickle:abc", payload=b"\xc1")
    assert (answer, body["kind"]) == (18, "arguments")
    assert "cannot be read" in body["message"]


def test_a_metric_on_the_driver_is_asked_for(worker: Worker) -> None:
    shipment = _ship(metric_on="driver")
    worker.load("pickle:abc", payload=shipment.payload, threads=2)
    rows = shipment.rows.split(b"\n")[:2]
    worker.connection.send(2, {"examples": [[index, 1, row] for index, row in enumerate(rows)]})
    asked = [worker.connection.expect(23) for _ in rows]
    assert sorted(question["index"] for question in asked) == [0, 1]
    assert len({question["id"] for question in asked}) == 2
    for question in asked:
        body = Opener(question["body"], shipment.objects).load()
        assert (body["kind"], body["prediction"].answer) == ("metric", str(question["index"] + 1))
        answer = {"id": question["id"], "body": asking.answer_with(0.25), "error": None}
        # The second is answered by nobody.
        worker.connection.send(
            5, answer if question["index"] == 0 else {"id": question["id"], "error": "the driver has gone"}
        )
    worker.connection.send(5, {"id": 99, "body": b"", "error": None})  # To a question that nobody asked.
    results: dict[int, Any] = {}
    while len(results) < 2:
        results.update({result[INDEX]: result for result in worker.connection.expect(20)["results"]})
    assert (results[0][SCORE], results[0][KIND]) == (0.25, 1)
    returned = Opener(results[0][RETURNED], shipment.objects).load()
    assert "prediction" not in returned, "the driver has it"
    assert returned["history"] == [], "it came with the question"
    assert "the driver has gone" in results[1][FAILURE]["message"]


def test_secrets_are_gone_from_the_environment(zygote: Zygote) -> None:
    import os

    lm = program.make_lm()
    lm.kwargs["api_key"] = "sk-very-secret-0123"
    with dspy.context(lm=lm):
        shipment = ship(
            program.Telling(), program.yes, program.devset(1), metric_on="worker", max_errors=1, num_threads=1
        )
    assert list(shipment.secrets) == [f"{payload.SECRET_PREFIX}1"]
    worker = zygote.fork("/", {**os.environ, **shipment.secrets})
    worker.load("pickle:abc", payload=shipment.payload)
    (result,) = worker.execute(shipment.rows.split(b"\n")[:-1])
    assert json.loads(result[PREDICTION]) == {"api_key": "sk-very-secret-0123", "variables": []}
    worker.connection.close()
