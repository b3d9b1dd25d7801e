"""dspex.Evaluate: dspy.Evaluate, with the examples executed by the workers of a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy
from dspy.evaluate.evaluate import EvaluationResult as DspyResult

from dspex import arguments, fallbacks
from dspex import client as clients
from dspex import strategy as places
from dspex.arguments import ADDRESS
from dspex.conclusion import Outcome
from dspex.errors import DspexError, ExampleError
from dspex.evaluation import Evaluation
from dspex.execute import answering
from dspex.shipping import Unshippable, ship
from dspex.shipping.side_effects import side_effects
from dspex.submission import Options, max_errors_of, threads_of, upload

_METRIC_ON = ("worker", "driver")


class EvaluationResult(DspyResult):  # type: ignore[misc]
    """dspy's result, and what is known of the run. After a fallback to threads there is no run, and that is empty."""

    _outcome = Outcome()

    @property
    def run_id(self) -> str | None:
        return self._outcome.run_id

    @property
    def url(self) -> str | None:
        """Of the run in the dashboard, where there is one."""
        return self._outcome.url

    @property
    def cost(self) -> float | None:
        """US dollars; None when any call's price is unknown."""
        return self._outcome.cost

    @property
    def usage(self) -> dict[str, dict[str, int]]:
        """{model: {kind of tokens: sum}}"""
        return self._outcome.usage

    @property
    def errors(self) -> list[ExampleError]:
        """The examples that failed, in their order."""
        return self._outcome.errors

    @property
    def strategy(self) -> str | None:
        """Where it was executed: "local", by the embedded node, or "distributed", by the cluster at the address."""
        return self._outcome.strategy

    @property
    def strategy_reason(self) -> str:
        """Why there, in a word: "forced", "no_address", "cluster_unavailable", "expected_faster", ..."""
        return self._outcome.strategy_reason

    @property
    def strategy_detail(self) -> str:
        """The same in a sentence, with the figures."""
        return self._outcome.strategy_detail


