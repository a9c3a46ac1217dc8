"""Results of comparisons: the error metrics of an output, noise floors and gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tritonize.core.stages import StageName

Verdict = Literal["passed", "failed", "not run", "not proven", "passed here", "passed quick"]
"""*Passed here* and *passed quick* are only verdicts of a report. *Passed here*: all that this machine can run passed, and the rest
is for the declared target. *Passed quick*: the comparisons of a quick run passed, which leaves out a part of the proof."""
PASSED: tuple[Verdict, ...] = ("passed", "passed here", "passed quick")
"""The verdicts with which a version is published."""
PROVEN: tuple[Verdict, ...] = ("passed", "passed here")
"""The verdicts of a full proof."""
WORST_FIRST: tuple[Verdict, ...] = ("failed", "not run", "not proven", "passed quick", "passed here", "passed")
"""Every verdict, the worst first: the verdict of several models or replicas is the worst of theirs."""

DRAWN = "drawn"
"""The group of all samples except the edge cases."""
ALL = "all"
"""The group of all samples."""

Kind = Literal["values", "classes", "distribution", "mask_logits", "mask_probabilities", "segmentation", "labels", "detections"]
"""The meaning of an output, which selects its metrics.

`values`: numbers of any meaning (regression, embeddings). `classes`: class scores or logits along the last axis.
`distribution`: probabilities that sum to 1 along the last axis. `mask_logits`, `mask_probabilities`: each channel is a mask of the
elements above 0 or above 0.5; the channel axis follows the batch axis, and an output with fewer than three axes has none.
`segmentation`: the class of an element is its highest channel; channel axis as for masks. `labels`: integers, the class of each
element. `detections`: rows of box corners, score and class number, in any order.
"""


def in_words(verdict: str) -> str:
    """The verdict as people read it."""
    return "passed (quick)" if verdict == "passed quick" else verdict


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The error of one output at one stage, over all compared batches.

    Differences are computed in float64 over the `finite` elements. A field is `None` if it does not apply to the kind or could not
    be computed. No field is infinite or NaN. A batch whose output has the wrong shape is not compared element by element.
    """

    kind: Kind
    """The meaning of the output, which selects the metrics."""
    answers: int
    """Number of compared batches."""
    items: int
    """Number of items in these batches; without a batch axis, the number of batches."""
    mismatched_items: int
    """Items with a mismatched element or an unmatched detection, and all items of a batch with the wrong shape."""
    misshaped: int
    """Batches whose output has the wrong shape; all their expected elements count as mismatched."""
    elements: int
    """Number of elements."""
    finite: int
    """Elements that are finite on both sides."""
    mismatched: int
    """Elements outside |found - expected| <= atol + rtol * |expected|; integers that differ; every element of an unmatched
    detection."""
    equal: bool
    """Whether there is an element, and every element is finite and identical on both sides. `snr_db` is then `None`."""
    rtol: float
    """The relative tolerance."""
    atol: float
    """The absolute tolerance, in the output's unit."""
    found_dtypes: tuple[str, ...]
    """Element types of the outputs; `max_ulp` uses the type of each batch."""
    expected_nan: int = 0
    """Number of NaN in the expected outputs."""
    found_nan: int = 0
    """Number of NaN in the outputs that were found."""
    expected_inf: int = 0
    """Number of infinities in the expected outputs."""
    found_inf: int = 0
    """Number of infinities in the outputs that were found."""
    largest: float | None = None
    """Largest finite expected magnitude."""
    max_abs: float | None = None
    """Largest |found - expected|."""
    mean_abs: float | None = None
    """Mean |found - expected|."""
    rmse: float | None = None
    """Square root of the mean squared difference."""
    max_rel: float | None = None
    """max |found - expected| / |expected| where |expected| is above a thousandth of its largest magnitude in the batch."""
    cosine: float | None = None
    """Cosine of the angle between expected and found."""
    snr_db: float | None = None
    """10 log10(sum expected² / sum difference²); `None` if a sum is zero, see `equal`."""
    max_ulp: int | None = None
    """Largest difference in units in the last place: the number of steps between neighbouring numbers of found's type, from
    expected (rounded to that type) to found. +0 and -0 are the same number. For floating-point types only."""
    rows: int | None = None
    """Rows of class scores."""
    top1: float | None = None
    """Share of rows whose highest found class is a highest expected class; expected scores that are equal in found's type are
    ties. A row with a NaN disagrees. `None` for one class."""
    top5: float | None = None
    """Share of rows whose five highest found classes are all among the five highest expected ones; `None` below six classes."""
    invalid_rows: int | None = None
    """Rows that are not a distribution on one side: a value is negative, NaN or infinite, or the sum is not positive."""
    kl_mean: float | None = None
    """Mean Kullback-Leibler divergence of found from expected, in nats, after scaling each row to sum 1. A zero in found counts as
    the smallest positive number of its type."""
    kl_max: float | None = None
    """The largest divergence of a row."""
    masks: int | None = None
    """Masks that are not empty on either side: one per class and item, including a background class that has a number."""
    dice_mean: float | None = None
    """Mean over the masks of 2 |both| / (|expected| + |found|), counted in elements; 1 if all masks are empty. A NaN counts as
    marked on one side only."""
    dice_min: float | None = None
    """The smallest Dice coefficient of a mask."""
    iou_mean: float | None = None
    """Mean over the masks of |both| / |either|."""
    iou_min: float | None = None
    """The smallest of them."""
    matched: int | None = None
    """Number of matched detections; `max_abs` and the other differences are over these."""
    moved: int | None = None
    """Matched detections that are in another row."""
    unmatched_expected: int | None = None
    """Expected detections without a match."""
    unmatched_found: int | None = None
    """Detections that were found and match none."""
    max_box: float | None = None
    """Largest coordinate difference of a matched detection."""
    max_score: float | None = None
    """Largest score difference of a matched detection."""


