"""Answers that prove nothing: from the response cache of a server, or of another version."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.support import small_versions
from tritonize.cli import display
from tritonize.core import conclusion
from tritonize.core.messages import server as wording
from tritonize.core.reports import Report
from tritonize.core.stages import StageName
from tritonize.quality import golden_set
from tritonize.quality.tracker import ErrorTracker
from tritonize.triton import model_config, served_comparison, serving, weight
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running
from tritonize.triton.target import Target
from tritonize.workflows import golden as golden_workflow
from tritonize.workflows import verify as verify_workflow


def target(root: Path, server: Running, version: int, **options: Any) -> Target:
    config = model_config.parse((root / small_versions.NAME / "config.pbtxt").read_text(), where="")
    known = golden_set.read(root / small_versions.NAME / str(version) / "evidence" / "golden")
    return Target(
        server=server,
        model=small_versions.NAME,
        version=version,
        golden=known,
        config=config,
        tracker=ErrorTracker(known),
        **options,
    )


@pytest.mark.server
class TestCache:
    @pytest.fixture(scope="class")
    @staticmethod
    def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
        place = tmp_path_factory.mktemp("cached") / "models"
        small_versions.publish(place, 1, triton={"response_cache": {"enable": True}})
        return place

    @pytest.fixture(scope="class")
    @staticmethod
    def cached(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
        """A server with a response cache."""
        command = embedded._command

        def with_cache(plan: Any, *given: Any, **named: Any) -> list[str]:
            caches = Path(plan.program.command[0]).parents[1] / "caches"
            return [*command(plan, *given, **named), f"--cache-directory={caches}", "--cache-config=local,size=16777216"]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded, "_command", with_cache)
            patch.setitem(weight.PROFILES, "standard", replace(weight.STANDARD, concurrent_s=0.2))
            with serving.serve(root, directory=tmp_path_factory.mktemp("server")) as server:
                yield server

    def test_responses_from_the_cache_prove_nothing(self, root: Path, cached: Running) -> None:
        first = served_comparison.verify(target(root, cached, 1), transports=("grpc", "http"))
        stages = {stage.name: stage.verdict for stage in first.stages}
        assert (stages["grpc"], stages["http"]) == ("passed", "not run")  # the same requests again
        assert first.passed
        assert first.verdict == "not run"
        second = served_comparison.verify(target(root, cached, 1), transports=("grpc", "http"))
        assert {stage.verdict for stage in second.stages} == {"not run"}
        assert all("came from its response cache" in stage.note for stage in second.stages)
        assert second.verdict == "not run"

    def test_verify_of_cached_responses_is_not_run_with_a_reason(self, root: Path, cached: Running) -> None:
        """The whole of `verify --url`, which does not have the key: statistics are not for it."""
        urls = [f"http://{cached.http_url}", f"grpc://{cached.grpc_url}"]
        (report,) = verify_workflow.verify(verify_workflow.Request(repository=root, urls=urls))
        assert report.verdict == "not run"
        assert wording.CACHE_NOT_OBSERVABLE.text() in conclusion.conclude(report).sentence
        with pytest.raises(typer.Exit) as caught:
            display.finish([report], as_json=True)
        assert caught.value.exit_code == 3

    def test_wrong_responses_from_the_cache_fail(self, root: Path, cached: Running, tmp_path: Path) -> None:
        other = tmp_path / "models"
        small_versions.publish(other, 1, -small_versions.WEIGHTS, triton={"response_cache": {"enable": True}})
        assert served_comparison.verify(target(other, cached, 1), transports=("grpc",)).verdict == "failed"


@pytest.mark.server
class TestExchangedWeights:
    """Other weights under the same version, behind a response cache that still has the right responses."""

    @pytest.fixture(scope="class")
    @staticmethod
    def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The repository with its golden file, as it was proven."""
        place = tmp_path_factory.mktemp("proven")
        small_versions.publish(place / "models", 1, triton={"response_cache": {"enable": True}})
        golden_workflow.export(place / "models", "small", out=place / "small.golden")
        return place

    @pytest.fixture(scope="class")
    @staticmethod
    def urls(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
        """The server, whose statistics need no key; its cache has the responses of the right weights."""
        served, other = (tmp_path_factory.mktemp(name) / "models" for name in ("served", "other"))
        shutil.copytree(place / "models", served)
        small_versions.publish(other, 1, -small_versions.WEIGHTS)
        command = embedded._command

        def with_cache(plan: Any, *given: Any, **named: Any) -> list[str]:
            caches = Path(plan.program.command[0]).parents[1] / "caches"
            return [*command(plan, *given, **named), f"--cache-directory={caches}", "--cache-config=local,size=16777216"]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded, "_command", with_cache)
            patch.setattr(embedded.access, "CONTROL", ("shared-memory", "trace", "logging"))
            patch.setitem(weight.PROFILES, "standard", replace(weight.STANDARD, concurrent_s=0.2))
            with embedded.start(served, directory=tmp_path_factory.mktemp("server"), explicit=True) as server:
                urls = [f"http://{server.http_url}", f"grpc://{server.grpc_url}"]
                verify_workflow.verify(verify_workflow.Request(repository=place / "models", urls=urls))
                shutil.copy(other / "small" / "1" / "model.onnx", served / "small" / "1" / "model.onnx")
                urllib.request.urlopen(
                    urllib.request.Request(f"{urls[0]}/v2/repository/models/small/load", b"{}"), timeout=30
                ).close()
                yield urls

    @staticmethod
    def verdicts(report: Report) -> dict[str, str]:
        return {str(stage.name): stage.verdict for stage in report.stages}

    def test_a_draw_that_no_cache_has_seen_fails(self, place: Path, urls: list[str]) -> None:
        (report,) = verify_workflow.verify(verify_workflow.Request(repository=place / "models", urls=urls))
        assert (report.verdict, self.verdicts(report)["new samples"]) == ("failed", "failed")
        assert self.verdicts(report)["grpc"] == self.verdicts(report)["http"] == "not run"  # all from the cache
        assert {check.stage for check in report.checks if not check.passed} == {StageName.NEW_SAMPLES}

    def test_so_do_changed_samples_of_a_golden_file(self, place: Path, urls: list[str]) -> None:
        report = golden_workflow.verify(golden_workflow.Request(path=place / "small.golden", urls=urls))
        assert (report.verdict, self.verdicts(report)["new samples"]) == ("failed", "failed")
        assert {check.stage for check in report.checks if not check.passed} == {StageName.NEW_SAMPLES}
