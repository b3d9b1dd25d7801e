"""Loading what a run needs: program, state, metric, LM, dataset. Each failure says what to do about it."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from dspex.runtime import datasets, failure, inputs, language_models, protocol, references, sources
from dspex.runtime.references import LoadFailure, an_instance

if TYPE_CHECKING:
    from dspex.runtime import shipped
    from dspex.runtime.batches import Answer

# What the node counts with, and what it takes for a typing error.
MAX_ERRORS = 2**32 - 1
MAX_THREADS = 4096


@dataclass
class Loaded:
    """A run's program, ready to execute examples, and what the node is told about it."""

    program: dspy.Module
    metric: Callable[..., Any] | None
    reader: datasets.RowReader
    rows: Iterable[list[bytes]]
    threads: int
    failure_score: float | int
    report: dict[str, Any] = field(default_factory=dict)
    # Only of a payload: its driver wants more back than a score.
    collecting: shipped.Collecting | None = None
    # Only of a batch: what each item goes through, instead of program and metric.
    batch: Callable[[Any], Answer] | None = None


def load(order: protocol.Load) -> Loaded:
    """Everything in `order`, or LoadFailure. Runs user code; must be called on the main thread."""
    check(order)
    mark = sources.latest_module()
    importer = references.Importer()
    reference = references.parse(order.program, "PROGRAM")
    program = program_of(importer, reference)
    if order.state is not None:
        _load_state(program, order.state)
    metric = _metric(importer, order.metric, reference)
    answering = language_models.apply(importer, program, order.lm, order.lm_settings)
    examples: list[dspy.Example] = []
    columns = order.columns
    if order.dataset is not None:
        examples = datasets.load(importer, order.dataset, order.limit)
        columns = datasets.columns_of(examples)
    chosen = inputs.choose(program, order.inputs, columns, examples)
    reader = datasets.RowReader(
        chosen.names,
        from_python=order.columns is None,
        converters=datasets.converters(program, order.columns or []) if order.text_cells else {},
    )
    rows = datasets.row_frames(examples, chosen.names, override=chosen.origin == "option")
    report = {
        "program": type(program).__name__,
        "metric": metric_name(metric),
        "inputs": chosen.names,
        "inputs_from": chosen.origin,
        "columns": columns if order.dataset is not None else None,
        "lm": answering.description,
        "notes": [protocol.printable(note) for note in importer.notes + answering.notes],
        "max_errors": _count(dspy.settings.max_errors, 0, MAX_ERRORS, default=10),
        "num_threads": _count(dspy.settings.num_threads or None, 1, MAX_THREADS, default=8),
        "sources": sources.digest(importer.modules, mark, order.state),
    }
    return Loaded(program, metric, reader, rows, order.threads, order.failure_score, report)


def _count(setting: Any, least: int, most: int, *, default: int) -> int:
    """A setting of dspy's as a number that the node can use: `float("inf")` and None are common ways of no limit."""
    try:
        count: int = math.ceil(min(max(setting, least), most))
    except Exception:  # Not a number.
        return default
    return count


def check(order: protocol.Load) -> None:
    if order.protocol != protocol.VERSION:
        raise LoadFailure(
            "arguments", f"the node speaks protocol {order.protocol}, this worker {protocol.VERSION}: restart the node"
        )
    if order.threads < 1:
        raise LoadFailure("arguments", f"threads must be at least 1, not {order.threads}")
    if order.limit is not None and order.limit < 1:
        raise LoadFailure("arguments", f"--limit must be at least 1, not {order.limit}")


def program_of(importer: references.Importer, reference: references.Reference) -> dspy.Module:
    found = importer.find(reference, "program_missing", "name_missing")
    made = found
    is_class = isinstance(found, type) and issubclass(found, dspy.Module)
    if is_class or inspect.isroutine(found):
        needs_no_arguments(found, reference.name, "not_a_program")
        made = _make(found, reference.name)
    if not isinstance(made, dspy.Module):
        returned = "returns" if made is not found else "is"
        raise LoadFailure(
            "not_a_program",
            f"{reference.written} {returned} {an_instance(made)}. PROGRAM is a dspy.Module, a Module class without "
            f"required arguments, or a function without arguments that returns a Module.{_other_programs(importer)}",
        )
    return _with_forward(made, reference.written, "not_a_program")


