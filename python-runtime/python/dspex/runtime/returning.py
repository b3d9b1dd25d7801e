"""What goes back to a driver of each example: one pickle, with the driver's own objects by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dspex.runtime import failure, protocol
from dspex.runtime.collecting import Collected, Event, HistoryEntry
from dspex.runtime.payload import original
from dspex.runtime.pickling import ProgramPickler, is_ordinary, note_module

# A frame holds 32 MiB, with the prediction's JSON beside this; where that is long, there is less room.
MAX_BYTES = 12 * 1024 * 1024
# Beyond them a driver is told no more of what is missing.
_NOTES_MAX = 100
_NOTE_BYTES = 1024
_PLAIN = (bool, int, float)


class Returning:
    """Makes the `returned` bytes of a run. Safe to use from several threads."""

    def __init__(self, objects: Sequence[Any], modules: set[str] | None = None) -> None:
        """modules: takes the names of those that have to be imported to open what is made."""
        self._modules = modules
        # The objects stay alive with this, so that no other gets the id of one.
        self._objects = objects
        self._numbers = {id(known): number for number, known in enumerate(objects)}

    def with_more(self, objects: Sequence[Any]) -> Returning:
        """The same for an example that brought objects of its own."""
        return Returning([*self._objects, *objects], self._modules) if objects else self

    def knows(self, value: Any) -> bool:
        """Whether it has a number."""
        return id(value) in self._numbers

    def dumps(self, value: Any) -> bytes:
        pickler = _ReturnPickler(self._numbers, self._modules)
        pickler.dump(value)
        return pickler.pickled()

    def result(
        self,
        collected: Collected,
        prediction: Any,
        score: Any,
        error: BaseException | None,
        room: int = protocol.RESULT_BYTES,
    ) -> bytes:
        """Never raises: the score is valid without it. What had to be left out is named in `notes`.

        room: bytes that its frame has for it.
        """
        parts: dict[str, Any] = {}
        if error is not None:
            parts["exception"] = error
        elif not collected.driver_has_prediction:
            parts["prediction"] = prediction
            if type(score) not in _PLAIN:
                parts["score"] = score
        parts.update(self._happened(collected))
        if collected.trace:
            parts["trace"] = list(collected.trace)
        parts["usage"] = collected.usage()
        return self._pickled(parts, min(MAX_BYTES, room))

    def question(self, kind: str, collected: Collected, prediction: Any) -> bytes:
        """With what has happened so far: to the driver it has happened before it answers."""
        happened = self._happened(collected)
        try:
            # Without the prediction there is no question.
            self.dumps(prediction)
            return self._pickled({"kind": kind, "prediction": prediction, **happened}, MAX_BYTES)
        finally:
            collected.history, collected.events = [], []

    def _happened(self, collected: Collected) -> dict[str, Any]:
        return {
            "history": [self._with_known_owners(*entry) for entry in list(collected.history)],
            "events": list(collected.events),
        }

    def _pickled(self, parts: dict[str, Any], limit: int) -> bytes:
        try:
            whole = self.dumps(parts)
        except BaseException:
            return self._bounded(_Sieve(self).kept(parts), limit)
        return whole if len(whole) <= limit else self._bounded(parts, limit)

    def _with_known_owners(self, entry: Any, client: Any, modules: list[Any]) -> HistoryEntry:
        """Histories of other LMs and modules are not the driver's."""
        known = self._numbers
        owner = client if id(client) in known else None
        return entry, owner, [module for module in modules if id(module) in known]

    def _bounded(self, parts: dict[str, Any], limit: int) -> bytes:
        """Within the limit: the parts go in the order of how well a driver does without them."""
        notes = parts.setdefault("notes", [])
        for name in ("events", "history", "trace", "prediction", "score", "exception", "usage"):
            try:
                whole = self.dumps(parts)
            except BaseException as error:
                reason = told(error)
            else:
                if len(whole) <= limit:
                    return whole
                reason = f"all of it takes {len(whole)} bytes, and there is room for {limit}"
            if parts.pop(name, None):
                notes.append(f"the {name} did not come back: {reason}")
        return self.dumps({"notes": [protocol.bounded(note, _NOTE_BYTES) for note in notes[-_NOTES_MAX:]]})


class _Sieve:
    """Takes parts apart until everything that is left can be pickled."""

    def __init__(self, returning: Returning) -> None:
        self._dumps = returning.dumps
        self._notes: list[str] = []

    def kept(self, parts: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {"notes": self._notes}
        for name, part in parts.items():
            if name == "history":
                kept[name] = [self._entry(item) for item in part]
            elif name == "events":
                kept[name] = [self._event(item) for item in part]
            elif name == "exception":
                kept[name] = self._exception(part)
            elif self._can_be_pickled(part, name):
                kept[name] = part
        return kept

    def _entry(self, item: HistoryEntry) -> HistoryEntry:
        entry, owner, modules = item
        return self._value(entry, "an entry of the LM history"), owner, modules

    def _event(self, item: Event) -> Event:
        handler, call_id, parent, instance, data, exception = item
        if not self._can_be_pickled(instance, f"the instance of {handler}"):
            instance = None
        return (
            handler,
            call_id,
            parent,
            instance,
            self._value(data, f"the data of {handler}"),
            self._exception(exception),
        )

    def _value(self, value: Any, what: str) -> Any:
        if type(value) is dict:
            return {
                key: item if self._can_be_pickled(item, f"{key!r} of {what}") else None for key, item in value.items()
            }
        return value if self._can_be_pickled(value, what) else None

    def _exception(self, error: BaseException | None) -> BaseException | None:
        if error is None or self._can_be_pickled(error, "an exception"):
            return error
        plain = rebuild(type(error), (failure.message_of(error),), {})
        return plain if self._can_be_pickled(plain, "its class") else RuntimeError(told(error))

    def _can_be_pickled(self, value: Any, what: str) -> bool:
        try:
            self._dumps(value)
        except BaseException as error:
            self._notes.append(f"{what} did not come back, it cannot be pickled: {told(error)}")
            return False
        return True


class _ReturnPickler(ProgramPickler):
    def __init__(self, numbers: dict[int, int], modules: set[str] | None) -> None:
        super().__init__()
        self._numbers = numbers
        self._modules = modules

    def reducer_override(self, value: Any) -> Any:
        number = self._numbers.get(id(value))
        if number is not None:
            return original, (number,)
        kind: Any = type(value)
        if self._modules is not None:
            note_module(self._modules, value, kind)
        if is_ordinary(kind):
            return NotImplemented
        if issubclass(kind, BaseException) and kind.__module__ != "builtins":
            # By its parts: many constructors take other arguments than those that end up in `args`.
            return rebuild, (kind, value.args, dict(vars(value)))
        return super().reducer_override(value)


def rebuild(kind: type[BaseException], arguments: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """In pickles: an exception of this class, made without its constructor."""
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(state)
    return error


def told(error: BaseException) -> str:
    return f"{failure.class_name(error)}: {failure.message_of(error)}"
