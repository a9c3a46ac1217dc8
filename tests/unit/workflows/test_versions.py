"""list, show, promote, rollback and prune, as a user meets them."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.command import invoke
from tests.support.plain_versions import config, publish
from tritonize import repository
from tritonize.cli import list_versions
from tritonize.core.errors import RepositoryError
from tritonize.core.reports import Report
from tritonize.provenance import signatures
from tritonize.report import ending
from tritonize.workflows import checked_copy, overview, promotion, pruning

PLACE = Path("model_repository")
CONFIG = PLACE / "m" / "config.pbtxt"


def three() -> None:
    for number in (1, 2, 3):
        publish(PLACE, f"model {number}", text=config(size=number))


def served(name: str = "m") -> tuple[int, ...]:
    (line,) = overview.listing(PLACE, [name])
    return tuple(each.version for each in line.versions if each.served)


def test_list_has_versions_policy_verdict_and_what_is_served():
    three()
    (PLACE / "other" / "1").mkdir(parents=True)
    (PLACE / "other" / "config.pbtxt").write_text('backend: "python"\nversion_policy { all { } }\n')
    (PLACE / "m" / "1" / "evidence" / "manifest.json").write_text("{")
    done = invoke("list")
    assert done.returncode == 0
    assert re.sub(r"\+ \d+ B", "+ …", done.stdout) == (
        "model_repository: 2 models, 4 versions\n\n"
        "m  (version policy: latest 1)\n"
        "    3  served  passed        2026-01-02 03:04  onnxruntime   7 B + …\n"
        "    2          passed        2026-01-02 03:04  onnxruntime   7 B + …\n"
        "    1          damaged                         onnxruntime   7 B + …\n"
        "      ✗ The version's manifest is damaged.\n\n"
        "other  (version policy: all)\n"
        "    1  served  no evidence                     python        0 B\n\n"
        "The files were not read. `tritonize verify` compares them with the manifests.\n"
    )
    plain = json.loads(invoke("list", "--json", "-m", "m").stdout)
    assert plain["files_checked"] is False
    assert [each["version"] for each in plain["models"][0]["versions"]] == [3, 2, 1]
    refused = invoke("list", "-m", "nothing")
    assert (refused.returncode, "The repository has no such model." in refused.stderr) == (2, True)
    (PLACE / "m" / "config.pbtxt").write_text("{{")
    assert "✗ config.pbtxt: " in invoke("list").stdout


def test_show_prints_the_manifest_in_words():
    rows = [{"stage": "http", "output": "y", "answers": 4, "failed": 0, "max_abs": 1e-6, "rtol": 1e-4, "atol": 1e-5}]
    facts = {
        "source": {"kind": "torchscript", "location": "m.pt", "sha256": {"m.pt": "0a" * 32}},
        "verification": rows,
        "versions": {"torch": "2.0"},
        "proved_by": {"tritonserver": "2.51.0"},
        "target": {"triton": "26.06"},
        "notes": ["A note \x1b[31m."],
    }
    publish(PLACE, "one", facts=facts)
    done = invoke("show", "m")
    assert done.returncode == 0
    for words in (
        "m version 1",
        "yes (version policy: latest 1)",
        "passed, proven on 2026-01-02",
        "torchscript m.pt",
        "m.pt: SHA-256\n               " + "0a" * 32,
        "4 comparisons, 0 outside the tolerance; Triton, HTTP",
        "y: largest error 1e-06; rtol 0.0001, atol 1e-05",
        "tritonserver 2.51.0",
        "Triton 26.06",
        "config       in place",
        "A note \\u001b[31m.",
    ):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert json.loads(invoke("show", "m", "--json").stdout)["manifest"]["target"] == {"triton": "26.06"}
    assert invoke("show", "m", "--version", "9").returncode == 2
    shutil.rmtree(PLACE / "m" / "1" / "evidence")
    assert "none; tritonize did not publish" in invoke("show", "m").stdout


def test_show_names_the_axes_as_the_spec_does():
    tensors = {"inputs": [{"name": "x", "dtype": "fp32", "shape": ["s95", 3, "s1"]}]}
    tensors["outputs"] = [
        {"name": "y", "dtype": "fp32", "shape": ["s95", "s1", "u0"]},
        {"name": "n", "dtype": "int64", "shape": []},
    ]
    publish(PLACE, "one", facts={"onnx": tensors, "spec": {"inputs": {"x": {"shape": ["batch", 3, "width"]}}}})
    shown = invoke("show", "m").stdout
    assert "x: fp32 [batch, 3, width]" in shown
    assert "y: fp32 [batch, width, u0]" in shown
    assert "n: int64 scalar" in shown


def test_a_line_of_the_list_fits_80_columns():
    sizes = {"bytes": 999 << 20, "evidence_bytes": 99 << 10}
    line = overview.VersionLine(
        version=999, served=True, verdict="passed quick", created="2026-11-30T10:00:00+00:00", backend="tensorrt_rtx", **sizes
    )
    assert len(list_versions._line(line)) <= 80


def test_rollback_serves_the_earlier_version_with_its_own_configuration_until_the_next_promote():
    three()
    done = invoke("rollback", "m")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "m: served: 2; before: 3")
    assert CONFIG.read_text().startswith(config(size=2))
    assert (served(), repository.pinned(PLACE / "m")) == ((2,), 2)
    for version in (1, 2, 3):  # the change is no damage
        assert repository.integrity(PLACE, "m", version) == ()
    assert checked_copy.unlike_config(PLACE, "m") == ()
    assert publish(PLACE, "four", text=config(size=4), allow_change=False) == 4  # published, and not served
    assert (served(), repository.integrity(PLACE, "m", 4)) == ((2,), ())
    assert CONFIG.read_text().startswith(config(size=2))
    assert invoke("rollback", "m").stdout.startswith("m: served: 1; before: 2")
    assert invoke("rollback", "m").returncode == 6  # nothing is older
    assert invoke("promote", "m", "4").stdout.startswith("m: served: 4; before: 1")
    assert invoke("promote", "m", "4").stdout == "m: nothing to change; served: 4\n"
    assert invoke("promote", "--newest", "m").returncode == 0
    assert (CONFIG.read_text(), repository.pinned(PLACE / "m")) == (config(size=4), None)
    plain = json.loads(invoke("rollback", "m", "--to", "3", "--json").stdout)
    assert (plain["before"], plain["after"], plain["pinned"]) == ([4], [3], True)
    assert publish(PLACE, "five", text=config(size=5)) == 5  # --replace-config ends the pin
    assert (served(), CONFIG.read_text()) == ((5,), config(size=5))
    assert sorted(os.listdir()) == ["home", "model_repository"]


def test_rollback_passes_over_what_is_not_fully_proven_and_says_so():
    publish(PLACE, "one", text=config(size=1))
    for facts in ({"verdict": "passed quick", "quick": {"left_out": ["float64"]}}, {"verdict": "not run"}, {}):
        publish(PLACE, str(facts), text=config(size=4), facts=facts)
    done = invoke("rollback", "m")
    assert done.stdout.startswith("m: served: 1; before: 4")
    said = " ".join(done.stdout.split())
    assert "Version 3 was passed over: its verdict is not run." in said
    again = "To serve it: tritonize rollback model_repository m --to 2"
    assert f"Version 2 was passed over: its verdict is passed (quick). {again}" in said
    assert invoke("rollback", "m", "--to", "2").stdout.startswith("m: served: 2; before: 1")
    shutil.rmtree(PLACE / "m" / "1")
    (_, refused) = invoke("promote", "m", "4"), invoke("rollback", "m")
    assert (refused.returncode, "Version 2 was passed over" in " ".join(refused.stderr.split())) == (6, True)


def test_the_configuration_of_a_pin_is_checked_byte_by_byte():
    three()
    promotion.rollback(promotion.Request(repository=PLACE, model="m"))
    text = CONFIG.read_text()
    for changed in (text.replace("max_batch_size: 2", "max_batch_size: 9"), text.replace("version 2", "version 1"), f"{text}\n"):
        CONFIG.write_text(changed)
        assert repository.pinned(PLACE / "m") is None
        assert [each.where for each in repository.integrity(PLACE, "m", 2)] == ["m/config.pbtxt"]
    CONFIG.write_text(text)
    (PLACE / "m" / "2" / "evidence" / "config.pbtxt").write_text(config(size=9))
    assert repository.pinned(PLACE / "m") is None


def test_what_is_served_by_a_pin_is_what_was_checked(tmp_path):
    three()
    promotion.rollback(promotion.Request(repository=PLACE, model="m"))
    private = checked_copy.to_serve(PLACE, ["m"], tmp_path)
    assert private.findings == []
    assert [each.version for each in private.checked] == [2]
    assert (private.root / "m" / "config.pbtxt").read_bytes() == CONFIG.read_bytes()


def test_promote_without_a_version_says_what_to_add():
    three()
    done = invoke("promote", "m")
    assert done.returncode == 2
    assert "`tritonize promote m 3`" in done.stderr
    assert "tritonize promote m --newest" in " ".join(done.stderr.split())
    assert "promote model_repository m --newest" in " ".join(invoke("promote", "model_repository", "m").stderr.split())
    assert "A version is not a number." in invoke("promote", "m", "two").stderr


def test_the_fields_that_change_are_listed():
    publish(PLACE, "model 1", text=config(size=4))
    publish(PLACE, "model 2", text=config(size=2))
    assert "  Changed in config.pbtxt:\n    max_batch_size: 2 -> 4\n" in invoke("rollback", "m").stdout
    assert "max_batch_size: 4 -> 2" in invoke("promote", "m", "2").stdout


def test_a_version_that_changed_or_is_unproven_is_not_promoted():
    three()
    publish(PLACE, "four", facts={"verdict": "not run"})
    (PLACE / "m" / "2" / "model.onnx").write_text("changed")
    (PLACE / "m" / "5").mkdir()
    before = CONFIG.read_bytes()
    for version, code in (("2", "version-changed-not-served"), ("4", "version-unproven"), ("5", "version-no-evidence")):
        done = invoke("promote", "m", version, "--json")
        assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (6, code)
    assert CONFIG.read_bytes() == before
    assert invoke("promote", "m", "4", "--allow-unproven").returncode == 0
    assert invoke("rollback", "m").returncode == 0  # version 3: what is unproven is passed over
    assert served() == (3,)
    (PLACE / "m" / "1" / "evidence" / "config.pbtxt").unlink()
    assert json.loads(invoke("rollback", "m", "--to", "1", "--json").stdout)["error"]["code"] == "version-config-lost"


def test_a_configuration_edited_by_hand_is_replaced_only_if_asked():
    three()
    CONFIG.write_text(config(size=8))
    done = invoke("rollback", "m", "--to", "1")
    assert done.returncode == 6
    assert "max_batch_size: 8 -> 1" in done.stderr
    assert CONFIG.read_text() == config(size=8)
    assert invoke("rollback", "m", "--to", "1", "--replace-config").returncode == 0
    CONFIG.unlink()
    assert invoke("rollback", "m", "--to", "1").returncode == 0
    assert served() == (1,)


@pytest.mark.parametrize(
    "arguments", [("promote", "m"), ("promote", "m", "two"), ("promote", "m", "9"), ("rollback", "n"), ("prune",)]
)
def test_wrong_arguments_change_nothing(arguments):
    three()
    before = CONFIG.stat()
    done = invoke(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert CONFIG.stat() == before
    assert invoke(*arguments, cwd=Path("home")).returncode == 2


def test_prune_keeps_what_is_served_and_what_tritonize_did_not_publish():
    for number in range(1, 8):
        publish(PLACE, f"model {number}")
    shutil.rmtree(PLACE / "m" / "1" / "evidence")
    promotion.rollback(promotion.Request(repository=PLACE, model="m", version=3))
    before = sorted(path for path in PLACE.rglob("*"))
    dry = invoke("prune", "--keep", "2", "--dry-run")
    assert sorted(path for path in PLACE.rglob("*")) == before
    assert dry.stdout.startswith("m: would remove 2, 4, 5 (")
    done = invoke("prune", "--keep", "2")
    assert done.stdout == dry.stdout.replace("would remove", "removed")
    assert "kept: 1, 3, 6, 7; served: 3\n    without evidence, so kept: 1\n" in done.stdout
    assert repository.versions(PLACE, "m") == (1, 3, 6, 7)
    assert all(repository.integrity(PLACE, "m", version, shared=False) == () for version in (3, 6, 7))
    assert sorted(os.listdir()) == ["home", "model_repository"]
    assert publish(PLACE, "eight", allow_change=False) == 8
    assert "nothing to remove" in invoke("prune", "--keep", "9").stdout
    assert invoke("prune", "--keep", "0").returncode == 2


def test_prune_removes_the_signatures_of_removed_versions():
    three()
    for version in (1, 3):
        path = signatures.path_of(PLACE, "m", version)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert invoke("prune", "--keep", "1").returncode == 0
    assert [path.name for path in signatures.path_of(PLACE, "m", 3).parent.iterdir()] == ["3.sig"]


def test_prune_removes_nothing_of_a_model_whose_served_versions_are_unknown():
    three()
    publish(PLACE, "one", name="n")
    publish(PLACE, "two", name="n")
    CONFIG.write_text("{{")
    done = invoke("prune", "--keep", "1", "--json")
    assert done.returncode == 6
    plain = json.loads(done.stdout)["models"]
    assert [(each["model"], each["removed"]) for each in plain] == [("m", []), ("n", [1])]
    assert plain[0]["error"]["code"] == "served-versions-unknown"
    assert repository.versions(PLACE, "m") == (1, 2, 3)


def test_prune_keeps_what_a_named_variant_of_the_configuration_serves():
    three()
    (PLACE / "m" / "configs").mkdir()
    (PLACE / "m" / "configs" / "canary.pbtxt").write_text("version_policy { specific { versions: 1 } }")
    (removal,) = pruning.prune(pruning.Request(repository=PLACE, keep=1))
    assert (removal.removed, removal.served) == ((2,), (1, 3))


def test_a_model_that_is_a_link_is_left_alone():
    publish(Path("outside"), "one")
    publish(Path("outside"), "two")
    PLACE.mkdir()
    (PLACE / "m").symlink_to(Path("outside/m").absolute())
    before = sorted(Path("outside").rglob("*"))
    (removal,) = pruning.prune(pruning.Request(repository=PLACE, keep=1))
    assert removal.error is not None
    assert removal.error.code == "repository-model-is-link"
    with pytest.raises(RepositoryError) as caught:
        promotion.rollback(promotion.Request(repository=PLACE, model="m"))
    assert caught.value.code == "repository-model-is-link"
    assert sorted(Path("outside").rglob("*")) == before


def test_a_model_that_triton_completes_is_listed_shown_and_packed(tmp_path):
    for number in (1, 2):
        (PLACE / "bare" / str(number)).mkdir(parents=True)
        (PLACE / "bare" / str(number) / "model.onnx").write_text("graph")
    for other in ("notes/1", "empty/1", "text"):
        (PLACE / other).mkdir(parents=True)
        (PLACE / other / "readme.txt").write_text("no model")
    assert invoke("list").stdout == (
        "model_repository: 1 model, 2 versions\n\n"
        "bare  (version policy: latest 1, no config.pbtxt: Triton completes it)\n"
        "    2  served  no evidence                     onnxruntime   5 B\n"
        "    1          no evidence                     onnxruntime   5 B\n"
    )
    shown = invoke("show", "bare")
    assert (shown.returncode, "served       yes" in shown.stdout, "evidence     none" in shown.stdout) == (0, True, True)
    three()
    packed = invoke("pack", str(PLACE), str(tmp_path / "out"))
    assert packed.returncode == 0, packed.stderr
    assert "bare has no config.pbtxt" in " ".join((packed.stdout + packed.stderr).split())
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"bare/2/model.onnx", "m/3/model.onnx", "m/config.pbtxt"}
    # A proven model whose configuration is gone is not one of them.
    CONFIG.unlink()
    assert "✗ config.pbtxt: " in invoke("list", "-m", "m").stdout
    refused = invoke("pack", str(PLACE), str(tmp_path / "other"), "-m", "m")
    assert refused.returncode != 0
    assert not (tmp_path / "other").exists()


def test_the_next_step_for_a_changed_file_is_to_restore_it_and_no_two_blank_lines_follow_each_other():
    three()
    (PLACE / "m" / "3" / "model.onnx").write_text("other")
    done = invoke("verify", str(PLACE))
    assert (done.returncode, "\n\n\n" in done.stdout) == (1, False)
    said = " ".join(done.stdout.split())
    assert (
        "Next: restore the files from a copy, or publish a new version: `tritonize run SPEC --repository model_repository`; until"
        in said
    )
    assert "--verbose` for all" not in said


def test_the_path_of_a_model_or_of_a_version_that_does_not_exist_names_no_repository() -> None:
    three()
    for number in "123":
        (PLACE / "m" / number / "evidence" / "report.html").write_text("")
    assert invoke("report", str(PLACE / "m"), "--no-open").stdout == "model_repository/m/3/evidence/report.html\n"
    missing = invoke("report", str(PLACE / "m" / "9"), "--no-open")
    assert missing.returncode == 2
    assert "has no such version" in missing.stderr
    assert "tritonize list model_repository" in missing.stderr


def test_a_version_that_is_published_beside_a_pinned_one_ends_with_the_command_that_serves_it() -> None:
    version = {"model": "m", "version": 6, "verdict": "passed", "location": PLACE / "m" / "6", "published": True}
    pinned = Report(command="run", **version, details={"pinned": 3})
    assert ending.ending(pinned, ["run", "m.onnx"], page=None).next_step == "tritonize promote model_repository m 6"
    free = Report(command="run", **version)
    assert ending.ending(free, ["run", "m.onnx"], page=None).next_step == "tritonize serve model_repository"
