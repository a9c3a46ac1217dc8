"""The model repository: staging beside it, publishing into it, and the manifest of what was published.

Nothing half-written is ever visible: a version is complete, with its evidence, before one `rename` puts it in place, on
the same filesystem. Nothing is overwritten, and a published version is never touched again, since a polling Triton reloads
what changes. Staging never lies inside the repository, where Triton would take it for a model.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from tritonize.artifacts import Finding, PublishedVersion, StagedVersion
from tritonize.errors import RepositoryError, UsageError

CONFIG = "config.pbtxt"
EVIDENCE = "evidence"
MANIFEST = "manifest.json"
_OWNER = "owner.json"
_KEPT = "kept"
_STORAGE_ERRORS = {
    errno.ENOSPC: "No space is left on the disk.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EFBIG: "A file is larger than the filesystem or the limit on file sizes allows.",
    errno.EROFS: "The filesystem is read-only.",
    errno.EACCES: "Writing is not permitted.",
    errno.EPERM: "Writing is not permitted.",
}


@contextlib.contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into a RepositoryError that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            raise
        raise RepositoryError(
            _STORAGE_ERRORS[error.errno],
            where=str(error.filename or where),
            found=error.strerror,
            next_step="free some space, or name another place with --repository" if error.errno == errno.ENOSPC else None,
        ) from error


class Run:
    """One run's own folder in the staging area: `repository/` is what the proving server sees, `scratch/` is everything else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "repository"
        self.work = directory / "scratch"
        self.kept = False

    def keep(self) -> None:
        """Leave the folder where it is when the run ends; for a version that failed its proof."""
        (self.directory / _KEPT).touch()
        self.kept = True


