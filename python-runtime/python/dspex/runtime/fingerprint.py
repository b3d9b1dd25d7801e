"""Which distributions a Python has, and which of them a program imports.

A file of its own, with nothing but the standard library: a node asks its environments with it, a driver asks itself,
and the command line has the caller's Python run its text, where no dspex needs to be installed.

A program is read, not imported: its modules are parsed, and those of the project that they import. Importing would run
the user's code on the caller's machine, with whatever it does there, and take the seconds that `import dspy` takes.
What is imported by a name that is made while the program runs is not seen.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

# Before the answer, which others may print beside: sitecustomize, for instance.
ANSWER = "dspex-fingerprint "
# What every program needs, whether or not it says so.
ALWAYS = ("dspy", "cloudpickle")
_FILES_MAX = 20_000
_SITES = ("site-packages", "dist-packages")


def normalized(name: str) -> str:
    """A distribution's name as comparisons want it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def facts() -> dict[str, Any]:
    """What this Python is, and what it has installed."""
    return {
        "python": ".".join(str(number) for number in sys.version_info[:3]),
        "distributions": {name: version for name, (version, _) in sorted(_installed().items())},
        "paths": [entry for entry in sys.path if os.path.isdir(entry)],
    }


def minor() -> str:
    return ".".join(str(number) for number in sys.version_info[:2])


class Scan:
    """The project at `root`, as far as what is asked for reaches."""

    def __init__(self, root: str, directory: str) -> None:
        self._root = os.path.realpath(root)
        self._directory = directory
        # Before those of sys.path: where the program's files lie.
        self._before: list[str] = []
        self._waiting: list[str] = []
        self._tops: dict[str, list[str] | None] = {}
        # Of the project, from its root; what they import from elsewhere, by first name; and files that lie in neither.
        self.files: dict[str, None] = {}
        self.external: dict[str, set[str]] = {}
        self.outside: dict[str, str] = {}

    def reference(self, written: str) -> None:
        """`path.py:name` or `module:name`; what is none of the two is not followed."""
        place = written.rpartition(":")[0]
        if place.endswith(".py") or os.sep in place:
            file = os.path.abspath(os.path.join(self._directory, os.path.expanduser(place)))
            self._look_first_in(os.path.dirname(file))
            self._add(file)
        elif place:
            self._look_first_in(self._directory)
            self.module(place)
        self._follow()

    def module(self, name: str) -> None:
        """A module by its whole name."""
        self._found(name)
        self._follow()

    def distributions(self) -> dict[str, str]:
        """{distribution: version} of all that is imported."""
        installed = _installed()
        needed = {name: installed[name][0] for name in ALWAYS if name in installed}
        homes = _homes(installed)
        for top, names in self.external.items():
            for home in _narrowed(homes.get(top, []), names, installed):
                needed[home] = installed[home][0]
        return dict(sorted(needed.items()))

    def path(self) -> list[str]:
        """The entries of sys.path that lie in the project, from its root, and where its packages were found besides."""
        found = [entry for entry in sys.path if entry]
        for locations in self._tops.values():
            # Of an editable installation that puts nothing on sys.path.
            found += [os.path.dirname(location) for location in locations or [] if os.path.isdir(location)]
        inside = (self._relative(os.path.abspath(entry)) for entry in found)
        return list(dict.fromkeys(entry for entry in inside if entry is not None))

    def _look_first_in(self, directory: str) -> None:
        if directory not in self._before:
            self._before.append(directory)

    def _follow(self) -> None:
        while self._waiting and len(self.files) <= _FILES_MAX:
            whole, near = _imports(self._waiting.pop())
            for name in whole:
                self._found(name)
            for directory, name in near:
                self._found_in([directory], name.split(".") if name else [])

    def _add(self, file: str) -> None:
        relative = self._relative(file)
        if relative is None:
            self.outside.setdefault(os.path.basename(file), file)
        elif relative not in self.files:
            self.files[relative] = None
            self._waiting.append(file)

    def _found(self, name: str) -> None:
        top, *rest = name.split(".")
        if top in sys.stdlib_module_names or top in ("__main__", "dspex"):
            return
        locations = self._locations(top)
        if locations is None:
            self.external.setdefault(top, set()).add(name)
            return
        self._found_in(locations, rest)

    def _locations(self, top: str) -> list[str] | None:
        """Where a module of the project lies: its file, or its package's directories. None: it is not the project's."""
        if top not in self._tops:
            self._tops[top] = self._look(top)
        return self._tops[top]

    def _look(self, top: str) -> list[str] | None:
        for directory in self._before:
            for place in (os.path.join(directory, top, "__init__.py"), os.path.join(directory, top + ".py")):
                if os.path.isfile(place):
                    return [os.path.dirname(place) if place.endswith("__init__.py") else place]
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            spec = None
        if spec is None:
            # A directory without an __init__.py, which is a package as well.
            return [os.path.join(each, top) for each in self._before if os.path.isdir(os.path.join(each, top))] or None
        places = list(spec.submodule_search_locations or []) or [spec.origin or ""]
        if any(self._relative(place) is not None for place in places):
            return places
        origin = spec.origin or ""
        if _is_source(origin) and _editable(origin) is None:
            self.outside.setdefault(top, origin)
            return []
        return None

    def _found_in(self, locations: list[str], names: list[str]) -> None:
        for location in locations:
            if os.path.isfile(location):
                self._add(location)
                continue
            initial = os.path.join(location, "__init__.py")
            if os.path.isfile(initial):
                self._add(initial)
            if names:
                inner = [os.path.join(location, names[0]), os.path.join(location, names[0] + ".py")]
                # The last name may be that of a variable, of which there is no file.
                self._found_in([place for place in inner if os.path.exists(place)], names[1:])

    def _relative(self, place: str) -> str | None:
        """From the root; None: it is not the project's own."""
        real = os.path.realpath(place)
        if real != self._root and not real.startswith(os.path.join(self._root, "")):
            return None
        relative = os.path.relpath(real, self._root)
        if any(site in relative.split(os.sep) for site in _SITES):
            return None
        return "" if relative == "." else relative


