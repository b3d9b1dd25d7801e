"""What goes wrong, as exceptions and as records of single examples."""

from __future__ import annotations

from dataclasses import dataclass, field


class DspexError(Exception):
    """A request to DSPex was refused or failed. The message says what to do next."""

    def __init__(
        self, message: str, *, code: str = "UNKNOWN", reason: str = "", metadata: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        # As gRPC names them: "NOT_FOUND", "UNAVAILABLE", ...
        self.code = code
        # What happened in particular: "PROGRAM_RAISED", "POOL_FULL", ...
        self.reason = reason
        self.metadata = metadata or {}

    @property
    def traceback(self) -> str | None:
        """Of the user's code, where that raised in another process."""
        return self.metadata.get("traceback")

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n\n{self.traceback}" if self.traceback else message


class RemoteError(Exception):
    """An exception that was raised in a worker and cannot be rebuilt here; `type` is its class."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type


@dataclass(frozen=True)
class ExampleError:
    """An example that failed."""

    index: int
    # The qualified class of the exception, "WorkerLost" or "TimedOut".
    type: str
    message: str
    # The frames of the user's own code; None when there was no exception.
    traceback: str | None
    worker: str
    # The exception itself, else a RemoteError.
    exception: Exception = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"example {self.index}: {self.type}: {self.message}"
