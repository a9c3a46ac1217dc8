"""Every way tritonize can fail, with its exit code.

An error says what happened, where, what was expected against what was found, the likely cause and the next
command to type. Library code raises these and never prints or exits; the command line turns `exit_code` into
the process's own. A *mismatch between outputs* is not an error: it is a result, carried by a `Report`.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from tritonize.core.messages import Message

EXIT_OK = 0
EXIT_DIFFERS = 1
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class TritonizeError(Exception):
    """Base of every expected failure.

    Args:
        what: one sentence, what happened.
        where: the file, spec path, tensor or process it happened in.
        expected: what was required there.
        found: what was there instead.
        cause: the usual reason.
        next_step: what to type or change.
        details: further lines, such as the end of a log.
        code: of the message, for tests and scripts; `None` for one that has none yet.
    """

    exit_code: ClassVar[int] = EXIT_BUG

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        cause: str | None = None,
        next_step: str | None = None,
        details: Sequence[str] = (),
        code: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.cause = cause
        self.next_step = next_step
        self.details = tuple(details)
        self.code = code

    @classmethod
    def of(
        cls,
        message: Message,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        details: Sequence[str] = (),
        **values: object,
    ) -> Self:
        """An error with the wording and the code of a message; `values` fill its texts."""
        return cls(
            message.text(**values),
            where=where,
            expected=expected,
            found=found,
            cause=message.cause and message.cause.format(**values),
            next_step=message.next_step and message.next_step.format(**values),
            details=details,
            code=message.code,
        )

    def __str__(self) -> str:
        lines = [self.what]
        labelled = (
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("likely cause", self.cause),
            ("next", self.next_step),
        )
        lines += [f"  {label}: {text}".replace("\n", "\n    ") for label, text in labelled if text]  # one cannot forge the next
        lines += [f"  | {line}" for line in self.details]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON-able data; how a worker hands its error to the process that started it."""
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
        }


class UsageError(TritonizeError):
    """The command line, the spec or the model they name is not usable as asked."""

    exit_code = 2


class MissingError(TritonizeError):
    """Something needed is not there: a package, the server runtime, a system library, a GPU."""

    exit_code = 3


class UnprovenError(TritonizeError):
    """A required proof could not run on this machine, so nothing is published."""

    exit_code = 3


class ExportError(TritonizeError):
    """The model could not be run, exported to ONNX, or the exported file is unusable."""

    exit_code = 4


class ModelRaisedError(ExportError):
    """The model itself raised when PyTorch ran it on a sample: it does not take these inputs, or it has a fault."""


class NothingReducedError(ExportError):
    """A file that was asked for in half precision would hold none."""


class SimplifyError(ExportError):
    """The file could not be simplified; unsimplified it may be right."""


class PlanError(TritonizeError):
    """TensorRT did not build a usable plan."""

    exit_code = 5


class RepositoryError(TritonizeError):
    """The model repository cannot take the version: conflict, corruption, no space."""

    exit_code = 6


class ServerError(TritonizeError):
    """The server did not start, refused a model, exited or did not answer in time."""

    exit_code = 7


class InferenceError(TritonizeError):
    """The server answered a request with an error."""

    exit_code = 8


class WorkerError(TritonizeError):
    """A worker process died without an answer. Stages catch it and raise their own kind, so that the exit code is theirs."""

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
        ServerError,
        InferenceError,
        WorkerError,
        InterruptedRunError,
    )
}


def from_dict(fields: dict[str, Any]) -> TritonizeError:
    """The error that `to_dict` described."""
    kind = _KINDS.get(fields["error"], TritonizeError)
    return kind(
        fields["what"],
        where=fields.get("where"),
        expected=fields.get("expected"),
        found=fields.get("found"),
        cause=fields.get("cause"),
        next_step=fields.get("next_step"),
        details=fields.get("details", ()),
        code=fields.get("code"),
    )


_STORAGE_ERRORS = {
    errno.ENOSPC: "No space is left on the disk.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EFBIG: "A file is larger than the filesystem or the limit on file sizes allows.",
    errno.EROFS: "The filesystem is read-only.",
    errno.EACCES: "The system does not permit access to a file or folder.",
    errno.EPERM: "The system does not permit access to a file or folder.",
    errno.EIO: "The disk reports an error.",
    errno.ENAMETOOLONG: "A name is longer than the filesystem takes.",
    errno.ENOTDIR: "There is a file where a folder should be.",
    errno.EISDIR: "There is a folder where a file should be.",
    errno.EXDEV: "A file would have to move to another filesystem, which takes more than one step.",
    errno.EBUSY: "Something holds the file or folder, such as a mount.",
    errno.ENOENT: "The folder does not exist, or takes no new files.",
    errno.ENOLCK: "The filesystem gives out no locks.",
    errno.EEXIST: "There is something of that name already.",
}


def refused(error: OSError, where: Path | None = None) -> RepositoryError | None:
    """The error of the operating system's refusal to write; `None` where it is something else."""
    if error.errno not in _STORAGE_ERRORS:
        return None
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return RepositoryError(
        _STORAGE_ERRORS[error.errno],
        where=str(error.filename2 or error.filename or where or "") or None,  # of a move, where it was to go
        found=error.strerror,
        next_step="free some space, or name another place with --repository, TRITONIZE_CACHE or TMPDIR" if full else None,
    )


@contextlib.contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into a RepositoryError that says so."""
    try:
        yield
    except OSError as error:
        if (found := refused(error, where)) is None:
            raise
        raise found from error


def full_disk(where: str | None) -> RepositoryError:
    """The error of a disk without room, for the file that found it so."""
    return RepositoryError(
        "No space is left on the disk.",
        where=where,
        next_step="free some space, or name another place with --repository, TRITONIZE_CACHE or TMPDIR",
    )


def require(package: str, *, extra: str) -> None:
    """Make sure that an optional package is installed, without importing it.

    Raises:
        MissingError: it is not; the text names the extra that brings it.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingError(f"The Python package {package!r} is not installed.", next_step=f'pip install "tritonize[{extra}]"')
