"""Measure latency and throughput of one version on a server, and compare every response under load with the golden set."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize import repository
from tritonize.bench import kept, load, perf_analyzer
from tritonize.bench.load import Arrivals, Durations, Shape
from tritonize.core import arrays, temporary
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, RepositoryError, UsageError
from tritonize.core.load_results import BenchReport, Load
from tritonize.core.messages import bench as wording
from tritonize.core.messages import decoupled, sequences, usage
from tritonize.core.recorder import Listener, silent
from tritonize.core.reports import Check
from tritonize.core.server_choice import AUTO, Way
from tritonize.core.stages import SERVED, StageName
from tritonize.quality import gates, golden_set
from tritonize.quality.batch_checks import check_outputs
from tritonize.quality.golden_set import Batch, GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import golden_file
from tritonize.triton import inference, model_config, remote, server_description, serving
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.target import Target
from tritonize.workflows import bench_perf_analyzer, bench_results, bench_server, checked_copy, evidence
from tritonize.workflows.bench_server import Observer

MOST_REQUESTS = 512
"""Different requests of a load."""
_REQUEST_BYTES = 1 << 28
"""Bytes of all different requests of a load, in memory."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure, and with which loads."""

    repository: Path | None = None
    golden: Path | None = None
    """A golden file instead of a repository."""
    model: str | None = None
    version: int | None = None
    urls: Sequence[str] = ()
    """A running server; if empty, one is started."""
    way: Way | Literal["auto"] = AUTO
    """How to start it."""
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    protocol: Literal["http", "grpc"] | None = None
    """gRPC, if the server has an address for it."""
    concurrency: Sequence[int] = ()
    rates: Sequence[float] = ()
    arrivals: Arrivals = "poisson"
    batches: Sequence[int] = ()
    """Batch sizes (1)."""
    export: Path | None = None
    """Folder for perf_analyzer's input file and command lines."""
    perf_analyzer: bool = False
    """Whether the installed perf_analyzer sends the loads too."""
    durations: Durations = Durations()  # noqa: RUF009 - frozen
    on_stage: Listener = silent
    on_progress: Callable[[str], None] | None = None

    def shapes(self) -> Iterator[Shape]:
        """The loads, for one batch size."""
        for rate in self.rates:
            yield Shape(kind="rate", level=rate, arrivals=self.arrivals)
        for clients in self.concurrency or (() if self.rates else (1, 2, 4)):
            yield Shape(kind="concurrency", level=clients)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One version and its golden set, in files that stay until the benchmark ends."""

    model: str
    version: int
    golden: GoldenSet
    config: ModelConfig
    checked: checked_copy.Checked | None
    """The version's files; `None` with a golden file."""


def bench(request: Request) -> BenchReport:
    """Send every load and measure it.

    Raises:
        MissingError: perf_analyzer is asked for and not installed.
        UsageError: the model, version or batch size does not exist, or a golden file is given without an address.
        RepositoryError: the version has no evidence, or its files changed.
        ServerError, InferenceError: the server cannot be started or reached, or refuses the first request.
    """
    if request.concurrency and request.rates:
        raise UsageError.of(wording.LOADS_CONTRADICT)
    if request.perf_analyzer:
        if not request.urls:
            raise UsageError.of(wording.PERF_ANALYZER_WITHOUT_URL)
        perf_analyzer.program()  # before anything is sent
    with temporary.folder() as folder, contextlib.ExitStack() as stack:
        stack.callback(arrays.release)
        subject = _subject(request, folder)
        sizes = _sizes(request, subject.golden)
        if request.urls:
            server = serving.remote(request.urls, options=request.connection)
            serving.await_model(server, subject.model, subject.version)
        else:
            server = stack.enter_context(bench_server.embedded(request, subject, folder))
        return _Bench(request, subject, server, folder=folder).run(sizes)


