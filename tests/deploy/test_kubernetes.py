"""The manifests agree with the code, with a running server and with each other. deploy/check_kubernetes.py asks whether
Kubernetes reads them."""

from __future__ import annotations

import itertools
import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bentoml
import httpx
import pytest
import yaml
from bentoml._internal.configuration.containers import BentoMLContainer

from phototriage.cli import command as cli
from phototriage.server.connections import DRAIN_SECONDS, LINGER_SECONDS
from phototriage.server.http_api import HttpApi
from phototriage.server.receiving import MAX_UPLOADS
from phototriage.server.serving import STUCK_DEADLINES
from phototriage.server.work_queue import WAITING_PER_THREAD
from phototriage.settings import PREFIX, Settings, read_settings
from tests.deploy.test_dashboard import OF_THE_SCRAPE, metrics
from tests.http_clients import RED, values
from tests.running_server import ROOT, SECONDS, Server

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
README = DEPLOY / "README.md"
IN_IMAGE = Path("/home/bentoml/bento/src")  # where BentoML's image has what bentofile.yaml includes
USER = 1034  # BentoML's
NOT_OURS = {"CUDA_CACHE_PATH": "of CUDA's driver"}
OF_KUBERNETES = OF_THE_SCRAPE | {"namespace", "pod"}
EXIT_SECONDS = 10  # for a process that has answered all it owes
MEGABYTE = 1_000_000
# Seen on the shipped models: all four loaded; a PNG of 50 megapixels, 16 bits and an alpha channel while it is decoded.
MODELS_BYTES, DECODING_BYTES = 1100 * MEGABYTE, 670 * MEGABYTE
KEY, SCRAPE = "a-caller's-own-key", "the-key-of-prometheus"

READ_ONLY = """
set -e
mount --bind "$PHOTOTRIAGE_MODELS_DIRECTORY" /mnt
exec 9< "$PWD"
for place in $WRITABLE; do mount -t tmpfs -o size=64m tmpfs "$place"; done
# A checkout below one of these is hidden now: have it there again.
[ -d "$PWD/tests" ] || { mkdir -p "$PWD"; mount --no-canonicalize --bind /proc/self/fd/9 "$PWD"; cd "$PWD"; }
while read -r _ _ _ _ place _; do
  case " $WRITABLE " in *" $place "*) ;; *) mount -o remount,bind,ro "$place" 2> /dev/null || true ;; esac
done < /proc/self/mountinfo
! touch "$PWD/written" 2> /dev/null || exit 9
export PHOTOTRIAGE_MODELS_DIRECTORY=/mnt
exec "$@"
"""

Document = dict[str, Any]


def documents(path: str) -> list[Any]:
    return list(yaml.safe_load_all((KUBERNETES / path).read_text(encoding="utf-8")))


def variables(path: str) -> dict[str, str]:
    lines = (KUBERNETES / path).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


(DEPLOYMENT,) = documents("base/deployment.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
SETTINGS = variables("base/settings.env")
(CRON_JOB,) = documents("batch/cron_job.yaml")
BATCH_POD = CRON_JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
(BATCH,) = BATCH_POD["containers"]
(LOADER,) = documents("models-loader/pod.yaml")
(MONITOR,) = documents("components/monitoring/service_monitor.yaml")
(ALERTS,) = documents("components/monitoring/alerts.yaml")
RULES = {rule["alert"]: rule for group in ALERTS["spec"]["groups"] for rule in group["rules"]}
QUEUE_DEPTH: Document = documents("components/queue-depth/autoscaler.yaml")[0][0]
(ADAPTER,) = documents("components/queue-depth/adapter_values.yaml")[0]["rules"]["custom"]
(SERVICE,) = documents("base/service.yaml")
PODS = {"server": POD, "batch": BATCH_POD, "loader": LOADER["spec"]}
PROBES = ["startupProbe", "readinessProbe", "livenessProbe"]


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) << {"Mi": 20, "Gi": 30}[quantity[-2:]]


