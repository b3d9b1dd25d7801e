"""Modules that have changed since they were imported: workers import what is there now, the driver has the old."""

from __future__ import annotations

from collections.abc import Iterable

from dspex import imported
from dspex.errors import DspexError
from dspex.shipping import code


def refuse(modules: Iterable[str]) -> None:
    """DspexError if a file of the user's that a worker would import is not the one that this process has imported."""
    for file, name in code.reached(modules).items():
        how = imported.change(file)
        if how is not None:
            raise DspexError(
                f"{file} ({name}) {how} since it was imported, and workers would have the new one while this process "
                "has the old. Restart the kernel, or reload it (importlib.reload, %autoreload)",
                code="FAILED_PRECONDITION",
                reason="MODULE_CHANGED",
                metadata={"file": file},
            )
