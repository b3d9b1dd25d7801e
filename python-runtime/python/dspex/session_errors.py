"""What may become of a request about a session, or of a write to anything stored, instead of an answer."""

from __future__ import annotations

from dspex.errors import DspexError


class SessionNotFound(DspexError):
    """No session has this id, or its time was over; or the version that was asked for is not kept."""


class SessionExists(DspexError):
    """A session with this id exists."""

    @property
    def current(self) -> int:
        """The version that it stands at."""
        return int(self.metadata.get("current", 0))


class VersionConflict(DspexError):
    """Somebody else has written meanwhile. Nothing of the request counts: read again, then repeat the change."""

    @property
    def current(self) -> int:
        """The version that stands there now."""
        return int(self.metadata.get("current", 0))


class OutcomeUnknown(DspexError):
    """Nobody could say in time whether the write was executed. It may be, even later: read what stands there first."""


BY_REASON: dict[str, type[DspexError]] = {
    "SESSION_NOT_FOUND": SessionNotFound,
    "SESSION_VERSION_NOT_FOUND": SessionNotFound,
    "SESSION_EXISTS": SessionExists,
    "VERSION_CONFLICT": VersionConflict,
    "OUTCOME_UNKNOWN": OutcomeUnknown,
}
