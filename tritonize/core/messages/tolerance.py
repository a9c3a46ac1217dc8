"""Messages about the tolerance that an output needs, and about limits that are wider than the defaults."""

from __future__ import annotations

from tritonize.core.messages import Message

NOT_COMPARABLE = Message(
    code="tolerance-not-comparable", what="No tolerance makes it pass: {reason}. Find the cause with `tritonize locate`."
)
REORDERED = Message(
    code="tolerance-reordered",
    what=(
        "The values are the expected ones in another order, as after a wrong transpose or with permuted classes: a wider tolerance "
        "would hide that."
    ),
)
SCALED = Message(
    code="tolerance-scaled",
    what="All values are {factor:.6g} times the expected ones, as with another normalization: a wider tolerance would hide that.",
)
BEYOND_ROUNDING = Message(
    code="tolerance-beyond-rounding",
    what=(
        "The noise-floor ratio (k) is {k:.3g}, at most {limit:g} is allowed: the error is more than rounding explains. That gate "
        "fails with any tolerance; the smallest `noise_floor` that passes is {needed:.2g}."
    ),
)
AS_LARGE = Message(
    code="tolerance-as-large",
    what="An atol of {share:.0%} of the output's RMS accepts almost any output: a wider tolerance is not the answer.",
)
WIDER = Message(
    code="limits-wider",
    what="Limits wider than the defaults (in parentheses), set in {set_in}: {limits}.",
)
VERSION_OF_SOURCE = Message(
    code="tolerance-version-of-source",
    what="--version is for a published model; {source} is compared anew.",
    next_step="remove --version, or name a model of a repository",
)
FLAGS_OF_REPORT = Message(
    code="tolerance-flags-of-report",
    what="A published or staged version is not compared anew, so flags that describe a model do not apply.",
    next_step="remove the flags, or pass a spec or a model file",
)
NOTHING_COMPARED = Message(
    code="tolerance-nothing-compared",
    what="{model} has no comparison of outputs to compute a tolerance from.",
    cause="the run failed before its first comparison, or the model's outputs are compared on a server alone",
    next_step="run `tritonize run` and look at its report",
)
NO_ADVICE = Message(
    code="tolerance-no-report",
    what="The report of {model} version {version} does not have the smallest tolerances.",
    cause="an earlier release of tritonize wrote it",
    next_step="run `tritonize tolerance` with the model's spec, or publish a new version",
)
