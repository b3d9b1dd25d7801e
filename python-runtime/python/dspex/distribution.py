"""dspex.distribute: what dspy executes in a block is executed by the workers of a node."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ContextDecorator
from dataclasses import dataclass
from typing import Any

from dspex import arguments, bootstrapping, fallbacks
from dspex import client as clients
from dspex.arguments import ADDRESS
from dspex.batch_run import BatchRun
from dspex.costs import Costs
from dspex.errors import DspexError
from dspex.execute import distributing
from dspex.shipping import BatchShipment, Unshippable, ship_batch
from dspex.shipping.batch import batch_name, variables_of
from dspex.shipping.side_effects import side_effects
from dspex.submission import Options, max_errors_of, threads_of, upload

log = logging.getLogger("dspex")
# dspy's: the same lines from the same logger.
_executor_log = logging.getLogger("dspy.utils.parallelizer")


@dataclass(frozen=True)
class Batch:
    """One batch that dspy has executed in the block."""

    # What `dspex run list` shows.
    name: str
    items: int
    # Those that raised.
    failed: int
    # Wall time.
    seconds: float
    # None: it was executed by dspy's threads in this process.
    run_id: str | None = None
    # Why in this process, where it was.
    reason: str | None = None


class Distribution(ContextDecorator):
    """What `distribute` returns: a context manager, or a decorator. It may be entered again, also inside of itself."""

    def __init__(self, options: Options, local: bool | None, speculation: int | None, lm_on: str) -> None:
        """Distributions are made by `distribute`."""
        self._options = options
        self._local = local
        self._speculation = speculation
        self._lm_on = lm_on
        self._costs = Costs()
        self._entered: list[AbstractContextManager[None]] = []
        #: The batches so far, in the order in which they ended.
        self.batches: list[Batch] = []

    def __enter__(self) -> Distribution:
        block = distributing(self)
        block.__enter__()
        self._entered.append(block)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._entered.pop().__exit__(*exception)

    def _recreate_cm(self) -> Distribution:
        """For each call of a decorated function, which may be on several threads at once."""
        again = Distribution(self._options, self._local, self._speculation, self._lm_on)
        again._costs, again.batches = self._costs, self.batches
        return again

    def execute(self, executor: Any, function: Any, data: Any, by_threads: Callable[[], list[Any]]) -> list[Any]:
        """dspy calls this for each of its batches."""
        return _Handover(self, executor, function, data, by_threads).execute()

    def _ahead(self, executor: Any, function: Any, data: Any) -> list[Any] | None:
        """A batch of which it is not known yet whether it is needed; None where it may not be executed ahead."""
        try:
            return _Handover(self, executor, function, data, _go_on_alone, is_ahead=True).execute()
        except _Alone:
            return None

    def bootstrap(self, optimizer: Any, by_itself: Callable[[], Any]) -> Any:
        """dspy calls this when it looks for demos."""
        window = self._speculation
        if window is None:
            window = _threads_by_default()
        if window < 2 or self._local or not bootstrapping.can_speculate(optimizer):
            return by_itself()

        return bootstrapping.bootstrap(optimizer, window, self._ahead, by_itself)


class _Alone(Exception):
    """Nothing is executed ahead: the bootstrap goes on as dspy's."""


def _go_on_alone() -> list[Any]:
    raise _Alone


def _threads_by_default() -> int:
    import dspy

    return int(dspy.settings.num_threads or 1)


