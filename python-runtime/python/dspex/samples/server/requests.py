"""The requests that the server understands, read from their bodies.

Two requests are the same, and share a digest, if they ask the same of the model: the model's name, the messages' roles
and texts, and what steers the answer. How it is delivered (`stream`) and what clients add (`user`, `metadata`) does not
matter, nor does the order of keys.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from dspex.samples.server.errors import ApiError

_CHOICES_MAX = 128
_DIMENSIONS = 64
_DIMENSIONS_MAX = 4096
_INPUTS_MAX = 2048
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class ChatRequest:
    """A request for completions."""

    model: str
    messages: tuple[tuple[str, str], ...]
    temperature: float
    salt: str | None
    count: int
    stream: bool
    include_usage: bool
    digest: bytes


@dataclass(frozen=True)
class EmbeddingsRequest:
    """A request for vectors."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int
    base64: bool
    digest: bytes


def chat(body: bytes) -> ChatRequest:
    """Reads the body of a chat completion."""
    given = _object(body)
    model = _model(given)
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad("messages: a list of at least one message is needed", "messages")
    texts = tuple(_message(message, number) for number, message in enumerate(messages))
    temperature = _number(given, "temperature", 0, 2)
    count = _integer(given, "n", 1, _CHOICES_MAX, 1)
    salt = _salt(given)
    options = given.get("stream_options") or {}
    if not isinstance(options, dict):
        raise _bad("stream_options: an object is needed", "stream_options")
    return ChatRequest(
        model=model,
        messages=texts,
        temperature=temperature,
        salt=salt,
        count=count,
        stream=_boolean(given, "stream"),
        include_usage=_boolean(options, "include_usage"),
        digest=_digest("chat", model, texts, temperature, salt, count, given.get("response_format")),
    )


def embeddings(body: bytes) -> EmbeddingsRequest:
    """Reads the body of a request for embeddings."""
    given = _object(body)
    model = _model(given)
    written = given.get("input")
    inputs = (written,) if isinstance(written, str) else written
    if not isinstance(inputs, (list, tuple)) or not 0 < len(inputs) <= _INPUTS_MAX:
        raise _bad(f"input: a text or a list of 1 to {_INPUTS_MAX} texts is needed", "input")
    if not all(isinstance(text, str) and text for text in inputs):
        raise _bad("input: every entry must be a text that is not empty; lists of token numbers are not read", "input")
    dimensions = _integer(given, "dimensions", 1, _DIMENSIONS_MAX, _DIMENSIONS)
    encoding = given.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise _bad('encoding_format: "float" or "base64" is needed', "encoding_format")
    return EmbeddingsRequest(
        model=model,
        inputs=tuple(inputs),
        dimensions=dimensions,
        base64=encoding == "base64",
        digest=_digest("embeddings", model, inputs, dimensions),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad(f"the body is not JSON: {error}; send an object with Content-Type: application/json") from None
    if not isinstance(given, dict):
        raise _bad("the body is JSON but no object; send an object")
    return given


def _model(given: dict[str, Any]) -> str:
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise _bad("model: any name will do, but one is needed", "model")
    return model


def _message(message: Any, number: int) -> tuple[str, str]:
    # First what nearly all are: a prompt may have hundreds of them.
    if type(message) is dict:
        role, content = message.get("role"), message.get("content")
        if type(role) is str and type(content) is str:
            return role, content
        if type(role) is str:
            return role, _joined(content, f"messages[{number}].content")
    raise _bad(f"messages[{number}]: an object with a role and a content is needed", f"messages[{number}]")


def _joined(content: Any, param: str) -> str:
    if content is None:
        # An assistant's message may be nothing but tool calls.
        return ""
    if not isinstance(content, list):
        raise _bad(f"{param}: a text or a list of parts is needed", param)
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise _bad(f"{param}: this model reads parts of type text only", param)
    return "".join(text for text in texts if text)


def _salt(given: dict[str, Any]) -> str | None:
    salt = given.get("seed") if given.get("salt") is None else given["salt"]
    if salt is not None and (isinstance(salt, bool) or not isinstance(salt, (int, str))):
        raise _bad("seed: a whole number is needed (salt may be a text)", "seed")
    return None if salt is None else str(salt)


def _number(given: dict[str, Any], name: str, low: float, high: float) -> float:
    value = given.get(name)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise _bad(f"{name}: a number from {low} to {high} is needed", name)
    return float(value)


def _integer(given: dict[str, Any], name: str, low: int, high: int, default: int) -> int:
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _bad(f"{name}: a whole number from {low} to {high} is needed", name)
    return value


def _boolean(given: dict[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise _bad(f"{name}: true or false is needed", name)
    return bool(value)


def _digest(*asked: Any) -> bytes:
    try:
        canonical = _CANONICAL.encode(asked)
    except RecursionError:
        raise _bad("response_format: nested too deeply", "response_format") from None
    return hashlib.blake2b(canonical.encode(), digest_size=16).digest()


def _bad(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, param=param)
