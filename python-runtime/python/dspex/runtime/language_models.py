"""Which LM answers: the predictor's own, then `--lm`, then what the file configured."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass, field
from typing import Any

import dspy

from dspex.runtime import failure, references
from dspex.runtime.references import LoadFailure

# Arguments are seen by other users of a machine and are stored with the run.
_SECRET = re.compile(r"(key|token|secret|password|credentials?)$", re.IGNORECASE)
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass
class Answering:
    """What answers, for the user to read."""

    description: str
    notes: list[str] = field(default_factory=list)


def apply(
    importer: references.Importer, program: dspy.Module, written: str | None, settings: list[tuple[str, str]]
) -> Answering:
    """Configure dspy with `--lm`, if given, and say what will answer."""
    given = _settings(settings)
    if written is not None:
        lm = _named(importer, written, given)
        dspy.configure(lm=lm)
    elif given:
        raise LoadFailure("arguments", "--lm-set changes the LM that --lm names; give --lm, too")
    return _describe(program, given_by_option=written is not None)


def _settings(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, text in pairs:
        if _SECRET.search(key):
            raise LoadFailure(
                "arguments",
                f"--lm-set {key}: secrets are not taken from arguments; set the provider's variable "
                "in the environment (for example OPENAI_API_KEY)",
            )
        try:
            settings[key] = json.loads(text)
        except ValueError as error:
            raise LoadFailure("arguments", f"--lm-set {key}: {text!r} is not JSON: {error}") from error
    return settings


def named(importer: references.Importer, written: str, settings: list[tuple[str, str]]) -> Any:
    """The LM that a model string or a reference names, with these settings (JSON texts)."""
    return _named(importer, written, _settings(settings))


def _named(importer: references.Importer, written: str, settings: dict[str, Any]) -> Any:
    """A model string is anything that is neither `path.py:name` nor `module:name` ("ollama/llama3:8b" is one)."""
    left = written.rpartition(":")[0]
    if not (left.endswith(".py") or written.endswith(".py") or _REFERENCE.fullmatch(written)):
        provider, slash, model = written.partition("/")
        if not (model if slash else provider):
            # dspy 3.3 says so at the first call only.
            raise LoadFailure("lm_invalid", f"--lm {written}: there is no model id; write it as in openai/gpt-4o-mini")
        try:
            return dspy.LM(written, **settings)
        except Exception as error:
            raise LoadFailure("lm_invalid", f"--lm {written}: {failure.message_of(error)}") from error
    reference = references.parse(written, "--lm")
    lm = importer.find(reference, "lm_missing", "lm_missing")
    if inspect.isroutine(lm):
        lm = references.call(lm, "lm_invalid", f"calling {reference.name}()")
    if not isinstance(lm, dspy.BaseLM):
        kind = f"{type(lm).__module__}.{type(lm).__qualname__}"
        raise LoadFailure(
            "lm_invalid", f"{written} is an instance of {kind}; --lm names a dspy.LM or a function that returns one"
        )
    if not settings:
        return lm
    try:
        return lm.copy(**settings)
    except Exception as error:
        raise LoadFailure("lm_invalid", f"--lm-set on {written}: {failure.message_of(error)}") from error


def describe(program: dspy.Module) -> str:
    """What will answer, with the settings as they are."""
    return _describe(program, given_by_option=False).description


def _describe(program: dspy.Module, *, given_by_option: bool) -> Answering:
    predictors = program.named_predictors()
    own = {name: predictor.lm for name, predictor in predictors if getattr(predictor, "lm", None) is not None}
    general = dspy.settings.lm
    origin = "--lm" if given_by_option else "configured by the program"
    notes = []
    if own and len(own) == len(predictors):
        description = f"{_models(list(own.values()))} (program's own)"
        if given_by_option:
            notes.append("every predictor has an LM of its own, which goes before --lm")
    elif general is not None:
        description = f"{_models([general])} ({origin})"
        if own:
            kept = ", ".join(f"{name}: {_models([lm])}" for name, lm in own.items())
            notes.append(f"predictors with an LM of their own keep it: {kept}")
    elif own:
        description = f"{_models(list(own.values()))} (program's own)"
    else:
        description = "none"
        if predictors:
            notes.append(
                "predictors without an LM fail: name one with --lm, or call dspy.configure in the program's file"
            )
    return Answering(description, notes)


def _models(lms: list[Any]) -> str:
    return ", ".join(dict.fromkeys(str(getattr(lm, "model", type(lm).__name__)) for lm in lms))