class _Handover:
    """One batch: to a node, or to dspy's threads where that is better or the only way."""

    def __init__(
        self,
        distribution: Distribution,
        executor: Any,
        function: Any,
        data: Any,
        by_threads: Callable[[], list[Any]],
        *,
        is_ahead: bool = False,
    ) -> None:
        self._distribution = distribution
        self._options = distribution._options
        self._costs = distribution._costs
        self._executor = executor
        self._function = function
        self._items = data
        self._by_threads = by_threads
        self._is_ahead = is_ahead

    def execute(self) -> list[Any]:
        if not len(self._items):
            return self._by_threads()
        if (reason := self._why_local()) is not None:
            return self._here(reason)
        try:
            return self._there()
        except KeyboardInterrupt:
            if not self._executor.cancel_jobs.is_set():
                # There was no run yet.
                self._executor.cancel_jobs.set()
                _executor_log.warning("SIGINT received. Cancelling.")
            raise

    def _there(self) -> list[Any]:
        """On a node, where it can be shipped and there is one."""
        started = time.perf_counter()
        try:
            shipped = ship_batch(
                self._function,
                self._items,
                is_summed=self._executor.compare_results,
                max_errors=max_errors_of(self._executor),
                num_threads=threads_of(self._executor),
                lm_on=self._distribution._lm_on,
            )
        except Unshippable as error:
            fallbacks.refuse_or_warn(error, self._options)
            return self._here(str(error))
        if shipped.asks and self._is_ahead:
            # Calls that are not needed would change what an LM of this process answers later.
            return self._by_threads()
        environment = self._options.environment
        try:
            # The node may have ended since it was last needed.
            uploaded = clients.ask(
                self._options.address, None, lambda client: upload(client, shipped.shipment, environment)
            )
        except DspexError as error:
            if not fallbacks.goes_without_node(error, self._options):
                raise
            fallbacks.warn_of_no_node(error)
            return self._here(str(error))
        self._warn_of_side_effects()
        run = BatchRun(uploaded, shipped, self._executor, self._function, self._items, self._options)
        return self._followed(run, shipped, started)

    def _why_local(self) -> str | None:
        if self._distribution._local is None:
            return self._costs.why_local(self._function, len(self._items), threads_of(self._executor))
        return "distribute(local=True)" if self._distribution._local else None

    def _here(self, reason: str) -> list[Any]:
        log.debug(f"a batch of {len(self._items)} items is executed in this process: {reason}")
        name = batch_name(self._function, self._executor.compare_results)
        started = time.perf_counter()
        try:
            results = self._by_threads()
        except _Alone:
            raise
        except BaseException:
            self._note(name, time.perf_counter() - started, None, reason)
            raise
        elapsed = time.perf_counter() - started
        self._costs.learn_local(self._function, len(self._items), elapsed)
        self._note(name, elapsed, None, reason)
        return results

    def _followed(self, run: BatchRun, shipped: BatchShipment, started: float) -> list[Any]:
        try:
            return run.execute()
        finally:
            elapsed = time.perf_counter() - started
            if any(error.type in ("WorkerLost", "TimedOut") for error in run.outcome.errors):
                self._costs.learn_danger()
            elif run.is_whole:
                items, at_once = len(self._items), threads_of(self._executor)
                self._costs.learn_run(self._function, items, at_once, run.seconds, elapsed)
            self._note(shipped.shipment.program_name, elapsed, run.outcome.run_id, None)

    def _note(self, name: str, elapsed: float, run_id: str | None, reason: str | None) -> None:
        failed = len(self._executor.failed_indices)
        self._distribution.batches.append(Batch(name, len(self._items), failed, elapsed, run_id, reason))

    def _warn_of_side_effects(self) -> None:
        variables = variables_of(self._function)
        for effect in side_effects(variables.get("metric")):
            fallbacks.warn(
                f"the metric {effect}. It runs in worker processes, where the change stays; dspex.Evaluate with "
                "metric_on='driver' runs it in this process"
            )


def distribute(
    address: str | None = None,
    *,
    workers: int | None = None,
    timeout: float | None = None,
    retries: int = 1,
    fallback: str | None = None,
    environment: str | None = None,
    local: bool | None = None,
    speculation: int | None = None,
    lm_on: str = "worker",
) -> Distribution:
    """In the block, stock dspy executes its batches on the workers of a node: `dspy.Evaluate`, `dspy.Parallel`,
    `Module.batch`, and every optimizer that is built on them.

        with dspex.distribute():
            better = dspy.MIPROv2(metric=metric, auto="light").compile(program, trainset=trainset)

    The results, errors, histories, traces and callbacks are those of dspy. What is started in the block on threads or
    processes of its own stays dspy's. An inner block holds inside of an outer one.

    address: of a node; by default DSPEX_ADDRESS, else the embedded node.
    workers: processes; by default as many as there are usable CPUs, and not more than dspy's `num_threads`, which says
        how many items are in flight.
    timeout: seconds for one item; none by default.
    retries: how often an item is executed again after its worker died.
    fallback: what happens when something cannot be shipped, or is too large: "threads" executes the batch as dspy does,
        "error" raises `DspexError` (reason UNSHIPPABLE or PAYLOAD_TOO_LARGE). By default threads on the embedded node,
        error on a cluster.
    environment: of a cluster's node, the environment to execute in; by default one that agrees with this process's.
    local: False sends every batch to the node, True none. By default a batch stays in this process when earlier
        ones have shown that it takes less time here than a run takes beside its items, and that it kills nothing.
    speculation: how many examples of a trainset BootstrapFewShot, and what uses it, attempts at once; the demos are
        those of dspy. By default dspy's `num_threads`; 1: one after the other, in this process.
    lm_on: "driver" has all calls of LMs made by this process, for an LM that keeps count of them. LMs that cannot be
        pickled, such as dspy's DummyLM with a list of answers, stay here anyway. Nothing is attempted ahead then.

    Raises TypeError or ValueError for an argument of another kind or size; in the block what dspy raises, and
    `DspexError` where the node cannot be reached or refuses a batch.
    """
    if fallback not in fallbacks.CHOICES:
        raise ValueError(f"fallback is one of {fallbacks.CHOICES}, not {fallback!r}")
    if lm_on not in ("worker", "driver"):
        raise ValueError(f"lm_on is one of ('worker', 'driver'), not {lm_on!r}")
    options = Options(
        workers=None if workers is None else arguments.whole("workers", workers, least=1),
        timeout=None if timeout is None else arguments.seconds("timeout", timeout),
        retries=arguments.whole("retries", retries, least=0),
        fallback=fallback,
        address=None if address is None else arguments.text("address", address, ADDRESS),
        environment=None if environment is None else arguments.text("environment", environment, "a name"),
    )
    return Distribution(
        options,
        None if local is None else arguments.flag("local", local),
        None if speculation is None else arguments.whole("speculation", speculation, least=1),
        lm_on,
    )
