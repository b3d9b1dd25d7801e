"""A cluster, and the orders that the load generator gets for it (tests/examples/consensus_load)."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.settings import LOAD, PROGRAM, environment

NODES = 3
# For a cluster to be whole: an election, a catch-up, a start with many keys.
_WHOLE_SECONDS = 90
_TASK_SECONDS = 900
_STOP_SECONDS = 60
# Below the range that the kernel gives to those who ask for any port: these stay free between two lives of a node.
_PORTS = range(10_000, 30_000)


@dataclass
class Node:
    name: str
    directory: Path
    data: Path
    # Where clients reach it.
    address: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self.process.pid


class Cluster:
    """Three nodes with fresh data (or `count`), whole when the block is entered and gone when it is left."""

    system = ""

    def __init__(self, place: Path, count: int = NODES) -> None:
        self.place = place
        self.count = count
        self.certificates = place / "certs"
        self.nodes: list[Node] = []
        self._taken: set[int] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Cluster:
        with ExitStack() as stack:
            stack.callback(self._end)
            names = [f"--node=node-{number}=127.0.0.1" for number in range(self.count)]
            _run([PROGRAM, "cert", "init", "--directory", str(self.certificates), *names, "--node=client=127.0.0.1"])
            self.nodes = self.make()
            for number in range(self.count):
                self.start(number)
            self.open()
            self.agree()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def make(self) -> list[Node]:
        """The nodes with their directories and files; none of them runs."""
        raise NotImplementedError

    def open(self) -> None:
        """What clients need once the nodes run."""

    def token(self) -> Path | None:
        """What clients show with every call."""
        return None

    def variables(self, node: Node) -> dict[str, str]:
        return environment()

    def start(self, number: int) -> None:
        """Returns at once."""
        node = self.nodes[number]
        with (node.directory / "log").open("ab") as log:
            node.process = subprocess.Popen(
                node.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.variables(node)
            )

    def stop(self, number: int) -> None:
        """As an operator does it; returns when it has ended."""
        process = self.nodes[number].process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_SECONDS)
            self.nodes[number].process = None

    def was_killed(self, number: int) -> None:
        """The load generator has killed it: this takes note."""
        process = self.nodes[number].process
        if process is not None:
            process.wait(_STOP_SECONDS)
            self.nodes[number].process = None

    def agree(self) -> int:
        """Waits until the cluster is whole; who leads."""
        return int(self.ask("agree", limit_s=_WHOLE_SECONDS)["leader"])

    def ask(self, task: str, **more: Any) -> dict[str, Any]:
        """Has the load generator do something with this cluster."""
        token = self.token()
        order = {
            "system": self.system,
            "nodes": [{"address": node.address, "pid": node.pid} for node in self.nodes],
            "ca": str(self.certificates / "ca.pem"),
            "certificate": str(self.certificates / "client" / "node.pem"),
            "key": str(self.certificates / "client" / "node.key"),
            "token": str(token) if token else None,
            "task": {"do": task, **more},
        }
        try:
            answer: dict[str, Any] = json.loads(_run([LOAD, json.dumps(order)]))
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.last_words()}") from None
        return answer

    def free_port(self) -> int:
        for _ in range(1000):
            port = random.choice(_PORTS)
            if port in self._taken:
                continue
            with socket.socket() as asked:
                try:
                    asked.bind(("127.0.0.1", port))
                except OSError:
                    continue
            self._taken.add(port)
            return port
        raise RuntimeError("no port is free")

    def last_words(self) -> str:
        """The end of what each node said."""
        lines = []
        for node in self.nodes:
            log = node.directory / "log"
            said = log.read_text(errors="replace").splitlines() if log.exists() else []
            lines += [f"--- the end of what {self.system} {node.name} said", *said[-15:]]
        return "\n".join(lines)

    def _end(self) -> None:
        running = [node.process for node in self.nodes if node.process is not None]
        for process in running:
            process.kill()
        for process in running:
            process.wait(_STOP_SECONDS)


def _run(command: list[str]) -> str:
    if not os.access(command[0], os.X_OK):
        raise RuntimeError(f"{command[0]} is missing: scripts/bench.sh builds it")
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=_TASK_SECONDS)
    if ended.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} ended with {ended.returncode}: {ended.stderr.strip()[-4000:]}")
    return ended.stdout
