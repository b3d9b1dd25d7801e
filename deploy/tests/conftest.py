"""What the tests of packaging share: where things are, and the programs that judge them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# `make test` has made the wheel and the program: there nothing may be left out because it is missing.
COMPLETE = "DSPEX_TEST_UV" in os.environ


@pytest.fixture(scope="session")
def wheel() -> Path:
    wheels = sorted((CHECKOUT / "dist").glob("dspex-*.whl"))
    if not wheels:
        assert not COMPLETE, "make test makes a wheel first, and there is none in dist/"
        pytest.skip("there is no wheel: make wheel")
    return wheels[-1]


@pytest.fixture(scope="session")
def program() -> Path:
    found = Path(os.environ.get("DSPEX_TEST_PROGRAM") or CHECKOUT / ".venv/bin/dspex")
    if not found.is_file():
        assert not COMPLETE, f"there is no program {found}"
        pytest.skip("the program is not built: make build, or DSPEX_TEST_PROGRAM")
    return found
