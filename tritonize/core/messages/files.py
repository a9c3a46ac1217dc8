"""What is said about files that cannot be read, or that hold more than they may."""

from __future__ import annotations

from tritonize.core.messages import Message

SPEC_MISSING = Message(code="spec-missing", what="There is no such specification file.")
SPEC_UNREADABLE = Message(code="spec-unreadable", what="The specification file cannot be read.")
SPEC_NO_YAML = Message(code="spec-no-yaml", what="The specification is not valid YAML.")
SAMPLE_FILE = Message(code="sample-file-unreadable", what="A sample file is not a readable .npz file or a folder of .npy files.")
SAMPLE_TOO_LARGE = Message(
    code="sample-file-too-large",
    what="A sample file holds more than the free memory of this machine.",
    next_step="write it as several files; samples.files takes a pattern such as samples/*.npz",
)
NO_ROOM_FOR_SAMPLES = Message(
    code="no-room-for-samples",
    what="The disk has no space for the samples.",
    cause="count, the largest sizes of the axes, or both are too large",
    next_step="lower samples.count or the axes' max, or name another place with TMPDIR or --repository",
)
BATCH_TOO_LARGE = Message(
    code="batch-too-large",
    what="The inputs of the largest batch do not fit into memory.",
    next_step="lower max_batch_size or the axes' max",
)
GOLDEN_DAMAGED = Message(code="golden-set-damaged", what="The version's golden set is damaged.")
GOLDEN_UNREADABLE = Message(code="golden-set-unreadable", what="The version's golden set cannot be read.")
GOLDEN_FILE_DAMAGED = Message(code="golden-file-damaged", what="The golden file is damaged.")
GOLDEN_FILE_UNREADABLE = Message(code="golden-file-unreadable", what="The golden file cannot be understood.")
REPORT_UNREADABLE = Message(
    code="report-unreadable",
    what="The version's report cannot be read.",
    next_step="`tritonize verify` lists the files that were changed",
)
REQUEST_MISSING = Message(code="plan-request-missing", what="There is no such plan request.")
REQUEST_UNREADABLE = Message(code="plan-request-unreadable", what="The plan request cannot be read.")
REQUEST_INVALID = Message(code="plan-request-invalid", what="Invalid plan request.")
NO_TEMPORARY_FOLDER = Message(
    code="no-temporary-folder",
    what="There is no folder for temporary files that can be written to.",
    cause="the disk is full or read-only",
    next_step="free some space, or name another place with TMPDIR",
)
OUT_OF_MEMORY = Message(
    code="out-of-memory",
    what="This machine does not have the memory that was needed.",
    cause="a tensor, a batch or a model is larger than the memory that is free",
    next_step="lower max_batch_size or the axes' max, or use a machine with more memory",
)
NO_PROBE = Message(
    code="probe-too-large",
    what="The smallest input of the model {model!r} is too large for a trial request.",
    cause="its configuration declares very large dims",
)
NO_SUCH_LEVEL = Message(code="no-such-log-level", what="There is no such level of the log.")
