"""One step on one entry in its own process: `python -m corpus.worker {trace|judge} NAME FILE [TRACED]`; answers in JSON."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import warnings
from pathlib import Path


def main() -> None:
    task, name, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    answer = sys.stdout
    sys.stdout = sys.stderr  # some models print
    import torch

    from corpus.catalogue import entry

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if task == "trace":
        from corpus.judge import judge_trace
        from corpus.models import trace

        try:
            trace(entry(name), path)
            found = {"traced": True, "reason": judge_trace(entry(name), path)}
        except Exception as error:  # noqa: BLE001 - a model that does not trace is counted, with its reason
            found = {"traced": False, "reason": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    else:
        from corpus.judge import judge

        traced = Path(sys.argv[4]) if len(sys.argv) > 4 else None
        found = dataclasses.asdict(judge(entry(name), path, traced))
    print(json.dumps(found), file=answer)


if __name__ == "__main__":
    main()
