"""The tests themselves, in a process of their own: `python -m gpu.steps GROUP MODULE FOLDER`.

Each outcome is one line of JSON on standard output as it comes, so that a crash leaves what went before it. Needs NumPy and a
module of TensorRT; what a step needs beyond is said as *not run* where it is missing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gpu.baselines import compare_steps
from gpu.cases import CASES, ROUNDS, WARMUP, Case, items
from gpu.outcomes import NotRun, attempt, tell
from tritonize.backends.plans import cuda, runner
from tritonize.plans import layers as plan_layers

ENDS = ("min", "opt", "max")
SERVED = "cnn"
RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")


class Bench:
    """A device, a module of TensorRT, and the plan of a case."""

    def __init__(self, module: str, folder: Path) -> None:
        self.name, self.folder = module, folder
        self.device = cuda.Device()
        self.stream = self.device.stream()
        self.trt = importlib.import_module(module)
        self.said: list[str] = []
        if module == "tensorrt_rtx" and self.device.compute_capability not in RTX_CAPABILITIES:
            raise NotRun(f"TensorRT-RTX has no target for compute capability {self.device.compute_capability}")

    def build(self, case: Case) -> tuple[bytes, str]:
        """The plan of a case, for the GPU here, and who built it: the product, where all that it needs is installed.

        Raises:
            NotRun: the module, or the GPU here, computes nothing in the precision of the case.
        """
        kinds = self.trt.NetworkDefinitionCreationFlag
        if case.half and not hasattr(kinds, "STRONGLY_TYPED") and self.version() < (11,):
            raise NotRun(f"{self.name} {self.trt.__version__} takes no precision from the graph")
        if case.precision == "bf16" and tuple(map(int, self.device.compute_capability.split("."))) < (8, 0):
            raise NotRun(f"compute capability {self.device.compute_capability} has no bfloat16")
        try:
            return self.by_product(case), "by tritonize"
        except ImportError as error:
            return self.by_calls(case)[0], f"by TensorRT's own calls, without {error.name}"

    def by_product(self, case: Case) -> bytes:
        """As `tritonize plan build` does it.

        Raises:
            ImportError: a package is missing; the error names it.
        """
        importlib.import_module("onnx")  # for its worker
        importlib.metadata.version("tritonize")
        from tritonize.core.errors import MissingError, TritonizeError
        from tritonize.plans import builder as plan_builder
        from tritonize.plans import installed
        from tritonize.plans import request as plan_request
        from tritonize.spec.builder import Settings

        target = self.device.compute_capability if self.name == "tensorrt_rtx" else None
        ends = [dict(zip(ENDS, shapes, strict=True)) for shapes in shapes_of(case)]
        request = plan_request.BuildRequest(
            onnx=case.onnx,
            module=self.name,
            compute_capabilities=(target,) if target else (),
            profiles=tuple({"x": plan_request.Shapes(**each)} for each in ends),
            settings=Settings(tf32=case.precision == "tf32", detailed_profiling=True),
        )
        try:
            installed.require_possible(self.name)
        except MissingError as error:  # NVIDIA's containers have modules without metadata
            raise ImportError(error.what, name=f"metadata of {self.name}") from error
        try:
            (built,) = plan_builder.build(request, self.folder / case.name, use_cache=False)
        except TritonizeError as error:
            raise AssertionError(" ".join(str(error).split())) from error
        return built.path.read_bytes()

    def by_calls(self, case: Case, cache: bytes | None = None) -> tuple[bytes, bytes | None]:
        """The same without any package of tritonize's; and the timing cache afterwards where one was given."""
        trt, logger = self.trt, runner._logger(self.trt, lambda severity, text: self.said.append(f"{severity}: {text}"))
        builder = trt.Builder(logger)
        kinds = trt.NetworkDefinitionCreationFlag
        flags = sum(1 << int(getattr(kinds, each)) for each in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(kinds, each))
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(case.onnx.read_bytes()):
            raise AssertionError("; ".join(str(parser.get_error(index).desc()) for index in range(parser.num_errors)))
        config = builder.create_builder_config()
        (config.set_flag if case.precision == "tf32" else config.clear_flag)(trt.BuilderFlag.TF32)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        for shapes in shapes_of(case):
            profile = builder.create_optimization_profile()
            profile.set_shape("x", *shapes)
            config.add_optimization_profile(profile)
        if self.name == "tensorrt_rtx":
            target = getattr(trt.ComputeCapability, f"SM{self.device.compute_capability.replace('.', '')}")
            config.num_compute_capabilities = 1
            config.set_compute_capability(target, 0)
        timing = None
        if cache is not None:
            timing = config.create_timing_cache(cache)
            if timing is None or not config.set_timing_cache(timing, False):
                raise AssertionError("the timing cache is not taken")
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise AssertionError(f"no plan was built: {logger.last()}")
        return bytes(memoryview(plan)), bytes(memoryview(timing.serialize())) if timing is not None else None

    def version(self) -> tuple[int, ...]:
        """Of the module; 1.x of TensorRT-RTX is taken for new, since its first knows what TensorRT 10 knows."""
        return (
            (99,) if self.name == "tensorrt_rtx" else tuple(int(part) for part in self.trt.__version__.split(".") if part.isdigit())
        )

    def load(self, plan: bytes) -> runner.Engine:
        """The engine of a plan."""
        return runner.Engine(self.trt, self.device, plan, log=lambda severity, text: self.said.append(f"{severity}: {text}"))


