"""What is printed or written as text: names and messages of others cannot move the cursor, forge a line or run in a page."""

from __future__ import annotations

import ast
import json
import unicodedata
from pathlib import Path

import pytest

import tritonize
from tests.support.command import invoke
from tritonize.cli import display
from tritonize.core import printable
from tritonize.core.reports import Check, Finding, Report, Stage, TensorCheck
from tritonize.core.results import Gate
from tritonize.core.stages import ModelFile, StageName
from tritonize.report import text as report_text
from tritonize.report.html import page

EVIL = '\x1b[2K\x1b[1A\x1b[32mPASSED\x9b0m\r\u202e<img src=x onerror="alert(1)">\n✓ all is well\x07'
ROOT = Path(tritonize.__file__).parent


def test_control_characters_are_escaped() -> None:
    for number in [*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xD800, 0xDFFF, 0xFEFF]:
        shown = printable.line(chr(number))
        assert shown.isascii()
        assert shown.isprintable()
        if number not in (9, 10):
            assert json.loads(f'"{printable.text(chr(number))}"') == chr(number)
    kept = "α → ✓ é 中文 😀 ‘a’"
    assert printable.text(kept) == kept
    assert printable.text("a\nb\tc") == "a\nb\tc"
    assert printable.line("a\nb\tc") == "a\\nb\\tc"
    for number in range(0x3000):
        if unicodedata.category(chr(number)) in ("Cc", "Zl", "Zp"):
            assert printable.line(chr(number)) != chr(number)


def evil_report() -> Report:
    tensor = TensorCheck(
        name=EVIL, passed=False, reason=EVIL, expected_shape=(1,), found_shape=(1,), expected_dtype="fp32", found_dtype="fp32",
        rtol=0.0, atol=0.0, max_abs=1.0, elements=1,
    )  # fmt: skip
    return Report(
        command="verify",
        model=EVIL,
        version=1,
        verdict="failed",
        checks=(Check(stage=StageName.GRPC, batch_size=1, samples=(0,), tensors=(tensor,)),),
        gates=(
            Gate(
                gate="noise floor",
                stage=StageName.GRPC,
                output=EVIL,
                group="all",
                verdict="failed",
                limit=1.0,
                value=2.0,
                note=EVIL,
            ),
        ),
        findings=(Finding(where=EVIL, what=EVIL, expected=EVIL, found=EVIL),),
        stages=(Stage(name=ModelFile(EVIL), verdict="not run", seconds=0.0, note=EVIL),),
        notes=(EVIL,),
        versions={EVIL: EVIL},
        proved_by={EVIL: EVIL},
        details={"attempts": [{"outcome": EVIL, "strategy": EVIL, "seconds": 1.0, "where": EVIL, "reason": EVIL}] * 2},
    )


def sound(text: str) -> None:
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\r" not in text
    assert "\u202e" not in text
    assert not any(line.startswith("✓ all is well") for line in text.splitlines())


def test_a_report_contains_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    sound(report_text.as_text(evil_report()))
    with pytest.raises(display.typer.Exit):
        display.finish([evil_report()], as_json=False)
    sound(capsys.readouterr().out)
    with pytest.raises(display.typer.Exit):
        display.finish([evil_report()], as_json=True)
    printed = capsys.readouterr().out
    sound(printed)
    assert json.loads(printed)["reports"][0]["model"] == EVIL


def test_progress_contains_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    with display.display() as shown:
        shown.on_progress(EVIL)
        shown.on_stage(ModelFile(EVIL), Stage(name=ModelFile(EVIL), verdict="passed", seconds=1.0, note=EVIL))
    printed = capsys.readouterr().err
    assert "\x9b" not in printed
    assert "\x1b[2K" not in printed


def test_the_html_report_escapes_markup() -> None:
    written = page.render(evil_report())
    assert "<img src=x" not in written
    assert 'onerror="alert' not in written


def test_errors_contain_no_control_characters() -> None:
    done = invoke("verify", "\x1b[31mred\x9b\x07", "--json")
    assert done.returncode == 2
    sound(done.stdout + done.stderr)
    assert json.loads(done.stdout)["error"]["where"] == "\x1b[31mred\x9b\x07"
    wrong = invoke("verify", "--\x1b[31mred")
    assert wrong.returncode == 2
    sound(wrong.stderr)


def test_every_other_module_prints_constants_only() -> None:
    """Modules print with `say`; any other print has constants only."""
    found = []
    for file in sorted((ROOT / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "echo":
                constant = all(isinstance(each, ast.Constant) for each in node.args)
                if file.name != "terminal.py" and not constant:
                    found.append(f"{file.name}:{node.lineno}")
    assert found == []
