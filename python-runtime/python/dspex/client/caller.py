"""Who calls: where this process is, what its environment is, and which Python it runs."""

from __future__ import annotations

import os
import sys
from typing import Any


def caller() -> dict[str, Any]:
    """As a field of requests that start workers."""
    return {
        "directory": os.getcwd(),
        # What is not UTF-8 has no form in a frame.
        "environment": {name: value for name, value in os.environ.items() if _is_text(name) and _is_text(value)},
        "interpreter": os.path.abspath(sys.executable),
        "interpreter_reason": "the driver's",
    }


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
