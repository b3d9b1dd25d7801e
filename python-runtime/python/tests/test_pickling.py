"""Which classes a pickle only names."""

from __future__ import annotations

import importlib
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from dspex.runtime.pickling import ProgramPickler

NAME = "module_of_test_pickling"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / f"{NAME}.py").write_text("class Thing:\n    class Part:\n        pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(NAME)
    sys.modules.pop(NAME, None)


def _pickled(value: Any) -> bytes:
    pickler = ProgramPickler()
    pickler.dump(value)
    return pickler.pickled()


def _is_named(value: Any) -> bool:
    return _pickled(value) == pickle.dumps(value, protocol=5)


def test_a_class_that_its_module_has_is_named(module: types.ModuleType) -> None:
    for value in (module.Thing, module.Thing.Part, int, Path):
        assert _is_named(value), value
    for value in (type(None), type(...)):
        assert pickle.loads(_pickled(value)) is value


def test_a_class_that_its_module_no_longer_has_travels_by_value(module: Any) -> None:
    old = module.Thing
    assert _is_named(old)
    importlib.reload(module)
    assert pickle.loads(_pickled(old)) is old, "as with cloudpickle"
    assert _is_named(module.Thing)
    del sys.modules[NAME]
    assert pickle.loads(_pickled(old)) is old


def test_a_module_may_be_registered_by_value_at_any_time(module: Any) -> None:
    assert _is_named(module.Thing)
    cloudpickle.register_pickle_by_value(module)
    try:
        assert not _is_named(module.Thing)
        assert _is_named(Path), "others are named all the same"
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    assert _is_named(module.Thing)
