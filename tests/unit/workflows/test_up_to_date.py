"""When a model is up to date, and each change after which it is not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import invoke
from tests.support.plain_versions import config, publish
from tritonize import repository
from tritonize.core.errors import RepositoryError
from tritonize.process.loaded_code import Loaded
from tritonize.source import identification
from tritonize.spec import schema
from tritonize.workflows import ensemble_steps, made_from, promotion, up_to_date

PLACE = Path("model_repository")
SPEC = """
schema: 1
repository: model_repository
target: {triton: "26.06"}
models:
  m:
    source: net:make
    weights: weights.safetensors
    search_path: [code]
    inputs: {x: {shape: [batch, 4]}}
    outputs: {y: {labels: labels.txt}}
    max_batch_size: 2
    samples: {files: "samples/*.npz"}
"""
FILES = {
    "code/net.py": "import helper\n",
    "code/pkg/part.py": "x = 1\n",
    "code/table.csv": "1,2\n",
    "weights.safetensors": "weights",
    "labels.txt": "a\nb\n",
    "samples/a.npz": "sample",
}


def specification(text: str = SPEC) -> schema.Spec:
    from tritonize.spec import loader

    Path("spec.yaml").write_text(text)
    return loader.load(Path("spec.yaml"))


def loaded() -> Loaded:
    """What the workers of a run would report."""
    code = {str(Path(name).absolute()): name.removeprefix("code/") for name in FILES if name.endswith(".py")}
    others = [str(Path("code/table.csv").absolute())]
    files = {path: made_from.file_hashes.sha256(Path(path)) for path in (*code, *others)}
    return Loaded(files=files, modules=code, packages={"numpy"})


def published(**facts: Any) -> None:
    """A version that was made from the files as they are now."""
    for name, text in FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    spec = specification()
    model = spec.models["m"]
    origin = made_from.complete(made_from.given(spec, "m", identification.identify(model).sha256), model, loaded())
    publish(PLACE, "model", facts={"made_from": origin, **facts})


def current(text: str = SPEC, **options: Any) -> bool:
    return "m" in up_to_date.reports(specification(text), **options)


def edited(name: str) -> Callable[[], object]:
    return lambda: Path(name).write_text(Path(name).read_text() + " ")


CHANGES = {
    **{name: edited(name) for name in FILES},
    "one byte, the same size and time": lambda: _same_time("weights.safetensors", "weightz"),
    "another sample": lambda: Path("samples/b.npz").write_text("more"),
    "the model in the repository": edited("model_repository/m/1/model.onnx"),
    "evidence": edited("model_repository/m/1/evidence/report.json"),
    "the configuration": edited("model_repository/m/config.pbtxt"),
    "a file beside the model": lambda: Path("model_repository/m/1/new").touch(),
    "a removed file": lambda: Path("code/table.csv").unlink(),
    "a newer version of something else": lambda: publish(PLACE, "other"),
}


def _same_time(name: str, text: str) -> None:
    before = Path(name).stat()
    Path(name).write_text(text)
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", CHANGES)
def test_any_changed_byte_runs_again(name):
    published()
    assert current()
    CHANGES[name]()
    assert not current()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('triton: "26.06"', 'triton: "26.05"'),
        ("max_batch_size: 2", "max_batch_size: 3"),
        ("source: net:make", "source: net:other"),
        ("{labels: labels.txt}", "{labels: labels.txt, tolerance: {rtol: 0.1}}"),
        ("    max_batch_size", "    kwargs: {depth: 2}\n    max_batch_size"),
        ("    max_batch_size", "    kwargs: {hf_token: secret}\n    max_batch_size"),
    ],
)
def test_a_changed_spec_runs_again(old, new):
    published()
    assert current()
    assert not current(SPEC.replace(old, new))


def test_another_library_version_runs_again(monkeypatch):
    published()
    assert current()
    own = made_from._installed
    with monkeypatch.context() as patch:
        patch.setattr(made_from, "_installed", lambda name: "0.0.1" if name == "numpy" else own(name))
        assert not current()
    assert current()
    with monkeypatch.context() as patch:
        patch.setattr(made_from, "own_version", lambda: "0.1.0 changed")
        assert not current()
    monkeypatch.setattr(made_from.platform, "python_version", lambda: "3.99")
    assert not current()


def test_a_distribution_that_was_installed_again_with_other_files_runs_again(tmp_path, monkeypatch):
    info = tmp_path / "plain-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n")
    (info / "RECORD").write_text("plain.py,sha256=a,1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = made_from.libraries(["plain"])["plain"]
    made_from._installed.cache_clear()
    (info / "RECORD").write_text("plain.py,sha256=b,1\n")
    after = made_from.libraries(["plain"])["plain"]
    assert (before.split()[0], after.split()[0]) == ("1.0", "1.0")
    assert before != after


@pytest.mark.parametrize(
    "facts", [{"verdict": "not run"}, {"made_from": None}, {"made_from": {"schema": 1}}, {"made_from": {"schema": 2}}]
)
def test_a_version_that_is_unproven_or_does_not_say_what_it_is_made_from_is_not_up_to_date(facts):
    published(**facts)
    assert not current()


def test_a_file_that_has_no_portable_name_is_never_up_to_date(tmp_path):
    (tmp_path / "far.bin").write_text("far")
    published()
    spec = specification()
    model = spec.models["m"]
    far = str(tmp_path / "far.bin")
    known = loaded()
    known.files[far] = made_from.file_hashes.sha256(Path(far))
    now = made_from.given(spec, "m", identification.identify(model).sha256)
    origin = made_from.complete(now, model, known)
    assert str(tmp_path) not in json.dumps(origin)
    assert "far.bin" not in json.dumps(origin)
    assert made_from.difference(origin, now, model) == "a file that the model's code read cannot be found again"


def test_a_python_file_that_changed_during_the_run_is_an_error():
    published()
    known = loaded()
    edited("code/net.py")()
    spec = specification()
    with pytest.raises(RepositoryError, match="changed during the run"):
        made_from.complete(made_from.given(spec, "m", {}), spec.models["m"], known)


def test_a_module_that_would_be_imported_instead_runs_again():
    published()
    Path("first").mkdir()
    Path("first/net.py").write_text("import helper\n")
    moved = SPEC.replace("search_path: [code]", "search_path: [first, code]")
    spec = specification(moved)
    origin = made_from.complete(made_from.given(spec, "m", {}), spec.models["m"], loaded())
    Path("first/net.py").write_text("other\n")
    assert made_from.difference(origin, made_from.given(spec, "m", {}), spec.models["m"]) == "net.py changed"


PIPELINE = """
schema: 1
repository: model_repository
models:
  whole:
    source: net:Whole
    ensemble: [{model: step}]
    inputs: {x: {shape: [batch, 3]}}
    outputs: {y: {}}
    max_batch_size: 2
  step:
    python: steps.py:f
    files: [table.txt]
    inputs: {x: {shape: [batch, 3]}}
    outputs: {y: {dtype: fp32, shape: [batch, 3]}}
    max_batch_size: 2