@contextlib.contextmanager
def staging(repository: Path) -> Iterator[Run]:
    """A folder for one run, beside the repository on the same filesystem; gone at the end unless kept.

    Raises:
        RepositoryError: the repository cannot be written, or is no directory.
    """
    repository = repository.absolute()
    if repository.exists() and not repository.is_dir():
        raise RepositoryError("The model repository is no directory.", where=str(repository))
    area = staging_area(repository)
    created = [folder for folder in (area, *area.parents) if not folder.exists()]
    with storage_errors(area):
        try:
            _sweep(area)
            run = Run(area / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
            for folder in (run.root, run.work):
                folder.mkdir(parents=True)
            (run.directory / _OWNER).write_text(json.dumps(_owner(os.getpid())))
            _require_same_filesystem(area, repository)
            yield run
        finally:
            if "run" in locals() and not run.kept:
                shutil.rmtree(run.directory, ignore_errors=True)
            _remove_empty(created if created else [area])


def staging_area(repository: Path) -> Path:
    """Where runs for a repository are staged."""
    return repository.parent / f".{repository.name}.staging"


def _require_same_filesystem(area: Path, repository: Path) -> None:
    if repository.exists() and repository.stat().st_dev != area.stat().st_dev:
        raise RepositoryError(
            "The folder beside the repository is on another filesystem, so a version cannot be moved in place in one step.",
            where=str(area),
            cause="the repository is itself a mount point",
            next_step="name a folder inside the mounted filesystem with --repository",
        )


def _owner(pid: int) -> dict[str, Any]:
    """A process, named so that a later one with its number is not taken for it."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        started = ""
    return {"pid": pid, "started": started}


def _sweep(area: Path) -> None:
    """Remove what a run left that was killed in mid-work."""
    for directory in area.iterdir() if area.is_dir() else ():
        try:
            owner = json.loads((directory / _OWNER).read_text())
        except (OSError, ValueError):
            continue  # not a run's, or one that is being made at this moment
        if not (directory / _KEPT).exists() and _owner(owner["pid"]) != owner:
            shutil.rmtree(directory, ignore_errors=True)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        lock = folder / "lock"
        if folder.is_dir() and [entry.name for entry in folder.iterdir()] == ["lock"]:
            lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def versions(repository: Path, model: str) -> tuple[int, ...]:
    """The versions of a model that are in place, in order."""
    directory = repository / model
    if not directory.is_dir():
        return ()
    return tuple(sorted(int(entry.name) for entry in directory.iterdir() if entry.is_dir() and entry.name.isdecimal()))


def models(repository: Path) -> tuple[str, ...]:
    """The models of a repository: its directories that hold a configuration.

    Raises:
        UsageError: there is no such directory, or nothing in it.
    """
    if not repository.is_dir():
        raise UsageError("There is no such model repository.", where=str(repository))
    found = tuple(sorted(entry.parent.name for entry in repository.glob(f"*/{CONFIG}")))
    if not found:
        raise UsageError("There is no model in the repository.", where=str(repository), expected=f"<model>/{CONFIG}")
    return found


def config_in_place(repository: Path, model: str) -> str | None:
    """The text of a model's configuration; `None` where the model is new."""
    path = repository / model / CONFIG
    return path.read_text(encoding="utf-8") if path.is_file() else None


def require_same_config(repository: Path, model: str, text: str, *, allow_change: bool) -> None:
    """Refuse a configuration that differs from the one in place, unless the change was asked for.

    Raises:
        RepositoryError: it differs; the differing lines are listed.
    """
    current = config_in_place(repository, model)
    if current is None or current == text or allow_change:
        return
    lines = list(difflib.unified_diff(current.splitlines(), text.splitlines(), "in place", "new", lineterm="", n=0))
    raise RepositoryError(
        "The new version's configuration differs from the one in place, which every version of the model shares.",
        where=str(repository / model / CONFIG),
        cause="the spec changed, or the file was edited by hand",
        next_step="add --replace-config to put the new one in place, or choose another model name",
        details=lines,
    )


def stage(run: Run, model: str, version: int, files: Mapping[str, Path], texts: Mapping[str, str]) -> StagedVersion:
    """Lay out a model directory for the proving server.

    Args:
        files: path inside the model directory to the file that is moved there.
        texts: likewise, to the text that is written there.
    """
    staged = StagedVersion(root=run.root, model=model, version=version)
    staged.version_directory.mkdir(parents=True)
    for name, text in texts.items():
        (staged.model_directory / name).write_text(text, encoding="utf-8")
    for name, source in files.items():
        target = staged.model_directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    return staged


def write_manifest(staged: StagedVersion, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write `evidence/manifest.json`: the facts, and the SHA-256 of every file of the version and of its configuration."""
    manifest = {"schema": 1, "model": staged.model, "version": staged.version, **facts, "files": _hashes(staged)}
    evidence = staged.version_directory / EVIDENCE
    evidence.mkdir(exist_ok=True)
    (evidence / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _hashes(staged: StagedVersion) -> dict[str, dict[str, Any]]:
    """Path relative to the model directory, to hash and size; files of the model directory and of this version."""
    return {
        str(path.relative_to(staged.model_directory)): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(_files(staged.model_directory, staged.version))
    }


def _files(model_directory: Path, version: int) -> Iterator[Path]:
    yield from (path for path in model_directory.iterdir() if path.is_file())
    directory = model_directory / str(version)
    manifest = directory / EVIDENCE / MANIFEST
    yield from (path for path in directory.rglob("*") if path.is_file() and path != manifest)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(version_directory: Path) -> dict[str, Any]:
    """The manifest of a published version.

    Raises:
        RepositoryError: there is none, or it is damaged.
    """
    path = version_directory / EVIDENCE / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RepositoryError(
            "The version carries no evidence, so there is nothing to verify it against.",
            where=str(version_directory),
            cause="it was not published by tritonize",
            next_step="publish it with `tritonize run`",
        ) from error
    except (OSError, ValueError) as error:
        raise RepositoryError("The version's manifest is damaged.", where=str(path), found=str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("schema") != 1:
        raise RepositoryError("The version's manifest is of another kind.", where=str(path), expected="schema 1")
    return manifest


def integrity(repository: Path, model: str, version: int) -> tuple[Finding, ...]:
    """What differs between the files in place and the manifest's hashes."""
    model_directory = repository / model
    listed = read_manifest(model_directory / str(version))["files"]
    present = {str(path.relative_to(model_directory)): path for path in _files(model_directory, version)}
    findings = []
    for name, facts in listed.items():
        where = f"{model}/{name}"
        if name not in present:
            findings.append(Finding(where=where, what="the file is missing"))
        elif (found := sha256(present[name])) != facts["sha256"]:
            findings.append(
                Finding(where=where, what="the file was changed after it was proven", expected=facts["sha256"], found=found)
            )
    extra = sorted(set(present) - set(listed))
    own = [name for name in extra if name.startswith(f"{version}/")]  # other files at the top may belong to other versions
    return (*findings, *(Finding(where=f"{model}/{name}", what="the file is not in the manifest") for name in own))


def publish(staged: StagedVersion, repository: Path, *, allow_change: bool) -> PublishedVersion:
    """Put a staged version in place: one rename, after everything is on the disk.

    Raises:
        RepositoryError: the version exists by now, or the configuration in place differs.
    """
    repository = repository.absolute()
    target = repository / staged.model / str(staged.version)
    text = (staged.model_directory / CONFIG).read_text(encoding="utf-8")
    with storage_errors(target), FileLock(staging_area(repository) / "lock"):
        if target.exists():
            raise RepositoryError(
                f"Version {staged.version} of {staged.model!r} exists by now; it is never overwritten.",
                where=str(target),
                cause="another run published it meanwhile",
                next_step="run again; it takes the next number",
            )
        require_same_config(repository, staged.model, text, allow_change=allow_change)
        _sync_tree(staged.model_directory)
        repository.mkdir(parents=True, exist_ok=True)
        if target.parent.exists():
            # The version first: until the configuration follows, a polling server at worst keeps its old version.
            staged.version_directory.rename(target)
            for path in sorted(staged.model_directory.iterdir(), key=lambda each: each.name == CONFIG):
                if path.is_file() and not _same(path, target.parent / path.name):
                    path.replace(target.parent / path.name)
            _sync(target.parent)
        else:
            staged.model_directory.rename(target.parent)
        _sync(repository)
    return PublishedVersion(repository=repository, model=staged.model, version=staged.version)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def _sync_tree(directory: Path) -> None:
    for path in directory.rglob("*"):
        _sync(path)
    _sync(directory)


def _sync(path: Path) -> None:
    """Ask the kernel to put a file or directory on the disk before anything refers to it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
