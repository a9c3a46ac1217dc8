"""The HTML report: its text, its size, its figures and their numbers."""

from __future__ import annotations

import base64
import itertools
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.support import report_samples
from tests.support.command import invoke
from tritonize import repository
from tritonize.core import figures as core_figures
from tritonize.core.artifacts import to_json
from tritonize.core.error_location import FAR
from tritonize.core.figures import BINS, LOWEST, PER_DECADE, Figures, Pane
from tritonize.core.reports import Finding, Report
from tritonize.core.results import Gate
from tritonize.core.stages import StageName
from tritonize.core.tolerance_advice import ToleranceAdvice
from tritonize.quality import slices as slice_choice
from tritonize.quality.figure_collector import FigureCollector
from tritonize.quality.tracker import ErrorTracker
from tritonize.report import html
from tritonize.report.html import png

INLINE = {"code", "strong", "span"}
VOID = {"meta", "link", "img", "br", "input", "hr"}
HOSTILE = "<script>alert(1)</script> \"><img src=x onerror='alert(2)'> & ‮ 心臓 `code`"


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and its text. It fails if a tag is not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.pieces.append("" if tag in INLINE else " ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        self.pieces.append("" if tag in INLINE else " ")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    def classes(self, name: str) -> int:
        """Number of elements of a class."""
        return sum(attributes.get("class") == name for _, attributes in self.elements)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def pixels(uri: str) -> np.ndarray:
    """The pixels of a PNG, decoded as its specification says: height x width, or height x width x 3."""
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, data, header = 8, b"", b""
    while place < len(content):
        (length,), name = struct.unpack(">I", content[place : place + 4]), content[place + 4 : place + 8]
        chunk = content[place + 8 : place + 8 + length]
        assert struct.unpack(">I", content[place + 8 + length : place + 12 + length])[0] == zlib.crc32(name + chunk)
        header, data = (chunk if name == b"IHDR" else header), data + (chunk if name == b"IDAT" else b"")
        place += 12 + length
    width, height, depth, kind, _, _, _ = struct.unpack(">IIBBBBB", header)
    assert depth == 8
    size = width * (3 if kind == 2 else 1)
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, size + 1)
    out = np.zeros((height, size), np.uint8)
    for row in range(height):
        assert rows[row, 0] in (0, 2)
        out[row] = rows[row, 1:] + (out[row - 1] if rows[row, 0] == 2 and row else 0)
    return out.reshape(height, width, 3) if kind == 2 else out


@pytest.fixture
def volume(tmp_path) -> tuple[Report, Figures]:
    return report_samples.volume(tmp_path / "volume")


@pytest.fixture
def wrong(tmp_path) -> tuple[Report, Figures]:
    report, figures = report_samples.classifier(tmp_path / "wrong", wrong=True)
    finding = Finding(where="wrong/1/model.onnx", what="the file was changed", expected="a" * 64, found="b" * 64)
    return replace(report, findings=(finding,)), figures


def one_output(tmp_path: Path, expected: np.ndarray, found: np.ndarray, kind: str = "values") -> tuple[Report, Figures]:
    inputs = [{"x": np.ones((1, 3), np.float32)}]
    known = report_samples.golden(tmp_path / "one", inputs, [{"y": expected}], {"y": kind})
    tracker = report_samples.seen(known, [{"y": found}])
    return report_samples.report(tracker, [{"y": found}]), tracker.collector.figures()


# ---- the text ----


def test_the_page_starts_with_the_verdict(volume, wrong):
    page = Parsed(html.render(*volume)).text
    assert page.startswith("Passed: heart version 3 ✓ Passed heart version 3 8 comparisons, all within tolerance.")
    assert page.index("✓ Passed") < page.index("Proved by tritonserver 2.51.0, onnxruntime 1.32.0") < page.index("Stage by stage")
    assert "The plan on a GPU: there is no GPU here" in page
    assert "✗ Failed" in Parsed(html.render(*wrong)).text
    assert "– Not run" in Parsed(html.render(replace(volume[0], verdict="not run"))).text