class Evaluate(dspy.Evaluate):  # type: ignore[misc]
    """dspy.Evaluate, executed by workers: the same arguments and the same result, with `.run_id .url .cost .errors`.

    Beside dspy's arguments:
        workers: processes; by default as many as there are usable CPUs, and not more than `num_threads`.
        timeout: seconds for one example; none by default.
        retries: how often an example is executed again after its worker died.
        metric_on: "driver" runs the metric in this process, for one that uses what only this process has.
        fallback: what happens when something cannot be shipped, or is too large: "threads" evaluates as dspy does,
            "error" raises. By default threads on the embedded node, error on a cluster.
        address: of a node; by default DSPEX_ADDRESS, else the embedded node.
        detach: the run goes on when this process ends.
        environment: of a cluster's node, the environment to execute in, whatever it has; by default one that agrees
            with this process's Python.
        strategy: "local" executes on this machine, by the embedded node, whatever the address; "distributed" by the
            cluster at the address, and nowhere else; "auto" by the cluster, unless it is away, or earlier runs on both
            sides say that this machine is done before. The choice and its reason are in the result.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        timeout: float | None = None,
        retries: int = 1,
        metric_on: str = "worker",
        fallback: str | None = None,
        address: str | None = None,
        detach: bool = False,
        environment: str | None = None,
        strategy: str = "auto",
        **dspys: Any,
    ) -> None:
        super().__init__(**dspys)
        if metric_on not in _METRIC_ON:
            raise ValueError(f"metric_on is one of {_METRIC_ON}, not {metric_on!r}")
        if fallback not in fallbacks.CHOICES:
            raise ValueError(f"fallback is one of {fallbacks.CHOICES}, not {fallback!r}")
        self.workers = workers
        self.timeout = timeout
        self.retries = retries
        self.metric_on = metric_on
        self.fallback = fallback
        self.address = address
        self.detach = detach
        self.environment = environment
        self.strategy = strategy
        self._options()  # Refuses what cannot be sent.

    def __call__(
        self,
        program: Any,
        metric: Callable[..., Any] | None = None,
        devset: list[Any] | None = None,
        num_threads: int | None = None,
        display_progress: bool | None = None,
        display_table: bool | int | None = None,
        callback_metadata: dict[str, Any] | None = None,
        save_as_csv: str | None = None,
        save_as_json: str | None = None,
    ) -> EvaluationResult:
        """As dspy.Evaluate: what is None here is as the constructor was told."""
        batch = _Batch(
            program,
            metric if metric is not None else self.metric,
            devset if devset is not None else self.devset,
            self._options(),
        )
        with answering(batch.devset, batch.execute):
            result = super().__call__(
                program,
                metric=metric,
                devset=devset,
                num_threads=num_threads,
                display_progress=display_progress,
                display_table=display_table,
                callback_metadata=callback_metadata,
                save_as_csv=save_as_csv,
                save_as_json=save_as_json,
            )
        # The very object that callbacks have seen.
        result.__class__ = EvaluationResult
        result._outcome = batch.outcome
        return result  # type: ignore[no-any-return]

    def _options(self) -> Options:
        if self.strategy not in places.CHOICES:
            raise ValueError(f"strategy is one of {places.CHOICES}, not {self.strategy!r}")
        if self.strategy == "local" and self.environment is not None:
            raise ValueError(
                "environment names one of a cluster, and strategy='local' executes on this machine: leave one of them "
                "out"
            )
        return Options(
            workers=None if self.workers is None else arguments.whole("workers", self.workers, least=1),
            timeout=None if self.timeout is None else arguments.seconds("timeout", self.timeout),
            retries=arguments.whole("retries", self.retries, least=0),
            metric_on=self.metric_on,
            fallback=self.fallback,
            address=None if self.address is None else arguments.text("address", self.address, ADDRESS),
            detach=arguments.flag("detach", self.detach),
            environment=None if self.environment is None else arguments.text("environment", self.environment, "a name"),
            failure_score=arguments.score("failure_score", self.failure_score),
            strategy=self.strategy,
        )


class _Batch:
    """One call of Evaluate: to a node, or to dspy's threads where that is not possible."""

    def __init__(self, program: Any, metric: Any, devset: Any, options: Options) -> None:
        self._program = program
        self._metric = metric
        self.devset = devset
        self._options = options
        self.outcome = Outcome()

    def execute(self, executor: Any, by_threads: Callable[[], list[Any]]) -> list[Any]:
        if self._metric is None or not self.devset:
            return by_threads()  # Which tells the user what dspy tells.
        try:
            shipment = ship(
                self._program,
                self._metric,
                self.devset,
                metric_on=self._options.metric_on,
                max_errors=max_errors_of(executor),
                num_threads=threads_of(executor),
            )
        except Unshippable as error:
            hint = ", or give metric_on='driver'" if error.path.startswith("metric") else ""
            fallbacks.refuse_or_warn(error, self._options, hint)
            return by_threads()
        try:
            # The node may have ended since it was last needed.
            place = places.choose(self._options, shipment, len(self.devset), threads_of(executor))
            address = None if place.embedded else self._options.address
            environment = self._options.environment
            uploaded = clients.ask(
                address, None, lambda client: upload(client, shipment, environment), embedded=place.embedded
            )
        except DspexError as error:
            if not fallbacks.goes_without_node(error, self._options):
                raise
            fallbacks.warn_of_no_node(error)
            return by_threads()
        if self._options.metric_on == "worker":
            self._warn_of_side_effects()
        evaluation = Evaluation(uploaded, executor, self.devset, self._metric, self._options)
        self.outcome = evaluation.outcome
        self.outcome.strategy, self.outcome.strategy_reason = place.strategy, place.reason
        self.outcome.strategy_detail = place.detail
        self.outcome.past_address = place.embedded and places.address_of(self._options) is not None
        return evaluation.execute()

    def _warn_of_side_effects(self) -> None:
        for effect in side_effects(self._metric):
            fallbacks.warn(
                f"the metric {effect}. It runs in worker processes, where the change stays; give metric_on='driver' to "
                "run it in this process"
            )
