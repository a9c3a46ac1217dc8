"""For every lint rule a model that breaks it and one that does not; the unit tests lint them, and the real server judges them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import tiny_onnx
from tests.support.tiny_onnx import FLOAT, INT32, INT64
from tritonize.repository import manifest

Content = str | bytes | None
"""Of a file; `None` is a directory, a text that starts with `-> ` a symbolic link."""

IDENTITY = tiny_onnx.identity([("X", FLOAT, ["b", 3])], [("Y", FLOAT, ["b", 3])])
PAIR = tiny_onnx.identity([("A", FLOAT, ["b", 3]), ("B", FLOAT, ["b", 3])], [("C", FLOAT, ["b", 3]), ("D", FLOAT, ["b", 3])])
X = '{ name: "X" data_type: TYPE_FP32 dims: [ 3 ] }'
Y = '{ name: "Y" data_type: TYPE_FP32 dims: [ 3 ] }'
TENSORS = f"input [ {X} ]\noutput [ {Y} ]\n"
BASE = f'backend: "onnxruntime"\nmax_batch_size: 4\n{TENSORS}'
UNBATCHED = BASE.replace("4", "0").replace("[ 3 ]", "[ -1, 3 ]")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model's directory."""

    config: str | None = BASE
    files: Mapping[str, Content] = field(default_factory=lambda: {"1/model.onnx": IDENTITY})

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        content = dict(self.files) | ({} if self.config is None else {"config.pbtxt": self.config})
        for name, each in content.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if each is None:
                path.mkdir(exist_ok=True)
            elif isinstance(each, str) and each.startswith("-> "):
                path.symlink_to(each.removeprefix("-> "))
            else:
                path.write_bytes(each.encode() if isinstance(each, str) else each)
        if content.get("1/evidence/manifest.json") == MANIFEST:
            (directory / "1/evidence/manifest.json").write_text(manifest_of(directory))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model that breaks a rule, and one that does not."""

    wrong: Model
    right: Model
    name: str | None = None
    """The name of the wrong model's directory, where the rule is about it."""


def graph(inputs: list[tiny_onnx.Value], outputs: list[tiny_onnx.Value], **files: Content) -> dict[str, Content]:
    return {"1/model.onnx": tiny_onnx.identity(inputs, outputs), **files}


def added(wrong: str, right: str = "", *, base: str = BASE) -> Case:
    """Fields behind those of a model."""
    return Case(wrong=Model(config=base + wrong), right=Model(config=base + right))


def replaced(
    old: str, wrong: str, right: str | None = None, *, base: str = BASE, files: Mapping[str, Content] | None = None
) -> Case:
    """A part of the configuration in two forms; without the second the base is right."""
    assert old in base, old
    given = {} if files is None else {"files": files}
    return Case(
        wrong=Model(config=base.replace(old, wrong, 1), **given),
        right=Model(config=base.replace(old, old if right is None else right, 1), **given),
    )


