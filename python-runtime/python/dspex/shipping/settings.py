"""Which of dspy's settings travel to the workers."""

from __future__ import annotations

from typing import Any

import dspy
from dspy.dsp.utils.settings import DEFAULT_CONFIG

from dspex.shipping.locating import why_not

SHIPPED = (
    "lm",
    "adapter",
    "rm",
    "async_max_workers",
    "track_usage",
    "max_errors",
    "num_threads",
    "provide_traceback",
    "max_history_size",
    "max_trace_size",
    "warn_on_type_mismatch",
    "disable_history",
    "allow_tool_async_sync_conversion",
    "interpreter_factory",
    "experimental",
)


def shipped() -> dict[str, Any]:
    """Those that a program looks at, and the user's own where they can be pickled.

    Callbacks, usage trackers, traces and streams belong to the driver: what they would have seen comes back instead.
    """
    settings = dspy.settings.copy()
    known = {name: settings[name] for name in SHIPPED if name in settings}
    own = {
        name: value
        for name, value in settings.items()
        if name not in DEFAULT_CONFIG and name not in known and not name.startswith("_") and why_not(value) is None
    }
    return {**own, **known}
