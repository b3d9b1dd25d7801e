"""Pickling for workers: the driver's objects get numbers, its secrets stay out, and what cannot travel is refused."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from dspex.runtime.driver_lm import described, stand_in
from dspex.runtime.payload import SECRET_PREFIX, secret
from dspex.runtime.pickling import ProgramPickler, is_known, is_lm, note_module


class Unshippable(Exception):
    """Something of the program or the metric exists in the driver only."""

    # As a DspexError names it, and what makes it shippable.
    code = "UNSHIPPABLE"
    remedy = "create it where it is used (in forward, or in a function that is called there)"

    def __init__(self, path: str, type: str, reason: str) -> None:
        super().__init__(f"{path}: {type} ({reason})")
        self.path = path
        self.type = type
        self.reason = reason


class TooLarge(Unshippable):
    """It could be pickled, but not be sent."""

    code = "PAYLOAD_TOO_LARGE"
    remedy = "load large data where it is used, from a file or an index"


class Stateful(Exception):
    """A copy in each worker would not do what the one in the driver does."""


class _Secret:
    """In the place of a secret while its owner is pickled."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> Any:
        return secret, (self._name,)


class ShippingPickler(ProgramPickler):
    """Notes, in the order of first meeting, what driver and workers know by number, and the secrets it left out."""

    def __init__(self, stays: Callable[[Any], bool] | None = None) -> None:
        super().__init__()
        self.objects: list[Any] = []
        # {environment variable of the worker: secret}
        self.secrets: dict[str, str] = {}
        self._variables: dict[str, str] = {}
        # What a worker has to import.
        self.modules: set[str] = set()
        # LMs that stay with the driver, and who says which.
        self.served: list[Any] = []
        self._stays: Callable[[Any], bool] | None = stays

    def share(self, other: ShippingPickler) -> None:
        """Count secrets and modules with those of another pickle of the same shipment."""
        self.secrets, self._variables, self.modules = other.secrets, other._variables, other.modules
        self.served, self._stays = other.served, other._stays

    def reducer_override(self, value: Any) -> Any:
        kind: Any = type(value)
        if kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__"):
            # Pickles of iterators exist, and each worker would count from where the driver is.
            raise Stateful("an iterator, which would start anew in each worker")
        if self._stays is not None and is_lm(kind) and self._stays(value):
            self.objects.append(value)
            self.served.append(value)
            return stand_in, (described(value),)
        reduced = super().reducer_override(value)
        if reduced is NotImplemented:
            note_module(self.modules, value, kind)
        if is_known(kind):
            self.objects.append(value)
        elif isinstance(reduced, tuple) and (issubclass(kind, type) or kind is types.FunctionType):
            # By value: what comes back must be the driver's own class again, not a copy of it.
            self.objects.append(value)
        return reduced

    def replace_secret(self, value: str) -> Any:
        name = self._variables.get(value)
        if name is None:
            name = f"{SECRET_PREFIX}{len(self.secrets) + 1}"
            self._variables[value] = name
            self.secrets[name] = value
        return _Secret(name)
