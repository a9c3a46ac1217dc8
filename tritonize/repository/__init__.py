"""The model repository: staging, publishing, versions and manifests; other packages import these names from here."""

from __future__ import annotations

from tritonize.core.artifacts import StagedVersion as StagedVersion
from tritonize.repository.absent import no_model, no_repository, no_version, same_version
from tritonize.repository.beside import files as files_beside
from tritonize.repository.beside import is_config
from tritonize.repository.changes import remove_versions, replace_configs
from tritonize.repository.evidence_place import evidence as evidence_of
from tritonize.repository.evidence_place import exists as has_evidence
from tritonize.repository.file_hashes import sha256
from tritonize.repository.journal import area as staging_area
from tritonize.repository.manifest import CONFIG, EVIDENCE, MANIFEST, integrity, pinned
from tritonize.repository.manifest import Manifest as Manifest
from tritonize.repository.manifest import read as read_manifest
from tritonize.repository.manifest import write as write_manifest
from tritonize.repository.pinned_config import with_pin, with_policy
from tritonize.repository.publishing import config_changes, publish, require_other_names, require_same_config
from tritonize.repository.staging import Run, stage, staging
from tritonize.repository.unconfigured import completed as completed_by_triton
from tritonize.repository.versions import (
    choose,
    models,
    next_version,
    proven_config,
    read_config,
    versions,
)

__all__ = [
    "CONFIG",
    "EVIDENCE",
    "MANIFEST",
    "Run",
    "StagedVersion",
    "choose",
    "completed_by_triton",
    "config_changes",
    "evidence_of",
    "files_beside",
    "has_evidence",
    "integrity",
    "is_config",
    "models",
    "next_version",
    "no_model",
    "no_repository",
    "no_version",
    "pinned",
    "proven_config",
    "publish",
    "read_config",
    "read_manifest",
    "remove_versions",
    "replace_configs",
    "require_other_names",
    "require_same_config",
    "same_version",
    "sha256",
    "stage",
    "staging",
    "staging_area",
    "versions",
    "with_pin",
    "with_policy",
    "write_manifest",
]
