"""While user modules are imported, whatever would call an LM or evaluate is an error.

A module is imported in every worker: a call there would be paid for once per worker, and a script's own evaluation at
its end would run in each of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dspy
from dspy.teleprompt.teleprompt import Teleprompter
from dspy.utils.parallelizer import ParallelExecutor


class EvaluatesAtImport(Exception):
    """User code did the work at import that belongs under the main guard."""


_depth = 0


@contextmanager
def importing() -> Iterator[None]:
    """Refuse LM calls, evaluations and optimizations for as long as the block runs."""
    global _depth
    guards = [
        (owner, name, vars(owner)[name], _guard(vars(owner)[name], what))
        for owner, name, what in _ENTRANCES
        if name in vars(owner)
    ]
    for owner, name, _, guard in guards:
        setattr(owner, name, guard)
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        for owner, name, original, guard in guards:
            # A tracing tool may have wrapped the method while it was ours: then its wrapper stays.
            if vars(owner).get(name) is guard:
                setattr(owner, name, original)


def _entrances() -> Iterator[tuple[type, str, str]]:
    for lm in _with_subclasses(dspy.BaseLM):
        yield lm, "__call__", "an LM is called"
        yield lm, "acall", "an LM is called"
    for evaluate in _with_subclasses(dspy.Evaluate):
        yield evaluate, "__call__", "dspy.Evaluate is run"
    yield dspy.Parallel, "forward", "dspy.Parallel is run"
    yield ParallelExecutor, "execute", "a batch is run"
    for optimizer in _with_subclasses(Teleprompter):
        if optimizer is dspy.LabeledFewShot:
            continue  # It only copies demos: no call, no evaluation, and many programs are made with it.
        yield optimizer, "compile", f"{optimizer.__name__}.compile is run"


def _with_subclasses(root: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            yield found
            waiting += found.__subclasses__()


def _guard(original: Callable[..., Any], what: str) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if _depth == 0:
            return original(*args, **kwargs)  # Someone kept this function beyond the import.
        raise EvaluatesAtImport(
            f"{what} while the file is imported. Put it under `if __name__ == '__main__':`, "
            "so that every worker can import the file."
        )

    return guarded


# Listed once, in the zygote: dspy's own classes. What libraries of the user derive from them calls these in turn.
_ENTRANCES = tuple(_entrances())
