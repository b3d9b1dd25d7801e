"""Three members of etcd: mutual TLS between them and with clients, by the same authority. The rest is as it comes."""

from __future__ import annotations

from harness.clusters.base import NODES, Cluster, Node
from harness.settings import ETCD, environment


class EtcdCluster(Cluster):
    system = "etcd"

    def make(self) -> list[Node]:
        peers = [f"https://127.0.0.1:{self.free_port()}" for _ in range(NODES)]
        members = ",".join(f"node-{number}={peer}" for number, peer in enumerate(peers))
        return [self._member(number, peer, members) for number, peer in enumerate(peers)]

    def _member(self, number: int, peer: str, members: str) -> Node:
        name = f"node-{number}"
        directory = self.place / name
        directory.mkdir()
        own = self.certificates / name
        ca, certificate, key = (
            str(path) for path in (self.certificates / "ca.pem", own / "node.pem", own / "node.key")
        )
        address = f"127.0.0.1:{self.free_port()}"
        client = f"https://{address}"
        data = directory / "data"
        command = [ETCD, "--name", name, "--data-dir", str(data)]
        command += ["--initial-cluster", members, "--initial-cluster-token", directory.parent.name]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--trusted-ca-file", ca, "--cert-file", certificate, "--key-file", key, "--client-cert-auth"]
        command += ["--peer-trusted-ca-file", ca, "--peer-cert-file", certificate, "--peer-key-file", key]
        command += ["--peer-client-cert-auth", "--logger", "zap"]
        return Node(name, directory, data, address, command)

    def variables(self, node: Node) -> dict[str, str]:
        # Its settings may stand in variables, too.
        return {name: value for name, value in environment().items() if not name.startswith("ETCD_")}
