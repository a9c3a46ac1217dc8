"""Examples of every command, which work as typed in a checkout after `make demo`. A test parses each of them."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "run": (
        "tritonize run examples/first/first.yaml",
        "tritonize run examples/heart/heart.pt -i INPUT__0:fp32:1x1x160x176x176",
        "tritonize run examples/first/first.yaml --server http://127.0.0.1:8000",
    ),
    "init": ("tritonize init examples/heart/heart.pt --output my_heart.yaml",),
    "clean": ("tritonize clean --dry-run", "tritonize clean --cache --stagings model_repository --yes"),
    "build": ("tritonize build examples/first/first.yaml",),
    "adopt": ("tritonize adopt model_repository", "tritonize adopt model_repository --spec examples/first/first.yaml"),
    "config": ("tritonize config model_repository/first/1/model.onnx",),
    "serve": ("tritonize serve model_repository", "tritonize serve model_repository --model first --http-port 8000"),
    "verify": (
        "tritonize verify model_repository",
        "tritonize verify model_repository --url http://127.0.0.1:8000",
        "tritonize verify model_repository --url http://127.0.0.1:8000 --watch 60",
    ),
    "bench": (
        "tritonize bench model_repository --model first --concurrency 1,4",
        "tritonize bench model_repository --url http://127.0.0.1:8000 --rate 50",
    ),
    "golden export": ("tritonize golden export first --out first.golden",),
    "golden show": ("tritonize golden show first.golden",),
    "check": (
        "tritonize check model_repository/first/1/model.onnx other.onnx",
        "tritonize check a.pt b.onnx --input x:fp32:1x3x224x224 --samples 8",
    ),
    "tolerance": ("tritonize tolerance first", "tritonize tolerance examples/first/first.yaml"),
    "locate": ("tritonize locate examples/first/first.yaml",),
    "diff": ("tritonize diff first 1 2", "tritonize diff model_repository first 1 2 --json"),
    "inspect": ("tritonize inspect model_repository/first/1/model.onnx", "tritonize inspect examples/heart/heart.pt"),
    "view": ("tritonize view model_repository/first/1/model.onnx",),
    "list": ("tritonize list model_repository",),
    "show": ("tritonize show first", "tritonize show model_repository first --version 1"),
    "report": ("tritonize report model_repository", "tritonize report model_repository/first/1 --no-open"),
    "lint": ("tritonize lint model_repository", "tritonize lint model_repository --fix", "tritonize lint --explain TR001"),
    "promote": ("tritonize promote first 1", "tritonize promote first --newest"),
    "rollback": ("tritonize rollback first", "tritonize rollback model_repository first --to 1"),
    "prune": ("tritonize prune model_repository --keep 3 --dry-run",),
    "push": ("tritonize push model_repository s3://bucket/models",),
    "deploy image": ("tritonize deploy image model_repository --triton 26.06",),
    "deploy compose": ("tritonize deploy compose model_repository --triton 26.06",),
    "deploy kubernetes": ("tritonize deploy kubernetes model_repository --image registry.example/first:1",),
    "deploy helm": ("tritonize deploy helm model_repository --image registry.example/first:1",),
    "deploy kserve": ("tritonize deploy kserve model_repository --storage-uri s3://bucket/models",),
    "pack": ("tritonize pack model_repository packed",),
    "sign": ("tritonize sign first --key key.pem",),
    "provenance": ("tritonize provenance first",),
    "plan build": ("tritonize plan build --request request/request.yaml --out plans",),
    "plan request": ("tritonize plan request examples/heart/heart_rtx.yaml --out request",),
    "plan prove": ("tritonize plan prove plans --question request/question",),
    "plan collect": ("tritonize plan collect plans-a plans-b --out plans",),
    "plan check": ("tritonize plan check plans/model.plan --triton 26.06",),
    "doctor": ("tritonize doctor", "tritonize doctor --install-server"),
}
"""Command to its examples."""
