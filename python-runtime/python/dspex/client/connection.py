"""Requests to a node and their answers, from any thread of the driver."""

from __future__ import annotations

import itertools
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from dspex import __version__
from dspex.client import frames
from dspex.client.program import ClientProcess
from dspex.errors import DspexError
from dspex.pool_errors import is_lost
from dspex.runtime import protocol

# Called on the reader's thread with each item, then once with None or what ended the stream.
Deliver = Callable[["dict[str, Any] | DspexError | None"], None]
_Reply = frames.Answer | frames.Item | frames.Failure
_T = TypeVar("_T")

_HELLO_SECONDS = 30.0
# Also what a program says of a request that it does not know.
VERSION_DIFFERS = "PROGRAM_VERSION_DIFFERS"


class Stream:
    """A request whose items are still coming."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number

    def send(self, data: bytes, *, end: bool = False) -> None:
        self._client.send(frames.PART, {"id": self._number, "data": data, "end": end})

    def send_when_due(self, gather: Callable[[], bytes | None]) -> None:
        """What `gather` gives on the writer's thread, once all that was sent before has gone."""
        self._client.send_when_due(self._number, gather)

    def close(self) -> None:
        """No more items, please."""
        self._client.forget(self._number)


class Client:
    """A client process and what was asked of it. Its end ends everything that waits."""

    def __init__(self) -> None:
        self._process = ClientProcess()
        self._ids = itertools.count(1)
        self._waiting: dict[int, Callable[[_Reply], None]] = {}
        self._lock = threading.Lock()
        self._end: DspexError | None = None
        # Why one of our own threads could not go on, where it was that.
        self._broken = ""
        # A thread sends: Ctrl-C in the middle of a send would leave half a frame behind.
        self._outgoing: queue.SimpleQueue[bytes | Callable[[], bytes] | None] = queue.SimpleQueue()
        self._hello: queue.SimpleQueue[frames.Hello | None] = queue.SimpleQueue()
        self.version = ""
        self.address = ""
        self.embedded = False
        for target, name in ((self._read, "dspex-client-reader"), (self._write, "dspex-client-writer")):
            threading.Thread(target=target, name=name, daemon=True).start()

    def open(
        self, address: str | None, token_file: str | None, ca: str | None = None, *, embedded: bool = False
    ) -> None:
        """Greet the process and have it connect; `embedded`: to that node, whatever DSPEX_ADDRESS says."""
        self.greet()
        body = {"address": address, "token_file": token_file, "ca": ca, "embedded": embedded}
        connected = self.call("connect", body)
        self.address = connected.get("address") or ""
        self.embedded = bool(connected.get("embedded"))

    def greet(self) -> None:
        """Hear that the process is there, and of this version of the protocol."""
        self.send(frames.HELLO, {"protocol": frames.VERSION})
        try:
            hello = self._hello.get(timeout=_HELLO_SECONDS)
        except queue.Empty:
            hello = None
        if hello is None:
            raise self._end or DspexError(
                "the client process does not answer. Is DSPEX_PROGRAM the dspex program?", code="UNAVAILABLE"
            )
        if hello.protocol != frames.VERSION:
            raise _differs(hello, self._process.program)
        self.version = hello.version

    @property
    def alive(self) -> bool:
        return self._end is None

    def call(self, method: str, body: dict[str, Any], upload: bytes | None = None) -> dict[str, Any]:
        """The answer. Ctrl-C interrupts the wait, and the request is forgotten."""
        replies: queue.SimpleQueue[_Reply] = queue.SimpleQueue()
        number = self._request(method, body, replies.put)
        try:
            if upload is not None:
                self._upload(number, upload)
            reply = replies.get()
        except BaseException:
            self.forget(number)
            raise
        if isinstance(reply, frames.Failure):
            raise _error(reply)
        return reply.body

    def stream(self, method: str, body: dict[str, Any], deliver: Deliver) -> Stream:
        def take(reply: _Reply) -> None:
            if isinstance(reply, frames.Item):
                deliver(reply.body)
            else:
                deliver(_error(reply) if isinstance(reply, frames.Failure) else None)

        return Stream(self, self._request(method, body, take))

    def moves_on(self) -> bool:
        """Its node does not answer: whether further requests go to another one of the cluster."""
        try:
            return bool(self.call("elsewhere", {})["moved"])
        except DspexError:
            return False  # The process is lost itself, or had not connected.

    def put(self, data: bytes) -> str:
        """Store a blob; its digest."""
        digest: str = self.call("blobs.put", {}, upload=data)["digest"]
        return digest

    def send(self, kind: int, body: dict[str, Any]) -> None:
        try:
            self._outgoing.put(protocol.encode_frame(kind, body))
        except protocol.ProtocolError as error:
            raise DspexError(f"the request is too large: {error}", code="INVALID_ARGUMENT") from error

    def send_when_due(self, number: int, gather: Callable[[], bytes | None]) -> None:
        def part() -> bytes:
            data = gather()
            if data is None:
                return b""
            return protocol.encode_frame(frames.PART, {"id": number, "data": data, "end": False})

        self._outgoing.put(part)

    def forget(self, number: int) -> None:
        with self._lock:
            known = self._waiting.pop(number, None)
        if known is not None:
            self.send(frames.CANCEL, {"id": number})

    def close(self) -> None:
        """Let the process end."""
        try:
            self._process.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It has ended by itself.

    def abandon(self) -> None:
        """In a fork of the driver."""
        self._end = DspexError("this process is a fork of the one that connected", code="UNAVAILABLE")
        self._process.forget()

    def _request(self, method: str, body: dict[str, Any], take: Callable[[_Reply], None]) -> int:
        number = next(self._ids)
        with self._lock:
            if self._end is not None:
                raise self._end
            self._waiting[number] = take
        try:
            self.send(frames.REQUEST, {"id": number, "method": method, "body": body})
        except BaseException:
            with self._lock:
                self._waiting.pop(number, None)
            raise
        return number

    def _upload(self, number: int, data: bytes) -> None:
        for start in range(0, max(len(data), 1), frames.PART_BYTES):
            end = start + frames.PART_BYTES
            self.send(frames.PART, {"id": number, "data": data[start:end], "end": end >= len(data)})

    def _write(self) -> None:
        try:
            while (frame := self._outgoing.get()) is not None:
                self._process.socket.sendall(frame if isinstance(frame, bytes) else frame())
        except OSError:
            pass  # The process has gone.
        except BaseException as error:
            self._broken = f"; what was to be sent to it could not be: {type(error).__name__}: {error}"
        # Nothing is sent any more. The reader sees the end, too, and tells those who wait.
        self.close()

    def _read(self) -> None:
        reader = protocol.FrameReader(frames.FROM_CLIENT)
        # One for all: a new one of this size for each read costs ten times the read itself.
        buffer = memoryview(bytearray(1 << 18))
        try:
            while length := self._process.socket.recv_into(buffer):
                for message in reader.feed(bytes(buffer[:length])):
                    self._take(message)
        except OSError:
            pass  # The end of the connection, however it came.
        except protocol.ProtocolError as error:
            self._broken = f"; it broke the protocol: {error}"
        except BaseException as error:
            self._broken = f"; what it said could not be taken: {type(error).__name__}: {error}"
        self.close()
        self._ended()

    def _take(self, message: Any) -> None:
        if isinstance(message, frames.Hello):
            self._hello.put(message)
            return
        with self._lock:
            last = not isinstance(message, frames.Item)
            take = self._waiting.pop(message.id, None) if last else self._waiting.get(message.id)
        if take is not None:  # Else it was forgotten.
            take(message)

    def _ended(self) -> None:
        text = f"{self._process.epitaph()}{self._broken}. What it was doing is lost; the next call starts another"
        with self._lock:
            self._end = DspexError(text, code="UNAVAILABLE", reason="CLIENT_ENDED")
            waiting, self._waiting = self._waiting, {}
        self._outgoing.put(None)
        self._hello.put(None)
        for number, take in waiting.items():
            take(frames.Failure(number, "UNAVAILABLE", "CLIENT_ENDED", text))


