"""Executions of a node: what programs and commands were given and gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from dspex.arguments import flag, text, whole

# Executions of one answer; a frame holds them with their inputs and outputs.
_PAGE = 1000
# In a year that no program will see, and below what a frame can say.
_SECONDS_END = 1e11
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_decode = msgspec.json.Decoder().decode
# A request that may be repeated, by its method and body.
_Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


class ExecutionError(msgspec.Struct, frozen=True):
    """Why an execution has no output."""

    # The qualified class of the exception, "WorkerLost", "TimedOut" or "Cancelled".
    type: str
    message: str


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """An execution of a program or a command that has ended."""

    # A UUID.
    id: str
    # In the order of recording, from 1.
    number: int
    # The program's key; the command's name where no program was executed.
    program: str
    # The program's own id and version, where it has them.
    program_id: str | None
    program_version: int | None
    session: str | None
    # "succeeded", "failed", "timed_out", "lost" or "cancelled".
    status: str
    # JSON values. None in lists, unless these were asked for with `values`, and there for what is large in any case.
    input: Any
    output: Any
    trace: Any
    # What was measured: tokens and cost of a program's call.
    metrics: dict[str, Any]
    error: ExecutionError | None
    # Seconds of execution, and of waiting before.
    duration: float
    queued: float
    node_id: int
    worker: str | None
    # Who asked for it: the name of a token, or of the local user.
    actor: str | None
    # Of the caller's W3C trace context, 32 hexadecimal digits.
    trace_id: str | None
    # When it was recorded, by the cluster's time.
    created: datetime


class Executions:
    """The executions that a node's cluster keeps, newest first: about the last 1,000,000, for 30 days at the most.

    An execution is recorded once, soon after it has ended.
    """

    def __init__(self, ask: _Ask) -> None:
        """They are had as `Client.executions`."""
        self._ask = ask

    def list(
        self,
        *,
        program: str | None = None,
        status: str | None = None,
        session: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        limit: int = 100,
        values: bool = False,
    ) -> list[Execution]:
        """The newest of them.

        program: only of this program or command.
        status: only those that ended so: "succeeded", "failed", "timed_out", "lost" or "cancelled".
        session: only of this session.
        since, until: only those recorded at this time or later, and before that: a datetime, or seconds since 1970.
        limit: how many.
        values: with inputs, outputs and traces, but for those above 4 KiB; `get` has these.
        """
        limit = whole("limit", limit, 1)
        wanted = _wanted(program, status, session, since, until, values)
        found: list[Execution] = []
        while len(found) < limit:
            page = self._page({**wanted, "limit": min(limit - len(found), _PAGE)})
            found += page.items
            wanted["before"] = page.next
            if not page.next:
                break
        return found

    def all(
        self,
        *,
        program: str | None = None,
        status: str | None = None,
        session: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        values: bool = False,
    ) -> Iterator[Execution]:
        """Every one of them, as they are asked for: a thousand at a time are fetched."""
        wanted = _wanted(program, status, session, since, until, values)
        return self._all({**wanted, "limit": _PAGE})

    def get(self, execution_id: str) -> Execution:
        """One of them with its input, its output and its trace, whatever their size."""
        name = text("execution_id", execution_id, "a UUID")
        found = self._ask("executions.get", {"execution_id": name})
        return _execution(found, self._blob)

    def counts(self) -> dict[str, int]:
        """How many are kept, by status."""
        counts: dict[str, int] = self._ask("executions.list", {"limit": 1})["counts"]
        return counts

    def clear(self) -> None:
        """Forget all that are kept, with what they hold. For admins."""
        self._ask("executions.clear", {})

    def _all(self, wanted: dict[str, Any]) -> Iterator[Execution]:
        while True:
            page = self._page(wanted)
            yield from page.items
            if not page.next:
                return
            wanted["before"] = page.next

    def _page(self, wanted: dict[str, Any]) -> _Page:
        answer = self._ask("executions.list", wanted)
        return _Page([_execution(item, None) for item in answer["items"]], answer["next"])

    def _blob(self, digest: str) -> bytes:
        data: bytes = self._ask("blobs.get", {"digest": digest})["data"]
        return data


class _Page(msgspec.Struct):
    items: list[Execution]
    next: int


def _wanted(
    program: str | None,
    status: str | None,
    session: str | None,
    since: datetime | float | None,
    until: datetime | float | None,
    values: bool,
) -> dict[str, Any]:
    names = {"program": (program, '"qa"'), "status": (status, '"failed"'), "session": (session, '"user-123"')}
    wanted: dict[str, Any] = {
        name: text(name, value, example) for name, (value, example) in names.items() if value is not None
    }
    for name, moment in (("since_ms", since), ("until_ms", until)):
        if moment is not None:
            wanted[name] = _milliseconds(name[:5], moment)
    return {**wanted, "values": flag("values", values)}


def _milliseconds(name: str, moment: Any) -> int:
    if isinstance(moment, datetime):
        # One without a time zone is local time, as everywhere in Python.
        return max(0, (moment.astimezone(timezone.utc) - _EPOCH) // timedelta(milliseconds=1))
    if isinstance(moment, bool) or not isinstance(moment, (int, float)):
        raise TypeError(f"{name} is a datetime, or a number of seconds since 1970, not {moment!r}")
    if not 0 <= moment < _SECONDS_END:
        raise ValueError(f"{name} is a number of seconds since 1970, not {moment}")
    return int(moment * 1000)


def _execution(found: dict[str, Any], blob: Callable[[str], bytes] | None) -> Execution:
    error = found["error"]
    return Execution(
        id=found["execution_id"],
        number=found["number"],
        program=found["program"],
        program_id=found["program_id"] or None,
        program_version=found["program_version"],
        session=found["session_id"] or None,
        status=found["status"],
        input=_value(found["input"], blob),
        output=_value(found["output"], blob),
        trace=_value(found["trace"], blob),
        metrics=_decode(found["metrics"]) if found["metrics"] else {},
        error=None if error is None else ExecutionError(error["type"], error["message"]),
        duration=found["duration_us"] / 1e6,
        queued=found["queued_us"] / 1e6,
        node_id=found["node_id"],
        worker=found["worker"] or None,
        actor=found["actor"] or None,
        trace_id=found["trace_id"] or None,
        created=_EPOCH + timedelta(milliseconds=found["created_ms"]),
    )


def _value(stored: dict[str, Any] | None, blob: Callable[[str], bytes] | None) -> Any:
    if stored is None:
        return None
    if not stored["digest"]:
        return _decode(stored["json"])
    return None if blob is None else _decode(blob(stored["digest"]))
