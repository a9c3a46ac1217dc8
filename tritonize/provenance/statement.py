"""A version's manifest as an in-toto statement with SLSA provenance.

Sources: in-toto Attestation Framework v1 (https://in-toto.io/Statement/v1) and SLSA v1.0 provenance
(https://slsa.dev/spec/v1.0/provenance).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # Any: JSON of the standards

from tritonize.core.errors import require
from tritonize.repository.manifest import EVIDENCE, Manifest

PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:tritonize:run:v1"
"""The type of build: `tritonize run`, whose parameters are the model's part of the spec."""
BUILDER = "urn:tritonize:builder"


def slsa(manifest: Manifest) -> str:
    """Return the statement as JSON. Its subjects are the files that Triton reads.

    Raises:
        MissingError: the package `in-toto-attestation` is not installed.
    """
    require("in_toto_attestation", extra="sign")
    from google.protobuf import json_format
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    subjects = [ResourceDescriptor(name=name, digest={"sha256": sha256}).pb for name, sha256 in served_files(manifest).items()]
    statement = Statement(subjects, PREDICATE, _predicate(manifest))
    statement.validate()
    text: str = json_format.MessageToJson(statement.pb, indent=2)
    return text


def served_files(manifest: Manifest) -> dict[str, str]:
    """Return the files of a version that Triton reads: path inside the model's directory to SHA-256."""
    own = f"{manifest['version']}/{EVIDENCE}/"
    return {name: str(each["sha256"]) for name, each in sorted(manifest["files"].items()) if not name.startswith(own)}


def _predicate(manifest: Manifest) -> dict[str, Any]:
    facts: Mapping[str, Any] = manifest
    sources = [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(facts["source"]["sha256"].items())]
    packages = [{"uri": package_url(*each)} for each in sorted(facts["versions"].items()) if each[0] != "python"]
    reports = {name: each for name, each in facts["files"].items() if name.endswith(f"/{EVIDENCE}/report.json")}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"model": facts["model"], "spec": facts["spec"], "target": facts.get("target", {})},
            "internalParameters": {"python": facts["versions"].get("python", "")},
            "resolvedDependencies": [*sources, *packages],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"tritonize": facts["versions"].get("tritonize", "")}},
            "metadata": {"finishedOn": facts["created"]},
            "byproducts": [{"name": name, "digest": {"sha256": each["sha256"]}} for name, each in reports.items()],
        },
    }


def package_url(name: str, version: str) -> str:
    """Return the package URL of a Python package, such as `pkg:pypi/torch@2.13.0%2Bcpu` (https://github.com/package-url)."""
    return f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
