"""The manifests of k8s/: rendered as they would be applied, judged by Kubernetes' own schemas and by checkov, and held
to what the book says of them. They are never applied: there is no API server here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

K8S = CHECKOUT / "k8s"
# The oldest that somebody may still run, and what kubernetes-validate takes for the newest.
VERSIONS = ("1.30", None)
OVERLAYS = ("dev", "prod", "dev with workers")
WORKERS = K8S / "components/workers"
LEAST_KUSTOMIZE = 5


def renderer() -> list[str]:
    for command in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(command[0]) and kustomize_version(command[0]) >= LEAST_KUSTOMIZE:
            return command
    pytest.skip(f"neither kustomize nor kubectl with kustomize {LEAST_KUSTOMIZE} or newer is on this machine")


def kustomize_version(program: str) -> int:
    asked = ["version"] if program == "kustomize" else ["version", "--client", "-o", "json"]
    said = subprocess.run([program, *asked], capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"v(\d+)\.", said if program == "kustomize" else str(json.loads(said).get("kustomizeVersion")))
    return int(found[1]) if found else 0


def render(overlay: str, into: Path) -> Path:
    directory = K8S / "overlays" / overlay.split()[0]
    if "workers" in overlay:
        # An overlay like an operator's: kustomize takes only relative paths.
        namespace = yaml.safe_load((directory / "kustomization.yaml").read_text())["namespace"]
        named = {"resources": [os.path.relpath(directory, into)], "namespace": namespace}
        named["components"] = [os.path.relpath(WORKERS, into)]
        (into / "kustomization.yaml").write_text(yaml.safe_dump(named))
        directory = into
    done = subprocess.run([*renderer(), str(directory)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    file = into / f"{overlay.replace(' ', '-')}.yaml"
    file.write_text(done.stdout)
    return file


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return render(request.param, tmp_path)


def documents(file: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in found if document["kind"] == kind]


def base() -> list[dict[str, Any]]:
    """As the files say it, without a renderer."""
    files = sorted(file for file in (K8S / "base").glob("*.yaml") if file.name != "kustomization.yaml")
    return [document for file in files for document in documents(file)]


def pods() -> list[dict[str, Any]]:
    workers = documents(WORKERS / "deployment.yaml")
    return [found["spec"]["template"]["spec"] for found in (*of_kind(base(), "StatefulSet"), *workers)]


def voters() -> dict[str, Any]:
    (found,) = of_kind(base(), "StatefulSet")
    return found


def settings(pod: dict[str, Any], name: str) -> dict[str, str]:
    """The environment of the pod of this name, as the kubelet would make it."""
    said = {"metadata.name": name, "metadata.namespace": "dspex", "status.podIP": "10.0.0.9"}
    environment: dict[str, str] = {}
    for entry in pod["containers"][0]["env"]:
        value = entry["value"] if "value" in entry else said[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        environment[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], value)
    return environment


def test_kubernetes_takes_every_document(rendered: Path) -> None:
    judge = Path(sys.executable).with_name("kubernetes-validate")
    for version in VERSIONS:
        asked = [str(judge), "--strict", *(["-k", version] if version else []), str(rendered)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (done.stdout + done.stderr).count(" passed for ") == len(documents(rendered))


def test_kubernetes_does_not_take_a_misspelled_field(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((K8S / "base/disruption-budget.yaml").read_text().replace("maxUnavailable", "maxUnavailabel"))
    judge = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run([str(judge), "--strict", str(wrong)], capture_output=True, text=True, timeout=300)
    assert done.returncode != 0, done.stdout


def checkov(*files: Path) -> subprocess.CompletedProcess[str]:
    asked = [
        str(Path(sys.executable).with_name("checkov")),
        "--config-file",
        str(K8S / "checkov.yaml"),
        "--skip-download",
    ]
    for file in files:
        asked += ["-f", str(file)]
    offline = {**os.environ, "LOG_LEVEL": "ERROR"}
    return subprocess.run(asked, capture_output=True, text=True, timeout=600, env=offline)


def test_checkov_finds_nothing_but_what_is_explained(tmp_path: Path) -> None:
    # All in one go: it takes long to start.
    files = [render(overlay, tmp_path) for overlay in OVERLAYS]
    done = checkov(*files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_checkov_sees_a_container_that_may_become_root(tmp_path: Path) -> None:
    text = (K8S / "base/statefulset.yaml").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"))
    done = checkov(wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "CKV_K8S_20" in done.stdout, done.stdout


def test_each_probe_asks_another_question_and_the_node_answers_it() -> None:
    served = (CHECKOUT / "node/src/server/web.rs").read_text()
    for pod in pods():
        container = pod["containers"][0]
        paths = [container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert paths == ["/healthz/startup", "/healthz/live", "/healthz/ready"]
        assert all(f'"{path}"' in served for path in paths)
        # The listeners have a certificate, so they speak nothing else.
        assert {container[probe]["httpGet"]["scheme"] for probe in container if probe.endswith("Probe")} == {"HTTPS"}
        # A log that takes long to read must not be mistaken for a node that hangs.
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 300


def test_a_pod_is_nobody_and_writes_nowhere_but_to_its_volumes() -> None:
    image = (CHECKOUT / "deploy/Dockerfile").read_text()
    for pod in pods():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in image
        allowed = container["securityContext"]
        assert allowed["readOnlyRootFilesystem"] is True
        assert allowed["allowPrivilegeEscalation"] is False
        assert allowed["capabilities"] == {"drop": ["ALL"], "add": ["SYS_PTRACE"]}
        assert "hostPath" not in json.dumps(pod)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    (account,) = of_kind(base(), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert {pod["serviceAccountName"] for pod in pods()} == {account["metadata"]["name"]}


def test_the_voters_find_each_other_by_names_that_exist_before_they_are_ready() -> None:
    headless = next(service for service in of_kind(base(), "Service") if service["spec"].get("clusterIP") == "None")
    assert headless["spec"]["publishNotReadyAddresses"] is True
    spec = voters()["spec"]
    assert spec["serviceName"] == headless["metadata"]["name"]
    # One after the other nobody would ever be ready.
    assert spec["podManagementPolicy"] == "Parallel"
    names = [f"{voters()['metadata']['name']}-{number}" for number in range(spec["replicas"])]
    found = [settings(spec["template"]["spec"], name) for name in names]
    advertised = [one["DSPEX_PEERS__ADVERTISE"] for one in found]
    assert advertised == [f"{name}.{headless['metadata']['name']}.dspex.svc:7410" for name in names]
    for one in found:
        assert one["DSPEX_CLUSTER__JOIN"].split(",") == advertised
        assert int(one["DSPEX_CLUSTER__BOOTSTRAP_EXPECT"]) == spec["replicas"]
    assert len({one["DSPEX_PEERS__CERTIFICATE"] for one in found}) == len(names)
    for pod in pods():
        assert settings(pod, "dspex-7")["DSPEX_CLUSTER__JOIN"].split(",") == advertised


@pytest.mark.parametrize("kind", ["voter", "worker"])
def test_the_program_takes_the_settings_of_the_pods(kind: str, program: Path, tmp_path: Path) -> None:
    pod = pods()[0 if kind == "voter" else 1]
    schema = subprocess.run(
        [program, "config", "schema"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    if kind == "worker" and "role" not in json.loads(schema)["properties"]["node"]["properties"]:
        pytest.skip("this program has no node.role")
    file = tmp_path / "dspex.toml"
    image = (CHECKOUT / "deploy/image/dspex.toml").read_text()
    file.write_text(image.replace("/opt/dspex/bin/python", sys.executable).replace("/var/lib/dspex", str(tmp_path)))
    made = [
        program,
        "cert",
        "init",
        "--directory",
        tmp_path / "made",
        "--node",
        "dspex-0=dspex-0.dspex-peers.dspex.svc",
    ]
    subprocess.run(made, capture_output=True, timeout=60, check=True)
    certificates = tmp_path / "certs"
    certificates.mkdir()
    shutil.copy(tmp_path / "made/ca.pem", certificates)
    for name in ("node", "dspex-0"):
        for kind_of_file in ("pem", "key"):
            shutil.copy(tmp_path / f"made/dspex-0/node.{kind_of_file}", certificates / f"{name}.{kind_of_file}")
    there = {
        name: value.replace("/etc/dspex/certs", str(certificates)) for name, value in settings(pod, "dspex-0").items()
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **there}
    asked = [str(program), "config", "validate", str(file)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    environment["DSPEX_CLUSTER__BOOTSTRAP_EXPECTED"] = "3"
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 2, "a key that does not exist went unseen"


def test_a_kubernetes_node_is_drained_of_one_voter_at_a_time() -> None:
    (budget,) = of_kind(base(), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert voters()["spec"]["replicas"] % 2 == 1
    labels = voters()["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_a_voter_has_the_time_to_hand_over_and_to_end() -> None:
    for pod in pods():
        (container,) = pod["containers"]
        command, wait = container["lifecycle"]["preStop"]["exec"]["command"]
        assert f"/usr/local/bin/{command}" not in (CHECKOUT / "deploy/Dockerfile").read_text()
        assert (CHECKOUT / "deploy/image" / command).is_file()
        # The wait, the drain, the three other commands, and what node/src/life.rs gives everything that ends.
        drain = int(re.findall(r"^DRAIN_SECONDS = (\d+)$", (CHECKOUT / "deploy/image" / command).read_text(), re.M)[0])
        assert pod["terminationGracePeriodSeconds"] >= int(wait) + (drain + 15) + 3 * 15 + 30


def test_prod_has_nodes_without_a_vote_and_dev_has_none(tmp_path: Path) -> None:
    assert not of_kind(documents(render("dev", tmp_path)), "Deployment")
    found = documents(render("prod", tmp_path))
    (workers,) = of_kind(found, "Deployment")
    (rendered_voters,) = of_kind(found, "StatefulSet")
    labels = workers["spec"]["template"]["metadata"]["labels"]
    assert workers["spec"]["selector"]["matchLabels"].items() <= labels.items()
    # The Services and the budget of the voters must not take them for voters.
    selector = rendered_voters["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= labels.items()
    assert not any(service["spec"]["selector"].items() <= labels.items() for service in of_kind(found, "Service"))
    budgets = {budget["metadata"]["name"]: budget["spec"] for budget in of_kind(found, "PodDisruptionBudget")}
    assert budgets["dspex-workers"]["selector"]["matchLabels"].items() <= labels.items()
    assert not budgets["dspex"]["selector"]["matchLabels"].items() <= labels.items()
    assert workers["spec"]["replicas"] >= 2
    (container,) = workers["spec"]["template"]["spec"]["containers"]
    assert container["image"] == rendered_voters["spec"]["template"]["spec"]["containers"][0]["image"]
    assert all({"cpu", "memory"} <= container["resources"][kind].keys() for kind in ("requests", "limits"))


def test_a_node_without_a_vote_is_drained_by_a_voter_that_it_reaches(tmp_path: Path) -> None:
    found = documents(render("prod", tmp_path))
    (workers,) = of_kind(found, "Deployment")
    pod = workers["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = settings(pod, "dspex-workers-1")
    # What the command reads.
    command = container["lifecycle"]["preStop"]["exec"]["command"][0]
    read = re.findall(r'os\.environ(?:\.get\(|\[)"(\w+)"', (CHECKOUT / "deploy/image" / command).read_text())
    assert len(set(read)) == 4
    assert set(read) <= environment.keys()
    assert environment["DSPEX_NODE__NAME"] == "dspex-workers-1"

    # The Service for callers, which has voters that are ready, by a name in their certificates.
    host, _, port = environment["DSPEX_DRAIN_ADDRESS"].partition(":")
    (service,) = (
        service for service in of_kind(found, "Service") if f"{service['metadata']['name']}.dspex.svc" == host
    )
    assert service["spec"].get("clusterIP") != "None"
    assert int(port) in [entry["port"] for entry in service["spec"]["ports"]]
    assert f",{host};" in (CHECKOUT / "docs/src/how-to/kubernetes.md").read_text()

    # The token is mounted, where there is one: the first pods start before the cluster can make it.
    file = Path(environment["DSPEX_DRAIN_TOKEN_FILE"])
    (name,) = (mount["name"] for mount in container["volumeMounts"] if Path(mount["mountPath"]) == file.parent)
    (volume,) = (volume["secret"] for volume in pod["volumes"] if volume["name"] == name)
    assert volume["optional"] is True
    assert volume["secretName"] in (CHECKOUT / "docs/src/how-to/kubernetes.md").read_text()

    # Who may call whom at that port, in both directions.
    policies = [policy["spec"] for policy in of_kind(found, "NetworkPolicy")]
    labels = {
        "voter": of_kind(found, "StatefulSet")[0]["spec"]["template"]["metadata"]["labels"],
        "worker": workers["spec"]["template"]["metadata"]["labels"],
    }

    def allowed(of: str, way: str, end: str, other: str) -> bool:
        rules = [rule for spec in policies if selects(spec["podSelector"], labels[of]) for rule in spec.get(way, [])]
        here = [rule for rule in rules if int(port) in [entry["port"] for entry in rule["ports"]]]
        peers = [peer for rule in here for peer in rule[end] if peer.keys() == {"podSelector"}]
        return any(selects(peer["podSelector"], labels[other]) for peer in peers)

    assert allowed("worker", "egress", "to", "voter")
    assert allowed("voter", "ingress", "from", "worker")
    assert not allowed("worker", "ingress", "from", "voter"), "nobody calls a node without a vote"


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def test_programs_reach_language_models_and_no_metadata_service() -> None:
    (policy,) = of_kind(base(), "NetworkPolicy")
    spec = policy["spec"]
    assert spec["podSelector"] == {}
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    # Nobody is let in from everywhere, and nothing is let out to every port.
    assert all(rule["from"] and rule["ports"] for rule in spec["ingress"])
    assert all(rule["to"] and rule["ports"] for rule in spec["egress"])
    blocks = [to["ipBlock"] for rule in spec["egress"] for to in rule["to"] if "ipBlock" in to]
    assert [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"]
    assert "169.254.0.0/16" in blocks[0]["except"]
    assert "fd00:ec2::/32" in blocks[1]["except"]


def test_an_overlay_keeps_what_the_base_promises(rendered: Path) -> None:
    found = documents(rendered)
    (namespace,) = of_kind(found, "Namespace")
    inside = [document for document in found if document["kind"] != "Namespace"]
    # Keys and tokens are made by an operator, and are in no file here.
    assert not of_kind(found, "Secret")
    assert {document["metadata"]["namespace"] for document in inside} == {namespace["metadata"]["name"]}
    (rendered_voters,) = of_kind(found, "StatefulSet")
    pod = rendered_voters["spec"]["template"]["spec"]
    assert settings(pod, "dspex-0") == settings(voters()["spec"]["template"]["spec"], "dspex-0")
    assert pod["containers"][0]["securityContext"] == pods()[0]["containers"][0]["securityContext"]
    assert pod["containers"][0]["image"].partition(":")[2]
    labels = rendered_voters["spec"]["template"]["metadata"]["labels"]
    for service in of_kind(found, "Service"):
        assert service["spec"]["selector"].items() <= labels.items()
    for constraint in pod["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