def _make(function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except BaseException as error:
        raise references.raised(error, f"calling {name}()") from error


def needs_no_arguments(function: Callable[..., Any], name: str, kind: str) -> None:
    called, arguments = function, []
    if isinstance(function, type):
        # dspy's metaclass hides what a Module's constructor takes.
        called, arguments = inspect.getattr_static(function, "__init__"), [None]
    try:
        signature = inspect.signature(called)
        signature.bind(*arguments)
    except ValueError:
        return  # A built-in without a signature: calling it will tell.
    except TypeError as error:
        raise LoadFailure(
            kind,
            f"{name}{signature} needs arguments ({error}). Give them defaults, or name a function without arguments: "
            f"def make(): return {name}(...)",
        ) from error


def _with_forward(module: dspy.Module, written: str, kind: str) -> dspy.Module:
    """The module, callable synchronously: an `aforward` alone runs through dspy's syncify."""

    def defines(name: str) -> bool:
        return name in vars(module) or hasattr(type(module), name)

    if defines("forward"):
        return module
    if defines("aforward"):
        return dspy.syncify(module)
    raise LoadFailure(kind, f"{written}: {type(module).__name__} defines neither forward nor aforward")


def _other_programs(importer: references.Importer) -> str:
    names = [
        name
        for module in importer.modules
        for name, value in vars(module).items()
        if isinstance(value, dspy.Module)
        or (isinstance(value, type) and issubclass(value, dspy.Module) and value.__module__ == module.__name__)
    ]
    return f" It defines these programs: {', '.join(names[:10])}" if names else ""


def _load_state(program: dspy.Module, written: str) -> None:
    path = Path(written).expanduser().absolute()
    if not path.exists():
        raise LoadFailure("state_missing", f"There is no file {path} to load the program's state from")
    if path.is_dir() or path.suffix not in (".json", ".pkl"):
        raise LoadFailure(
            "state_invalid",
            f"{path} is not a saved state: --load takes a .json or .pkl file that program.save(FILE) wrote",
        )
    try:
        # A pickle runs code; so does PROGRAM, which the same user names in the same command.
        program.load(str(path), allow_pickle=True)
    except BaseException as error:
        names = ", ".join(name for name, _ in program.named_parameters()) or "none"
        raise LoadFailure(
            "state_invalid",
            f"{path} does not fit {type(program).__name__}: {failure.class_name(error)}: {failure.message_of(error)}. "
            f"The program's predictors: {names}",
            error,
        ) from error


def _metric(
    importer: references.Importer, written: str | None, program: references.Reference
) -> Callable[..., Any] | None:
    if written is None:
        return None
    if ":" in written or references.is_path(written):
        reference = references.parse(written, "METRIC")
    else:
        # A bare name is looked up in PROGRAM's file.
        reference = references.Reference(written, written, program.path, program.module)
    metric = importer.find(reference, "metric_missing", "metric_missing")
    if isinstance(metric, type) and issubclass(metric, dspy.Module):
        needs_no_arguments(metric, reference.name, "metric_invalid")
        metric = references.call(metric, "metric_invalid", f"calling {reference.name}()")
    if isinstance(metric, dspy.Module):
        metric = _with_forward(metric, written, "metric_invalid")
    if not callable(metric):
        raise LoadFailure(
            "metric_invalid", f"{written} is {an_instance(metric)}; METRIC is a callable or a dspy.Module"
        )
    _takes_two(metric, written)
    return metric  # type: ignore[no-any-return]


def _takes_two(metric: Callable[..., Any], written: str) -> None:
    called = type(metric).forward if isinstance(metric, dspy.Module) and "forward" not in vars(metric) else metric
    if inspect.iscoroutinefunction(called):
        raise LoadFailure("metric_invalid", f"{written} is async; METRIC is called as metric(example, prediction)")
    try:
        signature = inspect.signature(called)
    except (ValueError, TypeError):
        return  # A built-in without a signature: calling it will tell.
    try:
        signature.bind(*([None] * (3 if called is not metric else 2)))
    except TypeError as error:
        raise LoadFailure(
            "metric_invalid",
            f"{written}{signature} cannot be called as metric(example, prediction): {error}. "
            "Write it as def metric(example, prediction, trace=None)",
        ) from error


def metric_name(metric: Any) -> str:
    """As dspy names a metric's column."""
    if metric is None:
        return ""
    name = metric.__name__ if isinstance(metric, types.FunctionType) else type(metric).__name__
    return protocol.printable(name)
