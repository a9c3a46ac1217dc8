"""Messages about the verdict of a run or a verification."""

from __future__ import annotations

from tritonize.core.messages import Message

ALL_WITHIN = Message(code="all-within", what="{comparisons}, all within tolerance")
NOTHING_COMPARED = Message(code="nothing-compared", what="no outputs were compared")
OUTSIDE = Message(
    code="outside-tolerance", what="{outside} of {comparisons} outside the tolerance, first output {output} ({stage})"
)
NOT_RUN = Message(code="proof-not-run", what="{what}")
SET_ASIDE = Message(code="set-aside", what="{fields}: {reason}")
UNDECLARED = Message(code="undeclared-target", what=". Declare the deployment in the spec: {keys}")
PASSED_HERE = Message(
    code="passed-here",
    what="{comparisons}, all within tolerance, without {fields} of the configuration, which only the target can load",
)
FAILED_ELSEWHERE = Message(code="failed-elsewhere", what="a check listed below failed")
THE_PROOF = Message(code="the-proof", what="a required check")
NOISE_FLOOR = Message(code="noise-floor-of", what="noise floor of {output}")
CONFIDENCE = Message(
    code="confidence",
    what="{bad} of {count} drawn samples are outside the tolerance ({stage}). With 95 % confidence, at most {bound} of samples "
    "from the same distribution would be. To narrow this bound, raise samples.count.",
)
