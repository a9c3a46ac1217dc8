"""A quick run: what it leaves out, and that every command which names its version says so."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.command import invoke
from tests.support.plain_versions import config, publish
from tests.unit.quality.test_batch_checks import golden
from tests.unit.workflows import test_up_to_date as origin
from tritonize import repository
from tritonize.core import exit_codes
from tritonize.core.conclusion import conclude
from tritonize.core.errors import UsageError
from tritonize.core.reports import Check, Report
from tritonize.core.stages import StageName
from tritonize.core.watch_rounds import Changes, Round
from tritonize.quality.comparison import compare
from tritonize.report import ending, github_summary, html, junit, text, watch_text
from tritonize.spec import loader, quick, schema
from tritonize.triton import model_config
from tritonize.workflows import canary, promotion, quick_versions, verify_notes, watch

PLACE = Path("model_repository")
MODEL = schema.Model.model_validate({"source": "m.pt", "inputs": {"x": {"shape": ["batch", 4]}}, "max_batch_size": 8})
FACTS = {"verdict": "passed quick", "quick": {"left_out": ["float64", "edge cases"]}}
REPORT = Report(
    command="run",
    model="m",
    version=1,
    verdict="passed quick",
    checks=(Check(stage=StageName.HTTP, batch_size=1, samples=(0,), tensors=compare({}, {}, {})),),
    details={"quick": {"left_out": ["float64", "edge cases"]}},
)


def test_it_turns_off_what_takes_long_and_names_it() -> None:
    fast = quick.applied(MODEL).quality
    assert (fast.quick, fast.float64, fast.edge_cases, fast.nan) == (True, "off", False, "off")
    assert (fast.noise_floor, quick.applied(MODEL).outputs) == (MODEL.quality.noise_floor, MODEL.outputs)
    assert list(quick.left_out(MODEL, torch=True, served=True)) == [
        "float64",
        "edge cases",
        "NaN inputs",
        "most batches",
        "padded batches",
        "concurrent clients",
    ]
    own = MODEL.model_copy(update={"quality": schema.Quality(float64="off", nan="off"), "max_batch_size": 0})
    assert list(quick.left_out(own, torch=True, served=False)) == ["edge cases"]
    assert list(quick.left_out(MODEL, torch=False, served=False)) == ["edge cases", "most batches"]


def test_a_spec_that_requires_float64_has_no_quick_run() -> None:
    required = MODEL.model_copy(update={"quality": schema.Quality(float64="required")})
    with pytest.raises(UsageError, match="requires it"):
        quick.applied(required)
    Path("m.pt").touch()
    Path("spec.yaml").write_text(
        "schema: 1\nmodels:\n  m:\n    source: m.pt\n    inputs: {x: {shape: [4]}}\n    quality: {quick: true, float64: required}\n"
    )
    with pytest.raises(UsageError) as raised:
        loader.load(Path("spec.yaml"))
    assert "models.m.quality.quick" in str(raised.value.details)


def test_a_quick_run_sends_every_sample_at_the_largest_size_and_one_alone(tmp_path: Path) -> None:
    every = golden(tmp_path)
    assert replace(every, quick=True).batches() == [(2,), (0,), (0, 1)]  # sample 2 is an edge case, which comes alone
    assert replace(every, quick=True, max_batch_size=1).batches() == [(2,), (0,), (1,)]


def test_the_report_says_so_in_text_and_html() -> None:
    words = "1 comparison, all within tolerance; a quick run, without float64, edge cases"
    assert conclude(REPORT).sentence == words
    assert " ".join(text.as_text(REPORT).split()).startswith(f"PASSED (QUICK) m version 1: {words}")
    page = html.render(REPORT)
    assert 'class="banner passed-quick"' in page
    assert "✓ Passed (quick)" in page
    assert words in page


def test_a_verification_of_its_version_is_no_plain_pass_anywhere() -> None:
    """Text, exit code, JUnit, GitHub's summary, replicas, a baseline and a watch have the verdict of the run that published it."""
    for known in (FACTS, {"quick": {}}, {"verdict": "passed quick"}):
        assert [quick_versions.verdict(each, known) for each in ("passed", "passed here", "failed", "not run")] == [
            "passed quick",
            "passed quick",
            "failed",
            "not run",
        ]
    assert quick_versions.verdict("passed", {"verdict": "passed"}) == "passed"
    verified = replace(REPORT, command="verify")
    end = ending.ending(verified, ["verify"], page=None)
    assert end.line == (
        "PASSED (QUICK) m version 1: 1 comparison, all within tolerance; a quick run published the version, "
        "without float64, edge cases"
    )
    assert end.next_step == "for the full proof, run the model again without `--quick`"
    assert conclude(replace(verified, details={})).sentence.endswith("without a part of the proof")  # of a golden file
    assert exit_codes.of(verified) == exit_codes.of(REPORT) == 0
    assert b'name="verdict: passed (quick)"' in junit.document([verified])
    assert r"### PASSED \(QUICK\) m version 1" in github_summary.of_report(verified, end)
    row = watch.row_of(verified, "a")
    done = Round(number=1, began=datetime.now(UTC), seconds=1.0, requests=1, rows=(row, replace(row, verdict="passed")))
    assert (done.verdict, row.why) == ("passed quick", "")
    assert " PASSED (QUICK) (was PASSED) m: " in watch_text.line(done, Changes().after(done))
    assert next(each.verdict for each in canary.rules(verified, [], None, limit=1.1)) == "passed"


