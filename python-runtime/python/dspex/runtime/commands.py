"""The commands of a pool's worker: the built-in ones, those of the user's modules, and any function by reference."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import dspy

from dspex.runtime import loading, references
from dspex.runtime.references import LoadFailure

# Set by `dspex.command`.
MARK = "__dspex_command__"
# References that a worker remembers; a caller who makes up new ones all the time only loses speed.
_REFERENCES_MAX = 1000


class NeedsDefinition(Exception):
    """The worker must be told first what stands behind this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class UnknownCommand(Exception):
    """There is no such command; the message lists those there are."""


class Defined:
    """The result of a command that defines a name for all workers of the pool."""

    __slots__ = ("body", "name", "result")

    def __init__(self, result: Any, name: str, body: bytes) -> None:
        self.result = result
        self.name = name
        self.body = body


class Traced:
    """The result of a command, and what happened on the way: JSON that is recorded, and not given to the caller."""

    __slots__ = ("result", "trace")

    def __init__(self, result: Any, trace: bytes) -> None:
        self.result = result
        self.trace = trace


Command = Callable[..., Any]


class Commands:
    """From the name that a caller gives to the function that answers."""

    def __init__(self, builtin: dict[str, Command]) -> None:
        self._named = dict(builtin)
        self._referenced: dict[str, Command] = {}
        self._importer = references.Importer()
        self._importing = threading.Lock()

    def load(self, modules: list[str]) -> list[str]:
        """Import the modules that define commands; all names there are then. LoadFailure when one cannot be."""
        for written in modules:
            module = self._importer.load(_module(written), "program_missing")
            found = _marked(module)
            if not found:
                raise LoadFailure(
                    "not_a_program",
                    f"{written} defines no command: put @dspex.command above the functions that callers may name",
                )
            for name, function in found.items():
                known = self._named.get(name)
                if known is not None and known is not function:
                    text = f"{written}: there already is a command {name!r}; choose another name"
                    raise LoadFailure("arguments", text)
                self._named[name] = function
        return sorted(self._named)

    def find(self, name: str) -> Command:
        command = self._named.get(name) or self._referenced.get(name)
        if command is not None:
            return command
        if ":" not in name:
            hint = references.suggest(name, sorted(self._named)).replace("It defines:", "It has")
            hint = hint if hint.endswith("?") or not hint else f"{hint}."
            raise UnknownCommand(
                f"this pool has no command {name!r}.{hint} Any function can be called as path.py:name or module:name"
            )
        # One at a time: a file that is being imported has half its names.
        with self._importing:
            command = self._referenced.get(name) or self._referenced_command(name)
            if len(self._referenced) < _REFERENCES_MAX:
                self._referenced[name] = command
        return command

    def _referenced_command(self, written: str) -> Command:
        reference = references.parse(written, "COMMAND")
        found = self._importer.find(reference, "program_missing", "name_missing")
        if isinstance(found, type) and issubclass(found, dspy.Module):
            loading.needs_no_arguments(found, reference.name, "not_a_program")
            found = found()
        if not callable(found):
            raise LoadFailure("not_a_program", f"{written} is {references.an_instance(found)}, which cannot be called")
        command: Command = found
        return command


@functools.lru_cache(maxsize=1000)
def takes_session_id(command: Command) -> bool:
    """Whether a call in a session is to tell it which one: where it has a parameter of that name."""
    try:
        return "session_id" in inspect.signature(command).parameters
    except (TypeError, ValueError):
        return False  # Written in C, most often.


def _module(written: str) -> references.Reference:
    # Only the module counts; the name is there because a reference has one.
    return references.parse(f"{written}:commands", "COMMANDS")


def _marked(module: ModuleType) -> dict[str, Command]:
    return {getattr(value, MARK): value for value in vars(module).values() if callable(value) and hasattr(value, MARK)}
