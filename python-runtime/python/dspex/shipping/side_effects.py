"""What a metric visibly changes outside of itself, told from its bytecode: in a worker the change would be lost.

Only what is certain is told: a store to a global or captured name, an item or attribute set on one, a method that
changes a container called on one. What happens inside of libraries, or of objects' own methods, is not seen.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator, MutableMapping, MutableSequence, MutableSet
from typing import Any

from dspex.runtime.failure import is_user_file

_CHANGING = frozenset(
    (
        *("add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem"),
        *("popleft", "remove", "reverse", "setdefault", "sort", "update"),
    )
)
_CONTAINERS = (MutableMapping, MutableSequence, MutableSet)
_ITEM_STORES = {"STORE_SUBSCR", "DELETE_SUBSCR"}
_ATTRIBUTE_STORES = {"STORE_ATTR", "DELETE_ATTR"}
_NAME_STORES = {"STORE_GLOBAL": "global", "DELETE_GLOBAL": "global", "STORE_DEREF": "captured"}
_ATTRIBUTE_LOADS = {"LOAD_ATTR", "LOAD_METHOD"}
_REACHING = {*_ATTRIBUTE_LOADS, "BINARY_SUBSCR"}
# A step of a path that no attribute has as its name.
_ITEM = "[]"
_LOCAL_LOADS = {"LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK"}
# Functions of the user's that the metric calls are looked at, too, to this depth.
_DEPTH = 3
_ABSENT = object()


def side_effects(metric: Any) -> list[str]:
    """As the ends of a sentence: "changes the global variable `seen`"."""
    found: dict[str, None] = {}
    try:
        for function, owner in _functions(metric):
            found.update(dict.fromkeys(_of_function(function, owner, _DEPTH, set())))
    except Exception:
        return list(found)  # A hint is not worth an evaluation.
    return list(found)


def _functions(metric: Any) -> Iterator[tuple[types.FunctionType, Any]]:
    """(the code that is called, the object that it is a method of)"""
    while isinstance(metric, functools.partial):
        metric = metric.func
    if isinstance(metric, types.FunctionType):
        yield metric, None
    elif isinstance(metric, types.MethodType):
        yield metric.__func__, metric.__self__  # type: ignore[misc]
    else:
        called = getattr(type(metric), "forward", None) or getattr(type(metric), "__call__", None)  # noqa: B004
        if isinstance(called, types.FunctionType):
            yield called, metric


def _of_function(function: types.FunctionType, owner: Any, depth: int, seen: set[int]) -> Iterator[str]:
    if id(function.__code__) in seen or not _is_users(function):
        return
    seen.add(id(function.__code__))
    names = _Names(function, owner)
    instructions = [each for each in dis.get_instructions(function) if each.opname not in ("CACHE", "EXTENDED_ARG")]
    for position, instruction in enumerate(instructions):
        if (effect := _effect(instructions, position, names)) is not None:
            yield effect
        elif depth and instruction.opname in ("LOAD_GLOBAL", "LOAD_DEREF"):
            callee = names.value(instruction)
            if isinstance(callee, types.FunctionType):
                yield from _of_function(callee, None, depth - 1, seen)


def _is_users(function: types.FunctionType) -> bool:
    file = function.__code__.co_filename
    # Cells of notebooks and interactive sessions have no file.
    return file.startswith("<") or is_user_file(file)


class _Names:
    """What the names of a function stand for."""

    def __init__(self, function: types.FunctionType, owner: Any) -> None:
        code = function.__code__
        self._globals = function.__globals__
        self._captured = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))
        self._self = code.co_varnames[0] if owner is not None and code.co_argcount else None
        self._owner = owner

    def is_captured(self, name: str) -> bool:
        return name in self._captured

    def value(self, instruction: dis.Instruction) -> Any:
        name = instruction.argval
        if instruction.opname == "LOAD_GLOBAL":
            return self._globals.get(name, _ABSENT)
        if instruction.opname == "LOAD_DEREF" and name in self._captured:
            try:
                return self._captured[name].cell_contents
            except ValueError:
                return _ABSENT
        if instruction.opname in _LOCAL_LOADS and name == self._self:
            return self._owner
        return _ABSENT

    def said(self, instruction: dis.Instruction) -> str:
        if instruction.opname in _LOCAL_LOADS:
            return f"its own object {type(self._owner).__name__}"
        kind = "global" if instruction.opname == "LOAD_GLOBAL" else "captured"
        return f"the {kind} variable `{instruction.argval}`"


def _effect(instructions: list[dis.Instruction], position: int, names: _Names) -> str | None:
    instruction = instructions[position]
    name = instruction.opname
    if name in _NAME_STORES:
        if name == "STORE_DEREF" and not names.is_captured(instruction.argval):
            return None  # A variable of its own, which an inner function captures.
        return f"changes the {_NAME_STORES[name]} variable `{instruction.argval}`"
    if name in _ITEM_STORES:
        return _change(instructions, _producer(instructions, position, 2), names, container=True)
    if name in _ATTRIBUTE_STORES:
        return _change(instructions, _producer(instructions, position, 1), names, container=False)
    if name in _ATTRIBUTE_LOADS and _attribute(instruction) in _CHANGING:
        return _change(instructions, position - 1, names, container=True)
    return None


def _change(instructions: list[dis.Instruction], position: int | None, names: _Names, *, container: bool) -> str | None:
    """What is changed, if the value that the instruction here pushes is reached from a global or captured name."""
    steps: list[str] = []
    while position is not None and position >= 0 and instructions[position].opname in _REACHING:
        reaching = instructions[position]
        steps.insert(0, _ITEM if reaching.opname == "BINARY_SUBSCR" else _attribute(reaching))
        position = _producer(instructions, position, 2 if reaching.opname == "BINARY_SUBSCR" else 1)
    if position is None or position < 0:
        return None
    root = instructions[position]
    value = names.value(root)
    if value is _ABSENT or isinstance(value, types.ModuleType):
        return None
    for number, step in enumerate(steps):
        if step == _ITEM:
            # What is in there is not looked up: it may only come to be when the metric runs.
            return _said(root, steps[:number], names) if isinstance(value, _CONTAINERS) else None
        value = vars(value).get(step, _ABSENT) if hasattr(value, "__dict__") else _ABSENT
        if value is _ABSENT:
            return None
    if container and not isinstance(value, _CONTAINERS):
        return None
    return _said(root, steps, names)


def _said(root: dis.Instruction, attributes: list[str], names: _Names) -> str:
    return f"changes {names.said(root)}" + (f" (its {'.'.join(attributes)})" if attributes else "")


def _attribute(instruction: dis.Instruction) -> str:
    return str(instruction.argval)


def _producer(instructions: list[dis.Instruction], position: int, depth: int) -> int | None:
    """The instruction that pushed the value this deep (1 = on top) on the stack; None where that is not certain."""
    if instructions[position].is_jump_target:
        return None
    for earlier in range(position - 1, -1, -1):
        instruction = instructions[earlier]
        name, argument = instruction.opname, instruction.arg
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            return None
        if name in _MOVES or name in ("COPY", "SWAP"):
            depth = _before_move(name, argument or 0, depth)
        else:
            effect = dis.stack_effect(instruction.opcode, argument if instruction.opcode >= dis.HAVE_ARGUMENT else None)
            # All that matter here push one value, or do nothing but push.
            pushed = max(effect, 1)
            if depth <= pushed:
                return earlier if pushed == 1 else None
            depth += -effect
        if instruction.is_jump_target:
            return None
    return None


# Python 3.10: for each depth afterwards, the depth before.
_MOVES = {
    "DUP_TOP": {1: 1},
    "DUP_TOP_TWO": {1: 1, 2: 2},
    "ROT_TWO": {1: 2, 2: 1},
    "ROT_THREE": {1: 2, 2: 3, 3: 1},
    "ROT_FOUR": {1: 2, 2: 3, 3: 4, 4: 1},
}
_DUPLICATED = {"DUP_TOP": 1, "DUP_TOP_TWO": 2}


def _before_move(name: str, argument: int, depth: int) -> int:
    if name == "SWAP":
        return {1: argument, argument: 1}.get(depth, depth)
    if name == "COPY":
        return argument if depth == 1 else depth - 1
    return _MOVES[name].get(depth, depth - _DUPLICATED.get(name, 0))
