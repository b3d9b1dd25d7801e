"""DSPex: the Python client, its client process, and an embedded node."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import Future
from typing import Any

import dspex

from harness import machine
from harness.settings import CASES
from harness.systems.base import Done, System

_PATIENCE_SECONDS = 60


class DspexPool(System):
    """The variables of the process that starts the node set the number of workers (harness/contender.py)."""

    def start(self) -> None:
        self._client = dspex.connect()
        self._pool = self._client.pool("general")
        self._command = self.work if self.work == "ping" else f"{CASES / 'pool_work.py'}:{self.work}"
        self._pool.call("ping")
        if self.work == "predict":
            self._command = "execute_program"
            program = {"program": "dspex.samples.digits:zero_shot", "lm": "dspex.samples.digits:lm"}
            self._pool.call("create_program", {"id": "digits", **program})
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (workers := self._pool.stats().workers) != self.workers:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the pool has {workers} workers, not {self.workers}")
            time.sleep(0.02)

    def call(self, argument: Any) -> Any:
        return self._pool.call(self._command, self._arguments(argument))

    def submit(self, argument: Any, done: Done) -> None:
        future = self._pool.submit(self._command, self._arguments(argument), queue_timeout=_PATIENCE_SECONDS)
        future.add_done_callback(lambda future: done(_outcome(future)))

    def answer_of(self, result: Any) -> Any:
        return result["outputs"]["digit"] if self.work == "predict" else super().answer_of(result)

    def worker_pids(self) -> set[int]:
        zygotes = {zygote["pid"] for zygote in self._status()["zygotes"]}
        return machine.with_descendants(zygotes) - zygotes

    def more_pids(self) -> set[int]:
        # A node does not show its environment, and its Python processes have another.
        status = self._status()
        return {status["pid"], *(zygote["pid"] for zygote in status["zygotes"])}

    def _status(self) -> dict[str, Any]:
        asked = [os.environ["DSPEX_PROGRAM"], "local", "status", "-o", "json"]
        shown = subprocess.run(asked, capture_output=True, text=True, check=True)
        status: dict[str, Any] = json.loads(shown.stdout)
        return status

    def stop(self) -> None:
        self._client.close()

    def _arguments(self, argument: Any) -> Any:
        return {"program_id": "digits", "inputs": {"image": argument}} if self.work == "predict" else argument


def _outcome(future: Future[Any]) -> Any:
    return future.exception() or future.result()
