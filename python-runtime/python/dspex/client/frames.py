"""What a driver and its client process say to each other (PROTOCOL.md, "A driver and its client process")."""

from __future__ import annotations

from typing import Any

import msgspec

# That of `node/cli/src/bridge.rs`. Whatever the other side has to know raises it, a method more as well.
VERSION = 3
# Of an upload, in one frame.
PART_BYTES = 1024 * 1024

# Driver -> client process.
HELLO = 1
REQUEST = 2
CANCEL = 3
PART = 4


class Hello(msgspec.Struct):
    KIND = 16
    protocol: int
    version: str = ""


class Answer(msgspec.Struct):
    KIND = 17
    id: int
    body: dict[str, Any] = {}


class Item(msgspec.Struct):
    KIND = 18
    id: int
    body: dict[str, Any] = {}


class Failure(msgspec.Struct):
    KIND = 19
    id: int
    code: str = "UNKNOWN"
    reason: str = ""
    message: str = ""
    metadata: dict[str, str] = {}


FROM_CLIENT: tuple[type[msgspec.Struct], ...] = (Hello, Answer, Item, Failure)