IMAGE = graph([("X", FLOAT, ["b", 3, "h", "w"])], [("Y", FLOAT, ["b", 3, "h", "w"])])
IMAGE_CONFIG = BASE.replace("[ 3 ]", "[ 3, -1, -1 ]")
RAGGED = graph([("X", FLOAT, ["n"]), ("N", INT32, ["b"])], [("Y", FLOAT, ["n"]), ("M", INT32, ["b"])])
BATCHING = "dynamic_batching { }\n"
BATCH_INPUT = 'batch_input [ { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT32 source_input: "X" } ]\n'
RAGGED_CONFIG = (
    'backend: "onnxruntime"\nmax_batch_size: 4\n'
    'input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]\n'
    'output [ { name: "M" data_type: TYPE_INT32 dims: [ 1 ] reshape { } } ]\n' + BATCHING + BATCH_INPUT
)
SCATTER = 'batch_output [ { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "Y" source_input: "X" } ]\n'
SCATTER_CONFIG = RAGGED_CONFIG.replace("output [ {", 'output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }, {') + SCATTER
SEQUENCE_GRAPH = graph(
    [("X", FLOAT, ["b", 3]), ("START", FLOAT, ["b", 1]), ("ID", INT64, ["b", 1]), ("STATE", FLOAT, ["b", 1])],
    [("Y", FLOAT, ["b", 3]), ("Z", FLOAT, ["b", 1]), ("W", INT64, ["b", 1]), ("NEXT", FLOAT, ["b", 1])],
)
START = '{ name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] }'
CORRELATION = '{ name: "ID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } ] }'
INITIAL = 'initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true }'
STATE = f'state [ {{ input_name: "STATE" output_name: "NEXT" data_type: TYPE_FP32 dims: [ 1 ] {INITIAL} }} ]'
SEQUENCE = BASE + (
    f"sequence_batching {{\n  control_input [ {START}, {CORRELATION} ]\n  {STATE}\n"
    "  direct { minimum_slot_utilization: 0.5 }\n}\n"
)
PRIORITIES = "dynamic_batching { priority_levels: 2 default_priority_level: 1 }\n"
CPU = "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
ENSEMBLE_STEP = (
    'step [ { model_name: "part" model_version: -1 input_map { key: "X" value: "IN" } output_map { key: "Y" value: "OUT" } } ]'
)
ENSEMBLE = (
    'platform: "ensemble"\nmax_batch_size: 4\n'
    'input [ { name: "IN" data_type: TYPE_FP32 dims: [ 3 ] } ]\noutput [ { name: "OUT" data_type: TYPE_FP32 dims: [ 3 ] } ]\n'
    f"ensemble_scheduling {{ {ENSEMBLE_STEP} }}\n"
)
EMPTY_VERSION: dict[str, Content] = {"1": None}
PARTS = {
    "part": Model(config=BASE + CPU),
    "pair": Model(
        config='backend: "onnxruntime"\nmax_batch_size: 4\n'
        'input [ { name: "A" data_type: TYPE_FP32 dims: [ 3 ] }, { name: "B" data_type: TYPE_FP32 dims: [ 3 ] } ]\n'
        'output [ { name: "C" data_type: TYPE_FP32 dims: [ 3 ] }, { name: "D" data_type: TYPE_FP32 dims: [ 3 ] } ]\n' + CPU,
        files={"1/model.onnx": PAIR},
    ),
}
PARTS["stream"] = Model(config=BASE + CPU + "model_transaction_policy { decoupled: true }\n")
"""Models that the cases' ensembles consist of."""
STREAM = '{{ model_name: "stream" model_version: -1 input_map {{ key: "X" value: "IN" }} output_map {{ key: "Y" value: "{}" }} }}'
JOIN = (
    '{{ model_name: "pair" model_version: -1 input_map {{ key: "A" value: "{}" }} input_map {{ key: "B" value: "{}" }} '
    'output_map {{ key: "C" value: "OUT" }} }}'
)
PAIR_STEP = (
    'step [ { model_name: "pair" model_version: -1 input_map { key: "A" value: "IN" } input_map { key: "B" value: "IN" } '
    'output_map { key: "C" value: "OUT" } } ]'
)


def ensemble(old: str, wrong: str, right: str | None = None, *, base: str = ENSEMBLE) -> Case:
    return replaced(old, wrong, right, base=base, files=EMPTY_VERSION)


def graphs(wrong: Mapping[str, Content], right: Mapping[str, Content] | None = None, *, config: str = BASE) -> Case:
    """Two models of one configuration."""
    return Case(
        wrong=Model(config=config, files=wrong), right=Model(config=config) if right is None else Model(config=config, files=right)
    )


ONE, TWO = {"1/model.onnx": IDENTITY}, {"1/model.onnx": IDENTITY, "2/model.onnx": IDENTITY}
DATA = {"location": "weights.bin", "offset": "8", "length": "8"}


def with_data(entries: Mapping[str, str], **files: Content) -> dict[str, Content]:
    values = [("X", FLOAT, ["b", 3])], [("Y", FLOAT, ["b", 3])]
    return {"1/model.onnx": tiny_onnx.identity(*values, weight=tiny_onnx.external("W", entries)), **files}


