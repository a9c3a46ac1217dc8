"""A watch on a real server behind a proxy that is away for a while, and its memory over hundreds of rounds."""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import tree
from tests.support import small_versions
from tests.support.golden_files import exported
from tests.support.proxy import Proxy, running
from tritonize.core.artifacts import ServerHandle
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.reports import Report
from tritonize.triton import serving
from tritonize.triton.replicas import Replica
from tritonize.workflows import golden as golden_workflow
from tritonize.workflows import watch


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ServerHandle]]:
    """A repository with one small version, and a server on it."""
    root = tmp_path_factory.mktemp("watched") / "models"
    small_versions.publish(root, 1)
    with serving.serve(root, directory=tmp_path_factory.mktemp("server")) as server:
        yield root, server


@pytest.mark.server
def test_a_server_that_goes_away_and_comes_back_changes_the_verdict_twice_and_does_not_end_the_watch(deployed, tmp_path):
    root, server = deployed
    told = tmp_path / "told"
    code = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read() + chr(10))"
    with running(Proxy(upstream=server.http_url)) as proxy:
        command = [str(Path(sys.executable).with_name("tritonize")), "verify", "--golden", str(exported(root))]
        command += ["--url", f"http://{proxy.address}", "--watch", "1", "--json", "--metrics-port", "0"]
        command += ["--on-change-command", f'{sys.executable} -c "{code}"']
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watched:
            killer = threading.Timer(120, watched.kill)
            killer.start()
            verdicts = []
            for line in watched.stdout:
                document = json.loads(line)
                if document["before"] != document["verdict"] or not verdicts:
                    verdicts.append(document["verdict"])
                    proxy.fault = "drop" if len(verdicts) == 1 else None
                elif len(verdicts) == 3:  # the change was delivered after its own line
                    watched.send_signal(signal.SIGTERM)
            error = watched.stderr.read()
            killer.cancel()
    assert watched.returncode == 0, error
    assert verdicts == ["passed", "error", "passed"]
    assert [json.loads(line)["verdict"] for line in told.read_text().splitlines()] == ["error", "passed"]
    assert "per hour and replica (quick profile)" in error
    assert "The last verdict is PASSED: exit code 0." in error


@pytest.mark.server
@pytest.mark.slow
def test_memory_does_not_grow_over_hundreds_of_rounds(deployed):
    root, server = deployed
    given = golden_workflow.Request(path=exported(root), urls=(), profile="quick")

    def ask(replica: Replica, count: Callable[[], None]) -> tuple[Report, ...]:
        own = replace(given, urls=replica.urls, connection=replica.options, on_request=count)
        return (golden_workflow.verify(own),)

    urls = [f"http://{server.http_url}", f"grpc://{server.grpc_url}"]
    asked = watch.Request(ask=ask, urls=urls, connection=ConnectionOptions(), models=["small"], every_s=1, sleep=lambda _: None)
    sizes = []
    for done in itertools.islice(watch.rounds(asked), 400):
        assert done.verdict == "passed"
        if done.number % 100 == 0:
            gc.collect()
            sizes.append(tree.proportional(os.getpid()) / 2**20)
    assert sizes[-1] - sizes[0] < 5, sizes
