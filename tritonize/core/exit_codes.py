"""The meaning of every exit code, and the exit code of a command with several results: that of the worst."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tritonize.core.errors import EXIT_BUG, EXIT_DIFFERS, EXIT_INTERRUPTED, EXIT_OK, UnprovenError
from tritonize.core.reports import Report

MEANINGS: Final = {
    EXIT_OK: "Everything that was asked for passed.",
    EXIT_DIFFERS: "The command ran, and outputs differ or there are findings: a result, not a crash.",
    2: "The command line or the spec is invalid, or the model is not what the spec says.",
    3: "Something is missing (a package, the server's runtime, a system library, a GPU), or a required comparison could not run: "
    "*not run*. Nothing is published, unless `--allow-unproven` is given.",
    4: "The export failed, or the model itself raises.",
    5: "A TensorRT plan could not be built or is damaged.",
    6: "The model repository has a conflict, is damaged, or there is no space.",
    7: "The server did not start, refused a model, exited or timed out.",
    8: "The server answered a request with an error.",
    EXIT_BUG: "A bug in tritonize; the output has the traceback and the versions to report.",
    EXIT_INTERRUPTED: "Ctrl-C or SIGTERM; nothing is left behind.",
}
"""Every exit code with its meaning. `docs/reference/exit-codes.md` is made from it."""


def of(report: Report, *, allow_unproven: bool = False) -> int:
    """The exit code of one report.

    Args:
        report: the result for one model.
        allow_unproven: whether a required check that could not run counts as passed.
    """
    if "error" in report.details:
        return int(report.details["error"]["exit_code"])
    if report.verdict == "failed":
        return EXIT_DIFFERS
    if report.verdict == "not proven" or (report.verdict == "not run" and not allow_unproven):
        return UnprovenError.exit_code
    return EXIT_OK


def worst(codes: Iterable[int]) -> int:
    """The worst of some exit codes: an error (the largest code), then a difference (1), then what could not run (3); else 0."""
    ranks = {EXIT_OK: 0, UnprovenError.exit_code: 1, EXIT_DIFFERS: 2}
    return max(codes, key=lambda code: (ranks.get(code, len(ranks)), code), default=EXIT_OK)