METRICS = tuple(name for name, kind in Metrics.__annotations__.items() if kind in ("float | None", "int | None"))
"""The fields of `Metrics` that a spec can set a bound on."""


Part = Literal["edge case", "padded batches", "inputs with NaN", "samples", "requests"]
"""A part of a proof that can be left out."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A part of the proof that the spec or the command includes and that was left out, with the reason. It fails nothing."""

    part: Part
    """What kind of part it is."""
    why: str
    """The reason, as a clause without a full stop."""
    name: str = ""
    """Of an edge case or an input with NaN; of the other parts, what exactly is missing."""


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """The metrics of one output at one stage, over all samples."""

    stage: StageName
    """The stage, such as `http`."""
    output: str
    """The name of the output."""
    against: Literal["fp64", "fp32"]
    """The reference: PyTorch in float64, or in float32 if float64 could not run."""
    metrics: Metrics
    """The numbers."""


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """PyTorch's own error against float64, for one output and one group of samples.

    The noise-floor ratio of a stage is k = max|found - exact| / `denominator`, with the maximum over the group. Source: measured on
    21 models, k of ONNX Runtime in float32 stays below 2, of TF32 it starts at 370, of float16 at 1000.
    """

    output: str
    """The name of the output."""
    group: str
    """`drawn` for all samples except the edge cases, or the name of an edge case."""
    noise: float
    """max |PyTorch in the model's precision - PyTorch in float64|."""
    scale: float
    """max |PyTorch in float64|."""
    unit: float
    """Relative rounding unit of the model's precision: 2^-23 for float32."""
    sample: int
    """The sample with the largest noise."""
    sensitivity: float = 0.0
    """How far rounding alone moves the output, if measured; 0 otherwise. `noise` alone can be too small by chance. Measured with
    perturbed weights for outputs of few elements, and by rounding every node's result differently for edge cases such as a
    normalization of a constant."""
    summing: float = 0.0
    """How far ONNX Runtime's float32 sums in normalizations and means move the output, if measured. The file has no part in it."""
    why: str = ""
    """What `sensitivity` and `summing` were measured on."""
    least: float = 0.0
    """For an edge case: the unit times the largest magnitude of the output over the drawn samples. Smaller errors do not count."""

    @property
    def denominator(self) -> float:
        """The error that is k = 1, in the output's unit."""
        return max(self.own, self.sensitivity, self.least)

    @property
    def own(self) -> float:
        """PyTorch's own error, but at least one rounding unit at the output's scale."""
        return max(self.noise, self.unit * self.scale)


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """An output, or an edge case of an output, without float64 values."""

    output: str
    group: str
    """An edge case, or `all`."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The result of one rule for one output at one stage."""

    gate: str
    """`tolerance` (rtol, atol against float32), `noise floor` (k against float64), or the name of a metric with its bound."""
    stage: StageName
    """The stage, such as `http`."""
    output: str
    """The name of the output."""
    group: str
    """`drawn`, the name of an edge case, or `all` if the rule applies to all samples together."""
    verdict: Verdict
    """The verdict of this rule alone."""
    value: float | None
    """Number of mismatched elements, k, or the metric; `None` if it could not be computed."""
    limit: float | None
    """The bound of the rule; a metric with two bounds has two gates."""
    note: str = ""
    """Why it did not run, or what was allowed for."""
    whole: float | None = None
    """For a noise-floor ratio with an allowance for ONNX Runtime's measured summation error: the ratio without it. `value` is what
    the limit applies to."""
    sample: int | None = None
    """The sample with the largest value, if the value belongs to one sample."""

    @property
    def excused(self) -> bool:
        """Whether it passed only by the allowance for ONNX Runtime's summation error."""
        return self.verdict == "passed" and None not in (self.whole, self.limit) and (self.whole or 0) > (self.limit or 0)
