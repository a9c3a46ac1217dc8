"""Build every model of the corpus with tritonize and judge what it built: `python -m corpus --help`.

Exits with 1 where tritonize passed a wrong file, with 2 where something could not be run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from corpus import report
from corpus.catalogue import CATALOGUE, COMPOSITION, Entry
from corpus.trial import KINDS, Result, stop, try_entry


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    asked = _parser().parse_args(arguments)
    chosen = [
        entry
        for entry in CATALOGUE
        if (not asked.family or entry.family in asked.family) and (not asked.name or entry.name in asked.name)
    ]
    if not chosen:
        print("The catalogue has no such entry.", file=sys.stderr)
        return 2
    kinds = (asked.kind,) if asked.kind else KINDS
    results = _read(asked.out) if asked.resume else {}
    jobs = [(entry, kind) for entry in chosen for kind in kinds if _key(entry, kind) not in results]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(asked.jobs) as pool:
        try:
            for entry, result in pool.map(lambda job: (job[0], _run(*job, asked.deadline)), jobs):
                results[_key(entry, result.kind)] = result
                _write(asked.out, results)
                print(report.line(result), flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            return 130
    wanted = [results[_key(entry, kind)] for entry in chosen for kind in kinds]
    print()
    print(report.table(wanted, kinds))
    if asked.report:
        asked.report.write_text(report.markdown(wanted, kinds, _versions()), encoding="utf-8")
    if any(result.verdict == "wrong" for result in wanted):
        return 1
    return 2 if any(result.verdict == "not run" for result in wanted) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m corpus", description=__doc__)
    parser.add_argument("--family", action="append", choices=list(COMPOSITION), help="only this family; may be repeated")
    parser.add_argument("--name", action="append", help="only this entry; may be repeated")
    parser.add_argument("--as", dest="kind", choices=KINDS, help="only as modules, or only as traced files; default: both")
    parser.add_argument("--jobs", type=int, default=1, help="entries at a time")
    parser.add_argument("--out", type=Path, help="a JSON file that keeps the results; written after every entry")
    parser.add_argument("--report", type=Path, help="a Markdown file for the table")
    parser.add_argument("--resume", action="store_true", help="keep what --out has and run the rest")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds for each step of an entry; default: %(default)s")
    return parser


def _versions() -> str:
    names = ("torch", "onnx", "onnxruntime", "onnxscript", "transformers", "timm", "monai")
    found = [f"{name} {metadata.version(name)}" for name in names if importlib.util.find_spec(name)]
    return f"Python {platform.python_version()}, {', '.join(found)}"


def _key(entry: Entry, kind: str) -> str:
    return f"{entry.name}/{kind}"


def _run(entry: Entry, kind: str, deadline: float) -> Result:
    missing = [name for name in entry.packages if importlib.util.find_spec(name) is None]
    if missing:
        return Result(
            name=entry.name, family=entry.family, kind=kind, verdict="not run", reason=f"not installed: {', '.join(missing)}"
        )
    return try_entry(entry, kind, deadline)


def _read(path: Path | None) -> dict[str, Result]:
    if path is None or not path.exists():
        return {}
    kept = {key: Result(**plain) for key, plain in json.loads(path.read_text()).items()}
    return {key: result for key, result in kept.items() if result.verdict != "not run"}


def _write(path: Path | None, results: dict[str, Result]) -> None:
    if path is None:
        return
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps({key: vars(result) for key, result in results.items()}, indent=1))
    unfinished.replace(path)


if __name__ == "__main__":
    sys.exit(main())
