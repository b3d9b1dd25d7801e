"""How an evaluation ends: with results, or with what dspy would raise."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from dspex.errors import DspexError, ExampleError

# dspy's words.
CANCELLED = "Execution cancelled due to errors or interruption."
_TOLD_ERRORS = 3
_executor_log = logging.getLogger("dspy.utils.parallelizer")


@dataclass
class Outcome:
    """What is known of the run besides dspy's result."""

    run_id: str | None = None
    url: str | None = None
    cost: float | None = None
    usage: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: list[ExampleError] = field(default_factory=list)
    # Where it was executed, and why there; empty without a run.
    strategy: str | None = None
    strategy_reason: str = ""
    strategy_detail: str = ""
    # The run is on this machine, and an address would lead a command elsewhere.
    past_address: bool = False


def conclude(run: dict[str, Any], executor: Any, outcome: Outcome) -> None:
    """Return when the run has a score; raise what dspy would, or what kept it from having one."""
    outcome.cost = run.get("cost_usd")
    outcome.usage = run.get("usage") or {}
    outcome.errors.sort(key=lambda error: error.index)
    status, reason = run["status"], run.get("reason") or ""
    if status == "finished":
        return
    error: Exception
    if status == "interrupted":
        raise interrupted(outcome, reason or "its node ended")
    if status == "paused":
        raise interrupted(outcome, "it was paused")
    if status == "failed" and executor.error_count < executor.max_errors:
        # The metric returned what cannot be summed; dspy's own sum raises the same class.
        error = TypeError(reason)
    else:
        executor.cancel_jobs.set()
        _executor_log.warning(CANCELLED)
        error = _cancelled(outcome, f"the run was cancelled: {reason}" if status == "cancelled" else None)
    raise _of_run(error, outcome)


def interrupted(outcome: Outcome, why: str) -> Exception:
    """The node, or the way to it, was lost: perhaps the run goes on, else it can be continued."""
    run_id = outcome.run_id or ""
    text = (
        f"run {run_id} was interrupted: {why}. The results so far are kept; how far it is: "
        f"{run_command(outcome, 'show')}. Go on with: {resume_command(outcome)}"
    )
    error = DspexError(text, code="UNAVAILABLE", reason="RUN_INTERRUPTED", metadata={"run_id": run_id})
    return _of_run(error, outcome)


def run_command(outcome: Outcome, verb: str) -> str:
    """What a person types about the run: it reaches the node that has it."""
    local = " --local" if outcome.past_address else ""
    return f"dspex run{local} {verb} {outcome.run_id}"


def resume_command(outcome: Outcome) -> str:
    return run_command(outcome, "resume")


def _cancelled(outcome: Outcome, why: str | None) -> Exception:
    error = Exception(CANCELLED)
    for told in outcome.errors[:_TOLD_ERRORS]:
        _add_note(error, f"{told}\n{told.traceback}" if told.traceback else str(told))
    if why is not None:
        _add_note(error, why)
    _add_note(error, f"run {outcome.run_id}; the results so far: {run_command(outcome, 'results')}")
    return error


def _of_run(error: Exception, outcome: Outcome) -> Exception:
    error.run_id = outcome.run_id  # type: ignore[attr-defined]
    error.errors = sorted(outcome.errors, key=lambda failed: failed.index)  # type: ignore[attr-defined]
    return error


def _add_note(error: Exception, note: str) -> None:
    # Python 3.11 shows these below the traceback; before, whoever looks finds them in the same place.
    error.__notes__ = [*getattr(error, "__notes__", []), note]  # type: ignore[attr-defined]
