"""The result of `locate`, the node that an error comes from, as values and as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tritonize.core import printable, wrapping
from tritonize.core.messages import locate as wording

MAX_ROWS = 12
"""Rows of the table in the text; all are in the JSON."""
FAR = 1e9
"""Error of a tensor that cannot be compared: its shape differs, only one side has a NaN or infinity, or the node does not run."""


@dataclass(frozen=True, kw_only=True)
class NodeError:
    """The error of one node, split into its own error and the error it inherits from its inputs.

    Each error is max |found - expected| over all elements and batches, divided by max |expected| of the tensor; `FAR` if the
    tensors cannot be compared.
    """

    position: int
    """Index of the node in the graph's topological order, from 0."""
    node: str
    operator: str
    output: str
    """The compared tensor."""
    own: float
    """Error of the node's output when it runs on the expected values of its inputs."""
    allowance: float
    """The own error that rounding explains; see `locate.worker.rounding_allowance`."""
    inputs: float | None
    """The largest total error of the node's inputs; 0 for the model's inputs. `None` if the graph failed before them."""
    propagated: float | None
    """How far the error of the inputs moves the node's output."""
    total: float | None
    """Error of the node's output when the whole graph runs: at most `own` + `propagated`."""
    nodes: tuple[str, ...] = ()
    """The nodes that ran together, in order. Several if the tensors between them have no counterpart to compare with."""
    takes: tuple[str, ...] = ()
    """The inputs of `nodes`: the error arose between these and `output`."""
    module: str | None = None
    """Path of the PyTorch module; the empty text is the model itself."""
    source: str | None = None
    """`file.py:line` of the user's code."""
    reason: str | None = None
    """Why the own error is `FAR`."""
    difference: str | None = None
    """How the node differs from its counterpart in the expected graph, if it has one."""
    reduced: bool = False
    """Whether the node computes in a type below fp32, or has an input or output of one."""
    counterpart: str | None = None
    """Name of the node in the expected graph that computes the tensor; `keep_fp32` uses this name."""
    counterpart_operator: str | None = None

    @property
    def exceeds(self) -> bool:
        """Whether the own error is larger than rounding explains."""
        return self.own > self.allowance

    @property
    def label(self) -> str:
        """The operator and the name of the node, or of its output if it has no name."""
        return f"{self.operator} {self.node or self.output}"


@dataclass(frozen=True, kw_only=True)
class Location:
    """The node that the error of a graph comes from, or the finding that no node is wrong."""

    expected: str
    found: str
    """Description of the two compared graphs."""
    kind: Literal["graphs", "modules", "not available"]
    origin: NodeError | None = None
    """The first node in topological order whose own error exceeds its allowance."""
    largest: NodeError | None = None
    """The node with the largest own error."""
    series: tuple[NodeError, ...] = ()
    """The error of every node with a comparable output, in topological order."""
    keep: tuple[str, ...] = ()
    """Nodes to keep in fp32, the worst first; empty if the graph has no reduced precision or passes without them."""
    keep_passes: bool = False
    """Whether the gate passed with `keep`; otherwise `keep` is an untested proposal."""
    hopeless: bool = False
    """Whether the gate passes only if no node is in reduced precision."""
    exhausted: bool = False
    """Whether the search used all its trials without finding a set of nodes that passes the gate."""
    written: str | None = None
    """The spec that `keep` was written into."""
    nodes: int = 0
    """Number of nodes of the graph."""
    parts: int = 0
    """Number of parts in which the graphs ran."""
    largest_part: int = 0
    """Size in bytes of the outputs of the largest part."""
    state: tuple[str, ...] = ()
    """Attributes that the PyTorch model changes in forward(), with their values, if the gate fails."""
    notes: tuple[str, ...] = ()


def as_text(location: Location) -> str:
    """The location as text: the origin, the error along the graph, the next step."""
    return "".join(f"{printable.line(each)}\n" for each in lines(location))


def lines(location: Location) -> Iterator[str]:
    """The lines of the text."""
    if location.kind == "not available":
        yield "NOT LOCATED"
    elif location.origin is None:
        yield from _without_origin(location)
    else:
        yield from _wrap(f"ORIGIN  {_headline(location.origin)}")
        yield from _origin(location.origin)
    yield from _wrap(f"  compared: {location.found} with {location.expected}")
    if location.series:
        yield ""
        yield from _table(location)
    yield ""
    for note in location.notes:
        yield from _wrap(note)
    if location.keep:
        seen = "the gate passes with these" if location.keep_passes else "not tried"
        more = f" and {len(location.keep) - MAX_ROWS} more" if len(location.keep) > MAX_ROWS else ""
        yield from _wrap(f"Keep in fp32 ({seen}): {', '.join(location.keep[:MAX_ROWS])}{more}")
    yield from _wrap(f"Next: {_next_step(location)}")


