"""What requests about stored things share: limits, request ids, and values as JSON texts on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from dspex.arguments import seconds, text, whole
from dspex.errors import DspexError
from dspex.request_ids import new_request_id
from dspex.stored_errors import DefinitionInvalid, typed

# Sends a request, if need be again over another connection.
Ask = Callable[[str, "dict[str, Any]"], "dict[str, Any]"]
Read = Literal["linearizable", "lease", "stale"]

_READS = ("linearizable", "lease", "stale")
_VERSION_END = 2**63
_PAGE = 1000


class Requests:
    """Sends requests, and makes exceptions of what a node refuses."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def read(self, method: str, body: dict[str, Any], read: str, timeout: float | None) -> dict[str, Any]:
        if read not in _READS:
            raise ValueError(f'read is "linearizable", "lease" or "stale", not {read!r}')
        return self._send(method, {**body, "read": read}, timeout)

    def write(self, method: str, body: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        # The id is the request's own, so that one that is sent again is executed once.
        return self._send(method, {**body, "request_id": new_request_id()}, timeout)

    def pages(self, method: str, body: dict[str, Any], read: str, timeout: float | None) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page as they are asked for."""
        after = ""
        while True:
            page = self.read(method, {**body, "after": after, "limit": _PAGE}, read, timeout)
            yield from page["items"]
            if not page["truncated"] or not page["items"]:
                return
            after = page["items"][-1]["name"]

    def _send(self, method: str, body: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        if timeout is not None:
            body["timeout_ms"] = max(1, round(seconds("timeout", timeout) * 1000))
        try:
            return self._ask(method, body)
        except DspexError as error:
            raise typed(error) from None


def name(value: Any, what: str) -> str:
    return text(f"the name of a {what}", value, '"qa"')


def session(value: Any) -> str:
    """Of a session, or of an object that has an `id`; empty: of none."""
    if value is None:
        return ""
    return text("session", getattr(value, "id", value), '"user-123", or a session')


def version(argument: str, value: Any, least: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and least <= value < _VERSION_END:
        return int(value)
    return whole(argument, value, least)


def to_json(what: str, value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DefinitionInvalid(
            f"{what} has no JSON form: {error}", code="INVALID_ARGUMENT", reason="DEFINITION_INVALID"
        ) from None


def texts(what: str, values: Mapping[str, Any] | None) -> dict[str, str]:
    """Names and JSON texts."""
    return {
        text(f"a name in {what}", key, '"k"'): to_json(f"{what}[{key!r}]", value)
        for key, value in (values or {}).items()
    }


def from_json(value: str) -> Any:
    """None for nothing."""
    return msgspec.json.decode(value) if value else None
