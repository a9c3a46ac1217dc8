"""Messages about a verification that is repeated."""

from __future__ import annotations

from tritonize.core.messages import Message

WATCHING = Message(
    code="watching",
    what="Verifying every {seconds:g} s. Ctrl-C or SIGTERM ends it, with the exit code of the last verdict.",
)
METRICS = Message(code="watch-metrics", what="Metrics: {address}")
ENDED = Message(code="watch-ended", what="Ended after round {number}. The last verdict is {verdict}: exit code {exit_code}.")
WATCH_ONLY = Message(
    code="watch-only",
    what="{options} is for a verification that is repeated, and --watch is not given.",
    next_step="add --watch SECONDS",
)
NOT_WATCHED = Message(
    code="not-watched",
    what="{options} and --watch cannot be given together.",
    cause="a watch has no last report: every round is one line, or one JSON document with --json",
    next_step="remove one of them",
)
METRICS_PORT = Message(
    code="metrics-port",
    what="The port for metrics cannot be opened.",
    cause="another process uses it, or it is below 1024 and needs rights",
    next_step="give another one with --metrics-port PORT; 0 stands for any free port",
)
WEBHOOK_FORM = Message(
    code="webhook-form",
    what="The address of --on-change is invalid: {reason}.",
    next_step="give https://HOST/PATH, or @env:VARIABLE with the address in an environment variable",
)
COMMAND_FORM = Message(
    code="on-change-command-form",
    what="The command of --on-change-command is invalid: {reason}.",
    next_step="give a program and its arguments, quoted as in a shell; no shell runs it",
)
IN_CLEAR = Message(
    code="webhook-in-clear", what="Changes are sent to {host} without TLS: whoever controls the network can read them."
)
UNDELIVERED = Message(
    code="change-undelivered", what="The change of verdict was not delivered to {receiver}: {why}. Attempts: {attempts}."
)
