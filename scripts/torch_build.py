"""Say beforehand when pip is about to fetch PyTorch's CUDA build, gigabytes of it, onto a machine without a GPU."""

import json
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Ask pip what it would install; print a notice where that is the CUDA build and there is no GPU. Never fails."""
    if Path("/dev/nvidiactl").exists():
        return
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--dry-run", "--report", "-"]
    asked = subprocess.run([*command, "-c", sys.argv[1], "torch"], capture_output=True, text=True, check=False)
    if asked.returncode:
        return  # the installation itself will say why
    names = {item["metadata"]["name"] for item in json.loads(asked.stdout)["install"]}
    cuda = sorted(name for name in names if name.startswith(("nvidia-", "cuda-")))
    if cuda:
        print(
            f"Note: this machine shows no NVIDIA GPU, but pip finds only PyTorch's CUDA build ({len(cuda)} further packages,\n"
            "      some gigabytes). To take the CPU build, interrupt now and set PIP_EXTRA_INDEX_URL to PyTorch's CPU\n"
            "      wheel index, or PIP_FIND_LINKS to a folder that holds the CPU wheel.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
