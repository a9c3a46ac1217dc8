"""The results as lines and as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from corpus.trial import Result

_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^\s/'\":]+/)+")
"""Of the machine that it was measured on."""
VERDICTS = ("right", "refused", "wrong", "bad trace", "does not trace", "not run")


def line(result: Result) -> str:
    """One result as it comes."""
    missed = " (the file is right)" if result.missed else ""
    seconds = sum(result.seconds.get(step, 0.0) for step in ("trace", "build", "judge"))
    reason = f"  {result.reason}" if result.reason else ""
    return (
        f"{result.verdict + missed:<15} {result.name:<32} {result.kind:<7} {seconds:6.1f} s  {result.strategy:<8}{reason}".rstrip()
    )


def table(results: Sequence[Result], kinds: Sequence[str]) -> str:
    """A row per family and kind, the totals, and every result that is not right."""
    return "\n".join(_lines(results, kinds))


def _lines(results: Sequence[Result], kinds: Sequence[str]) -> Iterator[str]:
    head = f"{'family':<22}{'as':<8}" + "".join(f"{verdict:>16}" for verdict in VERDICTS)
    yield head.rstrip()
    for family in [*dict.fromkeys(result.family for result in results), "total"]:
        for kind in kinds:
            rows = [result for result in results if result.kind == kind and family in (result.family, "total")]
            yield f"{family:<22}{kind:<8}" + "".join(f"{sum(row.verdict == verdict for row in rows):>16}" for verdict in VERDICTS)
    yield ""
    for kind in kinds:
        rows = [result for result in results if result.kind == kind and result.verdict not in ("does not trace", "not run")]
        fair = [row for row in rows if row.verdict != "bad trace"]
        right = sum(row.verdict == "right" for row in rows)
        missed = sum(row.missed for row in rows)
        yield f"as {kind}: {right} of {len(rows)} right ({_share(right, len(rows))}); refused although right: {missed}"
        if len(fair) < len(rows):
            yield f"  of the {len(fair)} files that are the model they were traced from: {_share(right, len(fair))}"
    others = [result for result in results if result.verdict != "right"]
    if others:
        yield ""
        yield from (line(result) for result in others)


def markdown(results: Sequence[Result], kinds: Sequence[str], versions: str) -> str:
    """The committed page: the shares, a row per family, every result that is not right, and every network."""
    return "\n".join(_page(results, kinds, versions)) + "\n"


def _page(results: Sequence[Result], kinds: Sequence[str], versions: str) -> Iterator[str]:
    yield "# Corpus\n"
    yield (
        "Written by `make corpus`: public architectures with seeded weights, each exported as a module and as a traced `.pt`. "
        "*Right* and *wrong* are the verdicts of a judge of its own, which loads the model afresh and asks for batches, sizes and "
        "inputs that the proof has not seen; *refused* means that tritonize said no and why. "
        f"A *bad trace* is a file that is not the model it was traced from.\n\n{versions}.\n"
    )
    yield "| | " + " | ".join(VERDICTS) + " | share right |"
    yield "|---" * (len(VERDICTS) + 2) + "|"
    for kind in kinds:
        for family in [*dict.fromkeys(result.family for result in results), "all"]:
            rows = [result for result in results if result.kind == kind and family in (result.family, "all")]
            counts = [sum(row.verdict == verdict for row in rows) for verdict in VERDICTS]
            asked = sum(row.verdict not in ("does not trace", "not run") for row in rows)
            yield f"| {kind}, {family} | " + " | ".join(map(str, counts)) + f" | {_share(counts[0], asked)} |"
    yield "\n## What is not right\n"
    for result in results:
        if result.verdict != "right":
            yield f"- {result.name}, {result.kind}: {result.verdict}. {_FOLDERS.sub('', result.reason)}"
    yield "\n## Every network, and the strategy that made it right\n"
    for family in dict.fromkeys(result.family for result in results):
        names = dict.fromkeys(result.name for result in results if result.family == family)
        yield f"**{family}** " + "; ".join(f"{name} ({_strategies(name, results, kinds)})" for name in names) + "\n"


def _strategies(name: str, results: Sequence[Result], kinds: Sequence[str]) -> str:
    found = {result.kind: result for result in results if result.name == name}
    return ", ".join(
        (found[kind].strategy if found[kind].verdict == "right" else found[kind].verdict) for kind in kinds if kind in found
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