def strings(value: object, inside: str = "") -> Iterator[str]:
    """Every text of plain data, and the keys of the versions and of two details."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in REPHRASED:
                yield from strings(inner, key)
        if inside in ("versions", "proved_by", "sha256", "deep"):
            yield from value
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, inside)
    elif isinstance(value, str):
        yield value


REPHRASED = {"stage", "against", "verdict", "expected_dtype", "found_dtype", "found_dtypes", "group"}
"""Fields of a Report that the page words differently, or has in the reason of a failure only."""


def test_all_text_of_the_report_is_in_the_page(wrong):
    report = replace(
        wrong[0],
        location=Path("/srv/staged/network/3"),
        notes=("A note.", "Another, about `tritonize verify`."),
        details={**wrong[0].details, "deep": {"list": [{"key": "inner text"}], "plain": ["one", "two"]}},
    )
    page = Parsed(html.render(report, wrong[1])).text
    stages = {each.key for each in StageName}  # the page has their headings
    wanted = [text for text in strings(to_json(report)) if text not in stages]
    assert len(wanted) > 60
    assert "Verify over HTTP ✓ passed" in page
    assert not [text for text in wanted if " ".join(text.replace("`", "").split()) not in page]


def test_hostile_names_are_escaped(volume):
    report, figures = volume
    checks = tuple(
        replace(check, tensors=tuple(replace(tensor, name=HOSTILE, passed=False, reason=HOSTILE) for tensor in check.tensors))
        for check in report.checks
    )
    report = replace(
        report, model=HOSTILE, checks=checks, notes=(HOSTILE,), versions={HOSTILE: HOSTILE}, proved_by={HOSTILE: HOSTILE},
        details={HOSTILE: HOSTILE, "attempts": [{"strategy": HOSTILE, "outcome": "right", "seconds": 1.0}]},
        findings=(Finding(where=HOSTILE, what=HOSTILE),), verdict="failed",
    )  # fmt: skip
    figures = replace(
        figures,
        histograms=tuple(replace(each, output=HOSTILE) for each in figures.histograms),
        scatters=tuple(replace(each, output=HOSTILE) for each in figures.scatters),
        slices=tuple(replace(each, output=HOSTILE, source=HOSTILE, why=HOSTILE) for each in figures.slices),
        located=((HOSTILE, 1.0),),
    )
    page = Parsed(html.render(report, figures))
    assert len(page.all("script")) == 1
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 10
    assert "心臓" in page.text
    assert any("onerror" in image["alt"] for image in page.all("img"))  # as text of an attribute


def test_the_markup_labels_every_element(volume, wrong):
    for report, figures in (volume, wrong):
        page = Parsed(html.render(report, figures))
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {link["href"][1:] for link in page.all("a")} <= set(ids)
        drawings = page.all("svg")
        assert len(drawings) >= 4
        assert all(each["role"] == "img" and each["aria-label"] and each["aria-description"] for each in drawings)
        assert len(page.all("title")) == len(page.all("desc")) + 1 == len(drawings) + 1
        assert len(page.all("details")) - page.classes("fold") == len(page.all("figure")) == len(page.all("figcaption"))
        assert all(image["alt"] for image in page.all("img"))
        assert all(head["scope"] in ("col", "row") for head in page.all("th"))
        assert len(page.all("caption")) == len(page.all("table"))
        assert {each["for"] for each in page.all("label")} == {each["id"] for each in page.all("input")}
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_page_loads_no_external_resource(volume):
    page = html.render(*volume)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_the_same_report_makes_the_same_page(volume, tmp_path):
    again = report_samples.volume(tmp_path / "again")
    assert html.render(*volume) == html.render(*again)


# ---- the head ----

MADE = {
    "measured": {"at": "2026-11-30T16:33:05+00:00", "machine": "Linux x86_64, Some CPU, 2 cores"},
    "samples": {"count": 4, "edge_cases": 2, "origin": "generated, seed 0", "random": True},
    "again": {"command": "tritonize build spec.yaml --quiet", "repository": "models"},
}


def test_the_head_says_what_was_compared_where_and_when(volume):
    report, figures = volume
    page = Parsed(html.render(replace(report, details={**report.details, **MADE}), figures)).text
    head = page[: page.index("Stage by stage")]
    assert "Source network.pt, TorchScript, SHA-256 cccccccccccc…" in head
    assert "4 samples of random noise (generated, seed 0), and 2 edge cases. No real input was compared" in head
    assert "Measured 2026-11-30 16:33 UTC on Linux x86_64, Some CPU, 2 cores" in head
    assert "smallest Dice 1" in head
    assert "Slices of mask: sample 0" in head
    files = {**MADE["samples"], "origin": "from files", "random": False}
    page = Parsed(html.render(replace(report, details={"samples": files}), figures)).text
    assert "4 samples from files, and 2 edge cases Proved by" in page
    assert "random noise" not in page


def test_the_commands_have_the_spec_and_the_repository(volume):
    report, figures = volume
    page = Parsed(html.render(replace(report, details=MADE), figures)).text
    assert "tritonize run spec.yaml --quiet" in page
    assert "tritonize verify models --model heart --version 3" in page
    assert not re.search(r"\b(SPEC|REPOSITORY)\b", page)


def test_a_failure_starts_with_its_reason_and_the_next_step(wrong):
    report, figures = wrong
    page = Parsed(html.render(replace(report, details=MADE), figures)).text
    reason, step = page.index("4 of 8 comparisons outside the tolerance"), page.index("Next: Run tritonize locate spec.yaml")
    assert page.index("✗ Failed") < reason < step < page.index("Samples") < page.index("Error against its limit")


def test_the_error_is_drawn_against_its_limit(wrong, volume):
    right, bad = (html.render(*each) for each in (volume, wrong))
    assert "mask: largest error (rtol 0.0001, atol 0.0009) 5.01e-05 of 0.0009 within" in Parsed(right).text
    assert "✗ scores: largest error (rtol 0.0001, atol 0.0009)" in Parsed(bad).text
    for page in (right, bad):
        for name in ("Error against its limit", "Error by stage: ", "Error per sample: ", "Error histogram of "):
            drawing = page[page.index(f'aria-label="{name}') :].split("</svg>")[0]
            assert drawing.count('class="limit"') >= 1


def drawn(page: str, name: str) -> tuple[float, float]:
    """The length of the first bar of a drawing, and the place of its limit."""
    drawing = page[page.index(f'aria-label="{name}"') :].split("</svg>")[0]
    length = re.search(r'<rect class="bar[^>]*width="([0-9.]+)"', drawing)
    place = re.search(r'class="limit" d="M([0-9.]+) ', drawing)
    assert length
    assert place
    return 2 + float(length[1]), float(place[1])


@pytest.mark.parametrize(("error", "passes"), [(8e-4, True), (1.1e-3, False), (0.09, False)])
def test_a_bar_passes_the_line_exactly_if_its_error_fails(tmp_path, error, passes):
    expected = np.array([[0.0, 1.0]], np.float32)
    report, figures = one_output(tmp_path, expected, expected + np.array([[error, 0]], np.float32))
    assert (report.verdict == "passed") == passes
    length, limit = drawn(html.render(report, figures), "Error against its limit")
    assert (length < limit) == passes


def test_an_error_between_atol_and_the_whole_tolerance_passes_left_of_the_line(tmp_path):
    expected = np.array([[0.0, 1000.0]], np.float32)
    report, figures = one_output(tmp_path, expected, expected + np.array([[0, 0.01]], np.float32))
    assert report.verdict == "passed"
    length, limit = drawn(html.render(report, figures), "Error against its limit")
    assert length < limit


def test_stages_with_the_same_error_share_a_row_and_a_bar(volume):
    page = html.render(*volume)
    drawing = page[page.index('aria-label="Error by stage: mask"') :].split("</svg>")[0]
    assert drawing.count('<rect class="bar"') == 1
    assert Parsed(page).text.count("ONNX Runtime; Triton: HTTP, gRPC, shared memory mask ✓ passed") == 1


def test_a_stage_with_a_finding_is_failed_although_its_outputs_passed(volume):
    report, figures = volume
    finding = Finding(where="shm, sample 0", what="two responses", stage=StageName.SHM)
    page = Parsed(html.render(replace(report, verdict="failed", findings=(finding,)), figures)).text
    assert "Triton, shared memory mask ✗ failed" in page
    assert "ONNX Runtime; Triton: HTTP, gRPC mask ✓ passed" in page


def test_what_differs_has_the_tolerance_that_it_needs(wrong):
    report, figures = wrong
    needed = ToleranceAdvice(
        output="scores", passed=False, stage=StageName.HTTP, rtol=1e-4, atol=9e-4, least_atol=0.0123, least_rtol=None, rms=1.0
    )
    page = Parsed(html.render(replace(report, tolerances=(needed, replace(needed, output="right", passed=True))), figures)).text
    assert "scores Triton, HTTP passes with atol 0.013 (rtol kept) that atol is 1.2 % of the output's RMS (1)" in page
    assert page.count("rtol kept") == 1
    assert page.index("What differs") < page.index("The smallest tolerance that would pass") < page.index("Stage by stage Error")


def test_k_is_explained_where_it_stands(volume):
    report, figures = volume
    assert "noise-floor ratio" not in html.render(report, figures)
    gate = Gate(gate="noise floor", stage=StageName.SHM, output="mask", group="drawn", verdict="passed", value=1.5, limit=10.0)
    page = Parsed(html.render(replace(report, gates=(*report.gates, gate)), figures)).text
    assert page.count("The noise-floor ratio (k) is the largest error") == 2  # the text, and the description of the drawing
    assert page.index("The noise-floor ratio (k) is") < page.index("1.5 of 10") < page.index("Stage by stage")


# ---- the size ----


@pytest.mark.timeout(300, method="thread")  # it takes seconds, and a minute on a machine that has other work
def test_a_large_volume_stays_below_the_limit_and_is_shrunk(tmp_path):
    side = 224
    random = np.random.default_rng(3)
    inputs = [{"image": random.random((1, 1, side, side, side), np.float32)}]
    expected = [{"a": random.random((1, 2, side, side, side), np.float32), "b": random.random((1, 1, 300, 700), np.float32)}]
    found = [{"a": expected[0]["a"].copy(), "b": expected[0]["b"].copy()}]
    found[0]["a"][0, 1, 100] += random.random((side, side), np.float32) * 1e-4
    known = report_samples.golden(tmp_path / "large", inputs, expected, {"a": "mask_logits"})
    tracker = report_samples.seen(known, found, stages=(StageName.SHM,))
    figures = tracker.collector.figures()
    (deep, flat) = figures.slices
    assert (deep.channel, deep.depths[deep.worst], len(deep.depths)) == (1, 100, 32)
    assert [(pane.slices, pane.height, pane.width) for pane in deep.panes] == [(32, 224, 224)] * 4
    assert (flat.shrunk, flat.panes[0].height, flat.panes[0].width) == (3, 100, 234)
    page = html.render(report_samples.report(tracker, found), figures)
    assert 1_000_000 < len(page.encode()) <= html.LIMIT
    assert "of 224 slices" in page
    many = replace(figures, slices=figures.slices * 3)  # noise does not compress: three of them do not fit in full
    page = html.render(report_samples.report(tracker, found), many)
    assert len(page.encode()) <= html.LIMIT
    shown = re.findall(r'data-depths="([0-9,]+)"', page)
    assert all("100" in each.split(",") and 1 < len(each.split(",")) < 32 for each in shown if "," in each)


def test_any_number_of_failures_stays_below_the_limit(wrong):
    report, figures = wrong
    check = next(check for check in report.checks if not check.passed)
    long = replace(check, tensors=tuple(replace(tensor, reason="r" * 5000, name="n" * 3000) for tensor in check.tensors))
    full = replace(report, checks=(long,) * 5000, findings=report.findings * 5000, gates=report.gates * 5000)
    page = html.render(full, figures)
    assert len(page.encode()) <= html.LIMIT
    assert "4600 more rows are in evidence/report.json" in Parsed(page).text


def test_tables_get_fewer_rows_until_the_page_fits(wrong):
    report, figures = wrong
    ampersands = "&" * 5000  # each takes five bytes on the page
    finding = Finding(where=ampersands, what=ampersands, expected=ampersands, found=ampersands)
    page = html.render(replace(report, findings=(finding,) * 1000), figures)
    assert len(page.encode()) <= html.LIMIT
    assert "800 more rows are in evidence/report.json" in Parsed(page).text


# ---- the figures ----


def test_a_volume_shows_input_expected_actual_and_difference(volume):
    report, figures = volume
    first, worst = figures.slices
    assert [pane.title for pane in worst.panes] == ["Input", "Expected", "Actual", "Difference"]
    assert (first.sample, worst.sample, worst.why) == (0, 1, "largest difference")
    assert worst.depths[worst.worst] == 5
    _, expected, actual, difference = worst.panes
    assert (expected.low, expected.high) == (actual.low, actual.high)
    assert difference.high == -difference.low == pytest.approx(5e-5, rel=0.01)
    shown = pixels(png.data_uri(difference)).reshape(24, 28, 32)
    assert shown[5, 6, 7] == 254
    assert abs(int(np.median(shown)) - 127) <= 1
    bright = pixels(png.data_uri(expected)).reshape(24, 28, 32)
    assert (bright[12, 14, 16], bright[0, 0, 0]) == (254, 0) or bright[12, 14, 16] > 240 > bright[0, 0, 0]
    page = html.render(report, figures)
    assert page.count('type="range"') == 2
    assert 'max="23"' in page


def test_a_picture_of_the_input_is_in_colour_beside_the_highest_classes(wrong):
    report, figures = wrong
    first, worst = figures.classes
    assert [each.number for each in first.classes][:2] == [4, 1]
    assert (worst.sample, worst.classes[0].number, worst.classes[0].expected) == (1, 0, pytest.approx(0.9))
    assert first.image.palette == "colour"
    photo = pixels(png.data_uri(first.image))
    assert photo.shape == (40, 48, 3)
    page = Parsed(html.render(report, figures)).text
    assert "brambling <& finch>" in page
    assert re.search(r"tench 0 0\.9\d* 0\.01", page) or re.search(r"tench 0 0\.899999976 0\.00999999978", page)


def test_the_histogram_counts_every_error_in_its_bin(tmp_path):
    expected = np.zeros((1, 6), np.float32)
    found = np.array([[0, 2e-6, 2e-6, 5e-6, 0.2, np.nan]], np.float32)
    report, figures = one_output(tmp_path, expected, found)
    (counted,) = figures.histograms
    assert (counted.equal, counted.incomparable, counted.looked_at, counted.elements) == (1, 1, 6, 6)
    filled = {LOWEST + place / PER_DECADE: count for place, count in enumerate(counted.counts) if count}
    assert filled == {-6.0: 2, -5.5: 1, -1.0: 1}
    page = Parsed(html.render(report, figures)).text
    assert "1.0e-06 to 3.2e-06 2 33.3 %" in page
    assert "Crosses are the elements furthest outside the tolerance (1)" in page


def test_errors_beyond_the_bins_are_in_the_last_ones(tmp_path):
    expected = np.zeros((1, 3), np.float64)
    _, figures = one_output(tmp_path, expected, np.array([[1e-30, 1e300, 1e8]]))
    counts = figures.histograms[0].counts
    assert (counts[0], counts[BINS - 1], sum(counts)) == (1, 2, 3)


def test_a_module_that_cannot_be_compared_is_a_cross(volume):
    series = (("stem", 1e-7), ("block", FAR), ("head", 2e-3))
    page = html.render(volume[0], replace(volume[1], located=series))
    drawing = page[page.index('aria-label="Error by module along the graph"') :].split("</svg>")[0]
    assert (drawing.count('class="cross"'), drawing.count('class="dot"')) == (1, 2)
    text = Parsed(page).text
    assert "Crosses cannot be compared (1)." in text
    assert "0 stem 1e-07 1 block beyond comparison 2 head 0.002" in text


def test_scalars_have_points_and_no_pictures(tmp_path):
    report, figures = one_output(tmp_path, np.array([[2.5]], np.float32), np.array([[2.5]], np.float32))
    assert figures.scatters[0].expected == figures.scatters[0].found == (2.5,)
    assert not figures.slices
    assert "100 % do not differ at all" in Parsed(html.render(report, figures)).text


def test_empty_and_unusable_outputs_make_a_page(tmp_path):
    nothing = np.zeros((1, 0), np.float32)
    report, figures = one_output(tmp_path / "empty", nothing, nothing)
    Parsed(html.render(report, figures))
    bad = np.full((1, 1, 16, 16), np.nan, np.float32)
    bad[0, 0, 3] = np.inf
    report, figures = one_output(tmp_path / "nan", bad, bad, "mask_logits")
    assert set(figures.slices[0].panes[0].pixels) == {slice_choice.NOT_A_NUMBER}
    assert figures.scatters[0].expected == ()
    Parsed(html.render(report, figures))
    wide = np.array([[[[-1.7e308, 1.7e308] * 8] * 16]])
    report, figures = one_output(tmp_path / "wide", wide, -wide, "mask_logits")
    assert "nan" not in html.render(report, figures).split("<main>")[1].split("</svg>")[0]
    json.loads(core_figures.dumps(figures))


def test_a_report_without_comparisons_names_what_is_missing(tmp_path):
    page = Parsed(html.render(Report(command="run", model="m", version=None, verdict="failed"))).text
    assert "no server ran: this does not prove what a server returns" in page
    assert "No output was compared." in page
    assert "No server ran, so latency was not measured." in page


@pytest.mark.parametrize(
    ("shape", "channelled", "layout"),
    [
        ((1, 64, 64), None, (1, 1, 64, 64)),
        ((1, 3, 64, 64), None, (3, 1, 64, 64)),
        ((1, 64, 64, 3), None, (3, 1, 64, 64)),
        ((1, 20, 64, 64), None, (1, 20, 64, 64)),
        ((1, 20, 64, 64), True, (20, 1, 64, 64)),
        ((1, 3, 64, 64), False, (1, 3, 64, 64)),
        ((1, 2, 30, 64, 64), None, (2, 30, 64, 64)),
    ],
)
def test_the_axes_of_an_output_are_recognized(shape, channelled, layout):
    array = np.random.default_rng(0).random(shape)
    other = array.copy()
    other[(0, *(size - 1 for size in shape[1:]))] += 1
    made = slice_choice.picture("y", 0, "", expected=array, found=other, batched=True, channelled=channelled)
    assert (made.channels, made.depth) == layout[:2]
    assert (made.panes[0].height, made.panes[0].width) == layout[2:]
    assert (made.channel, made.depths[made.worst]) == (layout[0] - 1, layout[1] - 1)


@pytest.mark.parametrize("shape", [(1, 10), (1,), (1, 3, 4, 4), (1, 2, 3, 4, 16, 16), (1, 0, 16, 16)])
def test_an_array_without_two_image_axes_has_no_picture(shape):
    array = np.zeros(shape)
    assert slice_choice.picture("y", 0, "", expected=array, found=array, batched=True) is None


def test_shrinking_hides_no_difference():
    expected = np.zeros((1, 1, 600, 600))
    found = expected.copy()
    found[0, 0, 301, 302], found[0, 0, 10, 10] = -2.0, np.nan
    made = slice_choice.picture("y", 0, "", expected=expected, found=found, batched=True)
    shown = np.frombuffer(made.panes[-1].pixels, np.uint8).reshape(200, 200)
    assert (shown[100, 100], shown[3, 3], shown[0, 0]) == (0, slice_choice.NOT_A_NUMBER, 127)


def test_colours_of_the_difference():
    ends = Pane(
        title="Difference", palette="difference", low=-1, high=1, pixels=bytes((0, 127, 254, 255)), slices=1, height=1, width=4
    )
    palette = re.search(rb"PLTE(.{768})", base64.b64decode(png.data_uri(ends).split(",")[1]), re.DOTALL)[1]
    blue, middle, red, none = (tuple(palette[3 * value : 3 * value + 3]) for value in ends.pixels)
    assert blue[2] > 150 > blue[0]
    assert red[0] > 150 > red[2]
    assert len(set(middle)) == 1
    assert none == (255, 0, 255)


# ---- what the collector keeps ----


def test_the_figures_use_the_stage_nearest_to_the_client(tmp_path):
    expected = [{"y": np.zeros((1, 4), np.float32)}, {"y": np.ones((1, 4), np.float32)}]
    known = report_samples.golden(tmp_path / "g", [{"x": np.zeros((1, 1), np.float32)}] * 2, expected)
    tracker = report_samples.seen(known, [{"y": each["y"] + 1} for each in expected], (StageName.ONNXRUNTIME, StageName.HTTP))
    for stage in (StageName.GRPC, StageName.SHM, StageName.ONNXRUNTIME, StageName.CONCURRENT, StageName.AGAIN):
        tracker.add(stage, (0,), {"y": expected[0]["y"] + np.float32(0.5)})
    tracker.add(StageName.SHM, (0, 1), {"y": np.full((2, 4), 9, np.float32)})
    figures = tracker.collector.figures()
    assert figures.stage == StageName.SHM
    assert figures.scatters[0].found == (0.5,) * 4


def test_a_sample_is_counted_once_and_the_worst_gets_a_picture(tmp_path):
    expected = [{"y": np.zeros((1, 16, 16), np.float32)} for _ in range(4)]
    known = report_samples.golden(tmp_path / "g", [{"x": np.zeros((1, 16, 16), np.float32)}] * 4, expected)
    found = [{"y": np.full((1, 16, 16), far, np.float32)} for far in (1, 3, 7, 2)]
    figures = report_samples.seen(known, [*found, *found[:0]], (StageName.SHM,)).collector.figures()
    assert [(each.sample, each.why, each.panes[-1].high) for each in figures.slices] == [
        (0, "first sample", 1.0),
        (2, "largest difference", 7.0),
    ]
    assert figures.histograms[0].elements == 4 * 256
    assert len(figures.scatters[0].expected) <= 2000


def test_the_first_sample_gets_a_picture_even_if_an_edge_case_ran_before_it(tmp_path):
    expected = [{"y": np.zeros((1, 16, 16), np.float32)} for _ in range(3)]
    known = report_samples.golden(tmp_path / "g", [{"x": np.zeros((1, 1), np.float32)}] * 3, expected)
    known = replace(known, samples=replace(known.samples, edges={2: "zeros"}))
    tracker = ErrorTracker(known, FigureCollector(known))
    for index, far in ((2, 5), (0, 1), (1, 2)):
        tracker.add(StageName.SHM, (index,), {"y": np.full((1, 16, 16), far, np.float32)})
    shown = [(each.sample, each.why) for each in tracker.collector.figures().slices]
    assert shown == [(0, "first sample"), (2, "largest difference, edge case zeros")]


def test_the_size_of_the_figures_is_bounded(tmp_path):
    names = [f"y{number}" for number in range(12)]
    expected = [{name: np.zeros((1, 33, 40, 260), np.float32) for name in names}]
    known = report_samples.golden(tmp_path / "g", [{"x": np.zeros((1, 1), np.float32)}], expected)
    figures = report_samples.seen(
        known, [{name: array + np.float32(1) for name, array in expected[0].items()}], (StageName.SHM,)
    ).collector.figures()
    assert (len(figures.histograms), len(figures.slices)) == (8, 4)
    assert all(pane.slices <= 32 and max(pane.height, pane.width) <= 256 for each in figures.slices for pane in each.panes)


# ---- evidence and commands ----


@pytest.fixture
def version(tmp_path) -> Path:
    return report_samples.published(tmp_path)


def test_the_evidence_has_the_page_and_its_numbers(version):
    folder = version / repository.EVIDENCE
    listed = repository.read_manifest(version)["files"]
    assert {"3/evidence/report.html", "3/evidence/figures.json"} <= set(listed)
    assert not repository.integrity(version.parents[1], "network", 3)
    page = Parsed((folder / "report.html").read_text()).text
    assert "label 1" in page
    assert "The largest is 0.25 at 0, encoder.block." in page
    plain = json.loads((folder / "figures.json").read_text())
    assert plain["classes"][0]["classes"][0] == {"number": 1, "expected": pytest.approx(0.6), "found": pytest.approx(0.6)}
    assert plain["located"] == [["encoder.block", 0.25]]


def test_report_prints_the_path_of_the_page(version):
    done = invoke("report", str(version.parents[1]), "--model", "network", "--no-open")
    assert done.stdout.strip() == str(version / "evidence" / "report.html")
    assert invoke("report", str(version), "--no-open").stdout == done.stdout
    plain = json.loads(invoke("report", str(version.parents[1]), "--json", "--model", "network").stdout)
    assert plain["reports"][0]["verdict"] == "passed"


def test_report_fails_for_a_missing_model_version_or_page(version):
    repository_ = str(version.parents[1])
    assert invoke("report", repository_, "--model", "other").returncode == 2
    assert invoke("report", repository_, "--version", "9").returncode == 2
    (version / "evidence" / "report.html").unlink()
    done = invoke("report", repository_, "--version", "3", "--no-open")
    assert (done.returncode, "The version has no report." in done.stderr) == (6, True)


def test_view_needs_a_file_or_one_model(version, tmp_path):
    pytest.importorskip("netron", reason='Netron is not installed: pip install "tritonize[view]"')
    assert invoke("view", str(tmp_path / "nowhere"), "--no-open").returncode == 2
    (version / "model.onnx").unlink()
    done = invoke("view", str(version.parents[1]), "--no-open")
    assert (done.returncode, "has no ONNX file" in done.stderr) == (2, True)
