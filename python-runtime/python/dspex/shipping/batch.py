"""A batch of dspy's as it is handed over: the function once, and a row for each item, whatever value that is."""

from __future__ import annotations

import base64
import json
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import dspy

from dspex.runtime import datasets, protocol
from dspex.runtime.attempts import Attempting
from dspex.runtime.batches import Batch
from dspex.runtime.canonical import type_name
from dspex.runtime.failure import message_of
from dspex.runtime.payload import BATCH, Payload, encode, original
from dspex.runtime.references import LoadFailure
from dspex.shipping import changes, secrets, settings, shipment
from dspex.shipping.locating import unshippable, why_not
from dspex.shipping.pickling import ShippingPickler, TooLarge, Unshippable
from dspex.shipping.shipment import Named, Shipment

_ROW_BYTES = protocol.MAX_FRAME // 2


@dataclass(frozen=True)
class BatchShipment:
    shipment: Shipment
    # What an item was the first to bring, by the item's index; numbered after the objects of the shipment.
    own: Mapping[int, Sequence[Any]]
    # Whether workers ask for calls of LMs.
    asks: bool

    def objects(self, index: int) -> Sequence[Any]:
        """What the worker of this item knows by number."""
        own = self.own.get(index)
        return self.shipment.objects if own is None else [*self.shipment.objects, *own]


def ship_batch(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    is_summed: bool,
    max_errors: int,
    num_threads: int,
    lm_on: str,
) -> BatchShipment:
    """Pickles everything but the LMs that stay here: all with lm_on="driver", else those that cannot be pickled.

    Unshippable where something else exists in the driver only or is too large, DspexError where there is a secret.
    """
    variables = variables_of(function)
    named = {**variables, _called(function): function}
    is_traced = dspy.settings.trace is not None and dspy.settings.max_trace_size > 0
    batch = Batch(function, is_summed=is_summed, is_traced=is_traced)
    contents = {"program": batch, "metric": None, "settings": settings.shipped()}
    pickler = shipment.pickled(contents, named, _Staying(lm_on))
    environment = secrets.of_environment()
    shipment.refuse_secrets(pickler.pickled(), contents, named, environment)
    rows = _Rows(pickler)
    encoded = rows.of(items)
    changes.refuse(pickler.modules)
    secrets.refuse_in_rows(encoded, environment)
    objects = [*pickler.objects, *(known for own in rows.own.values() for known in own)]
    collect = shipment.collected_of(objects)
    collect.trace = is_traced
    header = Payload(
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        dspy=str(dspy.__version__),
        cloudpickle=str(cloudpickle.__version__),
        path=shipment.path(),
        program_name=batch_name(function, is_summed),
        metric_name=shipment.name_of(variables["metric"]) if is_summed and "metric" in variables else "completed",
        pickle=pickler.pickled(),
        lm=shipment.lm_of(variables.get("program")),
        max_errors=max_errors,
        num_threads=num_threads,
        main=shipment.main(),
        collect=collect,
        kind=BATCH,
    )
    return BatchShipment(
        Shipment(
            payload=shipment.bounded(encode(header), contents, named),
            rows=b"\n".join(encoded) + b"\n",
            program_name=header.program_name,
            metric_name=header.metric_name,
            lm=header.lm,
            objects=pickler.objects,
            secrets=pickler.secrets,
            modules=pickler.modules,
            collect=collect,
        ),
        rows.own,
        asks=bool(pickler.served),
    )


def variables_of(function: Any) -> Named:
    """What a function captures, by the names that its source has for them: dspy's are closures."""
    if isinstance(function, Attempting):
        return {"teacher": function.teacher, "metric": function.metric}
    if not isinstance(function, types.FunctionType):
        return {}
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            pass  # Not assigned yet.
    return found


def _called(function: Any) -> str:
    """`Parallel.forward` of the function that it makes."""
    if isinstance(function, Attempting):
        return "BootstrapFewShot"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).partition(".<locals>")[0]


def batch_name(function: Any, is_summed: bool) -> str:
    """As people see it: of an evaluation its program, else what makes the function."""
    variables = variables_of(function)
    is_evaluation = is_summed and "program" in variables
    name = shipment.name_of(variables["program"]) if is_evaluation else _called(function).partition(".")[0]
    return f"batch of {name}"


class _Staying:
    """Which LMs stay with the driver."""

    def __init__(self, lm_on: str) -> None:
        self._all = lm_on == "driver"
        # Asked again and again; the LMs are kept with what is known, so that no other gets the id of one.
        self._known: dict[int, tuple[Any, bool]] = {}

    def __call__(self, lm: Any) -> bool:
        known = self._known.get(id(lm))
        if known is None:
            known = self._known[id(lm)] = (lm, self._all or why_not(lm) is not None)
        return known[1]


class _Rows:
    """The rows of a batch, and what each brings beside the shipment."""

    def __init__(self, shared: ShippingPickler) -> None:
        self._shared = shared
        self._numbers = {id(known): number for number, known in enumerate(shared.objects)}
        self.own: dict[int, Sequence[Any]] = {}

    def of(self, items: Sequence[Any]) -> list[bytes]:
        rows: list[bytes] = []
        total = 0
        for index, item in enumerate(items):
            try:
                rows.append(self._row(index, item))
            except Exception as error:
                reason = error.message if isinstance(error, LoadFailure) else message_of(error)
                raise unshippable(item, f"item {index}") or Unshippable(
                    f"item {index}", type_name(item), reason
                ) from error
            total += len(rows[-1]) + 1
            if len(rows[-1]) > _ROW_BYTES or total > shipment.DEVSET_BYTES:
                raise TooLarge(
                    f"item {index}", type_name(item), f"it takes {len(rows[-1])} bytes, and all up to here {total}"
                )
        return rows

    def _row(self, index: int, item: Any) -> bytes:
        if type(item) is dspy.Example:
            return datasets.row_of(item, index, None, lambda sent: self._pickled(index, sent))
        return json.dumps({"$pickle": base64.b64encode(self._pickled(index, item)).decode()}).encode()

    def _pickled(self, index: int, item: Any) -> bytes:
        pickler = _ItemPickler(self._numbers, self._shared)
        pickler.dump(item)
        # As in a payload: with the memo of the first, in the order of their numbers.
        pickler.dump(list(pickler.objects))
        if pickler.objects:
            self.own[index] = pickler.objects
        return pickler.pickled()


class _ItemPickler(ShippingPickler):
    """What the shipment holds already is named by its number; secrets and modules count as the shipment's."""

    def __init__(self, numbers: Mapping[int, int], shared: ShippingPickler) -> None:
        super().__init__()
        self._numbers = numbers
        self.share(shared)

    def reducer_override(self, value: Any) -> Any:
        number = self._numbers.get(id(value))
        return super().reducer_override(value) if number is None else (original, (number,))
