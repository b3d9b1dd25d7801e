"""What stands beside the image: alerts and dashboard name metrics that there are; the unit and the compose file keep
their promises."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

DEPLOY = CHECKOUT / "deploy"


def recorded() -> set[str]:
    """The metrics of the reference page that something is recorded of."""
    page = (CHECKOUT / "docs/src/reference/metrics.md").read_text().partition("\n## Reserved")[0]
    return set(re.findall(r"\| `(dspex_\w+)` \|", page))


def named(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bdspex_\w+", text)}


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/dashboards/dspex.json"])
def test_alerts_and_dashboard_name_metrics_that_there_are(file: str) -> None:
    found = named((DEPLOY / file).read_text())
    assert len(found) >= 4
    assert found <= recorded() | {name.removesuffix("_count") for name in recorded()}


def test_a_metric_that_is_only_reserved_is_none_that_there_is() -> None:
    assert "dspex_runs_total" in recorded()
    assert "dspex_cache_hit_total" not in recorded()


def test_alerts_name_causes_that_workers_end_for() -> None:
    (causes,) = re.findall(r'cause=~"([\w|]+)"', (DEPLOY / "prometheus/alerts.yml").read_text())
    counted = (CHECKOUT / "actors/src/metering.rs").read_text()
    assert all(f'=> "{cause}"' in counted for cause in causes.split("|"))


def test_prometheus_takes_its_files() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on this machine (Debian's package prometheus has it)")
    for what, file in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        asked = [promtool, "check", what, *(["--syntax-only"] if what == "config" else []), file]
        done = subprocess.run(asked, cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_asks_the_source_that_is_provisioned() -> None:
    board = json.loads((DEPLOY / "grafana/dashboards/dspex.json").read_text())
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {sources[0]["uid"]}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    judge = shutil.which("systemd-analyze")
    if judge is None:
        pytest.skip("systemd-analyze is not on this machine")
    text = (DEPLOY / "systemd/dspex.service").read_text()
    # It looks for the program and the user.
    there = (
        text.replace("/opt/dspex/bin/dspex", "/bin/true").replace("User=dspex", "User=root").replace("Group=dspex", "")
    )
    unit = tmp_path / "dspex.service"
    for wrong in (False, True):
        unit.write_text(there.replace("KillMode=mixed", "KillMod=mixed") if wrong else there)
        done = subprocess.run([judge, "verify", str(unit)], capture_output=True, text=True, timeout=60)
        assert ("dspex.service" in done.stderr) is wrong, done.stderr


def test_the_unit_leaves_workers_their_sandbox_and_the_node_its_end() -> None:
    unit = (DEPLOY / "systemd/dspex.service").read_text()
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    assert settings["User"] != "root"
    assert settings["KillMode"] == "mixed"
    assert int(settings["TimeoutStopSec"]) >= 60
    # The one would take away pidfd_getfd, the others /proc and memory that programs execute.
    assert not {"SystemCallFilter", "ProcSubset", "ProtectProc", "MemoryDenyWriteExecute"} & settings.keys()
    assert settings["RestartPreventExitStatus"] == "2"


def test_compose_starts_three_voters_that_write_nothing_but_their_data() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    nodes = {name: service for name, service in services.items() if name.startswith("node-")}
    assert len(nodes) == 3
    join = sorted(service["environment"]["DSPEX_PEERS__ADVERTISE"] for service in nodes.values())
    for name, service in nodes.items():
        environment = service["environment"]
        assert environment["DSPEX_NODE__NAME"] == name
        assert environment["DSPEX_CLUSTER__JOIN"].split(",") == join
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["cap_add"] == ["SYS_PTRACE"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    assert profiles == {"prometheus", "grafana", "jaeger"}
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and "certs" not in source:
                assert (DEPLOY / source).exists(), source


def drain() -> Any:
    loader = importlib.machinery.SourceFileLoader("drain", str(DEPLOY / "image/dspex-drain"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("drain", loader))
    loader.exec_module(module)
    return module


def member(node: int, **other: object) -> dict[str, object]:
    return {"id": node, "role": "voter", "reachable": True, "lag": 0, **other}


def test_a_leader_hands_over_to_the_voter_that_is_the_least_behind() -> None:
    def decided(*members: dict[str, object], leader: int = 1) -> str | None:
        return drain().successor({"node_id": 1, "leader_id": leader, "members": [member(1), *members]})

    assert decided(member(2, lag=7), member(3, lag=1)) == "3"
    assert decided(member(2, reachable=False), member(3, role="learner")) is None
    assert decided(member(2, draining=True), member(3, lag=9)) == "3", "it would have to hand over again"
    assert decided(member(2, draining=True)) == "2"
    assert decided() is None
    assert decided(member(2), leader=2) is None


@pytest.mark.parametrize("refused", [False, True])
def test_a_pod_that_ends_is_drained_and_hands_over_all_the_same_where_that_is_refused(
    refused: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = drain()
    asked: list[tuple[str, ...]] = []

    def dspex(*arguments: str, limit: int = 0) -> str:
        asked.append(arguments)
        if arguments[:2] == ("member", "drain") and refused:
            raise subprocess.CalledProcessError(1, "dspex", stderr="error[MEMBER_CHANGE_REFUSED]: nobody else\n")
        # A node that drains does not lead any more.
        leads = 1 if refused or len(asked) == 1 else 2
        return json.dumps({"node_id": 1, "leader_id": leads, "members": [member(1), member(2)]})

    monkeypatch.setattr(module, "dspex", dspex)
    monkeypatch.setattr(sys, "argv", ["dspex-drain", "0"])
    module.main()
    handed_over = [("member", "transfer-leader", "2")] if refused else []
    status = ("cluster", "status", "-o", "json")
    assert asked == [status, ("member", "drain", "1", "--wait", "70"), status, *handed_over]
    assert ("MEMBER_CHANGE_REFUSED" in capsys.readouterr().err) == refused


@pytest.mark.parametrize("refused", [False, True])
def test_a_pod_without_a_vote_has_a_voter_drain_it(
    refused: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = drain()
    asked: list[tuple[str, ...]] = []

    def dspex(*arguments: str, limit: int = 0) -> str:
        asked.append(arguments)
        if refused:
            raise subprocess.CalledProcessError(4, "dspex", stderr="error[UNAUTHENTICATED]: the token file\n")
        return ""

    monkeypatch.setattr(module, "dspex", dspex)
    monkeypatch.setattr(sys, "argv", ["dspex-drain", "0"])
    monkeypatch.setenv("DSPEX_NODE__ROLE", "worker")
    monkeypatch.setenv("DSPEX_NODE__NAME", "dspex-workers-1")
    monkeypatch.setenv("DSPEX_DRAIN_ADDRESS", "voters:7400")
    monkeypatch.setenv("DSPEX_DRAIN_TOKEN_FILE", "/etc/dspex/drain/token")
    module.main()
    where = ("--address", "voters:7400", "--token-file", "/etc/dspex/drain/token")
    # Its own node is asked for nothing, and never leads.
    assert asked == [(*where, "member", "drain", "dspex-workers-1", "--wait", "70")]
    assert ("UNAUTHENTICATED" in capsys.readouterr().err) == refused
