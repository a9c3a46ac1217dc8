"""What a version was made from: spec, files, loaded Python files and library versions, as checksums that can be compared later.

The manifest has them as `made_from`. Names are relative, so that another checkout of the same files is the same origin.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import tritonize
from tritonize.core import onnx_protobuf, resources
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import repository as wording
from tritonize.process.loaded_code import Loaded
from tritonize.repository import file_hashes
from tritonize.source import in_process
from tritonize.spec import schema
from tritonize.workflows import portable_spec, warmup

SCHEMA = 2
_TOOL = ("jinja2", "numpy", "onnxruntime", "protobuf", "pydantic", "tritonclient")
"""Packages that tritonize itself uses, in this process or for the server."""
_READ = "a file that the model's code read"
_SITES = ("site-packages", "dist-packages")


class Given(TypedDict):
    """What is known before a run."""

    spec: str
    """SHA-256 of the model's section with bare file names, and of the target."""
    files: list[list[str]]
    """Role, name and SHA-256 of each file that the spec names."""


class Origin(Given):
    """`made_from` of a manifest."""

    schema: int
    python_files: dict[str, str]
    """Python file, below the folder that it is imported from, to its SHA-256."""
    opened_files: dict[str, str]
    """Other file that the user's code read to its SHA-256: number of the folder in `search_path`, and a hash of each name of the
    path below it, since a name may be that of a patient."""
    unplaced_files: list[str]
    """Loaded files that cannot be found again by a relative path; of other files than Python's, without a name. With one, no run
    is called the same."""
    libraries: dict[str, str]
    """Distribution to its version and a checksum of its installed files."""


def given(specification: schema.Spec, name: str, source: Mapping[str, str]) -> Given:
    """Return the checksums of a model's spec and of the files that it names.

    Args:
        source: file name to SHA-256 of the source, as `identify` returns it.

    Raises:
        UsageError: a pattern of sample files matches nothing. A file that cannot be read has an empty checksum.
    """
    model = specification.models[name]
    described = {
        "name": name,
        "model": portable_spec.portable(model),
        "target": specification.target.model_dump(mode="json", exclude_defaults=True),
        "evidence": specification.evidence.model_dump(mode="json"),
    }
    plain = json.dumps(described, sort_keys=True, ensure_ascii=False)
    files = [["source", *each] for each in sorted(source.items())]
    # The names of samples are left out: they may be those of patients.
    files += [[role, "" if role == "sample" else path.name, _sha256_now(path)] for role, path in _named(model)]
    return {"spec": hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest(), "files": files}


def _named(model: schema.Model) -> Iterator[tuple[str, Path]]:
    """Yield the files that a model's spec names besides its source, with their roles, in order."""
    yield from (("operators", path) for path in model.operators)
    yield from (("plugin", path) for path in model.builder.plugins)
    yield from (("custom operators", Path(each)) for each in model.custom_op_libraries if Path(each).is_absolute())
    if model.source.lower().endswith(".onnx"):
        with contextlib.suppress(UsageError):  # the run reports a file that is no model
            yield from (("data", path) for path in onnx_protobuf.data_files(Path(model.source)))
    if model.template:
        yield "template", model.template
    if model.config:
        yield "config", model.config
    yield from (("sample", path) for path in warmup.own_files(model).values())
    yield from (("labels", rules.labels) for rules in model.outputs.values() if rules.labels)
    patterns = () if model.samples.function else model.samples.patterns
    if not patterns:
        return
    from tritonize.source import sample_files  # not above: it imports NumPy

    for pattern in patterns:
        for match in map(Path, sample_files.matches(pattern)):
            yield from (("sample", path) for path in (sorted(match.glob("*.npy")) if match.is_dir() else (match,)))


def why_not_repeatable(model: schema.Model) -> str | None:
    """Return why two runs of a spec cannot be called the same; `None` if they can."""
    if in_process.model_file(model.source):
        return "the model is an object of a Python process"
    if portable_spec.has_secrets(model):
        return "the spec has secrets, which are kept out of manifests"
    if model.backend != "onnxruntime":
        return "a plan depends on the GPU and its driver"
    return None


def complete(given_before: Given, model: schema.Model, loaded: Loaded) -> Origin:
    """Add what the workers loaded.

    Raises:
        RepositoryError: a Python file changed during the run.
    """
    known = {sha256 for _, _, sha256 in given_before["files"]}
    code: dict[str, str] = {}
    read: dict[str, str] = {}
    unplaced: list[str] = []
    for path, sha256 in sorted(loaded.files.items()):
        if path in loaded.modules and sha256 != _sha256_now(Path(path)):
            raise RepositoryError.of(wording.SOURCE_CHANGED, where=Path(path).name)
        name = loaded.modules.get(path) if path in loaded.modules else _below(Path(path), model.search_path, sha256)
        if sha256 and name:
            (code if path in loaded.modules else read)[name] = sha256
        elif sha256 not in known:
            unplaced.append(Path(path).name if path in loaded.modules else _READ)
    unplaced += [package for package in sorted(loaded.packages) if _distribution(package) is None]
    return {
        "schema": SCHEMA,
        **given_before,
        "python_files": code,
        "opened_files": read,
        "unplaced_files": unplaced,
        "libraries": libraries({*loaded.packages, *_TOOL}),
    }


