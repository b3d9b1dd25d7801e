"""The session that a call is executed in, as its code finds it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_active: ContextVar[Session | None] = ContextVar("dspex_session", default=None)


class SessionError(ValueError):
    """The session cannot be used as asked; the message says what to do."""


class Session:
    """A session during one call: its `data` may be read and changed, and what was changed is stored with the call's
    result.

    Nothing else of it is kept: the worker that executes the next call may be another one, on another node.
    """

    def __init__(self, session_id: str, version: int, stored: bytes) -> None:
        self._id = session_id
        self._version = version
        self._stored = stored
        self._data: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<dspex session {self._id!r} at version {self._version}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self._id

    @property
    def version(self) -> int:
        """The version of the data that the call began with. A call that changes the data makes the next one."""
        return self._version

    @property
    def data(self) -> dict[str, Any]:
        """Names and JSON values. What is set, changed or deleted is stored with the call's result, not if it raises."""
        if self._data is None:
            self._data = _decode(self._stored)
        return self._data

    def changes(self) -> tuple[list[tuple[str, str]], list[str]] | None:
        """What has changed: names with their JSON, and names that are gone. None: nothing has."""
        if self._data is None:
            return None
        before = {name: _encode(value) for name, value in _decode(self._stored).items()}
        now = {_name(name): _form(name, value) for name, value in self._data.items()}
        came = [(name, form.decode()) for name, form in now.items() if before.get(name) != form]
        gone = [name for name in before if name not in now]
        return (came, gone) if came or gone else None


def current_session() -> Session:
    """The session in which the running call is executed: by `session.execute` of a client, or `Sessions.Execute`.

    Raises `SessionError` where there is none, as in a call of a pool or in an evaluation.
    """
    session = _active.get()
    if session is None:
        raise SessionError("this call is not executed in a session: call it by session.execute(...)")
    return session


def active() -> Session | None:
    """The session, where there is one."""
    return _active.get()


def enter(session: Session) -> None:
    """From here on in this context."""
    _active.set(session)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise SessionError(f"a name in a session's data is a text that is not empty, not {name!r}")
    return name


def _form(name: str, value: Any) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise SessionError(f"the session's value {name!r} has no JSON form: {error}") from None
