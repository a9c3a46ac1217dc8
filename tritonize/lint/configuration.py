"""Rules about config.pbtxt as a whole: its text, the model's name, platform and backend."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf import text_format

from tritonize.core import bounded_files
from tritonize.lint.model import CONFIG, CONFIG_LIMIT, PLATFORMS, Model
from tritonize.lint.rule import Diagnostic, Edit, Rule
from tritonize.triton import text_form

MISSING = Rule(
    id="TR101",
    name="no-configuration",
    severity="info",
    triton="completes",
    what="The model has no config.pbtxt, so Triton completes one from the model file.",
    why="What Triton completes depends on its version and on the backend; with `--disable-auto-complete-config` it refuses "
    "the model "
    "(core, `InitializeModelInfo`). `tritonize config MODEL` prints what it would complete.",
    fix="write the configuration down, such as what `tritonize config MODEL` prints",
    wrong="heart/\n└── 1/model.onnx",
    right="heart/\n├── config.pbtxt\n└── 1/model.onnx",
)
SYNTAX = Rule(
    id="TR102",
    name="syntax",
    severity="error",
    triton="refuses",
    what="The configuration is not a valid ModelConfig.",
    why="config.pbtxt is the text form of Triton's protobuf message `ModelConfig`. Unknown fields, unknown enum values and "
    "a field that "
    "is set twice are errors.",
    fix="correct the field; Triton's model_config.proto lists all of them",
    wrong="max_batch_sizes: 8",
    right="max_batch_size: 8",
)
ENCODING = Rule(
    id="TR103",
    name="not-text",
    severity="error",
    triton="depends",
    what="The configuration cannot be read as UTF-8 text.",
    why="Protobuf's texts are UTF-8. A configuration of several megabytes is not one that a person wrote.",
    fix="write the file as UTF-8",
    wrong='name: "heart"   # saved as UTF-16',
    right='name: "heart"',
)
NAME = Rule(
    id="TR104",
    name="name-differs",
    severity="error",
    triton="refuses",
    what="The model's name differs from its directory's.",
    why="Triton requires them to be equal, so that no two models have one name (core, `InitializeModelInfo`). Without `name` the "
    "directory's name is taken.",
    fix="use the directory's name, or remove `name`",
    wrong='name: "hart"    # in the directory heart/',
    right='name: "heart"',
    fixable=True,
)
NO_BACKEND = Rule(
    id="TR105",
    name="no-backend",
    severity="error",
    triton="refuses",
    what="Triton cannot tell which backend runs the model.",
    why="Without `backend` and `platform` Triton looks for a file that it knows (model.onnx, model.plan, model.pt, "
    "model.py, model.xml) "
    "in the first version, and then for an ending of the model's own name (core, `AutoCompleteBackendFields`).",
    fix="set `backend`",
    wrong='name: "heart"\nmax_batch_size: 4',
    right='name: "heart"\nbackend: "onnxruntime"\nmax_batch_size: 4',
)
PAIR = Rule(
    id="TR106",
    name="platform-and-backend",
    severity="error",
    triton="refuses",
    what="Platform and backend do not belong together.",
    why="Triton knows these pairs: "
    + ", ".join(f"`{platform}` and `{backend}`" for platform, backend in PLATFORMS.items())
    + ". A "
    "backend of these with another platform is refused (core, `ValidateModelConfig`).",
    fix="remove `platform`, or correct it",
    wrong='platform: "tensorrt_plan"\nbackend: "onnxruntime"',
    right='platform: "onnxruntime_onnx"\nbackend: "onnxruntime"',
)
BATCH_NEGATIVE = Rule(
    id="TR110",
    name="negative-batch-size",
    severity="error",
    triton="refuses",
    what="`max_batch_size` is negative.",
    why="0 means that the model takes no batches (core, `ValidateModelConfig`).",
    fix="set it to 0, or to the largest batch",
    wrong="max_batch_size: -1",
    right="max_batch_size: 8",
)
GONE_BACKEND = Rule(
    id="TR113",
    name="backend-gone",
    severity="warning",
    triton="depends",
    what="Current Triton releases do not contain this backend.",
    why="NVIDIA's images contain no TensorFlow backend since 25.03, and none for Caffe2 and TensorFlow-TRT.",
    fix="export the model to ONNX, or pin the release of the server",
    wrong='platform: "tensorflow_savedmodel"',
    right='backend: "onnxruntime"',
)
VARIANT = Rule(
    id="TR114",
    name="variant-syntax",
    severity="warning",
    triton="accepts",
    what="A configuration in `configs/` is not a valid ModelConfig.",
    why="`configs/NAME.pbtxt` replaces config.pbtxt when the server runs with `--model-config-name=NAME`; it would refuse "
    "the model then.",
    fix="correct the field, or remove the file",
    wrong="max_batch_sizes: 8   # in configs/large.pbtxt",
    right="max_batch_size: 8",
)
TWO_SCHEDULERS = Rule(
    id="TR115",
    name="several-schedulers",
    severity="error",
    triton="refuses",
    what="The configuration chooses more than one scheduler.",
    why="`dynamic_batching`, `sequence_batching` and `ensemble_scheduling` exclude each other: they are one `oneof` of "
    "ModelConfig.",
    fix="keep one of them",
    wrong="dynamic_batching { }\nsequence_batching { }",
    right="dynamic_batching { }",
)
RULES = (
    MISSING,
    SYNTAX,
    ENCODING,
    NAME,
    NO_BACKEND,
    PAIR,
    BATCH_NEGATIVE,
    GONE_BACKEND,
    VARIANT,
    TWO_SCHEDULERS,
)
SCHEDULERS = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")
_AT = re.compile(r"^\d+:\d+ : ")


def text(model: Model) -> Iterator[Diagnostic]:
    """Check that there is a configuration, and that protobuf accepts its text."""
    if model.text is None:
        if model.problem:
            if model.may_read(model.directory / CONFIG):  # else `layout` reports the link
                yield model.of(ENCODING, CONFIG, found=model.problem)
        elif not model.completed.backend:
            yield model.of(NO_BACKEND, "", found="no config.pbtxt, and no file that tells")
        else:
            yield model.of(MISSING, "", found=f"the backend {model.completed.backend}, by {model.completed.filename or 'its name'}")
        return
    error = model.parsed
    if not isinstance(error, text_format.ParseError):
        return
    chosen = [each for each in SCHEDULERS if model.places.count(each)]
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    rule, found = SYNTAX, _AT.sub("", str(error))
    if len(chosen) > 1 and all(model.places.count(each) == 1 for each in chosen):
        place = max((model.places.place((each,)) for each in chosen), key=lambda each: (each.line, each.column))
        if place.line == line:
            rule, found = TWO_SCHEDULERS, ", ".join(chosen)
    yield Diagnostic(
        rule=rule,
        model=model.name,
        path=f"{model.name}/{CONFIG}",
        line=line,
        column=column,
        found=_short(found),
        triton=rule.triton,
    )


def _short(found: str) -> str:
    return re.sub(r"\s+", " ", found).replace('Message type "inference.ModelConfig"', "ModelConfig").strip(" .")[:200]


def variants(model: Model) -> Iterator[Diagnostic]:
    """Check the named variants of the configuration."""
    from tritonclient.grpc import model_config_pb2

    folder = model.directory / "configs"
    if "configs" not in model.entries or not model.may_read(folder):
        return
    try:
        files = sorted(folder.glob("*.pbtxt"))[:100]
    except OSError:
        return
    for file in files:
        if model.may_read(file):
            try:
                text_form.parse(bounded_files.text(file, limit=CONFIG_LIMIT), model_config_pb2.ModelConfig())
            except (OSError, ValueError, text_format.ParseError) as error:
                line = error.GetLine() if isinstance(error, text_format.ParseError) else None
                yield model.of(VARIANT, f"configs/{file.name}", found=_short(_AT.sub("", str(error))), line=line)


def identity(model: Model) -> Iterator[Diagnostic]:
    """Check name, platform and backend, as written and as Triton derives them."""
    config, completed = model.config, model.completed
    if config.name and config.name != model.name:
        yield model.at(NAME, "name", found=repr(config.name), expected=repr(model.name), edit=_new_name(model))
    if completed.platform == "ensemble":
        return  # in `ensembles`
    if not completed.backend and model.text is not None:
        found = f"platform {config.platform!r}" if config.platform else "neither backend nor platform, and no file that tells"
        yield model.at(NO_BACKEND, "platform", found=found)
    elif completed.backend in PLATFORMS.values() and PLATFORMS.get(completed.platform) != completed.backend:
        found = f"platform {completed.platform!r} with backend {completed.backend!r}"
        yield model.at(PAIR, "platform", found=found, expected=" or ".join(_platforms(completed.backend)))
    if completed.backend in ("tensorflow", "caffe2"):
        yield model.at(GONE_BACKEND, "backend" if config.backend else "platform", found=completed.backend)
    if config.max_batch_size < 0:
        yield model.at(BATCH_NEGATIVE, "max_batch_size", found=str(config.max_batch_size), expected="0 or more")


def _platforms(backend: str) -> list[str]:
    return [repr(platform) for platform, each in PLATFORMS.items() if each == backend]


def _new_name(model: Model) -> Edit | None:
    node = model.places.node(("name",))
    if node is None or not re.fullmatch(r"[\w.\-]+", model.name):
        return None
    return Edit(start=node.value, end=node.value + len(node.text), text=f'"{model.name}"') if _is_plain(model, node.value) else None


def _is_plain(model: Model, offset: int) -> bool:
    """Whether the text at an offset is one token, without adjacent texts that protobuf joins."""
    return re.match(r"""(["'])[\w.\-]*\1\s*([,;#\n]|\w|$)""", (model.text or "")[offset : offset + 300]) is not None
