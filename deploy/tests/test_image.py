"""The image, built of the wheel and run as the three containers that compose.yaml describes: a cluster of sandboxed
nodes that writes nothing but its data, loses its leader politely, and keeps what it acknowledged.

It takes a Docker daemon: the one that answers, or, as root where the program is there, one of its own, which touches
neither the firewall nor the images of the machine. Without either, and without a base image, it is skipped."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import CHECKOUT

IMAGE = "dspex-test:image"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Of the user in the image, who has to read a node's key.
USER = 10740
Docker = Callable[..., str]


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    if shutil.which("docker") is None:
        pytest.skip("Docker is not on this machine")
    with contextlib.ExitStack() as stack:
        environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
        if not answers(environment):
            environment["DOCKER_HOST"] = stack.enter_context(own_daemon(environment))

        def run(*arguments: object, limit: float = 120) -> str:
            asked = ["docker", *map(str, arguments)]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=limit, env=environment)
            assert done.returncode == 0, f"{asked}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            return done.stdout.strip()

        yield run


def answers(environment: dict[str, str]) -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, timeout=60, env=environment).returncode == 0


@contextlib.contextmanager
def own_daemon(environment: dict[str, str]) -> Iterator[str]:
    dockerd = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if dockerd is None or os.geteuid() != 0:
        pytest.skip("no Docker daemon answers, and one of its own takes root and the program dockerd")
    # A short name: a socket lies in it.
    with tempfile.TemporaryDirectory(prefix="dspex-docker-", ignore_cleanup_errors=True) as directory:
        host = f"unix://{directory}/socket"
        places = [
            "--data-root",
            f"{directory}/data",
            "--exec-root",
            f"{directory}/exec",
            "--pidfile",
            f"{directory}/pid",
        ]
        apart = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]
        with open(f"{directory}/log", "w") as log:
            daemon = subprocess.Popen([dockerd, "--host", host, *places, *apart], stdout=log, stderr=log)
        try:
            wanted = {**environment, "DOCKER_HOST": host}
            for _ in range(60):
                if answers(wanted):
                    break
                if daemon.poll() is not None:
                    pytest.skip(f"no Docker daemon can be started: {Path(directory, 'log').read_text()[-500:]}")
                time.sleep(1)
            else:
                pytest.skip("the Docker daemon did not answer within a minute")
            yield host
        finally:
            daemon.terminate()
            daemon.wait(timeout=60)
            # It leaves its view of the network mounted there.
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            for left in (mount for mount in mounts if mount.startswith(f"{directory}/")):
                subprocess.run(["umount", left], capture_output=True, timeout=60)


def this_system() -> tuple[str, str]:
    """The image of this machine's own distribution, for which its wheel is made, and debootstrap's name for it."""
    said = platform.freedesktop_os_release()
    if said["ID"] == "debian":
        return f"debian:{said['VERSION_CODENAME']}-slim", said["VERSION_CODENAME"]
    if said["ID"] == "ubuntu":
        return f"ubuntu:{said['VERSION_ID']}", said["VERSION_CODENAME"]
    pytest.skip(f"the image is for Debian and Ubuntu, and this is {said['ID']}")


@pytest.fixture(scope="module")
def base(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image that the Dockerfile names, or what debootstrap makes where no registry answers; with this machine's
    authorities, because its package index may stand behind a proxy."""
    name, codename = this_system()
    directory = tmp_path_factory.mktemp("base")
    try:
        docker("image", "inspect", name)
    except AssertionError:
        try:
            docker("pull", "--quiet", name, limit=120)
        except (AssertionError, subprocess.TimeoutExpired):
            bootstrap(codename, directory / "root")
            packed = directory / "root.tar"
            subprocess.run(["tar", "-C", directory / "root", "-cf", packed, "."], check=True, timeout=300)
            docker("import", packed, name, limit=300)
    if not BUNDLE.is_file():
        return name
    context = directory / "context"
    context.mkdir()
    shutil.copy(BUNDLE, context / "bundle.crt")
    (context / "Dockerfile").write_text(f"FROM {name}\nCOPY bundle.crt {BUNDLE}\n")
    docker("build", "--quiet", "--tag", "dspex-test:base", context)
    return "dspex-test:base"


def bootstrap(codename: str, into: Path) -> None:
    debootstrap = shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if debootstrap is None or os.geteuid() != 0:
        pytest.skip("no registry answers, and making a base image takes root and debootstrap")
    asked = [debootstrap, "--variant=minbase", "--include=ca-certificates", codename, str(into)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=1200)
    if done.returncode != 0:
        pytest.skip(f"debootstrap made no base image: {done.stdout[-500:]}")


@pytest.fixture(scope="module")
def image(docker: Docker, base: str, wheel: Path) -> Iterator[str]:
    index = os.environ.get("PIP_INDEX_URL")
    arguments = ["--build-arg", f"BASE={base}", *(["--build-arg", f"PIP_INDEX_URL={index}"] if index else [])]
    # The host's network: a daemon of its own has no other way out.
    where = ["--network", "host", "--file", CHECKOUT / "deploy/Dockerfile", "--tag", IMAGE, CHECKOUT]
    docker("build", *arguments, *where, limit=1800)
    yield IMAGE
    docker("image", "rm", "--force", IMAGE)


