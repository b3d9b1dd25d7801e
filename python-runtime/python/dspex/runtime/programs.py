"""Programs that callers of a pool create by data: a signature, or a reference to code."""

from __future__ import annotations

import threading
from typing import Any, Union

import dspy
import msgspec

from dspex.runtime import accounting, current_program, guard, language_models, loading, references, traces
from dspex.runtime.canonical import canonical
from dspex.runtime.commands import Defined, NeedsDefinition, Traced

_MODULES = {"predict": dspy.Predict, "chain_of_thought": dspy.ChainOfThought}
_ID_MAX = 255
# Under such names a node tells what is in its store; of others only this worker's pool knows.
_STORED = "stored program "
_STORED_MAX = 100


class ProgramError(ValueError):
    """A program that cannot be created or called as asked; the message says what to do."""


class Field(msgspec.Struct, forbid_unknown_fields=True):
    """An input or output of a signature."""

    name: str
    type: str = "str"
    description: str = ""


class Fields(msgspec.Struct, forbid_unknown_fields=True):
    """A signature as data."""

    inputs: list[Field]
    outputs: list[Field]


class Definition(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What `create_program` takes."""

    id: str
    signature: Union[str, Fields, None] = None
    instructions: str = ""
    module: str = "predict"
    # "path.py:name" or "module:name", instead of a signature.
    program: Union[str, None] = None
    # A state that `program.dump_state()` gave.
    state: Union[dict[str, Any], None] = None
    lm: Union[str, None] = None
    lm_settings: dict[str, Any] = {}


class Program:
    """A program that is ready to be called."""

    def __init__(self, definition: Definition) -> None:
        self._id = definition.id
        importer = references.Importer()
        with guard.importing():
            self._module = _build(importer, definition)
        if definition.state is not None:
            self._module.load_state(definition.state)
        self._settings: dict[str, Any] = {}
        if definition.lm is not None:
            given = [(key, msgspec.json.encode(value).decode()) for key, value in definition.lm_settings.items()]
            self._settings["lm"] = language_models.named(importer, definition.lm, given)
        elif definition.lm_settings:
            raise ProgramError("lm_settings change the LM that `lm` names; give `lm`, too")
        self.inputs, self.outputs = _fields(self._module)

    def describe(self) -> dict[str, Any]:
        return {"id": self._id, "module": type(self._module).__name__, "inputs": self.inputs, "outputs": self.outputs}

    def call(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """Its answer, and dspy's trace of the call."""
        if self.inputs is not None:
            self._check(inputs)
        account = accounting.Account()
        trace: list[Any] = []
        with dspy.context(trace=trace, **self._settings, **{accounting.CONTEXT_KEY: account}):
            prediction = self._module(**inputs)
        shown, _ = canonical(prediction)
        if account.histories:
            accounting.trim_histories(account, 1)
        answer = {
            "program_id": self._id,
            "outputs": msgspec.Raw(shown),
            "usage": account.usage(),
            "cost_usd": account.cost(),
        }
        return answer, trace

    def traced(self, trace: list[Any]) -> bytes:
        return traces.form(self._module, trace)

    def _check(self, inputs: dict[str, Any]) -> None:
        known = [field["name"] for field in self.inputs or []]
        missing = [name for name in known if name not in inputs]
        unknown = [name for name in inputs if name not in known]
        if missing or unknown:
            problems = [f"without {', '.join(missing)}"] if missing else []
            problems += [f"with {', '.join(unknown)}, which it does not have"] if unknown else []
            raise ProgramError(
                f"the program {self._id!r} was called {' and '.join(problems)}; its inputs are {', '.join(known)}"
            )


class Programs:
    """The programs of a worker: built when they are first needed, from what the pool says they are."""

    def __init__(self, traces: bool = False) -> None:
        """traces: executions are recorded, with what their predictors did."""
        self._traces = traces
        self._definitions: dict[str, bytes] = {}
        self._built: dict[str, Program] = {}
        self._stored: dict[str, Program] = {}
        self._told: dict[str, bytes] = {}
        self._storing = threading.Lock()

    def define(self, name: str, body: bytes | None) -> None:
        if name.startswith(_STORED):
            if body is not None:
                self._told[name] = body
            if len(self._told) > _STORED_MAX:
                del self._told[next(iter(self._told))]
            return
        if body is not None and self._definitions.get(name) == body:
            return  # Most often it was this worker that defined it.
        self._built.pop(name, None)
        if body is None:
            self._definitions.pop(name, None)
        else:
            self._definitions[name] = body

    def create(self, **arguments: Any) -> Defined:
        """The command `create_program`."""
        try:
            definition = msgspec.convert(arguments, Definition)
        except msgspec.ValidationError as error:
            raise ProgramError(f"create_program: {error}; {_USAGE}") from None
        if not definition.id or len(definition.id) > _ID_MAX or not definition.id.isprintable():
            raise ProgramError(f"a program's id is 1 to {_ID_MAX} printable characters, not {definition.id!r}")
        program = Program(definition)
        name = _name(definition.id)
        body = msgspec.json.encode(definition)
        self._definitions[name] = body
        self._built[name] = program
        return Defined(program.describe(), name, body)

    def execute(
        self,
        program_id: str = "",
        inputs: Any = None,
        stored: str | None = None,
        variables: dict[str, Any] | None = None,
        **others: Any,
    ) -> dict[str, Any] | Traced:
        """The command `execute_program`. `stored`: the node has found the program in its store; which version of it,
        and the `variables` of that."""
        if stored is None and variables is not None:
            others["variables"] = variables
        if others or not isinstance(program_id, str) or not program_id or not isinstance(inputs, (dict, type(None))):
            raise ProgramError('execute_program takes {"program_id": "...", "inputs": {...}}')
        if stored is not None:
            version = int(stored.rpartition("@")[2])
            program = self._of_store(program_id, f"{_STORED}{stored}")
            current_program.enter(current_program.CurrentProgram(program_id, version, variables or {}))
            return self._call(program, inputs, {"version": version})
        name = _name(program_id)
        built = self._built.get(name)
        if built is None:
            body = self._definitions.get(name)
            if body is None:
                raise NeedsDefinition(name)
            built = self._built[name] = Program(msgspec.json.decode(body, type=Definition))
        return self._call(built, inputs, {})

    def _call(self, program: Program, inputs: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any] | Traced:
        answer, trace = program.call(inputs or {})
        answer = {**answer, **more}
        return Traced(answer, program.traced(trace)) if self._traces else answer

    def _of_store(self, program_id: str, name: str) -> Program:
        """A version of a stored program. Only those that were called last are kept: the node has them all."""
        with self._storing:
            known = self._stored.pop(name, None)
            if known is not None:
                self._stored[name] = known
                return known
            body = self._told.pop(name, None)
            if body is None:
                raise NeedsDefinition(name)
            program = Program(msgspec.convert({"id": program_id, **msgspec.json.decode(body)}, Definition))
            self._stored[name] = program
            if len(self._stored) > _STORED_MAX:
                del self._stored[next(iter(self._stored))]
            return program


_USAGE = (
    'it takes {"id": "qa", "signature": "question -> answer"} with "instructions", "module" (predict or '
    'chain_of_thought), "state", "lm", "lm_settings", or "program": "path.py:name" in place of the signature'
)


def _name(program_id: str) -> str:
    return f"program {program_id!r}"


def _build(importer: references.Importer, definition: Definition) -> dspy.Module:
    if (definition.signature is None) == (definition.program is None):
        raise ProgramError(f"create_program needs either a signature or a program; {_USAGE}")
    if definition.program is not None:
        return loading.program_of(importer, references.parse(definition.program, "PROGRAM"))
    module = _MODULES.get(definition.module)
    if module is None:
        raise ProgramError(f"module is one of {', '.join(_MODULES)}, not {definition.module!r}")
    try:
        return module(_signature(definition))
    except (ValueError, SyntaxError, TypeError) as error:
        raise ProgramError(f"the signature of {definition.id!r} is not one that dspy takes: {error}") from error


def _signature(definition: Definition) -> Any:
    written = definition.signature
    if isinstance(written, Fields):
        if not written.inputs or not written.outputs:
            raise ProgramError("a signature has at least one input and one output")
        sides = [
            ", ".join(f"{field.name}: {field.type}" for field in side) for side in (written.inputs, written.outputs)
        ]
        signature = dspy.Signature(" -> ".join(sides), definition.instructions or None)
        for field in (*written.inputs, *written.outputs):
            if field.description:
                signature = signature.with_updated_fields(field.name, desc=field.description)
        return signature
    return dspy.Signature(written, definition.instructions or None)


def _fields(module: dspy.Module) -> tuple[list[dict[str, str]] | None, list[dict[str, str]] | None]:
    """Inputs and outputs of a program of one predictor; None where only calling it tells."""
    predictors = module.predictors()
    if type(module) not in _MODULES.values() or len(predictors) != 1:
        return None, None
    signature = predictors[0].signature
    return _described(signature.input_fields), _described(signature.output_fields)


def _described(fields: dict[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "type": _type_name(field.annotation)} for name, field in fields.items()]


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
