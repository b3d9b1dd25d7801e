"""The project that was sent along with a run, where it was unpacked for this worker.

Other runs import from the same files, so nothing is written beside them. People know their files from the project's
root: where it lies on the node says nothing to them.
"""

from __future__ import annotations

import importlib
import os
import sys

_root = ""


def enter(root: str | None, path: list[str] | None) -> None:
    """Import from these directories, before the environment's own: that may hold an older copy of the project."""
    global _root
    if root is not None:
        _root = os.path.join(root, "")
        sys.dont_write_bytecode = True
    if path:
        sys.path[:0] = [entry for entry in path if entry not in sys.path]
        importlib.invalidate_caches()


def from_root(file: str) -> str:
    """A file of the project from its root; another one as it is."""
    return file[len(_root) :] if _root and file.startswith(_root) else file


def told(text: str) -> str:
    """A text with the project's files from its root."""
    return text.replace(_root, "") if _root else text