"""


def pipeline() -> None:
    """A Python step and an ensemble of it that were made from the files as they are now."""
    Path("steps.py").write_text("def f(x): return x")
    Path("table.txt").write_text("1")
    Path("net.py").write_text("class Whole: ...")
    spec = specification(PIPELINE)
    for name in ("step", "whole"):
        model = spec.models[name]
        origin = made_from.complete(made_from.given(spec, name, identification.identify(model).sha256), model, Loaded())
        used = {} if name == "step" else {"step": ensemble_steps.used(repository.read_manifest(PLACE / "step" / "1"))}
        publish(PLACE, "model", name=name, facts={"made_from": origin, **({"steps": used} if used else {})})


@pytest.mark.parametrize(
    ("change", "still"),
    [
        (lambda: None, {"step", "whole"}),
        (lambda: Path("steps.py").write_text("def f(x): return -x"), set()),
        (lambda: Path("table.txt").write_text("2"), set()),
        (lambda: publish(PLACE, "model", name="step"), set()),  # it does not say what it was made from
        (lambda: (PLACE / "step" / "1" / "model.onnx").write_text("damaged"), set()),
        (lambda: (PLACE / "whole" / "1" / "model.onnx").write_text("damaged"), {"step"}),
    ],
)
def test_an_ensemble_is_up_to_date_as_long_as_its_steps_are(change: Callable[[], object], still: set[str]) -> None:
    pipeline()
    change()
    assert set(up_to_date.reports(specification(PIPELINE))) == still


def test_an_ensemble_alone_is_compared_with_the_steps_in_the_repository() -> None:
    pipeline()
    Path("steps.py").write_text("def f(x): return -x")  # the step was not run again
    assert set(up_to_date.reports(specification(PIPELINE), ["whole"])) == {"whole"}
    publish(PLACE, "model", name="step")
    assert set(up_to_date.reports(specification(PIPELINE), ["whole"])) == set()


def test_run_says_up_to_date_in_no_time_and_with_exit_code_0(monkeypatch):
    published()
    started = time.perf_counter()
    done = invoke("run", "spec.yaml")
    assert time.perf_counter() - started < 5
    assert done.returncode == 0
    assert done.stdout.startswith("\nUP TO DATE m version 1\n")
    assert "\nPublished: model_repository/m/1\nNext: tritonize serve model_repository\n" in done.stdout
    assert "To run nevertheless, add --force." in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    (report,) = json.loads(invoke("run", "spec.yaml", "--json").stdout)["reports"]
    assert (report["version"], report["details"]["up_to_date"]) == (1, True)
    assert current(replace_config=True)
    publish(PLACE, "two", text=config(size=9))
    promotion.promote(promotion.Request(repository=PLACE, model="m", version=1))
    assert not current()  # version 2 is the newest


def test_a_pinned_older_version_is_named():
    publish(PLACE, "older")
    published()
    promotion.rollback(promotion.Request(repository=PLACE, model="m"))
    done = " ".join(invoke("run", "spec.yaml").stdout.split())
    assert "UP TO DATE m version 2" in done
    assert "serves version 1 alone" in done
    quiet = " ".join(invoke("--quiet", "run", "spec.yaml").stdout.split())
    assert quiet == "UP TO DATE m version 2: version 1 is still the one served"
    assert not current(replace_config=True)  # it would put the configuration of version 2 in place


def test_names_of_files_that_the_code_read_are_not_in_the_manifest_and_each_is_found_again():
    scan = Path("code/scans/Jane_Doe/one.bin")
    scan.parent.mkdir(parents=True)
    scan.write_text("voxels")
    published()
    spec = specification()
    model = spec.models["m"]
    known = loaded()
    known.files[str(scan.absolute())] = made_from.file_hashes.sha256(scan)
    now = made_from.given(spec, "m", identification.identify(model).sha256)
    origin = made_from.complete(now, model, known)
    assert "Jane" not in json.dumps(origin)
    assert not [each for each in ("one.bin", "table.csv", "scans") if each in json.dumps(origin)]
    assert made_from.difference(origin, now, model) is None
    (scan.parent / "unread.bin").write_text("of no concern")
    assert made_from.difference(origin, now, model) is None
    scan.write_text("other voxels")
    assert made_from.difference(origin, now, model) == "one.bin changed"
    scan.unlink()
    assert made_from.difference(origin, now, model) == "a file that the model's code read changed"
