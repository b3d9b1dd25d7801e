"""DSPex runs DSPy programs on a cluster. Importing this package costs nothing: no dspy, no node, no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex.connected import Client, connect
    from dspex.errors import DspexError, ExampleError, RemoteError
    from dspex.evaluate import Evaluate, EvaluationResult
    from dspex.executions import Execution, ExecutionError, Executions
    from dspex.pool import Pool
    from dspex.pool_command import command
    from dspex.pool_errors import (
        CallFailed,
        CallTimedOut,
        ConnectionLost,
        NotDefined,
        PoolFull,
        QueueTimeout,
        WorkerLost,
    )
    from dspex.pool_stats import PoolStats
    from dspex.runtime.sessions import current_session
    from dspex.session import Session, SessionState, SessionVersion
    from dspex.session_errors import OutcomeUnknown, SessionExists, SessionNotFound, VersionConflict

__version__ = "0.1.0"

__all__ = [
    "CallFailed",
    "CallTimedOut",
    "Client",
    "ConnectionLost",
    "DspexError",
    "Evaluate",
    "EvaluationResult",
    "ExampleError",
    "Execution",
    "ExecutionError",
    "Executions",
    "NotDefined",
    "OutcomeUnknown",
    "Pool",
    "PoolFull",
    "PoolStats",
    "QueueTimeout",
    "RemoteError",
    "Session",
    "SessionExists",
    "SessionNotFound",
    "SessionState",
    "SessionVersion",
    "VersionConflict",
    "WorkerLost",
    "command",
    "connect",
    "current_session",
]

# Where each name lives; imported when it is first used.
_HOMES = {
    "CallFailed": "dspex.pool_errors",
    "CallTimedOut": "dspex.pool_errors",
    "Client": "dspex.connected",
    "ConnectionLost": "dspex.pool_errors",
    "DspexError": "dspex.errors",
    "Evaluate": "dspex.evaluate",
    "EvaluationResult": "dspex.evaluate",
    "ExampleError": "dspex.errors",
    "Execution": "dspex.executions",
    "ExecutionError": "dspex.executions",
    "Executions": "dspex.executions",
    "NotDefined": "dspex.pool_errors",
    "OutcomeUnknown": "dspex.session_errors",
    "Pool": "dspex.pool",
    "PoolFull": "dspex.pool_errors",
    "PoolStats": "dspex.pool_stats",
    "QueueTimeout": "dspex.pool_errors",
    "RemoteError": "dspex.errors",
    "Session": "dspex.session",
    "SessionExists": "dspex.session_errors",
    "SessionNotFound": "dspex.session_errors",
    "SessionState": "dspex.session",
    "SessionVersion": "dspex.session",
    "VersionConflict": "dspex.session_errors",
    "WorkerLost": "dspex.pool_errors",
    "command": "dspex.pool_command",
    "connect": "dspex.connected",
    "current_session": "dspex.runtime.sessions",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dspex' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
