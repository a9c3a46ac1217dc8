"""The page over all models and versions of a repository, and `tritonize report`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import report_samples
from tests.support.command import invoke
from tests.support.plain_versions import publish
from tests.unit.report.test_html_report import Parsed
from tritonize.report.html import index_page, trend
from tritonize.report.html.index_page import ModelHistory, VersionPoint
from tritonize.workflows import history


def version(model: Path, number: int, *, error: float = 1e-6, latency: float | None = 2.0, **fields: object) -> None:
    """A version with a manifest, as `run` publishes it, and an empty report."""
    evidence = model / str(number) / "evidence"
    evidence.mkdir(parents=True)
    (model / "config.pbtxt").touch()
    (model / str(number) / "model.onnx").touch()
    (evidence / "report.html").touch()
    row = {"stage": "shm", "batch_size": 1, "output": "y", "rtol": 0, "atol": 1e-4, "answers": 4, "failed": 0, "max_abs": error}
    times = {"stage": "shm", "batch_size": 1, "median_ms": latency}
    manifest = {
        "schema": 2, "files": {}, "verdict": "passed", "created": f"2026-11-{number:02}T10:00:00+00:00", "verification": [row],
        "latency": [{**times, "stage": "http"}, times, {**times, "stage": "concurrent", "batch_size": 0}] if latency else [],
        **fields,
    }  # fmt: skip
    (evidence / "manifest.json").write_text(json.dumps(manifest))


def rows(page: str) -> dict[str, str]:
    """The text of each row of the page by its model."""
    return dict(re.findall(r'<th scope="row">(?:<a [^>]*>)?([^<]*).*?</th>(.*?)</tr>', page, re.DOTALL))


def test_each_model_has_its_newest_version_and_its_trend(tmp_path: Path) -> None:
    for number, error in ((1, 1e-6), (2, 5e-5), (9, 2e-5)):
        version(tmp_path / "models" / "heart", number, error=error, latency=number)
    version(tmp_path / "models" / "first", 1, latency=None, verdict="passed quick")
    page = index_page.render("models", history.of(tmp_path / "models", start=tmp_path))
    text = Parsed(page).text
    assert "2 models, 4 versions. Newest versions: 1 passed, 1 passed (quick)." in text
    assert "heart ✓ passed 2026-11-09 10:00 2e-05 of 0.0001" in text
    assert "9.0 ms (shared memory, batch 1)" in text
    assert 'href="models/heart/9/evidence/report.html"' in page
    shown = rows(page)
    assert shown["heart"].count("<svg") == 2
    assert "versions 1 to 9: from 0.01 to 0.2, at most 0.5" in shown["heart"]
    assert [int(each) for each in re.findall(r"version (\d+)</a>", shown["heart"])] == [9, 2, 1]
    assert "<svg" not in shown["first"]  # one version is no trend
    assert "✓" not in shown["first"]


def test_the_page_names_what_is_served_and_breaks_names_at_underscores(tmp_path: Path) -> None:
    for number in (1, 2):
        version(tmp_path / "lung_v3-b", number)
    (tmp_path / "lung_v3-b" / "config.pbtxt").write_text("version_policy { specific { versions: [ 1 ] } }")
    page = index_page.render("r", history.of(tmp_path, start=tmp_path))
    assert "lung_<wbr>v3-<wbr>b</a>" in page
    assert "<strong>serves version 1</strong>" in page
    pinned = ModelHistory(model="m", versions=(VersionPoint(version=1, verdict="passed"),), served=(1,), pinned=True)
    assert "serves version 1 (pinned)" in index_page.render("r", [pinned])


def test_damaged_and_foreign_versions_are_named(tmp_path: Path) -> None:
    version(tmp_path / "torn", 1)
    (tmp_path / "torn" / "1" / "evidence" / "manifest.json").write_text("{")
    version(tmp_path / "other", 1, verification=[{"max_abs": "much"}])
    version(tmp_path / "infinite", 1, error=float("inf"))
    (tmp_path / "bare" / "3").mkdir(parents=True)
    (tmp_path / "bare" / "config.pbtxt").touch()
    (tmp_path / "bare" / "3" / "model.onnx").touch()
    text = Parsed(index_page.render("r", history.of(tmp_path, start=tmp_path))).text
    assert "torn damaged" in text
    assert "bare no evidence" in text
    assert "other ✓ passed 2026-11-01 10:00 serves version 1 version 1 : passed" in text
    assert "infinite ✓ passed 2026-11-01 10:00 serves version 1 version 1 : passed" in text


def test_hostile_names_are_escaped_and_links_are_encoded(tmp_path: Path) -> None:
    name = 'a"><script>x #?%'
    version(tmp_path / name, 1)
    version(tmp_path / name, 2, verdict="<b>", created="<i>")
    page = index_page.render("<u>", history.of(tmp_path, start=tmp_path))
    assert not Parsed(page).all("script")
    assert not re.findall("<[bu]>", page)
    assert {each["href"] for each in Parsed(page).all("a")} == {
        f"a%22%3E%3Cscript%3Ex%20%23%3F%25/{number}/evidence/report.html" for number in (1, 2)
    }


def test_the_page_is_bounded() -> None:
    def models():
        for number in range(index_page.MAX_MODELS + 7):
            yield ModelHistory(model=f"m{number}", versions=(VersionPoint(version=1, verdict="passed"),))

    text = index_page.render("many", models())
    assert "7 more models are not shown" in text
    assert "5,007 models, 5,007 versions" in text
    many = ModelHistory(
        model="m", versions=tuple(VersionPoint(version=each, verdict="passed", share=0.5) for each in range(1, 500))
    )
    page = index_page.render("deep", [many])
    assert page.count("version 499:") == 1
    assert page.count('class="dot"') == index_page.MAX_VERSIONS


def test_a_trend_stays_inside_its_drawing() -> None:
    for values in ([0.0, 0.0], [None, 1e300, 1e-300], [5.0], [1.0, None, 2.0]):
        for limit in (None, 1.0):
            places = re.findall(r"M?([0-9.]+) ([0-9.]+)", trend.line(values, about="x", limit=limit).split('d="')[1].split('"')[0])
            assert all(0 <= float(across) <= trend.WIDTH and 0 <= float(up) <= trend.HEIGHT for across, up in places)
    assert trend.line([None], about="x") == ""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return report_samples.published(tmp_path).parents[1]


def test_report_writes_the_page_outside_the_repository(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
    before = sorted(repository.rglob("*"))
    page = Path(invoke("report", str(repository), "--no-open").stdout.strip())
    assert page.parent == tmp_path / "cache" / "reports"
    assert "1 model, 1 version. Newest versions: 1 passed." in page.read_text()
    (link,) = set(re.findall(r'href="([^"]+report\.html)"', page.read_text()))
    assert (page.parent / link).resolve() == repository / "network" / "3" / "evidence" / "report.html"
    assert sorted(repository.rglob("*")) == before
    chosen = tmp_path / "site" / "index.html"
    assert invoke("report", str(repository), "--no-open", "--output", str(chosen)).stdout.strip() == str(chosen)
    assert 'href="../repository/network/3/evidence/report.html"' in chosen.read_text()
    assert [each.name for each in chosen.parent.iterdir()] == ["index.html"]


def test_report_takes_whatever_names_one_report(repository: Path) -> None:
    page = repository / "network" / "3" / "evidence" / "report.html"
    for place in (page.parents[1], page.parent, page, page.with_name("report.json")):
        assert invoke("report", str(place), "--no-open").stdout.strip() == str(page)
    for flags in (("--model", "network"), ("--version", "3")):
        assert invoke("report", str(repository), *flags, "--no-open").stdout.strip() == str(page)


def test_report_refuses_what_it_cannot_open(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.touch()
    done = invoke("report", str(other), "--no-open")
    assert (done.returncode, "no report of tritonize" in done.stderr) == (2, True)
    done = invoke("report", str(repository), "--model", "netwrk", "--no-open")
    assert (done.returncode, "network" in done.stderr) == (2, True)
    done = invoke("report", str(repository), "--model", "network", "--output", str(tmp_path / "x.html"), "--no-open")
    assert (done.returncode, "--output" in done.stderr) == (2, True)


def test_a_single_word_is_a_model_of_the_default_repository_and_never_a_place_to_publish_into() -> None:
    """`tritonize report m` beside the Python package `m` of the model opens the model's report."""
    publish(Path("model_repository"), "one")
    page = Path("model_repository/m/1/evidence/report.html")
    page.write_text("<html>")
    for package in (False, True):
        if package:
            Path("m").mkdir()
            Path("m/__init__.py").touch()
        done = invoke("report", "m", "--no-open")
        assert (done.returncode, done.stdout.strip()) == (0, str(page)), done.stderr
    Path("other").mkdir()
    Path("other/__init__.py").touch()
    refused = invoke("report", "other", "--no-open")
    assert (refused.returncode, "The folder is no model repository." in refused.stderr) == (2, True)
    assert "--repository other" not in refused.stderr
    publish(Path("m"), "one", name="n")  # a repository comes first
    assert invoke("report", "m", "--no-open").stdout.strip() != str(page)
