"""The dataset of the benchmarks: the bundled case's 200 held-out images, repeated, each with an id of its own."""

from __future__ import annotations

import json
from pathlib import Path

from harness.settings import PACKAGE

PROGRAM = "dspex.samples.digits:zero_shot"
METRIC = "dspex.samples.digits:exact"
LM = "dspex.samples.digits:lm"
LATENCY = "DSPEX_DIGITS_LATENCY_MS"

_FILE = PACKAGE / "dspex" / "samples" / "digits" / "digits.txt"
_HELD_OUT = 9


def rows(count: int) -> list[dict[str, object]]:
    """Read from the file itself: importing the package would import dspy into the process that measures."""
    lines = _FILE.read_text("ascii").split()[::_HELD_OUT]
    return [{"id": number, **_row(lines[number % len(lines)])} for number in range(count)]


def _row(line: str) -> dict[str, str]:
    image = "\n".join(
        " ".join(str("0123456789abcdefg".index(code)) for code in line[start : start + 8]) for start in range(1, 65, 8)
    )
    return {"image": image, "digit": line[0]}


def write(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for row in rows(count):
            file.write(json.dumps(row) + "\n")
    return path
