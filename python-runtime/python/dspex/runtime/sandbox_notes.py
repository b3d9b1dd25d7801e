"""What the sandbox of the node kept a program from, and which setting of the node allows it."""

from __future__ import annotations

import errno
import os
import socket

from dspex.runtime import sandbox

_WHERE = "in [sandbox] of the node's dspex.toml"
_READ_FILE = 1 << 2
# A chain of causes may hold itself.
_CAUSES_MAX = 8


def of(error: BaseException) -> str | None:
    """A sentence for an exception that the sandbox, or a limit of it, is behind; None where it is not, or not known."""
    if sandbox.applied is None:
        return None
    cause: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if cause is None:
            return None
        if note := _of_one(cause):
            return note
        cause = cause.__cause__ or cause.__context__
    return None


def with_note(message: str, error: BaseException) -> str:
    """The message, and what the sandbox has to do with it."""
    note = of(error)
    return f"{message}\n{note}" if note else message


def of_directory(kind: str, message: str) -> str:
    """The message of a load that failed, and why the worker is not in the directory where its caller is."""
    if sandbox.applied is None or not sandbox.applied.refused:
        return message
    if not kind.endswith("_missing") and "ModuleNotFoundError" not in message:
        return message
    return (
        f"{message}\nThe sandbox of this node does not let programs read {sandbox.applied.refused}, so the worker "
        f"started in a directory of its own: `readable` {_WHERE} allows more."
    )


def _of_one(error: BaseException) -> str | None:
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return _limit("processes and threads", "processes")
    if isinstance(error, socket.gaierror):
        # No name is found where nobody can be asked.
        return None if sandbox.applied is None or sandbox.applied.network else _refused(errno.EACCES)
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.EACCES, errno.EPERM):
        path = _path(error.filename2) or _path(error.filename)
        return _refused_file(path) if path else _refused(error.errno)
    if error.errno == errno.EMFILE:
        return _limit("open files and connections", "open_files")
    if error.errno == errno.EFBIG:
        return _limit("the length of a file", "file_size")
    if error.errno == errno.EAGAIN and _innermost(error) == "_execute_child":
        return _limit("processes and threads", "processes")
    return None


def _refused_file(path: str) -> str | None:
    order = sandbox.applied
    assert order is not None
    if _lies_in(path, order.writable):
        return None  # The file's own mode.
    readable = [rule for rule, rights in order.landlock.rules if rights & _READ_FILE]
    if _lies_in(path, readable):
        return (
            f"The sandbox of this node lets programs write in their own directory ({order.own}, HOME and TMPDIR) and "
            f"below `writable` {_WHERE} only."
        )
    return f"The sandbox of this node does not let programs read {path}: `readable` {_WHERE} allows more."


def _refused(number: int | None) -> str:
    order = sandbox.applied
    assert order is not None
    if number == errno.EPERM:
        return "The sandbox of this node keeps programs from other processes and from what belongs to the machine."
    if not order.network:
        return f'The sandbox of this node lets programs connect nowhere: `network = "none"` {_WHERE}.'
    return (
        "The sandbox of this node lets programs connect neither to nodes, nor to metadata services of clouds, nor to "
        "sockets of other programs on its machine."
    )


def _limit(what: str, key: str) -> str:
    return f"The sandbox of this node limits {what} of a worker: `{key}` {_WHERE}."


def _path(name: object) -> str | None:
    if not isinstance(name, (str, bytes, os.PathLike)):
        return None
    try:
        path = os.path.realpath(os.fsdecode(name))
    except (OSError, ValueError):
        return None
    # It has another name outside.
    own = f"/proc/{os.getpid()}"
    return path.replace(own, "/proc/self", 1) if path == own or path.startswith(own + os.sep) else path


def _lies_in(path: str, places: list[str]) -> bool:
    real = map(os.path.realpath, places)
    return any(path == place or path.startswith(place.rstrip(os.sep) + os.sep) for place in real)


def _innermost(error: BaseException) -> str | None:
    frame, name = error.__traceback__, None
    while frame is not None:
        name, frame = frame.tb_frame.f_code.co_name, frame.tb_next
    return name
