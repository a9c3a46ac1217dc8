"""Publish versions of one model to a store while a Triton may poll it: no poll sees a part of a version as one to serve.

Triton reads a model's timestamps, then its configuration, then the versions that the configuration names, and it notices a change
only if the newest timestamp of the model grows; S3 has timestamps in whole seconds. So a push writes, in this order:

1. the claim, with what has to be completed or undone if the push is killed;
2. the configuration in place and its named variants, with a version policy that names the versions served so far;
3. the files of each new version: the manifest first, which is its reservation, what a backend loads last;
4. the other files beside the versions: labels, inputs of the warmup, and the variants;
5. in a later second than everything before, the configuration that serves the new versions.

A version's objects are created and never overwritten.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize.core.errors import RepositoryError
from tritonize.core.messages import remote as wording
from tritonize.remote import claim as claims
from tritonize.remote.claim import Claim
from tritonize.remote.store import Entry, Store

CONFIG = "config.pbtxt"
MANIFEST = "evidence/manifest.json"
BESIDE = ".push"
"""Suffix of the place of the claims."""
_LOADED = (".onnx", ".plan", ".pt", ".py")
"""Endings of files that a backend loads; what they refer to has to be there before."""
_TIMESTAMP_S = 1.05
_ATTEMPTS = 8

Outcome = Literal["published", "up to date"]


@dataclass(frozen=True, kw_only=True)
class VersionFiles:
    """One version to publish."""

    number: int
    files: Mapping[str, Path]
    """Path inside the version's directory to the file."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a model's directory in the store should become."""

    model: str
    versions: Sequence[VersionFiles]
    config: bytes
    """The configuration at the end."""
    shared: Mapping[str, bytes]
    """Other files beside the versions, such as labels, by their paths inside the model's directory."""
    require_allowed: Callable[[bytes | None, Mapping[str, bytes | None]], None]
    """Raises an error if the configuration and the shared files in place may not be replaced; called before anything is written."""
    holding: Callable[[bytes | None, Sequence[int]], bytes]
    """Returns a configuration that serves what the one in place serves of these versions, and no other."""
    on_step: Callable[[str], None] = field(default=lambda _text: None)
    variants: Sequence[str] = ()
    """Those of `shared` that are configurations; a Triton may serve by one of them."""
    lease_s: float = claims.LEASE_S


def push(store: Store, work: Work) -> Outcome:
    """Publish one model.

    Raises:
        RepositoryError: a version with the number exists and is another one, the configuration may not be replaced, another push
            took over, or the store refuses a request. What is served does not change; the next push completes or undoes the rest.
    """
    waited = [0.0]

    def waiting(lease_s: float) -> None:
        if not waited[0]:
            work.on_step(wording.WAITING.text(model=work.model, seconds=lease_s))
        waited[0] = lease_s

    with claims.held(store.beside(BESIDE), work.model, lease_s=work.lease_s, waiting=waiting) as claim:
        before = _recovered(store, work, claim)
        present = _present(store, work.model)
        _require_free(store, work, present)
        shared = {name: _read(store, f"{work.model}/{name}") for name in work.shared}
        work.require_allowed(before, shared)
        missing = {each.number: _missing(each, present) for each in work.versions}
        missing = {number: names for number, names in missing.items() if names}
        current = _read(store, f"{work.model}/{CONFIG}")
        if not missing and current == work.config and shared == work.shared:
            return "up to date"
        if missing:
            holding = work.holding(before, sorted(set(present) - set(missing)))
            config = None if before is None else before.decode(errors="replace")
            claim.note({"versions": sorted(missing), "config": config, "holding": hashlib.sha256(holding).hexdigest()})
            if holding != current:
                store.replace(f"{work.model}/{CONFIG}", holding)
            shared |= _hold_variants(store, work, shared, complete=sorted(set(present) - set(missing)))
            _upload(store, work, missing=missing, claim=claim)
        for name, content in work.shared.items():
            if shared[name] != content:
                store.replace(f"{work.model}/{name}", content)
        claim.require(look=True)
        _switch(store, work)
    return "published"


def _hold_variants(
    store: Store, work: Work, shared: Mapping[str, bytes | None], *, complete: Sequence[int]
) -> dict[str, bytes | None]:
    """Let the named variants in place serve no version but those that are complete, and return them.

    A killed push leaves them so, which serves what was served before; the next push writes the final ones.
    """
    held: dict[str, bytes | None] = {}
    for name in work.variants:
        if (current := shared[name]) is not None:
            held[name] = holding = work.holding(current, complete)
            if holding != current:
                store.replace(f"{work.model}/{name}", holding)
    return held


