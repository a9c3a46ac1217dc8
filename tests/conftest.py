"""Fixtures every test may use. No test touches the user's home, and none starts where the checkout is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import MODELS
from tests.support.server_fixtures import served_repository, server  # noqa: F401 - fixtures

# A shell that starts the tests in the background lets them ignore Ctrl-C, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW_TESTS = {
    line
    for line in Path(__file__).with_name("slow_tests.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
FILES_OF_A_WHOLE_RUN = 100
"""Fewer files are a run of some tests alone."""
TIMEOUTS_S = {"unit": 60, "integration": 300, "e2e": 600}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests. Tests that ask the same server something go to one process, so that it is started once."""
    unknown = set(SLOW_TESTS)
    for item in items:
        own = item.nodeid.removeprefix("tests/")
        if listed := {own, own.partition("[")[0]} & SLOW_TESTS:
            unknown -= listed
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_timeout_s(item), method="thread"))  # SIGALRM is the deadline's of a command
        if item.get_closest_marker("server") and "e2e" not in item.path.parts:
            raise pytest.UsageError(f"{item.nodeid} starts the real server: it belongs to tests/e2e")
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("server"))
    _require_known(unknown, items)


def _require_known(unknown: set[str], items: list[pytest.Item]) -> None:
    """Fail for a listed test that its file no longer has; a run of single tests collects only those."""
    files = {item.nodeid.partition("::")[0].removeprefix("tests/") for item in items}
    lost = sorted(each for each in unknown if each.partition("::")[0] in files)
    if len(files) > FILES_OF_A_WHOLE_RUN and lost:
        raise pytest.UsageError(f"tests/slow_tests.txt lists what is not there: {', '.join(lost)}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail if the groups have no effect: then each process runs the fixtures of every group, which nobody would notice."""
    if not hasattr(session.config, "workerinput") or not session.config.getvalue("loadgroup"):
        return
    lost = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
    if lost:
        raise pytest.UsageError(f"pytest-xdist ignores the groups of {len(lost)} tests, such as {lost[0]}")


def _timeout_s(item: pytest.Item) -> float:
    """Ten times what such a test takes on a busy machine; some slow ones install, or kill hundreds of processes."""
    if item.get_closest_marker("slow"):
        return 3600
    return next((seconds for kind, seconds in TIMEOUTS_S.items() if kind in item.path.parts), 300)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of the test's own, with a home of its own; the cache of server runtimes is shared."""
    home = tmp_path / "home"
    home.mkdir()
    cache = os.environ.get("TRITONIZE_CACHE") or os.environ.get("XDG_CACHE_HOME", str(Path("~/.cache").expanduser())) + "/tritonize"
    monkeypatch.setenv("TRITONIZE_CACHE", cache)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the TorchScript files, weights and pickles that tests/support/models/zoo.py writes."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, str(MODELS / "zoo.py"), str(folder)], check=True, timeout=120)
    return folder
