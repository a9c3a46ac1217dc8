"""The error classes of tritonize, each with its exit code.

An error states what failed, where, expected and found, the likely cause and the next command. Library code raises these errors
and never prints or exits; the command line exits with `exit_code`. A *mismatch between outputs* is not an error but a result in
a `Report`.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self  # Any: JSON data of `to_dict`

from tritonize.core.code_place import CodePlace as CodePlace
from tritonize.core.messages import Message, files
from tritonize.core.suggestions import Meant

EXIT_OK = 0
EXIT_DIFFERS = 1
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class TritonizeError(Exception):
    """Base class of all expected failures.

    Args:
        what: what failed, in one sentence.
        where: the file, spec path, tensor or process in which it failed, or the place in the user's model.
        expected: the required value.
        found: the actual value.
        cause: the most common cause.
        next_step: the command to run or the change to make.
        details: further lines, such as the end of a log.
        code: the message's code, for tests and scripts; `None` for an error that is not in the catalogue.
        meant: existing names that are near a name that does not exist.
    """

    exit_code: ClassVar[int] = EXIT_BUG

    def __init__(
        self,
        what: str,
        *,
        where: str | CodePlace | None = None,
        expected: str | None = None,
        found: str | None = None,
        cause: str | None = None,
        next_step: str | None = None,
        details: Sequence[str] = (),
        code: str | None = None,
        meant: Meant | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.place = where if isinstance(where, CodePlace) else None
        self.expected = expected
        self.found = found
        self.cause = cause
        self.next_step = next_step
        self.details = tuple(details)
        self.code = code
        self.meant = meant

    @classmethod
    def of(
        cls,
        message: Message,
        *,
        where: str | CodePlace | None = None,
        expected: str | None = None,
        found: str | None = None,
        details: Sequence[str] = (),
        meant: Meant | None = None,
        **values: object,
    ) -> Self:
        """An error with the texts and the code of a message; `values` fill its placeholders."""
        return cls(
            message.text(**values),
            where=where,
            expected=expected,
            found=found,
            cause=(message.cause and message.cause.format(**values)) or None,
            next_step=message.next_step and message.next_step.format(**values),
            details=details,
            code=message.code,
            meant=meant,
        )

    def __str__(self) -> str:
        lines = [self.what]
        labelled = (
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("did you mean", self.meant and str(self.meant)),
            ("likely cause", self.cause),
            ("next", self.next_step),
        )
        lines += [f"  {label}: {text}".replace("\n", "\n    ") for label, text in labelled if text]  # indented: no forged lines
        lines += [f"  | {line}" for line in self.details]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The error as JSON-serializable data; a worker sends its error to the parent process in this form."""
        return {
            "error": type(self).__name__,
            "exit_code": self.exit_code,
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "cause": self.cause,
            "next_step": self.next_step,
            "details": list(self.details),
            "code": self.code,
            "meant": asdict(self.meant) if self.meant else None,
            "place": asdict(self.place) if self.place else None,
        }


class UsageError(TritonizeError):
    """The command line, the spec or the named model is invalid."""

    exit_code = 2


class MissingError(TritonizeError):
    """Something required is missing: a package, the server runtime, a system library, a GPU."""

    exit_code = 3


class UnprovenError(TritonizeError):
    """A required comparison could not run on this machine, so nothing is published."""

    exit_code = 3


class ExportError(TritonizeError):
    """The model cannot be run or exported to ONNX, or the exported file is unusable."""

    exit_code = 4


class ModelRaisedError(ExportError):
    """The model itself raised when PyTorch ran it on a sample: it does not take these inputs, or it has a fault."""


class NothingReducedError(ExportError):
    """No node of the file would compute in the requested half precision."""


class SimplifyError(ExportError):
    """onnxslim could not simplify the file; the file without simplification may still be correct."""


class PlanError(TritonizeError):
    """TensorRT did not build a usable plan."""

    exit_code = 5


class RepositoryError(TritonizeError):
    """The model repository cannot accept the version: a conflict, a damaged file or no disk space."""

    exit_code = 6


class SignatureError(TritonizeError):
    """A version has no signature that holds."""

    exit_code = EXIT_DIFFERS


class ServerError(TritonizeError):
    """The server did not start, could not load a model, exited or timed out."""

    exit_code = 7


class InferenceError(TritonizeError):
    """The server returned an error for a request."""

    exit_code = 8


class WorkerError(TritonizeError):
    """A worker process ended without a result. Stages catch it and raise their own error class, which sets the exit code."""

    exit_code = EXIT_BUG


class InterruptedRunError(TritonizeError):
    """Ctrl-C or SIGTERM."""

    exit_code = EXIT_INTERRUPTED


_KINDS: dict[str, type[TritonizeError]] = {
    kind.__name__: kind
    for kind in (
        UsageError,
        MissingError,
        UnprovenError,
        ExportError,
        ModelRaisedError,
        NothingReducedError,
        SimplifyError,
        PlanError,
        RepositoryError,
        SignatureError,
        ServerError,
        InferenceError,
        WorkerError,
        InterruptedRunError,
    )
}


def from_dict(fields: dict[str, Any]) -> TritonizeError:
    """The inverse of `to_dict`."""
    kind = _KINDS.get(fields["error"], TritonizeError)
    return kind(
        fields["what"],
        where=CodePlace(**place) if (place := fields.get("place")) else fields.get("where"),
        expected=fields.get("expected"),
        found=fields.get("found"),
        cause=fields.get("cause"),
        next_step=fields.get("next_step"),
        details=fields.get("details", ()),
        code=fields.get("code"),
        meant=Meant(written=meant["written"], near=tuple(meant["near"])) if (meant := fields.get("meant")) else None,
    )


_STORAGE_ERRORS = {
    errno.ENOSPC: files.DISK_FULL,
    errno.EDQUOT: files.DISK_QUOTA,
    errno.EFBIG: files.FILE_TOO_LARGE,
    errno.EROFS: files.READ_ONLY,
    errno.EACCES: files.NOT_PERMITTED,
    errno.EPERM: files.NOT_PERMITTED,
    errno.EIO: files.DISK_ERROR,
    errno.ENAMETOOLONG: files.NAME_TOO_LONG,
    errno.ENOTDIR: files.NOT_A_FOLDER,
    errno.EISDIR: files.IS_A_FOLDER,
    errno.EXDEV: files.OTHER_FILESYSTEM,
    errno.EBUSY: files.FILE_BUSY,
    errno.ENOENT: files.FOLDER_MISSING,
    errno.ENOLCK: files.NO_LOCKS,
    errno.EEXIST: files.NAME_EXISTS,
}


def refused(error: OSError, where: Path | None = None) -> RepositoryError | None:
    """The RepositoryError for a write that the operating system refused; `None` for any other OSError."""
    if error.errno not in _STORAGE_ERRORS:
        return None
    place = str(error.filename2 or error.filename or where or "") or None  # the second name of a move is its target
    return RepositoryError.of(_STORAGE_ERRORS[error.errno], where=place, found=error.strerror)


@contextlib.contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Raise an OSError of a refused write as a RepositoryError; see `refused`."""
    try:
        yield
    except OSError as error:
        if (found := refused(error, where)) is None:
            raise
        raise found from error


def full_disk(where: str | None) -> RepositoryError:
    """The error of a full disk, for the file that could not be written."""
    return RepositoryError.of(files.DISK_FULL, where=where)


def require(package: str, *, extra: str) -> None:
    """Check that an optional package is installed, without importing it.

    Raises:
        MissingError: it is not installed; the next step names the extra that includes it.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingError.of(files.PACKAGE_MISSING, package=package, extra=extra)
