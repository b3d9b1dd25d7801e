"""Sessions as a Python program sees them: named JSON values under one version, replicated over the cluster's nodes."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec

from dspex import trace_context
from dspex.arguments import seconds, text, whole
from dspex.errors import DspexError
from dspex.pool_command import called_name
from dspex.pool_errors import error_of
from dspex.program_records import Program, ProgramWritten
from dspex.programs import Programs
from dspex.request_ids import new_request_id
from dspex.session_errors import SessionNotFound, VersionConflict

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
# How long a write is sent again while nobody can say whether it was executed.
_WRITE_SECONDS = 60.0
# Attempts of `update` at a session that others write, too.
_ATTEMPTS_MAX = 100
_PAGE = 1000
_EXAMPLE = '"user-123"'


class _Kept:
    """The life of a session stays as it is."""

    def __repr__(self) -> str:
        return "KEPT"


KEPT: Any = _Kept()
# Sends an order: its fields, and whether it needs whose environment workers have.
Ask = Callable[[dict[str, Any], bool], dict[str, Any]]


@dataclass(frozen=True)
class SessionState:
    """A session at one version."""

    id: str
    # 1 at its creation, one more with each write.
    version: int
    # Names and JSON values.
    data: dict[str, Any]
    created: datetime
    # When this version was written.
    updated: datetime
    # When it is gone unless it is written again; None: never.
    expires: datetime | None
    # Seconds that it lives after each write; None: until it is deleted.
    ttl: float | None


@dataclass(frozen=True)
class SessionVersion:
    """A version of a session that is kept; the last 100 are."""

    version: int
    written: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class SessionStats:
    """How many sessions there are, and what they take."""

    sessions: int
    # Versions that are kept.
    versions: int
    # What they take, and what those of all sessions may take.
    bytes: int
    bytes_max: int
    # Programs of the sessions' own.
    programs: int
    # Ids of nodes, and for how many sessions they execute. Those that nobody has called in yet are not among them.
    homes: dict[int, int]


class Session:
    """A session by its id. Nothing is asked before a method is called; safe to use from any thread.

    Its values are JSON values of at most 32 KiB together with their names. Every write makes the next version. Reads
    see everything that was acknowledged before they began, on every node, unless they say `stale=True`.

    Methods raise `SessionNotFound` where there is no such session, and `ConnectionLost` where there is no node.
    """

    def __init__(self, session_id: str, ask: Ask, programs: Programs) -> None:
        """Sessions are made by `Client.create_session` and `Client.session`."""
        self.id = text("the id of a session", session_id, _EXAMPLE)
        self._send = ask
        self._programs = programs

    def __repr__(self) -> str:
        return f"<dspex session {self.id!r}>"

    def read(self, *, version: int | None = None, stale: bool = False) -> SessionState:
        """The session as it stands, or an earlier version of it.

        stale: whatever the node that is asked has, also without a quorum.
        """
        wanted = None if version is None else whole("version", version, least=1)
        return _state(self._ask({"verb": "get", "version": wanted, "stale": bool(stale)}))

    def exists(self) -> bool:
        """Whether there is such a session."""
        try:
            self.read()
        except SessionNotFound:
            return False
        return True

    def set(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        remove: Iterable[str] = (),
        replace: bool = False,
        if_version: int | None = None,
        ttl: float | None = KEPT,
        timeout: float = _WRITE_SECONDS,
    ) -> int:
        """Write values; the version that this makes.

        values: names and JSON values that come, or take the place of others.
        remove: names that go.
        replace: what is not in `values` goes.
        if_version: the session must stand at this version, else `VersionConflict` is raised and nothing is written.
        ttl: seconds that it lives after each write from now on; None: until it is deleted.
        timeout: seconds for which the write is sent again while its outcome is not known; then `OutcomeUnknown`.
        """
        order = {
            "verb": "update",
            "version": None if if_version is None else whole("if_version", if_version, least=1),
            "replace": bool(replace),
            "removed": [text("a name", name, _EXAMPLE) for name in remove],
            "set": _forms(values or {}),
            "ttl_ms": None if ttl is KEPT else 0 if ttl is None else _milliseconds("ttl", ttl),
        }
        return int(self._write(order, timeout)["version"])

    def update(
        self,
        change: Callable[[dict[str, Any]], dict[str, Any] | None],
        *,
        attempts: int = _ATTEMPTS_MAX,
        timeout: float = _WRITE_SECONDS,
    ) -> SessionState:
        """Let a function change the session's values, and write what it makes of them; the session after that.

        The function gets a dict of its own, and changes it or returns another one. It is called again with newer
        values when somebody else has written meanwhile, at most `attempts` times in all: it should do nothing but
        compute. What it raises is raised here, and nothing is written.
        """
        for attempt in range(1, whole("attempts", attempts, least=1) + 1):
            before = self.read()
            given = copy.deepcopy(before.data)
            returned = change(given)
            after = given if returned is None else returned
            if not isinstance(after, dict):
                raise TypeError(f"the function returns a dict or None, not {after!r}")
            if _forms(after) == _forms(before.data):
                return before
            try:
                self.set(after, replace=True, if_version=before.version, timeout=timeout)
            except VersionConflict:
                if attempt == attempts:
                    raise
                continue
            return self.read(version=before.version + 1)
        raise AssertionError("unreachable")

    def delete(self, *, if_version: int | None = None, timeout: float = _WRITE_SECONDS) -> None:
        """Remove the session with its history."""
        wanted = None if if_version is None else whole("if_version", if_version, least=1)
        self._write({"verb": "delete", "version": wanted}, timeout)

    def history(self, *, stale: bool = False) -> list[SessionVersion]:
        """The versions that are kept, newest first."""
        items = self._ask({"verb": "history", "stale": bool(stale)})["items"]
        return [SessionVersion(item["version"], _date(item["written_ms"]), _values(item["data"])) for item in items]

    def stats(self, *, stale: bool = False) -> SessionStats:
        """What the session takes, and which node it is executed at."""
        return SessionStats(**self._ask({"verb": "stats", "stale": bool(stale)}))

    def execute(
        self,
        command: str,
        arguments: Any = None,
        *,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int | None = None,
    ) -> Any:
        """Call a command in the session, and wait for its result: a JSON value.

        The code may read and change the session's values (`dspex.current_session().data`); what it changes is
        written with the call's result, or not at all. Calls of one session are executed one after the other, at the
        session's home, on a worker of its own, wherever they are asked for. A command with a parameter `session_id` is
        told the session's id.

        command, arguments, timeout, queue_timeout, retries: as `Pool.call`. After the loss of the home the call is
        executed again at another node unless `retries` is 0. Raises what `Pool.call` raises, and `VersionConflict` when
        somebody else has written to the session meanwhile: nothing of the call counts then.
        """
        order = {
            "verb": "execute",
            "command": called_name(command),
            "arguments": b"" if arguments is None else _encode(arguments),
            "queue_timeout_ms": None if queue_timeout is None else _milliseconds("queue_timeout", queue_timeout),
            "timeout_ms": None if timeout is None else _milliseconds("timeout", timeout),
            "retries": None if retries is None else whole("retries", retries, least=0),
            "traceparent": trace_context.current(),
        }
        answer = self._write(order, _WRITE_SECONDS, calls=True)
        if answer["result"] is None:
            raise DspexError(
                f"the call was executed and made version {answer['version']}; its result was lost with the connection",
                code="DATA_LOSS",
                reason="RESULT_LOST",
            )
        return _decode(answer["result"])

    def store_program(self, program: str, definition: Any = None, **options: Any) -> ProgramWritten:
        """Store a program of this session, or its next version: it leaves with the session.

        The arguments are those of `Client.programs.put`, which stores programs of everybody.
        """
        return self._programs.put(program, definition, **options, session=self.id)

    def get_program(self, program: str, **options: Any) -> Program:
        """The session's program of this name; where it has none, that of everybody.

        The arguments are those of `Client.programs.get`.
        """
        return self._programs.get(program, **{"or_global": True, **options}, session=self.id)

    def programs(self, **options: Any) -> Iterator[Program]:
        """The programs of this session, as `Client.programs.list` gives them."""
        return self._programs.list(**options, session=self.id)

    def delete_program(self, program: str, **options: Any) -> None:
        """Remove a program of this session with its history."""
        self._programs.delete(program, **options, session=self.id)

    def _write(self, order: dict[str, Any], timeout: float, calls: bool = False) -> dict[str, Any]:
        limit = _milliseconds("timeout", timeout)
        return self._ask({**order, "request": new_request_id(), "limit_ms": limit}, calls)

    def _ask(self, order: dict[str, Any], calls: bool = False) -> dict[str, Any]:
        return ask(self._send, {**order, "session": self.id}, calls)


def create(send: Ask, session_id: str | None, data: Mapping[str, Any] | None, ttl: float | None, timeout: float) -> str:
    """Makes a session; its id."""
    client, request = new_request_id()
    order = {
        "verb": "create",
        "request": (client, request),
        "session": request if session_id is None else text("the id of a session", session_id, _EXAMPLE),
        "data": _forms(data or {}),
        "ttl_ms": None if ttl is None else _milliseconds("ttl", ttl),
        "limit_ms": _milliseconds("timeout", timeout),
    }
    made: str = ask(send, order)["session"]
    return made


def listed(send: Ask, prefix: str, stale: bool) -> Iterator[SessionState]:
    """Page after page."""
    after, truncated = "", True
    while truncated:
        order = {"verb": "list", "after": after, "prefix": prefix, "limit": _PAGE, "stale": stale}
        page = ask(send, order)
        truncated = page["truncated"] and bool(page["items"])
        for item in page["items"]:
            after = item["session"]
            yield _state(item)


def stats(send: Ask, stale: bool) -> SessionStats:
    """Of all sessions."""
    return SessionStats(**ask(send, {"verb": "stats", "session": "", "stale": stale}))


def ask(send: Ask, order: dict[str, Any], calls: bool = False) -> dict[str, Any]:
    """The answer, or the exception that says what has become of the request."""
    try:
        return send(order, calls)
    except DspexError as error:
        given = {"code": error.code, "reason": error.reason, "message": error.args[0], "metadata": error.metadata}
        refined = error_of(given)
        if type(refined) is DspexError:
            raise
        raise refined from None


def _state(item: Mapping[str, Any]) -> SessionState:
    expires, ttl = item["expires_ms"], item["ttl_ms"]
    return SessionState(
        id=item["session"],
        version=item["version"],
        data=_values(item["data"]),
        created=_date(item["created_ms"]),
        updated=_date(item["updated_ms"]),
        expires=None if expires is None else _date(expires),
        ttl=None if ttl is None else ttl / 1000,
    )


def _values(data: Mapping[str, str]) -> dict[str, Any]:
    return {name: _decode(form) for name, form in data.items()}


def _forms(values: Mapping[str, Any]) -> dict[str, str]:
    forms = {}
    for name, value in values.items():
        try:
            forms[text("a name", name, _EXAMPLE)] = _encode(value).decode()
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            if not isinstance(name, str):
                raise
            raise TypeError(f"the value of {name!r} has no JSON form: {error}") from None
    return forms


def _date(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def _milliseconds(name: str, value: float) -> int:
    return operator.index(max(1, round(seconds(name, value) * 1000)))
