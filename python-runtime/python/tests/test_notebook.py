"""The notebooks of the documentation: executed from the top with the real program, they print what they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from installed import CHECKOUT, COMPLETE, installed

try:
    import nbclient
    import nbformat
except ImportError:
    if COMPLETE:
        raise
    pytest.skip("nbclient, nbformat and ipykernel are in requirements/dev.txt", allow_module_level=True)

NOTEBOOKS = sorted((CHECKOUT / "docs/notebooks").glob("*.ipynb"))
CELL_SECONDS = 60

# Ids of runs and ages, and how wide their columns are.
_VARYING = [
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\d+ s\b"), "AGE"),
    (re.compile(r"[ \r]+"), " "),
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_prints_what_it_shows(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    shown = _printed(notebook)
    assert any(shown), "the notebook is stored with its outputs"
    with installed(tmp_path) as environment:
        client = nbclient.NotebookClient(
            notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute(env=environment)
    assert _printed(notebook) == shown


def _printed(notebook: Any) -> list[str]:
    """What each cell prints; log lines carry the time, and go to stderr."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    streams = [[output for output in cell.outputs if output.get("name") == "stdout"] for cell in cells]
    return [_steady("".join(output.text for output in outputs)) for outputs in streams]


def _steady(text: str) -> str:
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text
