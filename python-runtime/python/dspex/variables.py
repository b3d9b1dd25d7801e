"""`client.variables`: variables of the whole cluster, under one version after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from dspex.arguments import text
from dspex.stored_requests import Ask, Read, Requests, from_json, name, to_json, version


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable at one of its versions. Times are milliseconds since 1970, by the cluster's log time."""

    name: str
    value: Any
    # The version that this is, from 1, and the newest one.
    version: int
    newest_version: int
    # Of the variable, and of this version.
    created_ms: int
    written_ms: int
    # Who wrote this version: the name of a token, or "local user".
    written_by: str


_History = list[Variable]


class Variables:
    """Variables of the cluster: JSON values of at most 16 KiB. Safe to use from any thread.

    Names, `expected_version`, `read` and `timeout` (seconds) are as those of programs.
    """

    def __init__(self, ask: Ask) -> None:
        """Made by a client."""
        self._requests = Requests(ask)

    def set(
        self,
        variable: str,
        value: Any,
        *,
        expected_version: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """Set a variable; the version that this makes, from 1.

        Raises NameInvalid, VersionConflict (somebody else has written), VariableNotFound (a version above 0 is expected
        and there is none), TooLarge.
        """
        body = {
            "name": name(variable, "variable"),
            "value": to_json("the value", value),
            "expected_version": version("expected_version", expected_version, 0),
        }
        written: int = self._requests.write("variables.set", body, timeout)["version"]
        return written

    def get(
        self,
        variable: str,
        *,
        version: int | None = None,
        read: Read = "linearizable",
        timeout: float | None = None,
    ) -> Variable:
        """A variable at its newest version, or at one of the last 20.

        Raises VariableNotFound, also where the version is not kept (`reason` is then VARIABLE_VERSION_NOT_FOUND).
        """
        body = {"name": name(variable, "variable"), "version": _version("version", version, 1)}
        return _variable(self._requests.read("variables.get", body, read, timeout))

    def delete(
        self,
        variable: str,
        *,
        expected_version: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Remove a variable with its history. Raises VariableNotFound, VersionConflict."""
        expected = version("expected_version", expected_version, 1)
        self._requests.write(
            "variables.delete", {"name": name(variable, "variable"), "expected_version": expected}, timeout
        )

    def list(
        self,
        *,
        prefix: str = "",
        read: Read = "linearizable",
        timeout: float | None = None,
    ) -> Iterator[Variable]:
        """The variables in the order of their names, page by page as they are taken. `timeout` is that of each page."""
        body = {"prefix": text("prefix", prefix, '"temp"')}
        return map(_variable, self._requests.pages("variables.list", body, read, timeout))

    def history(
        self,
        variable: str,
        *,
        read: Read = "linearizable",
        timeout: float | None = None,
    ) -> _History:
        """The versions that are kept, newest first: the last 20. Raises VariableNotFound."""
        answer = self._requests.read("variables.history", {"name": name(variable, "variable")}, read, timeout)
        return [_variable(item) for item in answer["items"]]


# An argument has this name, too.
_version = version


def _variable(answer: dict[str, Any]) -> Variable:
    return Variable(
        name=answer["name"],
        value=from_json(answer["value"]),
        version=answer["version"],
        newest_version=answer["newest_version"],
        created_ms=answer["created_ms"],
        written_ms=answer["written_ms"],
        written_by=answer["written_by"],
    )
