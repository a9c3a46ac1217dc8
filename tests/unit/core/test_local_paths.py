"""Addresses are refused where a local path is expected, and never make a local folder."""

from pathlib import Path

import pytest

from tritonize import api
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import is_address, local, without_secrets
from tritonize.spec import loader, schema


@pytest.mark.parametrize(
    "address", ["s3://bucket/models", "gs://b", "az://c/m", "S3://b", "file:///tmp/models", "s3://http://h:1/b/m"]
)
def test_an_address_is_refused(address: str) -> None:
    assert is_address(address)
    with pytest.raises(UsageError, match="only a local path"):
        local(address)
    with pytest.raises(UsageError):
        local(Path(address))  # of which pathlib has removed a slash


@pytest.mark.parametrize(
    "path", ["models", "/abs/models", "./s3:/b", "s3:/b", "a:b", "C:/x", "net:factory", "x//y", "s3:", "a b://c"]
)
def test_a_path_is_accepted(path: str) -> None:
    assert local(path) == Path(path)


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ("s3://key:secret@bucket/models", "s3://bucket/models"),
        ("s3://bucket/a@b/models", "s3://bucket/a@b/models"),
        ("az://c/m?sig=secret&x=1", "az://c/m"),
        ("https://h/m#token=secret", "https://h/m"),
        ("s3://bucket?secret", "s3://bucket"),
        ("s3://AKIA:sec/ret+secret@bucket/models", "s3://bucket/models"),
        ("s3://http://user:secret@127.0.0.1:9000/bucket/models", "s3://http://127.0.0.1:9000/bucket/models"),
        ("s3://http://127.0.0.1:9000/bucket/models", "s3://http://127.0.0.1:9000/bucket/models"),
    ],
)
def test_what_may_be_a_credential_is_not_printed(address: str, printed: str) -> None:
    assert without_secrets(address) == printed
    with pytest.raises(UsageError) as caught:
        local(address)
    assert printed in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_spec_with_addresses_lists_them_all(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text('schema: 1\nrepository: s3://k:secret@b/m\nmodels:\n  m: {source: "gs://b/a.onnx", inputs: {}}\n')
    with pytest.raises(UsageError) as caught:
        loader.load(spec)
    assert "line 2: repository: This is an address" in str(caught.value)
    assert "line 4: models.m.source: This is an address" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_python_interface_refuses_addresses() -> None:
    with pytest.raises(UsageError, match="only a local path"):
        api.verify("s3://bucket/models")
    with pytest.raises(UsageError, match="only a local path"):
        api.run("s3://bucket/spec.yaml")
    with pytest.raises(ValueError, match="only a local path"):
        schema.Spec.model_validate({"schema": 1, "repository": Path("s3://b"), "models": {"m": {"source": "a.onnx"}}})
