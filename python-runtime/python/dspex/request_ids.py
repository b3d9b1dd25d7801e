"""Ids of writes: the same write, sent again, is executed once."""

from __future__ import annotations

import os
import secrets
import time
import uuid

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def new() -> dict[str, str]:
    """For one write, however often it is sent."""
    return {"client": _client(), "request": str(uuid7())}


def uuid7() -> uuid.UUID:
    """A UUID with the time of its making in it, by which a node judges how old a request is."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    random = secrets.randbits(74)
    return uuid.UUID(int=milliseconds << 80 | _VERSION_7 | (random >> 62) << 64 | _VARIANT | random & (1 << 62) - 1)


def _client() -> str:
    """Of this process, and not of one that it forked from."""
    global _own
    pid = os.getpid()
    if _own is None or _own[0] != pid:
        _own = (pid, str(uuid.uuid4()))
    return _own[1]


_own: tuple[int, str] | None = None
"""This process, and what it calls itself."""
