"""`tritonize push` and commands with an address, against a real S3 server on loopback that a real Triton polls."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import small_versions
from tests.support.command import CHECKOUT, invoke
from tests.support.polling_triton import Polling, polling

KEY, SECRET = "AKIAEXAMPLE7EXAMPLE7", "hunter2+hunter2/hunter2"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
ADDRESS = "s3://bucket/models"
ONES = np.ones((1, 16), dtype=np.float32)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 server, which knows no permissions until a test switches them on."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket; boto3's client of it."""
    import boto3

    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    return client


def publish(root: Path, version: int, weights: np.ndarray = small_versions.WEIGHTS) -> None:
    """A version with few files: Triton asks S3 for the time of each, at every poll."""
    small_versions.publish(root, version, weights, samples={"count": 1}, quality={"edge_cases": False})


def keys(client: Any, prefix: str = "models/") -> list[str]:
    return [each["Key"] for each in client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", ())]


def push(root: Path, *options: str, code: int = 0, address: str = ADDRESS) -> str:
    """`tritonize push` in this process; what it printed, in which no secret is."""
    done = invoke("push", str(root), address, *options)
    text = done.stdout + done.stderr
    assert SECRET not in text
    assert KEY not in text
    assert done.returncode == code, text
    return text


class Client:
    """Asks a server all the time for the newest version's answer, and keeps every version and answer that it got."""

    def __init__(self, server: Polling) -> None:
        self.seen: list[tuple[str, float]] = []
        self.errors: list[str] = []
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def _loop(self) -> None:
        tensor = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": ONES.ravel().tolist()}
        body = json.dumps({"inputs": [tensor]}).encode()
        while not self._stop.wait(0.01):
            try:
                request = urllib.request.Request(f"{self._server.http}/v2/models/{small_versions.NAME}/infer", body)
                with urllib.request.urlopen(request, timeout=10) as response:
                    answer = json.load(response)
            except urllib.error.HTTPError as error:
                self.errors.append(error.read().decode())
            except OSError as error:
                self.errors.append(repr(error))
            else:
                self.seen.append((answer["model_version"], answer["outputs"][0]["data"][0]))

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, version: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not self.seen or self.seen[-1][0] != version:
            assert time.monotonic() < deadline, (self.seen[-1:], self.errors[-1:], self._server.text()[-3000:])
            time.sleep(0.05)


def answer(weights: np.ndarray) -> float:
    return float(np.maximum(ONES @ weights, 0)[0, 0])


@contextlib.contextmanager
def serving(endpoint: str, folder: Path) -> Iterator[tuple[Polling, Client]]:
    with polling(f"s3://{endpoint}/bucket/models", folder, env=CREDENTIALS) as server, Client(server) as client:
        yield server, client


def killed_push(root: Path, client: Any, version: int, *, objects: int) -> None:
    """A push that is killed as soon as the version has so many objects in the bucket."""
    program = (
        "import sys, pathlib; from tritonize.workflows import push; "
        "push.push(push.Request(repository=pathlib.Path(sys.argv[1]), address=sys.argv[2], lease_s=3.0))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(root), ADDRESS], cwd=CHECKOUT, env=dict(os.environ))
    try:
        while len(keys(client, f"models/{small_versions.NAME}/{version}/")) < objects:
            assert process.poll() is None, "it ended before it was killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_polling_triton_never_serves_half_a_version(endpoint: str, bucket: Any, tmp_path: Path) -> None:
    """Versions are pushed, and one push is killed, while a server polls every second and a client asks all the time."""
    root, weights = tmp_path / "models", {str(number): small_versions.WEIGHTS * number for number in (1, 2)}
    publish(root, 1, weights["1"])
    assert "small version 1: published" in push(root)
    with serving(endpoint, tmp_path) as (server, client):
        client.wait_for("1")
        client.errors.clear()  # of the time before it was loaded
        publish(root, 2, weights["2"])
        killed_push(root, bucket, 2, objects=8)
        half = keys(bucket, "models/small/2/")
        assert "models/small/2/model.onnx" not in half
        time.sleep(3)  # polls
        assert client.seen[-1][0] == "1"
        assert "completing version 2" in push(root)
        client.wait_for("2")
    assert client.errors == []
    for version, value in set(client.seen):
        assert value == pytest.approx(answer(weights[version]), rel=1e-5)
    assert [line for line in server.text().splitlines() if line.startswith("E") and "small" in line] == []
    assert "up to date" in push(root)
    manifest = bucket.get_object(Bucket="bucket", Key="models/small/2/evidence/manifest.json")["Body"].read()
    assert manifest == (root / "small/2/evidence/manifest.json").read_bytes()


def test_list_lint_and_verify_read_an_address(bucket: Any, tmp_path: Path) -> None:
    root = tmp_path / "models"
    for number in (1, 2):
        publish(root, number, small_versions.WEIGHTS * number)
    push(root)
    assert len(keys(bucket)) > 20
    listed = invoke("list", ADDRESS)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.splitlines()[0] == f"{ADDRESS}: 1 model, 1 version"  # what the policy serves is what was pushed
    local = invoke("list", str(root)).stdout.splitlines()
    assert listed.stdout.splitlines()[3] == local[3]  # the same verdict, date and sizes
    clean = invoke("lint", ADDRESS)
    assert clean.stdout == invoke("lint", str(root)).stdout
    assert clean.returncode == 0
    verified = invoke("verify", ADDRESS, "--verbose")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"A copy of {ADDRESS} was verified" in " ".join(verified.stdout.split())
    bucket.put_object(Bucket="bucket", Key="models/small/2/model.onnx", Body=b"changed")
    assert invoke("lint", ADDRESS).returncode == 1
    changed = invoke("verify", ADDRESS)
    assert changed.returncode == 1
    assert "small/2/model.onnx: the file was changed after it was proven" in changed.stdout
    for done in (listed, clean, verified, changed):
        assert SECRET not in done.stdout + done.stderr
        assert "/tmp/" not in done.stdout + done.stderr


def test_a_changed_version_and_another_one_of_the_same_number_are_not_published(bucket: Any, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    publish(ours, 1)
    publish(theirs, 1, small_versions.WEIGHTS * 2)
    push(theirs)
    before = {key: bucket.head_object(Bucket="bucket", Key=key)["ETag"] for key in keys(bucket)}
    assert "another version 1 of 'small'" in push(ours, code=6)
    (ours / "small/1/model.onnx").write_bytes(b"changed")
    assert "changed after it was proven" in push(ours, code=6)
    assert {key: bucket.head_object(Bucket="bucket", Key=key)["ETag"] for key in keys(bucket)} == before


@pytest.mark.slow  # three pushes; `tests/unit/remote` has the refusal before anything is written
def test_a_configuration_that_somebody_edited_is_not_replaced(bucket: Any, tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish(root, 1)
    push(root)
    config = (root / "small/config.pbtxt").read_text().replace("max_batch_size: 4", "max_batch_size: 2")
    bucket.put_object(Bucket="bucket", Key="models/small/config.pbtxt", Body=config.encode())
    publish(root, 2)
    refused = push(root, code=6)
    assert "max_batch_size: 2 -> 4" in refused
    assert not keys(bucket, "models/small/2/")
    assert "small version 2: published" in push(root, "--replace-config")


def test_errors_of_a_store_are_clear_and_have_no_secret(bucket: Any, endpoint: str, tmp_path: Path, monkeypatch: Any) -> None:
    root = tmp_path / "models"
    publish(root, 1)
    assert "bucket or object does not exist" in push(root, address="s3://nobucket/models", code=2)
    assert invoke("list", "s3://bucket/nothing").returncode == 2
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        assert "cannot be reached" in push(root, code=6)
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path))
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        assert "No credentials for the store were found" in push(root, code=3)


def test_wrong_and_read_only_credentials_are_refused(bucket: Any, endpoint: str, tmp_path: Path, monkeypatch: Any) -> None:
    """moto checks signatures and policies from the moment on at which it is told to."""
    import boto3

    root = tmp_path / "models"
    publish(root, 1)
    push(root)
    publish(root, 2, small_versions.WEIGHTS * 2)
    iam = boto3.client("iam")
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    made = iam.create_access_key(UserName="reader")["AccessKey"]
    _check_permissions_after(endpoint, "0")
    try:
        denied = push(root, code=6)  # with the key that nobody has
        assert "does not permit this request" in denied
        assert "InvalidAccessKeyId" in denied
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", made["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", made["SecretAccessKey"])
        denied = push(root, code=6)
        assert "AccessDenied" in denied
        assert made["SecretAccessKey"] not in denied
        listed = invoke("list", ADDRESS)
        assert "1 model, 1 version" in listed.stdout
    finally:
        _check_permissions_after(endpoint, "inf")


def _check_permissions_after(endpoint: str, requests: str) -> None:
    """Let moto check signatures and policies after so many requests."""
    url, headers = f"{endpoint}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(url, requests.encode(), headers=headers, method="POST")).close()


@pytest.mark.slow  # two whole runs; `tests/integration/workflows/test_remote_run.py` does the same with a folder
def test_a_run_publishes_to_an_address_and_takes_its_number_from_there(bucket: Any, tmp_path: Path, monkeypatch: Any) -> None:
    root, work = tmp_path / "models", tmp_path / "work"
    publish(root, 1)
    work.mkdir()
    (root / "small/1/model.onnx").rename(work / "small.onnx")
    monkeypatch.chdir(work)
    run = ("run", "small.onnx", "--repository", ADDRESS, "--max-batch-size", "2")
    for number in (1, 2):
        done = invoke(*run)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Published to {ADDRESS}/small/{number}." in done.stdout
        assert SECRET not in done.stdout + done.stderr
    assert [each.name for each in work.iterdir()] == ["small.onnx"]  # nothing is left here
    assert invoke("verify", ADDRESS).returncode == 0
    for key in keys(bucket):
        content = bucket.get_object(Bucket="bucket", Key=key)["Body"].read()
        assert str(tmp_path).encode() not in content, key
        assert SECRET.encode() not in content, key
    config = invoke(*run[:-1], "4")  # another configuration than the one in place
    assert config.returncode == 6
    assert "--replace-config" in config.stderr
    assert not keys(bucket, "models/small/3/")
