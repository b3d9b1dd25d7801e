"""A stand-in for `dspex client` and the node behind it: one process, real zygotes and workers, everything in memory.

It keeps to what PROTOCOL.md says of the driver's connection, and does just enough of a node's work for its tests.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import socket
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from conftest import Connection, Worker, Zygote

from dspex.client.frames import VERSION


class Run:
    """An evaluation: its workers, and what is known of it. All of its state is behind one lock."""

    def __init__(self, body: dict[str, Any], blobs: dict[str, bytes], zygote: Zygote, forking: threading.Lock) -> None:
        self.spec = body["evaluation"]
        self.caller = body["caller"]
        self.id = str(uuid.uuid4())
        self._payload = blobs[self.spec["program"].removeprefix("pickle:")]
        rows = blobs[self.spec["file"]["digest"]].split(b"\n")[:-1]
        assert len(rows) == self.spec["file"]["examples"]
        self._todo: queue.SimpleQueue[tuple[int, int, bytes]] = queue.SimpleQueue()
        for index, row in enumerate(rows):
            self._todo.put((index, 1, row))
        self._examples = len(rows)
        self._zygote, self._forking = zygote, forking
        self._changed = threading.Condition()
        self.results: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []
        self._workers: dict[str, Worker] = {}
        self.status, self.reason = "running", ""
        self._usage: dict[str, dict[str, int]] = {}
        self._cost: float | None = 0.0
        threads = self.spec["num_threads"]
        workers = self.spec["workers"] or min(2, threads)
        self._shares = [threads // workers + (number < threads % workers) for number in range(workers)]
        self._score: float | None = None
        self._done: set[int] = set()
        self._place: dict[str, Any] = {}

    def place(self, root: str | None, shipped: dict[str, Any]) -> None:
        """As a node that shares nothing with the driver: its own environment, and the project where it was unpacked."""
        assert self.caller["environment"] == {}
        self.caller = {**self.caller, "environment": dict(os.environ), "directory": root or "/"}
        path = [os.path.join(root, entry) for entry in shipped["path"]] if root else []
        self._place = {"root": root, "path": path}
        if root:
            self.caller["directory"] = os.path.join(root, shipped["directory"])

    def start(self) -> None:
        """Check the program in the first worker, as a node does; LoadError when it does not load."""
        first = self._fork(self._shares[0])
        for number, share in enumerate(self._shares):
            threading.Thread(target=self._serve, args=(first if number == 0 else None, share), daemon=True).start()

    def _fork(self, threads: int) -> Worker:
        with self._forking:
            worker = self._zygote.fork(self.caller["directory"], self.caller["environment"])
        self._workers[worker.name] = worker
        worker.connection.socket.settimeout(None)
        order = {"payload": self._payload, "metric": self.spec["metric"], "failure_score": self.spec["failure_score"]}
        kind, body = worker.try_load(self.spec["program"], threads=threads, **order, **self._place)
        if kind != 17:
            raise LoadError(body)
        return worker

    def _serve(self, worker: Worker | None, share: int) -> None:
        worker = worker or self._fork(share)
        under_way: dict[int, tuple[int, int, bytes]] = {}
        while True:
            while len(under_way) < share and self.status == "running":
                try:
                    example = self._todo.get_nowait()
                except queue.Empty:
                    break
                under_way[example[0]] = example
                worker.connection.send(2, {"examples": [list(example)]})
            if not under_way or self.status != "running":
                break
            received = worker.connection.receive()
            if received is None:
                self._lost(worker, under_way)
                under_way = {}
                if self.status != "running":
                    return
                worker = self._fork(share)
            else:
                self._obey(worker, received[0], received[1], under_way)
        worker.connection.close()
        self._output(worker)

    def _obey(self, worker: Worker, kind: int, body: dict[str, Any], under_way: dict[int, Any]) -> None:
        if kind == 20:
            for result in body["results"]:
                del under_way[result[0]]
                self._take(worker, result)
        elif kind == 21:
            self.end("failed", body["message"])
        elif kind == 23:
            self._add(self.questions, {"worker": worker.name, **body})

    def _lost(self, worker: Worker, under_way: dict[int, tuple[int, int, bytes]]) -> None:
        self._output(worker)
        for index, attempt, row in under_way.values():
            if attempt <= self.spec["retries"]:
                self._todo.put((index, attempt + 1, row))
            else:
                failure = {"type": "WorkerLost", "message": "the worker died", "worker": worker.name}
                self._take(worker, [index, attempt, 0.0, 0, None, None, failure, None, None, 0, None])

    def _take(self, worker: Worker, result: list[Any]) -> None:
        index, attempt, score, kind, prediction, _, failure, usage, cost, duration, returned = result
        if self.status != "running":
            return
        assert index not in self._done, "an example was recorded twice"
        self._done.add(index)
        for model, tokens in (usage or {}).items():
            totals = self._usage.setdefault(model, {})
            for name, count in tokens.items():
                totals[name] = totals.get(name, 0) + count
        self._cost = None if self._cost is None or cost is None else self._cost + cost
        told = {
            "index": index,
            "score": score,
            "score_kind": {0: 1, 3: 2}.get(kind, 0),
            "prediction": prediction or b"",
            "returned": returned or b"",
            "failure": None if failure is None else {**failure, "worker": worker.name},
            "duration_us": duration,
            "attempt": attempt,
        }
        self._add(self.results, told)
        failed = sum(each["failure"] is not None for each in self.results)
        if failed and failed >= self.spec["max_errors"]:
            self.end("failed", f"{failed} examples failed")
        elif len(self.results) == self._examples:
            self.end("finished", "")

    def _output(self, worker: Worker) -> None:
        # A node reads pipes all the time; here it is enough to have all of it before the run ends.
        printed = worker.printed()
        if printed:
            self._add(self.events, {"output": {"worker": worker.name, "text": printed, "dropped_bytes": 0}})

    def _add(self, items: list[Any], item: Any) -> None:
        with self._changed:
            items.append(item)
            self._changed.notify_all()

    def reply(self, answer: dict[str, Any]) -> None:
        body = {"id": answer["id"], "body": answer.get("body"), "error": answer.get("error")}
        try:
            self._workers[answer["worker"]].connection.send(5, body)
        except OSError:
            pass  # The worker has ended by now; nobody waits.

    def end(self, status: str, reason: str) -> None:
        with self._changed:
            if self.status != "running":
                return
            self.status, self.reason = status, reason
            self._changed.notify_all()
        threading.Thread(target=self._close, daemon=True).start()

    def _close(self) -> None:
        for worker in list(self._workers.values()):
            try:
                worker.connection.send(3, {})
            except OSError:
                pass  # It has ended.
        time.sleep(0.2)  # For what they have printed.
        for worker in list(self._workers.values()):
            with self._forking:
                self._zygote.connection.send(2, {"worker": worker.name})
        self._add(self.events, {"ended": self.describe()})

    def describe(self) -> dict[str, Any]:
        return {
            "run_id": self.id,
            "status": self.status,
            "reason": self.reason,
            "examples": self._examples,
            "done": len(self.results),
            "usage": self._usage,
            "cost_usd": self._cost,
        }

    def follow(self, items: list[Any], ended: Any) -> Any:
        """The items as they come, until `ended` says that none will."""
        sent = 0
        while True:
            with self._changed:
                while len(items) <= sent and not ended():
                    self._changed.wait()
                new = items[sent:]
            if not new:
                return
            sent += len(new)
            yield from new


class LoadError(Exception):
    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body["message"])
        self.body = body


class Unavailable(Exception):
    """No node is there."""


def _place(strategy: str, reason: str, detail: str, *, embedded: bool = False) -> dict[str, Any]:
    return {"strategy": strategy, "reason": reason, "detail": detail, "embedded": embedded}


class Double:
    """The connection to one driver. `places`: a directory for what it sends."""

    def __init__(self, places: str) -> None:
        self._places = places
        self._connection = Connection(socket.socket(fileno=os.dup(0)))
        self._connection.socket.settimeout(None)
        self._sending = threading.Lock()
        self._forking = threading.Lock()
        # What was sent of projects: {digest: where it lies now}.
        self._bundles: dict[str, str] = {}
        self._blobs: dict[str, bytes] = {}
        self._runs: dict[str, Run] = {}
        self._uploads: dict[int, bytearray] = {}
        self._serving: dict[int, Run] = {}
        self._zygote: Zygote | None = None

    def send(self, kind: int, body: dict[str, Any]) -> None:
        with self._sending:
            self._connection.send(kind, body)

    def serve(self) -> None:
        while (received := self._connection.receive()) is not None:
            kind, body = received
            if kind == 1:
                self.send(16, {"protocol": VERSION, "version": "double"})
            elif kind == 4:
                self._part(body)
            elif kind == 2 and body["method"] == "blobs.put":
                self._uploads[body["id"]] = bytearray()
            elif kind == 2:
                if body["method"] == "runs.submit" and self._zygote is None:
                    # On the main thread: the kernel ends a zygote with the thread that started it.
                    self._zygote = Zygote()
                    self._zygote.connection.expect(16)
                threading.Thread(target=self._answer, args=(body,), daemon=True).start()

    def _part(self, part: dict[str, Any]) -> None:
        if (run := self._serving.get(part["id"])) is not None:
            run.reply(msgspec.msgpack.decode(part["data"]))
            return
        upload = self._uploads[part["id"]]
        upload += part["data"]
        if part["end"]:
            digest = hashlib.sha256(upload).hexdigest()
            self._blobs[digest] = bytes(upload)
            self.send(17, {"id": part["id"], "body": {"digest": digest, "bytes": len(upload)}})

    def _answer(self, request: dict[str, Any]) -> None:
        number = request["id"]
        try:
            answer = getattr(self, "_" + request["method"].replace(".", "_"))(number, request["body"])
        except LoadError as error:
            self._refuse(number, "FAILED_PRECONDITION", error.body["kind"].upper(), error.body)
        except Unavailable as error:
            self._refuse(number, "UNAVAILABLE", "NODE_UNREACHABLE", {"message": str(error)})
        except Exception as error:
            self._refuse(number, "INTERNAL", type(error).__name__, {"message": repr(error)})
        else:
            self.send(17, {"id": number, "body": answer})

    def _refuse(self, number: int, code: str, reason: str, body: dict[str, Any]) -> None:
        metadata = {key: str(body[key]) for key in ("traceback", "file", "line") if body.get(key) is not None}
        self.send(19, {"id": number, "code": code, "reason": reason, "message": body["message"], "metadata": metadata})

    def _connect(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        if body["address"] == "nowhere:1" and not body["embedded"]:
            raise Unavailable("no node answers at nowhere:1")
        is_embedded = body["embedded"] or body["address"] is None
        address = "unix:double" if is_embedded else body["address"]
        return {"address": address, "version": "double", "embedded": is_embedded}

    def _elsewhere(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        return {"moved": False}

    def _strategy_choose(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        """By the address alone: what a rule makes of runs is tested where the rule stands."""
        if body["bound"] is not None:
            return _place("distributed", "needs_cluster", f"{body['bound']} is for the node at the address")
        address = body["address"] or os.environ["DSPEX_ADDRESS"]
        if address == "nowhere:1":
            return _place("local", "cluster_unavailable", "no node answers at nowhere:1", embedded=True)
        if address.startswith("quick:"):
            return _place("local", "expected_faster", "here 0.10 s, there 3.00 s", embedded=True)
        return _place("distributed", "costs_unknown", "nothing was measured")

    def _bundles_put(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        """A copy elsewhere stands for an archive that is unpacked on another machine."""
        for secret in body["secrets"].values():
            for file in Path(body["root"]).rglob("*.py"):
                assert secret not in file.read_text(), f"{file} holds a secret"
        place = tempfile.mkdtemp(dir=self._places)
        root = os.path.join(place, "root")
        shutil.copytree(body["root"], root, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        assert all(os.path.isfile(os.path.join(root, file)) for file in body["files"])
        digest = hashlib.sha256(place.encode()).hexdigest()
        self._bundles[digest] = root
        return {"digest": digest, "bytes": 1, "files": len(body["files"]), "was_there": False}

    def _runs_submit(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        assert self._zygote is not None
        run = Run(body, self._blobs, self._zygote, self._forking)
        if (shipped := body["evaluation"].get("shipped")) is not None:
            run.place(self._bundles.get(shipped["bundle"]), shipped)
        run.start()
        self._runs[run.id] = run
        return {"run": run.describe(), "notes": [f"interpreter {body['caller']['interpreter']}"], "resumed": False}

    def _runs_get(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        return self._runs[body["run_id"]].describe()

    def _runs_cancel(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        run = self._runs[body["run_id"]]
        run.end("cancelled", body["reason"])
        return run.describe()

    def _runs_watch(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        run = self._runs[body["run_id"]]
        ended = lambda: any("ended" in event for event in run.events)  # noqa: E731
        for sequence, event in enumerate(run.follow(run.events, ended)):
            self.send(18, {"id": number, "body": {"seq": sequence, **event}})
        return {}

    def _runs_results(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        run = self._runs[body["run_id"]]
        for result in run.follow(run.results, lambda: not body["follow"] or run.status != "running"):
            shown = dict(result)
            if not body["full"]:
                shown["prediction"] = b""
            if not body["returned"]:
                shown["returned"] = b""
            self.send(18, {"id": number, "body": {"results": [shown]}})
        return {}

    def _runs_serve(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        run = self._runs[body["run_id"]]
        self._serving[number] = run
        for question in run.follow(run.questions, lambda: run.status != "running"):
            self.send(18, {"id": number, "body": question})
        return {}


if __name__ == "__main__":
    assert sys.argv[1:] == ["client"], sys.argv
    with tempfile.TemporaryDirectory(prefix="dspex-double-", ignore_cleanup_errors=True) as places:
        Double(places).serve()
    os._exit(0)
