"""The source files a run depends on, by digest: a resume can tell whether the code has changed."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType

from dspex.runtime import project
from dspex.runtime.failure import is_user_file


def latest_module() -> str:
    """A mark for `imported_since`."""
    return next(reversed(sys.modules))


def imported_since(mark: str) -> Iterator[ModuleType]:
    """The modules imported after the mark was taken.

    From the end, because looking at every name would write to a page for most of them: a megabyte in each worker.
    """
    for name in reversed(list(_names_since(mark))):
        module = sys.modules.get(name)
        if module is not None:
            yield module


def _names_since(mark: str) -> Iterator[str]:
    for name in reversed(sys.modules):
        if name == mark:
            return
        yield name


def digest(named: list[ModuleType], mark: str, state: str | None) -> dict[str, str]:
    """{path: sha256} of the named modules, the state file, and the user's modules imported since the mark.

    Paths are whole, or from the root of a project that was sent along.
    """
    files = {_file(module) for module in named}
    for module in imported_since(mark):
        file = _file(module)
        if file is not None and is_user_file(file):
            files.add(file)
    if state is not None:
        files.add(os.path.abspath(os.path.expanduser(state)))
    found = {}
    for file in sorted(file for file in files if file is not None):
        try:
            with open(file, "rb") as source:
                name = os.fsencode(project.from_root(file)).decode("utf-8", "backslashreplace")
                found[name] = hashlib.sha256(source.read()).hexdigest()
        except OSError:
            pass  # A module from a zip file or without source has no file of its own.
    return found


def _file(module: ModuleType | None) -> str | None:
    file = getattr(module, "__file__", None)
    return os.path.abspath(file) if isinstance(file, str) else None
