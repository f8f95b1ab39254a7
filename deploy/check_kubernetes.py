"""Whether what deploy/kubernetes renders to is what Kubernetes, Prometheus and its operator read, and is safe.

    python deploy/check_kubernetes.py

Needs kubectl, and of PyPI kubernetes-validate, cloudcoil-models-prometheus-operator, promql-parser and checkov. Asks no
network. The alerts' own cases are run where Prometheus's promtool is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

KUBERNETES = Path(__file__).parent / "kubernetes"
ALERTS_TEST = KUBERNETES / "components/monitoring/alerts_test.yaml"
# The oldest that has all fields switched on (preStop.sleep is the youngest of them), and newer ones.
VERSIONS = ("1.30", "1.33", "1.37")
OPERATOR = "monitoring.coreos.com/"

WAIVED = {
    "CKV_K8S_15": "pulls not Always: tags are versions and never move, and an image may be in a node and no registry",
    "CKV_K8S_35": "a password in a variable: libpq ignores a password file that a group may read, as a mounted one is",
    "CKV_K8S_40": "a UID below 10000: 1034 is the one that BentoML gives its images, and owns their files",
    "CKV_K8S_43": "no digest: whoever builds the image has it, and sets it with `kustomize edit set image`",
}


class CheckFailed(Exception):
    """Something is missing, or doesn't fit."""


def main() -> int:
    try:
        kubectl = tool("kubectl", "Install kubectl.")
        with tempfile.TemporaryDirectory() as folder:
            rendered = {name: render(kubectl, place) for name, place in kustomizations(Path(folder))}
        for check in (
            check_kinds,
            check_schemas,
            check_operator_schemas,
            check_expressions,
            check_alerts,
            check_policies,
        ):
            print(f"{check.__name__.removeprefix('check_').replace('_', ' ')}: {check(rendered)}", flush=True)
    except CheckFailed as failure:
        print(f"check_kubernetes: {failure}", file=sys.stderr)
        return 1
    return 0


def tool(name: str, remedy: str) -> str:
    """Its path. Raises CheckFailed."""
    beside = Path(sys.executable).parent / name  # in the environment that runs this
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise CheckFailed(f"There is no {name}. {remedy}")
    return found


def run(*command: str, check: bool = True, **environment: str) -> str:
    """Its output. Raises CheckFailed."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})  # noqa: S603 — ours
    if check and done.returncode:
        raise CheckFailed(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def kustomizations(folder: Path) -> Iterator[tuple[str, Path]]:
    """All that can be applied, by name: what is here, and each component over each overlay, which `folder` is for."""
    for file in sorted(KUBERNETES.rglob("kustomization.yaml")):
        name = str(file.parent.relative_to(KUBERNETES))
        if yaml.safe_load(file.read_text(encoding="utf-8"))["kind"] == "Kustomization" and name != "base":
            yield name, file.parent
    components = sorted(path.name for path in (KUBERNETES / "components").iterdir())
    for overlay, component in product(("cpu", "gpu"), components):
        place = folder / f"{overlay}-{component}"
        place.mkdir()
        document = {
            "resources": [os.path.relpath(KUBERNETES / "overlays" / overlay, place.resolve())],
            "components": [os.path.relpath(KUBERNETES / "components" / component, place.resolve())],
        }
        (place / "kustomization.yaml").write_text(json.dumps(document), encoding="utf-8")
        yield f"{overlay} + {component}", place


def render(kubectl: str, place: Path) -> list[Document]:
    return list(yaml.safe_load_all(run(kubectl, "kustomize", str(place))))


Rendered = Mapping[str, list[Document]]


def of_operator(document: Document) -> bool:
    return str(document["apiVersion"]).startswith(OPERATOR)


def named(where: str, document: Document) -> str:
    return f"{where}: {document['kind']} {document['metadata']['name']}"


def check_kinds(rendered: Rendered) -> str:
    """No secrets are among them."""
    for where, documents in rendered.items():
        for document in documents:
            if document["kind"] == "Secret":
                raise CheckFailed(f"{named(where, document)} would be committed. Make it with kubectl create secret.")
    counts = Counter(document["kind"] for documents in rendered.values() for document in documents)
    return f"{len(rendered)} renderings, {counts.total()} objects of {len(counts)} kinds"


def check_schemas(rendered: Rendered) -> str:
    """Kubernetes' own, in which no unknown field is allowed."""
    from kubernetes_validate import InvalidSchemaError, SchemaNotFoundError, ValidationError, validate  # type: ignore[import-not-found]

    count = 0
    for version, (where, documents) in product(VERSIONS, rendered.items()):
        for document in documents:
            if of_operator(document):
                continue
            try:
                validate(document, version, strict=True)
            except (InvalidSchemaError, SchemaNotFoundError, ValidationError) as error:
                raise CheckFailed(f"{named(where, document)} doesn't fit Kubernetes {version}: {error}") from error
            count += 1
    return f"{count} objects fit, of Kubernetes {', '.join(VERSIONS)}"


