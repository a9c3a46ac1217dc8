"""The model repository: one entry for its callers to staging, publishing, versions and manifests."""

from __future__ import annotations

from tritonize.artifacts import StagedVersion as StagedVersion
from tritonize.journal import area as staging_area
from tritonize.manifest import CONFIG, EVIDENCE, MANIFEST, integrity, sha256
from tritonize.manifest import read as read_manifest
from tritonize.manifest import write as write_manifest
from tritonize.publishing import config_changes, publish, require_same_config
from tritonize.staging import Run, stage, staging
from tritonize.versions import choose, models, next_version, proven_config, read_config, versions

__all__ = [
    "CONFIG",
    "EVIDENCE",
    "MANIFEST",
    "Run",
    "StagedVersion",
    "choose",
    "config_changes",
    "integrity",
    "models",
    "next_version",
    "proven_config",
    "publish",
    "read_config",
    "read_manifest",
    "require_same_config",
    "sha256",
    "stage",
    "staging",
    "staging_area",
    "versions",
    "write_manifest",
]
