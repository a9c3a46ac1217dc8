"""How large an error is and whether it was acceptable, as values: the metrics of an output, noise floors and gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tritonize.core.stages import StageName

Verdict = Literal["passed", "failed", "not run"]

DRAWN = "drawn"
"""The group of all samples that are no edge cases."""
ALL = "all"
"""All samples together."""

Kind = Literal["values", "classes", "distribution", "mask_logits", "mask_probabilities", "segmentation", "labels", "detections"]
"""What an output means, and so which metrics say something about it.

`values`: numbers of any meaning (regression, embeddings). `classes`: class scores or logits along the last axis.
`distribution`: probabilities that sum to 1 along the last axis. `mask_logits`, `mask_probabilities`: every channel marks
places of its own, above 0 or above 0.5; the channel axis comes after the batch, with fewer than three axes there is none.
`segmentation`: at every place the highest channel wins; channels as before. `labels`: whole numbers that name the class of
every place. `detections`: rows of corner coordinates, then score, then class number, in any order.
"""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How large the error of one output is at one stage, over all its answers.

    Differences are computed in float64 over the `finite` elements; a field is `None` where it has no meaning for the kind or
    where nothing could be computed. No field is ever infinite or NaN. An answer of another shape is compared in no element.
    """

    kind: Kind
    answers: int
    items: int
    """Items of the answers' batches; without a batch axis, the answers."""
    mismatched_items: int
    """Items with a mismatched element or an unmatched detection, and all of an answer of another shape."""
    misshaped: int
    """Answers of another shape than expected; all their expected elements count as mismatched."""
    elements: int
    finite: int
    """Elements that are finite numbers on both sides."""
    mismatched: int
    """Elements outside |found - expected| <= atol + rtol * |expected|; integers that differ; every element of a detection
    without a partner."""
    equal: bool
    """Whether every element is finite and the same on both sides, and there is at least one. `snr_db` is then infinite."""
    rtol: float
    atol: float
    found_dtypes: tuple[str, ...]
    """The types of the answers; `max_ulp` counts in each answer's own."""
    expected_nan: int = 0
    found_nan: int = 0
    expected_inf: int = 0
    found_inf: int = 0
    largest: float | None = None
    """Largest finite magnitude expected."""
    max_abs: float | None = None
    mean_abs: float | None = None
    rmse: float | None = None
    """Square root of the mean squared difference."""
    max_rel: float | None = None
    """max |found - expected| / |expected| where |expected| exceeds a thousandth of its largest magnitude in the answer."""
    cosine: float | None = None
    snr_db: float | None = None
    """10 log10(sum expected² / sum difference²); `None` where a sum is zero: see `equal`."""
    max_ulp: int | None = None
    """Largest number of steps between neighbouring numbers of found's type, from expected rounded to that type to found; both
    zeros are one. For floating types alone."""
    rows: int | None = None
    """Rows of class scores."""
    top1: float | None = None
    """Share of rows whose highest found class is a highest expected one; classes that found's type cannot tell apart are ties.
    A row with a NaN disagrees. `None` with one class."""
    top5: float | None = None
    """Share of rows whose five highest found classes are all among the five highest expected ones; `None` up to five classes."""
    invalid_rows: int | None = None
    """Rows that are no distribution on one side: negative, NaN, infinite or without a positive sum."""
    kl_mean: float | None = None
    """Kullback-Leibler divergence of found from expected, in nats; each row is made to sum to 1. A zero in found is taken for
    the smallest positive number of its type."""
    kl_max: float | None = None
    masks: int | None = None
    """Masks that are marked on either side: each class of each item, the background's too where it has a number."""
    dice_mean: float | None = None
    """Mean over the masks of 2 |both| / (|expected| + |found|), in places; 1 where nothing is marked anywhere. A place with a
    NaN is a mark of one side alone."""
    dice_min: float | None = None
    iou_mean: float | None = None
    iou_min: float | None = None
    matched: int | None = None
    """Detections with a partner; the differences above are theirs."""
    moved: int | None = None
    """Those of them that were found in another row."""
    unmatched_expected: int | None = None
    unmatched_found: int | None = None
    max_box: float | None = None
    """Largest difference of a coordinate between partners."""
    max_score: float | None = None
    """Largest difference of a score between partners."""


METRICS = tuple(name for name, kind in Metrics.__annotations__.items() if kind in ("float | None", "int | None"))
"""The numbers of `Metrics` that a bound can be set on."""


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One output at one stage of the way from PyTorch to the client, over all samples."""

    stage: StageName
    output: str
    against: Literal["fp64", "fp32"]
    """What it was compared with: PyTorch in float64, or in float32 where float64 could not run."""
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """How far PyTorch's own answer is from the exact one, for one output and one group of samples.

    An error is judged by k = max|found - exact| / max(noise, unit * scale); both maxima are over the group. Source: measured
    over 21 models, ONNX Runtime in float32 stays below 2, TF32 begins at 370, float16 at 1000.
    """

    output: str
    group: str
    noise: float
    """max |PyTorch in the model's precision - PyTorch in float64|."""
    scale: float
    """max |PyTorch in float64|."""
    unit: float
    """2^-23 for float32; the unit roundoff of a reduced precision."""
    sample: int
    """The sample with the largest noise."""
    sensitivity: float = 0.0
    """How far rounding alone moves the answer, where that was measured, since PyTorch may be exact by luck: in few elements, where
    its weights are rounded otherwise; of edge cases such as a normalization of a constant, all through the file."""
    summing: float = 0.0
    """How far ONNX Runtime's own sums move the answer, in normalizations and means; measured, and no error of the file's."""
    why: str = ""
    """What that was measured of."""
    least: float = 0.0
    """Of an edge case: the unit times the largest drawn magnitude of the output. Less is nothing beside drawn answers."""

    @property
    def denominator(self) -> float:
        """What an error is measured in, in the output's unit."""
        return max(self.own, self.sensitivity, self.least)

    @property
    def own(self) -> float:
        """PyTorch's own error, or what its type can say at that scale if that is more."""
        return max(self.noise, self.unit * self.scale)


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """An output, or an edge case of it, that no float64 answer is there for."""

    output: str
    group: str
    """An edge case, or `all`."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One rule that an output at one stage had to keep."""

    gate: str
    """`tolerance` (rtol, atol against float32), `noise floor` (k against float64), or the name of a metric with its bound."""
    stage: StageName
    output: str
    group: str
    """`drawn`, an edge case, or `all` where the rule is for all samples together."""
    verdict: Verdict
    value: float | None
    """Mismatched elements, k, or the metric; `None` where it could not be computed."""
    limit: float | None
    note: str = ""
    sample: int | None = None
    """The sample with the largest value, where it is of one."""
