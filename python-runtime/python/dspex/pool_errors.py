"""What may become of a call of a pool instead of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dspex import session_errors
from dspex.errors import DspexError


class PoolFull(DspexError):
    """As many calls wait as may. Try again in a moment, or keep fewer in flight."""


class QueueTimeout(DspexError):
    """No worker was free within the call's `queue_timeout`."""


class CallTimedOut(DspexError):
    """The call ran longer than its `timeout`, and was ended with its worker."""


class WorkerLost(DspexError):
    """The worker died while it executed the call, as often as the call may be executed."""

    @property
    def output(self) -> str:
        """The end of what the worker printed."""
        return self.metadata.get("output", "")


class CallFailed(DspexError):
    """The command raised."""

    @property
    def type(self) -> str:
        """The exception's class, with its module where it is not a builtin."""
        return self.metadata.get("type", "")

    @property
    def traceback(self) -> str | None:
        """The frames of the user's code; None where the runtime itself refused the call."""
        return self.metadata.get("traceback") or None


class NotDefined(DspexError):
    """The call names a program that is neither stored nor created in this pool, or a command that it does not have."""


class InputsInvalid(DspexError):
    """The inputs do not fit the signature of the stored program: nothing was executed. The message names the fields."""


class ConnectionLost(DspexError):
    """The node, or the way to it, ended. Whether a call under way was executed is not known.

    The next call connects again. With the reason `NODE_DRAINING` the node is there, and the call was not executed: the
    next one goes over another connection, which leads to another node where the address stands for several. Where it
    names one node, nothing is executed there as long as that drains: connect to another one.
    """


_BY_REASON: dict[str, type[DspexError]] = {
    "CLIENT_ENDED": ConnectionLost,
    "NODE_UNREACHABLE": ConnectionLost,
    "NODE_DRAINING": ConnectionLost,
    "POOL_FULL": PoolFull,
    "QUEUE_TIMEOUT": QueueTimeout,
    "CALL_TIMED_OUT": CallTimedOut,
    "WORKER_LOST": WorkerLost,
    "CALL_FAILED": CallFailed,
    "NOT_DEFINED": NotDefined,
    "PROGRAM_INPUTS_INVALID": InputsInvalid,
    **session_errors.BY_REASON,
}


def is_lost(code: str, reason: str) -> bool:
    """Whether this says that the node or the way to it is gone."""
    if reason == "NODE_DRAINING":
        return False  # It is there, and goes on with the calls that it has.
    return code == "UNAVAILABLE" or _BY_REASON.get(reason) is ConnectionLost


def error_of(given: Mapping[str, Any]) -> DspexError:
    """The exception for the `error` of an answer."""
    code, reason = given.get("code", "UNKNOWN"), given.get("reason", "")
    kind = _BY_REASON.get(reason) or (ConnectionLost if is_lost(code, reason) else DspexError)
    metadata = {key: value for key, value in (given.get("metadata") or {}).items() if value}
    return kind(given.get("message", ""), code=code, reason=reason, metadata=metadata)
