"""Which versions an ensemble runs, and what changed since it was proven."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from tests.support.command import invoke
from tests.support.plain_versions import publish
from tritonize import repository
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.quality.golden_set import GoldenSet
from tritonize.triton import model_config
from tritonize.workflows import checked_copy, diff_steps, ensemble_steps
from tritonize.workflows.diff_answers import Version
from tritonize.workflows.ensemble_steps import UsedStep

PLACE = Path("model_repository")
ENSEMBLE = (
    'name: "whole"\nplatform: "ensemble"\nmax_batch_size: 2\n'
    'ensemble_scheduling { step [ { model_name: "m" model_version: -1 input_map { key: "a" value: "a" } '
    'output_map { key: "b" value: "b" } } ] }\n'
)


def whole() -> dict[str, object]:
    """Publish a step and an ensemble of it; return the manifest's part about the steps."""
    publish(PLACE, "first")
    steps: dict[str, UsedStep] = {"m": ensemble_steps.used(repository.read_manifest(PLACE / "m" / "1"))}
    publish(PLACE, "", text=ENSEMBLE, name="whole", facts={"steps": steps})
    return {"steps": steps}


def seal() -> None:
    """Let the manifest of the step list the files as they are now."""
    manifest = json.loads((PLACE / "m" / "1" / "evidence" / "manifest.json").read_text())
    facts = {key: value for key, value in manifest.items() if key not in ("files", "sha256")}
    repository.write_manifest(repository.StagedVersion(root=PLACE, model="m", version=1), facts)


def test_an_unchanged_step_has_no_findings_and_its_evidence_is_not_recorded() -> None:
    known = whole()
    assert ensemble_steps.changes(PLACE, "whole", known) == ()
    assert set(known["steps"]["m"]["files"]) == {"config.pbtxt", "1/model.onnx"}  # type: ignore[index]
    assert ensemble_steps.members({"name": "m"}) == ()
    assert ensemble_steps.changes(PLACE, "whole", {}) == ()


def test_a_new_version_is_a_finding_until_it_is_rolled_back() -> None:
    known = whole()
    publish(PLACE, "second")
    (finding,) = ensemble_steps.changes(PLACE, "whole", known)
    assert (finding.expected, finding.found) == ("version 1", "version 2")
    with pytest.raises(RepositoryError, match="changed while"):
        ensemble_steps.require_unchanged(PLACE, "whole", known)
    assert invoke("rollback", "m", "--to", "1").returncode == 0
    assert ensemble_steps.current(PLACE, "m") == 1
    assert ensemble_steps.changes(PLACE, "whole", known) == ()


def test_a_file_that_was_changed_together_with_its_manifest_is_a_finding() -> None:
    known = whole()
    directory = PLACE / "m" / "1"
    (directory / "model.onnx").write_text("other")
    findings = ensemble_steps.changes(PLACE, "whole", known)
    assert [each.where for each in findings] == ["m/1/model.onnx"]

    seal()
    (finding,) = ensemble_steps.changes(PLACE, "whole", known)
    assert (finding.where, finding.what) == ("m/1/model.onnx", "the step changed after the ensemble was proven with it")


def test_a_step_that_is_gone_is_a_finding() -> None:
    known = whole()
    (PLACE / "m" / "1").rename(PLACE / "away")
    (finding,) = ensemble_steps.changes(PLACE, "whole", known)
    assert "has no version in the repository" in finding.what
    with pytest.raises(UsageError, match="'m' has no version"):
        ensemble_steps.current(PLACE, "m")


def test_serving_an_ensemble_checks_its_steps(tmp_path: Path) -> None:
    whole()
    assert checked_copy.to_serve(PLACE, ["whole"], tmp_path / "one").findings == []
    publish(PLACE, "second")
    (finding,) = checked_copy.to_serve(PLACE, ["whole"], tmp_path / "two").findings
    assert "another version of its step m" in finding.what


def test_the_difference_between_two_ensembles_is_that_of_their_steps() -> None:
    old, new = ({"steps": {"m": {"version": number, "files": {}}}} for number in (1, 2))
    assert ensemble_steps.differences(old, new) == "They were proven with other steps: m 1 -> 2."
    assert ensemble_steps.differences(old, old) == "They were proven with the same steps."


def test_the_ports_of_a_step_are_those_that_a_client_sees() -> None:
    tensor = {"name": "x", "data_type": "TYPE_STRING", "dims": ["-1"]}
    ports = ensemble_steps.ports({"max_batch_size": 2, "input": [tensor], "output": []})  # type: ignore[list-item]
    assert ports.inputs is not None
    assert (ports.inputs["x"].dtype, ports.inputs["x"].shape) == ("string", ("batch", "?"))


def test_the_copies_of_the_steps_are_compared_with_what_the_ensemble_was_proven_with(tmp_path: Path) -> None:
    whole()
    known = repository.read_manifest(PLACE / "whole" / "1")
    roots = {name: tmp_path / name for name in ("same", "changed", "later")}
    copies = tmp_path / "copies"
    assert checked_copy.add_steps(PLACE, known, roots["same"], folder=copies / "1") == ()
    assert (roots["same"] / "m" / "1" / "model.onnx").read_text() == "first"
    (PLACE / "m" / "1" / "model.onnx").write_text("other")
    (finding,) = checked_copy.add_steps(PLACE, known, roots["changed"], folder=copies / "2")
    assert finding.where == "m"
    assert (roots["changed"] / "m" / "1" / "model.onnx").read_text() == "other"  # for --serve-anyway
    (PLACE / "m" / "1" / "model.onnx").write_text("first")
    publish(PLACE, "second")
    assert checked_copy.add_steps(PLACE, known, roots["later"], folder=copies / "3")


def compared(number: int) -> Version:
    """A version of the ensemble as `diff` reads it."""
    directory = PLACE / "whole" / str(number)
    config = model_config.parse(ENSEMBLE, where="whole")
    known = repository.read_manifest(directory)
    golden = cast("GoldenSet", None)
    return Version(
        number=number,
        directory=directory,
        manifest=known,
        golden=golden,
        text=ENSEMBLE,
        config=config,
        proven=True,
        name="whole_1",
    )


def test_a_comparison_serves_the_step_that_the_ensemble_was_proven_with(tmp_path: Path) -> None:
    whole()
    publish(PLACE, "second")  # the step that the repository serves now
    version = compared(1)
    found = diff_steps.find(PLACE, [version, version], folder=tmp_path / "steps")
    (step,) = found.views
    assert (step.name, step.number, found.gone) == ("m_1", 1, "")
    assert (step.directory / "model.onnx").read_text() == "first"
    view = diff_steps.View.of(version)
    (used,) = model_config.parse(view.text, where="view")["ensemble_scheduling"]["step"]
    assert (view.name, used["model_name"], used["model_version"]) == ("whole_1", "m_1", "1")


@pytest.mark.parametrize("fault", ["changed", "away", "with its manifest"])
def test_a_comparison_does_not_serve_another_step(fault: str, tmp_path: Path) -> None:
    whole()
    directory = PLACE / "m" / "1"
    (directory / "model.onnx").write_text("other")
    if fault == "away":
        directory.rename(tmp_path / "away")
    elif fault == "with its manifest":  # sound by itself, and not the step that the ensemble ran
        seal()
    assert diff_steps.find(PLACE, [compared(1)], folder=tmp_path / "steps") == diff_steps.Steps(views=(), gone="m version 1")
