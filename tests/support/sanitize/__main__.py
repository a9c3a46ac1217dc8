"""`make sanitize`: all of it, a table, and what was found."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.command import CHECKOUT
from tests.support.sanitize import building
from tests.support.sanitize.running import Outcome, Sanitized


def main() -> int:
    arguments = _arguments()
    if not building.compiler():
        print("NOT RUN: there is no C compiler; run: apt-get install gcc")
        return 3
    sanitized = Sanitized.build(arguments.folder)
    if arguments.replay is not None:
        outcome = sanitized.fuzz(seed=arguments.replay, seconds=0, runs=1, log=True)
        print(outcome.output)
        return 0 if outcome.passed else 1
    print(f"{'':24}{'runs':>8}{'failed':>8}{'seconds':>9}", flush=True)
    failed = [
        *_row("scenarios", lambda: sanitized.scenarios(failing=False)),
        *_row("... with failing calls", lambda: sanitized.scenarios(failing=True)),
        *_row("probe of ONNX Runtime", lambda: [sanitized.probe()]),
        *_row(f"seeds from {arguments.seed}", lambda: [sanitized.fuzz(seed=arguments.seed, seconds=arguments.seconds)]),
    ]
    for outcome in failed:
        print(f"\n{outcome.name}: exit code {outcome.exit_code}\n{outcome.output}")
    print(f"FAILED: {len(failed)} processes" if failed else "PASSED: no finding")
    return 1 if failed else 0


def _row(name: str, play: Callable[[], list[Outcome]]) -> list[Outcome]:
    begun = time.monotonic()
    outcomes = play()
    failed = [each for each in outcomes if not each.passed]
    print(f"{name:24}{sum(each.runs for each in outcomes):>8}{len(failed):>8}{time.monotonic() - begun:>9.0f}", flush=True)
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.sanitize", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of random configurations and requests (60)")
    parser.add_argument("--seed", type=int, default=int(time.strftime("%Y%m%d")) * 1_000_000, help="the first (from the date)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this seed alone, with the log")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "build/sanitize", help="for the program and its files")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
