"""Messages about the comparison of a new server or version with the one in use."""

from __future__ import annotations

from tritonize.core.messages import Message

PLANNED = Message(
    code="canary-planned", what="{model}: then at most {count} requests to each of the baseline and the new one, in turns"
)
SAME = Message(
    code="canary-same",
    what="The baseline is the server and the version that are verified.",
    next_step="give another server with --baseline URL, or another version with --baseline-version N",
)
ONE_SERVER = Message(
    code="canary-one-server",
    what="{option} stands for {count} replicas, and a comparison needs one server on each side.",
    next_step="give the address of one replica",
)
WITHOUT_BASELINE = Message(
    code="without-baseline",
    what="--max-slowdown is for a comparison with a baseline, and none is given.",
    next_step="add --baseline URL or --baseline-version N",
)
NOT_TOGETHER = Message(
    code="canary-and-watch",
    what="--watch and a baseline cannot be given together.",
    next_step="remove one of the two",
)
BASELINE_CHANGED = Message(code="baseline-changed", what="The files of its version {version} changed after they were proven: {why}")
BASELINE_AWAY = Message(code="baseline-away", what="It cannot be compared: {why}")
DECOUPLED = Message(
    code="canary-decoupled", what="It is not compared: the model is decoupled, and has no one response to a request."
)
NO_TRANSPORT = Message(
    code="canary-no-transport",
    what="It has no protocol in common with the new one: give addresses of the same protocol on both sides, http:// or grpc://.",
)
REFUSED = Message(code="canary-refused", what="it refused a request that the comparison sent")
MAY_NOT = Message(code="canary-may-not", what="the new one may not take over: {rule}")
UNDECIDED = Message(code="canary-undecided", what="not decided: {rule}")
GATES = Message(code="canary-rule-gates", what="All gates of the verification passed.")
GATES_NOT = Message(code="canary-rule-gates-not", what="The verification itself did not pass: {verdict}.")
ERROR = Message(
    code="canary-rule-error", what="{output}: max error {new}, at most the baseline's {baseline} + tolerance {tolerance}"
)
NOT_COMPARED = Message(code="canary-rule-not-compared", what="Outputs: no response of both sides could be compared.")
LATENCY = Message(
    code="canary-rule-latency",
    what="Latency: median {ratio} times the baseline's (95 %: {low} to {high}), limit {limit}",
)
LATENCY_NOT = Message(code="canary-rule-latency-not", what="Latency: not measured, since a request was refused.")
MORE_PAIRS = Message(
    code="canary-more-pairs", what="{rule}. The limit is inside the interval: measure longer with --profile thorough"
)
BASELINE_WRONG = Message(
    code="canary-baseline-wrong",
    what="The baseline itself is outside its tolerance in {count} responses, so it should be replaced whatever the new one does.",
)
OTHER_REFERENCE = Message(
    code="canary-other-reference",
    what="Versions {baseline} and {new} have references of their own, so the difference of their outputs is shown, not judged.",
)
