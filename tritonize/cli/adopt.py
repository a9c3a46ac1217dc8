"""`tritonize adopt`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: the JSON document

import typer

from tritonize.cli import step_summary
from tritonize.cli.display import display
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.terminal import Style, say
from tritonize.core.local_paths import local
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.workflows.adopt import Adoption


def adopt(
    repository: Annotated[Path, typer.Argument(parser=local, metavar="REPOSITORY", help="The model repository.")],
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Models to adopt (all).")] = None,
    *,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec", parser=local, metavar="FILE", help="A spec: sources to compare with, axes, samples and tolerances of models."
        ),
    ] = None,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Also versions that the policy does not serve.")] = False,
    allow_unproven: Annotated[
        bool, typer.Option("--allow-unproven", help="Also if this machine cannot load a part of the configuration.")
    ] = False,
    seconds: Deadline = RUN_S,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Prove the ONNX models of a hand-made repository as they are.

    Writes evidence to REPOSITORY.evidence, and nothing into the repository. The reference is the source that the spec names, or
    else the file itself in ONNX Runtime. Other backends are listed. Exit code 1: outputs differ, Triton refuses a model, or a
    proven version changed; 3: a version could not be compared here.
    """
    import shlex
    import sys

    from tritonize.workflows import adopt as adopt_workflow

    with limited(seconds), display() as terminal:
        request = adopt_workflow.Request(
            repository=repository,
            models=models or (),
            specification=_specification(spec),
            all_versions=all_versions,
            allow_unproven=allow_unproven,
            command=shlex.join(["tritonize", *sys.argv[1:]]),
            on_version=lambda model, version: terminal.heading(f"{model} version {version}"),
            on_stage=terminal.on_stage,
            on_progress=terminal.on_progress,
        )
        found = adopt_workflow.adopt(request)
    step_summary.append(lambda: _summary(repository, found))
    if json:
        from json import dumps

        document = {"repository": str(repository), "versions": [_plain(repository, each) for each in found]}
        say(dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(repository, found)
    codes = {each.exit_code for each in found}
    if codes - {0}:
        raise typer.Exit(min(codes - {0}))


def _specification(path: Path | None) -> Any:
    """The spec; `None` without one."""
    from tritonize.spec import loader
    from tritonize.triton import config_section

    return None if path is None else loader.load(path, check_triton=config_section.problems)


def _plain(repository: Path, each: Adoption) -> dict[str, Any]:
    from tritonize.report import text

    return {
        "model": each.model,
        "version": each.version,
        "outcome": each.outcome,
        "reason": each.reason or None,
        "next": each.next_step,
        "reference": each.reference,
        "evidence": _evidence(repository, each),
        "report": text.as_json(each.report) if each.report else None,
    }


def _evidence(repository: Path, each: Adoption) -> str | None:
    """The folder of the evidence; `None` for a model that was not adopted."""
    import os

    if each.outcome not in ("adopted", "up to date") or each.version is None:
        return None
    from tritonize import repository as repositories

    folder = repositories.evidence_of(repository / each.model / str(each.version))
    return str(folder) if repository.is_absolute() else os.path.relpath(folder)


_STYLES = {"adopted": Style.GOOD, "up to date": Style.GOOD, "failed": Style.BAD, "refused": Style.BAD, "changed": Style.BAD}


def _print(repository: Path, found: Sequence[Adoption]) -> None:
    """Print the reports of what failed, then one paragraph for each version."""
    from tritonize.cli import endings

    for each in found:
        if each.outcome == "failed" and each.report:
            endings.print_figures(each.report)
    counts = Counter(each.outcome for each in found)
    say(f"{repository}: " + (", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no models"))
    for each in found:
        first, *others = ["\n".join(wrapped(line, rest="    ")) for line in _lines(repository, each)]
        word = each.outcome.upper()
        say(word, nl=False, style=_STYLES.get(each.outcome, Style.OPEN))
        say("\n".join([first.removeprefix(word), *others]))


def _summary(repository: Path, found: Sequence[Adoption]) -> str:
    from tritonize.report import github_summary

    lines = [" ".join(line.strip() for line in _lines(repository, each)) for each in found]
    return github_summary.of_lines(f"tritonize adopt {repository}", lines)


def _lines(repository: Path, each: Adoption) -> Iterator[str]:
    from tritonize.core.conclusion import conclude

    version = "" if each.version is None else f" version {each.version}"
    sentence = conclude(each.report).sentence if each.report and each.outcome in ("adopted", "failed") else each.reason
    yield f"{each.outcome.upper()} {each.model}{version}: {sentence}"
    if folder := _evidence(repository, each):
        yield f"    evidence: {folder}"
    if each.next_step:
        yield f"    next: {each.next_step}"