def test_every_command_that_names_the_version_says_so() -> None:
    publish(PLACE, "one", facts=FACTS)
    publish(PLACE, "two", facts=FACTS)
    assert "served  passed quick  2026" in invoke("list").stdout
    shown = invoke("show", "m").stdout
    assert "passed quick, compared on 2026" in shown
    assert "left out     float64, edge cases (a quick run)" in shown
    words = "m version 1 was published by a quick run, which left out float64, edge cases."
    assert words in " ".join(invoke("promote", "m", "1").stdout.split())
    rolled = promotion.rollback(promotion.Request(repository=PLACE, model="m", version=2))
    assert [each.startswith("m version 2 was published by a quick run") for each in rolled.notes] == [True]
    _, note = verify_notes.proven(repository.read_manifest(PLACE / "m" / "1"))
    assert note.startswith(words)
    assert re.sub(r"\s+", " ", invoke("push", str(PLACE), f"file://{Path.cwd()}/store").stdout).count("by a quick run") == 1
    assert repository.integrity(PLACE, "m", 2) == ()


@pytest.mark.parametrize(
    ("verdict", "policy", "replaced"),
    [
        ("passed", "", 1),
        ("passed here", "version_policy { all { } }\n", 1),
        ("passed quick", "", None),
        ("not run", "", None),
        ("passed", "version_policy { specific { versions: 1 } }\n", None),
    ],
)
def test_it_replaces_no_proven_version_that_is_served(verdict: str, policy: str, replaced: int | None) -> None:
    assert quick_versions.replaced(PLACE, "m", 1, config={}) is None
    text = config(policy=policy)
    publish(PLACE, "one", text=text, facts={"verdict": verdict})
    assert quick_versions.replaced(PLACE, "m", 2, config=model_config.parse(text, where="")) == replaced


def test_it_may_be_published_beside_a_pinned_version() -> None:
    publish(PLACE, "one")
    promotion.promote(promotion.Request(repository=PLACE, model="m", version=1))
    assert quick_versions.replaced(PLACE, "m", 2, config={}) is None


def test_the_report_says_that_it_was_not_published() -> None:
    details = {"quick": {"left_out": ["float64"], "not_published_over": 3}}
    sentence = conclude(replace(REPORT, details=details)).sentence
    assert sentence.endswith("; not published, since version 3, which is served, has a full proof (--allow-unproven)")


def test_a_manifest_without_the_list_says_so_too() -> None:
    assert next(quick_versions.note("m", 1, {"quick": {}})).count("a part of the proof") == 1
    assert list(quick_versions.note("m", 1, {})) == []


def test_its_version_is_up_to_date_for_another_quick_run_alone() -> None:
    origin.published(**FACTS)
    assert not origin.current()
    assert origin.current(quick=True)
    publish(PLACE, "other")
    origin.published()
    assert origin.current()
    assert origin.current(quick=True)
