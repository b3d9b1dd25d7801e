"""`@dspex.command`: a function that callers of a pool may name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

_Function = TypeVar("_Function", bound=Callable[..., Any])
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# Read by dspex.runtime.commands.
_MARK = "__dspex_command__"


@overload
def command(function: _Function, /) -> _Function: ...
@overload
def command(*, name: str) -> Callable[[_Function], _Function]: ...
def command(function: Any = None, /, *, name: str | None = None) -> Any:
    """Make a function a command of the pools that are told to load its module (`commands = ["module"]`).

    It is called with the fields of the JSON object that the caller sends as keyword arguments (with any other JSON
    value as its only argument), on a worker's thread, and returns what has a JSON form.

        @dspex.command
        def analyze(text: str) -> dict:
            return {"words": len(text.split())}
    """

    def mark(marked: _Function) -> _Function:
        chosen = name or marked.__name__
        if not _NAME.fullmatch(chosen):
            raise ValueError(f"{chosen!r} is no name of a command: letters, digits, '_', '.', '-', at most 64 of them")
        setattr(marked, _MARK, chosen)
        return marked

    return mark if function is None else mark(function)
