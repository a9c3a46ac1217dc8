"""Messages about the search for the node that an error comes from and for nodes that have to stay in fp32."""

from __future__ import annotations

from tritonize.core.messages import Message

NOTHING_HELPS = Message(
    code="keep-fp32-nothing-helps",
    what="The gate fails in {precision} unless every node stays in fp32 ({trials} sets of nodes were tried). Widen the tolerance "
    "on purpose, or set precision: fp32.",
)
NONE_FOUND = Message(
    code="keep-fp32-none-found",
    what="The gate fails in {precision}. The search stopped after {trials} trials without a set of nodes to keep in fp32; "
    "`tritonize locate SPEC --write` tries up to 64 sets, or --trials N.",
)
STATE_BETWEEN_CALLS = Message(
    code="locate-state",
    what=(
        "Every node of {found} computes the expected output from its inputs. The PyTorch model changes its own attributes in "
        "forward(), and the file holds their values from the exported run."
    ),
    next_step="compute them in __init__, or make them inputs and outputs of forward(), and export again",
)
NO_COUNTERPART = Message(
    code="locate-no-counterpart",
    what="No tensor of the graph has a counterpart, so there is nothing to compare.",
    cause="the names of nodes and tensors differ between the two files",
    next_step="compare files whose nodes keep their names, such as a file and a simplified or reduced copy of it",
)
OTHER_INPUTS = Message(
    code="locate-other-inputs",
    what="The inputs of the graph differ from the inputs of the samples.",
    next_step="pass samples with the inputs of the graph",
)
OTHER_CALLS = Message(
    code="locate-other-calls",
    what="The model calls other modules for another sample, so its modules cannot be compared over several samples.",
    next_step="compare one sample",
)
PART_FAILED = Message(
    code="locate-part-failed",
    what="ONNX Runtime fails on a part of the graph.",
    cause="an operator without an implementation on the CPU, or values that it does not accept",
    next_step="compare the whole files instead: tritonize check EXPECTED.onnx FOUND.onnx",
)
PART_REFUSED = Message(
    code="locate-part-refused",
    what="ONNX Runtime does not load a part of the graph.",
    cause="an operator that this version of ONNX Runtime does not implement",
    next_step="compare the whole files instead: tritonize check EXPECTED.onnx FOUND.onnx",
)
OPERATOR_LIBRARY = Message(
    code="locate-operator-library",
    what="ONNX Runtime does not load the library of custom operators.",
    cause="the library was built for another version of ONNX Runtime, or one of its own libraries is missing",
    next_step="run `ldd` on the library, and build it for the version of ONNX Runtime that `tritonize doctor` names",
)
MODEL_FILE_MISSING = Message(
    code="locate-file-missing",
    what="The ONNX file does not exist.",
    next_step="correct the path",
)
SEARCH_ENDED = Message(
    code="locate-search-ended",
    what="The worker that searches for the error ended without a result.",
    cause="the search takes longer or needs more memory than its limits allow",
    next_step="raise deadline_s or memory_mib in the spec",
)
