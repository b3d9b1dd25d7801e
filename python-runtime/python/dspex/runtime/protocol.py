"""Frames and messages between a node and its Python processes: the Python end of PROTOCOL.md.

A frame is a little-endian u32 length and that many bytes of msgpack `[kind, body]`. Kinds are never reused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Union

import msgspec

VERSION = 1
MAX_FRAME = 32 * 1024 * 1024
# Rows and results are batched into frames well below the limit, so that one large value still fits.
BATCH_BYTES = 4 * 1024 * 1024
# Of a result: its prediction, the digest's form, and what is returned to a driver. The rest of its frame is small.
RESULT_BYTES = MAX_FRAME - 1024 * 1024

_LENGTH = struct.Struct("<I")


class ProtocolError(Exception):
    """The other side broke the protocol: the connection ends, and this process with it."""


class Landlock(msgspec.Struct):
    handled: int
    scoped: int
    of_files: int
    rules: list[tuple[str, int]]


class SandboxLimits(msgspec.Struct):
    open_files: int
    file_bytes: int
    processes: int


class SandboxOrder(msgspec.Struct):
    """`sandbox` of a fork: all of it is applied before any user code."""

    own: str
    landlock: Landlock
    filter: bytes
    limits: SandboxLimits
    network: bool
    readable: list[str]
    writable: list[str]
    refused: str = ""


class Fork(msgspec.Struct):
    KIND = 1
    worker: str
    environment: dict[str, str]
    directory: str
    sandbox: Union[SandboxOrder, None] = None
    protocol: int = VERSION


class Kill(msgspec.Struct):
    KIND = 2
    worker: str


class StopZygote(msgspec.Struct):
    KIND = 3


class Load(msgspec.Struct):
    KIND = 1
    threads: int
    program: str
    metric: Union[str, None] = None
    lm: Union[str, None] = None
    lm_settings: list[tuple[str, str]] = []
    state: Union[str, None] = None
    inputs: Union[list[str], None] = None
    columns: Union[list[str], None] = None
    dataset: Union[str, None] = None
    limit: Union[int, None] = None
    text_cells: bool = False
    # int | float, not float: whether the score was given as an integer is part of DSPy's arithmetic.
    failure_score: Union[int, float] = 0.0
    payload: Union[bytes, None] = None
    # Of a run whose code was sent along.
    root: Union[str, None] = None
    path: Union[list[str], None] = None
    protocol: int = VERSION


class Execute(msgspec.Struct):
    KIND = 2
    examples: list[tuple[int, int, bytes]]
    # Where spans are exported: W3C trace context by index.
    traces: dict[int, str] = {}


class StopWorker(msgspec.Struct):
    KIND = 3


class Ping(msgspec.Struct):
    KIND = 4
    payload: bytes


class Answer(msgspec.Struct):
    """`reply` in PROTOCOL.md: to a question of the worker's."""

    KIND = 5
    id: int
    body: Union[bytes, None] = None
    error: Union[str, None] = None


class Serve(msgspec.Struct):
    KIND = 6
    pool: str
    threads: int
    commands: list[str] = []
    lm: Union[str, None] = None
    # Whether what predictors did is wanted beside the results of programs.
    traces: bool = False
    protocol: int = VERSION


class Calls(msgspec.Struct):
    KIND = 7
    # id, command, arguments, traceparent; id, version and data of the session
    calls: list[tuple[int, str, bytes, Union[str, None], Union[tuple[str, int, bytes], None]]]


class Define(msgspec.Struct):
    KIND = 8
    name: str
    body: Union[bytes, None] = None


class Recall(msgspec.Struct):
    KIND = 9


class Threads(msgspec.Struct):
    KIND = 10
    count: int


TO_ZYGOTE: tuple[type[msgspec.Struct], ...] = (Fork, Kill, StopZygote)
TO_WORKER: tuple[type[msgspec.Struct], ...] = (
    Load,
    Execute,
    StopWorker,
    Ping,
    Answer,
    Serve,
    Calls,
    Define,
    Recall,
    Threads,
)

# Zygote -> node.
READY = 16
REFUSED = 17
FORKED = 18
EXITED = 19
FORK_FAILED = 20

# Worker -> node.
HELLO = 16
LOADED = 17
LOAD_FAILED = 18
ROWS = 19
RESULTS = 20
FATAL = 21
PONG = 22
ASK = 23
SERVING = 24
REPLIES = 25
RETURNED = 26

_encoder = msgspec.msgpack.Encoder()
pack = _encoder.encode


def encode_frame(kind: int, body: dict[str, Any]) -> bytes:
    """One frame, length included."""
    buffer = bytearray(_LENGTH.size)
    _encoder.encode_into((kind, body), buffer, _LENGTH.size)
    length = len(buffer) - _LENGTH.size
    if length > MAX_FRAME:
        raise ProtocolError(f"a frame of {length} bytes is longer than the limit of {MAX_FRAME}")
    _LENGTH.pack_into(buffer, 0, length)
    return bytes(buffer)


class FrameReader:
    """Cuts a byte stream into frames and decodes them. Feed it whatever arrived; it keeps the rest."""

    def __init__(self, messages: tuple[type[msgspec.Struct], ...]) -> None:
        self._envelope = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
        self._bodies: dict[int, msgspec.msgpack.Decoder[Any]] = {
            message.KIND: msgspec.msgpack.Decoder(message)  # type: ignore[attr-defined]
            for message in messages
        }
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[msgspec.Struct]:
        """The messages that `data` completes."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, start)
                if length > MAX_FRAME:
                    raise ProtocolError(f"a frame of {length} bytes is longer than the limit of {MAX_FRAME}")
                end = start + _LENGTH.size + length
                if len(self._buffer) < end:
                    break
                frame = bytes(self._buffer[start + _LENGTH.size : end])
                start = end
                yield self._decode(frame)
        finally:
            del self._buffer[:start]

    def _decode(self, frame: bytes) -> msgspec.Struct:
        try:
            kind, body = self._envelope.decode(frame)
            decoder = self._bodies.get(kind)
            if decoder is None:
                raise ProtocolError(f"unknown kind of frame: {kind}")
            message: msgspec.Struct = decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"malformed frame: {error}") from error
        return message


def printable(text: str) -> str:
    """The text with lone surrogates escaped: msgpack strings are UTF-8, what Python code raises need not be."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def bounded(text: str, limit: int) -> str:
    """The text cut to `limit` bytes of UTF-8, saying so."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode("utf-8")
    mark = "... (cut)"
    return data[: limit - len(mark)].decode("utf-8", "ignore") + mark
