"""Where an error comes from: what `locate` found out, as values and as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tritonize import printable
from tritonize.wording import locating as wording

WIDTH = 80
SHOWN = 12
"""Rows of the table in the text; all are in the JSON."""
FAR = 1e9
"""Error of a tensor that cannot be compared: another shape, a NaN or an infinity on one side alone, a node that does not run."""


@dataclass(frozen=True, kw_only=True)
class NodeError:
    """How far one node is off, apart from what its inputs are off.

    All errors are max |found - expected| over all elements and batches, divided by max |expected| of the tensor; `FAR` where
    that cannot be computed.
    """

    position: int
    """Of the node in the graph's topological order, from 0."""
    node: str
    operator: str
    output: str
    """The tensor that was compared."""
    own: float
    """Of the node on right inputs: it was run on the expected values of all that it takes."""
    allowance: float
    """The own error that rounding explains; see `workers.rounding`."""
    inputs: float | None
    """The largest total error of what it takes; 0 for the model's own inputs. `None` where the graph did not run so far."""
    propagated: float | None
    """How far its answer moves because its inputs are off."""
    total: float | None
    """Of its answer in the graph as it is: at most `own` + `propagated`."""
    nodes: tuple[str, ...] = ()
    """All nodes that were run together, in order, where no tensor between them could be compared; else the one."""
    takes: tuple[str, ...] = ()
    """The tensors they take: the error arose between these and `output`."""
    module: str | None = None
    """Path of the PyTorch module; the empty text is the model itself."""
    source: str | None = None
    """`file.py:line` of the user's code."""
    reason: str | None = None
    """Why it is `FAR`."""
    difference: str | None = None
    """What is different about the node in the expected graph, where there is one."""
    reduced: bool = False
    """Whether it computes, or takes or answers, in a type below fp32."""
    counterpart: str | None = None
    """Name of the node of the expected graph that makes the tensor; what `keep_fp32` would name."""
    counterpart_operator: str | None = None

    @property
    def exceeds(self) -> bool:
        """Whether the node itself is wrong, or rounds more than its type does."""
        return self.own > self.allowance

    @property
    def label(self) -> str:
        """The node as a person finds it."""
        return f"{self.operator} {self.node or self.output}"


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a graph goes wrong, or that it does not."""

    expected: str
    found: str
    """What was compared, in words."""
    kind: Literal["graphs", "modules", "not available"]
    origin: NodeError | None = None
    """The first node in topological order whose own error exceeds its allowance."""
    largest: NodeError | None = None
    """The node with the largest own error."""
    series: tuple[NodeError, ...] = ()
    """The error along the graph, in topological order: the nodes whose outputs could be compared."""
    keep: tuple[str, ...] = ()
    """Nodes to keep in fp32, the worst first; empty where the graph is not of reduced precision, or passes as it is."""
    keep_passes: bool = False
    """Whether the gate was seen to pass with `keep`; otherwise it is a proposal."""
    hopeless: bool = False
    """Whether no set of nodes can pass: even the smallest one that passes leaves nothing in reduced precision."""
    exhausted: bool = False
    """Whether the trials ran out before a set of nodes was found with which the gate passes."""
    written: str | None = None
    """The spec that `keep` was written into."""
    nodes: int = 0
    """Nodes of the graph that was looked at."""
    parts: int = 0
    """Pieces in which the graphs were run."""
    largest_part: int = 0
    """Bytes that the largest piece answered at once."""
    state: tuple[str, ...] = ()
    """Attributes that the PyTorch model changed while it answered, with what they held, where the gate fails."""
    notes: tuple[str, ...] = ()


def as_text(location: Location) -> str:
    """The location for a person: the origin first, then the error along the graph, then what to do."""
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
        more = f" and {len(location.keep) - SHOWN} more" if len(location.keep) > SHOWN else ""
        yield from _wrap(f"Keep in fp32 ({seen}): {', '.join(location.keep[:SHOWN])}{more}")
    yield from _wrap(f"Next: {_next_step(location)}")


def _without_origin(location: Location) -> Iterator[str]:
    if not location.state:
        yield "NO ORIGIN  every node answers its inputs as expected"
        return
    yield from _wrap("STATE  " + wording.STATE_BETWEEN_CALLS.text(found=location.found))
    for each in location.state[:SHOWN]:
        yield from _wrap(f"  changed: {each}")
    if len(location.state) > SHOWN:
        yield f"  changed: {len(location.state) - SHOWN} more"


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
        more = f" and {len(origin.nodes) - SHOWN} more" if len(origin.nodes) > SHOWN else ""
        yield from _wrap(f"  nodes run together: {', '.join(origin.nodes[:SHOWN])}{more}")


def _headline(origin: NodeError) -> str:
    """The node; or what it lies between, where several were run together and nothing tells them apart."""
    if len(origin.nodes) == 1 or origin.difference:
        return origin.label
    return f"one of {len(origin.nodes)} nodes between {', '.join(origin.takes) or 'the constants'} and {origin.output}"


def _table(location: Location) -> Iterator[str]:
    """The error along the graph: what is wrong or largest, and the last node, in the graph's order."""
    ranked = sorted(location.series, key=lambda each: (not each.exceeds, -each.own, each.position))
    chosen = {id(each) for each in (location.origin, location.series[-1], *ranked[: SHOWN - 2]) if each is not None}
    rows = [each for each in location.series if id(each) in chosen or each == location.origin]
    by_module = location.kind == "modules"
    yield f"  {'node':>5}  {'operator':<16}{'module' if by_module else 'output':<24}{'own':>9}{'passed on':>11}{'total':>10}"
    for each in rows:
        mark = "✗" if each.exceeds else " "
        own = "–" if each.own >= FAR else f"{each.own:.1e}"
        passed_on, total = _number(each.propagated), _number(each.total)
        place = each.output if each.module is None or not by_module else each.module or "(the model itself)"
        name = f"{_short(each.operator, 15):<16}{_short(place, 23):<24}"
        yield f"{mark} {each.position:>5}  {name}{own:>9}{passed_on:>11}{total:>10}"
    if len(rows) < len(location.series):
        yield f"  {len(location.series)} of {location.nodes} nodes compared; the worst are shown, --json has all"


def _number(value: float | None) -> str:
    return "–" if value is None or value >= FAR else f"{value:.1e}"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"


def _next_step(location: Location) -> str:
    if location.kind == "not available":
        return "export from the model's Python code (package.module:factory), where modules can be watched"
    if location.written:
        return f"tritonize run {location.written}, whose keep_fp32.nodes names them now"
    if location.exhausted:
        return "tritonize locate SPEC --write --trials 256, which goes on with the search, or widen the tolerance on purpose"
    if location.hopeless:
        return "widen the tolerance on purpose, or ask for precision: fp32; nothing was written"
    if location.keep_passes:
        return "write them into the spec under keep_fp32.nodes: tritonize locate SPEC --write"
    if location.keep:
        return "keep these nodes in fp32 (keep_fp32.nodes) and compare again"
    if location.origin is None and location.state:
        return wording.STATE_BETWEEN_CALLS.next_step or ""
    if location.origin is None:
        return "nothing, where the gate passes; where it fails, rounding adds up: compare with float64 to see whose"
    if location.origin.source:
        return f"look at {location.origin.source}, and at what the exporter made of it"
    return f"look at {_headline(location.origin)}"


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
