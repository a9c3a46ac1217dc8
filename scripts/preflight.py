"""Before anything is installed: does this machine have what the tool and its server need? Standard library alone."""

import sys
from pathlib import Path

MINIMUM = (3, 11)


def main() -> int:
    """Print each thing that is missing with the command that brings it; 1 if there is any."""
    if sys.version_info[:2] < MINIMUM:
        print(f"tritonize needs Python 3.11 or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        print("  next: make PYTHON=python3.11 …   (on Debian 12: apt-get install python3 python3-venv)", file=sys.stderr)
        return 1
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tritonize.triton.server import prerequisites  # it uses the standard library alone, too

    # `make` creates a virtual environment; what is in it brings the rest.
    missing = [probe for probe in (*prerequisites.probe(), prerequisites.venv()) if not probe.ok]
    for probe in missing:
        print(f"Missing: {probe.name} (found: {probe.found})\n  next: {probe.next_step}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
