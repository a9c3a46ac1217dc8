"""The table of stages and the recorder."""

import pytest

from tritonize.core import redaction, stages
from tritonize.core.artifacts import from_json, to_json
from tritonize.core.recorder import Outcome, Recorder
from tritonize.core.reports import Check, Stage
from tritonize.core.stages import ModelFile, StageName

ORDER = (
    "pytorch",
    "onnxruntime",
    "plan",
    "http",
    "grpc",
    "shm",
    "stream",
    "again",
    "order",
    "padded",
    "concurrent",
    "new samples",
    "classification",
)


def test_stages_are_in_order_from_pytorch_to_the_client() -> None:
    others = (StageName.PLAN_RUN, StageName.STEP)  # each in the place of another one
    plain = [each for each in StageName if each.order < len(ORDER) and each.precision is None and each not in others]
    assert tuple(each.key for each in sorted(plain, key=lambda each: each.order)) == ORDER


def test_keys_are_unique() -> None:
    assert len({each.key for each in StageName}) == len(StageName.__members__)  # an equal key would make an alias
    assert all(each.heading and each.action for each in StageName)


@pytest.mark.parametrize(
    ("base", "precision", "emulated", "text"),
    [
        (StageName.PYTORCH, "fp64", False, "pytorch fp64"),
        (StageName.PYTORCH, "fp16", False, "pytorch fp16"),
        (StageName.PYTORCH, "bf16", False, "pytorch bf16"),
        (StageName.ONNXRUNTIME, "fp16", False, "onnxruntime fp16"),
        (StageName.ONNXRUNTIME, "fp16", True, "onnxruntime fp16 (emulated)"),
        (StageName.ONNXRUNTIME, "bf16", True, "onnxruntime bf16 (emulated)"),
    ],
)
def test_a_stage_in_another_precision_has_its_own_key(base, precision, emulated, text) -> None:
    stage = base.at(precision, emulated=emulated)
    assert (stage.key, stage.precision, stage.emulated, stage.order) == (text, precision, emulated, base.order)


def test_a_missing_precision_is_an_error() -> None:
    with pytest.raises(ValueError, match="onnxruntime"):
        StageName.ONNXRUNTIME.at("bf16")


def test_a_stage_is_stored_as_its_key_in_json() -> None:
    check = Check(stage=StageName.EMULATED_FP16, batch_size=1, samples=(0,), tensors=())
    assert to_json(check)["stage"] == "onnxruntime fp16 (emulated)"
    assert from_json(Check, to_json(check)) == check
    named = Stage(name=ModelFile("a.onnx"), verdict="passed", seconds=0.0)
    assert to_json(named)["name"] == "a.onnx"
    assert (stages.heading(named.name), stages.action(named.name)) == ("a.onnx", "a.onnx")


def test_redaction_keeps_stage_names() -> None:
    check = Check(stage=StageName.HTTP, batch_size=1, samples=(0,), tensors=())
    assert redaction.sanitized(check, words=("http",), folders={}).stage is StageName.HTTP


def test_the_recorder_adds_stages_and_notifies_the_listener() -> None:
    events: list[tuple[str, Stage | None]] = []
    recorder = Recorder(lambda name, stage: events.append((name, stage)))
    with recorder.stage(StageName.EXPORT) as outcome:
        outcome.cost(Stage(name=StageName.EXPORT, verdict="passed", seconds=0.0, library_seconds=2.0, peak_memory=3))
        outcome.note, outcome.verdict = "n", "failed"
    recorder.not_run(StageName.SERVER, "no GPU")
    done, left = recorder.stages
    assert (done.verdict, done.library_seconds, done.peak_memory, done.note) == ("failed", 2.0, 3, "n")
    assert (left.name, left.verdict, left.note) == ("server", "not run", "no GPU")
    assert events == [("export", None), ("export", done), ("server", left)]
    assert Outcome() == Outcome(verdict="passed", library_seconds=0.0, peak_memory=0, note="")