def shapes_of(case: Case) -> list[list[tuple[int, ...]]]:
    """Of every profile, at min, opt and max."""
    return [[(batch, *case.shape(end)) for end, batch in enumerate(batches)] for batches in case.profiles]


def driver_steps(_module: str, _folder: Path) -> None:
    """The driver alone: memory, copies, streams and events."""

    def work() -> tuple[str, dict[str, float]]:
        device = cuda.Device()
        size = 64 << 20
        stream, start, end = device.stream(), device.event(), device.event()
        source, target, memory = device.allocate_host(size), device.allocate_host(size), device.allocate(size)
        data = np.random.default_rng(0).integers(0, 256, size, np.uint8)
        import ctypes

        ctypes.memmove(source, data.ctypes.data, size)
        ctypes.memset(target, 0, size)
        device.record(start, stream)
        device.upload(memory, source, size, stream)
        device.download(target, memory, size, stream)
        device.record(end, stream)
        device.synchronize(stream)
        found = np.frombuffer(ctypes.string_at(target, size), np.uint8)
        assert np.array_equal(found, data), "what came back is not what went there"
        taken = device.elapsed_ms(start, end)
        assert 0 < taken < 10_000, f"{taken} ms between the events"
        free, whole = device.free_memory()
        assert 0 < free <= whole
        device.free(memory)
        device.free_host(source)
        device.free_host(target)
        try:
            device.allocate(whole * 4)
        except cuda.CudaError as error:
            assert "CUDA_ERROR_OUT_OF_MEMORY" in str(error), error
        else:
            raise AssertionError("four times the memory there is was given")
        return f"64 MiB there and back in {taken:.1f} ms", {"ms": taken}

    attempt("driver: memory, copies, events", work)


