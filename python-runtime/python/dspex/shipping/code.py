"""The code that a shipment needs besides its pickle: modules of a project that the pickle names, and what they import.

A node of one's own machine imports them from where they lie. Another one gets the whole project, and an environment
that has the rest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dspex.errors import DspexError
from dspex.runtime import fingerprint
from dspex.runtime.failure import is_user_file

# What makes a directory the root of a project.
_MARKS = ("pyproject.toml", ".git")
# Every worker has them.
_OURS = ("dspex", "dspy")


@dataclass(frozen=True)
class Code:
    # None: no file of a project is needed.
    root: str | None
    # From the root: where workers start, what is imported from, what is imported.
    directory: str
    path: list[str]
    files: list[str]
    # Of the environment.
    python: str
    distributions: dict[str, str]


def local(modules: Iterable[str]) -> dict[str, str]:
    """{module: file} of those that are the user's own."""
    found = {}
    for name in sorted(modules):
        file = getattr(sys.modules.get(name), "__file__", None)
        if name == "__main__" or name.partition(".")[0] in _OURS or not isinstance(file, str):
            continue
        if is_user_file(os.path.abspath(file)):
            found[name] = os.path.abspath(file)
    return found


def of(modules: Iterable[str]) -> Code:
    """What these modules need. DspexError where some of it can be in neither a project nor an environment."""
    named = set(modules)
    files = local(named)
    root = _root(files)
    scan = _scanned(root or os.getcwd(), named)
    if scan.outside:
        module, file = next(iter(scan.outside.items()))
        raise DspexError(
            f"the program needs {module} from {file}, which lies neither in its project "
            f"({root or 'there is none'}) nor in an environment. Move it into the project, install it as a package, or "
            "put a pyproject.toml into a directory above both",
            code="INVALID_ARGUMENT",
            reason="PROJECT_INVALID",
            metadata={"module": module, "file": file},
        )
    return Code(
        root=root if scan.files else None,
        directory=_inside(os.getcwd(), root) or "",
        path=scan.path(),
        files=sorted(scan.files),
        python=fingerprint.minor(),
        distributions=scan.distributions(),
    )


def reached(modules: Iterable[str]) -> dict[str, str]:
    """{file: module} of the user's own files that are imported with these modules, in whatever project."""
    files = local(modules)
    # To whom everything is one project nothing lies elsewhere.
    scan = _scanned(os.sep, files)
    found = {os.sep + file: os.path.basename(file) for file in scan.files}
    found.update({os.path.realpath(file): name for name, file in files.items()})
    return found


def as_sent(code: Code, bundle: str, environment: str | None) -> dict[str, Any]:
    """As a field of an evaluation."""
    is_sent = bool(bundle)
    return {
        "bundle": bundle,
        "directory": code.directory if is_sent else "",
        "path": code.path if is_sent else [],
        "environment": environment or "",
        "python": code.python,
        "distributions": code.distributions,
    }


def _scanned(root: str, modules: Iterable[str]) -> fingerprint.Scan:
    scan = fingerprint.Scan(root, os.getcwd())
    for name in sorted(modules):
        if name.partition(".")[0] not in _OURS:
            scan.module(name)
    return scan


def _root(files: dict[str, str]) -> str | None:
    """The project of these files: of several the one that holds them all, else that of the first."""
    roots = list(dict.fromkeys(_root_of(name, file) for name, file in files.items()))
    for root in roots:
        if all(_inside(file, root) is not None for file in files.values()):
            return root
    return roots[0] if roots else None


def _root_of(module: str, file: str) -> str:
    home = os.path.dirname(os.path.realpath(file))
    directory = home
    while True:
        if any(os.path.exists(os.path.join(directory, mark)) for mark in _MARKS):
            return directory
        above = os.path.dirname(directory)
        if above == directory:
            break
        directory = above
    # Where its package is imported from.
    levels = module.count(".") + (os.path.basename(file) == "__init__.py")
    for _ in range(levels):
        home = os.path.dirname(home)
    return home


def _inside(path: str, root: str | None) -> str | None:
    if root is None:
        return None
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    if relative == os.curdir:
        return ""
    return None if relative == os.pardir or relative.startswith(os.pardir + os.sep) else relative
