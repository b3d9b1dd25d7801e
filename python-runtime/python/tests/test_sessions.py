"""Sessions from Python, against the real program with a node of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import PROGRAM

import dspex
from dspex.client import caller, connection
from dspex.request_ids import new_request_id
from dspex.runtime.sessions import Session as Current
from dspex.runtime.sessions import SessionError

COMMANDS = """
import dspex


def count(by=1):
    data = dspex.current_session().data
    data["n"] = data.get("n", 0) + by
    return data["n"]


def whose(session_id, more=None):
    return [session_id, more, dspex.current_session().version]


async def later():
    dspex.current_session().data["later"] = True


def fail():
    count()
    raise LookupError("no")
"""
_own_caller = caller.caller


def _caller() -> dict[str, Any]:
    """Without what pytest changes for each test, so that a session keeps its worker."""
    own = _own_caller()
    return {**own, "environment": {k: v for k, v in own["environment"].items() if k != "PYTEST_CURRENT_TEST"}}


@pytest.fixture(scope="module")
def client() -> Iterator[dspex.Client]:
    """Of a node of its own. Its directory is short: a socket's path may have 107 bytes."""
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    place = Path(tempfile.mkdtemp(prefix="dspex-"))
    (place / "commands.py").write_text(COMMANDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSPEX_HOME", str(place / "home"))
        patch.setenv("DSPEX_PROGRAM", PROGRAM)
        patch.delenv("DSPEX_ADDRESS", raising=False)
        patch.setattr(connection, "_clients", {})
        patch.setattr(caller, "caller", _caller)
        patch.chdir(place)
        try:
            with dspex.connect() as connected:
                yield connected
        finally:
            for known in connection._clients.values():
                known.close()
            subprocess.run([PROGRAM, "local", "stop", "--force"], check=False, capture_output=True)
    shutil.rmtree(place)


@pytest.fixture
def session(client: dspex.Client) -> dspex.Session:
    return client.create_session(data={"n": 0})


def test_a_session_has_versions_and_values(client: dspex.Client) -> None:
    session = client.create_session("user-1", {"language": "en", "visits": [1, {"a": None}]}, ttl=3600)
    state = session.read()
    assert (state.id, state.version, state.ttl) == ("user-1", 1, 3600)
    assert state.data == {"language": "en", "visits": [1, {"a": None}]}
    assert state.expires is not None
    assert state.expires - state.updated == timedelta(hours=1)
    assert session.set({"visits": 2}, remove=["language"], if_version=1) == 2
    assert session.set({"only": True}, replace=True, ttl=None) == 3
    state = session.read()
    assert (state.data, state.expires) == ({"only": True}, None)
    assert session.read(version=1).data["language"] == "en"
    assert [(one.version, sorted(one.data)) for one in session.history()] == [
        (3, ["only"]),
        (2, ["visits"]),
        (1, ["language", "visits"]),
    ]
    assert client.session("user-1").exists()
    session.delete(if_version=3)
    assert not session.exists()


def test_what_is_not_there_or_taken_or_elsewhere_is_an_exception_of_its_own(client: dspex.Client) -> None:
    session = client.create_session()
    assert uuid.UUID(session.id).version == 7
    with pytest.raises(dspex.SessionExists) as taken:
        client.create_session(session.id)
    assert taken.value.current == 1
    with pytest.raises(dspex.VersionConflict) as conflict:
        session.set({"a": 1}, if_version=5)
    assert conflict.value.current == 1
    for wrong in (client.session("nobody").read, lambda: session.read(version=9)):
        with pytest.raises(dspex.SessionNotFound):
            wrong()
    with pytest.raises(dspex.SessionNotFound):
        client.session("nobody").execute("commands.py:count")
    with pytest.raises(dspex.DspexError, match="printable"):
        client.create_session("a\0b")
    with pytest.raises(TypeError, match="'bad' has no JSON form"):
        session.set({"bad": object()})
    with pytest.raises(TypeError, match="a name is a string"):
        session.set({1: 2})  # type: ignore[dict-item]


def test_sessions_are_listed_by_the_beginning_of_their_ids(client: dspex.Client) -> None:
    for number in range(5):
        client.create_session(f"list-{number}")
    assert [state.id for state in client.sessions("list-")] == [f"list-{number}" for number in range(5)]


def test_update_is_repeated_until_nobody_else_has_written(session: dspex.Session) -> None:
    def add(data: dict[str, Any]) -> None:
        data["n"] += 1

    def work() -> None:
        for _ in range(10):
            session.update(add)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = session.read()
    assert (state.data["n"], state.version) == (40, 41)
    # What changes nothing writes nothing; what raises neither.
    assert session.update(lambda data: dict(data)).version == 41
    with pytest.raises(ZeroDivisionError):
        session.update(lambda data: {"n": 1 // 0})
    with pytest.raises(TypeError, match="a dict or None"):
        session.update(lambda data: 5)  # type: ignore[arg-type, return-value]
    assert session.read().version == 41


def test_update_gives_up_after_its_attempts(session: dspex.Session) -> None:
    def race(data: dict[str, Any]) -> dict[str, Any]:
        session.set({"n": data["n"] + 1})
        return {"n": -1}

    with pytest.raises(dspex.VersionConflict):
        session.update(race, attempts=3)
    assert session.read().data["n"] == 3


def test_calls_read_and_change_the_session(session: dspex.Session) -> None:
    assert [session.execute("commands.py:count", {"by": 2}) for _ in range(3)] == [2, 4, 6]
    assert session.execute("commands.py:whose", {"more": 1}) == [session.id, 1, 4]
    assert session.execute("commands.py:whose") == [session.id, None, 4]
    session.execute("commands.py:later")
    with pytest.raises(dspex.CallFailed) as failed:
        session.execute("commands.py:fail")
    assert "LookupError" in failed.value.type
    assert session.read().data == {"n": 6, "later": True}
    with pytest.raises(dspex.NotDefined):
        session.execute("nonsense")


def test_calls_of_one_session_from_many_threads_are_counted_once_each(session: dspex.Session) -> None:
    results: list[int] = []

    def work() -> None:
        for _ in range(5):
            results.append(session.execute("commands.py:count", queue_timeout=120))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1, 21))
    assert session.read().version == 21


def test_outside_of_a_call_there_is_no_current_session() -> None:
    with pytest.raises(SessionError, match=r"session\.execute"):
        dspex.current_session()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: None, None),
        (lambda data: data.update(n=1.0), ([("n", "1.0")], [])),
        (lambda data: data.update(n=1), None),
        (lambda data: data["deep"].append(3), ([("deep", "[1,2,3]")], [])),
        (lambda data: data.pop("n"), ([], ["n"])),
        (lambda data: data.update(new=None), ([("new", "null")], [])),
    ],
)
def test_exactly_what_has_changed_is_written(change: Any, expected: Any) -> None:
    current = Current("s", 1, b'{"n": 1, "deep": [1, 2]}')
    change(current.data)
    assert current.changes() == expected


def test_a_value_without_a_json_form_is_named() -> None:
    current = Current("s", 1, b"{}")
    current.data["x"] = {1, object()}
    with pytest.raises(SessionError, match="'x'"):
        current.changes()
    current = Current("s", 1, b"{}")
    current.data[5] = 1  # type: ignore[index]
    with pytest.raises(SessionError, match="not 5"):
        current.changes()


def test_request_ids_are_in_the_order_of_their_time_and_never_the_same() -> None:
    ids = [new_request_id() for _ in range(1000)]
    assert len({request for _, request in ids}) == 1000
    assert len({client for client, _ in ids}) == 1
    made = [uuid.UUID(request) for _, request in ids]
    assert all(one.version == 7 and one.variant == uuid.RFC_4122 for one in made)
    times = [one.int >> 80 for one in made]
    assert times == sorted(times)