class Steps:
    """Build, deserialize, infer, inspect and time one model; each after the one before it."""

    def __init__(self, case: Case, module: str, folder: Path) -> None:
        self.case, self.bench = case, Bench(module, folder)
        self.contexts: list[runner.Context] = []

    def build(self) -> tuple[str, dict[str, float]]:
        started = time.perf_counter()
        self.plan, builder = self.bench.build(self.case)
        return f"{len(self.plan) / 2**20:.1f} MiB in {time.perf_counter() - started:.1f} s, {builder}", {}

    def deserialize(self) -> tuple[str, dict[str, float]]:
        started = time.perf_counter()
        self.engine = self.bench.load(self.plan)
        assert self.engine.profiles == len(self.case.profiles)
        return f"{self.engine.profiles} profiles in {time.perf_counter() - started:.2f} s", {}

    def infer(self) -> tuple[str, dict[str, float]]:
        case, worst, runs = self.case, 0.0, 0
        for profile, batches in enumerate(case.profiles):
            context = self.engine.context(profile, self.bench.stream)
            for end, batch in enumerate(batches):
                where = f"profile {profile} at {ENDS[end]}"
                for inputs, expected in items(case, end, batch):
                    found = context.run({"x": inputs})["y"]
                    assert found.shape == expected.shape, f"{where}: shape {found.shape}, not {expected.shape}"
                    np.testing.assert_allclose(found, expected, rtol=case.rtol, atol=case.atol, err_msg=where)
                    worst, runs = max(worst, float(np.abs(found - expected).max())), runs + 1
            self.contexts.append(context)
        return f"{runs} batches at min, opt, max; max abs {worst:.1e}", {"max_abs": worst}

    def inspect(self) -> tuple[str, dict[str, float]]:
        layers = plan_layers.read(self.engine.information(self.contexts[0])[0])
        words = ", ".join(f"{count} {name}" for name, count in sorted(layers.precisions.items()))
        assert layers.total, "no layers"
        if self.case.half:
            asked = self.case.precision
            found = layers.has(asked)
            assert found is not False, f"asked in {asked}, and no layer computes in it: {words}"
            if found is None:
                raise NotRun(f"the inspector leaves the precision open: {words}")
        return words, {"layers": layers.total}


def case_steps(case: Case, module: str, folder: Path) -> None:
    """All steps of one model."""
    steps = Steps(case, module, folder)
    for step in (steps.build, steps.deserialize, steps.infer):
        if not attempt(f"{case.name}: {step.__name__}", step):
            return
    attempt(f"{case.name}: inspect", steps.inspect)
    attempt(f"{case.name}: time TensorRT", lambda: time_engine(steps.bench, steps.contexts[0], case))


def time_engine(bench: Bench, context: runner.Context, case: Case) -> tuple[str, dict[str, float]]:
    """Milliseconds of the engine alone, at opt: what lies in the device's memory, between two events."""
    inputs, _ = next(items(case, 1, case.profiles[0][1]))
    context.run({"x": inputs})
    taken = []
    start, end = bench.device.event(), bench.device.event()
    for number in range(WARMUP + ROUNDS):
        bench.device.record(start, bench.stream)
        context.enqueue()
        bench.device.record(end, bench.stream)
        if number >= WARMUP:
            taken.append(bench.device.elapsed_ms(start, end))
        bench.device.synchronize(bench.stream)
    middle = statistics.median(taken)
    return f"{middle:.3f} ms at {list(inputs.shape)}", {"ms": middle}


def cache_steps(module: str, folder: Path) -> None:
    """A second build with the first one's timing cache."""

    def work() -> tuple[str, dict[str, float]]:
        if module == "tensorrt_rtx":
            raise NotRun("TensorRT-RTX ignores it")
        bench, case = Bench(module, folder), CASES[1]
        seconds, cache = [], b""
        for _ in range(2):
            started = time.perf_counter()
            plan, told = bench.by_calls(case, cache)
            seconds.append(time.perf_counter() - started)
            assert told, "the cache is empty after a build"
            assert plan
            cache = told
        return f"{seconds[0]:.1f} s without it, {seconds[1]:.1f} s with it; {len(cache):,} bytes", {}

    attempt("timing cache", work)


