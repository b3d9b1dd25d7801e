"""What may become of a request about something stored: a program, a variable."""

from __future__ import annotations

from dspex.errors import DspexError
from dspex.session_errors import OutcomeUnknown, SessionNotFound, VersionConflict


class ProgramNotFound(DspexError):
    """No program of this name is stored there, or it was not under this version; `reason` says which."""


class VariableNotFound(DspexError):
    """No variable has this name, or it was not under this version; `reason` says which."""


class DefinitionInvalid(DspexError):
    """No worker could build what is to be stored as a program, or it holds a secret.

    The message names the field.
    """


class NameInvalid(DspexError):
    """A name is empty, too long, holds what is not printed, or could be taken for another one or for a path."""


class TooLarge(DspexError):
    """What is to be stored exceeds a limit. The message has the limit."""


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