def _subject(request: Request, folder: Path) -> Subject:
    if request.golden is not None:
        return _from_file(request, request.golden, folder)
    root = request.repository or Path("model_repository")
    names = [request.model] if request.model else list(repository.models(root))
    if len(names) > 1:
        raise UsageError.of(wording.SEVERAL_MODELS, where=str(root), found=", ".join(names))
    (name,) = names
    version = repository.choose(root, name, request.version)
    request.on_stage(StageName.FILES, None)
    checked = checked_copy.check(root, name, version, folder=folder / "files")
    if checked.findings:
        details = [f"{each.where}: {each.what}" for each in checked.findings]
        raise RepositoryError.of(wording.VERSION_CHANGED, where=str(root / name), details=details, repository=root, model=name)
    path = checked.root / name / repository.CONFIG
    config = model_config.parse(repository.read_config(checked.root, name), where=str(path))
    config = model_config.with_completed(config, checked.manifest.get("completed", {}))
    golden = golden_set.read(checked.version_directory / repository.EVIDENCE / "golden")
    return Subject(model=name, version=version, golden=golden, config=config, checked=checked)


def _from_file(request: Request, path: Path, folder: Path) -> Subject:
    if not request.urls:
        raise UsageError.of(usage.GOLDEN_WITHOUT_SERVER, where=str(path))
    request.on_stage(StageName.GOLDEN_FILE, None)
    file = golden_file.read(path, folder / "golden")
    name = request.model or file.origin.model
    config = model_config.parse(file.origin.config, where=f"{path}: {golden_file.CONFIG}") | {"name": name}
    version = file.origin.version if request.version is None else request.version
    return Subject(model=name, version=version, golden=file.golden, config=config, checked=None)


def _sizes(request: Request, golden: GoldenSet) -> list[int]:
    """The batch sizes; 0 for a model without batching."""
    if golden.samples.sequences:
        raise UsageError.of(sequences.NOT_MEASURED)
    if golden.samples.requests:
        raise UsageError.of(decoupled.NOT_MEASURED)
    largest = golden.max_batch_size
    if not largest:
        if request.batches:
            raise UsageError.of(wording.NO_BATCHES, found=", ".join(map(str, request.batches)))
        return [0]
    if any(not 1 <= size <= largest for size in request.batches):
        raise UsageError.of(wording.BATCH_TOO_LARGE, found=", ".join(map(str, request.batches)), largest=largest)
    return list(request.batches) or [1]


