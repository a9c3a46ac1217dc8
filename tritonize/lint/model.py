"""One model of a repository as lint reads it: its entries, its versions, and its configuration with the places of all fields.

Every read is bounded, and nothing outside the repository is read unless links are followed. What cannot be read is a diagnostic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any  # Any: a message of protobuf's generated classes, which have no types

from google.protobuf import text_format

from tritonize.core import bounded_files
from tritonize.lint.files import Entry, entries, leads_outside
from tritonize.lint.pbtxt import Places
from tritonize.lint.rule import Diagnostic, Edit, Rule, Verdict
from tritonize.repository.unconfigured import FILES
from tritonize.triton import text_form

CONFIG = "config.pbtxt"
CONFIG_LIMIT = 2**20
"""Largest configuration in bytes."""
SPECIAL = ("configs", "warmup", "initial_state")
"""Directories inside a model that Triton uses itself and does not take for versions."""
_LONGEST = 300
ModelConfig = Any
"""`inference.ModelConfig` of Triton's `model_config.proto`."""


@dataclass(kw_only=True)
class Model:
    """A model's directory. Reading happens on first use, and reports what it cannot read."""

    root: Path
    """The repository, without symbolic links in its path."""
    name: str
    follow: bool = False
    """Whether links that lead out of the repository are followed."""
    given: str | None = None
    """A text in place of the configuration's."""
    problem: str | None = field(default=None, init=False)
    """Why the configuration cannot be read as text."""

    @property
    def directory(self) -> Path:
        """The model's directory."""
        return self.root / self.name

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The entries of the directory by name; empty if it cannot be read."""
        try:
            return {each.name: each for each in entries(self.directory, self.root)}
        except OSError:
            return {}

    @cached_property
    def text(self) -> str | None:
        """The text of the configuration; `None` without one, or if it cannot be read, which `problem` then explains."""
        if self.given is not None:
            return self.given
        if CONFIG not in self.entries:
            return None
        if not self.may_read(self.directory / CONFIG):
            self.problem = "it is a link that leads out of the repository"
            return None
        try:
            return bounded_files.text(self.directory / CONFIG, limit=CONFIG_LIMIT)
        except UnicodeDecodeError as error:
            self.problem = f"byte {error.start} is not UTF-8"
        except OSError as error:
            self.problem = error.strerror or str(error)
        return None

    @cached_property
    def places(self) -> Places:
        """The places of the configuration's fields."""
        return Places(self.text or "")

    @cached_property
    def parsed(self) -> ModelConfig:
        """The configuration; an empty one without a text, and protobuf's error if the text is invalid."""
        from tritonclient.grpc import model_config_pb2  # it imports gRPC, which would slow down `tritonize --help`

        message = model_config_pb2.ModelConfig()
        try:
            return text_form.parse(self.text or "", message)
        except text_format.ParseError as error:
            return error
        except (RecursionError, ValueError) as error:
            return text_format.ParseError(str(error), line=1, column=1)

    @property
    def config(self) -> ModelConfig:
        """The configuration as it is written; `None` if it cannot be read or parsed."""
        parsed = self.parsed
        return None if self.problem or isinstance(parsed, text_format.ParseError) else parsed

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """The versions that Triton sees, in ascending order."""
        numbers = (as_version(name) for name, each in self.entries.items() if each.kind == "directory")
        return tuple(sorted(number for number in numbers if number is not None))

    @cached_property
    def served(self) -> tuple[int, ...]:
        """The versions that the version policy selects, in ascending order."""
        policy = self.config.version_policy if self.config is not None else None
        if policy is not None and policy.HasField("specific"):
            return tuple(each for each in self.versions if each in policy.specific.versions)
        if policy is not None and policy.HasField("all"):
            return self.versions
        count = policy.latest.num_versions if policy is not None and policy.HasField("latest") else 1
        return self.versions[-count:] if count else ()

    @cached_property
    def completed(self) -> Completed:
        """Name, platform, backend and file as Triton fills them in."""
        return complete(self)

    def may_read(self, path: Path) -> bool:
        """Whether a file is inside the repository, or links are followed."""
        return self.follow or not leads_outside(path, self.root)

    def files(self) -> Iterator[tuple[int, Path]]:
        """Each served version with the path of the file that its backend loads; for a plan, of the default one."""
        for version in self.served:
            yield version, Path(f"{self.directory}/{version}/{self.completed.filename}")  # an absolute name too, as Triton joins

    def at(
        self,
        rule: Rule,
        *path: str | int,
        found: str,
        expected: str | None = None,
        edit: Edit | None = None,
        triton: Verdict | None = None,
    ) -> Diagnostic:
        """A diagnostic at a field of the configuration; at the model's directory without a configuration."""
        if self.text is None:
            return self.of(rule, "", found=found, expected=expected, triton=triton)
        place = self.places.place(path)
        return Diagnostic(
            rule=rule,
            model=self.name,
            path=f"{self.name}/{CONFIG}",
            line=place.line,
            column=place.column,
            found=_short(found),
            expected=expected and _short(expected),
            edit=edit,
            triton=triton or rule.triton,
        )

    def of(
        self,
        rule: Rule,
        path: str,
        *,
        found: str,
        expected: str | None = None,
        triton: Verdict | None = None,
        line: int | None = None,
    ) -> Diagnostic:
        """A diagnostic about a file or directory inside the model's directory."""
        return Diagnostic(
            rule=rule,
            model=self.name,
            path=f"{self.name}/{path}" if path else self.name,
            line=line,
            found=_short(found),
            expected=expected and _short(expected),
            triton=triton or rule.triton,
        )


