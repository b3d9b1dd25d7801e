"""DSPex runs DSPy programs on a cluster. Importing this package costs nothing: no dspy, no node, no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dspex.imported import watch

if TYPE_CHECKING:
    from dspex.connected import Client, connect
    from dspex.distribution import Batch, Distribution, distribute
    from dspex.errors import DspexError, ExampleError, RemoteError
    from dspex.evaluate import Evaluate, EvaluationResult
    from dspex.executions import Execution, ExecutionError, Executions
    from dspex.pool import Pool
    from dspex.pool_command import command
    from dspex.pool_errors import (
        CallFailed,
        CallTimedOut,
        ConnectionLost,
        InputsInvalid,
        NotDefined,
        PoolFull,
        QueueTimeout,
        WorkerLost,
    )
    from dspex.pool_stats import PoolStats
    from dspex.program_records import Optimization, Program, ProgramVersion, ProgramWritten, Signature, SignatureField
    from dspex.programs import Programs
    from dspex.runtime.current_program import current_program
    from dspex.runtime.sessions import current_session
    from dspex.session import Session, SessionState, SessionStats, SessionVersion
    from dspex.session_errors import OutcomeUnknown, SessionExists, SessionNotFound, VersionConflict
    from dspex.stored_errors import DefinitionInvalid, NameInvalid, ProgramNotFound, TooLarge, VariableNotFound
    from dspex.variables import Variable, Variables

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "CallFailed",
    "CallTimedOut",
    "Client",
    "ConnectionLost",
    "DefinitionInvalid",
    "Distribution",
    "DspexError",
    "Evaluate",
    "EvaluationResult",
    "ExampleError",
    "Execution",
    "ExecutionError",
    "Executions",
    "InputsInvalid",
    "NameInvalid",
    "NotDefined",
    "Optimization",
    "OutcomeUnknown",
    "Pool",
    "PoolFull",
    "PoolStats",
    "Program",
    "ProgramNotFound",
    "ProgramVersion",
    "ProgramWritten",
    "Programs",
    "QueueTimeout",
    "RemoteError",
    "Session",
    "SessionExists",
    "SessionNotFound",
    "SessionState",
    "SessionStats",
    "SessionVersion",
    "Signature",
    "SignatureField",
    "TooLarge",
    "Variable",
    "VariableNotFound",
    "Variables",
    "VersionConflict",
    "WorkerLost",
    "command",
    "connect",
    "current_program",
    "current_session",
    "distribute",
]

# Where each name lives; imported when it is first used.
_HOMES = {
    "Batch": "dspex.distribution",
    "CallFailed": "dspex.pool_errors",
    "CallTimedOut": "dspex.pool_errors",
    "Client": "dspex.connected",
    "ConnectionLost": "dspex.pool_errors",
    "DefinitionInvalid": "dspex.stored_errors",
    "Distribution": "dspex.distribution",
    "DspexError": "dspex.errors",
    "Evaluate": "dspex.evaluate",
    "EvaluationResult": "dspex.evaluate",
    "ExampleError": "dspex.errors",
    "Execution": "dspex.executions",
    "ExecutionError": "dspex.executions",
    "Executions": "dspex.executions",
    "InputsInvalid": "dspex.pool_errors",
    "NameInvalid": "dspex.stored_errors",
    "NotDefined": "dspex.pool_errors",
    "Optimization": "dspex.program_records",
    "OutcomeUnknown": "dspex.session_errors",
    "Pool": "dspex.pool",
    "PoolFull": "dspex.pool_errors",
    "PoolStats": "dspex.pool_stats",
    "Program": "dspex.program_records",
    "ProgramNotFound": "dspex.stored_errors",
    "ProgramVersion": "dspex.program_records",
    "ProgramWritten": "dspex.program_records",
    "Programs": "dspex.programs",
    "QueueTimeout": "dspex.pool_errors",
    "RemoteError": "dspex.errors",
    "Session": "dspex.session",
    "SessionExists": "dspex.session_errors",
    "SessionNotFound": "dspex.session_errors",
    "SessionState": "dspex.session",
    "SessionStats": "dspex.session",
    "SessionVersion": "dspex.session",
    "Signature": "dspex.program_records",
    "SignatureField": "dspex.program_records",
    "TooLarge": "dspex.stored_errors",
    "Variable": "dspex.variables",
    "VariableNotFound": "dspex.stored_errors",
    "Variables": "dspex.variables",
    "VersionConflict": "dspex.session_errors",
    "WorkerLost": "dspex.pool_errors",
    "command": "dspex.pool_command",
    "connect": "dspex.connected",
    "current_program": "dspex.runtime.current_program",
    "current_session": "dspex.runtime.sessions",
    "distribute": "dspex.distribution",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dspex' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


watch()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
