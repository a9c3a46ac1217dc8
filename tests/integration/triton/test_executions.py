"""An answer proves something of a model where the model ran for it; and a server's description of it counts too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.support import small_versions
from tests.support.hostile_server import http, listening, saying
from tritonize.cli import display
from tritonize.core import conclusion
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import ServerError
from tritonize.core.messages import server as wording
from tritonize.quality import golden_set
from tritonize.quality.tracker import ErrorTracker
from tritonize.triton import executions, model_config, served_comparison, server_description, serving
from tritonize.triton.executions import Counts
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running
from tritonize.triton.target import Target
from tritonize.workflows import verify as verify_workflow

ZERO = Counts(requests=10, inferences=10, executions=10, hits=0)


def counts(**changes: int) -> Counts:
    return Counts(**{"requests": 0, "inferences": 0, "executions": 0, "hits": 0, **changes})


class TestWhyNothing:
    @pytest.mark.parametrize(
        ("done", "answers", "cached", "nothing"),
        [
            (counts(requests=9, executions=9), 9, True, None),
            (counts(requests=9, executions=3, hits=6), 9, True, None),
            (counts(requests=8, executions=1), 8, False, None),  # batched across clients
            (counts(requests=9, hits=9), 9, False, wording.NOTHING_EXECUTED),
            (counts(), 9, False, wording.NOTHING_EXECUTED),  # something else answered
            (counts(requests=40, executions=31, hits=9), 9, True, wording.ALL_FROM_CACHE),  # others ask too
            (None, 9, True, wording.CACHE_NOT_OBSERVABLE),
            (None, 9, False, None),
            (counts(), 0, False, None),
        ],
    )
    def test_what_proves_nothing(self, done: Counts | None, answers: int, cached: bool, nothing: Any) -> None:
        values = {"answers": answers, "hits": done.hits if done else 0}
        assert executions.why_nothing(done, answers, cached=cached) == (nothing and nothing.text(**values))

    def test_the_counts_are_waited_for(self) -> None:
        read = iter([ZERO, ZERO, Counts(requests=13, inferences=14, executions=12, hits=1)])
        assert executions.settled(lambda: next(read), ZERO, 3) == counts(requests=3, inferences=4, executions=2, hits=1)
        assert executions.settled(lambda: None, ZERO, 3) is None
        assert executions.settled(lambda: ZERO, None, 3) is None

    def test_but_not_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executions, "_SETTLE_S", 0.05)
        assert executions.settled(lambda: ZERO, ZERO, 3) == counts()

    @pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "200 OK"])
    def test_a_proxy_that_lets_inferences_through_alone_does_not_let_us_read_them(self, status: str) -> None:
        with listening(saying(http(b"<html><body>not here</body></html>", status=status))) as address:
            server = ServerHandle(http_url=address.removeprefix("http://"), grpc_url="")
            assert executions.counts(server, "http", "m", version=1) is None

    def test_a_server_that_has_gone_is_an_error(self) -> None:
        with pytest.raises(ServerError):
            executions.counts(ServerHandle(http_url="127.0.0.1:9", grpc_url=""), "http", "m", version=1)


class TestConfigurations:
    def test_a_message_that_is_set_but_empty_is_there(self) -> None:
        wanted = model_config.parse("dynamic_batching { }", where="")
        (finding,) = model_config.differences(wanted, {}, where="here")
        assert (finding.what, finding.expected, finding.found) == ("dynamic_batching", "{}", "nothing")
        nested = model_config.parse("dynamic_batching { default_queue_policy { } }", where="")
        (finding,) = model_config.differences(nested, {"dynamic_batching": {}}, where="here")
        assert finding.what == "dynamic_batching.default_queue_policy"

    @pytest.mark.parametrize("value", [0, "", False, [], "0"])
    def test_a_default_that_is_left_out_is_the_same(self, value: Any) -> None:
        different = value == "0"
        assert bool(model_config.differences({"field": value}, {}, where="")) is different

    @pytest.mark.parametrize(
        ("wanted", "found", "what"),
        [
            ("", "response_cache { enable: true }", ["response_cache"]),
            ("", "dynamic_batching { }", ["dynamic_batching"]),
            ("", "sequence_batching { max_sequence_idle_microseconds: 7 }", ["sequence_batching"]),
            ("", "model_transaction_policy { decoupled: true }", ["model_transaction_policy"]),
            ("dynamic_batching { }", "dynamic_batching { preferred_batch_size: 4 }", []),
            (
                "dynamic_batching { }",
                "dynamic_batching { max_queue_delay_microseconds: 9 }",
                ["dynamic_batching.max_queue_delay_microseconds"],
            ),
            ("", "version_policy { latest { num_versions: 1 } } optimization { } instance_group { count: 2 }", []),
        ],
    )
    def test_what_only_the_server_has(self, wanted: str, found: str, what: list[str]) -> None:
        ours, theirs = (model_config.parse(text, where="") for text in (wanted, found))
        assert [finding.what for finding in model_config.additions(ours, theirs, where="here")] == what


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
            caches = plan.installed.server.parents[1] / "caches"
            return [*command(plan, *given, **named), f"--cache-directory={caches}", "--cache-config=local,size=16777216"]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded, "_command", with_cache)
            patch.setattr(served_comparison, "CONCURRENT_SECONDS", 0.2)
            with serving.serve(root, directory=tmp_path_factory.mktemp("server")) as server:
                yield server

    def test_answers_from_the_cache_prove_nothing(self, root: Path, cached: Running) -> None:
        first = served_comparison.verify(target(root, cached, 1), transports=("grpc", "http"))
        stages = {stage.name: stage.verdict for stage in first.stages}
        assert (stages["grpc"], stages["http"]) == ("passed", "not run")  # the same requests again
        assert first.passed
        assert first.verdict == "not run"
        second = served_comparison.verify(target(root, cached, 1), transports=("grpc", "http"))
        assert {stage.verdict for stage in second.stages} == {"not run"}
        assert all("came from its response cache" in stage.note for stage in second.stages)
        assert second.verdict == "not run"

    def test_the_exit_code_is_3_and_the_report_says_why(self, root: Path, cached: Running) -> None:
        """The whole of `verify --url`, which does not have the key: statistics are not for it."""
        urls = [f"http://{cached.http_url}", f"grpc://{cached.grpc_url}"]
        (report,) = verify_workflow.verify(verify_workflow.Request(repository=root, urls=urls))
        assert report.verdict == "not run"
        assert wording.CACHE_NOT_OBSERVABLE.text() in conclusion.conclude(report).sentence
        with pytest.raises(typer.Exit) as caught:
            display.finish([report], as_json=True)
        assert caught.value.exit_code == 3

    def test_wrong_answers_from_the_cache_fail(self, root: Path, cached: Running, tmp_path: Path) -> None:
        other = tmp_path / "models"
        small_versions.publish(other, 1, -small_versions.WEIGHTS, triton={"response_cache": {"enable": True}})
        assert served_comparison.verify(target(other, cached, 1), transports=("grpc",)).verdict == "failed"


@pytest.mark.server
def test_a_foreign_version_that_clients_get(tmp_path: Path) -> None:
    """Version 1 is proven and version 2 is there too; who names none gets 2."""
    root = tmp_path / "models"
    small_versions.publish(root, 1, triton={"version_policy": {"all": {}}})
    shutil.copytree(root / "small" / "1", root / "small" / "2")
    with serving.serve(root, directory=tmp_path / "run") as server:
        asked = target(root, server, 1)
        (finding,) = server_description._default_version(asked)
        assert (finding.what, finding.expected, finding.found) == (
            wording.OTHER_VERSION_BY_DEFAULT.text(),
            "version 1",
            "version 2",
        )
        assert list(server_description._default_version(target(root, server, 1, newest=False))) == []
        assert list(server_description._default_version(target(root, server, 2))) == []
