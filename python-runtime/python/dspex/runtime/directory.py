"""The working directory, which is the process's: what one example or call changes must not reach the next."""

from __future__ import annotations

import os
import threading


class WorkingDirectory:
    """Put back to what the imports left, whenever the last one that executes has ended.

    With several threads it belongs to all that execute: put back earlier, it would be taken from under the one that
    changed it. It is read after each rather than watched: that costs about a microsecond, and not only `os.chdir`
    changes it.
    """

    def __init__(self) -> None:
        self._home = _current()
        self._lock = threading.Lock()
        self._executing = 0

    def __enter__(self) -> None:
        with self._lock:
            self._executing += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._executing -= 1
            if self._executing == 0 and self._home is not None and _current() != self._home:
                try:
                    # By its name: what was removed and made again is another directory under the same one.
                    os.chdir(self._home)
                except OSError:
                    pass  # Removed, and nothing has taken its place.


def _current() -> str | None:
    """None: it was removed, or may not be read."""
    try:
        return os.getcwd()
    except OSError:
        return None
