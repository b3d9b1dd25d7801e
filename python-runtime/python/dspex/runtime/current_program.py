"""The stored program that a call executes, as its code finds it."""

from __future__ import annotations

import copy
from contextvars import ContextVar
from typing import Any

_active: ContextVar[CurrentProgram | None] = ContextVar("dspex_program", default=None)


class NoProgramError(ValueError):
    """There is no stored program; the message says when there is one."""


class CurrentProgram:
    """A stored program during one call."""

    def __init__(self, name: str, version: int, variables: dict[str, Any]) -> None:
        self._name = name
        self._version = version
        self._variables = variables

    def __repr__(self) -> str:
        return f"<dspex program {self._name!r} at version {self._version}>"

    @property
    def name(self) -> str:
        """The name by which it was called."""
        return self._name

    @property
    def version(self) -> int:
        """The version that is executed."""
        return self._version

    @property
    def variables(self) -> dict[str, Any]:
        """Names and JSON values that are stored with this version. A copy: what is changed in it is not kept."""
        return copy.deepcopy(self._variables)


def current_program() -> CurrentProgram:
    """The stored program that the running call executes, by `execute_program` and its name.

    Raises `NoProgramError` where there is none, as in an evaluation or for a program of `create_program`.
    """
    program = _active.get()
    if program is None:
        raise NoProgramError("this call executes no stored program: store it by `dspex program put`, and call its name")
    return program


def enter(program: CurrentProgram) -> None:
    """From here on in this context."""
    _active.set(program)
