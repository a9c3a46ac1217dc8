"""Signatures of versions: what they cover, and what an attacker who can write every file cannot do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any  # Any: arguments of model-signing

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from model_signing import verifying

from tests.support import plain_versions
from tests.support.command import invoke
from tritonize import repository
from tritonize.core import environment
from tritonize.core.artifacts import StagedVersion
from tritonize.core.errors import RepositoryError, SignatureError, UsageError
from tritonize.core.messages import provenance as wording
from tritonize.provenance import signatures
from tritonize.repository import evidence_place, private_copy
from tritonize.workflows import checked_copy

PLACE = Path("models")
ONE, TWO = PLACE / "m" / "1", PLACE / "m" / "2"


def new_key(name: str, *, password: bytes | None = None, kind: str = "ec") -> tuple[Path, Path]:
    """Private and public key as files."""
    private = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    kept = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    paths = Path(f"{name}.pem"), Path(f"{name}.pub")
    paths[0].write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, kept))
    paths[1].write_bytes(private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return paths


@pytest.fixture
def key() -> Path:
    """Two signed versions; the public key."""
    private, public = new_key("key")
    for content in ("one", "two"):
        number = plain_versions.publish(PLACE, content)
        signatures.sign(PLACE, "m", number, key=private)
    return public


def rewrite(version: int, **files: str) -> None:
    """Change files of a version, and its manifest so that it fits them."""
    directory = PLACE / "m" / str(version)
    facts = {name: value for name, value in repository.read_manifest(directory).items() if name not in ("files", "sha256")}
    for name, text in files.items():
        (directory / name.replace("__", "/")).write_text(text)
    (directory / "evidence" / "manifest.json").unlink()
    repository.write_manifest(StagedVersion(root=PLACE, model="m", version=version), facts)


def test_a_signature_vouches_for_the_manifest(key: Path) -> None:
    assert signatures.path_of(PLACE, "m", 1) == Path("models.signatures/m/1.sig").absolute()
    assert signatures.signed_manifest(PLACE, "m", 1, key=key) == repository.read_manifest(ONE)
    assert sorted(each.name for each in PLACE.rglob("*.sig")) == []  # nothing that Triton reads has changed


def _copy_signature_of_another() -> None:
    shutil.copy(signatures.path_of(PLACE, "m", 2), signatures.path_of(PLACE, "m", 1))


def _change_payload() -> None:
    path = signatures.path_of(PLACE, "m", 1)
    bundle = json.loads(path.read_text())
    bundle["dsseEnvelope"]["payload"] = json.loads(signatures.path_of(PLACE, "m", 2).read_text())["dsseEnvelope"]["payload"]
    path.write_text(json.dumps(bundle))


@pytest.mark.parametrize(
    "attack",
    [
        lambda: (ONE / "model.onnx").write_text("other"),
        lambda: rewrite(1, **{"model.onnx": "other"}),
        lambda: rewrite(1, evidence__report="{}"),
        lambda: (ONE / "evidence" / "more.json").write_text("{}"),
        lambda: (ONE / "evidence" / "report.json").unlink(),
        lambda: signatures.path_of(PLACE, "m", 1).unlink(),
        lambda: signatures.path_of(PLACE, "m", 1).write_text(""),
        lambda: signatures.path_of(PLACE, "m", 1).write_text("[]"),
        _copy_signature_of_another,
        _change_payload,
        lambda: signatures.sign(PLACE, "m", 1, key=new_key("other")[0]),
    ],
)
def test_whatever_is_changed_the_signature_does_not_hold(attack: Callable[[], object], key: Path) -> None:
    attack()
    with pytest.raises(SignatureError):
        signatures.signed_manifest(PLACE, "m", 1, key=key)
    signatures.signed_manifest(PLACE, "m", 2, key=key)


def test_what_is_served_must_be_signed(key: Path) -> None:
    def served(number: int) -> list[str]:
        return [each.where for each in checked_copy.to_serve(PLACE, ["m"], Path(f"to serve {number}"), key=key).findings]

    assert served(1) == []
    rewrite(2, **{"model.onnx": "other"})
    assert checked_copy.to_serve(PLACE, ["m"], Path("unasked")).findings == []  # files and manifest fit each other
    assert served(2) == ["m/2"]
    plain_versions.publish(PLACE, "three")  # unsigned, and the newest
    assert served(3) == ["m/3"]


def test_a_configuration_in_place_must_be_signed_too(key: Path) -> None:
    """An attacker publishes a version that is not served, only to have its configuration accepted for a signed one."""
    plain_versions.publish(PLACE, "three", text=plain_versions.config(policy="version_policy { specific { versions: [ 1 ] } }"))
    found = checked_copy.to_serve(PLACE, ["m"], Path("to serve"), key=key).findings
    assert [each.where for each in found] == ["m/config.pbtxt"]
    assert checked_copy.to_serve(PLACE, ["m"], Path("unasked")).findings == []


def test_a_version_that_rollback_pinned_is_served(key: Path) -> None:
    assert invoke("rollback", str(PLACE), "m", "--to", "1").returncode == 0
    assert checked_copy.to_serve(PLACE, ["m"], Path("to serve"), key=key).findings == []


@pytest.mark.parametrize(("folder", "where"), [("1", "n/1"), ("0", "n/0"), ("-1", "n"), (".", "n")])
def test_a_model_without_evidence_is_not_served(folder: str, where: str, key: Path) -> None:
    """Triton serves a version 0, and what else is a version for it is not ours to guess."""
    (PLACE / "n" / folder).mkdir(parents=True)
    (PLACE / "n" / "config.pbtxt").write_text('name: "n"')
    found = checked_copy.to_serve(PLACE, ["m", "n"], Path("to serve"), key=key).findings
    assert [each.where for each in found] == [where]


def test_a_signature_that_is_replaced_after_it_was_verified(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify, other = verifying.Config.verify, new_key("other")[0]

    def then_changed(self: Any, *arguments: Any) -> None:
        verify(self, *arguments)
        rewrite(1, **{"model.onnx": "other"})
        signatures.sign(PLACE, "m", 1, key=other)

    monkeypatch.setattr(verifying.Config, "verify", then_changed)
    with pytest.raises(SignatureError):
        signatures.signed_manifest(PLACE, "m", 1, key=key)


def _list(version: int, name: str) -> None:
    """Let the manifest of a version, whose signature does not hold any more, list a file beside the versions."""
    path, file = PLACE / "m" / str(version) / "evidence" / "manifest.json", PLACE / "m" / name
    facts = json.loads(path.read_text())
    facts["files"][name] = {"sha256": repository.sha256(file), "bytes": file.stat().st_size}
    path.write_text(json.dumps(facts))


def test_a_configuration_that_is_replaced_after_the_check_is_not_served(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one that a version lists that is neither served nor signed."""
    copy_beside = checked_copy._copy_beside

    def replaced_before(*arguments: Any) -> None:
        (PLACE / "m" / "config.pbtxt").write_text(plain_versions.config(size=8))
        copy_beside(*arguments)

    config = PLACE / "m" / "config.pbtxt"
    proven = config.read_text()
    config.write_text(plain_versions.config(size=8))
    _list(1, "config.pbtxt")
    config.write_text(proven)
    monkeypatch.setattr(checked_copy, "_copy_beside", replaced_before)
    private = checked_copy.to_serve(PLACE, ["m"], Path("to serve"), key=key)
    assert sorted(each.name for each in (private.root / "m").iterdir()) == ["2"]  # which Triton refuses
    assert (private.root / "m" / "2" / "model.onnx").read_text() == "two"