def _short(text: str) -> str:
    """A text of at most 300 characters."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"


def as_version(name: str) -> int | None:
    """The number of a version directory, as Triton reads it; `None` for other names.

    Source: core, `VersionsToLoad` in `model_lifecycle.cc`. It reads leading digits (`1x` is 1), and then looks for a directory of
    that number, so only plain numbers work.
    """
    if name in SPECIAL or not (name.isascii() and name.isdecimal()) or (len(name) > 1 and name.startswith("0")):
        return None
    return int(name) if len(name) <= 18 else None


@dataclass(frozen=True, kw_only=True)
class Completed:
    """The fields that Triton derives from each other and from the files, with or without auto-complete."""

    name: str
    platform: str
    backend: str
    filename: str


PLATFORMS = {
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
}
"""Platform to its backend."""
_DEFAULT_PLATFORM = {"tensorrt": "tensorrt_plan", "onnxruntime": "onnxruntime_onnx", "pytorch": "pytorch_libtorch"}


def complete(model: Model) -> Completed:
    """Derive name, platform, backend and file.

    Source: core, `AutoCompleteBackendFields` in `model_config_utils.cc`.
    """
    config = model.config
    name, platform, backend, filename = (
        (config.name, config.platform, config.backend, config.default_model_filename) if config is not None else ("",) * 4
    )
    if not backend:
        backend = PLATFORMS.get(platform, "")
    if not backend and platform != "ensemble":
        backend = next((each for each, file in FILES.items() if file == filename), "")
    if not backend and not platform and not filename:
        backend = _by_files(model)
    if not platform:
        platform = _DEFAULT_PLATFORM.get(backend, "")
    return Completed(name=name or model.name, platform=platform, backend=backend, filename=filename or FILES.get(backend, ""))


def _by_files(model: Model) -> str:
    """The backend by the files of the first version directory, in Triton's order; or the ending of the model's own name."""
    folders = sorted(name for name, each in model.entries.items() if each.kind == "directory")
    try:
        present = {each.name for each in entries(model.directory / folders[0], model.root)} if folders else set()
    except OSError:
        present = set()
    found = next((backend for backend, file in FILES.items() if file in present), "")
    return found or model.name.partition(".")[2]
