"""Where dspy hands over its batches: `ParallelExecutor.execute`, which is answered by a node instead.

Everything else is dspy's: arguments, callbacks, the sum, tables and files, all of an optimizer. Whose batches they are
is in context variables, so that all others in the process stay dspy's. In its place stands dspy's own method again
when nobody needs ours.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from dspy.teleprompt import BootstrapFewShot
from dspy.utils.parallelizer import ParallelExecutor

# (dspy's executor, dspy's own execute for this batch) -> the results
Execute = Callable[[Any, Callable[[], list[Any]]], "list[Any]"]


class Distributor(Protocol):
    """Answers for all batches of a block."""

    def execute(self, executor: Any, function: Any, data: Any, by_threads: Callable[[], list[Any]]) -> list[Any]:
        """What `executor.execute(function, data)` returns; `by_threads` is dspy's own."""

    def bootstrap(self, optimizer: Any, by_itself: Callable[[], Any]) -> Any:
        """What `optimizer._bootstrap()` does; `by_itself` is dspy's own."""


_batch: ContextVar[tuple[Any, Execute] | None] = ContextVar("dspex_batch", default=None)
_distributor: ContextVar[Distributor | None] = ContextVar("dspex_distributor", default=None)


@contextmanager
def answering(data: Any, execute: Execute) -> Iterator[None]:
    """In the block, the batch of exactly this data is executed by `execute`."""
    with _installed():
        token = _batch.set((data, execute))
        try:
            yield
        finally:
            _batch.reset(token)


@contextmanager
def distributing(distributor: Distributor) -> Iterator[None]:
    """In the block, and nowhere else in the process, all batches are the distributor's."""
    with _installed():
        token = _distributor.set(distributor)
        try:
            yield
        finally:
            _distributor.reset(token)


def _execute(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def execute(self: Any, function: Any, data: Any) -> Any:
        batch = _batch.get()
        if batch is not None and data is batch[0]:
            token = _batch.set(None)  # What runs inside is not this batch, even with the same data.
            try:
                return batch[1](self, lambda: original(self, function, data))
            finally:
                _batch.reset(token)
        distributor = _distributor.get()
        if distributor is None:
            return original(self, function, data)
        return distributor.execute(self, function, data, lambda: _alone(lambda: original(self, function, data)))

    return execute


def _alone(work: Callable[[], Any]) -> Any:
    """As in a worker: what runs inside of a batch is dspy's own."""
    token = _distributor.set(None)
    try:
        return work()
    finally:
        _distributor.reset(token)


def _bootstrap(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def bootstrap(self: Any, *, max_bootstraps: Any = None) -> Any:
        distributor = _distributor.get()
        if distributor is None:
            return original(self, max_bootstraps=max_bootstraps)
        return distributor.bootstrap(self, lambda: original(self, max_bootstraps=max_bootstraps))

    return bootstrap


class _Replaced:
    """Methods of dspy that are ours for as long as somebody uses them, in whatever thread."""

    def __init__(self, *replacements: tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]]) -> None:
        self._replacements = replacements
        self._users = 0
        self._changing = threading.Lock()
        self._undo: list[Callable[[], None]] = []

    def enter(self) -> None:
        with self._changing:
            self._users += 1
            if self._users == 1:
                self._undo = [self._replace(*each) for each in self._replacements]

    def leave(self) -> None:
        with self._changing:
            self._users -= 1
            if self._users == 0:
                for undo in self._undo:
                    undo()

    @staticmethod
    def _replace(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], None]:
        original = getattr(owner, name)
        ours = make(original)
        setattr(owner, name, ours)

        def undo() -> None:
            # Who has replaced ours meanwhile calls it, and it passes everything on.
            if getattr(owner, name) is ours:
                setattr(owner, name, original)

        return undo


_methods = _Replaced((ParallelExecutor, "execute", _execute), (BootstrapFewShot, "_bootstrap", _bootstrap))


@contextmanager
def _installed() -> Iterator[None]:
    _methods.enter()
    try:
        yield
    finally:
        _methods.leave()