def _without_origin(location: Location) -> Iterator[str]:
    if not location.state:
        if location.keep_passes:
            yield from _wrap(f"SUM OF ROUNDING  no node is wrong; without the rounding of {_counted(location.keep)} it passes")
        else:
            yield "NO ORIGIN  every node computes the expected output from its inputs"
        return
    yield from _wrap("STATE  " + wording.STATE_BETWEEN_CALLS.text(found=location.found))
    for each in location.state[:MAX_ROWS]:
        yield from _wrap(f"  changed: {each}")
    if len(location.state) > MAX_ROWS:
        yield f"  changed: {len(location.state) - MAX_ROWS} more"


def _origin(origin: NodeError) -> Iterator[str]:
    if origin.module is not None or origin.source:
        module = f"module {origin.module or '(the model itself)'}" if origin.module is not None else "module not known"
        yield from _wrap(f"  from: {module}, {origin.source or 'line not known'}")
    else:
        yield "  from: not known; the graph has no node map, or the exporter lost it"
    own = origin.reason or f"{origin.own:.2e} of its largest value; rounding explains {origin.allowance:.1e}"
    yield from _wrap(f"  own error: {own}")
    if origin.inputs is not None:
        yield f"  its inputs' error: {origin.inputs:.2e}"
    if origin.difference:
        yield from _wrap(f"  differs: {origin.difference}")
    if len(origin.nodes) > 1:
        more = f" and {len(origin.nodes) - MAX_ROWS} more" if len(origin.nodes) > MAX_ROWS else ""
        yield from _wrap(f"  nodes run together: {', '.join(origin.nodes[:MAX_ROWS])}{more}")


def _headline(origin: NodeError) -> str:
    """The node's label; for several nodes that ran together, the tensors between which the error arose."""
    if len(origin.nodes) == 1 or origin.difference:
        return origin.label
    return f"one of {len(origin.nodes)} nodes between {', '.join(origin.takes) or 'the constants'} and {origin.output}"


def _table(location: Location) -> Iterator[str]:
    """The origin, the nodes with the largest own errors and the last node, in the graph's order."""
    ranked = sorted(location.series, key=lambda each: (not each.exceeds, -each.own, each.position))
    chosen = {id(each) for each in (location.origin, location.series[-1], *ranked[: MAX_ROWS - 2]) if each is not None}
    rows = [each for each in location.series if id(each) in chosen or each == location.origin]
    by_module = location.kind == "modules"
    yield f"  {'node':>5}  {'operator':<16}{'module' if by_module else 'output':<24}{'own':>9}{'inherited':>11}{'total':>10}"
    for each in rows:
        mark = "✗" if each.exceeds else " "
        own = "–" if each.own >= FAR else f"{each.own:.1e}"
        inherited, total = _number(each.propagated), _number(each.total)
        place = each.output if each.module is None or not by_module else each.module or "(the model itself)"
        name = f"{_short(each.operator, 15):<16}{_short(place, 23):<24}"
        yield f"{mark} {each.position:>5}  {name}{own:>9}{inherited:>11}{total:>10}"
    if len(rows) < len(location.series):
        yield f"  {len(location.series)} of {location.nodes} nodes compared; the worst are shown, --json has all"


def _number(value: float | None) -> str:
    return "–" if value is None or value >= FAR else f"{value:.1e}"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"


def _counted(nodes: tuple[str, ...]) -> str:
    return f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}"


def _next_step(location: Location) -> str:
    if location.kind == "not available":
        return "export from the model's Python code (package.module:factory), which has modules to compare with"
    if location.written:
        return f"tritonize run {location.written}, whose keep_fp32.nodes now lists them"
    if location.exhausted:
        return "tritonize locate SPEC --write --trials 256 for a longer search, or widen the tolerance on purpose"
    if location.hopeless:
        return "widen the tolerance on purpose, or set precision: fp32; nothing was written"
    if location.keep_passes:
        return "write them into the spec under keep_fp32.nodes: tritonize locate SPEC --write"
    if location.keep:
        return "keep these nodes in fp32 (keep_fp32.nodes) and compare again"
    if location.origin is None and location.state:
        return wording.STATE_BETWEEN_CALLS.next_step or ""
    if location.origin is None:
        return "none if the gate passes; if it fails, rounding adds up: compare with float64 to see on which side"
    if location.origin.source:
        return f"compare {location.origin.source} with the nodes that the exporter created from it"
    return f"check {_headline(location.origin)}"


def _wrap(text: str) -> list[str]:
    return wrapping.wrapped(text, rest="    ")
