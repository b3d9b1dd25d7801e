"""The client process: how it is found, what its end means, and what a fork of the driver makes of it."""

from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PROGRAM
from installed import CHECKOUT

from dspex import DspexError
from dspex.client import Client, connection, frames, program


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A client process that does what a piece of Python says."""

    def script(code: str) -> None:
        written = tmp_path / "dspex"
        written.write_text(f"#!{sys.executable}\n{_PREAMBLE}\n{code}\n")
        written.chmod(0o755)
        monkeypatch.setenv("DSPEX_PROGRAM", str(written))

    return script


_PREAMBLE = f"""
import os, socket, struct, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import Connection
end = Connection(socket.socket(fileno=os.dup(0)))
"""
_GREETS = f"end.expect(1); end.send(16, {{'protocol': {frames.VERSION}, 'version': '9'}})\n"
_CONNECTS = _GREETS + (
    "request = end.expect(2); assert request['method'] == 'connect', request\n"
    "end.send(17, {'id': request['id'], 'body': {'address': 'unix:x', 'version': '9', 'embedded': True}})\n"
)


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    opened: list[Client] = []
    yield opened
    for client in opened:
        client.close()


def _open(clients: list[Client]) -> Client:
    client = Client()
    clients.append(client)
    client.open(None, None)
    return client


def test_the_program_is_found_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(directory: str) -> str:
        path = tmp_path / directory / "dspex"
        path.parent.mkdir()
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return str(path)

    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.delenv("DSPEX_PROGRAM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(DspexError, match="DSPEX_PROGRAM") as missing:
        program.find()
    assert missing.value.reason == program.NOT_FOUND
    on_path = put("path")
    assert program.find() == on_path
    beside = put("bin")
    assert program.find() == beside
    named = put("named")
    monkeypatch.setenv("DSPEX_PROGRAM", named)
    assert program.find() == named
    monkeypatch.setenv("DSPEX_PROGRAM", str(tmp_path / "nothing"))
    with pytest.raises(DspexError, match="nothing, which cannot be run"):
        program.find()


def test_requests_items_and_errors(scripted: Callable[[str], None], clients: list[Client]) -> None:
    scripted(
        _CONNECTS + "request = end.expect(2)\n"
        "number = request['id']\n"
        "end.send(18, {'id': number, 'body': {'n': 1}}); end.send(18, {'id': number, 'body': {'n': 2}})\n"
        "end.send(19, {'id': number, 'code': 'NOT_FOUND', 'reason': 'RUN_UNKNOWN', 'message': 'no such run',\n"
        "              'metadata': {'traceback': 'File x'}})\n"
        "request = end.expect(2)\n"
        "end.send(17, {'id': request['id'], 'body': request['body']})\n"
        "end.receive()\n"
    )
    client = _open(clients)
    assert (client.version, client.address, client.embedded) == ("9", "unix:x", True)
    items: list[Any] = []
    delivered: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.stream("runs.watch", {}, delivered.put)
    items = [delivered.get(timeout=10) for _ in range(3)]
    assert items[:2] == [{"n": 1}, {"n": 2}]
    error = items[2]
    assert (error.code, error.reason, error.traceback) == ("NOT_FOUND", "RUN_UNKNOWN", "File x")
    assert str(error).startswith("no such run")
    assert client.call("echo", {"x": b"\xff"}) == {"x": b"\xff"}


def test_an_upload_goes_in_parts(scripted: Callable[[str], None], clients: list[Client]) -> None:
    scripted(
        _CONNECTS + "for _ in range(2):\n"
        "    request = end.expect(2); assert request['method'] == 'blobs.put'\n"
        "    sizes, last = [], False\n"
        "    while not last:\n"
        "        part = end.expect(4); assert part['id'] == request['id']\n"
        "        sizes.append(len(part['data'])); last = part['end']\n"
        "    end.send(17, {'id': request['id'], 'body': {'digest': repr(sizes), 'bytes': sum(sizes)}})\n"
        "end.receive()\n"
    )
    client = _open(clients)
    assert client.put(b"x" * (2 * 1024 * 1024 + 5)) == "[1048576, 1048576, 5]"
    assert client.put(b"") == "[0]"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("sys.exit('no space left')", "ended with exit code 1: no space left"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9"),
        (_GREETS + "end.expect(2); print('panicked', file=sys.stderr); os._exit(101)", "exit code 101: panicked"),
        ("end.expect(1); end.socket.sendall(b'\\xff' * 8); end.receive()", "broke the protocol"),
    ],
)
def test_the_end_of_the_process_ends_what_waits(
    scripted: Callable[[str], None], clients: list[Client], code: str, says: str
) -> None:
    scripted(code)
    with pytest.raises(DspexError, match=says):
        _open(clients)


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        (frames.VERSION - 1, r"the program .*/dspex \(dspex 9, .*\) is older than this package .*DSPEX_PROGRAM"),
        (frames.VERSION + 1, r"this package .* is older than the program .*: install the package of the program's"),
    ],
)
def test_a_program_of_another_version_is_refused_and_it_is_said_which_side_is_older(
    scripted: Callable[[str], None], clients: list[Client], protocol: int, says: str
) -> None:
    # One that is older ends by itself when it has read the package's first frame.
    scripted(f"end.send(16, {{'protocol': {protocol}, 'version': '9'}}); end.expect(1); sys.exit('protocols differ')")
    with pytest.raises(DspexError, match=says) as raised:
        _open(clients)
    assert raised.value.reason == "PROGRAM_VERSION_DIFFERS"


def test_package_and_program_name_one_version_of_the_protocol() -> None:
    assert f"const PROTOCOL: u32 = {frames.VERSION};" in (CHECKOUT / "node/cli/src/bridge.rs").read_text()
    page = (CHECKOUT / "python-runtime/PROTOCOL.md").read_text()
    assert f"protocol version **{frames.VERSION}**" in page.partition("## A driver and its client process")[2]


def test_a_method_that_the_program_does_not_know_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    monkeypatch.setenv("DSPEX_PROGRAM", PROGRAM)
    client = Client()
    try:
        client.greet()
        with pytest.raises(DspexError, match=r"does not know `moon\.land`: it is older than the Python") as raised:
            client.call("moon.land", {"crew": 3})
        assert (raised.value.code, raised.value.reason) == ("UNIMPLEMENTED", "PROGRAM_VERSION_DIFFERS")
        assert client.alive
    finally:
        client.close()


def test_after_its_end_another_one_is_started(scripted: Callable[[str], None]) -> None:
    scripted(_CONNECTS + "end.receive()")
    first = connection.connect("test:1")
    assert connection.connect("test:1") is first
    pid = first._process._process.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(DspexError, match="killed by signal 9"):
        first.call("runs.get", {})
    second = connection.connect("test:1")
    assert second is not first
    second.close()
    del connection._clients["test:1", None, None, False]


def test_it_ends_with_its_socket_and_not_by_ctrl_c(scripted: Callable[[str], None], clients: list[Client]) -> None:
    scripted(_CONNECTS + "end.receive(); print('at the end', file=sys.stderr)")
    client = _open(clients)
    process = client._process._process
    assert os.getpgid(process.pid) != os.getpgid(0)
    client.close()
    assert process.wait(10) == 0


def test_a_fork_of_the_driver_has_a_client_of_its_own(scripted: Callable[[str], None]) -> None:
    scripted(_CONNECTS + "request = end.expect(2)\nend.send(17, {'id': request['id'], 'body': {}})\nend.receive()")
    client = connection.connect("test:2")
    descriptor = client._process.socket.fileno()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.fstat(descriptor)
        except OSError:
            code = 0 if connection._clients == {} and not client.alive else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.call("still.there", {}) == {}
    client.close()
    del connection._clients["test:2", None, None, False]


def test_a_frame_that_is_too_long_is_refused_before_it_is_sent(
    scripted: Callable[[str], None], clients: list[Client]
) -> None:
    scripted(_CONNECTS + "end.receive()")
    client = _open(clients)
    with pytest.raises(DspexError, match="too large"):
        client.call("runs.submit", {"x": bytes(33 * 1024 * 1024)})


@pytest.mark.parametrize("wrong", [TypeError("no form"), OSError("a file of the caller's")])
def test_what_cannot_be_sent_ends_what_waits(
    scripted: Callable[[str], None], clients: list[Client], wrong: Exception
) -> None:
    scripted(_CONNECTS + "end.receive(); end.receive()")
    client = _open(clients)
    delivered: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def gather() -> bytes:
        raise wrong

    client.stream("pools.calls", {}, delivered.put).send_when_due(gather)
    error = delivered.get(timeout=10)
    assert error.reason == "CLIENT_ENDED"
    assert ("could not be: TypeError: no form" in str(error)) is isinstance(wrong, TypeError)
    assert not client.alive
    with pytest.raises(DspexError, match="the next call starts another"):
        client.call("runs.get", {})


def test_an_answer_that_cannot_be_taken_ends_what_waits(scripted: Callable[[str], None], clients: list[Client]) -> None:
    scripted(_CONNECTS + "request = end.expect(2); end.send(18, {'id': request['id'], 'body': {}}); end.receive()")
    client = _open(clients)
    delivered: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def deliver(item: Any) -> None:
        if isinstance(item, dict):
            raise LookupError("unexpected")
        delivered.put(item)

    client.stream("runs.watch", {}, deliver)
    assert "could not be taken: LookupError: unexpected" in str(delivered.get(timeout=10))
    assert not client.alive


def test_a_request_without_a_form_is_forgotten(scripted: Callable[[str], None], clients: list[Client]) -> None:
    scripted(_CONNECTS + "end.receive()")
    client = _open(clients)
    with pytest.raises(UnicodeEncodeError):
        client.call("runs.get", {"run_id": "\ud800"})
    assert client._waiting == {}
    assert client.alive


def test_a_lost_node_is_asked_again_by_another_client(scripted: Callable[[str], None]) -> None:
    lost = "{'id': request['id'], 'code': 'UNAVAILABLE', 'reason': 'NODE_UNREACHABLE', 'message': 'gone'}"
    scripted(_CONNECTS + f"request = end.expect(2); end.send(19, {lost}); end.receive()")
    asked: list[Client] = []

    def request(client: Client) -> Any:
        asked.append(client)
        return client.call("pools.stats", {})

    with pytest.raises(DspexError, match="gone"):
        connection.ask("test:3", None, request)
    first, second = asked
    assert first is not second, "twice, and not for ever"
    assert first._process._process.wait(10) == 0, "nobody else gets it"
    second.close()
    del connection._clients["test:3", None, None, False]


def test_a_lost_node_is_replaced_by_another_one_of_its_cluster(
    scripted: Callable[[str], None], clients: list[Client]
) -> None:
    scripted(
        _CONNECTS
        + "request = end.expect(2); lost = {'code': 'UNAVAILABLE', 'reason': 'NODE_UNREACHABLE', 'message': 'gone'}\n"
        "end.send(19, {'id': request['id'], **lost})\n"
        "request = end.expect(2); assert request['method'] == 'elsewhere', request\n"
        "end.send(17, {'id': request['id'], 'body': {'moved': True}})\n"
        "request = end.expect(2); end.send(17, {'id': request['id'], 'body': {'items': [request['method']]}})\n"
        "end.receive()"
    )
    asked: list[Client] = []

    def request(client: Client) -> Any:
        asked.append(client)
        return client.call("pools.stats", {})

    assert connection.ask("test:4", None, request) == {"items": ["pools.stats"]}
    clients.append(connection._clients.pop(("test:4", None, None, False)))
    assert asked == [clients[0]] * 2, "the process that knows the others"
