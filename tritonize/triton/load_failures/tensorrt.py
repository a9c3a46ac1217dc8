"""Messages about TensorRT plans, of Triton's TensorRT backend and of TensorRT itself, whose source is closed."""

from __future__ import annotations

from tritonize.triton.load_failures.row import LoadFailure

_LOADER = "tensorrt_backend src/loader.cc"
_STATE = "tensorrt_backend src/model_state.cc"
_INSTANCE = "tensorrt_backend src/instance_state.cc"
_UTILS = "tensorrt_backend src/tensorrt_utils.cc"
_REBUILD = "build the plan on the server's GPU with its TensorRT: tritonize plan request, then tritonize plan build"

TABLE = (
    LoadFailure(
        code="plan-other-device",
        pattern=r"generated on an incompatible device, expecting compute (?P<here>[\d.]+) got compute (?P<built>[\d.]+)",
        cause="the plan was built for a GPU of compute capability {built}; the server's GPU has {here}",
        fix=_REBUILD,
        where="model.plan, or cc_model_filenames in config.pbtxt",
        source="https://github.com/NVIDIA/TensorRT/issues/2176",
    ),
    LoadFailure(
        code="plan-other-tensorrt",
        pattern=r"not compatible with this version of TensorRT, expecting library version (?P<here>[\d.]+) got (?:(?P<built>[\d.]*\d))?",
        cause="the plan was built with TensorRT {built}; the server has {here}",
        fix=_REBUILD,
        where="model.plan",
        source="https://github.com/marcoslucianops/DeepStream-Yolo/issues/77",
    ),
    LoadFailure(
        code="plan-other-format",
        pattern=r"stdVersionRead == serializationVersion|[Vv]ersion tag does not match",
        cause="the plan was built with another version of TensorRT than the server's",
        fix=_REBUILD,
        where="model.plan",
        source="https://github.com/NVIDIA/TensorRT/issues/3898",
    ),
    LoadFailure(
        code="plan-no-plan",
        pattern=r"kPLAN_MAGIC_TAG|[Mm]agic tag does not match",
        cause="the file is no plan of this TensorRT: another format, a damaged file, or a plan of another major version",
        fix=_REBUILD,
        where="model.plan",
        source="https://github.com/triton-inference-server/server/issues/3173",
    ),
    LoadFailure(
        code="plan-plugin-missing",
        pattern=r"getPluginCreator could not find plugin|IPluginCreator not found in Plugin Registry",
        cause="the plan uses a plugin whose library the server has not loaded",
        fix="start the server with the library: LD_PRELOAD=/path/to/plugin.so tritonserver --model-repository=/models",
        where="the server's environment",
        source="https://github.com/NVIDIA-AI-IOT/tao-toolkit-triton-apps/issues/10",
    ),
    LoadFailure(
        code="plan-engine",
        pattern=r"unable to create TensorRT engine: ?(?P<why>.*)",
        cause="TensorRT cannot read the plan: another GPU, another version, a damaged file, or too little GPU memory",
        fix=_REBUILD,
        where="model.plan",
        source=_LOADER,
    ),
    LoadFailure(
        code="plan-runtime",
        pattern=r"unable to create TensorRT runtime",
        cause="TensorRT cannot use the GPU: driver and CUDA version do not match, or the container has no GPU",
        fix="run nvidia-smi in the container; start it with: docker run --gpus all nvcr.io/nvidia/tritonserver:<xx.yy>-py3",
        where="the server's environment",
        source=_LOADER,
    ),
    LoadFailure(
        code="plan-context",
        pattern=r"unable to create TensorRT context",
        cause="there is too little GPU memory for one more execution context",
        fix="lower count in instance_group, free GPU memory, or build the plan with smaller maximum shapes",
        where="config.pbtxt: instance_group.count",
        source=_INSTANCE,
    ),
    LoadFailure(
        code="plan-cpu",
        pattern=r"TensorRT backend supports only GPU device",
        cause="a plan runs only on a GPU, and the instance group has KIND_CPU",
        fix="write kind: KIND_GPU, or remove the instance group",
        where="config.pbtxt: instance_group.kind",
        source=_INSTANCE,
    ),
    LoadFailure(
        code="plan-batch-size",
        pattern=r"configuration specified max-batch (?P<own>\d+) but TensorRT engine only supports max-batch (?P<its>\d+)",
        cause="max_batch_size is {own}; the plan's profiles take batches of at most {its}",
        fix="set max_batch_size to at most {its}, or build the plan with a larger maximum batch",
        where="config.pbtxt: max_batch_size",
        source=_STATE,
    ),
    LoadFailure(
        code="plan-no-batch",
        pattern=r"underlying engine doesn't support batching|contradicting each other in terms of whether batching is supported",
        cause="max_batch_size is above 0, but the plan's first dimension is fixed",
        fix="set max_batch_size to 0 and write every dimension in dims, or build the plan with a dynamic batch",
        where="config.pbtxt: max_batch_size",
        source=_STATE,
    ),
    LoadFailure(
        code="plan-profile",
        pattern=r"[Cc]an ?not set the specified optimization profile (?P<profile>\S+)|specified invalid profile (?P<other>\S*)",
        cause="the plan has no optimization profile {profile}{other}",
        fix="write a profile of the plan, counted from 0, or remove the field",
        where="config.pbtxt: instance_group.profile",
        source=_INSTANCE,
    ),
    LoadFailure(
        code="plan-shape",
        pattern=r"binding '(?P<name>[^']*)' shape expected by framework (?P<its>.+?) doesn't match model configuration shape (?P<own>\S+)",
        cause="'{name}' has shape {its} in the plan and {own} in the configuration",
        fix="write the plan's dims, without the batch if max_batch_size is above 0",
        where="config.pbtxt: dims of {name}",
        source=_UTILS,
    ),
    LoadFailure(
        code="device-memory",
        pattern=r"CUDA (?:error|failure).*out of memory|Failed to allocate memory for requested buffer of size (?P<size>\d+)",
        cause="there is too little free memory, on the GPU or on the host, for this model beside the others",
        fix="lower count in instance_group, unload other models, or place the model on another GPU with gpus",
        where="config.pbtxt: instance_group",
        source="https://github.com/triton-inference-server/server/issues/5661",
    ),
)
