"""Write files that deploy a model repository: a Dockerfile, a compose file, Kubernetes objects, KServe objects and a Helm chart.

A `Deployment` has everything that the files contain; `workflows/deploy.py` makes it from a checked repository. The files come from
the templates in `templates/deploy/`.
"""

from __future__ import annotations

from tritonize.deploy.deployment import Deployment as Deployment
from tritonize.deploy.deployment import Kind as Kind
from tritonize.deploy.deployment import ServedModel as ServedModel
from tritonize.deploy.deployment import Verification as Verification
from tritonize.deploy.files import render as render

__all__ = ["Deployment", "Kind", "ServedModel", "Verification", "render"]