def warm(content: str, *, files: Mapping[str, Content] = ONE) -> Model:
    """A model with a warmup sample of one input."""
    sample = f'inputs {{ key: "X" value {{ data_type: TYPE_FP32 {content} }} }}'
    return Model(config=BASE + f'model_warmup [ {{ name: "w" batch_size: 1 {sample} }} ]\n', files=files)


def warmed(content: str) -> Case:
    return Case(wrong=warm(content), right=warm("dims: [ 3 ] zero_data: true"))


PLANNED = BASE.replace("onnxruntime", "tensorrt")
GPU = CPU.replace("CPU", "GPU")
TWO_PLANS = 'cc_model_filenames { key: "8.0" value: "a.plan" }\ncc_model_filenames { key: "8.9" value: "b.plan" }\n'


def plan(build: int = 11) -> bytes:
    """The header of a plan of TensorRT 10.16.1 and some bytes; no real plan."""
    return b"ftrt" + b"\0" * 20 + bytes([10, 16, 1, build]) + b"\0" * 100


def rtx_plan() -> bytes:
    content = bytearray(b"vtrt" + b"\0" * 124)
    content[16:24] = len(content).to_bytes(8, "little")
    content[24:28] = bytes([1, 7, 0, 3])
    return bytes(content)


PLAN: dict[str, Content] = {"1/model.plan": plan()}


def described(version: str = "10.16.1.11") -> dict[str, Content]:
    """A plan with metadata beside it: one profile of batches from 1 to 8."""
    metadata = {
        "schema": 1,
        "module": "tensorrt",
        "version": version,
        "compute_capability": "8.9",
        "gpu": None,
        "driver": None,
        "profiles": [{"X": {"min": [1, 3], "opt": [4, 3], "max": [8, 3]}}],
        "inputs": [{"name": "X", "dtype": "fp32", "shape": ["b", 3]}],
        "outputs": [{"name": "Y", "dtype": "fp32", "shape": ["b", 3]}],
        "tf32": False,
        "precision_built": None,
        "onnx_sha256": "",
        "settings": {},
        "plan_sha256": hashlib.sha256(plan()).hexdigest(),
        "plan_bytes": len(plan()),
        "build_seconds": 1.0,
        "timing_cache_sha256": None,
        "built_by": "tritonize 1.0",
    }
    return {**PLAN, "1/model.plan.json": json.dumps(metadata)}


SCRIPT = (
    'backend: "pytorch"\nmax_batch_size: 4\n'
    'input [ { name: "X__0" data_type: TYPE_FP32 dims: [ 3 ] } ]\noutput [ { name: "Y__0" data_type: TYPE_FP32 dims: [ 3 ] } ]\n'
)


def archive(*names: str) -> bytes:
    """A ZIP archive with empty members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as out:
        for name in names:
            out.writestr(name, "")
    return content.getvalue()


SCRIPTED: dict[str, Content] = {"1/model.pt": archive("model/data.pkl", "model/code/__torch__.py")}
PYTHON = BASE.replace("onnxruntime", "python")
CODE = "class TritonPythonModel:\n    def execute(self, requests):\n        raise NotImplementedError\n"
ENVIRONMENT = 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }\n'


def python(code: str) -> Case:
    return Case(wrong=Model(config=PYTHON, files={"1/model.py": code}), right=Model(config=PYTHON, files={"1/model.py": CODE}))


def published(*, changed: bool = False) -> dict[str, Content]:
    """A version with a manifest; the directory's name is not known here, so the manifest names none and `write` completes it."""
    return {"1/model.onnx": IDENTITY, "1/evidence/report.json": "[]" if changed else "{}", "1/evidence/manifest.json": MANIFEST}


MANIFEST = "written by Model.write"


def manifest_of(directory: Path) -> str:
    """The manifest of version 1, as it is with the report that was published."""
    names = ("config.pbtxt", "1/model.onnx", "1/evidence/report.json")
    contents = {name: (directory / name).read_bytes() for name in names} | {"1/evidence/report.json": b"{}"}
    listed = {name: {"sha256": hashlib.sha256(each).hexdigest(), "bytes": len(each)} for name, each in contents.items()}
    facts = {"schema": 2, "model": directory.name, "version": 1, "verdict": "passed", "files": listed}
    return json.dumps(facts | {"sha256": manifest.own_sha256(facts)})


