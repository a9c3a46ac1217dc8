"""Sign published versions with a key, and verify such signatures, with OpenSSF's `model-signing`.

A signature covers every file of the version's directory, and through the manifest in it the configuration and labels beside it.
Of a version whose evidence lies outside of the repository, it covers the evidence, and through its manifest all other files. It
lies at `<repository>.signatures/<model>/<version>.sig`, in the format of `model_signing sign key`, so other tools verify it too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import Any  # Any: JSON of the signature

from tritonize import repository
from tritonize.core import bounded_files, durable_files, environment, temporary
from tritonize.core.errors import RepositoryError, SignatureError, UsageError, require, storage_errors
from tritonize.core.messages import provenance as wording
from tritonize.repository.manifest import Manifest


def path_of(place: Path, model: str, version: int) -> Path:
    """Return where the signature of a version lies, whether or not there is one."""
    real = Path(os.path.realpath(place))  # the same folder, whether the repository is named by a link or as `..`
    return real.parent / f"{real.name}.signatures" / model / f"{version}.sig"


def sign(place: Path, model: str, version: int, *, key: Path) -> Path:
    """Sign a published version whose files are as its manifest says.

    Args:
        place: the model repository.
        model: the model's name.
        version: the version's number.
        key: private key of an elliptic curve (P-256, P-384, P-521) in PEM format; its password is in `TRITONIZE_SIGNING_PASSWORD`.

    Returns:
        The path of the signature, which replaces an earlier one.

    Raises:
        MissingError: the package `model-signing` is not installed.
        UsageError: the key cannot be used.
        RepositoryError: the version has no manifest, its files differ from it, or the signature cannot be written.
    """
    require("model_signing", extra="sign")
    from model_signing import signing

    directory = place / model / str(version)
    if findings := repository.integrity(place, model, version):
        lines = [f"{each.where}: {each.what}" for each in findings]
        raise RepositoryError.of(wording.NOT_SIGNED, where=str(directory), details=lines)
    try:
        configured = signing.Config().use_elliptic_key_signer(private_key=key, password=_password())  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError, AttributeError) as error:  # AttributeError: not of an elliptic curve
        raise UsageError.of(wording.KEY_UNUSABLE, where=str(key), found=str(error) or type(error).__name__) from error
    target = path_of(place, model, version)
    with temporary.folder() as folder, storage_errors(target):
        configured.sign(_covered(directory), folder / target.name)
        durable_files.make_directory(target.parent)
        durable_files.write(target, (folder / target.name).read_bytes())
    return target


def _covered(version_directory: Path) -> Path:
    """The folder that a signature covers: the version's directory, or its evidence if that lies elsewhere."""
    evidence = repository.evidence_of(version_directory)
    return version_directory if evidence.parent == version_directory else evidence


def _password() -> Any:
    """The password of the private key; cryptography takes bytes, whatever model-signing declares."""
    text = environment.SIGNING_PASSWORD.value()
    return text.encode() if text else None


def signed_manifest(place: Path, model: str, version: int, *, key: Path) -> Manifest:
    """Verify the signature of a published version, and return the manifest that it vouches for.

    Args:
        place: the model repository.
        model: the model's name.
        version: the version's number.
        key: public key in PEM format.

    Raises:
        MissingError: the package `model-signing` is not installed.
        UsageError: the key cannot be read.
        SignatureError: there is no signature, another key made it, or it is of other files; the error says which.
    """
    require("model_signing", extra="sign")
    from model_signing import verifying

    signature, directory = path_of(place, model, version), place / model / str(version)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError, AttributeError) as error:  # AttributeError: not of an elliptic curve
        raise UsageError.of(wording.KEY_UNUSABLE, where=str(key), found=str(error) or type(error).__name__) from error
    shell = shlex.quote(str(place))
    if not signature.is_file():
        raise SignatureError.of(wording.UNSIGNED, where=str(signature), model=model, version=version, repository=shell)
    try:
        signed, covered = bounded_files.content(signature), _covered(directory)
        with temporary.folder() as folder:  # read once: a file that is read again may be another one by then
            (folder / signature.name).write_bytes(signed)
            verifier.verify(covered, folder / signature.name)
        known = repository.evidence_of(directory) / repository.MANIFEST
        content = bounded_files.content(known)
        vouched = _digests(signed).get(known.relative_to(covered).as_posix())
    except Exception as error:
        found = str(error) or type(error).__name__
        raise SignatureError.of(
            wording.SIGNATURE_WRONG, where=str(signature), found=found, model=model, version=version, repository=shell
        ) from error
    if vouched != hashlib.sha256(content).hexdigest():
        raise SignatureError.of(
            wording.SIGNATURE_WRONG,
            where=str(signature),
            found="another manifest",
            model=model,
            version=version,
            repository=shell,
        )
    manifest: Manifest = json.loads(content)
    return manifest


def _digests(signature: bytes) -> dict[str, str]:
    """The SHA-256 of every file that a verified signature covers, by path inside the version's directory."""
    bundle = json.loads(signature)
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return {each["name"]: each["digest"] for each in payload["predicate"]["resources"]}