def _differs(hello: frames.Hello, program: str) -> DspexError:
    """Which side is older, and what to install."""
    theirs = f"the program {program} (dspex {hello.version}, protocol {hello.protocol})"
    ours = f"this package (dspex {__version__}, protocol {frames.VERSION})"
    if hello.protocol < frames.VERSION:
        text = (
            f"{theirs} is older than {ours}: install a program of the package's version beside {sys.executable} "
            "(a wheel brings both), or name one in DSPEX_PROGRAM"
        )
    else:
        text = f"{ours} is older than {theirs}: install the package of the program's version (a wheel brings both)"
    return DspexError(text, code="FAILED_PRECONDITION", reason=VERSION_DIFFERS)


def _error(failure: frames.Failure) -> DspexError:
    return DspexError(failure.message, code=failure.code, reason=failure.reason, metadata=failure.metadata)


# By address, token file, authority, and whether it is the embedded node's whatever DSPEX_ADDRESS says.
_clients: dict[tuple[str | None, str | None, str | None, bool], Client] = {}
_connecting = threading.Lock()


def connect(
    address: str | None = None, token_file: str | None = None, ca: str | None = None, *, embedded: bool = False
) -> Client:
    """The client of this process for this address, started when needed."""
    key = (address, token_file, ca, embedded)
    with _connecting:
        client = _clients.get(key)
        if client is None or not client.alive:
            client = Client()
            try:
                client.open(address, token_file, ca, embedded=embedded)
            except BaseException:
                client.close()
                raise
            _clients[key] = client
        return client


def retire(client: Client) -> None:
    """Its node is gone: whoever connects next gets another client. What still waits for this one ends."""
    with _connecting:
        for key in [key for key, known in _clients.items() if known is client]:
            del _clients[key]
    client.close()


def judge(address: str | None, question: dict[str, Any]) -> dict[str, Any]:
    """Where an evaluation is to be executed: what `strategy.choose` says. Needs no node, and no other process where one
    is connected to the address already."""
    body = {"address": address, "token_file": None, "ca": None, **question}
    with _connecting:
        known = _clients.get((address, None, None, False))
    if known is not None and known.alive:
        return known.call("strategy.choose", body)
    client = Client()
    try:
        client.greet()
        return client.call("strategy.choose", body)
    finally:
        client.close()


def ask(
    address: str | None,
    token_file: str | None,
    request: Callable[[Client], _T],
    ca: str | None = None,
    *,
    embedded: bool = False,
) -> _T:
    """What a request gives that may be repeated: if the node is gone, of another one of its cluster, else of the one
    that takes its place at the address."""
    client = connect(address, token_file, ca, embedded=embedded)
    try:
        return request(client)
    except DspexError as error:
        if not is_lost(error.code, error.reason):
            raise
    if not client.moves_on():
        retire(client)
        client = connect(address, token_file, ca, embedded=embedded)
    return request(client)


def _forget_clients() -> None:
    global _connecting
    _connecting = threading.Lock()
    for client in _clients.values():
        client.abandon()
    _clients.clear()


os.register_at_fork(after_in_child=_forget_clients)