ANY = BASE.replace("[ 3 ]", "[ -1 ]")
ANY_GRAPH = graph([("X", FLOAT, ["b", "n"])], [("Y", FLOAT, ["b", "n"])])
SCALAR = BASE.replace("4", "0").replace("[ 3 ]", "[ 1 ]")
SCALAR_GRAPH = graph([("X", FLOAT, [])], [("Y", FLOAT, [])])


CASES: dict[str, Case] = {
    "TR002": Case(wrong=Model(config=None, files={"notes.txt": "x"}), right=Model()),
    "TR003": Case(wrong=Model(), right=Model(), name="сердце"),
    "TR004": graphs(ONE | {"old": "-> gone"}),
    "TR007": graphs({"model.onnx": IDENTITY}),
    "TR008": graphs(ONE | {"02": None}, ONE | {"configs": None}),
    "TR009": graphs(ONE | {"2-old": None}),
    "TR101": Case(wrong=Model(config=None), right=Model()),
    "TR102": replaced("max_batch_size", "max_batch_sizes"),
    "TR104": added('name: "hart"\n'),
    "TR105": Case(wrong=Model(config="max_batch_size: 4\n" + TENSORS, files={"1/x": "x"}), right=Model()),
    "TR106": added('platform: "tensorrt_plan"\n', 'platform: "onnxruntime_onnx"\n'),
    "TR107": added('default_model_filename: "network.onnx"\n', 'default_model_filename: "model.onnx"\n'),
    "TR108": added("version_policy { specific { versions: [ 3 ] } }\n", "version_policy { specific { versions: [ 1 ] } }\n"),
    "TR109": added("version_policy { specific { versions: [ 1, 3 ] } }\n", "version_policy { all { } }\n"),
    "TR110": replaced("4", "-1"),
    "TR111": Case(wrong=Model(config='backend: "onnxruntime"\n'), right=Model()),
    "TR114": graphs(ONE | {"configs/large.pbtxt": "max_batch_sizes: 8"}, ONE | {"configs/large.pbtxt": BASE}),
    "TR115": added("dynamic_batching { }\nsequence_batching { }\n", BATCHING),
    "TR201": replaced('name: "X" ', ""),
    "TR202": replaced(X, f"{X}, {X}"),
    "TR203": replaced("data_type: TYPE_FP32 ", ""),
    "TR204": replaced(" dims: [ 3 ]", ""),
    "TR205": replaced("[ 3 ]", "[ 0 ]"),
    "TR206": replaced(
        "[ 1 ]",
        "[ 1 ] reshape { }",
        base=BASE.replace("4", "0").replace("[ 3 ]", "[ 1 ]"),
        files=graph([("X", FLOAT, [1])], [("Y", FLOAT, [1])]),
    ),
    "TR207": replaced("[ 3 ]", "[ 3 ] reshape { shape: [ 0 ] }", "[ 3, 1 ] reshape { shape: [ 3 ] }"),
    "TR208": replaced("[ 3 ]", "[ 4 ] reshape { shape: [ 3 ] }", "[ 1, 3 ] reshape { shape: [ 3 ] }"),
    "TR209": replaced("dims", "is_shape_tensor: true dims"),
    "TR210": replaced("dims", "is_non_linear_format_io: true dims"),
    "TR211": Case(
        wrong=Model(config=BASE.replace("dims", "format: FORMAT_NCHW dims", 1)),
        right=Model(config=IMAGE_CONFIG.replace("dims", "format: FORMAT_NCHW dims", 1), files=IMAGE),
    ),
    "TR212": replaced(BATCHING, "", base=RAGGED_CONFIG, files=RAGGED),
    "TR221": Case(
        wrong=Model(config=BASE.replace(Y, Y.replace("dims", 'label_filename: "labels.txt" dims'))),
        right=Model(
            config=BASE.replace(Y, Y.replace("dims", 'label_filename: "labels.txt" dims')), files=ONE | {"labels.txt": "a\nb\nc\n"}
        ),
    ),
    "TR222": Case(
        wrong=Model(config=BASE.replace(Y, Y.replace("dims", 'label_filename: "../part/config.pbtxt" dims'))),
        right=Model(
            config=BASE.replace(Y, Y.replace("dims", 'label_filename: "labels.txt" dims')), files=ONE | {"labels.txt": "a\nb\nc\n"}
        ),
    ),
    "TR223": Case(
        wrong=Model(
            config=BASE.replace(Y, Y.replace("dims", 'label_filename: "labels.txt" dims')), files=ONE | {"labels.txt": "a\nb\n"}
        ),
        right=Model(
            config=BASE.replace(Y, Y.replace("dims", 'label_filename: "labels.txt" dims')), files=ONE | {"labels.txt": "a\nb\nc"}
        ),
    ),
    "TR224": replaced('source_input: "X"', 'source_input: "Q"', base=RAGGED_CONFIG, files=RAGGED),
    "TR225": replaced("TYPE_INT32 source", "TYPE_INT64 source", base=RAGGED_CONFIG, files=RAGGED),
    "TR226": replaced('target_name: "Y"', 'target_name: "Q"', base=SCATTER_CONFIG, files=RAGGED),
    "TR301": added("dynamic_batching { preferred_batch_size: [ 8 ] }\n", "dynamic_batching { preferred_batch_size: [ 4 ] }\n"),
    "TR302": Case(wrong=Model(config=UNBATCHED + BATCHING), right=Model(config=UNBATCHED)),
    "TR303": added("dynamic_batching { priority_levels: 2 }\n", PRIORITIES),
    "TR304": added(
        PRIORITIES.replace("}", "priority_queue_policy { key: 3 value { max_queue_size: 8 } } }"),
        PRIORITIES.replace("}", "priority_queue_policy { key: 2 value { max_queue_size: 8 } } }"),
    ),
    "TR305": added(PRIORITIES.replace("{", "{ preserve_ordering: true"), "dynamic_batching { preserve_ordering: true }\n"),
    "TR306": added(
        "dynamic_batching { preserve_ordering: true default_queue_policy "
        "{ timeout_action: DELAY default_timeout_microseconds: 100 } }\n",
        "dynamic_batching { preserve_ordering: true default_queue_policy "
        "{ timeout_action: REJECT default_timeout_microseconds: 100 } }\n",
    ),
    "TR307": Case(
        wrong=Model(config=SEQUENCE + "response_cache { enable: true }\n", files=SEQUENCE_GRAPH),
        right=Model(config=SEQUENCE, files=SEQUENCE_GRAPH),
    ),
    "TR308": added(
        "model_transaction_policy { decoupled: true }\nresponse_cache { enable: true }\n",
        "response_cache { enable: false }\n",
    ),
    "TR309": added("response_cache { enable: true }\n", "response_cache { enable: false }\n"),
    "TR310": added(
        'model_metrics { metric_control [ { metric_identifier { family: "f" } } ] }\n',
        'model_metrics { metric_control [ { metric_identifier { family: "f" } histogram_options { buckets: [ 1 ] } } ] }\n',
    ),
    "TR321": replaced('name: "START" ', "", base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR322": replaced(CORRELATION, START.replace('"START"', '"ID"'), base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR323": replaced("[ 0, 1 ]", "[ 1 ]", base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR324": replaced("TYPE_INT64", "TYPE_FP32", base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR325": replaced("0.5", "2", base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR326": replaced("dims: [ 1 ] zero_data", "dims: [ -1 ] zero_data", base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR401": added(CPU.replace("count", "gpus: [ 0 ] count"), CPU),
    "TR402": added(CPU.replace("count", 'profile: [ "0" ] count'), CPU),
    "TR404": added(CPU.replace("1", "-1"), CPU),
    "TR411": added(
        'parameters { key: "intra_op_thread_count" value { string_value: "four" } }\n',
        'parameters { key: "intra_op_thread_count" value { string_value: "4" } }\n',
    ),
    "TR412": added('optimization { execution_accelerators { cpu_execution_accelerator [ { name: "mkl" } ] } }\n'),
    "TR413": added('model_operations { op_library_filename: "/nowhere/libops.so" }\n'),
    "TR501": ensemble(ENSEMBLE_STEP, ""),
    "TR502": ensemble('"ensemble"\n', '"ensemble"\nbackend: "python"\n'),
    "TR503": Case(wrong=Model(config=ENSEMBLE + CPU, files=EMPTY_VERSION), right=Model(config=ENSEMBLE, files=EMPTY_VERSION)),
    "TR504": ensemble('output_map { key: "Y" value: "OUT" }', ""),
    "TR505": ensemble(ENSEMBLE_STEP, ENSEMBLE_STEP + ENSEMBLE_STEP),
    "TR506": ensemble(" } ]\noutput", ' }, { name: "OTHER" data_type: TYPE_FP32 dims: [ 3 ] } ]\noutput'),
    "TR507": ensemble('value: "IN"', 'value: "NOWHERE"'),
    "TR511": ensemble('"part"', '"prt"'),
    "TR512": ensemble('"part"', '"tr301_wrong"'),
    "TR513": ensemble("-1", "7"),
    "TR514": ensemble('key: "X"', 'key: "x"'),
    "TR515": ensemble('key: "Y"', 'key: "y"'),
    "TR516": ensemble('input_map { key: "B" value: "IN" }', "", base=ENSEMBLE.replace(ENSEMBLE_STEP, PAIR_STEP)),
    "TR517": ensemble('"IN" data_type: TYPE_FP32', '"IN" data_type: TYPE_UINT8'),
    "TR518": ensemble("[ 3 ]", "[ 4 ]"),
    "TR519": ensemble("4", "8"),
    "TR520": ensemble('"part"', '"tr520_wrong"'),
    "TR521": ensemble(
        ENSEMBLE_STEP,
        f"step [ {STREAM.format('ONE')}, {STREAM.format('TWO')}, {JOIN.format('ONE', 'TWO')} ]",
        f"step [ {STREAM.format('ONE')}, {JOIN.format('ONE', 'ONE')} ]",
    ),
    "TR601": graphs({"1/model.onnx": "version https://git-lfs.github.com/spec/v1\n"}),
    "TR602": replaced('"X"', '"x"'),
    "TR603": Case(
        wrong=Model(
            config=PARTS["pair"].config.replace(', { name: "B" data_type: TYPE_FP32 dims: [ 3 ] }', ""),
            files={"1/model.onnx": PAIR},
        ),
        right=PARTS["pair"],
    ),
    "TR604": replaced('"Y"', '"y"'),
    "TR605": replaced("TYPE_FP32", "TYPE_FP16"),
    "TR606": replaced("[ 3 ]", "[ 4 ]"),
    "TR607": graphs(graph([("X", FLOAT, [1, 3])], [("Y", FLOAT, [1, 3])])),
    "TR608": replaced("dims", "optional: true dims"),
    "TR609": replaced("dims: [ 3 ]", "dims: [ 3 ] allow_ragged_batch: true", base=BASE + BATCHING),
    "TR610": graphs(with_data(DATA, **{"1/weights.bin": b"\0" * 15}), with_data(DATA, **{"1/weights.bin": b"\0" * 16})),
    "TR611": graphs(with_data(DATA | {"location": "../weights.bin"}, **{"weights.bin": b"\0" * 16})),
    "TR612": graphs(
        graph([("X", FLOAT, ["b", 3]), ("S", 0, None)], [("Y", FLOAT, ["b", 3]), ("T", 0, None)]),
    ),
    "TR613": replaced("fp32_false_true", "int32_false_true", base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR614": replaced('"NEXT"', '"NEW"', base=SEQUENCE, files=SEQUENCE_GRAPH),
    "TR421": warmed("dims: [ -1 ] zero_data: true"),
    "TR422": warmed("dims: [ 3 ]"),
    "TR423": Case(
        wrong=warm('dims: [ 3 ] input_data_file: "x.bin"', files=ONE | {"warmup/x.bin": b"\0" * 11}),
        right=warm('dims: [ 3 ] input_data_file: "x.bin"', files=ONE | {"warmup/x.bin": b"\0" * 12}),
    ),
    "TR424": Case(
        wrong=Model(config=BASE + 'model_warmup [ { name: "w" batch_size: 1 } ]\n'), right=warm("dims: [ 3 ] zero_data: true")
    ),
    "TR701": graphs({"1": None}, PLAN, config=PLANNED),
    "TR702": graphs({"1/model.plan": IDENTITY}, PLAN, config=PLANNED),
    "TR703": graphs({"1/model.plan": rtx_plan()}, PLAN, config=PLANNED),
    "TR704": graphs(described(version="10.1.0.27"), described(), config=PLANNED),
    "TR705": Case(wrong=Model(config=PLANNED + CPU, files=PLAN), right=Model(config=PLANNED + GPU, files=PLAN)),
    "TR706": Case(
        wrong=Model(config=PLANNED + TWO_PLANS, files={"1/a.plan": plan(), "1/b.plan": plan(build=12)}),
        right=Model(config=PLANNED + TWO_PLANS, files={"1/a.plan": plan(), "1/b.plan": plan()}),
    ),
    "TR707": Case(
        wrong=Model(config=PLANNED + GPU.replace("count", 'profile: [ "1" ] count'), files=described()),
        right=Model(config=PLANNED + GPU.replace("count", 'profile: [ "0" ] count'), files=described()),
    ),
    "TR708": replaced("4", "16", base=PLANNED, files=described()),
    "TR709": replaced("[ 3 ]", "[ 5 ]", base=PLANNED, files=described()),
    "TR710": replaced("TYPE_FP32", "TYPE_FP64", base=PLANNED, files=PLAN),
    "TR801": replaced('"Y__0"', '"Y"', base=SCRIPT, files=SCRIPTED),
    "TR802": Case(
        wrong=Model(
            config=SCRIPT.replace(" } ]\noutput", ' }, { name: "Z" data_type: TYPE_FP32 dims: [ 3 ] } ]\noutput'), files=SCRIPTED
        ),
        right=Model(config=SCRIPT, files=SCRIPTED),
    ),
    "TR803": replaced("TYPE_FP32", "TYPE_UINT32", base=SCRIPT, files=SCRIPTED),
    "TR804": Case(
        wrong=Model(config=SCRIPT, files={"1/model.pt": archive("model/data.pkl")}), right=Model(config=SCRIPT, files=SCRIPTED)
    ),
    "TR805": Case(wrong=Model(config=SCRIPT.partition("output")[0], files=SCRIPTED), right=Model(config=SCRIPT, files=SCRIPTED)),
    "TR811": python("def predict(x):\n    return x\n"),
    "TR812": python("class TritonPythonModel\n    pass\n"),
    "TR813": Case(
        wrong=Model(config=PYTHON + ENVIRONMENT, files={"1/model.py": CODE}),
        right=Model(config=PYTHON, files={"1/model.py": CODE}),
    ),
    "TR901": Case(wrong=Model(files=published(changed=True)), right=Model(files=published())),
    "TR902": Case(wrong=Model(files=published() | {"1/evidence/manifest.json": "{"}), right=Model(files=published())),
    "TR903": Case(wrong=Model(files=published() | {"2/model.onnx": IDENTITY}), right=Model(files=published())),
    "TR104-after": Case(wrong=Model(config='platform: "onnxruntime_onnx" name: "a" max_batch_size: 4\n' + TENSORS), right=Model()),
    "TR107-folder": graphs({"1/model.onnx/network.onnx": IDENTITY}, {"1/model.onnx/model.onnx": IDENTITY}),
    "TR108-none": added("version_policy { specific { } }\n", "version_policy { latest { num_versions: 1 } }\n"),
    "TR208-any": Case(
        wrong=Model(config=ANY.replace("[ -1 ]", "[ 2, -1 ] reshape { shape: [ -1 ] }", 1), files=ANY_GRAPH),
        right=Model(config=ANY.replace("[ -1 ]", "[ 1, -1 ] reshape { shape: [ -1 ] }", 1), files=ANY_GRAPH),
    ),
    "TR301-zero": added("dynamic_batching { preferred_batch_size: [ 0 ] }\n", "dynamic_batching { preferred_batch_size: [ 1 ] }\n"),
    "TR303-high": added(PRIORITIES.replace("level: 1", "level: 3"), PRIORITIES.replace("level: 1", "level: 2")),
    "TR304-zero": added(PRIORITIES.replace("}", "priority_queue_policy { key: 0 value { max_queue_size: 8 } } }"), PRIORITIES),
    "TR518-batch": Case(
        wrong=Model(config=ENSEMBLE.replace("4", "0").replace("[ 3 ]", "[ -1, 4 ]"), files=EMPTY_VERSION),
        right=Model(config=ENSEMBLE.replace("4", "0").replace("[ 3 ]", "[ -1, 3 ]"), files=EMPTY_VERSION),
    ),
    "TR606-input": Case(
        wrong=Model(config=ANY.replace("[ -1 ]", "[ 3, 3 ]", 1), files=ANY_GRAPH),
        right=Model(config=ANY.replace("[ -1 ]", "[ 3 ]", 1), files=ANY_GRAPH),
    ),
    "TR606-output": Case(
        wrong=Model(config=ANY.replace("[ -1 ]", "[ 3 ]"), files=ANY_GRAPH), right=Model(config=ANY, files=ANY_GRAPH)
    ),
    "TR606-scalar": Case(
        wrong=Model(config=SCALAR.replace("[ 1 ]", "[ 2 ]", 1), files=SCALAR_GRAPH), right=Model(config=SCALAR, files=SCALAR_GRAPH)
    ),
    "TR607-scalar": Case(
        wrong=Model(config=SCALAR.replace("0", "4", 1), files=SCALAR_GRAPH), right=Model(config=SCALAR, files=SCALAR_GRAPH)
    ),
    "TR607-output": graphs(graph([("X", FLOAT, ["b", 3])], [("Y", FLOAT, [1, 3])])),
    "TR613-dims": graphs(
        graph([("X", FLOAT, ["b", 3]), ("START", FLOAT, ["b", 2])], [("Y", FLOAT, ["b", 3]), ("Z", FLOAT, ["b", 2])]),
        graph([("X", FLOAT, ["b", 3]), ("START", FLOAT, ["b", 1])], [("Y", FLOAT, ["b", 3]), ("Z", FLOAT, ["b", 1])]),
        config=BASE + f"sequence_batching {{ control_input [ {START} ] }}\n",
    ),
}
"""By rule id; further cases of a rule have a word behind its id."""

FOLLOWS: dict[str, set[str]] = {
    "TR201": {"TR603"},
    "TR226": {"TR606"},
    "TR321": {"TR603"},
    "TR322": {"TR613"},
    "TR324": {"TR613"},
    "TR507": {"TR506"},
    "TR514": {"TR516"},
    "TR602": {"TR603"},
    "TR612": {"TR603"},
}
"""What else is wrong with the model that breaks a rule."""

ELSEWHERE = {
    "TR001": "it is about the repository itself",
    "TR005": "lint does not look into such a model",
    "TR006": "the tests may run as root, who reads everything",
    "TR011": "it is about the repository itself",
    "TR010": "it takes a thousand findings",
    "TR103": "the file is not text",
    "TR112": "the server serves it",
    "TR113": "the server has no such backend",
    "TR403": "the server needs a GPU for it",
}
"""Rules whose tests are in tests/unit/lint/test_repository.py, with the reason."""


def directories() -> Iterator[tuple[str, Model]]:
    """All models by the name of their directory."""
    yield from PARTS.items()
    for name, case in CASES.items():
        yield case.name or f"{name.lower()}_wrong", case.wrong
        yield f"{name.lower()}_right", case.right


def write(root: Path) -> Path:
    """A repository with all models."""
    for name, model in directories():
        model.write(root / name)
    return root
