"""The GitHub action and the GitLab template of this repository, and their shell scripts."""

from __future__ import annotations

from typing import Any

from tests.support.command import CHECKOUT
from tests.support.deploy_schemas import documents

ACTION, TEMPLATE = CHECKOUT / "action.yml", CHECKOUT / "ci" / "gitlab" / "verify.yml"


def action() -> dict[str, Any]:
    (found,) = documents(ACTION.read_text(encoding="utf-8"))
    return found


def job() -> dict[str, Any]:
    (found,) = documents(TEMPLATE.read_text(encoding="utf-8"))
    return dict(found[".tritonize-verify"])


def script() -> str:
    """The step that verifies."""
    return str(action()["runs"]["steps"][-1]["run"])


def environment(**inputs: str) -> dict[str, str]:
    """What GitLab sets for the script: the template's variables, and those that a user gives."""
    return {**job()["variables"], **{f"VERIFY_{name.upper()}": value for name, value in inputs.items()}}