def check_operator_schemas(rendered: Rendered) -> str:
    """Those of the Prometheus operator, likewise."""
    from importlib.metadata import version

    from cloudcoil.models.prometheus_operator import v1  # type: ignore[import-not-found]
    from jsonschema import Draft202012Validator

    kinds = {"ServiceMonitor": v1.ServiceMonitor, "PrometheusRule": v1.PrometheusRule}
    validators = {kind: Draft202012Validator(closed(model.model_json_schema())) for kind, model in kinds.items()}
    count = 0
    for where, documents in rendered.items():
        for document in filter(of_operator, documents):
            for error in validators[document["kind"]].iter_errors(document):
                raise CheckFailed(f"{named(where, document)}, {error.json_path}: {error.message}")
            count += 1
    return f"{count} objects fit, of Prometheus operator {version('cloudcoil.models.prometheus_operator')}"


def closed(schema: Any) -> Any:
    """The schema, but no object in it may have properties that it doesn't name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **found} if isinstance(found.get("properties"), dict) else found


def rules(rendered: Rendered) -> dict[str, Any]:
    """The rules of all renderings, which have them from one file."""
    found = [each["spec"] for documents in rendered.values() for each in documents if each["kind"] == "PrometheusRule"]
    if any(spec != found[0] for spec in found):
        raise CheckFailed("The renderings have different alerts.")
    spec: dict[str, Any] = found[0]
    return spec


def check_expressions(rendered: Rendered) -> str:
    """Alerts are PromQL, with types that fit."""
    import promql_parser  # type: ignore[import-not-found]

    expressions = {rule["alert"]: rule["expr"] for group in rules(rendered)["groups"] for rule in group["rules"]}
    for alert, expression in expressions.items():
        try:
            promql_parser.parse(expression)
        except ValueError as error:
            raise CheckFailed(f"{alert}: {error}") from error
    return f"{len(expressions)} alerts are PromQL"


def check_alerts(rendered: Rendered) -> str:
    """They fire when they should."""
    promtool = shutil.which("promtool")
    if promtool is None:
        return "NOT RUN: there is no promtool (Debian: prometheus)"
    with tempfile.TemporaryDirectory() as folder:
        groups = Path(folder) / "alerts_groups.yaml"
        groups.write_text(yaml.safe_dump(rules(rendered)), encoding="utf-8")
        cases = Path(shutil.copy(ALERTS_TEST, folder))
        run(promtool, "check", "rules", str(groups))
        run(promtool, "test", "rules", str(cases))
    return f"{len(yaml.safe_load(ALERTS_TEST.read_text(encoding='utf-8'))['tests'])} cases pass"


def check_policies(rendered: Rendered) -> str:
    """checkov's policies, but for those that are waived, each with its reason; no waiver that nothing needs."""
    checkov = tool("checkov", "Install checkov into this environment.")
    with tempfile.TemporaryDirectory() as folder:
        for number, documents in enumerate(rendered.values()):
            (Path(folder) / f"{number}.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        command = [checkov, "--directory", folder, "--framework", "kubernetes", "--output", "json", "--compact"]
        report = json.loads(run(*command, "--skip-download", check=False))
    failed = report["results"]["failed_checks"]
    needed = {each["check_id"] for each in failed}
    if report["summary"]["parsing_errors"]:
        raise CheckFailed(f"checkov can't read {report['results']['parsing_errors']}")
    if needed - set(WAIVED):
        told = {f"{each['check_id']} {each['check_name']}: {each['resource']}" for each in failed}
        raise CheckFailed("\n".join(sorted(line for line in told if line.split()[0] not in WAIVED)))
    if set(WAIVED) - needed:
        raise CheckFailed(f"Nothing needs these waivers any more: {sorted(set(WAIVED) - needed)}. Take them out.")
    told_of = "".join(f"\n  {name}: {reason}" for name, reason in WAIVED.items())
    return f"{report['summary']['passed']} of checkov's checks pass, {len(WAIVED)} kinds are waived{told_of}"


if __name__ == "__main__":
    sys.exit(main())
