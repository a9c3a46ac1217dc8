"""What a proof left out is in the manifest, and `list`, `show`, a run that is up to date and a verification name it."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import invoke
from tests.support.plain_versions import publish
from tests.unit.quality.test_batch_checks import golden
from tests.unit.workflows import test_up_to_date as origin
from tritonize import repository
from tritonize.core.artifacts import to_json
from tritonize.core.conclusion import left_out_in_words
from tritonize.core.results import LeftOut
from tritonize.workflows import left_out, up_to_date

PLACE = Path("model_repository")
ONES = LeftOut(part="edge case", name="ones", why="output y is not finite")
FACTS = {"verdict": "passed", "left_out": [to_json(ONES)], "samples": {"count": 8, "edge_cases": 2}}


def test_commands_that_name_the_version_say_so() -> None:
    publish(PLACE, "one", facts=FACTS)
    assert "\n      left out: 1 edge case (ones)\n" in invoke("list").stdout
    assert "left out     1 edge case (ones)\n" in invoke("show", "m").stdout
    assert left_out.proven(repository.read_manifest(PLACE / "m" / "1")) == (ONES,)


def test_a_version_that_is_up_to_date_keeps_it() -> None:
    origin.published(**FACTS)
    (report,) = up_to_date.reports(origin.specification()).values()
    assert report.left_out == (ONES,)


def test_a_verification_names_samples_and_requests_that_it_leaves_out(tmp_path: Path) -> None:
    kept = golden(tmp_path)  # 3 samples
    assert left_out.samples_of(FACTS) == 10
    found = [*left_out.of_verification(kept, samples=10, profile="quick")]
    assert left_out_in_words(found) == "7 of 10 samples and most requests were left out"
    assert [*left_out.of_verification(kept, samples=3, profile="standard")] == []
    assert [*left_out.of_verification(kept, samples=left_out.samples_of({}), profile="thorough")] == []


def test_a_manifest_from_elsewhere_says_nothing() -> None:
    assert left_out.proven({"left_out": [{"part": 3}]}) == ()
    assert left_out.proven({}) == ()
