"""Which part of a program it is that cannot be shipped, by the path of attributes that leads there."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

from cloudpickle import cloudpickle as cloudpickle_module

from dspex.runtime.canonical import type_name
from dspex.runtime.failure import message_of
from dspex.runtime.pickling import is_known
from dspex.shipping.pickling import ShippingPickler, Unshippable

_DEPTH = 40

# A step of a path as people read it, and what it leads to.
Step = tuple[str, Any]
Accepts = Callable[[Any], "BaseException | None"]


def why_not(value: Any) -> BaseException | None:
    """What pickling this raises."""
    try:
        ShippingPickler().dump(value)
    except BaseException as error:
        return error
    return None


def unshippable(value: Any, path: str, refuses: Accepts = why_not) -> Unshippable | None:
    """The innermost part that is refused; None when nothing is."""
    reason = refuses(value)
    if reason is None:
        return None
    seen: set[int] = set()
    for _ in range(_DEPTH):
        seen.add(id(value))
        for step, part in _parts(value):
            if id(part) not in seen and (inner := refuses(part)) is not None:
                path, value, reason = path + step, part, inner
                break
        else:
            break
    return Unshippable(path, type_name(value), message_of(reason))


def _parts(value: Any) -> Iterator[Step]:
    kind: Any = type(value)
    if kind is dict:
        for key, item in value.items():
            yield f"[{key!r}]", item
    elif kind in (list, tuple, set, frozenset):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif kind is types.FunctionType:
        yield from _variables(value)
    elif kind is types.MethodType:
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif kind in (staticmethod, classmethod):
        yield "", value.__func__
    elif kind is property:
        yield from ((f".{name}", getattr(value, name)) for name in ("fget", "fset", "fdel"))
    elif issubclass(kind, type):
        yield from ((f".{name}", item) for name, item in vars(value).items())
    else:
        yield from _state(value)


def _variables(function: types.FunctionType) -> Iterator[Step]:
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=False):
        try:
            yield f" (its variable {name})", cell.cell_contents
        except ValueError:
            pass  # Not assigned yet.
    for name in cloudpickle_module._extract_code_globals(function.__code__):
        if name in function.__globals__:
            yield f" (its variable {name})", function.__globals__[name]
    for name, default in (function.__kwdefaults__ or {}).items():
        yield f" (its default for {name})", default
    for default in function.__defaults__ or ():
        yield " (one of its defaults)", default
    for name, item in vars(function).items():
        yield f".{name}", item


def _state(value: Any) -> Iterator[Step]:
    """What an instance is pickled with."""
    kind: Any = type(value)
    try:
        reduced = ShippingPickler().reduce_known(value) if is_known(kind) else value.__reduce_ex__(5)
    except Exception:
        return  # It is the value itself that refuses.
    if not isinstance(reduced, tuple):
        return
    _, arguments, state, items, pairs = (*reduced, None, None, None, None)[:5]
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, dict):
            inner = part.get("__dict__")
            # pydantic keeps the attributes one level deeper.
            yield from ((f".{name}", item) for name, item in (inner if isinstance(inner, dict) else part).items())
        elif part is not None:
            yield "", part
    yield from (("", argument) for argument in arguments or ())
    yield from ((f"[{index}]", item) for index, item in enumerate(items or ()))
    yield from ((f"[{key!r}]", item) for key, item in pairs or ())
