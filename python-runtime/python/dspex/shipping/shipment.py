"""One evaluation as it is handed over: payload, rows, and the secrets beside them."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import cloudpickle
import dspy

from dspex.errors import DspexError
from dspex.runtime import datasets, language_models
from dspex.runtime.canonical import type_name
from dspex.runtime.failure import message_of
from dspex.runtime.payload import MAX_BYTES, Collect, Payload, encode
from dspex.runtime.references import LoadFailure
from dspex.runtime.returning import Returning
from dspex.shipping import changes, secrets, settings
from dspex.shipping.locating import unshippable
from dspex.shipping.pickling import ShippingPickler, TooLarge, Unshippable

# What a user knows by name, in the order in which it is looked at.
Named = Mapping[str, Any]
# What a node takes for one evaluation, all examples together.
DEVSET_BYTES = 1 << 30


@dataclass(frozen=True)
class Shipment:
    payload: bytes
    # One a line.
    rows: bytes
    program_name: str
    metric_name: str
    # What answers, as people are told.
    lm: str
    # What workers know by number.
    objects: Sequence[Any]
    # Environment variables for the workers only.
    secrets: Mapping[str, str]
    # What has to be imported to open it.
    modules: Set[str]
    collect: Collect


def ship(
    program: Any, metric: Any, devset: Sequence[Any], *, metric_on: str, max_errors: int, num_threads: int
) -> Shipment:
    """Pickles everything; Unshippable where something exists in the driver only or is too large, DspexError where there
    is a secret."""
    named = {"program": program, "metric": metric if metric_on == "worker" else None}
    contents = {**named, "settings": settings.shipped()}
    pickler = pickled(contents, named)
    environment = secrets.of_environment()
    refuse_secrets(pickler.pickled(), contents, named, environment)
    rows = _rows(devset, pickler.objects, pickler.modules)
    changes.refuse(pickler.modules)
    secrets.refuse_in_rows(rows, environment)
    header = Payload(
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        dspy=str(dspy.__version__),
        cloudpickle=str(cloudpickle.__version__),
        path=path(),
        program_name=name_of(program),
        metric_name=name_of(metric),
        pickle=pickler.pickled(),
        inputs=_inputs(devset[0]),
        lm=lm_of(program),
        max_errors=max_errors,
        num_threads=num_threads,
        main=main(),
        metric_on=metric_on,
        collect=collected_of(pickler.objects),
    )
    return Shipment(
        payload=bounded(encode(header), contents, named),
        rows=b"\n".join(rows) + b"\n",
        program_name=header.program_name,
        metric_name=header.metric_name,
        lm=header.lm,
        objects=pickler.objects,
        secrets=pickler.secrets,
        modules=pickler.modules,
        collect=header.collect,
    )


def collected_of(objects: Sequence[Any]) -> Collect:
    """What of each example this driver can use."""
    return Collect(
        history=not dspy.settings.disable_history,
        events=_has_callbacks(objects),
        usage=dspy.settings.usage_tracker is not None,
    )


def pickled(contents: dict[str, Any], named: Named, stays: Callable[[Any], bool] | None = None) -> ShippingPickler:
    """The contents, which have settings besides what is named. Unshippable with the name of what cannot be pickled."""
    pickler = ShippingPickler(stays)
    try:
        pickler.dump(contents)
        # A second pickle with the memo of the first: the very objects of the program, in the order of their numbers.
        pickler.dump(list(pickler.objects))
    except Exception as error:
        name, value = next(iter(named.items()))
        raise _unshippable(contents, named) or Unshippable(name, type_name(value), message_of(error)) from error
    return pickler


def _unshippable(contents: dict[str, Any], named: Named) -> Unshippable | None:
    for name, value in named.items():
        if (found := unshippable(value, name)) is not None:
            return found
    for name, value in contents["settings"].items():
        if (found := unshippable(value, f"dspy.settings.{name}")) is not None:
            return found
    return None


def refuse_secrets(pickled: bytes, contents: dict[str, Any], named: Named, environment: Mapping[str, str]) -> None:
    """DspexError where the pickle holds one of these, with the part that it is in."""
    for name, value in environment.items():
        try:
            secrets.refuse(pickled, {name: value}, "the pickle of program, metric and settings")
        except DspexError as error:
            found = _unshippable_with(contents, named, name, value)
            raise (found or error) from None


def _unshippable_with(contents: dict[str, Any], named: Named, name: str, value: str) -> DspexError | None:
    def refuses(part: Any) -> BaseException | None:
        pickler = ShippingPickler()
        try:
            pickler.dump(part)
            secrets.refuse(pickler.pickled(), {name: value}, "")
        except DspexError as error:
            return error
        except Exception:
            return None
        return None

    ours = {f"dspy.settings.{key}": part for key, part in contents["settings"].items()}
    for path, part in {**named, **ours}.items():
        if (located := unshippable(part, path, refuses)) is not None:
            return secrets.found(name, located.path)
    return None


def _rows(devset: Sequence[Any], objects: Sequence[Any], modules: set[str]) -> list[bytes]:
    pickled = Returning(objects, modules).dumps
    rows = []
    total = 0
    for index, example in enumerate(devset):
        if not isinstance(example, dspy.Example):
            raise Unshippable(f"devset[{index}]", type_name(example), "not a dspy.Example")
        try:
            rows.append(datasets.row_of(example, index, None, pickled))
        except LoadFailure as error:
            located = unshippable(dict(example.items()), f"devset[{index}]")
            raise located or Unshippable(f"devset[{index}]", type_name(example), error.message) from error
        total += len(rows[-1]) + 1
        if total > DEVSET_BYTES:
            raise TooLarge(
                "devset",
                type_name(devset),
                f"{index + 1} of its {len(devset)} examples take {total} bytes, the limit is {DEVSET_BYTES}",
            )
    return rows


def _has_callbacks(objects: Sequence[Any]) -> bool:
    return bool(dspy.settings.callbacks) or any(_own_callbacks(known) for known in objects)


def _own_callbacks(known: Any) -> bool:
    return not isinstance(known, (type, types.FunctionType)) and bool(getattr(known, "callbacks", None))


def bounded(encoded: bytes, contents: dict[str, Any], named: Named) -> bytes:
    """TooLarge where it is more than a frame holds."""
    if len(encoded) <= MAX_BYTES:
        return encoded
    parts = {**named, "dspy.settings": contents["settings"]}
    sizes = {name: _size(part) for name, part in parts.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    raise TooLarge(
        largest,
        type_name(parts[largest]),
        f"program, metric and settings take {len(encoded)} bytes pickled, the limit is {MAX_BYTES}; the largest is "
        f"the {largest} with {sizes[largest]}{_largest_part(parts[largest])}",
    )


def _largest_part(value: Any) -> str:
    parts = vars(value) if hasattr(value, "__dict__") else value if isinstance(value, dict) else {}
    sizes = {str(name): _size(part) for name, part in parts.items()}
    if not sizes:
        return ""
    largest = max(sizes, key=lambda name: sizes[name])
    return f" (its {largest}: {sizes[largest]})"


def _size(value: Any) -> int:
    pickler = ShippingPickler()
    try:
        pickler.dump(value)
    except Exception:
        return 0
    return len(pickler.pickled())


def path() -> list[str]:
    entries = (os.path.abspath(entry) for entry in sys.path)
    return list(dict.fromkeys(entry for entry in entries if os.path.exists(entry)))


def main() -> str | None:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(file) if file else None


def name_of(value: Any) -> str:
    name: str = value.__name__ if isinstance(value, types.FunctionType) else type(value).__name__
    return name


def _inputs(example: Any) -> list[str]:
    marked = getattr(example, "_input_keys", None)
    return [str(key) for key in dict(example.items()) if key in marked] if marked else []


def lm_of(program: Any) -> str:
    if isinstance(program, dspy.Module):
        try:
            return language_models.describe(program)
        except Exception:
            pass  # A program may answer `named_predictors` in its own way; this is for people only.
    lm = dspy.settings.lm
    return str(getattr(lm, "model", "none"))
