"""Secrets must not leave the driver in a pickle or a row, both of which nodes store."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping

from dspex.errors import DspexError

_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
# Shorter values are found everywhere by accident.
_LEAST_LENGTH = 8
# Of a value with several lines (a private key) each is one, too. What is found stops the user, so that a line must look
# like a key: it has no spaces, and is not everybody's "-----BEGIN PRIVATE KEY-----".
_LINE = re.compile(r"(?!-----)\S{16,}")
_PICKLE = re.compile(rb'"\$pickle": "([A-Za-z0-9+/=]*)"')


def of_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """{variable: value} of those named like secrets."""
    return {name: value for name, value in environment.items() if _NAME.search(name) and len(value) >= _LEAST_LENGTH}


def refuse(data: bytes, secrets: Mapping[str, str], where: str) -> None:
    """Raise if a secret is in these bytes."""
    for name, value in secrets.items():
        if any(form in data for form in _forms(value)):
            raise found(name, where)


def refuse_in_rows(rows: list[bytes], secrets: Mapping[str, str]) -> None:
    for index, row in enumerate(rows):
        pickled = _PICKLE.fullmatch(row, 1, len(row) - 1)
        data = base64.b64decode(pickled[1]) if pickled else row
        refuse(data, secrets, f"devset[{index}]")


def _forms(value: str) -> Iterator[bytes]:
    for text in (value, *_lines(value)):
        yield text.encode("utf-8", "surrogateescape")
        escaped = json.dumps(text, ensure_ascii=False)[1:-1]
        if escaped != text:
            yield escaped.encode("utf-8", "surrogateescape")


def _lines(value: str) -> list[str]:
    lines = [line.strip() for line in value.splitlines()]
    return [line for line in lines if line != value and _LINE.fullmatch(line)]


def found(name: str, where: str) -> DspexError:
    return DspexError(
        f"{where} contains the value of the environment variable {name}, and would be stored with the run. "
        f"Read it from os.environ[{name!r}] where it is used: workers have this environment, and it is not stored",
        code="INVALID_ARGUMENT",
        reason="SECRET_FOUND",
        metadata={"variable": name, "where": where},
    )