def _sha256_now(path: Path) -> str:
    try:
        return file_hashes.sha256(path)
    except OSError:
        return ""


def _below(path: Path, folders: Sequence[Path], sha256: str) -> str:
    """Return `<number of the folder>/<hashes of the names below it>`; empty if the path is below none of the folders."""
    for number, folder in enumerate(folders):
        if path.is_relative_to(folder.absolute()):
            return "/".join((str(number), *(_name_hash(part, sha256) for part in path.relative_to(folder.absolute()).parts)))
    return ""


def _name_hash(name: str, sha256: str) -> str:
    """Return a hash of a file's name that depends on the file's content, so that equal names in two versions do not show."""
    return hashlib.sha256(f"{sha256}/{name}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _opened(name: str, sha256: str, folders: Sequence[Path]) -> Path | None:
    """Return the file that `_below` named; `None` if no file below the folder has such a name."""
    number, *hashes = name.split("/")
    if int(number) >= len(folders):
        return None
    path = folders[int(number)]
    for wanted in hashes:
        try:
            found = next((each for each in path.iterdir() if _name_hash(each.name, sha256) == wanted), None)
        except OSError:
            found = None
        if found is None:
            return None
        path = found
    return path


def libraries(packages: Collection[str]) -> dict[str, str]:
    """Return name and version of the distributions of packages in site-packages, of Python and of tritonize.

    A version is followed by a checksum of the installed files, since a package can be installed again with other content.
    """
    names = {name for name in map(_distribution, packages) if name is not None}
    found = {name: _installed(name) for name in sorted(names)}
    return {**found, "python": platform.python_version(), "tritonize": own_version()}


@functools.cache
def _distribution(package: str) -> str | None:
    """Return the distribution that a package in site-packages belongs to; `None` if it belongs to none."""
    try:
        return importlib.metadata.distribution(package).metadata["Name"]
    except importlib.metadata.PackageNotFoundError:
        return next(iter(_distributions().get(package, ())), None)


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@functools.cache
def _installed(name: str) -> str:
    """Return the version of an installed distribution and a checksum of its list of files; empty if it is not installed."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    listed = found.read_text("RECORD") or ""
    return f"{found.version} {hashlib.sha256(listed.encode()).hexdigest()[:16]}"


@functools.cache
def own_version() -> str:
    """Return tritonize's version and a checksum of its files, which include the lock of the server's packages."""
    digest = hashlib.sha256()
    for root in (resources.package(), resources.templates()):
        for path, kind in file_hashes.walk(root):
            if kind == "file" and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)} {file_hashes.sha256(path)}\n".encode())
    return f"{tritonize.__version__} {digest.hexdigest()[:16]}"


def difference(known: Origin, now: Given, model: schema.Model) -> str | None:
    """Return what differs from what a version was made from, in words; `None` if nothing does.

    Args:
        known: `made_from` of the version's manifest.
        now: the result of `given` for the spec as it is now.
    """
    if known.get("schema") != SCHEMA:
        return "the version does not say what it was made from"
    if known.get("spec") != now["spec"]:
        return "the spec changed"
    if known.get("files") != now["files"]:
        return "a file that the spec names changed"
    if known["unplaced_files"]:
        return f"{known['unplaced_files'][0]} cannot be found again"
    for name, sha256 in known["python_files"].items():
        path = _imported_from(name, model)
        if path is None or _sha256_now(path) != sha256:
            return f"{name} changed"
    for name, sha256 in known["opened_files"].items():
        path = _opened(name, sha256, model.search_path)
        if path is None or _sha256_now(path) != sha256:
            return f"{path.name if path else _READ} changed"
    return _library_difference(known["libraries"])


def _library_difference(known: Mapping[str, str]) -> str | None:
    for name, version in known.items():
        now = own_version() if name == "tritonize" else platform.python_version() if name == "python" else _installed(name)
        if now != version:
            return f"{name} changed: {version.partition(' ')[0]} then, {now.partition(' ')[0] or 'missing'} now"
    return None


def _imported_from(name: str, model: schema.Model) -> Path | None:
    """Return the file that a worker would import under a path such as `pkg/net.py`; `None` if there is none."""
    top = name.partition("/")[0].removesuffix(".py")
    entries = [Path(entry or ".") for entry in sys.path]
    first = next((number for number, entry in enumerate(entries) if entry.name in _SITES), len(entries))
    for entry in (*entries[:first], *model.search_path, *entries[first:]):
        if (entry / f"{top}.py").is_file() or (entry / top).is_dir():
            return entry / name
    return None
