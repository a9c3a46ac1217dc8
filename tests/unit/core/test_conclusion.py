"""Every outcome has one sample report; the terminal, text and HTML reports agree on it."""

from __future__ import annotations

import html as markup
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from tritonize.cli import display, tensors
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec, to_json
from tritonize.core.conclusion import conclude
from tritonize.core.error_location import Location, as_text
from tritonize.core.reports import Check, Finding, Report, Stage
from tritonize.core.results import Gate, LeftOut
from tritonize.core.stages import StageName
from tritonize.quality import gates as quality_gates
from tritonize.quality.comparison import compare
from tritonize.quality.gates import percent
from tritonize.report import brief, html
from tritonize.report import text as report_text

RIGHT = np.zeros((1, 3), np.float32)
WRONG = np.array([[0, 0.5, 0]], np.float32)


def check(stage: StageName, found: np.ndarray = RIGHT, sample: int = 0) -> Check:
    return Check(stage=stage, batch_size=1, samples=(sample,), tensors=compare({"scores": RIGHT}, {"scores": found}, {}))


STAGES = (StageName.ONNXRUNTIME, StageName.HTTP, StageName.GRPC, StageName.SHM)
CHECKS = tuple(check(stage, sample=sample) for stage in STAGES for sample in range(4))
PASSED = Report(
    command="run", model="heart", version=7, verdict="passed", checks=CHECKS, proved_by={"tritonserver": "2.51.0"}, published=True
)
FAILED = replace(PASSED, verdict="failed", published=False)
K = Gate(gate="noise floor", stage=StageName.ONNXRUNTIME, output="scores", group="drawn", verdict="failed", value=14.8, limit=10.0)
DICE = Gate(gate="dice_min ≥", stage=StageName.HTTP, output="scores", group="all", verdict="failed", value=0.5, limit=0.99)
NO_FLOAT64 = Gate(
    gate="noise floor",
    stage=StageName.ONNXRUNTIME,
    output="scores",
    group="drawn",
    verdict="not run",
    value=None,
    limit=10.0,
    note="no room",
)
EDGE = LeftOut(part="edge case", name="ones", why="output scores is not finite")
PADDED = LeftOut(part="padded batches", name="batches padded with zeros", why="PyTorch raises: no zeros")
NAN = LeftOut(part="inputs with NaN", name="some NaN", why="PyTorch raises: NaN")
ERROR = {"error": {"what": "The factory raised an error.", "exit_code": 4}}

OUTCOMES = {
    "passed": (PASSED, "16 comparisons, all within tolerance"),
    "passed, one gate not run": (replace(PASSED, gates=(NO_FLOAT64,)), "16 comparisons, all within tolerance"),
    "passed, without edge cases": (
        replace(PASSED, left_out=(EDGE, replace(EDGE, name="zeros"), PADDED)),
        "16 comparisons, all within tolerance; 2 edge cases (ones, zeros) and batches padded with zeros were left out",
    ),
    "passed, without one edge case": (
        replace(PASSED, left_out=(EDGE,)),
        "16 comparisons, all within tolerance; 1 edge case (ones) was left out",
    ),
    "passed, without others": (
        replace(PASSED, left_out=(NAN, replace(EDGE, part="samples", name="2 of 8 samples"))),
        "16 comparisons, all within tolerance; 1 sample with NaN (some NaN) and 2 of 8 samples were left out",
    ),
    "nothing compared": (replace(PASSED, checks=()), "no outputs were compared"),
    "tolerance": (
        replace(FAILED, checks=(*CHECKS, check(StageName.GRPC, WRONG, 5), check(StageName.HTTP, WRONG, 5))),
        "2 of 18 comparisons outside the tolerance, first output scores (Triton, HTTP)",
    ),
    "noise floor": (replace(FAILED, gates=(K,)), "scores: k is 14.8 at ONNX Runtime, at most 10 is allowed"),
    "edge case": (
        replace(FAILED, gates=(replace(K, group="ones"),)),
        "scores: k is 14.8 at ONNX Runtime, edge case ones, at most 10 is allowed",
    ),
    "metric": (replace(FAILED, gates=(DICE,)), "scores: dice_min ≥ 0.99 does not hold at Triton, HTTP: 0.5"),
    "first stage first": (replace(FAILED, gates=(DICE, K)), "scores: k is 14.8 at ONNX Runtime, at most 10 is allowed"),
    "finding": (
        replace(FAILED, findings=(Finding(where="heart/7/model.onnx", what="the file was changed after it was proven"),)),
        "heart/7/model.onnx: the file was changed after it was proven",
    ),
    "error": (
        replace(FAILED, checks=(), details=ERROR, findings=(Finding(where="net.py:3", what="The factory raised an error."),)),
        "The factory raised an error.",
    ),
    "stage": (
        replace(FAILED, stages=(Stage(name=StageName.TARGET, verdict="failed", seconds=0.1, note="other TensorRT"),)),
        "Loading at the target: other TensorRT",
    ),
    "not run": (
        replace(
            PASSED, verdict="not run", stages=(Stage(name=StageName.PLAN_RUN, verdict="not run", seconds=0, note="no GPU here"),)
        ),
        "The plan on a GPU: no GPU here",
    ),
    "not run, by a gate": (replace(PASSED, verdict="not run", gates=(NO_FLOAT64,)), "noise floor of scores: no room"),
}


