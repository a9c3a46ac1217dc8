"""The `tritonize build` command line for a report: how to repeat what this run did, without publishing."""

from __future__ import annotations

import shlex
import sys

from tritonize.cli import connection, global_options
from tritonize.core.local_paths import is_address

_OF_THE_SERVER = frozenset(("--server", "--server-repository", *connection.FLAGS.values())) - {"--insecure"}
"""Options of `run` with a value that `build` does not take: it starts no server. Some values are secrets."""
_ABOUT_THE_RESULT = ("--json", "--allow-unproven", "--replace-config", "--drop-config-fields", "--force", "--insecure")


def given() -> str:
    """The `tritonize build` command line that repeats this build, without the flags that concern only the result or the log."""
    parsed = global_options.split(sys.argv[1:])
    words = parsed.command[1:]
    # `build` publishes nothing, and so takes no address.
    remote = {place for place, word in enumerate(words) if is_address(word.removeprefix("--repository="))}
    remote |= {place - 1 for place in remote if words[place - 1] == "--repository"}
    remote |= {place for place, word in enumerate(words) if word.partition("=")[0] in _OF_THE_SERVER}
    remote |= {place + 1 for place, word in enumerate(words) if word in _OF_THE_SERVER}
    kept = (word for place, word in enumerate(words) if word not in _ABOUT_THE_RESULT and place not in remote)
    return shlex.join(["tritonize", *parsed.isolation, "build", *kept])
