"""Messages about files that cannot be read or exceed a limit, and about missing memory and disk space."""

from __future__ import annotations

from tritonize.core.messages import Message

SPEC_MISSING = Message(code="spec-missing", what="The specification file does not exist.")
SPEC_UNREADABLE = Message(code="spec-unreadable", what="The specification file cannot be read.")
SPEC_NO_YAML = Message(code="spec-no-yaml", what="The specification is not valid YAML.")
NOT_ONNX = Message(code="not-onnx", what="The file is not an ONNX file.")
ONNX_NOT_WELL_FORMED = Message(
    code="onnx-not-well-formed", what="The ONNX file is not well-formed: a node reads a value that no earlier node computes."
)
ONNX_EMPTY = Message(code="onnx-empty", what="The graph of the ONNX file is empty.", next_step="export the model again")
DATA_MISSING = Message(
    code="external-data-missing",
    what="The ONNX file's external data is missing.",
    next_step="put the data files where the ONNX file names them, relative to its own folder",
)
DATA_OUTSIDE = Message(
    code="external-data-outside",
    what="The ONNX file's external data is outside the file's folder, and tritonize does not read it.",
    next_step="save the model again with its external data in the same folder",
)
FOLDER_NOT_WRITABLE = Message(code="folder-not-writable", what="The folder for {purpose} is not writable.")
SAMPLE_FILE = Message(
    code="sample-file-unreadable",
    what="A sample file is not a readable .npz, .json or .txt file or a folder of .npy files.",
)
SAMPLE_TOO_LARGE = Message(
    code="sample-file-too-large",
    what="A sample file is larger than the free memory of this machine.",
    next_step="split it into several files; samples.files accepts a pattern such as samples/*.npz",
)
NO_ROOM_FOR_SAMPLES = Message(
    code="no-room-for-samples",
    what="There is not enough free disk space for the samples.",
    cause="samples.count or the axes' maximum sizes are too large",
    next_step="lower samples.count or the axes' max, or use another disk with TMPDIR or --repository",
)
BATCH_TOO_LARGE = Message(
    code="batch-too-large",
    what="The inputs of the largest batch do not fit into this machine's memory.",
    next_step="lower max_batch_size or the axes' max",
)
GOLDEN_DAMAGED = Message(code="golden-set-damaged", what="The version's golden set is damaged.")
GOLDEN_NOT_KEPT = Message(
    code="golden-set-not-kept",
    what="The version keeps no samples, only their checksums, so no output can be compared with what it was proven with.",
    next_step="publish the model again with another `evidence` section in the spec",
)
GOLDEN_UNREADABLE = Message(code="golden-set-unreadable", what="The version's golden set cannot be read.")
REPORT_UNREADABLE = Message(
    code="report-unreadable",
    what="The version's report cannot be read.",
    next_step="run `tritonize verify` to list the files that changed since publication",
)
REQUEST_MISSING = Message(code="plan-request-missing", what="The plan request does not exist.")
REQUEST_UNREADABLE = Message(code="plan-request-unreadable", what="The plan request cannot be read.")
REQUEST_INVALID = Message(code="plan-request-invalid", what="Invalid plan request.")
NO_CACHE_HOME = Message(
    code="cache-no-home",
    what="There is no home directory for the cache.",
    next_step="set TRITONIZE_CACHE to a writable folder",
)
DISK_FULL = Message(
    code="disk-full",
    what="No space is left on the disk.",
    next_step="free some disk space, or use another disk with --repository, TRITONIZE_CACHE or TMPDIR",
)
DISK_QUOTA = Message(
    code="disk-quota",
    what="The disk quota is used up.",
    next_step="free some disk space, or use another disk with --repository, TRITONIZE_CACHE or TMPDIR",
)
FILE_TOO_LARGE = Message(code="file-too-large", what="A file exceeds the size limit of the filesystem or of this process.")
READ_ONLY = Message(code="disk-read-only", what="The filesystem is read-only.")
NOT_PERMITTED = Message(code="not-permitted", what="The operating system denies access to a file or folder.")
DISK_ERROR = Message(code="disk-error", what="The disk reports an input/output error.")
NAME_TOO_LONG = Message(code="file-name-too-long", what="A file name is longer than the filesystem supports.")
NOT_A_FOLDER = Message(code="not-a-folder", what="A file is in the place of a folder.")
IS_A_FOLDER = Message(code="is-a-folder", what="A folder is in the place of a file.")
OTHER_FILESYSTEM = Message(
    code="other-filesystem", what="A file cannot be moved to another filesystem in one step.", cause="a folder is a mount point"
)
FILE_BUSY = Message(code="file-busy", what="The file or folder is in use, for example as a mount point.")
FOLDER_MISSING = Message(code="folder-missing", what="The folder does not exist, or no files can be created in it.")
NO_LOCKS = Message(code="filesystem-no-locks", what="The filesystem does not support file locks.")
NAME_EXISTS = Message(code="file-exists", what="A file or folder of that name already exists.")
PACKAGE_MISSING = Message(
    code="package-missing",
    what="The Python package {package!r} is not installed.",
    next_step='pip install "tritonize[{extra}]"',
)
NO_TEMPORARY_FOLDER = Message(
    code="no-temporary-folder",
    what="No folder for temporary files is writable.",
    cause="the disk is full or read-only",
    next_step="free some disk space, or set TMPDIR to a writable folder",
)
OUT_OF_MEMORY = Message(
    code="out-of-memory",
    what="This machine ran out of memory.",
    cause="a tensor, a batch or a model is larger than the free memory",
    next_step="lower max_batch_size or the axes' max, or use a machine with more memory",
)
NO_PROBE = Message(
    code="probe-too-large",
    what="The smallest input of the model {model!r} is too large for a trial request.",
    cause="its config.pbtxt declares very large dims",
)
NO_SUCH_LEVEL = Message(code="no-such-log-level", what="Unknown log level.")
