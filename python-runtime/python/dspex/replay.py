"""Callback events of a worker, told to the driver's callbacks as dspy would tell them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import dspy
from dspy.utils import callback_context

from dspex.runtime.collecting import Event

# dspy's own, which says the same of callbacks that raise.
_log = logging.getLogger("dspy.utils.callback")


def replay(events: list[Event]) -> None:
    """All of one example, in their order. The call that is active now is the parent of the outermost ones."""
    root = callback_context.ACTIVE_CALL_ID.get()
    instances: dict[str, Any] = {}
    for handler, call_id, parent, instance, data, exception in events:
        token = callback_context.ACTIVE_CALL_ID.set(parent if parent is not None else root)
        try:
            if handler.endswith("_start"):
                instances[call_id] = instance
                _tell(handler, instance, {"call_id": call_id, "instance": instance, "inputs": data})
            else:
                outcome = {"call_id": call_id, "outputs": data, "exception": exception}
                _tell(handler, instances.pop(call_id, None), outcome)
        finally:
            callback_context.ACTIVE_CALL_ID.reset(token)


def _tell(handler: str, instance: Any, arguments: dict[str, Any]) -> None:
    for callback in _callbacks(instance):
        try:
            getattr(callback, handler)(**arguments)
        except Exception as error:
            _log.warning(f"Error when calling callback {callback}: {error}")


def _callbacks(instance: Any) -> Iterator[Any]:
    yield from dspy.settings.get("callbacks", [])
    yield from getattr(instance, "callbacks", None) or []
