"""What may become of a request about something stored: a program, a variable."""

from __future__ import annotations

from dspex.errors import DspexError


class ProgramNotFound(DspexError):
    """No program of this name is stored there, or it was not under this version; `reason` says which."""


class VariableNotFound(DspexError):
    """No variable has this name, or it was not under this version; `reason` says which."""


class SessionNotFound(DspexError):
    """No session has this id, or its time was over."""


class VersionConflict(DspexError):
    """Somebody else has written: read again, then repeat the change."""

    @property
    def current(self) -> int:
        """The version that stands there now."""
        return int(self.metadata.get("current") or 0)


class DefinitionInvalid(DspexError):
    """No worker could build what is to be stored as a program, or it holds a secret.

    The message names the field.
    """


class NameInvalid(DspexError):
    """A name is empty, too long, holds what is not printed, or could be taken for another one or for a path."""


class TooLarge(DspexError):
    """What is to be stored exceeds a limit. The message has the limit."""


class OutcomeUnknown(DspexError):
    """Nobody could say in time whether a write was executed; it may be, even later. Read what stands there first."""


_BY_REASON: dict[str, type[DspexError]] = {
    "PROGRAM_UNKNOWN": ProgramNotFound,
    "PROGRAM_VERSION_NOT_FOUND": ProgramNotFound,
    "VARIABLE_NOT_FOUND": VariableNotFound,
    "VARIABLE_VERSION_NOT_FOUND": VariableNotFound,
    "SESSION_NOT_FOUND": SessionNotFound,
    "VERSION_CONFLICT": VersionConflict,
    "DEFINITION_INVALID": DefinitionInvalid,
    "SIGNATURE_INVALID": DefinitionInvalid,
    "NAME_INVALID": NameInvalid,
    "TOO_LARGE": TooLarge,
    "OUTCOME_UNKNOWN": OutcomeUnknown,
}


def typed(error: DspexError) -> DspexError:
    """The exception for what a node said; the same where it has no class of its own."""
    kind = _BY_REASON.get(error.reason)
    if kind is None or isinstance(error, kind):
        return error
    return kind(error.args[0], code=error.code, reason=error.reason, metadata=error.metadata)
