"""Errors in OpenAI's shape."""

from __future__ import annotations

import json


class ApiError(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self._error = {"message": message, "type": kind, "param": param, "code": code}

    def body(self) -> bytes:
        """The JSON that clients of OpenAI look into."""
        return json.dumps({"error": self._error}).encode()


def seconds(wait: float) -> str:
    """A `Retry-After`: whole seconds where they are whole, since some clients read nothing else."""
    return f"{wait:.3f}".rstrip("0").rstrip(".")


def rate_limited(message: str, retry_after: float | None, code: str, headers: dict[str, str] | None = None) -> ApiError:
    """A 429 that says when to come again."""
    when = {} if retry_after is None else {"Retry-After": seconds(retry_after)}
    return ApiError(429, message, code, "rate_limit_exceeded", headers={**when, **(headers or {})})
