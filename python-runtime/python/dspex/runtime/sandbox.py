"""The sandbox of a node's workers: applies what the node has ordered to this process, for ever.

What is ordered was computed by the node (`dspex-sandbox`) and is plain data. Everything in it is applied or the worker
ends. `sandbox_notes` tells users what it kept them from.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import struct
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex.runtime.protocol import Landlock, SandboxLimits, SandboxOrder

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

_PR_SET_SECUREBITS = 28
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
# No rights by being root, none kept over a change of user, none handed on; and all of that for ever.
_SECUREBITS = 0b1110_1111
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES_MAX = 64

# The same on x86-64 and arm64.
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER = 1
_FILTER_NEW_LISTENER = 1 << 3
# A signal does not take back what the node is doing for this process. From Linux 5.19 on.
_FILTER_WAIT_KILLABLE = 1 << 5

# When the machine has no memory left, the kernel ends a worker before its node.
_OOM_SCORE = "500"

# Held open: the rule for it is of this very directory, and would be lost with it.
_own_process = -1
applied: SandboxOrder | None = None


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def apply(order: SandboxOrder) -> dict[str, Any]:
    """Apply it to this process, which has one thread. What the hello says of it."""
    global applied
    _keep_from_growing(order.limits)
    give_up_privileges()
    _restrict_files(order.landlock)
    # Last: what it denies was needed until here. The node is asked on the descriptor.
    listener = _install_filter(order.filter)
    # What the zygote has looked up is not this worker's.
    tempfile.tempdir = None
    applied = order
    return {"applied": ["limits", "privileges", "landlock", "seccomp"], "listener": listener}


def give_up_privileges() -> None:
    """Those of root, where the node is root: it is then the owner of root's files and no more. No program that this
    process starts has more rights than it."""
    for capability in range(_CAPABILITIES_MAX):
        if _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # The last one that the kernel knows; or this process has none to drop, and can gain none.
    _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _LIBC.prctl(_PR_SET_SECUREBITS, _SECUREBITS, 0, 0, 0)
    _check(_LIBC.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24)), "capset")
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")


def _keep_from_growing(limits: SandboxLimits) -> None:
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: limits.processes,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    for name, limit in wanted.items():
        _, hard = resource.getrlimit(name)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(name, (limit, limit))
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write(_OOM_SCORE)
    except OSError:
        pass  # Higher already, by whoever started the node.


def _restrict_files(order: Landlock) -> None:
    global _own_process
    _own_process = os.open("/proc/self", os.O_PATH | os.O_CLOEXEC)
    # The kernel takes as much of the structure as it knows.
    rights = struct.pack("=QQQ", order.handled, 0, order.scoped) if order.scoped else struct.pack("=Q", order.handled)
    ruleset = _syscall("landlock_create_ruleset", _LANDLOCK_CREATE_RULESET, rights, len(rights), 0)
    try:
        for path, allowed in order.rules:
            _allow(ruleset, path, allowed, order.of_files)
        _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int, of_files: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # What is not there, or not to be had anyway, needs no rule.
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= of_files
        if allowed:
            rule = struct.pack("=Qi", allowed, place)
            _syscall("landlock_add_rule", _LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(place)


def _install_filter(program: bytes) -> int:
    number = _SECCOMP[os.uname().machine]
    code = ctypes.create_string_buffer(program, len(program))
    described = _FilterProgram(len(program) // 8, ctypes.addressof(code))
    arguments = (_SECCOMP_SET_MODE_FILTER, _FILTER_NEW_LISTENER | _FILTER_WAIT_KILLABLE, ctypes.byref(described))
    try:
        return _syscall("seccomp", number, *arguments)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return _syscall("seccomp", number, arguments[0], _FILTER_NEW_LISTENER, arguments[2])


def _syscall(name: str, number: int, *arguments: object) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return _check(_LIBC.syscall(ctypes.c_long(number), *words), name)


def _check(answer: int, name: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return answer
