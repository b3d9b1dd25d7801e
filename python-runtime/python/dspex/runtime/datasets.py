"""Rows and examples: a Python dataset becomes rows for the node, a row becomes an example for the program."""

from __future__ import annotations

import base64
import inspect
import json
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import cloudpickle
import dspy
import msgspec
import pydantic

from dspex.runtime import failure, protocol, references, sources
from dspex.runtime.references import LoadFailure, an_instance

_decode = msgspec.json.Decoder().decode


def _parse(row: bytes) -> Any:
    try:
        return _decode(row)
    except msgspec.DecodeError:
        # Python's own parser takes what the strict one does not: lone surrogates, numbers beyond a float's range.
        return json.loads(row)


def load(importer: references.Importer, written: str, limit: int | None) -> list[dspy.Example]:
    """The examples of `path.py:name`: a list of dspy.Example or a function that returns one."""
    mark = sources.latest_module()
    reference = references.parse(written, "--devset")
    found = importer.find(reference, "dataset_missing", "dataset_missing")
    if inspect.isroutine(found):
        found = references.call(found, "dataset_invalid", f"calling {reference.name}()")
    # Other workers never import what only the dataset needed: instances of its classes travel with their class.
    for module in sources.imported_since(mark):
        if failure.is_user_file(getattr(module, "__file__", None) or "<"):
            cloudpickle.register_pickle_by_value(module)
    if not isinstance(found, (list, tuple)):
        raise LoadFailure(
            "dataset_invalid",
            f"{written} is {an_instance(found)}; a dataset is a list of dspy.Example or a function that returns one",
        )
    examples = list(found if limit is None else found[:limit])
    for index, example in enumerate(examples):
        if not isinstance(example, dspy.Example):
            raise LoadFailure(
                "dataset_invalid",
                f"{written}[{index}] is {an_instance(example)}; every element must be a dspy.Example, "
                "for instance dspy.Example(question=..., answer=...).with_inputs('question')",
            )
    if not examples:
        raise LoadFailure("dataset_empty", f"{written} has no examples")
    return examples


def columns_of(examples: list[dspy.Example]) -> list[str]:
    columns: dict[str, None] = {}
    for example in examples:
        columns.update(dict.fromkeys(str(key) for key in dict(example.items())))
    return list(columns)


def row_frames(examples: list[dspy.Example], inputs: list[str], *, override: bool) -> Iterator[list[bytes]]:
    """The examples as rows, grouped for frames.

    Each row says which of its fields are inputs, so that every worker that ever reads it does the same: what the
    example itself marks, as under dspy.Evaluate, and `inputs` where no example marks any, or where they go before
    (`override`). An example that marks nothing among others that do fails when it is executed, as there.
    """
    marked = not override and any(getattr(example, "_input_keys", None) is not None for example in examples)
    group: list[bytes] = []
    size = 0
    for index, example in enumerate(examples):
        row = row_of(example, index, None if marked else inputs)
        if group and size + len(row) > protocol.BATCH_BYTES - 64 * len(group):
            yield group
            group, size = [], 0
        group.append(row)
        size += len(row)
    if group:
        yield group


def row_of(
    example: dspy.Example,
    index: int,
    inputs: Collection[str] | None,
    pickled: Callable[[Any], bytes] = cloudpickle.dumps,
) -> bytes:
    """`inputs` are the example's own where None is given."""
    keys = getattr(example, "_input_keys", None) if inputs is None else inputs
    fields = dict(example.items(include_dspy=True))
    if type(example) is dspy.Example and _is_json(fields, 0):
        ordered = None if keys is None else [key for key in fields if key in keys]
        row = json.dumps({"$fields": fields, "$inputs": ordered}, ensure_ascii=False, separators=(",", ":")).encode()
    else:
        try:
            sent = example if inputs is None else example.with_inputs(*inputs)
            encoded = base64.b64encode(pickled(sent)).decode()
        except Exception as error:
            raise LoadFailure(
                "dataset_invalid",
                f"example {index} has no JSON form and cannot be pickled: {failure.message_of(error)}",
            ) from error
        row = json.dumps({"$pickle": encoded}).encode()
    if len(row) > protocol.MAX_FRAME // 2:
        raise LoadFailure("dataset_invalid", f"example {index} takes {len(row)} bytes; the limit is 16 MiB")
    return row


def _is_json(value: Any, depth: int) -> bool:
    """Whether JSON gives this value back exactly: same types, same numbers, same text."""
    kind = type(value)
    if kind is bool or value is None:
        return True
    if kind is str:
        return bool(value.isascii()) or not any("\ud800" <= character <= "\udfff" for character in value)
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    if kind is float:
        return bool(math.isfinite(value))
    if depth > 50:
        return False
    if kind is list:
        return all(_is_json(item, depth + 1) for item in value)
    if kind is not dict:
        return False
    return all(type(key) is str and _is_json(key, 0) and _is_json(item, depth + 1) for key, item in value.items())


class RowReader:
    """Turns a row into the example that the program and the metric see."""

    def __init__(
        self,
        inputs: list[str],
        *,
        from_python: bool,
        converters: dict[str, Callable[[str], Any]],
        unpickle: Callable[[bytes], Any] = cloudpickle.loads,
    ) -> None:
        self._inputs = frozenset(inputs)
        # Only a Python dataset may carry pickles; the same text in a file is an ordinary field.
        self._from_python = from_python
        self._converters = converters
        self._unpickle = unpickle

    def read(self, row: bytes) -> dspy.Example:
        fields = _parse(row)
        if self._from_python:
            return self._from_envelope(fields)
        for name, convert in self._converters.items():
            if name in fields:
                fields[name] = convert(fields[name])
        return _example(fields, self._inputs)

    def _from_envelope(self, envelope: dict[str, Any]) -> dspy.Example:
        if "$pickle" in envelope:
            example: dspy.Example = self._unpickle(base64.b64decode(envelope["$pickle"]))
            return example
        return _example(envelope["$fields"], envelope["$inputs"])


def _example(fields: dict[str, Any], inputs: Any) -> dspy.Example:
    # As with_inputs(), which would copy the example first.
    example = dspy.Example(fields)
    example._input_keys = None if inputs is None else set(inputs)
    return example


def converters(program: dspy.Module, columns: list[str]) -> dict[str, Callable[[str], Any]]:
    """For each text column that the program's signatures type, the conversion of a cell."""
    found: dict[str, Callable[[str], Any]] = {}
    for _, predictor in program.named_predictors():
        for name, field in predictor.signature.fields.items():
            if name in columns and name not in found and not _is_text(field.annotation):
                found[name] = _converter(name, field.annotation)
    return found


def _is_text(annotation: Any) -> bool:
    return annotation is str or annotation is Any or annotation is None


def _converter(name: str, annotation: Any) -> Callable[[str], Any]:
    try:
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
    except Exception:
        return lambda cell: cell  # A type that pydantic does not know: the program gets the text.

    def convert(cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        try:
            return adapter.validate_strings(cell)
        except pydantic.ValidationError as first:
            try:
                # Lists and models are written as JSON in a cell; an empty cell is null.
                return adapter.validate_json(cell if cell.strip() else "null")
            except pydantic.ValidationError:
                raise ValueError(f"column {name!r}: {cell!r} is not {annotation}") from first

    return convert
