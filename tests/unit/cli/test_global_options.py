"""Options that every command accepts may stand anywhere before `--`; the command that repeats a build keeps only isolation."""

from __future__ import annotations

import sys

import pytest

from tritonize.cli import build_command, global_options


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "m.pt"], ["run", "m.pt"]),
        (["run", "m.pt", "--isolate", "--json"], ["--isolate", "run", "m.pt", "--json"]),
        (["run", "--log", "debug", "m.pt"], ["--log", "debug", "run", "m.pt"]),
        (["--log=info", "run", "m.pt"], ["--log=info", "run", "m.pt"]),
        (["run", "m.pt", "--log"], ["--log", "run", "m.pt"]),  # Typer then reports that the value is missing
        (["doctor", "--log=info", "--isolate"], ["--isolate", "--log=info", "doctor"]),
        (["doctor", "--isolate", "--", "--isolate"], ["--isolate", "doctor", "--", "--isolate"]),
        (["run", "--", "--isolate", "--log"], ["run", "--", "--isolate", "--log"]),
    ],
)
def test_global_options_are_moved_to_the_front(words, expected):
    assert global_options.split(words).words() == expected


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("run m.pt -i x:fp32:1x4 --json", "tritonize build m.pt -i x:fp32:1x4"),
        ("--log info run m.pt", "tritonize build m.pt"),
        ("run m.pt --log=debug --allow-unproven", "tritonize build m.pt"),
        (
            "run m.pt --server http://me:pw@h --server=grpc://h --header a=secret --ca=x --insecure -i x:fp32:1",
            "tritonize build m.pt -i x:fp32:1",
        ),
        ("--isolate build spec.yaml -m heart", "tritonize --isolate build spec.yaml -m heart"),
    ],
)
def test_the_command_that_repeats_a_build_is_quoted_for_a_shell(words, again, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tritonize", *words.split()])
    assert build_command.given() == again
