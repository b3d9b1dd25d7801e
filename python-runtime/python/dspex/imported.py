"""Which files this process has imported, and as what: by time, length and digest.

Watched from the import of this package on. What was imported before counts from then. Only the user's own files are
remembered.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import os
import sys
from typing import Any

# By path: time and length, and a digest where the file was read while it was imported.
_seen: dict[str, tuple[int, int, str | None]] = {}
_watching = False


def watch() -> None:
    """Remember what is imported. Workers need not: their files do not change."""
    global _watching
    if _watching or "DSPEX_INSTANCE" in os.environ:
        return
    _watching = True
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and _is_own(file):
            _note(file, read=False)
    loader = importlib.machinery.SourceFileLoader
    original = loader.exec_module

    def exec_module(self: Any, module: Any) -> None:
        # Before: what changes while it is imported has changed.
        if isinstance(self.path, str) and _is_own(self.path):
            _note(self.path, read=True)
        original(self, module)

    # A reload comes through here, too.
    loader.exec_module = exec_module  # type: ignore[method-assign]


def change(file: str) -> str | None:
    """How a file differs from what was imported, as "has changed"; None: it does not, or was never imported."""
    noted = _seen.get(os.path.realpath(file))
    if noted is None:
        return None
    time, length, digest = noted
    try:
        found = os.stat(file)
    except OSError:
        return "has gone"
    if (found.st_mtime_ns, found.st_size) == (time, length):
        return None
    # Written again as it was, by an editor or a version control: no change.
    return None if digest is not None and _digest(file) == digest else "has changed"


def _note(file: str, *, read: bool) -> None:
    try:
        found = os.stat(file)
    except OSError:
        return
    _seen[os.path.realpath(file)] = found.st_mtime_ns, found.st_size, _digest(file) if read else None


def _digest(file: str) -> str | None:
    try:
        with open(file, "rb") as source:
            return hashlib.sha256(source.read()).hexdigest()
    except OSError:
        return None


def _is_own(file: str) -> bool:
    """Cheaper than certain: it is asked for every module of every library."""
    return "site-packages" not in file and "dist-packages" not in file and not file.startswith(_STANDARD)


_STANDARD = os.path.dirname(os.__file__) + os.sep
