"""`client.executions`: what is asked, what is made of the answers, and the same against the real program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE_SECONDS, PROGRAM

import dspex
from dspex.client import caller, connection
from dspex.executions import Executions
from dspex.samples import digits


def _item(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "execution_id": f"id-{number}",
        "number": number,
        "program": "qa",
        "program_id": "",
        "program_version": None,
        "session_id": "",
        "status": "succeeded",
        "input": None,
        "output": None,
        "trace": None,
        "metrics": "",
        "error": None,
        "duration_us": 1_500_000,
        "queued_us": 500_000,
        "node_id": 7,
        "worker": "",
        "actor": "",
        "trace_id": "",
        "created_ms": 1_700_000_000_123,
        **fields,
    }


class _Node:
    """Answers with what it was given, and remembers what was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((method, dict(body)))
        return self.answers.pop(0)


def _page(*numbers: int, next: int = 0) -> dict[str, Any]:
    return {"items": [_item(number) for number in numbers], "next": next, "counts": {"succeeded": 9}}


def test_a_list_follows_short_pages_until_it_has_as_many_as_were_asked_for() -> None:
    node = _Node(_page(9, 8, next=8), _page(next=5), _page(4, next=4))
    found = Executions(node).list(limit=3, program="qa", status="failed", session="s")
    assert [one.number for one in found] == [9, 8, 4]
    assert [(body["limit"], body.get("before")) for _, body in node.asked] == [(3, None), (1, 8), (1, 5)]
    assert node.asked[0] == (
        "executions.list",
        {"program": "qa", "status": "failed", "session": "s", "values": False, "limit": 3},
    )


def test_all_of_them_come_as_they_are_asked_for() -> None:
    node = _Node(_page(3, 2, next=2), _page(1))
    executions = Executions(node).all(values=True)
    assert next(executions).number == 3
    assert len(node.asked) == 1
    assert [one.number for one in executions] == [2, 1]
    assert node.asked[1][1] == {"values": True, "limit": 1000, "before": 2}


def test_an_execution_has_what_it_was_given_and_gave_as_values() -> None:
    digest = "ab" * 32
    item = _item(
        5,
        input={"json": '{"question": "why"}', "digest": "", "bytes": 19},
        output={"json": "", "digest": digest, "bytes": 7},
        error={"type": "builtins.ValueError", "message": "no"},
        metrics='{"cost_usd": 0.5}',
        session_id="s",
        worker="w",
        program_version=3,
    )
    node = _Node(item, {"data": b'"long" '})
    found = Executions(node).get("id-5")
    assert (found.input, found.output, found.trace) == ({"question": "why"}, "long", None)
    assert found.error == dspex.ExecutionError("builtins.ValueError", "no")
    assert (found.metrics, found.session, found.program_version) == ({"cost_usd": 0.5}, "s", 3)
    assert (found.duration, found.queued, found.worker, found.actor) == (1.5, 0.5, "w", None)
    assert found.created == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=timezone.utc)
    assert node.asked == [("executions.get", {"execution_id": "id-5"}), ("blobs.get", {"digest": digest})]
    # In a list nothing is fetched.
    listed = Executions(_Node({"items": [item], "next": 0, "counts": {}})).list(values=True)
    assert (listed[0].input, listed[0].output) == ({"question": "why"}, None)


