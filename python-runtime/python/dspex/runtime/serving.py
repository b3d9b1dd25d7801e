"""A worker that serves a pool's calls: finds the command, calls it, and gives the reply's form."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import resource
import time
from typing import Any

import dspy
import msgspec
from dspy.dsp.utils.settings import thread_local_overrides

from dspex.runtime import accounting, failure, language_models, protocol, references, sessions, tracing
from dspex.runtime.canonical import canonical
from dspex.runtime.commands import Commands, Defined, NeedsDefinition, Traced, UnknownCommand, takes_session_id
from dspex.runtime.directory import WorkingDirectory
from dspex.runtime.outbox import Outbox, Reply
from dspex.runtime.programs import ProgramError, Programs
from dspex.runtime.sessions import Session, SessionError

DONE = 0
FAILED = 1
NEEDS = 2
DEFINED = 3
CHANGED = 4
TRACED = 5

# Of one reply; a frame holds 32 MiB.
MAX_RESULT = 16 * 1024 * 1024

# id, command, arguments, traceparent, session
Call = tuple[int, str, bytes, "str | None", "tuple[str, int, bytes] | None"]
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


class ResultTooLong(ValueError):
    """The result does not fit a frame."""


_REFUSALS = (UnknownCommand, ProgramError, ResultTooLong, SessionError)


class Serving:
    """Executes calls. Safe to use from several threads."""

    def __init__(self, order: protocol.Serve, outbox: Outbox) -> None:
        if order.protocol != protocol.VERSION:
            raise references.LoadFailure(
                "arguments",
                f"the node speaks protocol {order.protocol}, this worker {protocol.VERSION}: restart the node",
            )
        accounting.install()
        self._outbox = outbox
        self._programs = Programs(order.traces)
        self._worker = os.environ.get("DSPEX_WORKER", "")
        self._commands = Commands(
            {
                "ping": self._ping,
                "create_program": self._programs.create,
                "execute_program": self._programs.execute,
            }
        )
        self.names = self._commands.load(order.commands)
        if order.lm is not None:
            dspy.configure(lm=language_models.named(references.Importer(), order.lm, []))
        # As for examples: each call starts from what the imports left.
        self._context = contextvars.copy_context()
        self._context.run(thread_local_overrides.set, dspy.settings.copy())
        self._directory = WorkingDirectory()

    def define(self, name: str, body: bytes | None) -> None:
        self._programs.define(name, body)

    def call(self, call: Call) -> Reply:
        number, name, arguments, traceparent, session = call
        clock = Clock()
        try:
            if name == "ping" and traceparent is None and session is None:
                status, body = DONE, _encode(self._ping(_decode(arguments) if arguments else None))
            else:
                with self._directory:
                    context = self._context.copy()
                    if session is not None:
                        context.run(sessions.enter, Session(*session))
                    status, body = context.run(self._call, name, arguments, traceparent)
        except NeedsDefinition as needs:
            status, body = NEEDS, needs.name.encode("utf-8", "backslashreplace")
        except BaseException as error:  # SystemExit, too: no call ends the worker.
            self._outbox.leave_if_forked()
            status, body = FAILED, _pack(_described(error))
        return number, status, body, *clock.microseconds()

    def _call(self, name: str, arguments: bytes, traceparent: str | None) -> tuple[int, bytes]:
        given = _decode(arguments) if arguments else None
        command = self._commands.find(name)
        session = sessions.active()
        if session is not None and takes_session_id(command) and type(given) in (dict, type(None)):
            given = {"session_id": session.id, **(given or {})}
        with tracing.under(traceparent):
            if type(given) is dict and name != "ping":
                result = command(**given)
            elif given is None:
                result = command()
            else:
                result = command(given)
            if inspect.iscoroutine(result):
                result = asyncio.run(result)  # Its task has a copy of this context.
        self._outbox.leave_if_forked()
        if type(result) is Defined:
            return DEFINED, _pack((_json(result.result), result.name, result.body))
        trace = None
        if type(result) is Traced:
            result, trace = result.result, result.trace
        form = _json(result)
        changes = session.changes() if session is not None else None
        if trace is not None:
            return TRACED, _pack((form, trace, changes))
        return (DONE, form) if changes is None else (CHANGED, _pack((form, *changes)))

    def _ping(self, payload: Any = None) -> dict[str, Any]:
        return {"worker": self._worker, "payload": payload}


class Clock:
    """How long a call takes, and how much CPU time when it waits for nothing else."""

    __slots__ = ("_cpu", "_started", "_waits")

    def __init__(self) -> None:
        self._waits = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        self._cpu = time.thread_time_ns()
        self._started = time.perf_counter_ns()

    def microseconds(self) -> tuple[int, int | None]:
        duration = time.perf_counter_ns() - self._started
        cpu = time.thread_time_ns() - self._cpu
        waited = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw != self._waits
        return duration // 1000, None if waited else cpu // 1000


def _described(error: BaseException) -> dict[str, Any]:
    described = failure.describe(error)
    if isinstance(error, _REFUSALS):
        # Nothing of the user's raised it, so there is no place to show.
        described.update(type=type(error).__name__, traceback=None, file=None, line=None)
    elif isinstance(error, references.LoadFailure):
        described.update(type=error.kind, traceback=error.traceback, file=error.file, line=error.line)
    return described


def _json(result: Any) -> bytes:
    try:
        body = _encode(result)
    except (TypeError, ValueError, msgspec.MsgspecError):
        body, _ = canonical(result)
    if len(body) > MAX_RESULT:
        raise ResultTooLong(
            f"the result takes {len(body)} bytes; the limit is 16 MiB: return a part of it, or write a file"
        )
    return body
