"""Decide whether a plan will load in a version of TensorRT, and find the TensorRT version of a Triton release."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonize.core import temporary
from tritonize.core.errors import MissingError
from tritonize.core.server_choice import IMAGE
from tritonize.plans import plan_file
from tritonize.plans.plan_file import PlanMetadata
from tritonize.process import processes

_IMAGE_QUERY_S = 60.0
_VERIFIED: Mapping[str, str] = {
    "26.07-trtllm-python-py3": "10.14.1.48",
    "26.06-trtllm-python-py3": "10.14.1.48",
    "26.05-trtllm-python-py3": "10.14.1.48",
    "26.04-trtllm-python-py3": "10.14.1.48",
    "26.03-trtllm-python-py3": "10.14.1.48",
    "26.02-trtllm-python-py3": "10.13.3.9",
    "26.01-trtllm-python-py3": "10.13.3.9",
    "25.12-trtllm-python-py3": "10.13.3.9",
    "25.11-trtllm-python-py3": "10.13.3.9",
    "25.10-trtllm-python-py3": "10.11.0.33",
    "25.09-trtllm-python-py3": "10.11.0.33",
    "25.08-trtllm-python-py3": "10.11.0.33",
    "25.07-trtllm-python-py3": "10.10.0.31",
    "25.06-trtllm-python-py3": "10.10.0.31",
    "25.05-trtllm-python-py3": "10.9.0.34",
    "25.04-trtllm-python-py3": "10.9.0.34",
    "25.03-trtllm-python-py3": "10.9.0.34",
    "25.02-trtllm-python-py3": "10.8.0.43",
    "25.01-trtllm-python-py3": "10.8.0.43",
}
"""Image tag to TensorRT version (all four parts), from Triton's compatibility page (docs/introduction/compatibility.md of
triton-inference-server/server). The page does not list the plain `YY.MM-py3` images; their version is read from the image through
docker or skopeo."""


@dataclass(frozen=True, kw_only=True)
class Compatibility:
    """Whether a plan will load in a version of TensorRT, and why."""

    verdict: Literal["loads", "does not load", "unknown"]
    reasons: tuple[str, ...]
    header: plan_file.Header
    metadata: PlanMetadata | None


@dataclass(frozen=True, kw_only=True)
class ImageVersion:
    """The TensorRT version of a Triton image."""

    image: str
    version: str | None
    """All four parts; `None` if neither docker nor skopeo can read the image and the table has no row."""
    source: str
    """The source of the version, or why it is unknown."""


def check(plan: Path, version: str | None, *, image: bool = False) -> Compatibility:
    """Whether a plan will load in a version of TensorRT; `unknown` if the plan and its metadata do not tell.

    Args:
        version: of TensorRT, all four parts; `None` if unknown.
        image: whether the plan is meant for a Triton image, whose version may be unknown.

    Raises:
        PlanError: the file is not a plan, or is damaged.
    """
    header, metadata = plan_file.read_header(plan), plan_file.read_metadata(plan)
    reasons = list(plan_file.contradictions(plan, header, metadata))
    if reasons:
        return Compatibility(verdict="does not load", reasons=tuple(reasons), header=header, metadata=metadata)
    if header.module == "tensorrt_rtx" and (version is not None or image):
        reasons.append("it is a plan of TensorRT-RTX, which TensorRT and Triton's tensorrt backend do not load")
        return Compatibility(verdict="does not load", reasons=tuple(reasons), header=header, metadata=metadata)
    if version is None:
        return Compatibility(verdict="unknown", reasons=("no version to compare with",), header=header, metadata=metadata)
    wanted = tuple(int(part) for part in version.split("."))
    if wanted == header.version:
        return Compatibility(
            verdict="loads",
            reasons=(f"all four parts of the version are the same; {_where(header, metadata)}",),
            header=header,
            metadata=metadata,
        )
    if metadata is not None and metadata.settings.get("version_compatible"):
        text = "it was built version-compatible, and tritonize has no list of the other versions that load such a plan"
        return Compatibility(verdict="unknown", reasons=(text,), header=header, metadata=metadata)
    reason = f"a plan loads only in the version that built it: {header.version_text}, not {version}"
    return Compatibility(verdict="does not load", reasons=(reason,), header=header, metadata=metadata)


def _where(header: plan_file.Header, metadata: PlanMetadata | None) -> str:
    """The GPUs that the verdict is about."""
    kinds = header.compute_capabilities or ((metadata.compute_capability,) if metadata else ())
    if not kinds:
        return "on a GPU of the kind that it was built for, which its files do not name"
    return f"on a GPU of compute capability {' or '.join(kinds)}"


def of_image(release: str) -> ImageVersion:
    """The TensorRT version of a Triton release, read from its image through docker or skopeo, else from the table.

    Args:
        release: `26.06` for the image `26.06-py3`, or another tag of it.
    """
    tag = f"{release}-py3" if re.fullmatch(r"\d\d\.\d\d", release) else release
    image = f"{IMAGE}:{tag}"
    for command in (
        ("docker", "image", "inspect", "--format", "{{json .Config.Env}}", image),
        ("skopeo", "inspect", "--config", f"docker://{image}"),
    ):
        if version := _version_from(command):
            return ImageVersion(image=image, version=version, source=f"TRT_VERSION of the image, by {command[0]}")
    if tag in _VERIFIED:
        return ImageVersion(image=image, version=_VERIFIED[tag], source="Triton's compatibility page")
    how = f"docker run --rm {image} printenv TRT_VERSION"
    return ImageVersion(
        image=image,
        version=None,
        source=f"neither docker nor skopeo can read {image} on this machine; run `{how}` and pass the version with --trt-version",
    )


def _version_from(command: Sequence[str]) -> str | None:
    """TRT_VERSION in a command's output; `None` if the program is not installed or its output does not name it."""
    with temporary.folder() as folder:
        log = Path(folder) / "output.txt"
        try:
            with processes.start(command, log=log, deadline_s=_IMAGE_QUERY_S) as process:
                process.wait()
        except MissingError:
            return None
        match = re.search(r'"TRT_VERSION=(\d+(?:\.\d+){3})"', log.read_text(errors="replace"))
    return match[1] if match else None