@pytest.mark.parametrize(
    ("moment", "milliseconds"),
    [
        (1_700_000_000.5, 1_700_000_000_500),
        (0, 0),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc), 1_700_000_000_000),
        (datetime(2023, 11, 14, 23, 13, 20, tzinfo=timezone(timedelta(hours=1))), 1_700_000_000_000),
        (datetime.fromtimestamp(1_700_000_000), 1_700_000_000_000),
        (datetime(1960, 1, 1, tzinfo=timezone.utc), 0),
    ],
)
def test_a_moment_is_a_datetime_or_seconds(moment: Any, milliseconds: int) -> None:
    node = _Node(_page())
    assert Executions(node).list(since=moment, until=moment) == []
    assert (node.asked[0][1]["since_ms"], node.asked[0][1]["until_ms"]) == (milliseconds, milliseconds)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"limit": 0}, ValueError, "limit"),
        ({"program": 3}, TypeError, "program is a string"),
        ({"status": ["failed"]}, TypeError, "status is a string"),
        ({"since": "yesterday"}, TypeError, "since is a datetime"),
        ({"until": -1}, ValueError, "until is a number of seconds"),
        ({"until": float("nan")}, ValueError, "until"),
        ({"values": "yes"}, TypeError, "values is True or False"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    node = _Node()
    with pytest.raises(error, match=said):
        Executions(node).list(**arguments)
    assert node.asked == []


def test_all_is_refused_when_it_is_called() -> None:
    with pytest.raises(TypeError, match="since is a datetime"):
        Executions(_Node()).all(since="yesterday")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="execution_id is a string"):
        Executions(_Node()).get(7)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def client() -> Iterator[dspex.Client]:
    """Of a node of its own. Its directory is short: a socket's path may have 107 bytes."""
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    own_caller = caller.caller

    def lasting() -> dict[str, Any]:
        own = own_caller()
        return {**own, "environment": {k: v for k, v in own["environment"].items() if k != "PYTEST_CURRENT_TEST"}}

    place = Path(tempfile.mkdtemp(prefix="dspex-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSPEX_PROGRAM", PROGRAM)
        patch.setenv("DSPEX_HOME", str(place / "home"))
        patch.delenv("DSPEX_ADDRESS", raising=False)
        patch.setattr(connection, "_clients", {})
        patch.setattr(caller, "caller", lasting)
        with dspex.connect() as connected:
            yield connected
        for known in connection._clients.values():
            known.close()
        subprocess.run([PROGRAM, "local", "stop", "--force"], check=False, capture_output=True)
    shutil.rmtree(place)


def _recorded(client: dspex.Client, count: int, **wanted: Any) -> list[dspex.Execution]:
    """They are there soon after they have ended."""
    end = time.monotonic() + PATIENCE_SECONDS
    while len(found := client.executions.list(**wanted)) < count:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def test_calls_of_programs_are_executions_and_other_calls_are_not(client: dspex.Client) -> None:
    pool = client.pool()
    pool.call(
        "create_program", {"id": "digits", "program": "dspex.samples.digits:zero_shot", "lm": "dspex.samples.digits:lm"}
    )
    inputs = dict(digits.devset[0].inputs())
    result = pool.call("execute_program", {"program_id": "digits", "inputs": inputs})
    with pytest.raises(dspex.CallFailed):
        pool.call("execute_program", {"program_id": "digits", "inputs": {"no": "such"}})
    pool.call("ping")
    failed, done = _recorded(client, 2, program="digits")
    assert (failed.status, done.status) == ("failed", "succeeded")
    assert failed.error is not None
    assert "no" in failed.error.message
    shown = client.executions.get(done.id)
    assert (shown.input, shown.output) == (inputs, result["outputs"])
    assert "usage" in shown.metrics
    assert shown.worker
    assert shown.duration > 0
    assert client.executions.counts()["failed"] == 1
    assert [one.id for one in client.executions.list(status="failed")] == [failed.id]
    assert client.executions.list(program="ping") == []
    assert client.executions.list(since=datetime.now(timezone.utc) + timedelta(hours=1)) == []


def test_an_execution_that_nobody_knows_is_told_by_its_reason(client: dspex.Client) -> None:
    with pytest.raises(dspex.DspexError) as told:
        client.executions.get("019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a")
    assert (told.value.code, told.value.reason) == ("NOT_FOUND", "EXECUTION_NOT_FOUND")
    with pytest.raises(dspex.DspexError, match="UUID"):
        client.executions.get("nothing")
    with pytest.raises(dspex.DspexError, match="succeeded, failed"):
        client.executions.list(status="done")


def test_forgotten_executions_are_gone(client: dspex.Client) -> None:
    client.executions.clear()
    assert client.executions.list() == []
    assert sum(client.executions.counts().values()) == 0
