"""Ids of requests: a write that is sent again under the same id is executed once."""

from __future__ import annotations

import os
import time
import uuid

# Of this process; a fork has one of its own.
_client = str(uuid.uuid4())


def new_request_id() -> tuple[str, str]:
    """The client's id and the request's, which holds the time at which it was made (UUID version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    drawn = int.from_bytes(os.urandom(10), "big")
    number = (milliseconds << 80) | (0x7 << 76) | ((drawn >> 64) & 0xFFF) << 64 | (0b10 << 62) | drawn & ((1 << 62) - 1)
    return _client, str(uuid.UUID(int=number))


def _renew() -> None:
    global _client
    _client = str(uuid.uuid4())


os.register_at_fork(after_in_child=_renew)