class _Bench:
    """A benchmark of one server."""

    def __init__(self, request: Request, subject: Subject, server: ServerHandle, *, folder: Path) -> None:
        self._request, self._subject, self._folder = request, subject, folder
        self._tracker = ErrorTracker(subject.golden)
        self._target = Target(
            server=server,
            model=subject.model,
            version=subject.version,
            golden=subject.golden,
            config=subject.config,
            tracker=self._tracker,
        )
        self._transport = request.protocol or self._target.any_transport
        if not (server.http_url if self._transport == "http" else server.grpc_url):
            raise UsageError.of(wording.NO_ADDRESS, protocol=self._transport)
        self._checks: list[Check] = []
        self._notes: list[str] = []
        self._compared = 0

    def run(self, sizes: Sequence[int]) -> BenchReport:
        """Send the loads of every batch size."""
        request, server = self._request, self._target.server
        loads: list[Load] = []
        with Observer(self._target) as observer:
            for size in sizes:
                batches, requests = self._requests(size)
                once = kept.Once(functools.partial(self._within, batches))
                loads += [self._load(shape, size, requests, once=once, observer=observer) for shape in request.shapes()]
                self._compared += once.compared
            if unstable := [bench_results.describe(each.kind, each.level, each.batch_size) for each in loads if not each.stable]:
                self._notes.append(wording.NOT_STABLE.text(loads=", ".join(unstable)))
            if not observer.readable:
                self._notes.append(wording.NO_STATISTICS.text())
        analyzed = self._analyzed(sizes)
        judgement = gates.judge(self._tracker, self._checks, on_gpu=self._on_gpu())
        findings = tuple(finding for each in loads for finding in bench_results.findings(each))
        return BenchReport(
            model=self._subject.model,
            version=self._subject.version,
            verdict=bench_results.verdict(loads, passed=judgement.passed and bool(self._checks) and not findings),
            transport=self._transport,
            arrivals=request.arrivals,
            loads=tuple(loads),
            compared=self._compared,
            gates=judgement.gates,
            findings=findings,
            notes=(*remote.notes(request.urls, request.connection), *self._notes),
            proved_by=dict(server.identity),
            versions=evidence.versions("numpy", "tritonclient"),
            details={"perf_analyzer": analyzed} if analyzed else {},
        )

    def _analyzed(self, sizes: Sequence[int]) -> list[bench_perf_analyzer.Row]:
        """Export the requests for perf_analyzer, and let it send them if that is wanted."""
        request = self._request
        if not request.perf_analyzer and request.export is None:
            return []
        place = request.export or self._folder / "perf_analyzer"
        loads = [(shape, size) for size in sizes for shape in request.shapes()]
        window_s = request.durations.window_s
        exported = bench_perf_analyzer.export(place, self._target, self._transport, loads=loads, window_s=window_s)
        if request.export is not None:
            self._notes += exported.notes
        return bench_perf_analyzer.run(perf_analyzer.program(), exported, place) if request.perf_analyzer else []

    def _requests(self, size: int) -> tuple[list[Batch], list[Arrays]]:
        """Different batches of a size and their inputs, in memory."""
        golden = self._subject.golden
        everything = list(arrays.batches(golden.samples, size))
        batches: list[Batch] = []
        requests: list[Arrays] = []
        left = _REQUEST_BYTES
        for batch in everything[:MOST_REQUESTS]:
            inputs = inference.as_served(arrays.stack(golden.samples.files, batch), self._subject.config, "input")
            left -= kept.nbytes(inputs)
            if requests and left < 0:
                break
            batches.append(batch)
            requests.append({name: array.copy() for name, array in inputs.items()})  # not a mapped file
        if len(batches) < len(everything):
            self._notes.append(wording.FEWER_REQUESTS.text(size=size, sent=len(batches), all=len(everything)))
        return batches, requests

    def _load(self, shape: Shape, size: int, requests: list[Arrays], *, once: kept.Once, observer: Observer) -> Load:
        label = bench_results.describe(shape.kind, shape.level, size)
        self._request.on_stage(StageName.LATENCY, None)

        @contextlib.contextmanager
        def connect() -> Iterator[Callable[[int], Arrays]]:
            model, version = self._subject.model, str(self._subject.version)
            with self._target.connect(self._transport) as connection:
                yield lambda number: connection.infer(model, requests[number], version=version)

        with connect() as send:  # what refuses the first request, refuses all
            once(0, send(0))
        measured = load.run(shape, self._request.durations, connect, requests=len(requests), judge=once, observe=observer.read)
        found = bench_results.result(shape, size, measured)
        self._notes += bench_results.notes(found, label)
        self._request.on_stage(StageName.LATENCY, bench_results.stage(found))
        return found

    def _within(self, batches: Sequence[Batch], number: int, found: Arrays) -> bool:
        """Compare one response by the rules of a verification."""
        golden, batch = self._subject.golden, batches[number]
        expected = inference.as_served(golden.expected_outputs(batch), self._subject.config, "output")
        check = check_outputs(golden, StageName.CONCURRENT, batch, expected=expected, found=found, tracker=self._tracker)
        self._checks.append(check)
        return check.passed

    def _on_gpu(self) -> tuple[StageName, ...]:
        with self._target.connect(self._transport) as connection:
            try:
                served = connection.model_config(self._subject.model, str(self._subject.version))
            except InferenceError:  # not allowed: judged as on a CPU, which is stricter
                return ()
        return SERVED if server_description.runs_on_gpu(served) else ()
