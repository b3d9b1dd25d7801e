"""A real node whose callers speak TLS: dspex.connect with its authority, and its pages for probes and Prometheus."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import driver_program as program
import dspy
import pytest
from conftest import PROGRAM
from real_node import PATIENCE_SECONDS, RealNode, free_port, running

import dspex

# What a certificate is for besides its node's own machine.
NAME = "node.example"


class Node(RealNode):
    """`dspex node` with a certificate, and another authority that has nothing to do with it."""

    def __init__(self, place: Path) -> None:
        self.api, self.http = free_port(), free_port()
        for authority in ("ours", "theirs"):
            directory = str(place / authority)
            subprocess.run(
                [PROGRAM, "cert", "init", "--directory", directory, "--node", f"node={NAME}"],
                check=True,
                capture_output=True,
            )
        super().__init__(
            place,
            f'[api]\nlisten = "127.0.0.1:{self.api}"\n'
            'certificate = "ours/node/node.pem"\nkey = "ours/node/node.key"\n'
            f'[http]\nlisten = "127.0.0.1:{self.http}"\n[python]\ninterpreter = "{sys.executable}"\n',
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.api}"

    @property
    def token_file(self) -> Path:
        return self.place / "data" / "token"

    def ca(self, authority: str = "ours") -> Path:
        return self.place / authority / "ca.pem"

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Of a page, by TLS that trusts the node's authority."""
        context = ssl.create_default_context(cafile=str(self.ca()))
        # As Python does from 3.13 on.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        client = http.client.HTTPSConnection("127.0.0.1", self.http, timeout=PATIENCE_SECONDS, context=context)
        try:
            client.request("GET", path, headers=headers)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def is_ready(self) -> bool:
        return self.get("/healthz/ready")[0] == 200


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running(Node) as started:
        yield started


def test_a_driver_that_knows_the_authority_calls_through_tls(node: Node) -> None:
    with dspex.connect(node.address, token_file=node.token_file, ca=node.ca()) as client:
        assert client.pool().call("ping", {"n": 1})["payload"] == {"n": 1}
        assert client.address == node.address


def test_the_environment_names_the_authority_as_well(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_CA", str(node.ca()))
    monkeypatch.setenv("DSPEX_ADDRESS", f"https://localhost:{node.api}")
    # Without a token file: the node has left its token for its user, under the name 127.0.0.1.
    with dspex.connect() as client:
        assert client.pool().call("ping", 2)["payload"] == 2


def test_an_evaluation_reaches_the_node_by_the_environment(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_CA", str(node.ca()))
    monkeypatch.setenv("DSPEX_TOKEN_FILE", str(node.token_file))
    evaluate = dspex.Evaluate(devset=program.devset(2), metric=program.metric, address=node.address)
    with dspy.context(lm=program.make_lm()):
        result = evaluate(program.Answering())
    assert (result.score, result.run_id is not None) == (100.0, True)


@pytest.mark.parametrize(
    ("address", "ca", "code", "says"),
    [
        ("{address}", None, "UNAUTHENTICATED", "speaks TLS"),
        ("{address}", "theirs", "UNAUTHENTICATED", "was not signed by the authority"),
        ("https://{address}", None, "INVALID_ARGUMENT", "--ca"),
        ("node.invalid:7400", None, "INVALID_ARGUMENT", "another machine"),
    ],
)
def test_who_is_not_trusted_is_told_before_anything_is_sent(
    node: Node, address: str, ca: str | None, code: str, says: str
) -> None:
    with pytest.raises(dspex.DspexError, match=says) as error:
        dspex.connect(
            address.format(address=node.address), token_file=node.token_file, ca=None if ca is None else node.ca(ca)
        )
    assert error.value.code == code


def test_an_authority_that_is_no_file_is_named(node: Node) -> None:
    with pytest.raises(dspex.DspexError, match="nonexistent"):
        dspex.connect(node.address, token_file=node.token_file, ca="/nonexistent.pem")


def test_pages_speak_tls_under_the_names_of_the_certificate(node: Node) -> None:
    assert node.get("/healthz/live") == (200, "ok\n")
    assert node.get("/healthz/live", Host=f"{NAME}:7480")[0] == 200
    # As a probe asks that knows the address only.
    assert node.get("/healthz/live", Host="10.0.0.1:7480")[0] == 200
    assert node.get("/healthz/live", Host="evil.example")[0] == 403
    assert node.get("/healthz/live", Origin="https://evil.example")[0] == 403
    assert node.get("/metrics")[0] == 401
    status, metrics = node.get("/metrics", Authorization=f"Bearer {node.token_file.read_text().strip()}")
    assert (status, "dspex_" in metrics) == (200, True)


def test_pages_are_not_given_without_tls(node: Node) -> None:
    client = http.client.HTTPConnection("127.0.0.1", node.http, timeout=PATIENCE_SECONDS)
    client.request("GET", "/healthz/live")
    with pytest.raises((http.client.HTTPException, OSError)):
        client.getresponse()
    client.close()
