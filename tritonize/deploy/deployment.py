"""What deployment files contain: the models, the image, the command line of the server and of each verification."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

Kind = Literal["image", "compose", "kubernetes", "kserve", "helm"]

CONFIG_MAP_BYTES = 2**20 - 2**12
"""Largest golden file in a ConfigMap, whose content may have 1 MiB; the rest is for names."""
HELM_BYTES = 2**18
"""Largest golden files in a chart, together. Helm keeps chart and objects, both with every file, in one Secret of at most 1 MiB, in
base64."""
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.~-]+")


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model and its versions."""

    name: str
    versions: tuple[int, ...]
    backend: str
    bytes: int
    """Size of the files that the server loads."""
    memory: int | None = None
    """Peak resident memory of ONNX Runtime in the proof, in bytes, all versions together; `None` if it was not measured."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """One golden file, and the command that compares a deployment with it."""

    name: str
    """DNS label, unique in the deployment."""
    model: str
    version: int
    newest: bool
    """Whether clients that name no version get this one."""
    bytes: int

    @property
    def file(self) -> str:
        """Name of the golden file."""
        return f"{self.name}.golden"

    def arguments(self, *, folder: str, http: str, grpc: str) -> list[str]:
        """Arguments of `tritonize`.

        Args:
            folder: the folder of the golden file, as the verification sees it.
            http: host and port.
            grpc: host and port.
        """
        return [*self.file_arguments(folder), "--url", f"http://{http}", "--url", f"grpc://{grpc}"]

    def file_arguments(self, folder: str) -> list[str]:
        """The arguments without the addresses."""
        version = [] if self.newest else ["--version", str(self.version)]
        return ["verify", "--golden", f"{folder}/{self.file}", *version]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Models that one server serves."""

    name: str
    """DNS label."""
    models: tuple[ServedModel, ...]
    base: str
    """Image of Triton, with its tag."""
    proved_by: str
    """The server and backends of the proof, as text."""
    completes: bool
    """Whether a version was proven with a configuration that Triton completes."""
    gpu: bool
    tritonize: str
    """Version of tritonize."""
    verifications: tuple[Verification, ...]
    image: str = ""
    """Image with the models."""
    verifier: str = ""
    """Image with tritonize and the golden files."""
    storage_uri: str = ""
    """Where KServe loads the models from."""

    @property
    def bytes(self) -> int:
        """Size of all files that the server loads."""
        return sum(model.bytes for model in self.models)

    @property
    def memory_mib(self) -> int | None:
        """Memory of ONNX Runtime in the proofs, in MiB, rounded up; `None` if it was not measured for every model."""
        measured = [model.memory for model in self.models if model.memory]
        return -(-sum(measured) // 2**20) if len(measured) == len(self.models) else None

    @property
    def resources(self) -> dict[str, dict[str, str | int]]:
        """Resources of the server's container: those that were measured, and a GPU."""
        memory = self.memory_mib
        found: dict[str, dict[str, str | int]] = {}
        if memory:
            found["requests"] = {"memory": f"{memory}Mi"}
        if self.gpu:
            found["limits"] = {"nvidia.com/gpu": 1}
        return found

    @property
    def selector(self) -> dict[str, str]:
        """Labels that select the server's pods."""
        return {"app.kubernetes.io/name": "triton", "app.kubernetes.io/instance": self.name}

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all objects but the verifications' pods."""
        return {**self.selector, "app.kubernetes.io/managed-by": "tritonize"}

    @property
    def verification_labels(self) -> dict[str, str]:
        """Labels of the verifications' pods, which the Service must not select."""
        return {"app.kubernetes.io/name": "tritonize-verify", "app.kubernetes.io/instance": self.name}

    @property
    def replicas(self) -> str:
        """Name of the Service that resolves to each replica."""
        return f"{self.name}-replicas"

    @property
    def golden_claim(self) -> str:
        """Name of the claim of the volume with golden files that are too large for a ConfigMap."""
        return f"{self.name}-golden"

    @property
    def summary(self) -> str:
        """The models and their versions."""
        return ", ".join(f"{model.name} version {' and '.join(map(str, model.versions))}" for model in self.models)

    @property
    def ready_path(self) -> str:
        """URL path of the readiness probe.

        A probe asks for one path. Of several models, the server's own readiness covers each one (`--strict-readiness`). Triton does
        not decode URLs, so a model whose name must be encoded has no path of its own.
        """
        if len(self.models) == 1 and _PLAIN_PATH.fullmatch(name := self.models[0].name):
            return f"/v2/models/{quote(name)}/ready"
        return "/v2/health/ready"

    def server(self, *, repository: str = "/models", http_port: int = 8000, grpc_port: int = 8001) -> list[str]:
        """The command line of the server, which loads the models at its start and ends if one cannot be loaded."""
        complete = [] if self.completes else ["--disable-auto-complete-config"]
        return [
            "tritonserver",
            f"--model-repository={repository}",
            f"--http-port={http_port}",
            f"--grpc-port={grpc_port}",
            "--metrics-port=8002",
            "--model-control-mode=none",
            "--strict-readiness=true",
            "--exit-on-error=true",
            *complete,
        ]
