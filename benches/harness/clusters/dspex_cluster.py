"""`dspex node` processes, three of them unless told otherwise: mutual TLS between them, TLS and a token for callers.

The rest is as it comes.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from harness.clusters.base import Cluster, Node
from harness.settings import CASES, PROGRAM, PYTHON, environment

_PATIENCE_SECONDS = 60


class DspexCluster(Cluster):
    system = "dspex"

    def make(self) -> list[Node]:
        peers = [self.free_port() for _ in range(self.count)]
        join = ", ".join(f'"127.0.0.1:{port}"' for port in peers)
        return [self._node(number, port, join) for number, port in enumerate(peers)]

    def _node(self, number: int, peers: int, join: str) -> Node:
        name = f"node-{number}"
        directory = self.place / name
        directory.mkdir()
        api, http = self.free_port(), self.free_port()
        own = self.certificates / name
        certificate = f'certificate = "{own / "node.pem"}"\nkey = "{own / "node.key"}"\n'
        (directory / "dspex.toml").write_text(
            f'data_dir = "data"\n[node]\nname = "{name}"\n[cluster]\njoin = [{join}]\nbootstrap_expect = {self.count}\n'
            f'[peers]\nlisten = "127.0.0.1:{peers}"\nca = "{self.certificates / "ca.pem"}"\n{certificate}'
            f'[api]\nlisten = "127.0.0.1:{api}"\n{certificate}[http]\nlisten = "127.0.0.1:{http}"\n'
            f'[python]\ninterpreter = "{PYTHON}"\n[sandbox]\nreadable = ["{CASES}"]\n'
        )
        command = [PROGRAM, "node", "--config", str(directory / "dspex.toml")]
        return Node(name, directory, directory / "data", f"127.0.0.1:{api}", command)

    def variables(self, node: Node) -> dict[str, str]:
        return environment(DSPEX_HOME=str(self.place / "home"))

    def token(self) -> Path | None:
        return self.place / "token"

    def open(self) -> None:
        """One token for all nodes: each node's own opens that node only."""
        first = self.nodes[0]
        reached = ["--address", first.address, "--ca", str(self.certificates / "ca.pem")]
        shown = ["--token-file", str(first.data / "token")]
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            made = subprocess.run(
                [PROGRAM, "token", "create", "bench", "--role", "admin", *reached, *shown],
                env=environment(DSPEX_HOME=str(self.place / "home")),
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
            )
            if made.returncode == 0:
                (self.place / "token").write_text(made.stdout)
                return
            if time.monotonic() > end:
                raise RuntimeError(f"no token was made: {made.stderr.strip()}\n{self.last_words()}")
            time.sleep(0.2)
