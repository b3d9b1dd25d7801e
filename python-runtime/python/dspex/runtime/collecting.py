"""What a driver wants back of an example besides its score: LM history, callback events, usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy
from dspy.utils import callback_context
from dspy.utils.callback import BaseCallback
from dspy.utils.usage_tracker import UsageTracker

from dspex.runtime import dspy_seams
from dspex.runtime.payload import Collect

CONTEXT_KEY = "_dspex_collected"

# (handler's name, call id, id of the call around it, instance, inputs or outputs, exception)
Event = tuple[str, str, "str | None", Any, Any, "BaseException | None"]
# (entry, the LM or None, the modules that were calling)
HistoryEntry = tuple[Any, Any, list[Any]]


class Collected:
    """Of one example, from any of its threads."""

    def __init__(self, index: int, wanted: Collect) -> None:
        self.index = index
        self.history: list[HistoryEntry] = []
        self.events: list[Event] = []
        # As dspy keeps it: (the predictor, its inputs, its prediction).
        self.trace: list[Any] | None = [] if wanted.trace else None
        # What came with the example itself, numbered after the objects of the run.
        self.objects: list[Any] = []
        self.tracker = UsageTracker() if wanted.usage else None
        # It has seen it already, for its metric; the score is its own, too.
        self.driver_has_prediction = False
        self._wants_events = wanted.events

    def overrides(self) -> dict[str, Any]:
        """Settings of dspy for this example."""
        overrides: dict[str, Any] = {CONTEXT_KEY: self}
        if self._wants_events:
            overrides["callbacks"] = [RECORDER]
        if self.trace is not None:
            overrides["trace"] = self.trace
        if self.tracker is not None:
            overrides["usage_tracker"] = self.tracker
        return overrides

    def usage(self) -> dict[str, list[Any]] | None:
        return dict(self.tracker.usage_data) if self.tracker is not None else None


def current() -> Collected | None:
    collected: Collected | None = dspy.settings.get(CONTEXT_KEY)
    return collected


def install() -> None:
    """Note every LM call that an example makes, from here on."""
    dspy_seams.on_history(_note_entry)


def _note_entry(client: Any, entry: Any) -> None:
    collected = current()
    if collected is not None and not dspy.settings.disable_history:
        collected.history.append((entry, client, list(dspy.settings.caller_modules or [])))


class _Recorder(BaseCallback):  # type: ignore[misc]
    """A callback for dspy that writes down what happens, for the driver's callbacks to hear."""

    def note(self, handler: str, call_id: str, instance: Any, data: Any, exception: BaseException | None) -> None:
        collected = current()
        if collected is not None:
            parent = callback_context.ACTIVE_CALL_ID.get()
            collected.events.append((handler, call_id, parent, instance, data, exception))


def _handler(name: str) -> Callable[..., None]:
    if name.endswith("_start"):

        def start(self: _Recorder, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            self.note(name, call_id, instance, inputs, None)

        return start

    def end(self: _Recorder, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self.note(name, call_id, None, outputs, exception)

    return end


for _name in dir(BaseCallback):
    if _name.startswith("on_") and _name.endswith(("_start", "_end")):
        setattr(_Recorder, _name, _handler(_name))

RECORDER = _Recorder()
