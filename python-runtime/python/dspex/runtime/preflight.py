"""Can this interpreter run workers? Every answer but yes says what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import time

MIN_PYTHON = (3, 10)
MIN_DSPY = (3, 3, 1)
END_DSPY = (3, 5)
SUPPORTED_DSPY = ">=3.3.1,<3.5"

# What a first prediction imports in dspy 3.4 beyond `import dspy`. Imported before the fork it is shared by all
# workers; a worker would otherwise pay for it in time and private memory. Absence of one is not an error: dspy 3.3 has
# few of these. Its LM needs litellm, which is left to the workers: it reads the environment when it is imported.
_WARM = (
    "dspy.clients.call_result",
    "dspy.clients.costs",
    "dspy.clients.execution",
    "dspy.clients.legacy_outputs",
    "dspy.clients.lm15_boundary",
    "dspy.clients.model_metadata",
    "dspy.utils.syncify",
    "json_repair",
    "asyncio",
    "uuid",
)


class Refusal(Exception):
    """This interpreter cannot serve; `kind` is one of PROTOCOL.md's."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def check_python() -> None:
    if sys.version_info < MIN_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise Refusal(
            "python_unsupported",
            f"{sys.executable} is Python {found}; DSPex needs Python 3.10 to 3.14. Choose another with --python.",
        )


def import_dspy() -> tuple[str, float]:
    """Import dspy and what workers need besides it; (its version, the seconds that took)."""
    started = time.perf_counter()
    try:
        import cloudpickle  # noqa: F401
        import dspy

        version = str(dspy.__version__)
    except ModuleNotFoundError as error:
        if error.name in ("cloudpickle", "msgspec"):
            raise Refusal("dependency_missing", missing_dependency(error.name)) from error
        raise Refusal("dspy_broken", _broken(error)) from error
    except BaseException as error:
        raise Refusal("dspy_broken", _broken(error)) from error
    for name in _WARM:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    return version, time.perf_counter() - started


def missing_dependency(name: str) -> str:
    # All at once: nobody wants to install one to hear of the next.
    others = [other for other in ("cloudpickle", "msgspec") if other != name]
    names = " ".join([name, *(other for other in others if importlib.util.find_spec(other) is None)])
    return f"{sys.executable} has no {names.replace(' ', ' and no ')}. Install: {sys.executable} -m pip install {names}"


def check_dspy_version() -> None:
    """Ask the metadata first: an unsupported dspy should not cost the seconds that its import takes."""
    try:
        version = importlib.metadata.version("dspy")
    except importlib.metadata.PackageNotFoundError:
        raise Refusal(
            "dspy_missing",
            f"{sys.executable} has no dspy. Install what is needed: "
            f"{sys.executable} -m pip install 'dspy{SUPPORTED_DSPY}' cloudpickle msgspec, "
            "or choose the Python of your project with --python.",
        ) from None
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if not MIN_DSPY <= numbers < END_DSPY:
        raise Refusal(
            "dspy_unsupported",
            f"{sys.executable} has dspy {version}; this DSPex runs dspy {SUPPORTED_DSPY}. "
            f"Install one: {sys.executable} -m pip install 'dspy{SUPPORTED_DSPY}'",
        )


def _broken(error: BaseException) -> str:
    return f"`import dspy` failed in {sys.executable}: {type(error).__name__}: {error}"
