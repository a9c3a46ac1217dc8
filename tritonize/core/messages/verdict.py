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
PASSED_QUICK = Message(code="passed-quick", what="{comparisons}, all within tolerance; a quick run, without {left_out}")
BY_QUICK_RUN = Message(code="published-by-quick-run", what="a quick run published the version, without {left_out}")
GROWN = Message(
    code="error-grown",
    what="without float64, only the tolerance was compared, and the error of {output} ({now}) is {times} times that at publication "
    "({then}): the served weights may have changed",
)
A_PART = Message(code="a-part-of-the-proof", what="a part of the proof")
K_EXCUSED = Message(
    code="k-excused",
    what="k of {output} is {whole}; without ONNX Runtime's measured summation error it is {rest}, at most {limit} is allowed",
)
K_EXPLAINED = Message(
    code="k-explained",
    what="k of {output} is {whole}; ONNX Runtime's measured summation error explains all of it, at most {limit} is allowed besides",
)
LEFT_OUT = Message(code="left-out", what="{parts} {were} left out")
LEFT_OUT_WHY = Message(code="left-out-why", what="{part}: left out: {why}")
SAMPLES_NOT_KEPT = Message(code="samples-not-kept", what="{count} of {total} samples")
NOT_KEPT = Message(code="not-kept", what="the evidence does not keep them")
MOST_REQUESTS = Message(code="most-requests", what="most requests")
BY_PROFILE = Message(
    code="left-out-by-profile",
    what="the profile {profile} sends some of the samples, and none concurrently; --profile standard sends all",
)
NOT_OVER_PROVEN = Message(
    code="not-over-proven", what="not published, since version {version}, which is served, has a full proof (--allow-unproven)"
)
QUICK_REQUIRED = Message(
    code="quick-float64-required",
    what="A quick run leaves float64 out, and the spec requires it (quality.float64: required).",
    next_step="run without --quick",
)
QUICK_VERSION = Message(
    code="quick-version",
    what="{model} version {version} was published by a quick run, which left out {left_out}. "
    "For the full proof, run the model again without --quick.",
)
FAILED_ELSEWHERE = Message(code="failed-elsewhere", what="a check listed below failed")
THE_PROOF = Message(code="the-proof", what="a required check")
NOISE_FLOOR = Message(code="noise-floor-of", what="noise floor of {output}")
CONFIDENCE = Message(
    code="confidence",
    what="{bad} of {count} drawn samples are outside the tolerance ({stage}). With 95 % confidence, at most {bound} of samples "
    "from the same distribution would be. To narrow this bound, raise samples.count.",
)
NEXT_DOCTOR = Message(code="next-doctor", what="run `tritonize doctor` to see what this machine lacks")
NEXT_SERVER = Message(
    code="next-server",
    what="ONNX Runtime passed and {stage} did not: compare the server's versions and the `triton:` section with this report",
)
NEXT_CHECK = Message(
    code="next-check",
    what="if the differences are acceptable, set `--rtol` and `--atol`; `tritonize locate A B` compares two ONNX files by node",
)
NEXT_NODE = Message(
    code="next-node", what="the error begins at {node}: compare this node with PyTorch, or set the tolerance that the output needs"
)
NEXT_TOLERANCE = Message(
    code="next-tolerance", what="no single node explains the error: if it is acceptable, set the output's `tolerance` in the spec"
)
NEXT_KEEP = Message(
    code="next-keep-fp32",
    what="write `keep_fp32: {{nodes: [{nodes}]}}` into the model's spec: with {count} in fp32 it passes",
)
NEXT_KEEP_MANY = Message(
    code="next-keep-fp32-many", what="keep {count} in fp32, with which it passes: `tritonize locate {spec} --model {model} --write`"
)
NEXT_HOPELESS = Message(
    code="next-fp32",
    what="set `precision: fp32`, or the output's `tolerance` if the error is acceptable: fp32 at few nodes fails",
)
NEXT_LOCATE = Message(
    code="next-locate", what="run `tritonize locate {spec} --model {model}` to find the node that the error comes from"
)
NEXT_FULL_PROOF = Message(code="next-full-proof", what="for the full proof, run the model again without `--quick`")
NEXT_VERBOSE = Message(code="next-verbose", what="run the command again with `--verbose` for all figures and notes")
