"""Exceptions of user code, told the way their author needs them: own frames only, and where it happened."""

from __future__ import annotations

import os
import sysconfig
import traceback
from typing import Any

from dspex.runtime import project, sandbox_notes
from dspex.runtime.protocol import bounded

MAX_MESSAGE = 4 * 1024
MAX_TRACEBACK = 16 * 1024
# Shown when no frame is the user's: the innermost ones, where the error came from.
_FOREIGN_FRAMES = 4

_RUNTIME = os.path.dirname(os.path.abspath(__file__))
# The second stands between the user's import and the user's module.
_OURS = (_RUNTIME + os.sep, os.path.join(os.path.dirname(_RUNTIME), "imported.py"))
_STANDARD = tuple(
    path + os.sep
    for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(os.__file__)}
    if path
)


class RaisedThere(Exception):
    """What another process was asked to do raised; `failure` tells it as if it had been raised here."""

    def __init__(self, failure: dict[str, Any]) -> None:
        super().__init__(failure["message"])
        self.failure = failure


def is_user_file(filename: str) -> bool:
    """Whether a source file is the user's own: no library, not the standard one, not this runtime."""
    if filename.startswith("<") or filename.startswith(_OURS):
        return False
    if f"{os.sep}site-packages{os.sep}" in filename or f"{os.sep}dist-packages{os.sep}" in filename:
        return False
    return not filename.startswith(_STANDARD)


def describe(error: BaseException) -> dict[str, Any]:
    """The `failure` map of PROTOCOL.md."""
    if isinstance(error, RaisedThere):
        return error.failure
    text, file, line = locate(error)
    return {
        "type": bounded(class_name(error), MAX_MESSAGE),
        "message": bounded(sandbox_notes.with_note(message_of(error), error), MAX_MESSAGE),
        "traceback": text,
        "file": file,
        "line": line,
    }


def locate(error: BaseException) -> tuple[str, str | None, int | None]:
    """(the traceback with the user's frames, file and line of the innermost frame of theirs, else of any)."""
    told = traceback.TracebackException.from_exception(error, limit=-200)
    frames = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
    own = [frame for frame in frames if is_user_file(frame.filename)]
    file, line = None, None
    if isinstance(error, SyntaxError) and error.filename and is_user_file(error.filename):
        file, line = error.filename, error.lineno
    elif own or frames:
        innermost = (own or frames)[-1]
        file, line = innermost.filename, innermost.lineno
    _keep_user_frames(told, 0)
    text = bounded(project.told("".join(told.format())), MAX_TRACEBACK)
    return text, bounded(project.from_root(file), MAX_MESSAGE) if file else None, line


def _keep_user_frames(told: traceback.TracebackException, depth: int) -> None:
    own = [frame for frame in told.stack if is_user_file(frame.filename)]
    foreign = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
    told.stack = traceback.StackSummary.from_list(own or foreign[-_FOREIGN_FRAMES:])
    # Causes may form long chains; what is deeper does not help the reader and is dropped.
    for name in ("__cause__", "__context__"):
        cause = getattr(told, name)
        if cause is not None and depth < 4:
            _keep_user_frames(cause, depth + 1)
        elif cause is not None:
            setattr(told, name, None)


def class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:
        return f"<str() of the exception raised {type(second).__name__}>"
