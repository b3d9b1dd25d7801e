"""`@dspex.command`: a function that callers of a pool may name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

_Function = TypeVar("_Function", bound=Callable[..., Any])
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# Read by dspex.runtime.commands.
_MARK = "__dspex_command__"
# Of the name in a call, which may be a path.
_CALLED_MAX_BYTES = 8 * 1024


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


def called_name(command: Any) -> str:
    """The name of a command as it travels. Refused where the caller is: the thread that sends has nobody to tell."""
    if not isinstance(command, str):
        raise TypeError(
            'a command is called by its name: a built-in one ("ping"), the one that @dspex.command gave, '
            f'"module:function" or "path.py:function". This is {command!r}{_suggestion(command)}'
        )
    name = str.__str__(command)  # Of a subclass, too, which has no form in a frame.
    if name.isascii():
        size = len(name)
    else:
        try:
            size = len(name.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise ValueError(f"{name!r} is no name of a command: it has no form in UTF-8. Rename the file") from error
    if size > _CALLED_MAX_BYTES:
        raise ValueError(f"the name of a command has at most {_CALLED_MAX_BYTES} bytes, not {size}")
    return name


def _suggestion(command: Any) -> str:
    name = getattr(command, _MARK, None)
    module, function = getattr(command, "__module__", None), getattr(command, "__qualname__", "<")
    if name is None and module not in (None, "__main__") and "<" not in function:
        name = f"{module}:{function}"
    return f", whose name is {name!r}" if name else ""
