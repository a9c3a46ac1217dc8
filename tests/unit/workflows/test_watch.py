"""Repeated verifications: an error is a verdict, a change is found once, and a first round that cannot be is an error."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, RepositoryError, ServerError, TritonizeError, UsageError
from tritonize.core.reports import Check, Report, TensorCheck
from tritonize.core.results import Gate
from tritonize.core.stages import StageName
from tritonize.core.watch_rounds import Change, Changes, Round, Row
from tritonize.triton.replicas import Replica
from tritonize.workflows import watch

URL = "http://127.0.0.1:1"


def report(verdict: str = "passed", **values: Any) -> Report:
    return Report(command="verify", model="m", version=1, verdict=verdict, **values)  # type: ignore[arg-type]


def request(outcomes: Sequence[Report | TritonizeError], **values: Any) -> watch.Request:
    """One replica with these outcomes, one after the other."""
    following = iter(outcomes)

    def ask(_: Replica, count: Callable[[], None]) -> tuple[Report, ...]:
        count()
        outcome = next(following)
        if isinstance(outcome, TritonizeError):
            raise outcome
        return (outcome,)

    given = {"sleep": lambda _: None, "every_s": 1.0, "urls": [URL], **values}
    return watch.Request(ask=ask, connection=ConnectionOptions(), models=["m"], **given)


def rounds(*outcomes: Report | TritonizeError, **values: Any) -> list[Round]:
    return list(itertools.islice(watch.rounds(request(outcomes, **values)), len(outcomes)))


def changes(done: Sequence[Round]) -> list[Change]:
    changed = Changes()
    return [change for each in done if (change := changed.after(each))]


def test_a_server_that_goes_away_and_comes_back_changes_the_verdict_twice() -> None:
    gone = ServerError("away", found="refused")
    done = rounds(report(), gone, gone, InferenceError("no"), report(), report())
    assert [each.verdict for each in done] == ["passed", "error", "error", "error", "passed", "passed"]
    assert [each.exit_code for each in done] == [0, 7, 7, 8, 0, 0]
    assert [each.requests for each in done] == [1] * 6
    assert done[1].rows[0].why == "away (refused)"
    assert [(each.before, each.round.number, [row.before for row in each.rows]) for each in changes(done)] == [
        ("passed", 2, ["passed"]),
        ("error", 5, ["error"]),
    ]


def test_the_first_round_is_compared_with_passed() -> None:
    assert [each.before for each in changes(rounds(report("failed"), report("failed")))] == ["passed"]
    assert changes(rounds(report(), report())) == []


@pytest.mark.parametrize("error", [UsageError("no such model"), RepositoryError("damaged")])
def test_what_cannot_be_verified_ends_the_first_round_and_no_later_one(error: TritonizeError) -> None:
    with pytest.raises(type(error)):
        rounds(error)
    assert [each.verdict for each in rounds(report(), error, report())] == ["passed", "error", "passed"]


def test_a_round_that_exceeds_its_time_is_an_error_of_the_replicas_that_were_not_asked() -> None:
    @contextlib.contextmanager
    def limit() -> Iterator[None]:
        yield
        raise ServerError("too long")

    def ask(replica: Replica, _: Callable[[], None]) -> tuple[Report, ...]:
        return (report(),) if "1" in replica.name.rpartition(":")[2] else ()

    asked = watch.Request(
        ask=ask, urls=[URL], connection=ConnectionOptions(), models=["m"], every_s=1, limit=limit, sleep=lambda _: None
    )
    assert [row.verdict for row in next(watch.rounds(asked)).rows] == ["passed"]  # it was complete

    @contextlib.contextmanager
    def nothing() -> Iterator[None]:
        raise ServerError("too long")
        yield

    (row,) = next(watch.rounds(request([report()], limit=nothing))).rows
    assert (row.verdict, row.why) == ("error", "too long")


def test_rounds_start_at_equal_intervals_and_a_long_one_is_followed_at_once() -> None:
    now, slept = [0.0], []

    def clock() -> float:
        return now[0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    def took(seconds: float) -> Report:
        now[0] += seconds
        return report()

    def ask(_: Replica, __: Callable[[], None]) -> tuple[Report, ...]:
        return (took(next(durations)),)

    durations = iter([2.0, 15.0, 1.0, 1.0])
    asked = watch.Request(ask=ask, urls=[URL], connection=ConnectionOptions(), models=["m"], every_s=10, clock=clock, sleep=sleep)
    assert [each.seconds for each in itertools.islice(watch.rounds(asked), 4)] == [2, 15, 1, 1]
    assert slept == [8, 0, 9]


def test_a_row_keeps_the_largest_figures_and_the_latency_of_each_transport() -> None:
    def check(stage: StageName, seconds: float, error: float | None) -> Check:
        tensor = TensorCheck(
            name="y", passed=True, reason=None, expected_shape=(1,), found_shape=(1,), expected_dtype="fp32", found_dtype="fp32",
            rtol=0.0, atol=1.0, max_abs=error,
        )  # fmt: skip
        return Check(stage=stage, batch_size=1, samples=(0,), tensors=(tensor,), seconds=seconds)

    def gate(value: float | None, name: str = "noise floor") -> Gate:
        return Gate(gate=name, stage=StageName.HTTP, output="y", group="all", verdict="passed", value=value, limit=1.0)

    checks = (check(StageName.HTTP, 0.5, 0.25), check(StageName.GRPC, 0.125, 0.75), check(StageName.AGAIN, 9.0, None))
    row = watch.row_of(report(checks=checks, gates=(gate(0.5), gate(2.0), gate(None), gate(99.0, "tolerance"))), "r")
    assert (row.ratios, row.errors, row.responses) == ({"y": 2.0}, {"y": 0.75}, 3)
    assert row.latencies_s == {"http": (0.5,), "grpc": (0.125,)}


def test_a_model_with_an_error_beside_others_is_an_error() -> None:
    row = watch.row_of(report("failed", details={"error": {"what": "refused", "exit_code": 8}}), "r")
    assert (row.verdict, row.exit_code, row.why) == ("error", 8, "refused")


def row(replica: str, verdict: str, code: int = 0) -> Row:
    return Row(model="m", version=1, replica=replica, verdict=verdict, exit_code=code)  # type: ignore[arg-type]


def done(*rows: Row, only_proven: bool = False) -> Round:
    from datetime import UTC, datetime

    return Round(number=1, began=datetime.fromtimestamp(0, UTC), seconds=1, requests=0, rows=rows, only_proven=only_proven)


def test_replicas_come_and_go() -> None:
    changed = Changes()
    assert changed.after(done(row("a", "passed"))) is None
    assert changed.after(done(row("b", "passed"))) is None  # another pod of the same deployment
    found = changed.after(done(row("b", "passed"), row("c", "failed", 1)))
    assert found is not None
    assert [each.row.replica for each in found.rows] == ["c"]
    gone = changed.after(done(row("b", "passed")))  # the verdict is another one, though no row changed
    assert gone is not None
    assert (gone.before, gone.round.verdict, gone.rows) == ("failed", "passed", ())


def test_models_without_evidence_can_be_left_out() -> None:
    rows = (row("a", "passed"), row("b", "not proven", 3))
    assert (done(*rows).verdict, done(*rows).exit_code) == ("not proven", 3)
    assert (done(*rows, only_proven=True).verdict, done(*rows, only_proven=True).exit_code) == ("passed", 0)
    assert done(rows[1], only_proven=True).exit_code == 3
