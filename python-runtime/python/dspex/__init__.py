"""DSPex runs DSPy programs on a cluster. Importing this package costs nothing: no dspy, no node, no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex.errors import DspexError, ExampleError, RemoteError
    from dspex.evaluate import Evaluate, EvaluationResult
    from dspex.pool_command import command

__version__ = "0.1.0"

__all__ = ["DspexError", "Evaluate", "EvaluationResult", "ExampleError", "RemoteError", "command"]

# Where each name lives; imported when it is first used.
_HOMES = {
    "DspexError": "dspex.errors",
    "Evaluate": "dspex.evaluate",
    "EvaluationResult": "dspex.evaluate",
    "ExampleError": "dspex.errors",
    "RemoteError": "dspex.errors",
    "command": "dspex.pool_command",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dspex' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
