"""Messages about linting a repository and proposing a configuration."""

from __future__ import annotations

from tritonize.core.messages import Message

REPOSITORY_UNREADABLE = Message(code="lint-repository-unreadable", what="The model repository cannot be read.")
NO_MODEL = Message(code="lint-no-model", what="The model repository has no directory of this name.")
NO_RULE = Message(code="lint-no-rule", what="There is no such lint rule.", next_step="tritonize lint --rules")
