"""The baseline: the model's own outputs for the samples, and the rules for every later comparison with them.

It is computed once (`computation.py`, `onnx_source.py`) and passed as a whole to the export ladder, reduced precision, plans,
staging and the server. `golden` is the part that outputs are compared with; the rest describes where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tritonize.core import arrays
from tritonize.core.artifacts import Reference, SampleSet, Source, TensorFiles, TensorSpec
from tritonize.core.messages import samples as wording
from tritonize.core.reports import Check, Finding
from tritonize.core.results import LeftOut
from tritonize.core.stages import StageName
from tritonize.quality import nonfinite
from tritonize.quality.figure_collector import FigureCollector
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A model's outputs, their samples, and the rules of the comparison."""

    golden: GoldenSet
    """Samples, expected and float64 outputs, tolerances, gates and noise floors."""
    source: Source
    """With the SHA-256 of the code that ran."""
    parameters: int = 0
    """Number of elements in the model's parameters."""
    state: str | None = None
    """Checksum of its parameters and buffers; `None` unless it is a PyTorch model."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """See `Reference.renamed`."""
    example: TensorFiles | None = None
    """The batch that an exporter runs; `None` if nothing is exported."""
    nonfinite: nonfinite.NonfiniteOutputs | None = None
    """The outputs for inputs with NaN and infinities."""
    checks: tuple[Check, ...] = ()
    """The comparison of the model's outputs for batches with its outputs for single samples."""
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    """Edge cases, inputs with NaN and padded batches that outputs are not compared for."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Facts about the reference for the report, JSON-serializable."""
    changed: tuple[str, ...] = ()
    """Python attributes that the model changed while it ran, with their values."""
    findings: tuple[Finding, ...] = ()
    """Reasons why the reference is ambiguous."""

    @property
    def samples(self) -> SampleSet:
        """The samples, without the edge cases that the model does not support."""
        return self.golden.samples

    @property
    def reference(self) -> Reference:
        """The expected outputs and the model that computed them."""
        return Reference(
            source=self.source,
            outputs=self.golden.expected,
            parameters=self.parameters,
            state=self.state,
            renamed=self.renamed,
        )

    def output_specs(self, batch_axis: str | None) -> tuple[TensorSpec, ...]:
        """The outputs for an exporter: with the name of the batch axis, or unchanged if the model is not batched."""
        tensors = self.golden.expected.tensors
        if not batch_axis:
            return tensors
        return tuple(replace(tensor, shape=(batch_axis, *tensor.shape[1:])) for tensor in tensors)

    def tracker(self) -> ErrorTracker:
        """An error tracker that already contains the model's own outputs."""
        tracker = ErrorTracker(self.golden, FigureCollector(self.golden))
        self.add_to(tracker)
        return tracker

    def add_to(self, tracker: ErrorTracker) -> None:
        """Add the model's own outputs to a tracker, as its first stage."""
        for index in range(self.samples.files.count):
            tracker.add(StageName.PYTORCH, (index,), arrays.load(self.golden.expected, index))

    def without(self, dropped: Mapping[str, str]) -> Baseline:
        """The baseline without some edge cases, which are then listed as left out.

        Args:
            dropped: name of the edge case to the reason.
        """
        return replace(self, golden=self.golden.without(dropped), left_out=(*self.left_out, *edge_cases(dropped)))

    def in_files(self, inputs: TensorFiles, outputs: TensorFiles) -> Baseline:
        """The baseline with samples and expected outputs in the element types of another file."""
        golden = replace(self.golden, samples=replace(self.samples, files=inputs), expected=outputs)
        return replace(self, golden=golden)


def edge_cases(dropped: Mapping[str, str]) -> tuple[LeftOut, ...]:
    """Edge cases as parts that were left out, from name and reason."""
    return tuple(LeftOut(part="edge case", name=name, why=why) for name, why in dropped.items())


def padded_batches(why: str) -> tuple[LeftOut, ...]:
    """Batches padded with zeros as a part that was left out; nothing without a reason."""
    return (LeftOut(part="padded batches", name=wording.ZEROS.text(), why=wording.NOT_PADDED.text(why=why)),) if why else ()
