"""A manifest as an in-toto statement and as a bill of materials, read back with the standards' own libraries."""

from __future__ import annotations

import json

import pytest
from cyclonedx.model.bom import Bom
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from tests.support.command import CHECKOUT, invoke
from tritonize import repository
from tritonize.provenance import bom, statement

VERSION = CHECKOUT / "model_repository" / "first" / "1"


@pytest.fixture(scope="module")
def manifest() -> repository.Manifest:
    return repository.read_manifest(VERSION)


def test_the_statement_is_valid_and_names_what_triton_reads(manifest: repository.Manifest) -> None:
    text = statement.slsa(manifest)
    parsed = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    served = {each.name: each.digest["sha256"] for each in parsed.subject}
    assert served == {
        name: repository.sha256(VERSION.parent / name) for name in ("1/model.onnx", "config.pbtxt")
    }  # as they are in the repository
    plain = json.loads(text)
    assert plain["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = plain["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["spec"] == manifest["spec"]
    sources = {each["name"]: each["digest"]["sha256"] for each in definition["resolvedDependencies"] if "name" in each}
    assert sources == dict(manifest["source"]["sha256"])
    assert {"uri": f"pkg:pypi/onnx@{manifest['versions']['onnx']}"} in definition["resolvedDependencies"]


def test_the_bill_of_materials_is_read_back(manifest: repository.Manifest) -> None:
    text = bom.cyclonedx(manifest)
    assert text == bom.cyclonedx(manifest)
    plain = json.loads(text)
    assert (plain["bomFormat"], plain["specVersion"]) == ("CycloneDX", "1.6")
    read = Bom.from_json(plain)
    read.validate()
    model = read.metadata.component
    assert model is not None
    assert (model.type.value, model.name, model.version) == ("machine-learning-model", "first", "1")
    assert {each.name for each in model.components} == {"1/model.onnx", "config.pbtxt"}
    assert {each.name for each in read.components} >= {"onnx", "onnxruntime", "tritonize"}
    assert {each.name: each.value for each in model.properties}["tritonize:verdict"] == "passed"


@pytest.mark.parametrize("form", ["slsa", "cyclonedx"])
def test_the_command_prints_it(form: str, manifest: repository.Manifest) -> None:
    done = invoke("provenance", str(VERSION.parents[1]), "first", "--version", "1", "--format", form)
    assert done.returncode == 0, done.stderr
    expected = statement.slsa(manifest) if form == "slsa" else bom.cyclonedx(manifest)
    assert json.loads(done.stdout) == json.loads(expected)
