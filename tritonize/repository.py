"""The model repository: staging beside it, publishing into it, and the manifest of what was published.

Nothing half-written is ever visible: a version is complete, with its evidence, before one `rename` puts it in place, on
the same filesystem. Nothing is overwritten, and a published version is never touched again, since a polling Triton reloads
what changes. Staging never lies inside the repository, where Triton would take it for a model.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from tritonize.artifacts import Finding, PublishedVersion, StagedVersion
from tritonize.errors import RepositoryError, UsageError, storage_errors

CONFIG = "config.pbtxt"
EVIDENCE = "evidence"
MANIFEST = "manifest.json"
_OWNER = "owner.json"
_KEPT = "kept"


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

    def keep_only(self, files: Sequence[Path]) -> tuple[Path, ...]:
        """Leave these files of the run, in its folder, and nothing else; where they lie then."""
        kept = tuple(file.replace(self.directory / file.name) for file in files)
        for folder in (self.root, self.work):
            shutil.rmtree(folder)
        self.keep()
        return kept


@contextlib.contextmanager
def staging(repository: Path) -> Iterator[Run]:
    """A folder for one run, beside the repository on the same filesystem; gone at the end unless kept.

    Raises:
        RepositoryError: the repository cannot be written, or is no directory.
    """
    repository = repository.absolute()
    if (repository.exists() or repository.is_symlink()) and not repository.is_dir():
        raise RepositoryError("The model repository is no directory.", where=str(repository))
    if repository.parent == repository:
        raise RepositoryError("The root of the filesystem cannot be a model repository.", where=str(repository))
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
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = str(Path("/proc/self/ns/pid").readlink())
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:  # it has ended
        started = ""
    return {"pid": pid, "started": started, "boot": boot, "namespace": namespace}


def _sweep(area: Path) -> None:
    """Remove what a run left that was killed in mid-work."""
    for directory in area.iterdir() if area.is_dir() else ():
        try:
            owner = json.loads((directory / _OWNER).read_text())
        except (OSError, ValueError):
            continue  # not a run's, or one that is being made at this moment
        ours = _owner(int(owner.get("pid", 0))) if isinstance(owner, dict) else {}
        # A process number means nothing in another container or on another machine that shares the disk.
        comparable = ours.get("namespace") == owner.get("namespace") and ours.get("boot") == owner.get("boot")
        if comparable and ours != owner and not (directory / _KEPT).exists():
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
    configured = {entry.parent.name for entry in repository.glob(f"*/{CONFIG}")}
    proven = {entry.parents[2].name for entry in repository.glob(f"*/*/{EVIDENCE}/{MANIFEST}")}  # its configuration may be gone
    found = tuple(sorted(configured | proven))
    if not found:
        raise UsageError("There is no model in the repository.", where=str(repository), expected=f"<model>/{CONFIG}")
    return found


def choose(repository: Path, model: str, version: int | None) -> int:
    """A version of a model that is in place; the newest where none is named.

    Raises:
        UsageError: there is no such model or version.
    """
    known = models(repository)
    if model not in known:
        raise UsageError("The repository has no such model.", found=model, expected=", ".join(known))
    present = versions(repository, model)
    wanted = version if version is not None else max(present, default=None)
    if wanted is None or wanted not in present:
        raise UsageError(
            f"The model {model!r} has no such version.",
            where=str(repository / model),
            expected=", ".join(str(each) for each in present) or "at least one version",
            found=str(wanted),
        )
    return wanted


def proven_config(repository: Path, model: str, version: int) -> str | None:
    """The text of the configuration that a version was proven with; `None` where it was replaced and not kept.

    Raises:
        RepositoryError: the version carries no evidence.
    """
    directory = repository / model / str(version)
    wanted = read_manifest(directory)["files"].get(CONFIG, {}).get("sha256")
    for path in (directory / EVIDENCE / CONFIG, repository / model / CONFIG):
        if path.is_file() and sha256(path) == wanted:
            return path.read_text(encoding="utf-8")
    return None


def read_config(repository: Path, model: str) -> str:
    """The text of a model's configuration.

    Raises:
        RepositoryError: it cannot be read.
    """
    path = repository / model / CONFIG
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RepositoryError("The model's configuration cannot be read.", where=str(path), found=str(error)) from error


def require_same_config(repository: Path, model: str, texts: Mapping[str, str], *, allow_change: bool) -> None:
    """Refuse a configuration or labels that differ from those in place, unless the change was asked for.

    Args:
        texts: name of each file beside the versions, to its new text.

    Raises:
        RepositoryError: one differs; the differing lines are listed.
    """
    for name, text in () if allow_change else texts.items():
        path = repository / model / name
        if path.is_file():
            _require_same(path, path.read_text(encoding="utf-8", errors="replace"), text)


def _require_same(path: Path, current: str, text: str) -> None:
    if current == text:
        return
    lines = list(difflib.unified_diff(current.splitlines(), text.splitlines(), "in place", "new", lineterm="", n=0))
    raise RepositoryError(
        f"The new version's {path.name} differs from the one in place, which every version of the model shares.",
        where=str(path),
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
    if not isinstance(manifest, dict) or manifest.get("schema") != 1 or not isinstance(manifest.get("files"), dict):
        raise RepositoryError("The version's manifest is of another kind.", where=str(path), expected="schema 1")
    return manifest


def integrity(repository: Path, model: str, version: int, *, shared: bool = True) -> tuple[Finding, ...]:
    """What differs between the files in place and the manifest's hashes.

    Args:
        shared: look at the configuration and labels too, which all versions share.
    """
    model_directory = repository / model
    manifest = read_manifest(model_directory / str(version))
    listed = manifest["files"] if shared else {name: facts for name, facts in manifest["files"].items() if "/" in name}
    present = {str(path.relative_to(model_directory)): path for path in _files(model_directory, version)}
    findings = list(_manifest_findings(manifest, model, version))
    for name, facts in listed.items():
        where = f"{model}/{name}"
        if name not in present:
            findings.append(Finding(where=where, what="the file is missing"))
        elif (found := _readable_hash(present[name])) != facts["sha256"]:
            what = "the file cannot be read" if found is None else "the file was changed after it was proven"
            findings.append(Finding(where=where, what=what, expected=facts["sha256"], found=found))
    extra = sorted(set(present) - set(listed))
    own = [name for name in extra if name.startswith(f"{version}/")]  # other files at the top may belong to other versions
    return (*findings, *(Finding(where=f"{model}/{name}", what="the file is not in the manifest") for name in own))


def _manifest_findings(manifest: Mapping[str, Any], model: str, version: int) -> Iterator[Finding]:
    """Whether the manifest is this version's, of a proof that passed or was allowed to be missing, and covers what matters."""
    where = f"{model}/{version}/{EVIDENCE}/{MANIFEST}"
    for field, wanted in (("model", (model,)), ("version", (version,)), ("verdict", ("passed", "not run"))):
        if manifest.get(field) not in wanted:
            expected = " or ".join(map(str, wanted))
            yield Finding(where=where, what=f"its {field} is another", expected=expected, found=str(manifest.get(field)))
    for name in (CONFIG, f"{version}/{EVIDENCE}/report.json"):
        if name not in manifest["files"]:
            yield Finding(where=where, what=f"it does not list {name}")


def _readable_hash(path: Path) -> str | None:
    try:
        return sha256(path)
    except OSError:
        return None


def publish(staged: StagedVersion, repository: Path, *, allow_change: bool) -> PublishedVersion:
    """Put a staged version in place: one rename, after everything is on the disk.

    Raises:
        RepositoryError: the version exists by now, or the configuration in place differs.
    """
    repository = repository.absolute()
    target = repository / staged.model / str(staged.version)
    texts = {path.name: path.read_text(encoding="utf-8") for path in staged.model_directory.iterdir() if path.is_file()}
    with storage_errors(target), FileLock(staging_area(repository) / "lock"):
        if target.exists():
            raise RepositoryError(
                f"Version {staged.version} of {staged.model!r} exists by now; it is never overwritten.",
                where=str(target),
                cause="another run published it meanwhile",
                next_step="run again; it takes the next number",
            )
        require_same_config(repository, staged.model, texts, allow_change=allow_change)
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
