"""Pickles of dspy's objects, between a driver and its workers: without histories, callbacks and secrets."""

from __future__ import annotations

import abc
import functools
import io
import re
import sys
import threading
import types
from typing import Any

import cloudpickle
import dspy

# Names under which LMs and engines hold what must not be stored.
SECRET_NAME = re.compile(r"(key|token|secret|password|credentials?|authorization)$", re.IGNORECASE)

_SECRETS_DEPTH = 4

_KINDS_OF_CLASSES = (type, abc.ABCMeta)


# Asked for every object of every pickle, and dspy.Tool is an abstract base class, which answers slowly.
@functools.lru_cache(maxsize=1024)
def is_known(kind: type) -> bool:
    """Whether callers of a program hold on to instances of this class, and compare them by identity."""
    return issubclass(kind, (dspy.Module, dspy.Adapter, dspy.Tool)) or is_lm(kind)


@functools.lru_cache(maxsize=1024)
def is_ordinary(kind: type) -> bool:
    """Whether instances of this class need nothing of what is done here beyond pickle itself."""
    special = (type, types.FunctionType, BaseException, dspy.Parallel)
    return not is_known(kind) and not issubclass(kind, special)


def _is_named(value: type) -> bool:
    """Whether a pickle only names this class, where that is plain. cloudpickle, which knows all cases, takes ten times
    as long, for each class of each pickle.

    Found out anew each time: a module may be loaded again, and be registered to travel by value.
    """
    try:
        module = value.__module__
        found = sys.modules[module].__dict__[value.__qualname__]
    except (AttributeError, KeyError, TypeError):
        return False
    return found is value and module != "__main__" and not cloudpickle.list_registry_pickle_by_value()


def note_module(modules: set[str], value: Any, kind: Any) -> None:
    """The module of what a pickle only names: a class, a function, or a module itself."""
    if kind is types.ModuleType:
        modules.add(value.__name__)
    elif issubclass(kind, type) or kind in (types.FunctionType, types.BuiltinFunctionType):
        module = getattr(value, "__module__", None)
        if isinstance(module, str):
            modules.add(module)


def is_lm(kind: type) -> bool:
    # The second is how dspy itself asks, for clients that are no BaseLM.
    return issubclass(kind, dspy.BaseLM) or getattr(kind, "supports_decision_requests", False) is True


class ProgramPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what programs consist of; classes and functions of scripts and notebooks by value."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        super().__init__(self._file, protocol=5)

    def pickled(self) -> bytes:
        return self._file.getvalue()

    def reducer_override(self, value: Any) -> Any:
        # Of the type: an isinstance check would run the `__class__` property of a proxy.
        kind: Any = type(value)
        if is_ordinary(kind):
            return NotImplemented
        if is_known(kind):
            return self.reduce_known(value)
        if issubclass(kind, dspy.Parallel):
            return _reduce_parallel(value)
        if kind in _KINDS_OF_CLASSES and _is_named(value):
            return NotImplemented
        return super().reducer_override(value)

    def reduce_known(self, value: Any) -> Any:
        """A module, LM, adapter or tool: what it records for its own process stays there."""
        reduced = value.__reduce_ex__(5)
        if not isinstance(reduced, tuple) or len(reduced) < 3 or not isinstance(reduced[2], dict):
            return reduced
        state = {name: item for name, item in reduced[2].items() if name not in ("history", "callbacks")}
        # Modules make these themselves where they are missing.
        state.update({name: [] for name in ("history", "callbacks") if name in reduced[2]})
        if is_lm(type(value)):
            state = self.without_secrets(state)
        return (*reduced[:2], state, *reduced[3:])

    def without_secrets(self, state: dict[Any, Any], depth: int = 0) -> dict[Any, Any]:
        kept = {}
        for name, item in state.items():
            if type(item) is str and type(name) is str and item and SECRET_NAME.search(name):
                item = self.replace_secret(item)
            elif type(item) is dict and depth < _SECRETS_DEPTH:
                item = self.without_secrets(item, depth + 1)
            kept[name] = item
        return kept

    def replace_secret(self, value: str) -> Any:
        """What stands for it in the pickle. Nothing: a worker has no one to hand it to."""
        return None


def _reduce_parallel(value: Any) -> Any:
    """dspy.Parallel holds a lock and an event, which the copy makes anew."""
    state = {name: item for name, item in vars(value).items() if name not in ("error_lock", "cancel_jobs")}
    return parallel, (type(value), state)


def parallel(kind: Any, state: dict[str, Any]) -> Any:
    """In pickles: a dspy.Parallel with these attributes."""
    made = kind.__new__(kind)
    vars(made).update(state, error_lock=threading.Lock(), cancel_jobs=threading.Event())
    return made
