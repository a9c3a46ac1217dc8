"""`tritonize show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tritonize.cli.list_versions import size
from tritonize.cli.terminal import say, say_lines
from tritonize.core import served_shape
from tritonize.core.stages import StageName
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.workflows.overview import Shown


def show(
    names: Annotated[
        list[str], typer.Argument(metavar="[REPOSITORY] MODEL", help="The model; its repository is model_repository by default.")
    ],
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest, or the pinned one.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Print what the manifest of a version says, in plain words.

    Nothing is checked; `tritonize verify` compares the files with the manifest.
    """
    from tritonize.cli.flags import repository_and
    from tritonize.workflows import overview

    root, (model,) = repository_and(names, 1, "MODEL")
    shown = overview.show(root, model, version)
    if json:
        from json import dumps

        from tritonize.core.artifacts import to_json

        say(dumps(to_json(shown), indent=2, ensure_ascii=False))
    else:
        say_lines(part for line in _lines(shown) for part in wrapped(line, rest=" " * 15) or [""])


def _lines(shown: Shown) -> Iterator[str]:
    line, known = shown.line, shown.manifest
    yield f"{shown.model} version {line.version}"
    yield _row("served", f"{'yes' if line.served else 'no'} (version policy: {shown.policy})")
    if not known:
        yield _row("evidence", "none; tritonize did not publish this version, or keeps no evidence of it")
        yield _row("config", shown.config)
        yield _row("files", f"{size(line.bytes)} in {shown.location}")
        return
    word = "compared" if line.verdict == "passed quick" else "proven"
    yield _row("verdict", f"{line.verdict}, {word} on {line.created or 'an unknown date'}")
    if left_out := _of(known, "quick").get("left_out"):
        yield _row("left out", f"{', '.join(map(str, left_out))} (a quick run)")
    if line.left_out:
        yield _row("left out", line.left_out)
    if text := _of(known, "reference").get("text"):
        yield _row("reference", str(text))
    yield from _source(known)
    precision = f", precision {_of(known, 'onnx').get('precision', 'fp32')}" if "onnx" in known else ""
    yield _row("backend", f"{line.backend}{precision}")
    yield from _tensors(known)
    yield from _comparisons(known)
    yield _row("proven by", _versions(known.get("proved_by")) or "no server")
    yield _row("built with", _versions(known.get("versions")) or "unknown")
    yield _row("target", _target(known))
    yield _row("config", shown.config)
    listed = known.get("files", {})
    evidence = f", and {size(line.evidence_bytes)} of evidence" if line.evidence_bytes else ""
    yield _row("files", f"{len(listed)}: {size(line.bytes)} that Triton reads{evidence}, in {shown.location}")
    for note in known.get("notes", ()):
        yield _row("note", str(note))


def _row(label: str, text: str) -> str:
    return f"  {label:<12} {text}"


def _of(known: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A section of a manifest; empty if it is missing or is no mapping."""
    found = known.get(key)
    return found if isinstance(found, dict) else {}


def _source(known: Mapping[str, Any]) -> Iterator[str]:
    source = _of(known, "source")
    if source:
        yield _row("source", f"{source.get('kind')} {source.get('location')}")
        for name, sha256 in _of(source, "sha256").items():
            yield _row("", f"{name}: SHA-256 {sha256}")
    if known.get("parameters"):
        yield _row("parameters", f"{known['parameters']:,}")


def _tensors(known: Mapping[str, Any]) -> Iterator[str]:
    onnx = _of(known, "onnx")
    axes, batched = _axes(known), bool(_of(known, "spec").get("max_batch_size"))
    for label in ("inputs", "outputs"):
        for tensor in onnx.get(label, ()):
            shape = ", ".join(str(axes.get(size, size)) for size in tensor["shape"])
            served = served_shape.note([axes.get(size, size) for size in tensor["shape"]], batched=batched)
            text = f"{tensor['name']}: {tensor['dtype']} {f'[{shape}]' if shape else 'scalar'}"
            yield _row(label[:-1], f"{text}, {served}" if served else text)
    if onnx:
        yield _row("graph", f"opset {onnx.get('opset')}, {onnx.get('exporter')}, strategy {onnx.get('strategy')}")


def _axes(known: Mapping[str, Any]) -> dict[object, object]:
    """The exporter's symbol for each dynamic axis, such as `s95`, to the name of the axis in the spec."""
    described = _of(_of(known, "spec"), "inputs")
    names: dict[object, object] = {}
    for tensor in _of(known, "onnx").get("inputs", ()):
        shape = _of(described, tensor["name"]).get("shape", ())
        if len(shape) == len(tensor["shape"]):
            names |= {symbol: name for symbol, name in zip(tensor["shape"], shape, strict=True) if isinstance(symbol, str)}
    return names


def _comparisons(known: Mapping[str, Any]) -> Iterator[str]:
    from tritonize.core.conclusion import counted

    rows = known.get("verification") or ()
    if rows:
        answers, failed = sum(row["answers"] for row in rows), sum(row["failed"] for row in rows)
        stages = ", ".join(dict.fromkeys(_heading(str(row["stage"])) for row in rows))
        yield _row("compared", f"{counted(answers, 'comparison')}, {failed} outside the tolerance; {stages}")
        for output in dict.fromkeys(row["output"] for row in rows):
            own = [row for row in rows if row["output"] == output]
            largest = max(row["max_abs"] for row in own)
            yield _row("", f"{output}: largest error {largest:.3g}; rtol {own[0]['rtol']:g}, atol {own[0]['atol']:g}")


def _heading(stage: str) -> str:
    """What a report calls a stage; a manifest of another tool may have other stages."""
    return next((each.heading for each in StageName if each == stage), stage)


def _versions(versions: object) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""


def _target(known: Mapping[str, Any]) -> str:
    target = _of(known, "target")
    parts = [f"Triton {target['triton']}"] if target.get("triton") else []
    parts += [f"compute capability {each}" for each in target.get("compute_capabilities", ())]
    return ", ".join(parts) or "none declared"
