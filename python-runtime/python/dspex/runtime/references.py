"""`path.py:name` and `module:name`: from what the user wrote to the object, or to an error that says what to do."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dspex.runtime import failure, guard, project, sandbox_notes
from dspex.runtime.protocol import bounded

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class LoadFailure(Exception):
    """Loading ended; `kind` is one of PROTOCOL.md's `load_failed` kinds."""

    def __init__(self, kind: str, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.traceback: str | None = None
        self.file: str | None = None
        self.line: int | None = None
        if cause is not None:
            self.traceback, self.file, self.line = failure.locate(cause)

    def body(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "message": bounded(project.told(self.message), 4 * failure.MAX_MESSAGE),
            "traceback": self.traceback,
            "file": self.file,
            "line": self.line,
        }


@dataclass(frozen=True)
class Reference:
    """What the user wrote, taken apart. Exactly one of `path` and `module` is set."""

    written: str
    name: str
    path: Path | None = None
    module: str | None = None


def parse(written: str, what: str) -> Reference:
    """`what` is the word of the command line (PROGRAM, METRIC, ...), for the message."""
    left, separator, name = written.rpartition(":")
    if not separator and is_path(written):
        raise LoadFailure("arguments", f"{what} needs a name after the file: {written}:NAME")
    if not left or not _MODULE.fullmatch(name):
        raise LoadFailure("arguments", f"{what} is written as path.py:name or module:name, not {written!r}")
    if is_path(left):
        return Reference(written, name, path=Path(os.path.abspath(os.path.expanduser(left))))
    if not _MODULE.fullmatch(left):
        raise LoadFailure("arguments", f"{what} is written as path.py:name or module:name, not {written!r}")
    return Reference(written, name, module=left)


def is_path(text: str) -> bool:
    return text.endswith(".py") or os.sep in text


class Importer:
    """Imports the files and modules that references name, each once, and remembers which they were."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.modules: list[ModuleType] = []
        self._files: dict[str, ModuleType] = {}

    def find(self, reference: Reference, missing: str, name_missing: str) -> Any:
        """The named object. `missing` and `name_missing` are the kinds when there is no such file or name."""
        module = self.load(reference, missing)
        found: Any = module
        for part in reference.name.split("."):
            try:
                found = getattr(found, part)
            except AttributeError:
                text = f"{_place(reference)} has no {reference.name!r}.{suggest(part, _names(found))}"
                raise LoadFailure(name_missing, text) from None
            except Exception as error:  # A module-level __getattr__ is user code.
                raise raised(error, f"reading {reference.name!r} from {_place(reference)}") from error
        return found

    def load(self, reference: Reference, missing: str) -> ModuleType:
        if reference.path is not None:
            module = self._load_file(reference.path, missing)
        else:
            assert reference.module is not None
            module = self._load_module(reference.module, missing)
        if module not in self.modules:
            self.modules.append(module)
        return module

    def _load_module(self, name: str, missing: str) -> ModuleType:
        _put_on_path(os.getcwd())
        try:
            with guard.importing():
                return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(error.name + ".")):
                text = (
                    f"There is no module {error.name!r} for {sys.executable}, neither installed nor in {os.getcwd()}. "
                    "A file is written with its path: path/to/file.py:name"
                )
                raise LoadFailure(missing, text) from None
            raise raised(error, f"importing {name}") from error
        except BaseException as error:
            raise raised(error, f"importing {name}") from error

    def _load_file(self, path: Path, missing: str) -> ModuleType:
        if not path.is_file():
            raise LoadFailure(missing, _no_file(path))
        real = os.path.realpath(path)
        if real in self._files:
            return self._files[real]
        _put_on_path(str(path.parent))
        present = sys.modules.get(path.stem)
        if present is not None and _is_file_of(present, real):
            module = present  # Another of the user's files has imported it.
        else:
            module = self._execute_file(path, self._free_name(path, present))
        self._files[real] = module
        return module

    def _free_name(self, path: Path, present: ModuleType | None) -> str:
        if present is None:
            return path.stem
        name = path.stem + "_"
        self.notes.append(f"{path.name} has the name of the imported module {path.stem!r}; it was imported as {name!r}")
        return name

    def _execute_file(self, path: Path, name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise LoadFailure("arguments", f"{path} is not a Python file: its name must end in .py")
        module = importlib.util.module_from_spec(spec)
        # Registered before it runs, as an import does: pickle and inspect look modules up by name.
        sys.modules[name] = module
        try:
            with guard.importing():
                spec.loader.exec_module(module)
        except BaseException as error:
            sys.modules.pop(name, None)
            raise raised(error, f"importing {path}") from error
        return module


def raised(error: BaseException, doing: str) -> LoadFailure:
    """The failure for an exception of user code at import."""
    if isinstance(error, LoadFailure):
        return error
    cause = _root(error)
    if isinstance(cause, guard.EvaluatesAtImport):
        return LoadFailure("evaluates_at_import", f"{doing}: {cause}", error)
    text = f"{failure.class_name(error)} while {doing}: {failure.message_of(error)}"
    if isinstance(error, ModuleNotFoundError):
        text += (
            f". Install it for {sys.executable}, or choose another Python with --python; "
            "the user's own modules are found in the directory of the file that is named"
        )
    elif isinstance(error, ImportError) and "relative import" in str(error):
        text += ". A file of a package is named as a module: package.module:name"
    elif isinstance(error, SystemExit):
        text += ". Put what only a script does under `if __name__ == '__main__':`"
    return LoadFailure("program_raised", sandbox_notes.with_note(text, error), error)


def _root(error: BaseException) -> BaseException:
    """The first cause: user code may wrap our refusal in an exception of its own."""
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        error = cause
        cause = error.__cause__ or error.__context__
    return error


def an_instance(value: Any) -> str:
    """What a message says of a value that is of no use."""
    return f"an instance of {type(value).__module__}.{type(value).__qualname__}"


def suggest(name: str, names: list[str]) -> str:
    """` Did you mean ...?` or what there is to choose from."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(repr(one) for one in close)}?"
    if names:
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return f" It defines: {shown}"
    return " It defines nothing."


def _names(owner: Any) -> list[str]:
    """Public names, those defined in the module itself before those that it imported."""
    home = getattr(owner, "__name__", None)
    names = [name for name in dir(owner) if not name.startswith("_")]

    def foreign(name: str) -> bool:
        value = getattr(owner, name, None)
        return isinstance(value, ModuleType) or getattr(value, "__module__", home) != home

    try:
        return [name for name in names if not foreign(name)]
    except Exception:
        return names


def _place(reference: Reference) -> str:
    return str(reference.path) if reference.path is not None else f"module {reference.module}"


def _no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a directory; name the .py file in it"
    if not path.parent.is_dir():
        return f"There is no file {path}: the directory {path.parent} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix == ".py")
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"There is no file {path}.{hint}"


def _put_on_path(directory: str) -> None:
    """First on sys.path for the first reference (PROGRAM), after it for the others."""
    if directory not in sys.path:
        sys.path.insert(_own_entries(), directory)
        _entries.append(directory)
        importlib.invalidate_caches()


_entries: list[str] = []


def _own_entries() -> int:
    return sum(1 for entry in sys.path[: len(_entries)] if entry in _entries)


def _is_file_of(module: ModuleType, real: str) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and os.path.realpath(file) == real


def call(function: Callable[[], Any], kind: str, doing: str) -> Any:
    """Run a user's function without arguments; its exception becomes a failure of this kind."""
    try:
        return function()
    except BaseException as error:
        text = f"{failure.class_name(error)} while {doing}: {failure.message_of(error)}"
        raise LoadFailure(kind, sandbox_notes.with_note(text, error), error) from error
