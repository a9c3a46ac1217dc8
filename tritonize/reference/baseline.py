"""The baseline: what the model itself answers to the samples, and the rules by which every later answer is judged.

It is computed once (`computation.py`, `onnx_source.py`) and handed on whole to the export ladder, reduced precision, plans,
staging and the server. `golden` is the part that answers are compared with; the rest says where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tritonize.core import arrays
from tritonize.core.artifacts import Check, Finding, Reference, SampleSet, Source, TensorFiles, TensorSpec
from tritonize.core.messages import samples as wording
from tritonize.core.stages import StageName
from tritonize.quality import nonfinite
from tritonize.quality.figure_collector import FigureCollector
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a model answers, the samples that it answers, and the rules that its answers set."""

    golden: GoldenSet
    """Samples, expected and float64 outputs, tolerances, gates and noise floors."""
    source: Source
    """With the SHA-256 of the code that ran."""
    parameters: int = 0
    """Number of elements in the model's parameters."""
    state: str | None = None
    """Checksum of its parameters and buffers, where it is a PyTorch model."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """See `Reference.renamed`."""
    example: TensorFiles | None = None
    """The one batch that an exporter runs; `None` where nothing is exported."""
    nonfinite: nonfinite.NonfiniteOutputs | None = None
    """The answers to NaN and infinities."""
    checks: tuple[Check, ...] = ()
    """The model's answers to batches against its answers to single samples."""
    notes: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    """What is known of the reference itself, as plain data."""
    changed: tuple[str, ...] = ()
    """Attributes of Python's that the model changed while it answered, with what they held."""
    findings: tuple[Finding, ...] = ()
    """Why it is not settled what the reference is."""

    @property
    def samples(self) -> SampleSet:
        """Without the edge cases that the model has no answer to."""
        return self.golden.samples

    @property
    def reference(self) -> Reference:
        """The expected outputs and the model that they come from."""
        return Reference(
            source=self.source,
            outputs=self.golden.expected,
            parameters=self.parameters,
            state=self.state,
            renamed=self.renamed,
        )

    def output_specs(self, batch_axis: str | None) -> tuple[TensorSpec, ...]:
        """The outputs with their batch axis by name, as an exporter takes them; as they are where the model is not batched."""
        tensors = self.golden.expected.tensors
        if not batch_axis:
            return tensors
        return tuple(replace(tensor, shape=(batch_axis, *tensor.shape[1:])) for tensor in tensors)

    def tracker(self) -> ErrorTracker:
        """An error tracker that knows the model's own answers."""
        made = ErrorTracker(self.golden, FigureCollector(self.golden))
        self.add_to(made)
        return made

    def add_to(self, tracker: ErrorTracker) -> None:
        """Add the model's own answers to a tracker, as its first stage."""
        for index in range(self.samples.files.count):
            tracker.add(StageName.PYTORCH, (index,), arrays.load(self.golden.expected, index))

    def without(self, dropped: Mapping[str, str]) -> Baseline:
        """The same without some edge cases, with a note for each.

        Args:
            dropped: edge case to the reason.
        """
        return replace(self, golden=self.golden.without(dropped), notes=(*self.notes, *dropped_notes(dropped)))

    def in_files(self, inputs: TensorFiles, outputs: TensorFiles) -> Baseline:
        """The same with samples and expected outputs in the types of a file that has others."""
        golden = replace(self.golden, samples=replace(self.samples, files=inputs), expected=outputs)
        return replace(self, golden=golden)


def dropped_notes(dropped: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each edge case that is left out, with the reason."""
    return tuple(wording.EDGE_CASE_DROPPED.text(name=name, why=why) for name, why in dropped.items())
