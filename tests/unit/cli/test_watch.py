"""`verify --watch` on the command line: which options belong together, what is printed, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.command import invoke
from tritonize.core.watch_rounds import Round, Row
from tritonize.workflows import watch, watch_delivery

WATCHED = ("--url", "http://127.0.0.1:9", "--watch", "5")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one model."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text('name: "m"')
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--watch", "5"], "option-without-url"),
        (["--url", "http://127.0.0.1:9", "--metrics-port", "0"], "watch-only"),
        (["--url", "http://127.0.0.1:9", "--on-change", "https://host", "--on-change-command", "true"], "watch-only"),
        ([*WATCHED, "--junit", "a.xml"], "not-watched"),
        ([*WATCHED, "--on-change", "ftp://very-secret"], "webhook-form"),
        ([*WATCHED, "--on-change-command", "'"], "on-change-command-form"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: list[str], code: str, root: Path) -> None:
    done = invoke("verify", str(root), *words, "--json")
    assert json.loads(done.stdout)["error"]["code"] == code
    assert done.returncode == 2
    assert "very-secret" not in done.stdout + done.stderr


def rounds(*codes: int) -> Iterator[Round]:
    """Rounds with these exit codes, then Ctrl-C."""
    for number, code in enumerate(codes, 1):
        verdict = {0: "passed", 1: "failed"}[code]
        row = Row(model="m", version=1, replica="r", verdict=verdict, exit_code=code)  # type: ignore[arg-type]
        yield Round(number=number, began=datetime.now(UTC), seconds=1.0, requests=2, rows=(row,))
    raise KeyboardInterrupt


@pytest.mark.parametrize(("codes", "code"), [((0, 1), 1), ((1, 0), 0)])
def test_the_end_has_the_exit_code_of_the_last_verdict(
    codes: tuple[int, ...], code: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, object]] = []
    monkeypatch.setattr(watch, "rounds", lambda _: rounds(*codes))
    monkeypatch.setattr(watch_delivery, "deliver", lambda _, document: sent.append(document) or "It was not delivered.")
    done = invoke("verify", str(root), *WATCHED, "--json", "--on-change", "https://host.example/very-secret")
    assert done.returncode == code
    assert f"Ended after round 2. The last verdict is {'FAILED' if code else 'PASSED'}: exit code {code}." in done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["exit_code"] for each in documents] == list(codes)
    assert [each["before"] for each in sent] == (["passed"] if code else ["passed", "failed"])
    assert done.stderr.count("It was not delivered.") == len(sent)
    assert "very-secret" not in done.stderr


def test_an_interrupt_before_the_first_verdict_is_exit_code_130(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "rounds", lambda _: rounds())
    assert invoke("verify", str(root), *WATCHED).returncode == 130


def test_the_request_is_quick_unless_another_profile_is_given(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tritonize.cli import verify

    profiles: list[str] = []
    monkeypatch.setattr(watch, "rounds", lambda _: rounds(0))
    monkeypatch.setattr(
        verify, "_watch_repository", lambda _place, request, _output, seconds: profiles.append(request.profile) or exit(0)
    )
    for words in ((), ("--profile", "standard")):
        invoke("verify", str(root), *WATCHED, *words)
    assert profiles == ["quick", "standard"]
