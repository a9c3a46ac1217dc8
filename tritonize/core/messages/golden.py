"""Messages about golden files: writing, reading, and samples that are stored as seeds."""

from __future__ import annotations

from tritonize.core.messages import Message

FILE_EXISTS = Message(
    code="golden-file-exists",
    what="The golden file already exists and is not overwritten.",
    next_step="choose another name with --out, or delete the file",
)
NO_SEEDS = Message(
    code="golden-no-seeds",
    what="No sample of the version can be stored by its seed.",
    cause="the samples come from files or a function, or the installed NumPy generates other bits than when they were drawn",
    next_step="remove --seeds to store the arrays",
)
FILE_MISSING = Message(
    code="golden-file-missing",
    what="The golden file does not exist.",
    next_step="check the path; `tritonize golden export` writes a golden file",
)
NOT_AN_ARCHIVE = Message(
    code="golden-file-not-an-archive",
    what="The golden file is damaged, or it is not a golden file.",
    cause="it was copied or downloaded incompletely",
    next_step="copy it again, or write it again with `tritonize golden export`",
)
GOLDEN_FILE_DAMAGED = Message(
    code="golden-file-damaged",
    what="The golden file is damaged.",
    cause="it was changed or damaged after it was written",
    next_step="copy it again, or write it again with `tritonize golden export`",
)
GOLDEN_FILE_UNREADABLE = Message(
    code="golden-file-unreadable",
    what="The golden file cannot be parsed.",
    cause="another version of tritonize wrote it, or another tool",
    next_step="write it again with `tritonize golden export` of this version",
)
OTHER_SCHEMA = Message(
    code="golden-file-schema",
    what="The golden file has a format that this version of tritonize does not read.",
    cause="another version of tritonize wrote it",
    next_step="write it again with `tritonize golden export` of this version",
)
TOO_LARGE = Message(
    code="golden-file-too-large",
    what="The contents of the golden file are larger than tritonize reads.",
    cause="the file is damaged, or was made to fill the disk",
    next_step="write it again with `tritonize golden export`",
)
NO_ROOM = Message(
    code="golden-file-no-room",
    what="There is not enough free disk space to unpack the golden file.",
    next_step="free some disk space, or use another disk with TMPDIR",
)
SAMPLES_DIFFER = Message(
    code="golden-samples-differ",
    what="A sample that NumPy generates on this machine differs from the sample of the golden file.",
    cause="the random generator of the installed NumPy returns other bits",
    next_step="write the file again without --seeds and with a larger --max-mib, or install that NumPy: pip install numpy=={numpy}",
)
SAMPLES_TOO_LARGE = Message(
    code="golden-samples-too-large",
    what="The golden file describes samples that are larger than tritonize generates.",
    cause="the file is damaged, or was made to fill the disk",
    next_step="write it again with `tritonize golden export`",
)
