"""What `verify` says about deployments: versions, replaced configurations, several models, restricted parts of the API."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import plain_versions, small_versions
from tests.support.command import tritonize
from tritonize.core.messages import server as wording
from tritonize.core.reports import Report
from tritonize.triton import serving, weight
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running
from tritonize.workflows import golden as golden_workflow
from tritonize.workflows import verify as verify_workflow

pytestmark = pytest.mark.server
ALL = {"version_policy": {"all": {}}}


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weight.PROFILES, "standard", replace(weight.STANDARD, concurrent_s=0.1))


def urls(server: Running) -> list[str]:
    return [f"http://{server.http_url}", f"grpc://{server.grpc_url}"]


def verified(root: Path, server: Running, **options: object) -> Report:
    request = verify_workflow.Request(repository=root, urls=urls(server), models=("small",), **options)  # type: ignore[arg-type]
    return verify_workflow.verify(request)[0]


def found(report: Report) -> set[tuple[str, str | None, str | None]]:
    return {(each.what, each.expected, each.found) for each in report.findings}


class TestForeignVersion:
    """The repository has version 1. The server has a version 2 too, with other weights, and clients that name none get it."""

    @pytest.fixture(scope="class")
    @staticmethod
    def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
        place = tmp_path_factory.mktemp("proven") / "models"
        small_versions.publish(place, 1, triton=ALL)
        return place

    @pytest.fixture(scope="class")
    @staticmethod
    def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
        served = tmp_path_factory.mktemp("served") / "models"
        shutil.copytree(root, served)
        small_versions.publish(served, 2, -small_versions.WEIGHTS, triton=ALL)
        with serving.serve(served, directory=tmp_path_factory.mktemp("server")) as running:
            yield running

    @pytest.mark.parametrize("version", [None, 1])
    def test_it_is_a_finding_over_both_protocols(self, root: Path, server: Running, version: int | None) -> None:
        report = verified(root, server, version=version)
        assert report.verdict == "failed"
        assert all(check.passed for check in report.checks)
        assert found(report) == {
            (wording.OTHER_VERSION_BY_DEFAULT.text(), "version 1", "version 2"),
            (wording.OTHER_VERSIONS_SERVED.text(), "version 1", "version 1, 2"),
        }
        assert {each.where for each in report.findings} == {"small over http", "small over grpc"}

    def test_a_golden_file_finds_it_unless_the_version_is_given(self, root: Path, server: Running) -> None:
        path = golden_workflow.export(root, "small", out=Path("small.golden")).path
        report = golden_workflow.verify(golden_workflow.Request(path=path, urls=urls(server)))
        assert found(report) == {(wording.OTHER_VERSION_BY_DEFAULT.text(), "version 1", "version 2")}
        report = golden_workflow.verify(golden_workflow.Request(path=path, urls=urls(server), version=1))
        assert (report.verdict, report.findings) == ("passed", ())
        assert wording.ANOTHER_BY_DEFAULT.text(version=1, other=2) in report.notes

    def test_a_proven_version_that_is_not_loaded_is_a_finding(self, root: Path, server: Running, tmp_path: Path) -> None:
        place = tmp_path / "models"
        shutil.copytree(root, place)
        for version in (2, 3):
            small_versions.publish(place, version, triton=ALL)
        report = verified(place, server)
        ((what, expected, where),) = found(report)
        assert (report.verdict, what, expected) == ("failed", wording.VERSION_NOT_LOADED.text(), "version 3")
        assert where is not None
        assert where.endswith("it serves version 1, 2")


class TestReplacedConfiguration:
    """Version 2 replaced the configuration that version 1 was proven with; both are served with the new one."""

    @pytest.fixture(scope="class")
    @staticmethod
    def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
        place = tmp_path_factory.mktemp("replaced") / "models"
        small_versions.publish(place, 1, triton={**ALL, "response_cache": {}})
        small_versions.publish(place, 2, triton=ALL)
        return place

    @pytest.fixture(scope="class")
    @staticmethod
    def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
        with serving.serve(root, directory=tmp_path_factory.mktemp("server")) as running:
            yield running

    def test_an_older_version_passes_and_the_report_names_the_present_one(self, root: Path, server: Running) -> None:
        report = verified(root, server, version=1)
        assert (report.verdict, report.findings) == ("passed", ())
        fields = "response_cache: {} -> not set"
        assert wording.DEPLOYED_WITH_ANOTHER.text(version=1, fields=fields) in report.notes, report.notes
        assert verified(root, server).verdict == "passed"

    def test_a_configuration_that_is_neither_fails(self, root: Path, server: Running, tmp_path: Path) -> None:
        place = tmp_path / "models"
        shutil.copytree(root, place)
        small_versions.publish(place, 3, triton={**ALL, "dynamic_batching": {"max_queue_delay_microseconds": 7}})
        report = verified(place, server, version=1)
        assert report.verdict == "failed"
        assert ("response_cache", "{}", "nothing") in found(report)

    def test_every_model_gets_a_verdict(self, root: Path, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = tmp_path / "models"
        shutil.copytree(root, place)
        monkeypatch.setattr(small_versions, "NAME", "away")
        small_versions.publish(place, 1)
        (place / "plain" / "1").mkdir(parents=True)
        (place / "plain" / "config.pbtxt").write_text(plain_versions.config("plain"))
        command = ["verify", "models", "--json", *(part for url in urls(server) for part in ("--url", url))]
        done = tritonize(*command, cwd=tmp_path)
        reports = {each["model"]: each for each in json.loads(done.stdout)["reports"]}
        assert {name: each["verdict"] for name, each in reports.items()} == {
            "away": "failed",
            "plain": "not proven",
            "small": "passed",
        }
        assert [each["what"] for each in reports["away"]["findings"]] == [wording.VERSION_NOT_LOADED.text()]
        assert done.returncode == 1
        shutil.rmtree(place / "away")
        assert tritonize(*command, cwd=tmp_path).returncode == 3
        assert tritonize(*command, "--only-proven", cwd=tmp_path).returncode == 0


def test_a_policy_that_leaves_a_version_out_does_not_keep_it_from_its_proof(tmp_path: Path) -> None:
    root = tmp_path / "models"
    policy = {"version_policy": {"specific": {"versions": [1]}}}
    for version in (1, 2):
        small_versions.publish(root, version, triton=policy)
    (report,) = verify_workflow.verify(verify_workflow.Request(repository=root, version=2))
    assert (report.verdict, report.findings) == ("passed", ())
    (report,) = verify_workflow.verify(verify_workflow.Request(repository=root))
    assert (report.verdict, report.version) == ("passed", 1)  # what clients get


def test_what_a_hardened_server_does_not_tell_is_not_run_and_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP the metadata stay open: tritonize itself sends its key to no server before it knows that it is its own."""
    root = tmp_path / "models"
    small_versions.publish(root, 1)
    path = golden_workflow.export(root, "small", out=tmp_path / "small.golden").path
    options = embedded.access.arguments

    def hardened(key: str) -> dict[str, str]:
        http, grpc = options(key).items()
        more = {http: "model-config,statistics", grpc: "model-config,metadata,statistics"}
        return {public: option.replace("statistics", more[public, option]) for public, option in more}

    monkeypatch.setattr(embedded.access, "arguments", hardened)
    with serving.serve(root, directory=tmp_path / "server") as server:
        both = verified(root, server)
        alone = golden_workflow.verify(golden_workflow.Request(path=path, urls=[f"grpc://{server.grpc_url}"]))
    for report, unread in ((both, {"model config", "statistics"}), (alone, {"model config", "statistics", "metadata"})):
        assert (report.verdict, report.findings) == ("passed", ())
        stages = {stage.name: stage for stage in report.stages if stage.verdict == "not run" and stage.name not in ("shm", "http")}
        assert set(stages) == unread
        assert all(stage.optional and "tritonize-key" in stage.note for stage in stages.values())
        assert {"grpc", "concurrent", "new samples"} <= {each.stage for each in report.checks}
