"""Differences between the configuration that a server has and the published one, and what to do about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.quality.test_batch_checks import golden
from tritonize.core.artifacts import ServerHandle
from tritonize.quality import ErrorTracker
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.server_description import config_findings
from tritonize.triton.target import Target


@pytest.fixture
def target(tmp_path: Path) -> Target:
    known = golden(tmp_path)
    config: ModelConfig = {"name": "m", "max_batch_size": 2, "version_policy": {"specific": {"versions": [1]}}}
    server = ServerHandle(http_url="a:1", grpc_url="")
    return Target(server=server, model="m", version=1, golden=known, config=config, tracker=ErrorTracker(known))


def test_a_server_that_has_not_loaded_the_model_again_after_a_rollback(target: Target) -> None:
    served: ModelConfig = {"name": "m", "max_batch_size": 2, "version_policy": {"latest": {"num_versions": 1}}}
    (finding,) = config_findings(target, served)
    assert finding.what.startswith("version_policy.specific: the server has an earlier configuration, as before")
    assert (finding.expected, finding.found) == ("{'versions': [1]}", "nothing")
    assert finding.next_step.startswith("if the configuration was changed after the server loaded m, load the model again")


def test_another_field_has_the_next_step_and_no_cause(target: Target) -> None:
    (finding,) = config_findings(target, {**target.config, "max_batch_size": 4})
    assert (finding.what, finding.found) == ("max_batch_size", "4")
    assert "load the model again or restart the server" in finding.next_step
    started = replace(target, server=replace(target.server, log=Path("server.log")))
    (own,) = config_findings(started, {**target.config, "max_batch_size": 4})
    assert own.next_step == ""
