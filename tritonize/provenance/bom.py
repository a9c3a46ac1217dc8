"""A bill of materials of a version in CycloneDX's form (ML-BOM, specification 1.6): the model, its source and the packages.

The library has no model card yet, so what one would say about inputs, outputs and measured errors are properties of the model.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any  # Any: JSON of a manifest

from tritonize.core.errors import require
from tritonize.provenance import statement
from tritonize.repository.manifest import Manifest, own_sha256

_NAMESPACE = uuid.UUID("6f2b8f0e-3b53-4c8e-9f5a-6a1e2d0c7b11")
"""Namespace of the serial numbers, chosen at random: the same version always gets the same number."""


def cyclonedx(manifest: Manifest) -> str:
    """Return the bill of materials as JSON.

    Raises:
        MissingError: the package `cyclonedx-python-lib` is not installed.
    """
    require("cyclonedx", extra="sign")
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    facts: Mapping[str, Any] = manifest

    def file(name: str, sha256: str) -> Component:
        return Component(
            name=name,
            type=ComponentType.FILE,
            bom_ref=f"file:{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        )

    model = Component(
        name=facts["model"],
        version=str(facts["version"]),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{facts['model']}",
        components=[file(*each) for each in statement.served_files(manifest).items()],
        properties=[Property(name=f"tritonize:{name}", value=value) for name, value in _properties(facts)],
    )
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, own_sha256(manifest)))
    bom.metadata.timestamp = datetime.fromisoformat(facts["created"])
    bom.metadata.component = model
    sources = [file(name, sha256) for name, sha256 in sorted(facts["source"]["sha256"].items())]
    packages = [
        Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"package:{name}",
            purl=PackageURL("pypi", name=name, version=version),
        )
        for name, version in sorted(facts["versions"].items())
        if name != "python"
    ]
    for component in (*sources, *packages):
        bom.components.add(component)
    bom.register_dependency(model, [*sources, *packages])
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return text


def _properties(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a model card would say, as far as the manifest knows it."""
    onnx = facts.get("onnx", {})
    tensors = [
        (f"{kind}:{each['name']}", f"{each['dtype']} {'x'.join(map(str, each['shape']))}")
        for kind, key in (("input", "inputs"), ("output", "outputs"))
        for each in onnx.get(key, ())
    ]
    largest: dict[str, float] = {}
    for row in facts.get("verification", ()):
        if row.get("max_abs") is not None:
            largest[row["output"]] = max(largest.get(row["output"], 0.0), row["max_abs"])
    return [
        ("verdict", str(facts["verdict"])),
        ("source-kind", str(facts["source"]["kind"])),
        ("parameters", str(facts.get("parameters", ""))),
        ("precision", str(onnx.get("precision", ""))),
        *tensors,
        *((f"largest-error:{output}", f"{value:.3g}") for output, value in sorted(largest.items())),
    ]
