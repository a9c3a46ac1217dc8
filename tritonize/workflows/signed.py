"""What signatures vouch for, for `--require-signature`: versions, and the files beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from tritonize import repository
from tritonize.core.errors import SignatureError
from tritonize.core.messages import provenance as wording
from tritonize.core.reports import Finding
from tritonize.provenance import signatures
from tritonize.repository.manifest import Manifest, own_sha256, pinned_texts, shared_files
from tritonize.repository.private_copy import InPlace


def findings(
    place: Path,
    model: str,
    version: int,
    *,
    key: Path,
    manifest: Manifest,
    own_config: bool = False,
    in_place: Sequence[InPlace] = (),
) -> tuple[Finding, ...]:
    """Verify a version's signature; empty if it holds.

    Args:
        place: the model repository.
        model: the model's name.
        version: the version's number.
        key: the public key.
        manifest: the manifest that the version's files were compared with.
        own_config: whether the configuration in place is another one than the version's.
        in_place: files that would be served without a copy. They may change after they were hashed, so each is a finding.

    Raises:
        MissingError, UsageError: see `signatures.signed_manifest`.
    """
    where = f"{model}/{version}"
    try:
        vouched = signatures.signed_manifest(place, model, version, key=key)
    except SignatureError as error:
        return (Finding(where=where, what=error.what, found=error.found),)
    if own_sha256(vouched) != own_sha256(manifest):  # not `!=`, since NaN differs from itself
        return (Finding(where=where, what=wording.OTHER_MANIFEST.text()),)
    if own_config:
        listed = beside(place, model, repository.versions(place, model), key=key).get(repository.CONFIG, {})
        if repository.sha256(place / model / repository.CONFIG) not in listed:
            return (Finding(where=f"{model}/{repository.CONFIG}", what=wording.CONFIG_UNSIGNED.text()),)
    return tuple(Finding(where=each.where, what=wording.NOT_COPIED.text()) for each in in_place)


def without_evidence(place: Path, model: str) -> tuple[Finding, ...]:
    """Findings about a model without evidence, of which no signature can vouch for anything.

    Triton may take more for versions than tritonize does, so a model without any is not harmless.
    """
    present = repository.versions(place, model)
    what = wording.NO_EVIDENCE.text()
    return tuple(Finding(where=f"{model}/{each}", what=what) for each in present) or (Finding(where=model, what=what),)


def beside(place: Path, model: str, versions: Iterable[int], *, key: Path) -> dict[str, dict[str, int]]:
    """Return the files beside the versions that signatures vouch for: file name to SHA-256 to size in bytes.

    Args:
        place: the model repository.
        model: the model's name.
        versions: the versions whose signatures count; those without one that holds are left out.
        key: the public key.
    """
    lists = []
    for version in versions:
        try:
            vouched = signatures.signed_manifest(place, model, version, key=key)
        except SignatureError:
            continue
        lists.append(vouched["files"])
        pinned = pinned_texts(place / model, version, vouched)
        lists.append(
            {
                name: {"sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": len(text.encode())}
                for name, text in pinned.items()
            }
        )
    return shared_files(lists)
