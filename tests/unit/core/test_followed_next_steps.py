"""Next steps are followed: an error is made, its command is run as it is printed, and it succeeds or leads on.

`FOLLOWED` has the errors whose command is run here, `PARSED` those whose command is parsed alone, with the reason.
A new message with a command belongs in one of the two. Those that need a server are followed in tests/e2e.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import next_steps
from tests.support.command import invoke
from tests.support.plain_versions import config, publish
from tests.unit.core.test_messages import messages

PLACE = Path("model_repository")


class Case(NamedTuple):
    """An error that a command line gets, and what its next step leads to."""

    code: str
    line: str
    ends: int = 0
    """Exit code of the command of the next step."""
    says: str = ""
    """A part of what that command prints."""
    prepare: Callable[[], object] = lambda: None


def changed(version: int = 2) -> None:
    (PLACE / "heart" / str(version) / "model.onnx").write_text("other")


def nothing_served() -> None:
    path = PLACE / "heart" / "config.pbtxt"
    path.write_text(path.read_text() + "version_policy { specific { versions: [9] } }\n")


def request() -> None:
    Path("request.json").write_text("{}")


def spec() -> None:
    Path("heart.yaml").write_text("schema: 1\n")


LISTED = "heart  (version policy"
CHANGED = "the file was changed after it was proven"
FOLLOWED = [
    Case("server-no-repository", "list model_repositry", says=LISTED),
    Case("repository-other-folder", "list model_repository/heart", says=LISTED),
    Case("repository-no-model", "show model_repository zzz", says=LISTED),
    Case("repository-no-model", "show model_repository hart", says="heart"),
    Case("repository-no-version", "show model_repository heart --version 9", says=LISTED),
    Case("repository-no-version", "promote model_repository heart 9", says=LISTED),
    Case("version-no-earlier", "rollback model_repository one", says=LISTED, prepare=lambda: publish(PLACE, "m", name="one")),
    Case("version-changed-not-served", "promote model_repository heart 2", 1, CHANGED, changed),
    Case("golden-version-changed", "golden export model_repository heart --version 2", 1, CHANGED, changed),
    Case("push-changed", "push model_repository file:///nowhere", 1, CHANGED, lambda: changed(3)),
    Case("diff-same-version", "diff model_repository heart 2 2", 6, "golden"),
    Case("lint-no-rule", "lint --explain TR999", says="TR101"),
    Case("lint-no-rule", "lint --explain TR10", says="TR101"),
    Case("plan-request-missing", "plan build --request reqest.json --out plans", 2, "Invalid plan request", request),
    Case("spec-missing", "run hart.yaml", 2, "line 1: models: this key is required", spec),
]
_INDEX, _GPU, _SERVER, _SPEC = (
    "needs a package index",
    "needs TensorRT or a GPU",
    "starts a server: followed in tests/e2e/test_followed_commands.py",
    "the spec is not known there",
)
PARSED = {
    "inputs-guessed": "needs torch: the flags are read back in tests/integration/source/test_describing.py",
    "adopt-changed": "the same command as that of push-changed",
    "bench-perf-analyzer-placeholder": _INDEX,
    "bench-version-changed": _SERVER,
    "config-no-version": "needs a running server",
    "config-proven-without": _SERVER,
    "config-write-where": "the model is not known there",
    "golden-require-signature": "needs a running server and a key",
    "golden-samples-differ": _INDEX,
    "golden-set-damaged": _SPEC,
    "golden-set-unreadable": _SPEC,
    "locate-part-failed": "needs ONNX Runtime",
    "locate-part-refused": "needs ONNX Runtime",
    "manifest-damaged": _SPEC,
    "manifest-other-kind": _SPEC,
    "netron-page-unknown": _INDEX,
    "onnx-graphs-not-compared": "needs ONNX Runtime",
    "pack-nothing": "the version is the user's choice",
    "package-missing": _INDEX,
    "plan-engine-failed": _GPU,
    "plan-module-missing": _INDEX,
    "plan-module-not-loaded": _INDEX,
    "plan-other-module": _INDEX,
    "plan-request-invalid": _SPEC,
    "plan-request-unreadable": _SPEC,
    "plans-mixed": _GPU,
    "promote-no-config": "the same command as that of push-no-config",
    "provenance-signature-wrong": "needs the package model-signing",
    "provenance-unsigned": "needs the package model-signing and a key",
    "push-no-config": _SERVER,
    "push-nothing-served": "the version is the user's choice",
    "repository-no-models": "the model is the user's choice",
    "remote-other-version": _SPEC,
    "served-labels-unreadable": _SPEC,
    "server-index-unreachable": _INDEX,
    "server-install-failed": _INDEX,
    "server-native-backend-missing": _INDEX,
    "server-no-gpu": "needs a running server",
    "server-onnxruntime-library-missing": _INDEX,
    "server-onnxruntime-unusable": _INDEX,
    "target-not-explicit": "needs a running server",
    "variant-refused": "the same command as that of lint-no-rule",
    "version-no-evidence": _SERVER,
}


@pytest.fixture(autouse=True)
def versions() -> None:
    for number in (1, 2, 3):
        publish(PLACE, f"model {number}", text=config("heart", size=number), name="heart")


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: f"{case.code}: {case.line}")
def test_the_next_step_is_followed(case: Case) -> None:
    case.prepare()
    done = invoke(*case.line.split())
    step = next_steps.printed(done.stderr)
    whole = [command for command in next_steps.commands(step) if command.whole]
    assert (done.returncode != 0, len(whole)) == (True, 1), done.stderr
    (command,) = whole
    assert next_steps.problem(command) is None
    followed = invoke(*command.words[1:])
    assert followed.returncode == case.ends, followed.stderr
    assert case.says in followed.stdout + followed.stderr
    assert done.stderr not in followed.stderr  # it leads on


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: f"{case.code}: {case.line}")
def test_the_error_is_that_of_the_table(case: Case) -> None:
    case.prepare()
    with pytest.MonkeyPatch.context() as patch:
        found: list[str | None] = []
        patch.setattr("tritonize.cli._fail", lambda error: (found.append(error.code), exit(1)))
        invoke(*case.line.split())
    assert found == [case.code]


def test_every_message_with_a_command_is_followed_or_has_a_reason() -> None:
    with_command = {
        message.code for message in messages() if any(command.whole for command in next_steps.commands(next_steps.filled(message)))
    }
    followed = {case.code for case in FOLLOWED}
    assert with_command - followed - set(PARSED) == set()
    assert set(PARSED) - with_command == set()
    assert followed & set(PARSED) == set()