def emptied(pod: Document) -> list[str]:
    """Where a pod's container can write what is gone with it."""
    names = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    return [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] in names]


UNSHARE = ["unshare", "--mount", "--propagation", "private"]


def may_unshare() -> bool:
    """Linux's unshare, and the right to it, which root has, but not in every container."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def environment(models_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As a pod has it, but for the places of what is mounted."""
    folder = tmp_path_factory.mktemp("pod")
    (folder / "keys").write_text(f"{KEY}\n{SCRAPE}\n", encoding="utf-8")
    places = {
        "PHOTOTRIAGE_MODELS_DIRECTORY": str(models_directory),
        "PHOTOTRIAGE_API_KEYS_FILE": str(folder / "keys"),
        "BENTOML_HOME": str(folder / "bentoml"),
    }
    return {**SETTINGS, **places, "BENTOML_CONTAINERIZED": "true"}


@pytest.fixture(scope="module")
def server(
    models_directory: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    environment = {name: value for name, value in environment.items() if name != "PHOTOTRIAGE_MODELS_DIRECTORY"}
    environment["PHOTOTRIAGE_COLLECTIONS"] = str(tmp_path_factory.mktemp("collections"))
    server = Server(tmp_path_factory.mktemp("server"), models_directory, **environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.end()


def ask(server: Server, method: str, path: str, key: str | None = None, content: bytes | None = None) -> httpx.Response:
    headers = {"content-type": "image/png"} | ({"authorization": f"Bearer {key}"} if key else {})
    return httpx.request(method, server.address + path, content=content, headers=headers, timeout=SECONDS)


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_has_no_rights(pod: Document) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    of_all = pod["securityContext"]
    assert (of_all["runAsNonRoot"], of_all["runAsUser"], of_all["runAsGroup"], of_all["fsGroup"]) == (True, *[USER] * 3)
    assert of_all["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"].keys() == {"requests", "limits"}


def test_the_user_is_that_of_bentoml_images() -> None:
    constants = Path(bentoml.__file__).parent / "_internal/container/generate.py"
    assert re.search(rf"\bBENTO_UID_GID = {USER}\b", constants.read_text(encoding="utf-8"))


def test_every_variable_is_read_by_someone() -> None:
    given = {*SETTINGS, *variables("overlays/gpu/settings.env"), *(each["name"] for each in BATCH["env"])} - {"RUN"}
    ours = {PREFIX + field.upper() for field in Settings.model_fields}
    assert {name for name in given if name.startswith(PREFIX)} <= ours
    sources = [path.read_text(encoding="utf-8") for path in Path(bentoml.__file__).parent.rglob("*.py")]
    for name in given - ours - set(NOT_OURS):
        assert any(f'"{name}"' in source for source in sources), name


@pytest.mark.parametrize("overlay", [{}, variables("overlays/gpu/settings.env")], ids=["base", "gpu"])
def test_the_settings_fit(overlay: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SETTINGS, **overlay}.items():
        monkeypatch.setenv(name, value)
    found = read_settings()
    assert found.workers == 1
    assert found.provider == ("cuda" if overlay else "cpu")


def test_what_the_variables_point_to_is_mounted_or_in_the_image() -> None:
    volumes, mounts = (
        {each["name"]: each for each in all_of} for all_of in (POD["volumes"], CONTAINER["volumeMounts"])
    )
    keys = Path(SETTINGS["PHOTOTRIAGE_API_KEYS_FILE"])
    assert str(keys.parent) == mounts["keys"]["mountPath"]
    assert "subPath" not in mounts["keys"], "changed keys would not arrive"
    assert [item["path"] for item in volumes["keys"]["secret"]["items"]] == [keys.name]
    assert Path(SETTINGS["BENTOML_HOME"]).parent == Path(*emptied(POD))
    included = yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))["include"]
    for where in (SETTINGS, {each["name"]: each.get("value") for each in BATCH["env"]}):
        inside = Path(str(where["PHOTOTRIAGE_MODELS_DIRECTORY"])).relative_to(IN_IMAGE)
        assert f"/{inside}/*/*" in included


