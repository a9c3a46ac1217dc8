"""Every flag in a message has a keyword argument of the Python API, where the message can come from a public function.

A new flag goes into `FLAGS` of tritonize/api/wording.py, or here among those that no public function has.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

from tritonize.api.wording import FLAGS
from tritonize.core import messages as catalogue
from tritonize.core.messages import Message

COMMAND_LINE_ONLY = {
    "adoption", "bench", "canary", "deploy", "lint", "provenance", "remote", "watch",
}  # fmt: skip
"""Files of messages about commands that have no public function."""
OF_OTHER_PROGRAMS = {
    "cap-add", "force-reinstall", "grpc-restricted-protocol", "http-max-input-size", "http-restricted-api", "model-control-mode",
    "model-repository", "no-deps", "saveEngine", "sequence-length", "shm-size", "streaming",
}  # fmt: skip
OF_OTHER_COMMANDS = {
    "dry-run", "yes",
    "log", "rules", "verbose",
    "bind", "deadline", "grpc-port", "http-port", "install-server", "json", "require-signature", "request", "spec", "to", "triton",
    "write", "trials", "help", "newest",
}  # fmt: skip
"""Flags in messages that public functions do not raise, or of commands to paste."""


def texts() -> Iterator[tuple[str, str]]:
    for each in pkgutil.iter_modules(catalogue.__path__):
        module = importlib.import_module(f"tritonize.core.messages.{each.name}")
        if each.name not in COMMAND_LINE_ONLY:
            for message in (value for value in vars(module).values() if isinstance(value, Message)):
                yield from ((message.code, text) for text in (message.what, message.cause, message.next_step) if text)


def test_every_flag_of_the_messages_has_a_keyword_argument_or_is_of_another_program() -> None:
    found = {flag for _, text in texts() for flag in re.findall(r"(?<![\w-])--([A-Za-z][A-Za-z-]*[A-Za-z])", text)}
    assert found - set(FLAGS) - OF_OTHER_PROGRAMS - OF_OTHER_COMMANDS == set()
    assert OF_OTHER_PROGRAMS & set(FLAGS) == set()