def test_labels_beside_signed_versions_are_signed_ones(key: Path) -> None:
    """A version that is not served lists other labels, or one file more."""
    (PLACE / "m" / "labels.txt").write_text("cat")
    private = checked_copy.to_serve(PLACE, ["m"], Path("to serve"), key=key)
    assert [each.where for each in private.findings] == ["m/labels.txt"]
    _list(1, "labels.txt")
    private = checked_copy.to_serve(PLACE, ["m"], Path("again"), key=key)
    assert (private.findings, sorted(each.name for each in (private.root / "m").iterdir())) == ([], ["2", "config.pbtxt"])


def test_what_cannot_be_copied_is_not_served(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is served from the repository may be another one as soon as it was verified."""
    monkeypatch.setattr(private_copy, "ALL", 0)
    monkeypatch.setattr(private_copy, "_share", lambda *_descriptors: False)
    found = checked_copy.to_serve(PLACE, ["m"], Path("to serve"), key=key).findings
    assert {each.what for each in found} == {wording.NOT_COPIED.text()}
    assert "m/2/model.onnx" in {each.where for each in found}


def test_every_version_that_is_served_must_be_signed_for_verify(key: Path) -> None:
    text = plain_versions.config(policy="version_policy { latest { num_versions: 2 } }")
    number = plain_versions.publish(PLACE, "three", text=text)
    signatures.sign(PLACE, "m", number, key=Path("key.pem"))
    signatures.path_of(PLACE, "m", 2).unlink()
    done = invoke("verify", str(PLACE), "--require-signature", str(key))
    said = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert "m version 2 has no signature" in said
    assert "signature holds" not in said  # what is not signed is not said to be


def test_a_golden_file_has_no_signature(key: Path) -> None:
    done = invoke("verify", "--golden", "x.golden", "--url", "http://127.0.0.1:1", "--require-signature", str(key))
    assert done.returncode == 2
    assert "--require-signature" in done.stderr


def test_the_command_line(key: Path) -> None:
    done = invoke("sign", str(PLACE), "m", "--version", "1", "--key", "key.pem")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "Signed m version 1")
    rewrite(2, **{"model.onnx": "other"})
    for command in (("verify", str(PLACE)), ("serve", str(PLACE))):
        done = invoke(*command, "--require-signature", str(key))
        assert done.returncode == 1, done.stderr
        assert "The signature of m version 2 does not hold." in " ".join((done.stdout + done.stderr).split())
    assert invoke("sign", str(PLACE), "m", "--key", "absent.pem").returncode == 2


def test_a_changed_version_is_not_signed(key: Path) -> None:
    (ONE / "model.onnx").write_text("other")
    with pytest.raises(RepositoryError) as caught:
        signatures.sign(PLACE, "m", 1, key=Path("key.pem"))
    assert caught.value.code == "provenance-not-signed"
    assert "m/1/model.onnx" in caught.value.details[0]


def test_keys_that_cannot_be_used_and_one_with_a_password(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("garbage.pem").write_text("garbage")
    for private in (
        Path("garbage.pem"),
        Path("absent.pem"),
        new_key("rsa", kind="rsa")[0],
        new_key("locked", password=b"secret")[0],
    ):
        with pytest.raises(UsageError) as caught:
            signatures.sign(PLACE, "m", 1, key=private)
        assert caught.value.code == "provenance-key-unusable"
    with pytest.raises(UsageError):
        signatures.signed_manifest(PLACE, "m", 1, key=Path("garbage.pem"))
    monkeypatch.setenv(environment.SIGNING_PASSWORD.name, "secret")
    signatures.sign(PLACE, "m", 1, key=Path("locked.pem"))
    signatures.signed_manifest(PLACE, "m", 1, key=Path("locked.pub"))


def test_a_version_with_evidence_outside_is_signed_by_its_evidence() -> None:
    private, public = new_key("key")
    plain_versions.publish(PLACE, "one", place="outside")
    signatures.sign(PLACE, "m", 1, key=private)
    manifest = signatures.signed_manifest(PLACE, "m", 1, key=public)
    assert manifest == repository.read_manifest(ONE)
    assert "1/model.onnx" in manifest["files"]

    (ONE / "model.onnx").write_text("other")  # found by the manifest, which the signature covers
    private = checked_copy.to_serve(PLACE, ["m"], Path("changed"), key=public)
    assert [each.where for each in private.findings] == ["m/1/model.onnx"]
    report = Path("models.evidence/m/1/report.json")
    report.write_text('{"verdict": "passed"}')
    with pytest.raises(SignatureError, match="does not hold"):
        signatures.signed_manifest(PLACE, "m", 1, key=public)
    shutil.copytree(report.parent, ONE / "evidence")  # evidence inside comes first, and this signature is not of it
    with pytest.raises(SignatureError, match="does not hold"):
        signatures.signed_manifest(PLACE, "m", 1, key=public)


def test_a_repository_has_one_place_for_signatures_evidence_and_staging(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is named: a place inside it would be taken for a model or a version, and two places have two locks."""
    Path("linked").symlink_to("models")
    top = Path.cwd()
    for folder, named in ((top, "models"), (top, "linked"), (PLACE / "m", ".."), (PLACE / "m" / "1", "../.."), (PLACE, ".")):
        monkeypatch.chdir(top / folder)
        place = Path(named)
        assert signatures.path_of(place, "m", 1) == top / "models.signatures" / "m" / "1.sig"
        assert evidence_place.outside(place / "m" / "1") == top / "models.evidence" / "m" / "1"
        assert repository.staging_area(place) == top / ".models.staging"
        signatures.signed_manifest(place, "m", 1, key=top / key)
