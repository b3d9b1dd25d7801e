"""What a program needs is read from its files, and nothing of it is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex.runtime import fingerprint
from dspex.runtime.fingerprint import Scan, of_program


def _project(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _scan(root: Path, *references: str, directory: str = "") -> dict[str, Any]:
    return of_program(str(root), str(root / directory), references)


def test_files_are_followed_and_packages_are_named(tmp_path: Path) -> None:
    root = _project(
        tmp_path,
        {
            "qa.py": "import os, numpy as np\nimport dspy\nfrom helpers import util\nraise SystemExit('executed')\n",
            "helpers/__init__.py": "from .other import x\n",
            "helpers/other.py": "from . import third\nimport json\n",
            "helpers/third.py": "",
            "helpers/util.py": "def f():\n    import yaml\n",
            "unused.py": "import msgspec\n",
        },
    )
    found = _scan(root, "qa.py:qa")
    assert found["files"] == ["helpers/__init__.py", "helpers/other.py", "helpers/third.py", "helpers/util.py", "qa.py"]
    assert {"dspy", "cloudpickle", "numpy", "pyyaml"} <= set(found["distributions"])
    assert "msgspec" not in found["distributions"]
    assert found["distributions"]["dspy"] == dspy.__version__
    assert (found["python"], found["outside"]) == (f"3.{sys.version_info.minor}", {})


def test_a_program_is_found_from_where_the_command_was_typed(tmp_path: Path) -> None:
    root = _project(tmp_path, {"sub/qa.py": "import near\n", "sub/near.py": "", "near.py": "import numpy\n"})
    assert _scan(root, "qa.py:qa", directory="sub")["files"] == ["sub/near.py", "sub/qa.py"]
    assert _scan(root, "sub/qa.py:qa")["files"] == ["sub/near.py", "sub/qa.py"]
    assert _scan(root, "near:x")["files"] == ["near.py"]
    files = {"pkg/__init__.py": "", "pkg/inner/qa.py": "from ..util import x\n", "pkg/util.py": ""}
    package = _project(tmp_path / "other", files)
    assert _scan(package, "pkg.inner.qa:qa")["files"] == ["pkg/__init__.py", "pkg/inner/qa.py", "pkg/util.py"]


def test_what_is_imported_by_a_written_name_is_followed(tmp_path: Path) -> None:
    text = "import importlib\nimportlib.import_module('late')\n__import__('numpy')\nimportlib.import_module(name)\n"
    root = _project(tmp_path, {"qa.py": text, "late.py": ""})
    found = _scan(root, "qa.py:qa")
    assert found["files"] == ["late.py", "qa.py"]
    assert "numpy" in found["distributions"]


def test_a_file_that_is_no_python_is_left_to_the_worker(tmp_path: Path) -> None:
    root = _project(tmp_path, {"qa.py": "import broken\n", "broken.py": "def (:\n"})
    assert _scan(root, "qa.py:qa")["files"] == ["broken.py", "qa.py"]
    assert _scan(root, "gone.py:qa", "no reference", "")["distributions"].keys() >= {"dspy"}


def test_a_source_directory_on_the_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _project(tmp_path, {"src/mine/__init__.py": "", "src/mine/deep.py": "", "qa.py": "from mine import deep\n"})
    monkeypatch.syspath_prepend(str(root / "src"))
    found = _scan(root, "qa.py:qa")
    assert found["files"] == ["qa.py", "src/mine/__init__.py", "src/mine/deep.py"]
    assert "src" in found["path"]


def test_a_module_that_lies_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _project(tmp_path / "project", {"qa.py": "import shared_elsewhere\n"})
    _project(tmp_path / "elsewhere", {"shared_elsewhere.py": ""})
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    elsewhere = tmp_path / "elsewhere" / "shared_elsewhere.py"
    assert _scan(root, "qa.py:qa")["outside"] == {"shared_elsewhere": str(elsewhere)}
    outside = _scan(root, "../elsewhere/shared_elsewhere.py:x")["outside"]
    assert list(outside) == ["shared_elsewhere.py"]


def test_an_environment_inside_the_project_is_not_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = ".venv/lib/python3/site-packages"
    root = _project(
        tmp_path,
        {
            "qa.py": "import installed_thing\n",
            f"{site}/installed_thing.py": "",
            f"{site}/installed_thing-2.5.dist-info/METADATA": "Name: Installed_Thing\nVersion: 2.5\n",
            f"{site}/installed_thing-2.5.dist-info/top_level.txt": "installed_thing\n",
        },
    )
    monkeypatch.syspath_prepend(str(root / site))
    found = _scan(root, "qa.py:qa")
    assert found["files"] == ["qa.py"]
    assert found["distributions"]["installed-thing"] == "2.5"


def test_of_distributions_that_share_a_name_those_are_needed_that_have_what_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    for name, module in (("acme-one", "one"), ("acme-two", "two")):
        info = f"{name.replace('-', '_')}-1.0.dist-info"
        _project(
            site,
            {
                f"acme/{module}.py": "",
                f"{info}/METADATA": f"Name: {name}\nVersion: 1.0\n",
                f"{info}/RECORD": f"acme/{module}.py,,\n{info}/METADATA,,\n",
            },
        )
    root = _project(tmp_path / "project", {"qa.py": "from acme import two\n", "both.py": "import acme\n"})
    monkeypatch.syspath_prepend(str(site))
    needed = _scan(root, "qa.py:qa")["distributions"]
    assert ("acme-one" in needed, "acme-two" in needed) == (False, True)
    assert {"acme-one", "acme-two"} <= set(_scan(root, "both.py:x")["distributions"])


def test_names_of_distributions_are_compared_without_their_spelling() -> None:
    assert {fingerprint.normalized(name) for name in ("Foo_Bar", "foo-bar", "FOO.bar", "foo--bar")} == {"foo-bar"}


@pytest.mark.parametrize("request_", [{"facts": True}, None])
def test_the_file_alone_answers_in_a_process_of_its_own(tmp_path: Path, request_: Any) -> None:
    root = _project(tmp_path, {"qa.py": "import numpy\nprint('executed')\n"})
    asked = request_ or {"root": str(root), "directory": str(root), "references": ["qa.py:qa"]}
    text = Path(fingerprint.__file__).read_text()
    # Without this package: the caller's Python need not have it.
    command = [sys.executable, "-c", text]
    ran = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    (line,) = ran.stdout.splitlines()
    answer = json.loads(line.removeprefix(fingerprint.ANSWER))
    assert answer["distributions"]["dspy"] == dspy.__version__
    if request_ is None:
        assert answer["files"] == ["qa.py"]
    else:
        assert (answer["python"].count("."), bool(answer["paths"])) == (2, True)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    root = _project(tmp_path, {"qa.py": "import one_of_mine\n", "one_of_mine.py": "", "other_of_mine.py": ""})
    assert "one_of_mine.py" in _scan(root, "qa.py:qa")["files"]
    (root / "qa.py").write_text("import other_of_mine\n")
    scan = Scan(str(root), str(root))
    scan.reference("qa.py:qa")
    assert sorted(scan.files) == ["other_of_mine.py", "qa.py"]
