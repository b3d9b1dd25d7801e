"""Stored programs, as they are read. Times are milliseconds since 1970, by the cluster's log time."""

from __future__ import annotations

from typing import Any

import msgspec

from dspex.stored_requests import from_json


class SignatureField(msgspec.Struct, frozen=True):
    """An input or output."""

    name: str
    # A Python type as text; None: not written, "str" for DSPy, which then takes anything.
    type: str | None = None

    def __str__(self) -> str:
        return self.name if self.type is None else f"{self.name}: {self.type}"


class Signature(msgspec.Struct, frozen=True):
    """What a program takes and gives. `str` shows it as DSPy writes it."""

    inputs: list[SignatureField]
    outputs: list[SignatureField]

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.inputs))} -> {', '.join(map(str, self.outputs))}"


class ProgramWritten(msgspec.Struct, frozen=True, kw_only=True):
    """A program after a write."""

    # A UUID, for the program's life.
    id: str
    name: str
    # Whose it is; None: everybody's.
    session: str | None
    # Its newest version, from 1.
    version: int


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program at one of its versions."""

    # A UUID, for the program's life.
    id: str
    name: str
    # Whose it is; None: everybody's.
    session: str | None
    # "draft", "ready" or "deprecated".
    status: str
    # The version that this is, and the newest one.
    version: int
    newest_version: int
    # What `create_program` of pools takes, without an id; None in lists.
    definition: dict[str, Any] | None
    # sha256 of a definition of more than 16 KiB; None: it is shorter.
    definition_digest: str | None
    # None: only the program's code knows.
    signature: Signature | None
    # Empty in lists.
    variables: dict[str, Any]
    # Of the program, of its last change, of this version.
    created_ms: int
    updated_ms: int
    written_ms: int
    # Who wrote this version: the name of a token, or "local user".
    written_by: str
    note: str


class ProgramVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a program's history."""

    version: int
    # None where it takes more than 16 KiB: `programs.get(name, version=...)` has it.
    definition: dict[str, Any] | None
    definition_digest: str | None
    signature: Signature | None
    variables: dict[str, Any]
    written_ms: int
    written_by: str
    note: str


class Optimization(msgspec.Struct, frozen=True, kw_only=True):
    """What an optimization of a program gave."""

    # A UUID.
    id: str
    # Of those of this program, from 1.
    number: int
    # "MIPROv2".
    optimizer_type: str
    parameters: dict[str, Any]
    performance_metrics: dict[str, Any]
    # sha256 as 64 hex digits; None: not known.
    training_data_hash: str | None
    # The version of the program that it made.
    program_version: int
    created_ms: int
    recorded_by: str


def written(answer: dict[str, Any]) -> ProgramWritten:
    return ProgramWritten(
        id=answer["program_id"],
        name=answer["name"],
        session=answer["session"] or None,
        version=answer["version"],
    )


def program(answer: dict[str, Any]) -> Program:
    return Program(
        id=answer["program_id"],
        name=answer["name"],
        session=answer["session"] or None,
        status=answer["status"],
        newest_version=answer["newest_version"],
        created_ms=answer["created_ms"],
        updated_ms=answer["updated_ms"],
        **_made_of(answer),
    )


def version(answer: dict[str, Any]) -> ProgramVersion:
    return ProgramVersion(**_made_of(answer))


def optimization(answer: dict[str, Any]) -> Optimization:
    return Optimization(
        id=answer["optimization_id"],
        number=answer["number"],
        optimizer_type=answer["optimizer_type"],
        parameters=from_json(answer["parameters"]) or {},
        performance_metrics=from_json(answer["performance_metrics"]) or {},
        training_data_hash=answer["training_data_hash"] or None,
        program_version=answer["program_version"],
        created_ms=answer["created_ms"],
        recorded_by=answer["recorded_by"],
    )


def _made_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What belongs to a version."""
    signature = answer["signature"]
    return {
        "version": answer["version"],
        "definition": from_json(answer["definition"]),
        "definition_digest": answer["definition_digest"] or None,
        "signature": None if signature is None else msgspec.convert(signature, Signature),
        "variables": {key: from_json(value) for key, value in answer["variables"].items()},
        "written_ms": answer["written_ms"],
        "written_by": answer["written_by"],
        "note": answer["note"],
    }
