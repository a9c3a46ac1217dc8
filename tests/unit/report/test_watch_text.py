"""A round as one line, and as a document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tritonize.core.watch_rounds import Changes, Round, Row
from tritonize.report import watch_text


def row(replica: str = "host:80", verdict: str = "passed", **values: Any) -> Row:
    return Row(model="m", version=1, replica=replica, verdict=verdict, exit_code=0, **values)  # type: ignore[arg-type]


def done(*rows: Row) -> Round:
    return Round(number=3, began=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), seconds=0.25, requests=14, rows=rows)


def test_a_round_is_one_line() -> None:
    good = row(responses=12, ratios={"y": 0.5, "z": 0.25}, errors={"y": 1e-6})
    assert watch_text.line(done(good), None) == "2026-01-02T03:04:05Z PASSED m: 12 responses, 0.2 s, k 0.5, max error 1e-06"
    bad = done(good, row("a", "failed", why="It is\nwrong."), row("b", "error", why="It is away."))
    line = watch_text.line(bad, Changes().after(bad))
    assert line == "2026-01-02T03:04:05Z ERROR (was PASSED) m on b: It is away. (and 1 more)"
    assert "\n" not in watch_text.line(done(row("a", "failed", why="It is\nwrong.")), None)


def test_a_document_has_the_rows_that_changed_first_and_a_bounded_number() -> None:
    rows = [row(f"r{number}") for number in range(200)] + [row("late", "failed", why="It is wrong.")]
    found = done(*rows)
    document: Any = watch_text.document(found, Changes().after(found))
    assert (document["verdict"], document["before"], document["left_out"]) == ("failed", "passed", 101)
    assert len(document["models"]) == watch_text.MOST_ROWS
    assert (document["models"][0]["replica"], document["models"][0]["before"]) == ("late", "passed")
