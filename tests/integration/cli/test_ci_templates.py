"""The GitHub action and the GitLab template: valid, the same script, and no input that becomes shell code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.support import ci_templates
from tests.support.command import invoke

SHELLS = (["bash", "--noprofile", "--norc", "-eo", "pipefail"], ["sh", "-e"])
"""How GitHub and GitLab run a script."""
EVIL = "$(touch pwned) `touch pwned`; touch pwned && '\"*$HOME"


def schema(name: str) -> dict[str, object]:
    """A schema that check-jsonschema carries."""
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "builtin_schemas" / "vendor" / f"{name}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@pytest.mark.parametrize(
    ("name", "found", "key"),
    [
        ("github-actions", ci_templates.action(), "runs"),
        ("gitlab-ci", {"verify": ci_templates.job()}, "verify"),  # under its own name, a hidden job, nothing of it is checked
    ],
)
def test_they_are_valid(name: str, found: dict[str, dict[str, object]], key: str) -> None:
    validator = jsonschema.validators.validator_for(schema(name))(schema(name))
    validator.validate(found)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**found, key: {**found[key], "script" if key == "verify" else "using": {"no": 1}}})


def test_both_run_the_same_script_with_the_same_variables() -> None:
    action, job = ci_templates.action(), ci_templates.job()
    verify = action["runs"]["steps"][-1]
    assert job["script"] == [verify["run"]]
    assert set(job["variables"]) == {*verify["env"], "VERIFY_PACKAGE"}
    inputs = {"VERIFY_" + name.upper().replace("-", "_"): each.get("default", "") for name, each in action["inputs"].items()}
    assert job["variables"] == {**inputs, "VERIFY_PACKAGE": "tritonize"}


def test_inputs_reach_the_shell_as_environment_variables_only() -> None:
    for step in ci_templates.action()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    used = set(re.findall(r"\$(VERIFY_\w+)", ci_templates.script()))
    assert used == set(ci_templates.action()["runs"]["steps"][-1]["env"])
    unquoted = re.findall(r'(?<!")\$VERIFY_\w+', re.sub(r'"[^"]*"', "", ci_templates.script()))
    assert unquoted == ["$VERIFY_URL", "$VERIFY_BASELINE", "$VERIFY_MODEL", "$VERIFY_HEADER"]  # split at ends of lines alone


def arguments(shell: list[str], folder: Path, **inputs: str) -> list[str]:
    """What the script gives to `tritonize`, with these inputs."""
    program = folder / "tritonize"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), **ci_templates.environment(**inputs)}
    done = subprocess.run([*shell, "-c", ci_templates.script()], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("shell", SHELLS, ids=["bash", "sh"])
def test_every_input_becomes_one_argument_whatever_it_holds(shell: list[str], tmp_path: Path) -> None:
    default = ["verify", "--junit=tritonize-junit.xml", "--profile=standard", "--wait=60"]
    assert arguments(shell, tmp_path, url="http://host") == [*default, "--url=http://host"]
    names = ("golden", "version", "baseline_version", "max_slowdown", "rate", "ca")
    lines = ("url", "baseline", "model", "header")
    given = {name: f"{EVIL} {name}" for name in names} | {name: f"{EVIL}\n--json {name}\n" for name in lines}
    expected = [f"--{name.replace('_', '-')}={EVIL} {name}" for name in names]
    expected += [f"--{name}={value}" for name in lines for value in (EVIL, f"--json {name}")]
    found = arguments(shell, tmp_path, repository=f"--json{EVIL}", **given)
    assert found == [*default, *expected, "--", f"--json{EVIL}"]
    assert not (tmp_path / "pwned").exists()


def test_every_option_of_the_script_is_one_of_the_command(tmp_path: Path) -> None:
    helped = invoke("verify", "--help").stdout
    used = set(re.findall(r"--[a-z][a-z-]+(?==)", ci_templates.script()))
    assert len(used) == 13
    assert {each for each in used if f"{each} " not in helped} == set()
    refused = invoke("verify", "--url=http://127.0.0.1:9", "--", "--json")  # a repository of this name, not the option
    assert refused.returncode == 2
    assert "--json" in refused.stderr
