"""What zygote and workers ask of Linux: parent-death signals, descriptors, start times."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# In the environment of a worker and of what it starts.
WORKER_VARIABLE = "DSPEX_WORKER"
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when its parent dies. False when the parent is already gone."""
    if _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    # The parent may have died before the call: then no signal will ever come.
    return os.getppid() == parent


def adopt_orphans() -> None:
    """Become the parent of what dead children leave behind, instead of init."""
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def children() -> list[int]:
    """Of this process's only thread; none where the kernel does not tell."""
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as listed:
            return [int(pid) for pid in listed.read().split()]
    except OSError:
        return []


def worker_of(pid: int) -> str | None:
    """The worker that started a process, by the environment that it was started with."""
    mark = f"{WORKER_VARIABLE}=".encode()
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            found = [entry for entry in environ.read().split(b"\0") if entry.startswith(mark)]
    except OSError:
        return None
    return found[0][len(mark) :].decode("utf-8", "replace") if found else None


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat: with the pid it names a process for ever."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        # The command name may hold spaces and parentheses; the fields after its last ")" are plain.
        fields = stat.read().rpartition(b")")[2].split()
    return int(fields[19])


def library_paths() -> list[str]:
    """Where the interpreter, its libraries and its modules lie: real paths, none within another."""
    named = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, sys.executable, *sys.path]
    for hook in ("sitecustomize", "usercustomize"):
        if file := getattr(sys.modules.get(hook), "__file__", None):
            named.append(file)
    with open("/proc/self/maps") as maps:
        # Of code only: what else is mapped may be anything, a device for instance.
        code = [fields for line in maps if len(fields := line.split(maxsplit=5)) == 6 and "x" in fields[1]]
    named += [os.path.dirname(path) for *_, path in code if path.startswith(os.sep)]
    real = sorted({os.path.realpath(path) for path in named if path and os.path.exists(path)} - {os.sep})
    outermost: list[str] = []
    for path in real:
        if not any(path.startswith(outer + os.sep) for outer in outermost):
            outermost.append(path)
    return outermost


def count_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor above stderr that is not named: a worker inherits nothing by accident."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                pass  # The descriptor of the listing itself is in the listing.
