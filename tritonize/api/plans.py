"""TensorRT plans: request, build, prove, collect and check them, on this or another machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonize.api.listening import OnProgress, OnStage, lines
from tritonize.api.model_description import specified
from tritonize.api.wording import in_python
from tritonize.core import temporary
from tritonize.core.local_paths import local
from tritonize.core.recorder import Recorder, silent
from tritonize.plans import builder, collection, compatibility, proof_input
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.collection import CollectedPlan
from tritonize.plans.compatibility import Compatibility
from tritonize.plans.proof import PlanProof
from tritonize.spec.schema import Spec
from tritonize.workflows import job as job_workflow
from tritonize.workflows import plan_request
from tritonize.workflows import prove_plans as prove_workflow


@in_python
def request_plans(
    specification: Spec | Path | str,
    out: Path | str,
    *,
    models: Sequence[str] = (),
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Export a model, compare it with PyTorch, and write what another machine needs to build its plans.

    Args:
        specification: a `Spec` or the path of a YAML file.
        out: a new folder, for the ONNX file, the request and the samples with which the plans are proven.
        models: the model, if the specification has several.
        on_stage: as in `run`.
        on_progress: as in `run`.

    Returns:
        The request, for `build_plans`.

    Raises:
        UsageError: the model is not served as a TensorRT plan, or the folder is not empty.
        ExportError: no exported file matches PyTorch.
    """
    with specified(specification, {}) as given, lines(on_progress) as on_line:
        options = job_workflow.Options(on_stage=on_stage, on_progress=on_line)
        return plan_request.request(given, local(out), models=models, options=options)


@in_python
def build_plans(
    request: Path | str, out: Path | str, *, use_cache: bool = True, on_progress: OnProgress | None = None
) -> tuple[BuiltPlan, ...]:
    """Build the plans of a request with the TensorRT of this machine.

    Args:
        request: the file that `request_plans` returned.
        out: where plans, metadata and logs are written.
        use_cache: whether a plan that was built before is taken from the cache.
        on_progress: as in `run`.

    Raises:
        UsageError, MissingError, PlanError: the request is invalid, TensorRT is missing, or it builds no plan.
    """
    with lines(on_progress) as on_line:
        return tuple(builder.build(builder.read_request(local(request)), local(out), use_cache=use_cache, on_progress=on_line))


@in_python
def prove_plans(
    places: Sequence[Path | str],
    samples: Path | str,
    *,
    plugins: Sequence[Path | str] = (),
    on_stage: OnStage | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[PlanProof, ...]:
    """Run plans on this machine's GPU and compare their outputs with PyTorch's. Writes a record beside each plan.

    Args:
        places: folders that `build_plans` wrote, or plans.
        samples: the folder `question` that `request_plans` wrote.
        plugins: libraries with the plugins of the plans.
        on_stage: as in `run`.
        on_progress: as in `run`.

    Raises:
        UsageError: a folder has no plan, or no samples.
    """
    given = proof_input.read(local(samples))
    libraries = tuple(local(each).absolute() for each in plugins)
    with lines(on_progress), temporary.folder() as work:
        recorder = Recorder(on_stage or silent)
        return tuple(prove_workflow.prove([local(each) for each in places], given, work, recorder=recorder, plugins=libraries))


@in_python
def collect_plans(places: Sequence[Path | str], out: Path | str) -> tuple[CollectedPlan, ...]:
    """Copy the plans of several machines into one folder, for `run(plans=[out])`.

    Args:
        places: folders that `build_plans` wrote, or plans.
        out: a new folder.

    Raises:
        UsageError, PlanError: the plans do not belong together.
    """
    return tuple(collection.collect([local(each) for each in places], local(out)))


@in_python
def check_plan(plan: Path | str, *, tensorrt: str | None = None) -> Compatibility:
    """Describe a plan, and say whether a version of TensorRT loads it.

    Args:
        plan: a `.plan` file.
        tensorrt: the version, all four parts: `10.16.1.11`; `None` only describes the plan.

    Raises:
        UsageError, PlanError: the file is no plan.
    """
    return compatibility.check(local(plan), tensorrt)
