"""Deployments as the tests render them. `python -m tests.support.deployments` writes the golden files again; read the diff."""

from __future__ import annotations

from dataclasses import replace

from tests.support.command import CHECKOUT
from tritonize import deploy
from tritonize.deploy import Deployment, Kind, ServedModel, Verification

FOLDER = CHECKOUT / "tests" / "support" / "golden" / "deploy"
GOLDEN = {"heart-verify-2": b"PK\x03\x04 two", "heart-verify-1": b"PK\x03\x04 one"}

HEART = Deployment(
    name="heart",
    models=(ServedModel(name="heart", versions=(1, 2), backend="onnxruntime", bytes=1_234_567, memory=150 * 2**20 + 1),),
    base="nvcr.io/nvidia/tritonserver:26.06-py3",
    proved_by="tritonserver 2.51.0, onnxruntime 1.32.0",
    completes=False,
    gpu=False,
    tritonize="1.2.3",
    verifications=tuple(
        Verification(name=name, model="heart", version=int(name[-1]), newest=name.endswith("2"), bytes=len(content))
        for name, content in GOLDEN.items()
    ),
    image="registry.example/heart:1",
    verifier="registry.example/heart:1-verify",
    storage_uri="s3://bucket/models",
)
ON_GPU = replace(HEART, gpu=True)
VARIANTS: dict[str, tuple[Kind, Deployment]] = {
    "image": ("image", HEART),
    "compose": ("compose", HEART),
    "compose-gpu": ("compose", ON_GPU),
    "kubernetes": ("kubernetes", HEART),
    "kubernetes-gpu": ("kubernetes", ON_GPU),
    "kserve-gpu": ("kserve", ON_GPU),
    "helm": ("helm", HEART),
}


def rendered(kind: Kind, deployment: Deployment) -> dict[str, str]:
    """The files, with some content for every golden file."""
    return deploy.render(kind, deployment, {each.name: GOLDEN.get(each.name, b"golden") for each in deployment.verifications})


def as_one(variant: str) -> str:
    """All files that come from a template, one after the other."""
    files = rendered(*VARIANTS[variant])
    return "".join(f"==> {name} <==\n{text}" for name, text in files.items() if not name.startswith("templates/"))


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in VARIANTS:
        (FOLDER / f"{each}.txt").write_text(as_one(each), encoding="utf-8")
