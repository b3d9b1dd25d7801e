"""What a program is made of, as data: of a signature, a reference to code, or a DSPy module that is simple enough."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

from dspex.stored_errors import DefinitionInvalid

_HELP = (
    'pass a signature ("question -> answer"), a reference to code ("path.py:name" or "module:name"), a definition '
    '({"signature": "question -> answer", "module": "chain_of_thought"}), or a dspy.Predict or dspy.ChainOfThought'
)
# Types that a worker finds by their names alone.
_NAMED = frozenset({str, int, float, bool, list, tuple, dict, set, frozenset, complex, bytes, bytearray})


def definition_of(program: Any) -> dict[str, Any]:
    """The definition, if the program can have one."""
    if isinstance(program, str):
        return {"signature": program} if "->" in program else {"program": program}
    if isinstance(program, Mapping):
        return dict(program)
    dspy = sys.modules.get("dspy")
    # A module of DSPy cannot be there without DSPy.
    if dspy is not None and isinstance(program, dspy.Module):
        return _of_module(dspy, program)
    raise TypeError(f"{program!r} is no program: {_HELP}")


def _of_module(dspy: Any, module: Any) -> dict[str, Any]:
    if type(module) is dspy.Predict:
        kind, signature, outputs = "predict", module.signature, dict(module.signature.output_fields)
    elif type(module) is dspy.ChainOfThought:
        kind, signature = "chain_of_thought", module.predict.signature
        outputs = {name: field for name, field in signature.output_fields.items() if name != "reasoning"}
    else:
        raise _refused(f"a {type(module).__name__} is made of code: store it as a reference to that code; {_HELP}")
    return {
        "signature": {"inputs": _fields(signature.input_fields), "outputs": _fields(outputs)},
        "instructions": signature.instructions,
        "module": kind,
        # Demos, descriptions and instructions; DSPy leaves the keys of LMs out.
        "state": module.dump_state(),
    }


def _fields(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "type": _type_text(name, field.annotation)} for name, field in fields.items()]


def _type_text(name: str, annotation: Any) -> str:
    """As DSPy reads it again, in another process."""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    # Before 3.11 `list[str]` is a type, too.
    if not isinstance(annotation, types.GenericAlias) and isinstance(annotation, type):
        if annotation in _NAMED:
            return annotation.__name__
        if annotation.__module__.split(".")[0] == "dspy":
            exported = getattr(sys.modules["dspy"], annotation.__name__, None) is annotation
            return f"dspy.{annotation.__name__}" if exported else f"{annotation.__module__}.{annotation.__qualname__}"
        found = f"{annotation.__module__}.{annotation.__qualname__}"
        raise _refused(
            f"the field {name!r} has the type {found}, which other processes do not find by its name: store the "
            'program as a reference to its code ("path.py:name")'
        )
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return str(annotation)  # typing.Any
    if origin is typing.Literal:
        return str(annotation)
    shown = [_type_text(name, argument) for argument in arguments]
    if origin is typing.Union or origin is getattr(types, "UnionType", None):
        return " | ".join(shown)
    return f"{_type_text(name, origin)}[{', '.join(shown)}]"


def _refused(message: str) -> DefinitionInvalid:
    return DefinitionInvalid(message, code="INVALID_ARGUMENT", reason="DEFINITION_INVALID")
