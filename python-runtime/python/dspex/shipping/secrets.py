"""Secrets must not leave the driver in a pickle or a row, both of which nodes store.

The program `dspex` does the same for projects; `node/bundle/src/secrets/cases.json` holds both to the same forms.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping

from dspex.errors import DspexError

# Names of variables, between commas, whose values are no secrets whatever they are called.
NOT_SECRET_VARIABLE = "DSPEX_NOT_SECRET"
_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
# Shorter values are found everywhere by accident.
_LEAST_LENGTH = 8
# Of a value with several lines (a private key) each is one, too. What is found stops the user, so that a line must look
# like a key: it has no spaces, and is not everybody's "-----BEGIN PRIVATE KEY-----".
_LINE = re.compile(r"(?!-----)\S{16,}")
_PICKLE = re.compile(rb'"\$pickle": "([A-Za-z0-9+/=]*)"')


def of_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """{variable: value} of those named like secrets."""
    excepted = {name.strip() for name in environment.get(NOT_SECRET_VARIABLE, "").split(",")} | {NOT_SECRET_VARIABLE}
    return {
        name: value
        for name, value in environment.items()
        if _NAME.search(name) and name not in excepted and len(value) >= _LEAST_LENGTH
    }


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


@functools.lru_cache(maxsize=256)
def _forms(value: str) -> frozenset[bytes]:
    """The value and its lines, each as it is, in JSON, in base64 and in a URL."""
    return frozenset(form for text in (value, *_lines(value)) for form in _forms_of(text))


def _forms_of(text: str) -> Iterator[bytes]:
    data = text.encode("utf-8", "surrogateescape")
    yield data
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape")
    quoted = urllib.parse.quote(data, safe="")
    yield quoted.encode()
    yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted).encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # What every base64 has in common that has so many bytes before these, and any behind.
            first, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
            yield encode(bytes(before) + data)[first:end]


def _lines(value: str) -> list[str]:
    lines = [line.strip() for line in re.split(r"[\r\n]", value)]
    return [line for line in lines if line != value and _LINE.fullmatch(line)]


def found(name: str, where: str) -> DspexError:
    return DspexError(
        f"{where} contains the value of the environment variable {name}, and would be stored with the run. "
        f"Read it from os.environ[{name!r}] where it is used: workers have this environment, and it is not stored. "
        f"If it is no secret, set {NOT_SECRET_VARIABLE}={name}",
        code="INVALID_ARGUMENT",
        reason="SECRET_FOUND",
        metadata={"variable": name, "where": where},
    )
