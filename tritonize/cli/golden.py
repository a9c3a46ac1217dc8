"""`tritonize golden`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli import tensors
from tritonize.cli.terminal import say, say_lines
from tritonize.core.local_paths import local
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.quality.golden_set import GoldenSet, Rules
    from tritonize.reference.golden_file import GoldenFile

app = typer.Typer(help="Golden files: samples, expected outputs and rules of a version in one portable file.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command("export")
def export(
    names: Annotated[
        list[str], typer.Argument(metavar="[REPOSITORY] MODEL", help="The model; its repository is model_repository by default.")
    ],
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    out: Annotated[Path | None, typer.Option(parser=local, metavar="FILE", help="Default: MODEL-VERSION.golden, here.")] = None,
    *,
    max_mib: Annotated[
        int, typer.Option(metavar="N", min=1, max=4096, help="Largest size in MiB; the file has at least one sample.")
    ] = 64,
    seeds: Annotated[bool, typer.Option("--seeds", help="Store generated samples as a seed and a SHA-256.")] = False,
    json: Json = False,
) -> None:
    """Write the samples, expected outputs and rules of a version to one file."""
    from tritonize.cli.flags import repository_and
    from tritonize.workflows import golden as golden_workflow

    root, (model,) = repository_and(names, 1, "MODEL")
    done = golden_workflow.export(root, model, version=version, out=out, budget=max_mib * 2**20, seeds=seeds)
    if json:
        _print({**_plain(done.file), "path": str(done.path), "notes": list(done.notes)})
        return
    say(f"Wrote {done.path}")
    say_lines(_lines(done.file))
    for note in done.notes:
        say_lines(wrapped(note))


@app.command("show")
def show(path: Annotated[Path, typer.Argument(parser=local, metavar="FILE", help="A golden file.")], json: Json = False) -> None:
    """Check a golden file and print its contents."""
    from tritonize.workflows import golden as golden_workflow

    file = golden_workflow.look(path)
    if json:
        _print({**_plain(file), "path": str(path)})
    else:
        say_lines([f"{path}: all checksums match", *_lines(file)])


def _print(plain: Mapping[str, object]) -> None:
    from json import dumps

    say(dumps(plain, indent=2, ensure_ascii=False))


def _plain(file: GoldenFile) -> dict[str, object]:
    from tritonize.core.artifacts import to_json
    from tritonize.quality import golden_set

    return {
        "origin": to_json(file.origin),
        "samples": file.golden.samples.files.count,
        "of": file.samples_in_version,
        "seeded": list(file.seeded),
        "bytes": file.bytes,
        "set": golden_set.facts(file.golden),
    }


def _lines(file: GoldenFile) -> Iterator[str]:
    origin, golden = file.origin, file.golden
    count = golden.samples.files.count
    yield from wrapped(f"{origin.model} version {origin.version}, proven on {origin.created}, verdict: {origin.verdict}")
    kept = f", {len(file.seeded)} of them as seeds" if file.seeded else ""
    edges = f", including {len(golden.samples.edges)} edge cases" if golden.samples.edges else ""
    yield from wrapped(f"{count} of the version's {file.samples_in_version} samples{kept}{edges}; {file.bytes / 2**20:.2f} MiB")
    batches = f"batches of at most {golden.max_batch_size}" if golden.max_batch_size else "not batched"
    yield from wrapped(f"samples: {golden.samples.origin}; {batches}")
    if golden.samples.sequences:
        yield f"stateful: {len(golden.samples.sequences.starts)} sequences, of which each sample is one step"
    if golden.samples.requests:
        yield f"decoupled: {len(golden.samples.requests)} requests, of which each sample is one response"
    yield from tensors.lines("inputs", golden.samples.files.tensors)
    yield from tensors.lines("outputs", golden.expected.tensors)
    yield f"expected outputs: {golden.answered_by}" + (", and float64 rounded to float32" if golden.exact else "")
    for each in golden.unmeasured:
        yield from wrapped(f"no float64 of {each.output} ({each.group}): {each.why}")
    if golden.why_not and not golden.unmeasured:
        yield from wrapped(f"no float64: {golden.why_not}")
    yield "rules"
    for name in (tensor.name for tensor in golden.expected.tensors):
        yield from wrapped(f"  {name}: {_rule(golden.rule(name), golden, name)}")


def _rule(rule: Rules, golden: GoldenSet, name: str) -> str:
    parts = [f"{rule.kind}, rtol {rule.tolerance.rtol:g}, atol {rule.tolerance.atol:g}"]
    floors = [floor for floor in golden.floors if floor.output == name]
    if floors and rule.noise_floor is not None:
        largest = max(floor.denominator for floor in floors)
        parts.append(f"noise-floor ratio k at most {rule.noise_floor:g}, noise floor {largest:.3g}")
    for metric, bound in rule.metrics.items():
        parts += [f"{metric} {sign} {limit:g}" for sign, limit in (("≥", bound.min), ("≤", bound.max)) if limit is not None]
    return "; ".join(parts)
