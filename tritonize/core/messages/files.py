"""Messages about files that cannot be read or exceed a limit, and about missing memory and disk space."""

from __future__ import annotations

from tritonize.core.messages import Message

SPEC_MISSING = Message(
    code="spec-missing",
    what="The specification file does not exist.",
    next_step="check the path",
)
SPEC_UNREADABLE = Message(
    code="spec-unreadable",
    what="The specification file cannot be read.",
    next_step="check that it is a UTF-8 text file, and who owns it with `ls -l`",
)
SPEC_NO_YAML = Message(
    code="spec-no-yaml",
    what="The specification is not valid YAML.",
    next_step="correct the line; indent with spaces, and write each key once",
)
NOT_ONNX = Message(
    code="not-onnx",
    what="The file is not an ONNX file.",
    next_step="export it again, or pass another file; `tritonize inspect FILE` prints what a model file has",
)
ONNX_NOT_WELL_FORMED = Message(
    code="onnx-not-well-formed",
    what="The ONNX file is not well-formed: a node reads a value that no earlier node computes.",
    next_step="export the model again",
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
FOLDER_NOT_WRITABLE = Message(
    code="folder-not-writable",
    what="The folder for {purpose} is not writable.",
    next_step="set TRITONIZE_CACHE to a writable folder",
)
SAMPLE_FILE = Message(
    code="sample-file-unreadable",
    what="A sample file is not a readable .npz, .json or .txt file or a folder of .npy files.",
    next_step="write it with numpy.savez(path, INPUT__0=array): one array per input, under the input's name",
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
GOLDEN_DAMAGED = Message(
    code="golden-set-damaged",
    what="The version's golden set is damaged.",
    next_step="restore the version's files, or publish the model again: tritonize run SPEC --force",
)
GOLDEN_NOT_KEPT = Message(
    code="golden-set-not-kept",
    what="The version keeps no samples, only their checksums, so no output can be compared with what it was proven with.",
    next_step="publish the model again with another `evidence` section in the spec",
)
GOLDEN_UNREADABLE = Message(
    code="golden-set-unreadable",
    what="The version's golden set cannot be read.",
    next_step="restore the version's files, or publish the model again: tritonize run SPEC --force",
)
REPORT_UNREADABLE = Message(
    code="report-unreadable",
    what="The version's report cannot be read.",
    next_step="run `tritonize verify` to list the files that changed since publication",
)
REQUEST_MISSING = Message(
    code="plan-request-missing",
    what="The plan request does not exist.",
    next_step="check the path; to write one: tritonize plan request SPEC --out FOLDER",
)
REQUEST_UNREADABLE = Message(
    code="plan-request-unreadable",
    what="The plan request cannot be read.",
    next_step="write it again: tritonize plan request SPEC --out FOLDER",
)
REQUEST_INVALID = Message(
    code="plan-request-invalid",
    what="Invalid plan request.",
    next_step="correct the lines below, or write a new request: tritonize plan request SPEC --out FOLDER",
)
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
FILE_TOO_LARGE = Message(
    code="file-too-large",
    what="A file exceeds the size limit of the filesystem or of this process.",
    next_step="raise the limit (`ulimit -f`), or use another disk with --repository, TRITONIZE_CACHE or TMPDIR",
)
READ_ONLY = Message(
    code="disk-read-only",
    what="The filesystem is read-only.",
    next_step="use another disk with --repository, TRITONIZE_CACHE or TMPDIR",
)
NOT_PERMITTED = Message(
    code="not-permitted",
    what="The operating system denies access to a file or folder.",
    next_step="check who owns it with `ls -ld`, or name another folder",
)
DISK_ERROR = Message(
    code="disk-error",
    what="The disk reports an input/output error.",
    next_step="read the kernel's log (`dmesg`), and use another disk with --repository, TRITONIZE_CACHE or TMPDIR",
)
NAME_TOO_LONG = Message(
    code="file-name-too-long",
    what="A file name is longer than the filesystem supports.",
    next_step="use a shorter name for the model or the folder",
)
NOT_A_FOLDER = Message(
    code="not-a-folder",
    what="A file is in the place of a folder.",
    next_step="rename the file, or name another folder",
)
IS_A_FOLDER = Message(
    code="is-a-folder",
    what="A folder is in the place of a file.",
    next_step="rename the folder, or name another file",
)
OTHER_FILESYSTEM = Message(
    code="other-filesystem",
    what="A file cannot be moved to another filesystem in one step.",
    cause="a folder is a mount point",
    next_step="name a folder whose subfolders are on one filesystem",
)
FILE_BUSY = Message(
    code="file-busy",
    what="The file or folder is in use, for example as a mount point.",
    next_step="end the program that uses it, or name another folder",
)
FOLDER_MISSING = Message(
    code="folder-missing",
    what="The folder does not exist, or no files can be created in it.",
    next_step="create it with `mkdir -p`, or name another folder",
)
NO_LOCKS = Message(
    code="filesystem-no-locks",
    what="The filesystem does not support file locks.",
    next_step="use a local disk with --repository, TRITONIZE_CACHE or TMPDIR",
)
NAME_EXISTS = Message(
    code="file-exists",
    what="A file or folder of that name already exists.",
    next_step="remove or rename it, or name another path",
)
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
    next_step="declare the sizes that the model really takes in its configuration",
)
NO_SUCH_LEVEL = Message(
    code="no-such-log-level",
    what="Unknown log level.",
    next_step="write --log debug, --log info or --log warning",
)
