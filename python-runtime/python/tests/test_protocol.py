"""Frames: golden bytes that the Rust suite pins, too, and what ends a connection."""

from __future__ import annotations

import struct

import msgspec
import pytest

from dspex.runtime import protocol

GOLDEN = [
    (
        protocol.HELLO,
        {"protocol": 1, "worker": "w1", "pid": 42},
        "1c000000921083a870726f746f636f6c01a6776f726b6572a27731a37069642a",
    ),
    (
        protocol.HELLO,
        {"protocol": 1, "worker": "w1", "pid": 42, "applied": ["limits"], "listener": 5},
        "36000000921085a870726f746f636f6c01a6776f726b6572a27731a37069642aa76170706c69656491a66c696d697473a86c697374656e657205",
    ),
    (protocol.PONG, {"payload": b"\x00\xff"}, "0f000000921681a77061796c6f6164c40200ff"),
    (
        protocol.ASK,
        {"id": 1, "index": 7, "body": b"\x80"},
        "16000000921783a2696401a5696e64657807a4626f6479c40180",
    ),
    (
        protocol.RESULTS,
        {"results": [(3, 1, 1.0, 0, b"{}", None, None, {"m": {"total_tokens": 2}}, None, 77, None)]},
        "34000000"
        "9214"
        "81"
        "a7726573756c7473"
        "91"
        "9b"
        "03"
        "01"
        "cb3ff0000000000000"
        "00"
        "c4027b7d"
        "c0"
        "c0"
        "81a16d81ac746f74616c5f746f6b656e7302"
        "c0"
        "4d"
        "c0",
    ),
]


@pytest.mark.parametrize(("kind", "body", "expected"), GOLDEN)
def test_frames_have_these_bytes(kind: int, body: dict, expected: str) -> None:
    assert protocol.encode_frame(kind, body).hex() == expected


def _frame(message: object) -> bytes:
    data = msgspec.msgpack.encode(message)
    return struct.pack("<I", len(data)) + data


def test_an_order_is_read_however_it_is_cut() -> None:
    stream = _frame([2, {"examples": [[7, 2, b"{}"]]}]) + _frame([4, {"payload": b"x"}]) + _frame([3, {}])
    for size in (1, 3, len(stream)):
        reader = protocol.FrameReader(protocol.TO_WORKER)
        read = [message for at in range(0, len(stream), size) for message in reader.feed(stream[at : at + size])]
        assert read == [
            protocol.Execute([(7, 2, b"{}")]),
            protocol.Ping(b"x"),
            protocol.StopWorker(),
        ]


def test_replies_and_payloads_are_read() -> None:
    reply = {"id": 7, "body": b"\x80", "error": None}
    load = {"threads": 1, "program": "pickle:x", "payload": b"\x81"}
    read = list(protocol.FrameReader(protocol.TO_WORKER).feed(_frame([5, reply]) + _frame([1, load])))
    assert read[0] == protocol.Answer(7, b"\x80", None)
    assert read[1].payload == b"\x81"


def test_load_keeps_whether_the_failure_score_was_an_integer() -> None:
    body = {"threads": 1, "program": "p.py:a", "lm_settings": [["k", "1"]], "failure_score": -1}
    (order,) = protocol.FrameReader(protocol.TO_WORKER).feed(_frame([1, body]))
    assert order.lm_settings == [("k", "1")]
    assert type(order.failure_score) is int


@pytest.mark.parametrize(
    "data",
    [
        _frame([99, {}]),
        _frame([2, {"examples": 1}]),
        _frame("text"),
        struct.pack("<I", 2) + b"\xc1\xc1",
        struct.pack("<I", protocol.MAX_FRAME + 1),
    ],
    ids=["unknown kind", "malformed body", "no envelope", "no msgpack", "too long"],
)
def test_what_breaks_the_protocol_is_an_error(data: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        list(protocol.FrameReader(protocol.TO_WORKER).feed(data))


def test_a_frame_over_the_limit_is_not_sent() -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.encode_frame(protocol.PONG, {"payload": bytes(protocol.MAX_FRAME)})


def test_texts_are_cut_at_characters() -> None:
    assert protocol.bounded("é" * 100, 31) == "é" * 11 + "... (cut)"
    assert protocol.bounded("a\ud800", 100) == "a\\ud800"
