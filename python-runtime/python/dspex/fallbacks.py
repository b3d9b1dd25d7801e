"""What becomes of a batch that cannot go to a node: dspy's threads in this process, or an error."""

from __future__ import annotations

import os
import sys
import warnings

import dspy

from dspex.client.program import NOT_FOUND
from dspex.errors import DspexError
from dspex.shipping import Unshippable
from dspex.submission import Options

CHOICES = (None, "threads", "error")
_INNER = tuple(os.path.dirname(file) + os.sep for file in (__file__, dspy.__file__))
# Between a caller and here there may be a context manager's frame.
_LIBRARY = os.path.dirname(os.__file__) + os.sep + "contextlib.py"


def refuse_or_warn(error: Unshippable, options: Options, hint: str = "") -> None:
    """Return with a warning where threads are to do it; else a DspexError that names the part."""
    fallback = options.fallback
    if fallback is None:
        # A node is not needed to know that: without an address it is the embedded one.
        named = options.address or os.environ.get("DSPEX_ADDRESS") or options.strategy == "distributed"
        on_cluster = named and options.strategy != "local"
        fallback = "error" if on_cluster else "threads"
    remedy = error.remedy + hint
    if fallback == "error":
        raise DspexError(
            f"{error.path}: {error.type} cannot be shipped to workers: {error.reason}. To have it there, {remedy}; "
            "fallback='threads' evaluates in this process",
            code="INVALID_ARGUMENT",
            reason=error.code,
            metadata={"path": error.path, "type": error.type},
        ) from error
    warn(
        f"{error.path}: {error.type} cannot be shipped to workers ({error.reason}): evaluating with threads in "
        f"this process. To have it there, {remedy}"
    )


def goes_without_node(error: DspexError, options: Options) -> bool:
    """Elsewhere than on Linux the package is a client, and the program may not even exist."""
    return error.reason == NOT_FOUND and (options.fallback == "threads" or sys.platform != "linux")


def warn(text: str) -> None:
    """At the line that called us: between it and here are dspy's frames and our own."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((*_INNER, _LIBRARY)):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def warn_of_no_node(error: DspexError) -> None:
    warn(f"there is no node ({error}): evaluating with threads in this process")
