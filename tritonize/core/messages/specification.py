"""Messages about the content of a specification; `files.py` has those about a file that cannot be read."""

from __future__ import annotations

from tritonize.core.messages import Message

NO_MAPPING = Message(
    code="spec-no-mapping",
    what="The specification is not a mapping of keys to values.",
    next_step="write `schema: 1` and `models:` as its first keys; docs/spec.schema.json describes all keys",
)
PROBLEMS = Message(
    code="spec-invalid",
    what="Invalid spec: {count}.",
    next_step="correct the lines below; docs/spec.schema.json describes all keys",
)
NO_MODEL = Message(
    code="spec-no-model",
    what="The specification has no such model.",
    next_step="name a model of the spec, or leave --model out to take all",
)
WARMUP_UNREADABLE = Message(
    code="warmup-unreadable",
    what="A file of the warmup cannot be read.",
    next_step="correct the path under warmup_files",
)
WARMUP_MISSING = Message(
    code="warmup-missing",
    what="The warmup names a file that is not among warmup_files.",
    next_step="add the file, or a folder that has it, to warmup_files",
)
WARMUP_UNUSED = Message(
    code="warmup-unused",
    what="No warmup names one of warmup_files.",
    next_step="name it as input_data_file in triton.model_warmup, or remove it from warmup_files",
)
VARIANT_REFUSED = Message(
    code="variant-refused",
    what="Triton would refuse a named variant of the configuration.",
    next_step="correct its fields under variants in the spec; for the rules: tritonize lint --rules",
)
LABELS_UNREADABLE = Message(
    code="labels-unreadable",
    what="The labels of output {output!r} cannot be read.",
    next_step="correct the path under outputs, labels; the file is UTF-8 text with one label per line",
)
LABELS_COUNT = Message(
    code="labels-count",
    what="The number of labels differs from the number of classes of output {output!r}.",
    next_step="write one label per line, in the order of the classes, without empty lines",
)
SPEC_EXISTS = Message(
    code="init-file-exists",
    what="The file exists, and `tritonize init` overwrites nothing.",
    next_step="choose another file with --output",
)
SPEC_NOT_WRITTEN = Message(
    code="init-not-written",
    what="The specification cannot be written.",
    next_step="name a folder that exists and is writable: --output FOLDER/FILE.yaml",
)
