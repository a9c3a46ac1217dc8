"""Validate deployment files offline: Kubernetes's own kinds, custom resources by their definitions, and compose files.

`tests/support/crds` has the definitions' schemas with their origin. Kubernetes drops fields that a definition does not have, so an
unknown field is a fault here.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CRDS = Path(__file__).parent / "crds"
OLDEST, NEWEST = "1.29", "1.37"


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML file, which must not have a key twice."""
    return [each for each in yaml.load_all(text, _UniqueKeys) if each is not None]


class _UniqueKeys(yaml.CSafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        assert len(keys) == len(set(keys)), keys
        return super().construct_mapping(node, deep)


def validate_object(found: dict[str, Any]) -> None:
    """Raise if an object of Kubernetes or a known custom resource is invalid."""
    for path in CRDS.iterdir():
        known = json.loads(path.read_text())
        if found["kind"] == known["kind"]:
            assert found["apiVersion"] == f"{known['group']}/{known['version']}"
            jsonschema.Draft202012Validator(_closed(known["schema"])).validate(found)
            return
    for version in (OLDEST, NEWEST):
        kubernetes_validate.validate(found, version, strict=True)


def _closed(schema: Any) -> Any:
    """A structural schema as a JSON Schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        closed["additionalProperties"] = False
    return closed


def validate_compose(found: dict[str, Any]) -> None:
    """Raise if a compose file is invalid."""
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    assert spec.origin is not None
    schema = Path(spec.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    rules = json.loads(schema.read_text())
    jsonschema.validators.validator_for(rules)(rules).validate(found)
