"""Findings about the signatures of versions, for `--require-signature`."""

from __future__ import annotations

from pathlib import Path

from tritonize import repository
from tritonize.core.artifacts import Finding
from tritonize.core.errors import SignatureError
from tritonize.core.messages import provenance as wording
from tritonize.provenance import signatures
from tritonize.repository.manifest import Manifest, listed_sha256


def findings(
    place: Path, model: str, version: int, *, key: Path, manifest: Manifest | None, own_config: bool = False
) -> tuple[Finding, ...]:
    """Verify a version's signature; empty if it holds.

    Args:
        place: the model repository.
        model: the model's name.
        version: the version's number.
        key: the public key.
        manifest: the manifest that the version's files were compared with; `None` if it has none.
        own_config: whether the configuration in place is another one than the version's.

    Raises:
        MissingError, UsageError: see `signatures.signed_manifest`.
    """
    where = f"{model}/{version}"
    try:
        vouched = signatures.signed_manifest(place, model, version, key=key)
    except SignatureError as error:
        return (Finding(where=where, what=error.what, found=error.found),)
    if vouched != manifest:
        return (Finding(where=where, what=wording.OTHER_MANIFEST.text()),)
    if own_config and not _is_vouched(place, model, key):
        return (Finding(where=f"{model}/{repository.CONFIG}", what=wording.CONFIG_UNSIGNED.text()),)
    return ()


def _is_vouched(place: Path, model: str, key: Path) -> bool:
    """Whether a signature covers the configuration in place: that of a version, or of a pinned version."""
    directory = place / model
    in_place, pinned = repository.sha256(directory / repository.CONFIG), repository.pinned(directory)
    for version in repository.versions(place, model):
        try:
            vouched = signatures.signed_manifest(place, model, version, key=key)
        except SignatureError:
            continue
        if version == pinned or listed_sha256(vouched, repository.CONFIG) == in_place:
            return True
    return False