# Drivers ask again and again, and files seldom change: by path, time and length.
_read: dict[tuple[str, int, int], tuple[list[str], list[tuple[str, str]]]] = {}


def _imports(file: str) -> tuple[list[str], list[tuple[str, str]]]:
    """What a file imports, wherever in it: modules by their whole names, and by where they begin and the rest."""
    try:
        found = os.stat(file)
        key = file, found.st_mtime_ns, found.st_size
        if key not in _read:
            with open(file, "rb") as source:
                nodes = list(ast.walk(ast.parse(source.read())))
            _read[key] = list(_imported(nodes)), list(_imported_near(file, nodes))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return [], []  # The worker that imports it says it better.
    return _read[key]


def _imported(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module
            yield from (node.module + "." + alias.name for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__") and node.args:
            named = node.args[0]
            if isinstance(named, ast.Constant) and isinstance(named.value, str) and named.value[:1].isidentifier():
                yield named.value


def _imported_near(file: str, nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """Imports with dots: (the directory that they begin in, the rest of the name)."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            directory = os.path.dirname(file)
            for _ in range(node.level - 1):
                directory = os.path.dirname(directory)
            before = node.module + "." if node.module else ""
            yield directory, node.module or ""
            yield from ((directory, before + alias.name) for alias in node.names if alias.name != "*")


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _is_source(origin: str) -> bool:
    """Whether it is a file of a person's, not one that was installed."""
    return origin.endswith(".py") and not any(os.sep + site + os.sep in origin for site in _SITES)


# The same for what is installed: by where that is, and when it changed last.
_known: dict[tuple[tuple[str, int], ...], dict[str, tuple[str, importlib.metadata.Distribution]]] = {}


def _installed() -> dict[str, tuple[str, importlib.metadata.Distribution]]:
    """{normalized name: (version, distribution)}; of two with one name the one that is imported."""
    key = tuple((entry, os.stat(entry).st_mtime_ns) for entry in sys.path if os.path.isdir(entry))
    if key not in _known:
        _known.clear()
        _known[key] = _look_for_installed()
    return _known[key]


def _look_for_installed() -> dict[str, tuple[str, importlib.metadata.Distribution]]:
    found: dict[str, tuple[str, importlib.metadata.Distribution]] = {}
    for distribution in importlib.metadata.distributions():
        try:
            name, version = distribution.metadata["Name"], distribution.version
        except Exception:
            continue  # Half removed.
        if isinstance(name, str) and isinstance(version, str):
            found.setdefault(normalized(name), (version, distribution))
    return found


def _homes(installed: dict[str, tuple[str, importlib.metadata.Distribution]]) -> dict[str, list[str]]:
    """{first name of a module: distributions that have it}"""
    homes: dict[str, list[str]] = {}
    for name, (_, distribution) in installed.items():
        for top in _tops(distribution):
            homes.setdefault(top, []).append(name)
    return homes


def _tops(distribution: importlib.metadata.Distribution) -> set[str]:
    written = distribution.read_text("top_level.txt")
    if written:
        return set(written.split())
    tops = set()
    for file in distribution.files or []:
        first, *rest = file.parts
        if rest and first.isidentifier():
            tops.add(first)
        elif not rest and file.suffix in (".py", ".so", ".pyd"):
            tops.add(first.partition(".")[0])
    return tops


def _narrowed(
    homes: list[str], names: set[str], installed: dict[str, tuple[str, importlib.metadata.Distribution]]
) -> list[str]:
    """Of several distributions that share a first name (`google`) those that have what is imported, else all."""
    if len(homes) < 2:
        return homes
    wanted = {name.replace(".", "/") for name in names if "." in name}

    def has(home: str) -> bool:
        files = [file.as_posix() for file in installed[home][1].files or []]
        return any(file.startswith((each + "/", each + ".")) for each in wanted for file in files)

    return [home for home in homes if has(home)] or homes


def _editable(origin: str) -> str | None:
    """The distribution that was installed from where this file lies."""
    for name, (_, distribution) in _installed().items():
        try:
            url = json.loads(distribution.read_text("direct_url.json") or "{}").get("url", "")
        except (ValueError, AttributeError):
            continue
        if url.startswith("file://") and origin.startswith(url[len("file://") :].rstrip("/") + "/"):
            return name
    return None


def of_program(root: str, directory: str, references: Iterable[str]) -> dict[str, Any]:
    """What a program needs, and where in its project it is."""
    scan = Scan(root, directory)
    for written in references:
        scan.reference(written)
    return {
        "python": minor(),
        "distributions": scan.distributions(),
        "path": scan.path(),
        "files": sorted(scan.files),
        "outside": scan.outside,
    }


def main() -> None:
    """Answers the request on stdin: `{"facts": true}`, or what `of_program` takes."""
    # Neither where it was started nor where this file lies.
    sys.path[:] = [entry for entry in sys.path if entry]
    request = json.load(sys.stdin)
    answer = facts() if request.get("facts") else of_program(**request)
    print(ANSWER + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
