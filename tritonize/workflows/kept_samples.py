"""Choose which samples a version's evidence keeps, by the spec's `evidence` section, write them, and say what is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet
from tritonize.core.messages import repository as wording
from tritonize.quality import golden_set, sample_digests
from tritonize.quality.golden_set import GoldenSet
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The samples in the evidence."""

    samples: tuple[int, ...]
    """Their numbers in the run; the position is the number in the golden set."""
    own: int
    """How many of them come from the user's files or function."""
    pictures: bool
    """Whether the report may have pictures and values of single samples."""
    notes: tuple[str, ...]

    def place(self, sample: int) -> int | None:
        """Return the number of a run's sample in the golden set; `None` if it is not kept."""
        return self.samples.index(sample) if sample in self.samples else None


def write(golden: GoldenSet, directory: Path, model: schema.Model, *, wanted: schema.Evidence, worst: int | None) -> Kept:
    """Write the golden set, or checksums alone if no sample may be kept or fits.

    Args:
        golden: all samples of the run with their outputs.
        directory: the folder of the golden set.
        worst: the sample with the largest error, which is kept before the others.
    """
    own = set(range(golden.samples.drawn)) if model.samples.patterns or model.samples.function else set[int]()
    edges = set(golden.samples.edges)
    total = golden.samples.files.count
    allowed = set() if wanted.samples == "hashes" else edges if wanted.samples == "synthetic" and own else set(range(total))
    first = [index for index in worst_first(golden.samples, worst) if index in allowed]
    kept = golden_set.fitting(golden, budget=wanted.golden_mib << 20, first=first, allowed=allowed)
    if kept:
        golden_set.write(golden, directory, keep=kept)
    else:
        why = _why_none(wanted, allowed=bool(allowed))
        sample_digests.write(golden.samples, golden.expected, directory, why=why)
    return Kept(
        samples=tuple(kept),
        own=len(own.intersection(kept)),
        pictures=wanted.samples == "all" or (wanted.samples == "synthetic" and not own),
        notes=tuple(_notes(golden, kept, wanted, own=own, directory=directory)),
    )


def worst_first(samples: SampleSet, worst: int | None) -> list[int]:
    """Return the sample with the largest error and, in a batched model, one of the same shape: they repeat its batch of two.

    A drawn sample comes before an edge case: where one alone fits, zeros or ones would be a weak golden set.
    """
    if worst is None:
        return []
    alike: Sequence[int] = ()
    if samples.batched:
        alike = next((members for members in arrays.groups(samples) if worst in members), list(range(samples.drawn)))
    first = [worst, *[other for other in alike if other != worst][:1]]
    if samples.drawn and all(index in samples.edges for index in first):
        first.append(0)
    return sorted(first, key=lambda index: index in samples.edges)


def _why_none(wanted: schema.Evidence, *, allowed: bool) -> str:
    if wanted.samples == "hashes":
        return "the spec sets evidence.samples: hashes"
    if not allowed:
        return "all samples come from files or a function, and the spec sets evidence.samples: synthetic"
    return f"not one sample with its outputs fits into {wanted.golden_mib} MiB (evidence.golden_mib)"


def _notes(
    golden: GoldenSet, kept: Sequence[int], wanted: schema.Evidence, *, own: Collection[int], directory: Path
) -> Iterator[str]:
    total = golden.samples.files.count - (len(own) if wanted.samples == "synthetic" else 0)
    if not kept:
        yield wording.EVIDENCE_DIGESTS.text(why=sample_digests.why_alone(directory))
    elif len(kept) < total:
        size = sum(path.stat().st_size for path in directory.rglob("*.npy")) / 2**20
        yield wording.EVIDENCE_SOME.text(count=len(kept), total=total, mib=size, limit=wanted.golden_mib)
    if count := len(set(own).intersection(kept)):
        yield wording.EVIDENCE_REAL.text(count=count)
    elif kept and own and wanted.samples == "synthetic":
        yield wording.EVIDENCE_SYNTHETIC.text(count=len(kept))
