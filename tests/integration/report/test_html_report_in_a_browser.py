"""The HTML report in a browser: on screens, in the accessibility tree and in print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import chromium, report_samples
from tests.support.command import CHECKOUT
from tritonize.core.reports import Finding
from tritonize.report import html
from tritonize.report.html import index_page
from tritonize.report.html.index_page import ModelHistory, VersionPoint

SCREENSHOTS = CHECKOUT / "build" / "report-screenshots"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[chromium.Page]:
    if chromium.PROGRAM is None:
        pytest.skip(chromium.INSTALL)
    with chromium.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Reports of a volume that passed and of a classifier that failed, whose name has no place for a line break."""
    folder = tmp_path_factory.mktemp("pages")
    report, kept = report_samples.classifier(folder / "c", wrong=True)
    finding = Finding(where="classifier/3/" + "long_name_" * 30, what="the file was changed", expected="a" * 64, found="b" * 64)
    made = {
        "volume": report_samples.volume(folder / "v", side=40),
        "several": report_samples.several(folder / "s"),
        "classifier": (replace(report, model="classifier_" + "x" * 120, findings=(finding,)), kept),
    }
    for name, (report, kept) in made.items():
        (folder / f"{name}.html").write_text(html.render(report, kept))
    return {name: folder / f"{name}.html" for name in made}


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (1280, True), (390, True)])
@pytest.mark.parametrize("name", ["volume", "classifier", "several"])
def test_the_page_fits_its_window_in_chromium(page, pages, name, width, dark):
    page.open(pages[name], width=width, dark=dark)
    page.screenshot(SCREENSHOTS / f"{name}-{width}{'-dark' if dark else ''}.png")
    assert page.problems() == []
    assert page.value("document.documentElement.scrollWidth") <= width  # a phone makes innerWidth fit what is too wide
    assert page.value("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
    sizes = page.value(
        "[...document.querySelectorAll('figure, svg, .window')].map(each => each.getBoundingClientRect())"
        ".map(box => [box.width, box.height, box.left, box.right])"
    )
    assert len(sizes) > 12
    assert all(wide > 100 and high > 40 and left >= 0 and right <= width for wide, high, left, right in sizes)
    assert page.value(CUT_OFF) == []
    assert page.value("document.body.scrollHeight") < TALLEST[width]
    assert page.value(CONTRAST) == []
    page.value(OPEN)
    assert page.value("document.documentElement.scrollWidth") <= width
    assert width < 1280 or page.value(WIDE_TABLES) == []
    colours = page.value("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) > 384 for colour in colours]
    assert light == [not dark, dark]


TALLEST = {1280: 6700, 390: 9300}
"""Largest height of a report in pixels, by the width of the window."""
OPEN = "document.querySelectorAll('details').forEach(each => { each.open = true; })"
WIDE_TABLES = """
[...document.querySelectorAll(".scroll")].filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.ariaLabel)
"""
"""Tables that are wider than their box, so that a part is only seen after scrolling."""
CONTRAST = """
(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => channels(colour).slice(0, 3).map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = channels(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return getComputedStyle(element).backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const found = new Set(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("script, style, title, desc, button")) continue;
    const style = getComputedStyle(element), front = light(element.closest("svg") ? style.fill : style.color);
    const back = light(behind(element));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) found.add(element.textContent.slice(0, 40) + ": " + ratio.toFixed(2));
  }
  return [...found];
})()
"""
"""Texts whose contrast with their background is below 4.5, the level AA of WCAG."""
CUT_OFF = """
[...document.querySelectorAll("h1, h2, h3, p, dt, dd, li, summary, label, button, svg text, pre")].filter(each => {
  const box = each.getBoundingClientRect(), outer = each.closest("svg") || each.closest("figure") || document.body;
  const around = outer.getBoundingClientRect();
  const inside = outer.tagName != "svg" && each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1;
  return box.width > 0 && (box.left < around.left - 1 || box.right > around.right + 1 || inside);
}).map(each => each.textContent)
"""
"""Texts that overflow their container; tables are excluded because they scroll."""


TEXTS = """
(() => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode())
    if (!walker.currentNode.parentElement.closest("script, style, svg") && walker.currentNode.parentElement.checkVisibility())
      found.push(walker.currentNode.textContent);
  return found;
})()
"""
"""Every text on the page outside the drawings, which have a name, a description and a table instead."""


@pytest.mark.parametrize("name", ["volume", "classifier"])
def test_the_accessibility_tree_has_every_text(page, pages, name):
    page.open(pages[name], width=390)
    page.value(OPEN)
    nodes = page.accessible()
    everything = " ".join(" ".join(name.split()) for _, name, _ in nodes)
    texts = {" ".join(text.split()) for text in page.value(TEXTS)} - {""}
    assert len(texts) > 100
    assert {text for text in texts if text not in everything} == set()
    roles = [role for role, _, _ in nodes]
    assert {"heading", "table", "columnheader", "rowheader", "image", "navigation", "main", "figure"} <= set(roles)
    headings = {name for role, name, _ in nodes if role == "heading"}
    assert {
        " ".join(text.split()) for text in page.value("[...document.querySelectorAll('h1, h2, h3')].map(each => each.innerText)")
    } <= headings
    drawn = [(name, about) for role, name, about in nodes if role == "image" and about]
    assert len(drawn) == page.value("document.querySelectorAll('svg').length") > 3
    if name == "volume":
        assert any(role == "slider" and name == "Depth" for role, name, _ in nodes)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_over_a_repository_fits_its_window(page, tmp_path, width, dark):
    points = [
        VersionPoint(version=n, verdict="passed" if n % 2 else "not run", created="2026-11-30T10:00:00+00:00", error=n * 1e-5,
                     atol=1e-4, share=n / 10, latency_ms=n, latency_of="shared memory, batch 1", page=f"m/{n}/evidence/report.html")
        for n in range(1, 8)
    ]  # fmt: skip
    models = [ModelHistory(model=name, versions=tuple(points), served=(5,), pinned=True) for name in ("lung_v3", "x" * 90)]
    (tmp_path / "index.html").write_text(index_page.render("model_repository", models))
    page.open(tmp_path / "index.html", width=width, dark=dark)
    page.screenshot(SCREENSHOTS / f"index-{width}{'-dark' if dark else ''}.png")
    page.value(OPEN)
    assert page.problems() == []
    assert page.value("document.documentElement.scrollWidth") <= width
    assert width < 1280 or page.value(WIDE_TABLES) == []
    assert page.value(CONTRAST) == []
    nodes = page.accessible()
    assert sum(role == "image" and "versions 1 to 7: from" in name for role, name, _ in nodes) == 4
    everything = " ".join(" ".join(name.split()) for _, name, _ in nodes)
    assert [text for text in page.value(TEXTS) if " ".join(text.split()) not in everything] == []


def test_the_slider_moves_through_the_slices(page, pages):
    page.open(pages["volume"], width=1280)
    assert page.value("document.querySelector('output').textContent") == "26"  # the largest difference
    moved = "(() => { const at = document.querySelector('.window img'); const before = at.getBoundingClientRect().top; %s;"
    moved += " return (at.getBoundingClientRect().top - before) / at.parentElement.clientHeight; })()"
    step = "const slider = document.querySelector('input'); slider.value = 1; slider.dispatchEvent(new Event('input'))"
    slices = page.value("document.querySelector('.slices').dataset.depths.split(',').length")
    start = page.value("Number(document.querySelector('input').getAttribute('value'))")
    assert page.value(moved % step) == pytest.approx(start - 1, abs=0.05)
    assert slices == 32
    page.value("document.querySelectorAll('.slices')[1].querySelector('button').click()")
    assert page.value("document.querySelectorAll('output')[1].textContent") == "5"
    assert page.problems() == []


def test_without_scripts_the_slice_with_the_largest_difference_is_shown(page, pages):
    page.open(pages["volume"], width=390, script=False)
    page.command("Emulation.setScriptExecutionDisabled", value=False)
    assert page.value("document.querySelector('.slider').offsetHeight") == 0
    assert page.value("document.querySelector('.at').innerText") == "Shown: slice 26 of 0 to 39."


def test_the_page_prints(page, pages):
    page.open(pages["volume"], width=1280, dark=True)
    page.command("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.value("getComputedStyle(document.body).color") == "rgb(22, 25, 29)"
    assert page.value("getComputedStyle(document.querySelector('.slider')).display") == "none"
    printed = "[...document.querySelectorAll('svg, .window')].filter(each => each.checkVisibility())"
    assert page.value(f"{printed}.length") >= 10
    assert page.value(f"{printed}.every(each => each.getBoundingClientRect().height > 40)")
    assert page.value("document.querySelector('details').getBoundingClientRect().height") == 0
    page.command("Emulation.setEmulatedMedia", media="")
    for name in pages:
        page.open(pages[name], width=1280)
        page.pdf(SCREENSHOTS / f"{name}.pdf")
        content = (SCREENSHOTS / f"{name}.pdf").read_bytes()
        assert content[:5] == b"%PDF-"
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", content)) <= 3
