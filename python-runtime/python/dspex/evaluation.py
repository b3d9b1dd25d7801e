"""One evaluation on a node: submitted, followed, and its results put where dspy looks for them."""

from __future__ import annotations

import logging
import queue
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tqdm

from dspex.client import Stream
from dspex.conclusion import CANCELLED, Outcome, conclude, interrupted, resume_command, run_command
from dspex.errors import DspexError, ExampleError
from dspex.pool_errors import is_lost
from dspex.questions import DriverMetric, Questions
from dspex.returned import ABSENT, Returned, error_of, open_returned, prediction_from_json, score_of
from dspex.submission import Options, Uploaded, submit, threads_of

# Ctrl-C is prompt, whatever the node does.
_CANCEL_SECONDS = 2.0
# How often it is looked whether somebody has cancelled, as dspy looks.
_LOOK_SECONDS = 1.0
log = logging.getLogger("dspex")
# dspy's: the same lines from the same logger.
_executor_log = logging.getLogger("dspy.utils.parallelizer")


class Evaluation:
    """One run. `executor` is dspy's: its settings hold, and it is told of errors and progress."""

    def __init__(self, uploaded: Uploaded, executor: Any, devset: Sequence[Any], metric: Any, options: Options) -> None:
        self._uploaded = uploaded
        self._client = uploaded.client
        self._objects = uploaded.shipment.objects
        self._executor = executor
        self._devset = devset
        self._options = options
        self.outcome = Outcome()
        self._results: list[Any] = [None] * len(devset)
        self._finished = [False] * len(devset)
        self._without_prediction: dict[int, Any] = {}
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._ended: dict[str, Any] | None = None
        self._all_sent = False
        self._told_notes: set[str] = set()
        self._sum: Any = 0
        self._count = 0
        self._metric: DriverMetric | None = None
        if options.metric_on == "driver":
            self._metric = DriverMetric(metric, devset, self._objects, threads_of(executor))

    def execute(self) -> list[Any]:
        """(prediction, score) of each example, None for the failed ones: what ParallelExecutor.execute returns."""
        answer = submit(self._uploaded, self._executor, len(self._devset), self._options)
        for note in answer.get("notes") or []:
            log.info(note)
        run = answer["run"]
        self.outcome.run_id = run["run_id"]
        self.outcome.url = f"{self._client.address}/runs/{run['run_id']}"
        with self._losses_told():
            self._follow_to_the_end()
        assert self._ended is not None
        conclude(self._ended, self._executor, self.outcome)
        with self._losses_told():
            self._fetch_predictions()
        return self._results

    @contextmanager
    def _losses_told(self) -> Iterator[None]:
        """There is a run now: whoever loses its node has to hear which one."""
        try:
            yield
        except DspexError as error:
            if not is_lost(error.code, error.reason):
                raise
            raise interrupted(self.outcome, error.args[0]) from error

    def _follow_to_the_end(self) -> None:
        bar = tqdm.tqdm(
            total=len(self._devset), dynamic_ncols=True, disable=self._executor.disable_progress_bar, file=sys.stdout
        )
        streams: list[Stream] = []
        try:
            streams += self._streams()
            self._follow(bar)
        except KeyboardInterrupt:
            self._interrupted()
            raise
        except BaseException:
            self._cancel("its driver failed")
            raise
        finally:
            bar.close()
            for stream in streams:
                stream.close()
            if (questions := self._answers()) is not None:
                questions.close()

    def _streams(self) -> list[Stream]:
        run_id = self.outcome.run_id
        watch = {"run_id": run_id, "driver": not self._options.detach}
        results = {"run_id": run_id, "follow": True, "full": False, "returned": True}
        streams = [
            self._stream("runs.watch", watch, self._take_event),
            self._stream("runs.results", results, self._take_results),
        ]
        if (questions := self._answers()) is not None:
            streams.append(self._serve(questions))
        return streams

    def _answers(self) -> Questions | None:
        """Who answers what workers ask, where they may ask."""
        return self._metric

    def _stream(self, method: str, body: dict[str, Any], take: Callable[[dict[str, Any] | None], None]) -> Stream:
        def deliver(item: dict[str, Any] | DspexError | None) -> None:
            self._events.put(lambda: take(_or_raise(item)))

        return self._client.stream(method, body, deliver)

    def _serve(self, questions: Questions) -> Stream:
        def deliver(item: dict[str, Any] | DspexError | None) -> None:
            if isinstance(item, dict):
                self._events.put(lambda: questions.answer(stream, item))
            elif item is not None:
                # Unanswered, its examples would wait for ever.
                self._events.put(lambda: _raise(item))

        stream = self._client.stream("runs.serve", {"run_id": self.outcome.run_id}, deliver)
        return stream

    def _follow(self, bar: Any) -> None:
        self._bar = bar
        while self._ended is None or not self._all_sent:
            try:
                take = self._events.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                # dspy's own loop ends, too, when somebody else sets this.
                if self._executor.cancel_jobs.is_set() and self._ended is None:
                    _executor_log.warning(CANCELLED)
                    raise Exception(CANCELLED) from None
            else:
                take()

    def _take_event(self, event: dict[str, Any] | None) -> None:
        if event is None:
            if self._ended is None:
                self._ended = self._client.call("runs.get", {"run_id": self.outcome.run_id})
        elif (output := event.get("output")) is not None:
            _print(output)
        elif (warning := event.get("warning")) is not None:
            log.warning(warning)
        elif (ended := event.get("ended")) is not None:
            self._ended = ended

    def _take_results(self, batch: dict[str, Any] | None) -> None:
        if batch is None:
            self._all_sent = True
            return
        for result in batch["results"]:
            index = result["index"]
            if not self._finished[index]:
                self._finished[index] = True
                self._take(index, result)

    def _take(self, index: int, result: dict[str, Any]) -> None:
        returned = open_returned(result.get("returned") or b"", self._objects_of(index))
        for note in returned.notes:
            if note not in self._told_notes:  # Most often it is the same for all.
                self._told_notes.add(note)
                log.warning(f"example {index}: {note}")
        returned.apply()
        self._settle(index, result, returned)

    def _objects_of(self, index: int) -> Sequence[Any]:
        """What driver and worker know by number, of this example."""
        return self._objects

    def _settle(self, index: int, result: dict[str, Any], returned: Returned) -> None:
        if result.get("failure") is not None:
            self._failed(index, error_of(result, self._own_exception(index, returned)))
        else:
            prediction, score = self._outcome_of(index, result, returned)
            self._results[index] = (prediction, score)
            self._sum, self._count = self._sum + score, self._count + 1
        self._executor._update_progress(self._bar, self._sum, self._count)

    def _own_exception(self, index: int, returned: Returned) -> Returned:
        if self._metric is not None and index in self._metric.raised:
            returned.exception = self._metric.raised.pop(index)
        return returned

    def _outcome_of(self, index: int, result: dict[str, Any], returned: Returned) -> tuple[Any, Any]:
        if self._metric is not None and index in self._metric.scored:
            return self._metric.scored.pop(index)
        score = score_of(result) if returned.score is ABSENT else returned.score
        if returned.prediction is ABSENT:
            self._without_prediction[index] = score
            return None, score
        return returned.prediction, score

    def _failed(self, index: int, error: ExampleError) -> None:
        """As ParallelExecutor does for an exception of an item."""
        executor = self._executor
        self.outcome.errors.append(error)
        executor.error_count += 1
        executor.failed_indices.append(index)
        executor.exceptions_map[index] = error.exception
        told = error.message if error.type in ("WorkerLost", "TimedOut") else error.exception
        if executor.provide_traceback:
            _executor_log.error(f"Error for {self._devset[index]}: {told}\n{error.traceback or ''}")
        else:
            _executor_log.error(f"Error for {self._devset[index]}: {told}. Set `provide_traceback=True` for traceback.")

    def _fetch_predictions(self) -> None:
        """Those that could not be pickled, from what the node shows to people."""
        if not self._without_prediction:
            return
        waiting: queue.SimpleQueue[dict[str, Any] | DspexError | None] = queue.SimpleQueue()
        body = {"run_id": self.outcome.run_id, "follow": False, "full": True, "returned": False}
        self._client.stream("runs.results", body, waiting.put)
        while (batch := _or_raise(waiting.get())) is not None:
            for result in batch["results"]:
                if result["index"] in self._without_prediction:
                    score = self._without_prediction[result["index"]]
                    self._results[result["index"]] = (prediction_from_json(result.get("prediction") or b""), score)

    def _cancel(self, reason: str) -> bool:
        """Whether the node has confirmed it: a script that ends before might take the request with it."""
        if not self._client.alive or self._options.detach:
            return False
        answers: queue.SimpleQueue[dict[str, Any] | DspexError | None] = queue.SimpleQueue()
        try:
            self._client.stream("runs.cancel", {"run_id": self.outcome.run_id, "reason": reason}, answers.put)
            _or_raise(answers.get(timeout=_CANCEL_SECONDS))
        except queue.Empty:
            return False
        except DspexError as error:
            return error.reason == "RUN_ENDED"  # In this very moment.
        return True

    def _interrupted(self) -> None:
        run_id = self.outcome.run_id
        if self._options.detach:
            results = run_command(self.outcome, "results")
            log.warning(f"run {run_id} goes on without this process; its results: {results}")
            return
        self._executor.cancel_jobs.set()
        _executor_log.warning("SIGINT received. Cancelling.")
        if self._cancel("interrupted by its driver"):
            log.warning(f"run {run_id} is cancelled and keeps its results. Go on with: {resume_command(self.outcome)}")
        else:
            log.warning(
                f"the node has not confirmed that run {run_id} is cancelled; it may go on. To see it: "
                f"{run_command(self.outcome, 'show')}. To go on with it: {resume_command(self.outcome)}"
            )


def _raise(error: DspexError) -> None:
    raise error


def _or_raise(item: dict[str, Any] | DspexError | None) -> dict[str, Any] | None:
    if isinstance(item, DspexError):
        raise item
    return item


def _print(output: dict[str, Any]) -> None:
    text = output["text"]
    if output.get("dropped_bytes"):
        text = f"... ({output['dropped_bytes']} bytes of {output['worker']} left out)\n{text}"
    # Above the progress bar, where there is one.
    tqdm.tqdm.write(text, file=sys.stdout, end="" if text.endswith("\n") else "\n")
