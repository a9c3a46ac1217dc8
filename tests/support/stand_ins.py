"""Programs on PATH that stand for NVIDIA's image: a `tritonserver` with backends of its own, and a `docker` that runs it."""

from __future__ import annotations

from pathlib import Path

from tritonize.triton.server import environment

TRITONSERVER = """#!/bin/sh
exec {server} --backend-directory={backends} {options} "$@"
"""

DOCKER = r'''#!{python}
"""Runs the server of the host where `docker run` would run the one of the image: mounts become links, ports those published."""
import os, re, sys
words = sys.argv[1:]
if words[0] == "version":
    print("27.0.1"); sys.exit()
if words[0] != "run":
    sys.exit(1)
image = next(number for number, word in enumerate(words) if word.startswith("nvcr.io/"))
options, (program, *server) = words[1:image], words[image + 1:]
open(os.environ["DOCKER_SEEN"], "w").write("\n".join(options))
mounts = [dict(field.partition("=")[::2] for field in option[8:].split(",")) for option in options if option.startswith("--mount=")]
root = next(each["source"] for each in mounts if each["target"] == "/models")
for each in mounts:
    place = root + each["target"][7:]
    if each["target"] != "/models":
        os.unlink(place); os.symlink(each["source"], place)
ports = dict(option[10:].split(":")[:0:-1] for option in options if option.startswith("--publish="))
server = [re.sub(r"^(--(?:http|grpc|metrics)-port=)(\d+)$", lambda found: found[1] + ports[found[2]], word) for word in server]
server = [word.replace("=0.0.0.0", "=127.0.0.1").replace("=/models", "=" + root) for word in server]
os.execv({tritonserver!r}, [program, *server])
'''


def tritonserver(folder: Path) -> Path:
    """Write a `tritonserver` whose default backends are those of the embedded server."""
    installed = environment.ready()
    path = folder / "tritonserver"
    options = " ".join(installed.native.options())
    path.write_text(TRITONSERVER.format(server=installed.server, backends=installed.backends, options=options))
    path.chmod(0o755)
    return path


def docker(folder: Path, server: Path) -> Path:
    """Write a `docker` whose containers are processes of this machine, with a `tritonserver` of `tritonserver`."""
    import sys

    path = folder / "docker"
    text = DOCKER.replace("{python}", sys.executable).replace("{tritonserver!r}", repr(str(server)))
    path.write_text(text)
    path.chmod(0o755)
    return path
