"""`--fix`: what it changes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import lint_cases
from tests.support.lint_cases import BASE, CPU, ENSEMBLE, ONE, UNBATCHED, Model
from tritonize.lint import catalogue, fixes
from tritonize.lint.fixes import Fixed
from tritonize.lint.repository import Repository
from tritonize.lint.rule import Edit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def fix(root: Path) -> list[Fixed]:
    repository = Repository(root)
    return list(fixes.apply(repository, list(repository.lint())))


def config(root: Path) -> str:
    return (root / "heart/config.pbtxt").read_text()


FIXED = {
    "TR104": ("# of a friend\nname: 'hart' # here\n" + BASE, '# of a friend\nname: "heart" # here\n' + BASE),
    "TR302": (UNBATCHED + "dynamic_batching {\n  max_queue_delay_microseconds: 100\n}\n# end\n", UNBATCHED + "# end\n"),
    "TR401": (BASE + CPU.replace("count", "gpus: [ 0, 1 ], count"), BASE + CPU),
    "TR402": (BASE + CPU.replace("count", 'profile: "0" count'), BASE + CPU),
    "TR503": (ENSEMBLE + "instance_group [\n  { kind: KIND_CPU }\n]\n", ENSEMBLE),
}


def test_every_rule_that_can_be_fixed_is_fixed() -> None:
    assert set(FIXED) == {name for name, rule in catalogue.RULES.items() if rule.fixable}


@pytest.mark.parametrize("name", FIXED)
def test_the_configuration_is_corrected_and_the_rest_of_the_text_stays(name: str, root: Path) -> None:
    before, after = FIXED[name]
    files = {"1": None} if "ensemble" in before else ONE
    Model(config=before, files=files).write(root / "heart")
    lint_cases.PARTS["part"].write(root / "part")
    (root / "heart/config.pbtxt").chmod(0o640)
    (done,) = fix(root)
    assert done == Fixed(path="heart/config.pbtxt", count=1)
    assert config(root) == after
    assert (root / "heart/config.pbtxt").stat().st_mode & 0o777 == 0o640
    assert list(Repository(root).lint()) == []
    assert sorted(path.name for path in (root / "heart").iterdir()) == ["1", "config.pbtxt"]


def test_several_changes_of_a_file_are_made_at_once(root: Path) -> None:
    groups = "instance_group [ { kind: KIND_CPU gpus: [ 0 ] }, { kind: KIND_CPU profile: [ '0' ] } ]\n"
    Model(config='name: "x"\n' + BASE + groups).write(root / "heart")
    assert fix(root) == [Fixed(path="heart/config.pbtxt", count=3)]
    assert config(root) == 'name: "heart"\n' + BASE + "instance_group [ { kind: KIND_CPU }, { kind: KIND_CPU } ]\n"


def test_a_configuration_that_a_version_was_proven_with_is_left_alone(root: Path) -> None:
    Model(config='name: "x"\n' + BASE, files=lint_cases.published()).write(root / "heart")
    (done,) = fix(root)
    assert done.problem is not None
    assert "proven" in done.problem
    assert config(root) == 'name: "x"\n' + BASE


def test_a_configuration_behind_a_link_is_left_alone(root: Path) -> None:
    Model(config='name: "x"\n' + BASE, files=ONE | {"configs": None}).write(root / "heart")
    (root / "heart/config.pbtxt").rename(root / "heart/configs/a.pbtxt")
    (root / "heart/config.pbtxt").symlink_to("configs/a.pbtxt")
    (done,) = fix(root)
    assert done.problem is not None
    assert "link" in done.problem


def test_a_configuration_that_changed_in_between_is_left_alone(root: Path) -> None:
    Model(config='name: "x"\n' + BASE).write(root / "heart")
    repository = Repository(root)
    found = list(repository.lint())
    (root / "heart/config.pbtxt").write_text("# new\n" + BASE)
    (done,) = fixes.apply(repository, found)
    assert done.problem is not None
    assert config(root) == "# new\n" + BASE


def test_a_change_that_would_cause_another_problem_is_not_made(root: Path) -> None:
    Model(config='name: "x"\n' + BASE).write(root / "heart")
    repository = Repository(root)
    (found,) = list(repository.lint())
    object.__setattr__(found, "edit", Edit(start=0, end=9, text="max_batch_sizes: 3"))
    (done,) = fixes.apply(repository, [found])
    assert done.problem is not None
    assert config(root) == 'name: "x"\n' + BASE


@pytest.mark.parametrize("name", ["'ha' \"rt\"", '"h\\x61rt"'])
def test_a_name_in_an_unusual_form_is_not_touched(name: str, root: Path) -> None:
    Model(config=f"name: {name}\n" + BASE).write(root / "heart")
    assert [each.rule.id for each in Repository(root).lint()] == ["TR104"]
    assert fix(root) == []


def test_fixes_wait_for_a_publication_of_the_model(root: Path) -> None:
    from tritonize.repository import journal

    Model(config='name: "x"\n' + BASE).write(root / "heart")
    journal.area(root).mkdir()
    assert fix(root) == [Fixed(path="heart/config.pbtxt", count=1)]
    assert list(journal.area(root).iterdir()) == []


def test_overlapping_changes_are_made_once() -> None:
    edits = [Edit(start=0, end=3, text=""), Edit(start=1, end=2, text="z"), Edit(start=3, end=4, text="y")]
    assert fixes.changed("abcde", edits) == "ye"
