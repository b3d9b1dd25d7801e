"""A real worker: what it executes, and what user code cannot do to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Worker, Zygote

INDEX, ATTEMPT, SCORE, KIND, PREDICTION, CANONICAL, FAILURE, USAGE, COST, DURATION = range(10)


@pytest.fixture
def start(zygote: Zygote, project: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def begin(metric: str = "metric", **more: Any) -> Worker:
        worker = zygote.fork(project)
        workers.append(worker)
        worker.load("program.py:program", metric=metric, columns=["action"], **more)
        return worker

    yield begin
    for worker in workers:
        worker.connection.close()


def test_a_prediction_and_its_score(start: Callable[..., Worker]) -> None:
    (result,) = start().execute([{"action": "go"}])
    assert result[:9] == [0, 1, 1.0, 1, b'{"answer":"go"}', None, None, None, 0.0]
    assert result[DURATION] > 0


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [("raise", "ValueError", "told to"), ("exit", "SystemExit", "7"), ("interrupt", "KeyboardInterrupt", "")],
)
def test_an_exception_fails_its_example_only(
    start: Callable[..., Worker], project: Path, action: str, kind: str, message: str
) -> None:
    failed, fine = start(failure_score=-1).execute([{"action": action}, {"action": "go"}])
    assert (failed[SCORE], failed[PREDICTION]) == (-1.0, None)
    failure = failed[FAILURE]
    assert (failure["type"], failure["message"]) == (kind, message)
    assert failure["file"] == str(project / "program.py")
    assert failure["line"] > 1
    assert "forward" in failure["traceback"]
    assert "dspex/runtime" not in failure["traceback"]
    assert fine[FAILURE] is None


def test_an_exception_of_the_metric_is_a_failure_too(start: Callable[..., Worker]) -> None:
    (result,) = start(metric="fails", failure_score=0.5).execute([{"action": "go"}])
    assert (result[SCORE], result[KIND], result[PREDICTION]) == (0.5, 1, None)
    assert result[FAILURE]["type"] == "KeyError"


@pytest.mark.parametrize(("given", "kind"), [(-1, 0), (0, 0), (-1.0, 1), (0.0, 1), (0.5, 1)])
def test_a_failure_score_adds_up_as_it_was_given(start: Callable[..., Worker], given: float, kind: int) -> None:
    (failed,) = start(failure_score=given).execute([{"action": "raise"}])
    assert (failed[SCORE], failed[KIND]) == (given, kind)


def test_a_prediction_that_cannot_be_read_keeps_its_score(zygote: Zygote, project: Path) -> None:
    (project / "proxies.py").write_text(
        "import dspy\n"
        "class Proxy:\n    @property\n    def __class__(self):\n        raise LookupError('not connected')\n"
        "class P(dspy.Module):\n    def forward(self, action):\n        return dspy.Prediction(value=Proxy())\n"
        "def metric(example, prediction):\n    return 0.75\n"
    )
    worker = zygote.fork(project)
    worker.load("proxies.py:P", metric="metric", columns=["action"])
    (result,) = worker.execute([{"action": "go"}])
    assert (result[SCORE], result[KIND], result[FAILURE]) == (0.75, 1, None)
    assert result[CANONICAL] == b'{"$lossy":"dspy.primitives.prediction.Prediction"}'
    worker.connection.close()


def test_configure_in_an_example_does_not_reach_the_next(zygote: Zygote, project: Path) -> None:
    (project / "configures.py").write_text(
        "import dspy\n"
        "dspy.configure(lm=dspy.LM('openai/first'))\n"
        "class P(dspy.Module):\n"
        "    def forward(self, action):\n"
        "        if action == 'configure':\n"
        "            dspy.configure(lm=dspy.LM('openai/second'), max_errors=3)\n"
        "        return dspy.Prediction(lm=dspy.settings.lm.model, max_errors=dspy.settings.max_errors)\n"
        "def metric(example, prediction):\n    return 1\n"
    )
    worker = zygote.fork(project)
    worker.load("configures.py:P", metric="metric", columns=["action"])
    results = worker.execute([{"action": action} for action in ("go", "configure", "go")])
    assert [json.loads(result[PREDICTION]) for result in results] == [{"lm": "openai/first", "max_errors": 10}] * 3
    worker.connection.close()


def test_a_failure_of_the_runtime_does_not_read_as_an_exit_of_the_program(zygote: Zygote, project: Path) -> None:
    (project / "breaks.py").write_text(
        "from dspex.runtime import execution\n"
        "def broken(*arguments):\n    raise SystemExit('the runtime is broken')\n"
        "execution.Execution = broken\nfrom program import program, metric\n"
    )
    worker = zygote.fork(project)
    worker.load("breaks.py:program", metric="metric", columns=["action"])
    assert zygote.expect(19, worker.name)["code"] == 70
    assert "SystemExit: the runtime is broken" in worker.printed()


def test_a_worker_that_does_not_come_up_does_not_read_as_an_exit_either(zygote: Zygote, project: Path) -> None:
    with pytest.raises(AssertionError, match="ended before a frame of kind 16"):
        zygote.fork(project, {"NOT=A=NAME": "x"})
    assert zygote.expect(19, f"worker-{zygote._forks}")["code"] == 70


@pytest.mark.parametrize(("metric", "says"), [("none", "returned None"), ("text", "not a number")])
def test_what_is_no_score_is_fatal(start: Callable[..., Worker], metric: str, says: str) -> None:
    worker = start(metric=metric)
    worker.connection.send(2, {"examples": [[5, 1, b'{"action": "go"}']]})
    fatal = worker.connection.expect(21)
    assert fatal["index"] == 5
    assert says in fatal["message"]


def test_kinds_of_scores(start: Callable[..., Worker]) -> None:
    (scored,) = start(metric="scored").execute([{"action": "go"}])
    assert (scored[SCORE], scored[KIND]) == (0.25, 2)
    (nan,) = start(metric="not_a_number").execute([{"action": "go"}])
    assert math.isnan(nan[SCORE])
    assert nan[KIND] == 1


def test_a_fork_of_the_program_does_not_speak(start: Callable[..., Worker]) -> None:
    worker = start()
    rows = [{"action": "fork"}, {"action": "go"}, {"action": "fork"}]
    assert [result[FAILURE] for result in worker.execute(rows)] == [None] * 3
    worker.connection.send(4, {"payload": b"still one"})
    assert worker.connection.expect(22) == {"payload": b"still one"}


@pytest.mark.parametrize(("action", "code"), [("close", 5), ("die", 9)])
def test_closing_the_socket_or_dying_ends_the_worker(
    zygote: Zygote, start: Callable[..., Worker], action: str, code: int
) -> None:
    worker = start()
    worker.connection.send(2, {"examples": [[0, 1, json.dumps({"action": action}).encode()]]})
    assert zygote.expect(19, worker.name)["code"] == code
    assert worker.connection.receive() is None


def test_stop_does_not_wait_for_what_runs(zygote: Zygote, start: Callable[..., Worker]) -> None:
    worker = start()
    worker.connection.send(2, {"examples": [[0, 1, b'{"action": "sleep"}']]})
    worker.connection.send(4, {"payload": b""})
    worker.connection.expect(22)
    worker.connection.send(3, {})
    assert zygote.expect(19, worker.name)["code"] == 0


def test_prints_go_to_the_output_pipe_line_by_line(start: Callable[..., Worker]) -> None:
    worker = start()
    worker.execute([{"action": "print"}])
    worker.connection.close()
    assert "printed by the program\n" in worker.printed()


def test_environment_and_directory_are_the_given_ones(zygote: Zygote, project: Path) -> None:
    worker = zygote.fork(project, {"MINE": "yes", "DSPEX_INSTANCE": "forged", "PATH": "/bin"})
    worker.load("program.py:program", metric="metric", columns=["action"])
    (result,) = worker.execute([{"action": "environment"}])
    assert json.loads(result[PREDICTION])["answer"] == repr(["yes", "test-instance", str(project)])
    worker.connection.close()


def test_threads_work_side_by_side(start: Callable[..., Worker]) -> None:
    worker = start(threads=8)
    results = worker.execute([{"action": str(number)} for number in range(200)])
    assert [json.loads(result[PREDICTION])["answer"] for result in results] == [str(n) for n in range(200)]
    traced, left = worker.execute([{"action": "trace"}, {"action": "exit"}])
    assert traced[PREDICTION] == b'{"answer":0}'
    assert left[FAILURE]["type"] == "SystemExit"


@pytest.mark.parametrize("threads", [1, 2])
def test_what_has_ended_does_not_wait_for_what_takes_long(start: Callable[..., Worker], threads: int) -> None:
    worker = start(threads=threads)
    # The node sends, so that results may be kept for others to come.
    worker.execute([{"action": "go"} for _ in range(20)])
    quick, slow = 5, 4 * threads
    actions = ["go"] * quick + ["sleep"] * slow
    rows = [json.dumps({"action": action}).encode() for action in actions]
    worker.connection.send(2, {"examples": [[index, 1, row] for index, row in enumerate(rows)]})
    ended: set[int] = set()
    while len(ended) < quick:
        ended |= {result[INDEX] for result in worker.connection.expect(20)["results"]}
    assert ended == set(range(quick))


@pytest.mark.parametrize(("loaded", "wanted", "at_once"), [(2, 6, 6), (6, 2, 2), (1, 6, 1)])
def test_as_many_examples_execute_at_once_as_the_node_wants(
    start: Callable[..., Worker], loaded: int, wanted: int, at_once: int
) -> None:
    worker = start(threads=loaded)
    # At once, as a node may that has other workers ready.
    worker.connection.send(10, {"count": wanted})
    results = worker.execute([{"action": "meet"} for _ in range(24)])
    assert max(json.loads(result[PREDICTION])["answer"] for result in results) == at_once


def test_a_malformed_row_fails_its_example_only(start: Callable[..., Worker]) -> None:
    broken, fine = start().execute([b"{", {"action": "go"}])
    assert broken[FAILURE]["type"] == "json.decoder.JSONDecodeError"
    assert fine[FAILURE] is None


def test_a_pickle_in_a_file_is_an_ordinary_field(start: Callable[..., Worker]) -> None:
    (result,) = start().execute([{"action": "go", "$pickle": "gASVAAAAAAAAAAAu"}])
    assert result[FAILURE] is None


def test_a_broken_protocol_ends_the_worker(zygote: Zygote, start: Callable[..., Worker]) -> None:
    worker = start()
    worker.connection.send(77, {})
    assert zygote.expect(19, worker.name)["code"] == 4


def test_an_order_of_another_protocol_is_refused(zygote: Zygote, project: Path) -> None:
    worker = zygote.fork(project)
    kind, body = worker.try_load("program.py:program", protocol=2)
    assert (kind, body["kind"]) == (18, "arguments")
    assert "the node speaks protocol 2, this worker 1" in body["message"]
    worker.connection.close()