def test_a_volume_takes_the_place_of_the_images_models() -> None:
    component = documents("components/models-volume/kustomization.yaml")[0]
    (literal,) = component["configMapGenerator"][0]["literals"]
    pod = documents("components/models-volume/deployment.yaml")[0]["spec"]["template"]["spec"]
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert literal == f"PHOTOTRIAGE_MODELS_DIRECTORY={mount['mountPath']}"
    assert mount["readOnly"] is volume["persistentVolumeClaim"]["readOnly"] is True
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == documents("components/models-volume/claim.yaml")[0]["metadata"]["name"]
    assert claim == LOADER["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert mount["mountPath"] == LOADER["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]


def component(name: str) -> tuple[dict[str, str], Document]:
    """A component's settings, and its patch of the Deployment."""
    (found,) = documents(f"components/{name}/kustomization.yaml")
    literals = dict(literal.split("=", 1) for literal in found["configMapGenerator"][0]["literals"])
    (patch,) = documents(f"components/{name}/deployment.yaml")
    return literals, patch["spec"]


def test_a_folder_of_collections_is_kept_by_one_pod_on_a_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    literals, spec = component("collections-folder")
    for name, value in {**SETTINGS, **literals}.items():
        monkeypatch.setenv(name, value)
    found = read_settings()
    assert found.workers == spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate", "rollingUpdate": None}
    pod = spec["template"]["spec"]
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    # Below the mount: a file system has a folder lost+found of its own.
    assert Path(str(found.collections)).parent == Path(mount["mountPath"])
    (claim,) = documents("components/collections-folder/claim.yaml")
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert "readOnly" not in mount


def test_a_database_is_reached_with_a_password_that_is_nowhere_here(monkeypatch: pytest.MonkeyPatch) -> None:
    literals, spec = component("collections-postgresql")
    for name, value in {**SETTINGS, **literals}.items():
        monkeypatch.setenv(name, value)
    address = urlsplit(str(read_settings().collections))
    assert (address.scheme, address.password) == ("postgresql", None)
    host, namespace = str(address.hostname).split(".")
    (variable,) = spec["template"]["spec"]["containers"][0]["env"]
    secret = variable["valueFrom"]["secretKeyRef"]
    assert (variable["name"], literals["PGSSLMODE"]) == ("PGPASSWORD", "require")
    text = README.read_text(encoding="utf-8")
    assert f"create secret generic {secret['name']} --from-file={secret['key']}=" in text
    (policy,) = documents("components/collections-postgresql/network_policy.yaml")
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    database, names = policy["spec"]["egress"]
    (to,) = database["to"]
    assert to["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": namespace}
    (example,) = re.findall(r"```yaml\n(apiVersion: postgresql.*?)```", text, re.DOTALL)
    made = yaml.safe_load(example)
    assert (made["metadata"]["namespace"], f"{made['metadata']['name']}-rw") == (namespace, host)
    assert to["podSelector"]["matchLabels"] == {"cnpg.io/cluster": made["metadata"]["name"]}
    initial = made["spec"]["bootstrap"]["initdb"]
    assert (initial["owner"], f"/{initial['database']}") == (address.username, address.path)
    assert [port["port"] for port in database["ports"]] == [address.port or 5432]
    assert {(port["protocol"], port["port"]) for port in names["ports"]} == {("UDP", 53), ("TCP", 53)}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("name", ["collections-folder", "collections-postgresql"])