def served_steps(module: str, folder: Path) -> None:
    """`tritonize run` on one model with this backend: built, run, served by the embedded Triton, compared, published."""

    def work() -> tuple[str, dict[str, float]]:
        for name in ("pydantic", "onnx", "onnxruntime", "tritonclient", "typer", "ml_dtypes", "jinja2", "filelock", "ruamel.yaml"):
            try:
                importlib.import_module(name)
            except ImportError:
                raise NotRun(f"{name} is not installed, which tritonize needs") from None
        bench = Bench(module, folder)
        case = next(each for each in CASES if each.name == SERVED)
        with tempfile.TemporaryDirectory(prefix="tritonize-gpu-") as place:
            shutil.copyfile(case.onnx, Path(place, "m.onnx"))
            fields = {
                "source": "m.onnx",
                "backend": module,
                "inputs": {"x": {"shape": ["batch", *case.shape(0)]}},
                "max_batch_size": 4,
                "profiles": [{"batch": {"opt": 1}}, {"batch": {"opt": 4}}],
            }
            target = {"compute_capabilities": [bench.device.compute_capability] if module == "tensorrt_rtx" else []}
            Path(place, "spec.yaml").write_text(json.dumps({"schema": 1, "target": target, "models": {"net": fields}}))
            command = [sys.executable, "-c", "from tritonize.cli import main; main()", "run", "spec.yaml", "--json"]
            environ = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
            }
            done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, timeout=900, check=False)
            return judged(done)

    attempt("served verification", work)


def judged(done: subprocess.CompletedProcess[str]) -> tuple[str, dict[str, float]]:
    """What `tritonize run` came to."""
    answer = json.loads(done.stdout) if done.stdout.strip().startswith("{") else {}
    if "error" in answer:
        error = answer["error"]
        text = f"{error['what']} {error.get('found') or ''} {error.get('cause') or ''}"
        if "package index" in text or "not installed" in text:
            raise NotRun(text)
        raise AssertionError(text)
    assert answer.get("reports"), done.stderr[-500:]
    (report,) = answer["reports"]
    stages = {stage["name"]: stage["verdict"] for stage in report["stages"]}
    assert report["verdict"] == "passed" and report["published"], f"verdict {report['verdict']}: {stages}"
    answers = sum(1 for check in report["checks"] if check["stage"] in ("http", "grpc", "shm", "concurrent"))
    return f"{answers} answers by {report['proved_by']['backend']}", {}


def steps_of(group: str) -> tuple[str, ...]:
    """The names of a group's steps, in order, for what does not get to run."""
    kind, _, name = group.partition(":")
    if kind == "case":
        return tuple(f"{name}: {step}" for step in ("build", "deserialize", "infer", "inspect", "time TensorRT"))
    if kind == "compare":
        return tuple(f"{name}: time {each}" for each in ("PyTorch eager", "torch.compile", "ONNX Runtime"))
    return {"driver": ("driver: memory, copies, events",), "cache": ("timing cache",), "served": ("served verification",)}[kind]


def needs_module(group: str) -> bool:
    """Whether a group needs a module of TensorRT."""
    return group.partition(":")[0] in ("case", "cache", "served")


def groups() -> tuple[str, ...]:
    """All of them, in the order of the table."""
    names = [case.name for case in CASES]
    return ("driver", *(f"{kind}:{name}" for name in names for kind in ("case", "compare")), "cache", "served")


def main() -> None:
    """Run one group."""
    group, module, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    kind, _, name = group.partition(":")
    case = next((each for each in CASES if each.name == name), None)
    try:
        if kind in ("case", "compare"):
            {"case": case_steps, "compare": compare_steps}[kind](case, module, folder)
        else:
            {"driver": driver_steps, "cache": cache_steps, "served": served_steps}[kind](module, folder)
    except NotRun as reason:
        for step in steps_of(group):
            tell(step, "not run", str(reason))
    except Exception as error:  # noqa: BLE001 - before the first step
        for step in steps_of(group)[:1]:
            tell(step, "failed", f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    os._exit(0)  # what CUDA's destructors do at the end is no part of a test


if __name__ == "__main__":
    main()
