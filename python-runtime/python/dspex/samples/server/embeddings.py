"""Embeddings that need no model: hashed character trigrams, so that texts with much in common are near each other."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from typing import Any

from dspex.samples.nearest_demo import count_tokens
from dspex.samples.server.plan import Malformed
from dspex.samples.server.requests import EmbeddingsRequest

_LENGTH = 3


def vector(text: str, dimensions: int) -> list[float]:
    """The vector of a text, of length 1."""
    counts = [0] * dimensions
    padded = f"  {text.lower()} "
    for start in range(len(padded) - _LENGTH + 1):
        # surrogatepass: JSON may carry half a pair, and a text is no reason to fail.
        hashed = zlib.crc32(padded[start : start + _LENGTH].encode("utf-8", "surrogatepass"))
        # A sign of its own for each trigram: what collides does not add up.
        counts[(hashed >> 1) % dimensions] += 1 if hashed & 1 else -1
    length = math.sqrt(sum(count * count for count in counts))
    # All may cancel out in few dimensions; a vector of length 0 would have no direction.
    return [count / length for count in counts] if length else [1.0] + [0.0] * (dimensions - 1)


def tokens(request: EmbeddingsRequest) -> int:
    """What the request counts."""
    return sum(count_tokens(text) for text in request.inputs)


def whole(request: EmbeddingsRequest, malformed: Malformed | None = None) -> bytes:
    """The body of an answer."""
    vectors = [vector(text, request.dimensions) for text in request.inputs]
    body: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(values) if request.base64 else values}
            for index, values in enumerate(vectors)
        ],
        "model": request.model,
        "usage": {"prompt_tokens": tokens(request), "total_tokens": tokens(request)},
    }
    # What are choices and markers for a completion, is the data here.
    if malformed in (Malformed.NO_CHOICES, Malformed.NO_MARKERS):
        del body["data"]
    encoded = json.dumps(body).encode()
    return encoded[:-1] + b",}}" if malformed is Malformed.BROKEN_JSON else encoded


def _packed(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
