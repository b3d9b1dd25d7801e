"""Which fields of an example the program is called with, and where that was learnt."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import dspy

from dspex.runtime.references import LoadFailure, suggest


@dataclass(frozen=True)
class Inputs:
    names: list[str]
    origin: str


def choose(
    program: dspy.Module, option: list[str] | None, columns: list[str] | None, examples: list[dspy.Example]
) -> Inputs:
    """The option, else what the dataset says, else `forward`'s parameters, else the signature's inputs."""
    if option is not None:
        # Without columns this is a stored run: its inputs were checked when it began, and its rows say their own.
        return Inputs(option if columns is None else _from_option(program, option, columns), "option")
    declared = [example._input_keys for example in examples if getattr(example, "_input_keys", None) is not None]
    if declared:
        return Inputs([key for key in columns or () if key in declared[0]], "dataset")
    parameters, required, open_ended = _parameters(program)
    names = [name for name in parameters if columns is None or name in columns]
    if names and columns is not None:
        absent = [name for name in required if name not in columns]
        if absent:
            raise _missing(f"{type(program).__name__}.forward needs {_list(absent)}", columns)
    if names:
        return Inputs(names, "forward")
    if required and not open_ended:
        raise _missing(f"{type(program).__name__}.forward needs {_list(required)}", columns)
    return Inputs(_from_signature(program, columns, open_ended), "signature")


def _from_option(program: dspy.Module, option: list[str], columns: list[str]) -> list[str]:
    if not option:
        raise LoadFailure("inputs_missing", "--inputs names no field; write --inputs question,context")
    for name in option:
        if name not in columns:
            raise LoadFailure("inputs_missing", f"--inputs names {name!r}.{suggest(name, columns)}")
    taken, _, open_ended = _parameters(program)
    for name in option:
        if name not in taken and not open_ended:
            raise LoadFailure(
                "inputs_missing",
                f"--inputs names {name!r}, which {type(program).__name__}.forward does not take; "
                f"it takes {_list(taken)}",
            )
    return option


def _parameters(program: dspy.Module) -> tuple[list[str], list[str], bool]:
    """(parameters of forward that can be given by name, those without default, whether it takes **kwargs)."""
    function = vars(program).get("forward") or getattr(type(program), "forward", None)
    own = getattr(type(program), "aforward", None) if _is_syncified(function) else function
    try:
        signature = inspect.signature(own if own is not None else function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return [], [], True
    parameters = list(signature.parameters.values())
    # A function of the class takes the program first, whatever it calls it; one of the instance does not.
    of_instance = "forward" in vars(program) and not _is_syncified(function)
    if not of_instance and parameters and parameters[0].kind is not parameters[0].VAR_POSITIONAL:
        parameters = parameters[1:]
    names, required, open_ended = [], [], False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            names.append(parameter.name)
            if parameter.default is parameter.empty:
                required.append(parameter.name)
    return names, required, open_ended


def _is_syncified(function: Any) -> bool:
    return getattr(function, "__module__", None) == "dspy.utils.syncify"


def _from_signature(program: dspy.Module, columns: list[str] | None, open_ended: bool) -> list[str]:
    predictors = program.named_predictors() if open_ended else []
    if not predictors:
        raise _missing(f"the inputs of {type(program).__name__} cannot be told from its forward method", columns)
    # The first predictor is where the inputs of a program with forward(**kwargs) go.
    wanted = list(predictors[0][1].signature.input_fields)
    names = [name for name in wanted if columns is None or name in columns]
    if not names:
        raise _missing(f"the signature's inputs are {_list(wanted)}", columns)
    return names


def _missing(reason: str, columns: list[str] | None) -> LoadFailure:
    have = f"; the examples have {_list(columns)}" if columns is not None else ""
    return LoadFailure("inputs_missing", f"{reason}{have}. Rename the columns, or say which are inputs: --inputs a,b")


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"