@pytest.fixture
def cluster(docker: Docker, image: str, program: Path, tmp_path: Path) -> Iterator[list[str]]:
    """The nodes of compose.yaml with its own settings; compose itself need not be there."""
    services = yaml.safe_load((CHECKOUT / "deploy/compose.yaml").read_text())["services"]
    nodes = {name: service for name, service in services.items() if name.startswith("node-")}
    certificates = tmp_path / "certs"
    named = [argument for name in nodes for argument in ("--node", f"{name}={name}")]
    subprocess.run([program, "cert", "init", "--directory", certificates, *named], capture_output=True, check=True)
    for name in nodes:
        subprocess.run(["chown", "-R", f"{USER}:{USER}", certificates / name], check=True)
    tag = f"dspex-test-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        docker("network", "create", tag)
        stack.callback(docker, "network", "rm", tag)
        for name, service in nodes.items():
            given = ["--name", f"{tag}-{name}", "--network", tag, "--network-alias", name, "--cap-drop", "ALL"]
            given += ["--read-only"] if service["read_only"] else []
            for option, values in (("--cap-add", "cap_add"), ("--security-opt", "security_opt"), ("--tmpfs", "tmpfs")):
                given += [argument for value in service[values] for argument in (option, value)]
            for key, value in service["environment"].items():
                given += ["--env", f"{key}={'' if value.startswith('${') else value}"]
            for volume in service["volumes"]:
                source, _, place = volume.partition(":")
                source = source.replace("./certs", str(certificates)) if "/" in source else f"{tag}-{source}"
                given += ["--volume", f"{source}:{place}"]
            docker("run", "--detach", *given, image)
            stack.callback(docker, "volume", "rm", f"{tag}-{name}")
            stack.callback(docker, "rm", "--force", f"{tag}-{name}")
        yield [f"{tag}-{name}" for name in nodes]


def until(what: Callable[[], bool], limit_seconds: float = 120) -> None:
    end = time.monotonic() + limit_seconds
    while True:
        with contextlib.suppress(AssertionError):
            if what():
                return
        assert time.monotonic() < end, f"still not so after {limit_seconds} s"
        time.sleep(1)


@pytest.mark.skipif(os.geteuid() != 0, reason="the keys are given to the user of the image, which takes root")
def test_three_containers_are_a_cluster_of_sandboxed_nodes(docker: Docker, cluster: list[str]) -> None:
    one = cluster[0]

    def status(node: str = one) -> dict[str, object]:
        return json.loads(docker("exec", node, "dspex", "cluster", "status", "-o", "json"))

    def leader() -> str:
        found = status()
        (name,) = (member["name"] for member in found["members"] if member["id"] == found["leader_id"])
        return next(node for node in cluster if node.endswith(name))

    until(lambda: docker("exec", one, "dspex", "cluster", "health", limit=30) is not None)
    until(lambda: len(status()["members"]) == 3 and all(member["reachable"] for member in status()["members"]))
    assert {member["sandbox"] for member in status()["members"]} == {"on"}
    for node in cluster:
        until(lambda node=node: docker("inspect", "--format", "{{.State.Health.Status}}", node) == "healthy")

    # A worker executes, in its sandbox, as the user of the image, and cannot write to the image.
    assert docker("exec", one, "dspex", "pool", "call", "general", "os:getuid", limit=180) == str(USER)
    refused = subprocess.CalledProcessError, AssertionError
    with pytest.raises(refused, match="Read-only file system"):
        docker("exec", one, "touch", "/opt/dspex/bin/other")

    # A run executes on the workers of all three, and whichever node is asked knows the same of it.
    digits = "dspex.samples.digits"
    sample = [f"{digits}:few_shot_16", "--devset", f"{digits}:devset", "--metric", "exact", "--lm", f"{digits}:lm"]
    place = ["exec", "--workdir", "/tmp", one, "dspex"]
    evaluated = json.loads(docker(*place, "eval", *sample, "--num-threads", "12", "--distributed", "-o", "json"))
    assert (evaluated["status"], evaluated["failed"], evaluated["strategy"]) == ("finished", 0, "distributed")
    for node in cluster:
        shown = json.loads(docker("exec", node, "dspex", "run", "show", evaluated["run_id"], "-o", "json"))
        assert (shown["score"], shown["digest"]) == (evaluated["score"], evaluated["digest"])

    # What is acknowledged, the leader's end does not take away; it hands over before.
    docker("exec", one, "dspex", "session", "create", "user-1", "--ttl", "3600", "--set", "n=1")
    led = leader()
    docker("exec", led, "dspex-drain", "0")
    until(lambda: leader() != led, 15)
    began = time.monotonic()
    docker("stop", "--time", "60", led)
    assert time.monotonic() - began < 50
    assert docker("inspect", "--format", "{{.State.ExitCode}}", led) == "0"
    other = next(node for node in cluster if node != led)
    docker("exec", other, "dspex", "session", "update", "user-1", "--set", "n=2", "--if-version", "1")
    docker("start", led)
    until(
        lambda: '"n": 2' in docker("exec", led, "dspex", "session", "show", "user-1", "-o", "json").replace(":2", ": 2")
    )
