"""Choose the files of each kind of deployment, and render them."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from tritonize.core import resources
from tritonize.deploy import strict_templates
from tritonize.deploy.deployment import CONFIG_MAP_BYTES, HELM_BYTES, Deployment, Kind

_FILES: Mapping[Kind, Mapping[str, str]] = {
    "image": {
        "Dockerfile": "image/Dockerfile.j2",
        "Dockerfile.verify": "image/Dockerfile.verify.j2",
        ".dockerignore": "image/dockerignore.j2",
    },
    "compose": {
        "compose.yaml": "compose/compose.yaml.j2",
        "Dockerfile.verify": "image/Dockerfile.verify.j2",
        ".dockerignore": "image/dockerignore.j2",
    },
    "kubernetes": {
        f"{name}.yaml": f"kubernetes/{name}.yaml.j2" for name in ("deployment", "service", "hpa", "podmonitor", "verification")
    },
    "kserve": {f"{name}.yaml": f"kserve/{name}.yaml.j2" for name in ("servingruntime", "inferenceservice")},
    "helm": {"Chart.yaml": "helm/Chart.yaml.j2", "values.yaml": "helm/values.yaml.j2"},
}
"""File to its template."""
WITH_MODELS: frozenset[Kind] = frozenset({"image", "compose"})
"""Kinds whose folder has a copy of the models."""
_CHART = "helm/templates"


def render(kind: Kind, deployment: Deployment, golden: Mapping[str, bytes]) -> dict[str, str]:
    """Return the texts of the files: path in the folder to text. Models and golden files are not among them.

    Args:
        kind: the kind of deployment.
        deployment: what the files contain.
        golden: the golden files by the name of their verification.
    """
    values = {
        "d": deployment,
        "golden_in_config_map": golden_in_config_map(kind, deployment),
        "golden": {name: base64.b64encode(content).decode() for name, content in golden.items()},
        "memory_note": memory_note(deployment),
    }
    texts = {name: strict_templates.fill(template, values) for name, template in _FILES[kind].items()}
    if kind == "helm":  # Go templates, the same for every chart
        chart = resources.templates() / "deploy" / _CHART
        texts |= {f"templates/{path.name}": path.read_text(encoding="utf-8") for path in sorted(chart.iterdir())}
    return {name: text for name, text in texts.items() if text.strip()}


def memory_note(deployment: Deployment) -> str:
    """What is known of the memory that the server needs."""
    size = f"The files that Triton loads have {deployment.bytes:,} bytes"
    if deployment.memory_mib is None:
        return f"{size}; the memory of the running models was not measured, so none is requested."
    return f"{size}; ONNX Runtime took at most {deployment.memory_mib} MiB in the proof, with one session for each version."


def golden_in_config_map(kind: Kind, deployment: Deployment) -> bool:
    """Whether the golden files fit into ConfigMaps; if not, the verifications read them from a volume."""
    sizes = [each.bytes for each in deployment.verifications]
    return sum(sizes) <= HELM_BYTES if kind == "helm" else max(sizes, default=0) <= CONFIG_MAP_BYTES
