"""docs/walk.md follows a sample and a plan through the code by the names of functions; each of them has to be there."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
NAMED = re.compile(r"`([a-z_0-9/]+\.py):([A-Za-z_.]+)`")


def test_every_function_of_the_walk_exists_in_its_module():
    named = NAMED.findall((CHECKOUT / "docs/walk.md").read_text(encoding="utf-8"))
    assert len(named) > 60
    lost = [
        f"{file}:{name}"
        for file, name in named
        if not re.search(rf"\bdef {name.split('.')[-1]}\(", (CHECKOUT / "tritonize" / file).read_text(encoding="utf-8"))
    ]
    assert not lost


def test_the_walk_lists_the_stages_in_the_order_of_the_run():
    """`_run_model` is the list of stages; the walk has them in the order in which it calls them."""
    source = (CHECKOUT / "tritonize/workflows/run.py").read_text(encoding="utf-8")
    body = source[source.index("def _run_model(") :].split("\n\n\n")[0]
    stages = (
        "draw",
        "compute",
        "climb",
        "reduce_precision",
        "locate_error",
        "build_plans",
        "stage",
        "serve_and_verify",
        "report_of",
    )
    called = [body.index(f"{stage}(") for stage in stages]
    assert called == sorted(called)
    walk = (CHECKOUT / "docs/walk.md").read_text(encoding="utf-8").split("## One plan")[0]
    walked = [walk.index(f":{stage}`") for stage in stages]
    assert walked == sorted(walked)