def _recovered(store: Store, work: Work, claim: Claim) -> bytes | None:
    """Undo what a killed push left of other versions; return the configuration from before it, or the one in place."""
    current = _read(store, f"{work.model}/{CONFIG}")
    if not claim.left or current is None or hashlib.sha256(current).hexdigest() != claim.left.get("holding"):
        return current  # nothing was left, or it was killed before its first write of the model, or after its last one
    config = claim.left.get("config")
    before = config.encode() if isinstance(config, str) else None
    present = _present(store, work.model)
    own = {each.number: each.files[MANIFEST].read_bytes() for each in work.versions}
    completing = False
    for number in map(int, claim.left.get("versions", ())):
        manifest = _read(store, f"{work.model}/{number}/{MANIFEST}")
        if manifest is None or manifest != own.get(number):
            work.on_step(wording.UNDOING.text(model=work.model, version=number))
            names = sorted(present.get(number, {}), key=_order, reverse=True)  # the manifest last
            store.remove([f"{work.model}/{number}/{name}" for name in names])
        else:
            work.on_step(wording.COMPLETING.text(model=work.model, version=number))
            completing = True
    if not completing:
        if before is None:
            store.remove([f"{work.model}/{CONFIG}"])
        else:
            store.replace(f"{work.model}/{CONFIG}", before)
        claim.note({})
    return before


def _require_free(store: Store, work: Work, present: Mapping[int, Mapping[str, Entry]]) -> None:
    """Refuse a version whose number another one has."""
    for each in work.versions:
        if each.number in present:
            found = _read(store, f"{work.model}/{each.number}/{MANIFEST}")
            if found != each.files[MANIFEST].read_bytes():
                where = f"{store.address}/{work.model}/{each.number}"
                raise RepositoryError.of(wording.OTHER_VERSION, where=where, version=each.number, model=work.model)


def _missing(version: VersionFiles, present: Mapping[int, Mapping[str, Entry]]) -> list[str]:
    """The files of a version that the store lacks, in the order in which they are written."""
    return [name for name in sorted(version.files, key=_order) if name not in present.get(version.number, {})]


def _order(name: str) -> tuple[int, str]:
    """The manifest, the rest of the evidence, other files, then what a backend loads."""
    group = 0 if name == MANIFEST else 1 if name.startswith("evidence/") else 3 if name.endswith(_LOADED) else 2
    return group, name


def _upload(store: Store, work: Work, *, missing: Mapping[int, Sequence[str]], claim: Claim) -> None:
    for each in work.versions:
        names = missing.get(each.number, ())
        mib = sum(each.files[name].stat().st_size for name in names) / 2**20
        if names:
            work.on_step(wording.UPLOADING.text(model=work.model, version=each.number, count=len(names), mib=mib))
        for name in names:
            path = f"{work.model}/{each.number}/{name}"
            claim.require()
            if not store.create(path, each.files[name]) and (
                name == MANIFEST or _size(store, path) != each.files[name].stat().st_size
            ):
                raise RepositoryError.of(
                    wording.OTHER_VERSION, where=f"{store.address}/{path}", version=each.number, model=work.model
                )
    present = _present(store, work.model)
    for each in work.versions:
        for name, file in each.files.items():
            found = present.get(each.number, {}).get(name)
            if found is None or found.bytes != file.stat().st_size:
                size = "no such object" if found is None else f"{found.bytes:,} bytes"
                where = f"{store.address}/{work.model}/{each.number}/{name}"
                raise RepositoryError.of(wording.INCOMPLETE, where=where, expected=f"{file.stat().st_size:,} bytes", found=size)


def _switch(store: Store, work: Work) -> None:
    """Write the final configuration with a newer timestamp than every other object of the model; otherwise Triton overlooks it."""
    path = f"{work.model}/{CONFIG}"
    for _ in range(_ATTEMPTS):
        newest = int(max((each.modified for each in store.entries(work.model).values()), default=0.0))
        time.sleep(_TIMESTAMP_S)
        store.replace(path, work.config)
        written = store.entries(path.rpartition("/")[0])[path].modified
        if int(written) > newest or not written:
            return
    raise RepositoryError.of(wording.CLOCK, where=f"{store.address}/{path}")


def _present(store: Store, model: str) -> dict[int, dict[str, Entry]]:
    """The versions of a model in the store: number to path inside the version to object."""
    present: dict[int, dict[str, Entry]] = {}
    for path, entry in store.entries(model).items():
        number, _, name = path.removeprefix(f"{model}/").partition("/")
        if name and number.isascii() and number.isdecimal() and not number.startswith("0"):
            present.setdefault(int(number), {})[name] = entry
    return present


def _read(store: Store, path: str) -> bytes | None:
    try:
        return store.read(path)
    except FileNotFoundError:
        return None


def _size(store: Store, path: str) -> int | None:
    found = store.entries(path.rpartition("/")[0]).get(path)
    return found.bytes if found else None
