"""Diagnostics as text for a terminal, as JSON, as SARIF 2.1.0, and as annotations of GitHub Actions.

Source: SARIF 2.1.0 (OASIS).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from tritonize.core import github_commands
from tritonize.core.github_commands import Level
from tritonize.core.wrapping import wrapped
from tritonize.lint import catalogue
from tritonize.lint.oracle import Verdict
from tritonize.lint.rule import SEVERITIES, Diagnostic

Data = dict[str, object]
"""A JSON object."""
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_COMMANDS: dict[str, Level] = {"error": "error", "warning": "warning", "info": "notice"}


def text(diagnostic: Diagnostic) -> Iterator[str]:
    """One diagnostic as lines of the terminal's width, but for long names."""
    rule = diagnostic.rule
    place = diagnostic.path + "".join(f":{each}" for each in (diagnostic.line, diagnostic.column) if each is not None)
    yield f"{place}: {rule.severity} {rule.id} {rule.name}"
    yield from _wrapped(rule.what, "  ")
    yield from _wrapped(f"found: {diagnostic.found}", "    ")
    if diagnostic.expected:
        yield from _wrapped(f"expected: {diagnostic.expected}", "    ")
    yield from _wrapped(f"fix: {rule.fix}" + (" (--fix does it)" if diagnostic.edit else ""), "    ")


def _wrapped(line: str, indent: str) -> list[str]:
    return wrapped(line, first=indent, rest=f"{indent}  ")


def counted(diagnostics: Sequence[Diagnostic]) -> dict[str, int]:
    """The number of diagnostics of each severity."""
    counts = Counter(each.rule.severity for each in diagnostics)
    return {severity: counts[severity] for severity in SEVERITIES}


def summary(diagnostics: Sequence[Diagnostic], models: int) -> str:
    """One sentence with the numbers of diagnostics and models."""
    looked_at = f"{models:,} model{'s' * (models != 1)}"
    counts = counted(diagnostics)
    if not diagnostics:
        return f"No problems in {looked_at}."
    names = {"error": "error", "warning": "warning", "info": "note"}
    parts = [f"{count:,} {names[each]}{'s' * (count != 1)}" for each, count in counts.items() if count]
    fixable = sum(each.edit is not None for each in diagnostics)
    return f"{', '.join(parts)} in {looked_at}." + (f" {fixable:,} can be fixed with --fix." if fixable else "")


def document(diagnostics: Sequence[Diagnostic], *, models: int, verdicts: Sequence[Verdict]) -> Data:
    """All diagnostics as one JSON document; with the server's verdicts if it was asked."""
    listed = [as_json(each) for each in diagnostics]
    whole: Data = {"schema": 1, "models": models, **counted(diagnostics), "diagnostics": listed}
    return whole | ({"oracle": [asdict(each) | {"agrees": each.agrees} for each in verdicts]} if verdicts else {})


def comparison(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """What lint and the server agree on, and each model that they do not."""
    compared = [each for each in verdicts if each.compared]
    agreed = sum(each.agrees for each in compared)
    yield f"Lint and the server agree on {agreed:,} of {len(compared):,} models."
    for each in compared:
        if not each.agrees:
            yield from _wrapped(f"{each.model}: lint says that Triton {_DOES[each.lint]} it, and it {_DOES[each.server]} it", "  ")
            if each.reason:
                yield from _wrapped(each.reason, "    ")
    skipped = [each for each in verdicts if not each.compared]
    if skipped:
        yield f"Not run: {len(skipped):,}."
    for each in skipped:
        reason = each.reason if each.server is None else "the rule depends on the server"
        yield from _wrapped(f"{each.model}: {reason}", "  ")


_DOES = {True: "loads", False: "refuses", None: "?"}


def as_json(diagnostic: Diagnostic) -> Data:
    """One diagnostic as JSON data."""
    rule = diagnostic.rule
    return {
        "rule": rule.id,
        "name": rule.name,
        "severity": rule.severity,
        "model": diagnostic.model or None,
        "path": diagnostic.path,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "what": rule.what,
        "found": diagnostic.found,
        "expected": diagnostic.expected,
        "fix": rule.fix,
        "fixable": diagnostic.edit is not None,
        "triton": diagnostic.triton,
    }


def sarif(diagnostics: Sequence[Diagnostic], *, repository: Path, version: str) -> Data:
    """All diagnostics as a SARIF log; paths are relative to the working directory if the repository is inside it."""
    used = sorted({each.rule.id for each in diagnostics})
    driver: Data = {
        "name": "tritonize",
        "semanticVersion": version,
        "rules": [_sarif_rule(each) for each in used],
    }
    results = [_sarif_result(each, repository, index=used.index(each.rule.id)) for each in diagnostics]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _sarif_rule(name: str) -> Data:
    rule = catalogue.RULES[name]
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.fix[0].upper()}{rule.fix[1:]}.", "markdown": catalogue.page(rule)},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _sarif_result(diagnostic: Diagnostic, repository: Path, *, index: int) -> Data:
    location: Data = {"artifactLocation": {"uri": quote(os.fsencode(_path(diagnostic, repository)))}}
    if diagnostic.line is not None:
        region = {"startLine": diagnostic.line}
        if diagnostic.column is not None:
            region["startColumn"] = diagnostic.column
        location["region"] = region
    return {
        "ruleId": diagnostic.rule.id,
        "ruleIndex": index,
        "level": _LEVELS[diagnostic.rule.severity],
        "message": {"text": _sentence(diagnostic)},
        "locations": [{"physicalLocation": location}],
    }


def github(diagnostic: Diagnostic, repository: Path) -> str:
    """One diagnostic as a workflow command."""
    return github_commands.command(
        _COMMANDS[diagnostic.rule.severity],
        _sentence(diagnostic),
        title=f"{diagnostic.rule.id} {diagnostic.rule.name}",
        place={"file": _path(diagnostic, repository), "line": diagnostic.line, "col": diagnostic.column},
    )


def _sentence(diagnostic: Diagnostic) -> str:
    expected = f"; expected: {diagnostic.expected}" if diagnostic.expected else ""
    return f"{diagnostic.rule.what} Found: {diagnostic.found}{expected}. Fix: {diagnostic.rule.fix}."


def _path(diagnostic: Diagnostic, repository: Path) -> str:
    path = repository / diagnostic.path
    here = Path.cwd()
    return (path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path).as_posix()
