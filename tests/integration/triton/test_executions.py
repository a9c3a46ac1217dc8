"""A response counts only if the model ran for it; the server's description of the model is compared too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.hostile_server import http, listening, saying
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import ServerError
from tritonize.core.messages import server as wording
from tritonize.triton import executions, model_config
from tritonize.triton.executions import Counts

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
    def test_responses_without_an_execution_prove_nothing(
        self, done: Counts | None, answers: int, cached: bool, nothing: Any
    ) -> None:
        values = {"answers": answers, "hits": done.hits if done else 0}
        assert executions.why_nothing(done, answers, cached=cached) == (nothing and nothing.text(**values))

    def test_the_counts_are_read_until_they_settle(self) -> None:
        read = iter([ZERO, ZERO, Counts(requests=13, inferences=14, executions=12, hits=1)])
        assert executions.settled(lambda: next(read), ZERO, 3) == counts(requests=3, inferences=4, executions=2, hits=1)
        assert executions.settled(lambda: None, ZERO, 3) is None
        assert executions.settled(lambda: ZERO, None, 3) is None

    def test_the_wait_for_the_counts_is_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executions, "_SETTLE_S", 0.05)
        assert executions.settled(lambda: ZERO, ZERO, 3) == counts()

    @pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "200 OK"])
    def test_a_proxy_that_passes_only_inferences_gives_no_counts(self, status: str) -> None:
        with listening(saying(http(b"<html><body>not here</body></html>", status=status))) as address:
            server = ServerHandle(http_url=address.removeprefix("http://"), grpc_url="")
            assert isinstance(executions.counts(server, "http", "m", version=1), executions.Unread)

    def test_an_unreachable_server_is_an_error(self) -> None:
        with pytest.raises(ServerError):
            executions.counts(ServerHandle(http_url="127.0.0.1:9", grpc_url=""), "http", "m", version=1)


class TestConfigurations:
    def test_an_empty_message_that_is_set_differs_from_a_missing_one(self) -> None:
        wanted = model_config.parse("dynamic_batching { }", where="")
        (finding,) = model_config.differences(wanted, {}, where="here")
        assert (finding.what, finding.expected, finding.found) == ("dynamic_batching", "{}", "nothing")
        nested = model_config.parse("dynamic_batching { default_queue_policy { } }", where="")
        (finding,) = model_config.differences(nested, {"dynamic_batching": {}}, where="here")
        assert finding.what == "dynamic_batching.default_queue_policy"

    @pytest.mark.parametrize("value", [0, "", False, [], "0"])
    def test_an_omitted_default_is_equal(self, value: Any) -> None:
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
    def test_fields_that_only_the_server_has_are_listed(self, wanted: str, found: str, what: list[str]) -> None:
        ours, theirs = (model_config.parse(text, where="") for text in (wanted, found))
        assert [finding.what for finding in model_config.additions(ours, theirs, where="here")] == what
