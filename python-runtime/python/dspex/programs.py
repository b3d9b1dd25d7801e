"""`client.programs`: programs that are stored on the cluster, under one version after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from dspex import program_records
from dspex.arguments import flag, text, whole
from dspex.definitions import definition_of
from dspex.program_records import Optimization, Program, ProgramVersion, ProgramWritten
from dspex.stored_requests import Ask, Read, Requests, name, session, texts, to_json, version

Status = Literal["draft", "ready", "deprecated"]
_History = list[ProgramVersion]
_Optimizations = list[Optimization]


class Programs:
    """Programs of everybody, and those that sessions have of their own. Safe to use from any thread.

    A name is 1 to 255 bytes of printable text without slashes. `session` is a session's id, or a session; None: the
    programs of everybody. `expected_version` makes a write conditional: where somebody else has written,
    `VersionConflict` is raised; 0 means that there must not be such a program.

    Every method takes `timeout`, seconds until it gives up (60 where it is None). A write is executed once, also when
    a node is lost meanwhile; when nobody can say in time whether it was, `OutcomeUnknown` is raised. `read` says how
    fresh a read must be: "linearizable" (everything that was acknowledged), "lease" or "stale" (what the node that is
    asked has).
    """

    def __init__(self, ask: Ask) -> None:
        """Made by a client."""
        self._requests = Requests(ask)

    def put(
        self,
        program: str,
        definition: Any = None,
        *,
        session: Any = None,
        signature: str | Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
        remove_variables: Iterable[str] = (),
        replace_variables: bool = False,
        note: str = "",
        expected_version: int | None = None,
        timeout: float | None = None,
    ) -> ProgramWritten:
        """Store a program, or its next version.

        definition: a signature ("question -> answer"), a reference to code ("path.py:name" or "module:name"), a dict
            as `create_program` of pools takes it, or a dspy.Predict or dspy.ChainOfThought with its demos. None: what
            the program is made of stays.
        signature: what a program of code takes and gives, which is checked before it is executed.
        variables: JSON values that are set beside those that it has, or in their place with `replace_variables`.
        note: what to say of this version, 1 KiB.

        Raises DefinitionInvalid (the message names the field), NameInvalid, VersionConflict, ProgramNotFound (there is
        nothing to change), SessionNotFound, TooLarge (48 KiB beside the definition, which may take 16 MiB).
        """
        body = {
            **_key(program, session),
            "expected_version": version("expected_version", expected_version, 0),
            "replace_variables": flag("replace_variables", replace_variables),
            "removed": [text("a name in remove_variables", one, '"k"') for one in remove_variables],
            "set": texts("variables", variables),
            "note": text("note", note, '"with demos"'),
        }
        if definition is not None:
            body["definition"] = to_json("the definition", definition_of(definition))
        if signature is not None:
            body["signature"] = signature if isinstance(signature, str) else to_json("the signature", dict(signature))
        return program_records.written(self._requests.write("programs.put", body, timeout))

    def get(
        self,
        program: str | None = None,
        *,
        session: Any = None,
        or_global: bool = False,
        id: str | None = None,
        version: int | None = None,
        read: Read = "linearizable",
        timeout: float | None = None,
    ) -> Program:
        """A program by its name, or by its `id`, at its newest version or at one of the last 20.

        or_global: where the session has none of this name, that of everybody.

        Raises ProgramNotFound, also where the version is not kept (`reason` is then PROGRAM_VERSION_NOT_FOUND).
        """
        if (program is None) == (id is None):
            raise TypeError("name a program either by its name or by its id")
        found = _key(program, session) if id is None else {"program_id": text("id", id, "a UUID")}
        body = {**found, "or_global": flag("or_global", or_global), "version": _version("version", version, 1)}
        return program_records.program(self._requests.read("programs.get", body, read, timeout))

    def delete(
        self,
        program: str,
        *,
        session: Any = None,
        expected_version: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Remove a program with its history and its optimizations. Raises ProgramNotFound, VersionConflict."""
        body = {**_key(program, session), "expected_version": version("expected_version", expected_version, 1)}
        self._requests.write("programs.delete", body, timeout)

    def list(
        self,
        *,
        session: Any = None,
        status: Status | None = None,
        prefix: str = "",
        read: Read = "linearizable",
        timeout: float | None = None,
    ) -> Iterator[Program]:
        """The programs in the order of their names, without definitions and variables, page by page as they are taken.

        Raises SessionNotFound. `timeout` is that of each page.
        """
        body = {"session": _session(session), "status": status or "", "prefix": text("prefix", prefix, '"qa-"')}
        pages = self._requests.pages("programs.list", body, read, timeout)
        return (program_records.program(item) for item in pages)

    def history(
        self,
        program: str,
        *,
        session: Any = None,
        read: Read = "linearizable",
        timeout: float | None = None,
    ) -> _History:
        """The versions that are kept, newest first: the last 20. Raises ProgramNotFound."""
        answer = self._requests.read("programs.history", _key(program, session), read, timeout)
        return [program_records.version(item) for item in answer["items"]]

    def set_status(
        self,
        program: str,
        status: Status,
        *,
        session: Any = None,
        expected_version: int | None = None,
        timeout: float | None = None,
    ) -> ProgramWritten:
        """Say how far a program is. That is no new version. Raises ProgramNotFound, VersionConflict."""
        body = {
            **_key(program, session),
            "status": text("status", status, '"draft", "ready" or "deprecated"'),
            "expected_version": version("expected_version", expected_version, 1),
        }
        return program_records.written(self._requests.write("programs.set_status", body, timeout))

    def record_optimization(
        self,
        program: str,
        *,
        optimizer_type: str,
        parameters: Mapping[str, Any],
        performance_metrics: Mapping[str, Any],
        program_version: int,
        training_data_hash: str | None = None,
        session: Any = None,
        timeout: float | None = None,
    ) -> str:
        """Note what an optimization gave; its id. The newest 100 of a program are kept.

        optimizer_type: 1 to 50 bytes, as "MIPROv2".
        parameters, performance_metrics: JSON objects, 16 KiB together.
        program_version: the version of the program that the optimization made.
        training_data_hash: sha256 as 64 hex digits.

        Raises ProgramNotFound, also where the program never had this version, and TooLarge.
        """
        body = {
            **_key(program, session),
            "optimizer_type": text("optimizer_type", optimizer_type, '"MIPROv2"'),
            "parameters": to_json("parameters", dict(parameters)),
            "performance_metrics": to_json("performance_metrics", dict(performance_metrics)),
            "program_version": whole("program_version", program_version, 1),
            "training_data_hash": ""
            if training_data_hash is None
            else text("training_data_hash", training_data_hash, "hex"),
        }
        recorded: str = self._requests.write("programs.record_optimization", body, timeout)["optimization_id"]
        return recorded

    def optimizations(
        self,
        program: str,
        *,
        session: Any = None,
        read: Read = "linearizable",
        timeout: float | None = None,
    ) -> _Optimizations:
        """What the optimizations of a program gave, newest first: the last 100. Raises ProgramNotFound."""
        answer = self._requests.read("programs.optimizations", _key(program, session), read, timeout)
        return [program_records.optimization(item) for item in answer["items"]]


# Arguments have these names, too.
_session = session
_version = version


def _key(program: Any, session: Any) -> dict[str, Any]:
    return {"name": name(program, "program"), "session": _session(session)}