def test_kubectl_renders_collections(name: str, tmp_path: Path) -> None:
    place = tmp_path.resolve()
    kustomization = {
        "resources": [os.path.relpath(KUBERNETES / "overlays/cpu", place)],
        "components": [os.path.relpath(KUBERNETES / "components" / name, place)],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    done = subprocess.run(["kubectl", "kustomize", str(place)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}
    spec, pod = found["Deployment"]["spec"], found["Deployment"]["spec"]["template"]["spec"]
    assert found["ConfigMap"]["data"].keys() >= {*SETTINGS, "PHOTOTRIAGE_COLLECTIONS"}
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    in_folder = name == "collections-folder"
    assert ("HorizontalPodAutoscaler" in found) is not in_folder
    assert (spec["strategy"] == {"type": "Recreate"}) is in_folder
    assert spec.get("replicas") == (1 if in_folder else None)


def test_the_port_is_the_one_that_is_served_and_asked() -> None:
    (port,) = CONTAINER["ports"]
    assert CONTAINER["args"] == ["serve"]
    assert port["containerPort"] == BentoMLContainer.http.port.get()
    named = [SERVICE["spec"]["ports"][0]["targetPort"], *(CONTAINER[probe]["httpGet"]["port"] for probe in PROBES)]
    _, policy = documents("base/network_policies.yaml")
    assert {*named, policy["spec"]["ingress"][0]["ports"][0]["port"]} == {port["name"]}
    assert MONITOR["spec"]["endpoints"][0]["port"] == SERVICE["spec"]["ports"][0]["name"]


def test_labels_find_the_pods_and_the_service() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"].items()
    (budget,) = documents("base/disruption_budget.yaml")
    _, policy = documents("base/network_policies.yaml")
    for selector in (
        DEPLOYMENT["spec"]["selector"],
        budget["spec"]["selector"],
        policy["spec"]["podSelector"],
        *(each["labelSelector"] for each in POD["topologySpreadConstraints"]),
        {"matchLabels": SERVICE["spec"]["selector"]},
    ):
        assert selector["matchLabels"].items() <= labels
        assert not selector["matchLabels"].items() <= CRON_JOB["metadata"]["labels"].items()
    assert MONITOR["spec"]["selector"]["matchLabels"].items() <= SERVICE["metadata"]["labels"].items()


def test_nothing_goes_out_and_only_the_server_is_asked() -> None:
    everything, policy = documents("base/network_policies.yaml")
    assert everything["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert "Egress" in policy["spec"]["policyTypes"]
    assert "egress" not in policy["spec"]
    assert all(each["namespaceSelector"]["matchLabels"] for rule in policy["spec"]["ingress"] for each in rule["from"])


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_answered_without_a_key(server: Server, probe: str) -> None:
    assert ask(server, "GET", CONTAINER[probe]["httpGet"]["path"]).status_code == 200


def test_a_pod_leaves_before_it_is_killed_and_is_killed_after_its_work() -> None:
    deadline = float(SETTINGS["PHOTOTRIAGE_DEADLINE_SECONDS"])
    sleep = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    owed = sleep + DRAIN_SECONDS + deadline + LINGER_SECONDS
    assert POD["terminationGracePeriodSeconds"] >= owed + EXIT_SECONDS
    first, last = (
        [CONTAINER[probe]["periodSeconds"] * CONTAINER[probe]["failureThreshold"]][0] for probe in PROBES[1:]
    )
    assert last >= first + STUCK_DEADLINES * deadline + deadline
    update = DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]
    assert (update["maxUnavailable"], update["maxSurge"]) == (0, 1)
    assert "replicas" not in DEPLOYMENT["spec"]


def test_the_memory_holds_all_that_callers_may_send() -> None:
    limits = CONTAINER["resources"]["limits"]
    threads = int(limits["cpu"])
    uploads = MAX_UPLOADS * int(SETTINGS["PHOTOTRIAGE_MAX_IMAGE_BYTES"])
    queued = threads * (1 + WAITING_PER_THREAD) * int(SETTINGS["PHOTOTRIAGE_MAX_REQUEST_BYTES"])
    (written,) = (bytes_of(each["emptyDir"]["sizeLimit"]) for each in POD["volumes"] if "emptyDir" in each)
    assert bytes_of(limits["memory"]) >= MODELS_BYTES + uploads + queued + threads * DECODING_BYTES + written
    assert CONTAINER["resources"]["requests"]["cpu"] == limits["cpu"]


def test_prometheus_needs_its_key_and_finds_every_series(server: Server) -> None:
    """After a request of each kind that the alerts ask about."""
    (endpoint,) = MONITOR["spec"]["endpoints"]
    assert ask(server, "GET", endpoint["path"]).status_code == 401
    assert ask(server, "POST", "/v1/classify", KEY, RED).status_code == 200
    assert ask(server, "POST", "/v1/models/reload", KEY).status_code == 200
    assert ask(server, "PUT", "/v1/collections/any", KEY).status_code == 200
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nlong: " + b"a" * 70_000)
        assert b" 431 " in connection.recv(100)
    answer = ask(server, "GET", endpoint["path"], SCRAPE)
    assert endpoint["authorization"]["type"] == "Bearer"
    asked = [rule["expr"] for rule in RULES.values()]
    asked += [QUEUE_DEPTH["value"]["pods"]["metric"]["name"], ADAPTER["seriesQuery"], ADAPTER["metricsQuery"]]
    names = set(re.findall(r"\bphototriage_\w+", " ".join(asked)))
    assert len(names) >= 9
    assert names <= {name for name, _ in values(answer.text)}


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_asks_for_labels_that_its_series_have(alert: str) -> None:
    known, routes = metrics(), set(HttpApi().routes)
    expression = RULES[alert]["expr"]
    for name, matchers in re.findall(r"(phototriage_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)=", matchers)) <= known[name] | OF_KUBERNETES
        for pattern in re.findall(r'route=~?"([^"]+)"', matchers):
            assert any(re.fullmatch(pattern, route) for route in routes)
            for each in re.findall(r"\w+(?=[|)])", pattern):
                assert f"/v1/{each}" in routes
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", group)) <= set().union(*known.values()) | OF_KUBERNETES


def test_every_alert_is_explained_and_has_cases_with_and_without_it() -> None:
    cases = documents("components/monitoring/alerts_test.yaml")[0]["tests"]
    tried = [(each["alertname"], bool(each.get("exp_alerts"))) for case in cases for each in case["alert_rule_test"]]
    assert set(tried) == set(itertools.product(RULES, (True, False)))
    explained = re.findall(r"^\| `(Phototriage\w+)`", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert explained == list(RULES)


def test_the_secret_that_is_made_by_hand_has_what_is_asked_of_it() -> None:
    (secret,) = (volume["secret"] for volume in POD["volumes"] if "secret" in volume)
    credentials = MONITOR["spec"]["endpoints"][0]["authorization"]["credentials"]
    assert secret["secretName"] == credentials["name"]
    text = README.read_text(encoding="utf-8")
    assert f"create secret generic {secret['secretName']}" in text
    for key in (credentials["key"], *(item["key"] for item in secret["items"])):
        assert f"--from-file={key}=" in text


class ReadOnly(Server):
    """In a file system where nothing can be written but in the pod's emptyDirs."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._log = folder / "log"
        serve = [sys.executable, "-m", "bentoml", "serve", "service:Phototriage", "--host", "127.0.0.1"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*UNSHARE, "sh", "-c", READ_ONLY, "sh", *serve, "--port", str(self.port)],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, "WRITABLE": " ".join(emptied(POD))},
            )


@pytest.mark.skipif(not may_unshare(), reason="needs the right to a mount namespace of one's own")
def test_the_root_may_be_read_only(environment: dict[str, str], tmp_path: Path) -> None:
    environment = environment | {"BENTOML_HOME": SETTINGS["BENTOML_HOME"], "PHOTOTRIAGE_API_KEYS": KEY + "," + SCRAPE}
    del environment["PHOTOTRIAGE_API_KEYS_FILE"]  # it lies where an emptyDir is now
    server = ReadOnly(tmp_path, environment)
    try:
        server.wait_until_ready()
        assert ask(server, "POST", "/v1/classify", KEY, RED).json()["label"] == "red"
        assert b"phototriage_requests_total" in ask(server, "GET", "/metrics", SCRAPE).content
        assert server.stop() == 0
    finally:
        server.end()
    assert not (ROOT / "written").exists()


def test_the_sizing_table_follows_its_formula() -> None:
    text = README.read_text(encoding="utf-8")
    target = documents("base/autoscaler.yaml")[0]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]
    rows = re.findall(r"^\| (?:classify|triage), [^|]* \| ([\d.]+) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    for rate, pods in rows:
        needed = [max(2, math.ceil(wanted / (target / 100 * float(rate)))) for wanted in (50, 100, 250, 500, 1000)]
        assert [int(each) for each in pods.split(" | ")] == needed


def test_the_adapter_serves_the_metric_that_the_autoscaler_asks_for() -> None:
    assert ADAPTER["name"]["as"] == QUEUE_DEPTH["value"]["pods"]["metric"]["name"]
    assert re.fullmatch(ADAPTER["name"]["matches"], ADAPTER["seriesQuery"].partition("{")[0])
    assert ADAPTER["resources"]["overrides"].keys() == {"namespace", "pod"}
    assert QUEUE_DEPTH["op"] == "add"
    assert QUEUE_DEPTH["path"] == "/spec/metrics/-"


def batch_script(folder: Path) -> str:
    *_, script = BATCH["args"]
    return str(script).replace("$(RUN)", "run").replace("/data", str(folder))


def test_the_batch_job_calls_a_command_that_there_is(tmp_path: Path) -> None:
    assert BATCH["workingDir"] == str(IN_IMAGE)
    command = re.search(r"python -m phototriage\.cli (.*?)\|\|", batch_script(tmp_path))
    assert command
    options = cli.parser().parse_args(shlex.split(command[1]))
    assert (options.command, options.near_duplicates) == ("score", True)
    assert options.output.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("code", "table", "done"), [(0, True, True), (1, True, True), (1, False, False), (2, True, False)]
)
def test_photos_without_scores_do_not_fail_the_batch_job(code: int, table: bool, done: bool, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\n{'echo rows > scores/run.parquet' if table else ''}\nexit {code}\n", encoding="utf-8"
    )
    python.chmod(0o755)
    found = subprocess.run(
        ["sh", "-c", batch_script(tmp_path)], cwd=tmp_path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert (found.returncode == 0) is done


def test_images_have_the_version_as_their_tag() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    for path, variant in {
        "overlays/cpu": "cpu",
        "overlays/gpu": "gpu",
        "batch": "batch",
        "models-loader": "cpu",
    }.items():
        (image,) = documents(f"{path}/kustomization.yaml")[0]["images"]
        assert image == {"name": "phototriage", "newTag": f"{version}-{variant}"}
    for pod in PODS.values():
        assert pod["containers"][0]["image"].startswith(f"phototriage:{version}-")
    assert set(re.findall(r"phototriage:(\d+\.\d+\.\d+)", README.read_text(encoding="utf-8"))) == {version}


RENDERED = [*sorted(path.name for path in (KUBERNETES / "overlays").iterdir()), "../batch", "../models-loader"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("name", RENDERED)
def test_kubectl_renders_it(name: str) -> None:
    done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES / "overlays" / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}
    assert "Secret" not in found
    assert {document["metadata"].get("namespace", "phototriage") for document in found.values()} == {"phototriage"}
    if "Deployment" not in found:
        return
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": found["ConfigMap"]["metadata"]["name"]}}]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    settings = found["ConfigMap"]["data"]
    gpu, production = name == "gpu", name == "production"
    assert settings.keys() >= SETTINGS.keys()
    assert settings["PHOTOTRIAGE_PROVIDER"] == ("cuda" if gpu else "cpu")
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is gpu
    assert (settings["PHOTOTRIAGE_MODELS_DIRECTORY"] == "/models") is production
    scaled_by = [metric["type"] for metric in found["HorizontalPodAutoscaler"]["spec"]["metrics"]]
    assert scaled_by == (["Resource", "Pods"] if production else ["Resource"])
