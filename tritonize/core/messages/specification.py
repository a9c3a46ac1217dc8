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
    what="Invalid specification: {count}.",
    next_step="correct the lines below; docs/spec.schema.json describes all keys",
)
NO_MODEL = Message(code="spec-no-model", what="The specification has no such model.")