def flat(text: str) -> str:
    return " ".join(text.split())


def words_of(page: str) -> str:
    return flat(markup.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_changed_files_are_the_first_reason_and_their_next_step_is_the_last_line():
    changed = Finding(where="heart/7/model.onnx", what="the file was changed", stage=StageName.FILES, next_step="copy it back")
    policy = Finding(where="heart on the server", what="version_policy", next_step="load it again")
    found = replace(FAILED, checks=(check(StageName.HTTP, WRONG),), gates=(K,), findings=(policy, changed))
    concluded = conclude(found)
    assert concluded.sentence == "heart/7/model.onnx: the file was changed"
    assert concluded.reasons[1].startswith("1 of 1 comparison")
    assert concluded.reasons[-1] == "heart on the server: version_policy"
    assert concluded.next_step == "copy it back"
    assert conclude(replace(found, findings=(policy,))).next_step == "load it again"
    assert conclude(replace(found, gates=(), findings=())).next_step.startswith("ONNX Runtime passed and Triton, HTTP did not")


def test_a_gate_that_fails_alike_at_several_stages_is_one_reason():
    gates = (K, replace(K, stage=StageName.HTTP), replace(K, stage=StageName.GRPC), replace(K, stage=StageName.SHM, value=99.0))
    expected = (
        "scores: k is 14.8 at ONNX Runtime and 2 more stages, at most 10 is allowed",
        "scores: k is 99 at Triton, shared memory, at most 10 is allowed",
    )
    found = replace(FAILED, gates=gates)
    assert conclude(found).reasons == expected
    assert all(each in flat(report_text.as_text(found)) for each in expected)


def test_a_k_that_passes_by_an_allowance_shows_both_figures():
    excused = replace(K, verdict="passed", value=0.727, whole=11.6, stage=StageName.HTTP)
    found = replace(PASSED, gates=(excused, replace(excused, stage=StageName.GRPC, whole=11.5)))
    words = "k of scores is 11.6; without ONNX Runtime's measured summation error it is 0.727, at most 10 is allowed"
    text = report_text.as_text(found)
    (row,) = [line for line in text.splitlines() if "Triton, HTTP" in line]
    assert "11.6*" in row
    assert flat(text).count(f"* {words}") == 1
    assert words in words_of(html.render(found))
    explained = report_text.as_text(replace(PASSED, gates=(replace(excused, value=0.0),)))
    assert "k of scores is 11.6; ONNX Runtime's measured summation error explains all of it" in flat(explained)
    within = report_text.as_text(replace(PASSED, gates=(replace(excused, whole=3.0),)))  # the limit holds without the allowance
    assert "*" not in within


def test_every_report_says_why_something_was_left_out():
    found = replace(PASSED, left_out=(EDGE, PADDED))
    reasons = (
        "edge case ones: left out: output scores is not finite",
        "batches padded with zeros: left out: PyTorch raises: no zeros",
    )
    for lines in (brief.lines(found), report_text.lines(found), brief.lines(replace(found, verdict="failed"))):
        text = flat("\n".join(lines))
        assert all(f"– {each}" in text for each in reasons)
    page = words_of(html.render(found))
    assert "Left out edge case ones: output scores is not finite" in page
    assert report_text.as_json(found)["left_out"] == [to_json(EDGE), to_json(PADDED)]


@pytest.mark.parametrize("name", OUTCOMES)
def test_terminal_text_and_html_have_the_same_sentence(name, capsys):
    found, sentence = OUTCOMES[name]
    concluded = conclude(found)
    assert concluded.sentence == sentence
    assert concluded.comparisons == len(found.checks)
    assert bool(concluded.reasons) == (found.verdict == "failed")

    text = report_text.as_text(found)
    word = {"passed": "PASSED", "failed": "FAILED", "not run": "NOT RUN"}[found.verdict]
    assert flat(text).startswith(f"{word} heart version 7: {sentence}")
    page = words_of(html.render(found))
    assert f"{sentence[:1].upper()}{sentence[1:]}" in page
    assert f"{concluded.comparisons} compared, {concluded.outside} of them outside the tolerance" in page
    for thing, why in concluded.not_run:
        assert f"{thing}: not run: {why}" in flat(text)
        assert f"{thing}: {why}" in page
    for reason in concluded.reasons[1:]:
        assert reason in page

    code = {"passed": 0, "failed": ERROR["error"]["exit_code"] if found.details else 1, "not run": 3}[found.verdict]
    try:
        display.finish([found], as_json=False)
        ended = 0
    except typer.Exit as left:
        ended = left.exit_code
    assert ended == code
    printed = capsys.readouterr().out
    assert f"{word} heart version 7: {sentence}" in flat(printed)
    for thing, why in concluded.not_run:
        assert f"{thing}: not run: {why}" in flat(printed)
    if concluded.next_step:
        assert f"Next: {concluded.next_step}" in flat(printed)


def test_the_same_difference_at_several_places_is_listed_once():
    wrong = [check(stage, WRONG) for stage in STAGES for _ in range(2)]
    text = flat(report_text.as_text(replace(FAILED, checks=tuple(wrong))))
    assert text.count("1 of 3 elements are outside") == 1
    assert "and 7 more answers" in text


def confidence(checks: tuple[Check, ...], gates: tuple[Gate, ...] = ()) -> str:
    class Golden:
        samples = SampleSet(files=TensorFiles(directory=Path(), tensors=(), count=4), batched=True, origin="the test")
        floors = ()
        exact = None

    class Seen:
        golden = Golden()
        reduced = False

        def gates(self, **_: object) -> tuple[Gate, ...]:
            return gates

        def rows(self) -> tuple[()]:
            return ()

    return " ".join(quality_gates.judge(Seen(), checks).notes)  # type: ignore[arg-type]


def test_the_samples_of_the_stage_that_failed_are_counted():
    checks = (
        *(check(StageName.ONNXRUNTIME, WRONG, sample) for sample in range(4)),
        *(check(StageName.HTTP, RIGHT, sample) for sample in range(4)),
    )
    assert "4 of 4 drawn samples are outside the tolerance (ONNX Runtime)" in confidence(checks)


def test_of_two_stages_with_the_same_order_the_later_one_counts():
    checks = tuple(check(stage, sample=n) for stage in (StageName.ONNXRUNTIME, StageName.EMULATED_FP16) for n in range(4))
    assert "0 of 4 drawn samples are outside the tolerance (fp16, emulated)" in confidence(checks)


def test_if_another_gate_fails_the_report_states_no_confidence():
    assert "drawn samples" in confidence(CHECKS)
    assert "drawn samples" not in confidence(CHECKS, (K,))


@pytest.mark.parametrize(("share", "text"), [(1.0, "100 %"), (0.527, "53 %"), (0.0951, "9.5 %"), (0.0003, "0.03 %")])
def test_a_percentage_has_no_exponent(share, text):
    assert percent(share) == text


def test_a_long_tensor_name_keeps_a_space_before_its_type():
    long = "encoder.layers.0.attention.output"
    shown = list(tensors.lines("inputs", [TensorSpec(name=name, dtype="fp32", shape=(1, "n")) for name in ("x", long)]))
    assert [line.split() for line in shown[1:]] == [["x", "fp32", "[1,", "n]"], [long, "fp32", "[1,", "n]"]]
    assert shown[1].index("fp32") == shown[2].index("fp32")


def test_a_stage_with_a_finding_is_marked_although_its_outputs_passed() -> None:
    finding = Finding(
        where="stream, sample 0", what="two responses", expected="3 responses", found="2 responses", stage=StageName.STREAM
    )
    text = report_text.as_text(replace(FAILED, checks=(*CHECKS, check(StageName.STREAM)), findings=(finding,)))
    (row,) = (line for line in text.splitlines() if "Triton, gRPC stream" in line)
    assert row.startswith("✗ ")
    assert "✓ Triton, gRPC  " in text


def test_the_same_finding_at_several_samples_is_one_reason() -> None:
    findings = tuple(
        Finding(where=f"stream, sample {number}", what="too few responses", stage=StageName.STREAM) for number in range(3)
    )
    report = replace(FAILED, findings=(*findings, Finding(where="a", what="x"), Finding(where="b", what="x")))
    assert conclude(report).reasons == ("stream, sample 0, and 2 more: too few responses", "a: x", "b: x")
    assert "stream, sample 0, and 2 more too few responses" in words_of(html.render(report))


def test_a_sum_of_rounding_is_not_told_as_no_error() -> None:
    """With a set of nodes that helps, the text does not say that every node is right."""
    found = Location(expected="a", found="b", kind="graphs", keep=("n",), keep_passes=True)
    assert as_text(found).startswith("SUM OF ROUNDING  no node is wrong; without the rounding of 1 node it passes\n")
    assert "NO ORIGIN" in as_text(replace(found, keep=(), keep_passes=False))


LOCATED = {"origin": {"operator": "Conv", "node": "Conv_3", "output": "t"}}


@pytest.mark.parametrize(
    ("report", "step"),
    [
        (PASSED, ""),
        (replace(PASSED, verdict="not run"), "run `tritonize doctor` to see what this machine lacks"),
        (replace(FAILED, checks=(), details={"error": {"what": "gone", "next_step": "install it"}}), "install it"),
        (
            replace(FAILED, model="a b", checks=(check(StageName.ONNXRUNTIME, WRONG), check(StageName.HTTP, WRONG))),
            "run `tritonize locate SPEC --model 'a b'` to find the node that the error comes from",
        ),
        (
            replace(FAILED, gates=(K,), details={"again": {"command": "tritonize build 'my spec.yaml' --json"}}),
            "run `tritonize locate 'my spec.yaml' --model heart` to find the node that the error comes from",
        ),
        (
            replace(FAILED, checks=(check(StageName.ONNXRUNTIME, WRONG),), details={"location": LOCATED}),
            "the error begins at Conv Conv_3: compare this node with PyTorch, or set the tolerance that the output needs",
        ),
        (
            replace(FAILED, gates=(K,), details={"location": {"origin": None}}),
            "no single node explains the error: if it is acceptable, set the output's `tolerance` in the spec",
        ),
        (
            replace(FAILED, gates=(K,), details={"location": {"origin": None, "keep_passes": True, "keep": ["node_linear"]}}),
            "write `keep_fp32: {nodes: [node_linear]}` into the model's spec: with 1 node in fp32 it passes",
        ),
        (
            replace(FAILED, gates=(K,), details={"location": {**LOCATED, "keep_passes": True, "keep": ["a: b", "/fc/MatMul"]}}),
            'write `keep_fp32: {nodes: ["a: b", "/fc/MatMul"]}` into the model\'s spec: with 2 nodes in fp32 it passes',
        ),
        (
            replace(FAILED, gates=(K,), details={"location": {"keep_passes": True, "keep": list("abcdefg")}}),
            "keep 7 nodes in fp32, with which it passes: `tritonize locate SPEC --model heart --write`",
        ),
        (
            replace(FAILED, gates=(K,), details={"location": {"origin": None, "hopeless": True}}),
            "set `precision: fp32`, or the output's `tolerance` if the error is acceptable: fp32 at few nodes fails",
        ),
        (
            replace(FAILED, checks=(check(StageName.ONNXRUNTIME), check(StageName.GRPC, WRONG))),
            "ONNX Runtime passed and Triton, gRPC did not: "
            "compare the server's versions and the `triton:` section with this report",
        ),
    ],
)
def test_the_next_step_follows_from_the_first_stage_that_differs(report: Report, step: str) -> None:
    assert conclude(report).next_step == step


def test_a_comparison_is_one_output_so_that_all_figures_add_up() -> None:
    two = compare({"a": RIGHT, "b": RIGHT}, {"a": RIGHT, "b": WRONG}, {})
    both = Check(stage=StageName.HTTP, batch_size=1, samples=(0,), tensors=two)
    alone = check(StageName.HTTP)  # a request that asks for one output
    none = Check(stage=StageName.HTTP, batch_size=1, samples=(0,), tensors=())
    report = Report(command="run", model="m", version=1, verdict="failed", checks=(both, alone))
    assert (conclude(report).comparisons, conclude(report).outside) == (3, 1)
    assert sum(len(row.tensors) for row in brief.rows(report)) == 3
    assert "1 of 3 comparisons" in conclude(report).sentence
    assert replace(report, checks=(none,)).outside == 1
