"""Messages of `tritonize.testing`."""

from __future__ import annotations

from tritonize.core.messages import Message

NO_REPORT = Message(code="assert-no-report", what="no report: nothing was run or verified")
QUICK = Message(code="assert-quick", what="allow_quick=True accepts a quick run, which is no full proof")
UNSERVED = Message(
    code="assert-unserved",
    what="the report of `{command}` has no response of a server; use `run`, or accept it with allow_unserved=True",
)
PLACE = Message(code="assert-place", what="report: {where}/evidence/report.html")
