"""For each row of `tritonize.triton.load_failures`: a message as its source writes it, with the values of an example."""

from __future__ import annotations

_ORT = "Load model from /r/m/1/model.onnx failed:"
_STOCK = "unable to load model 'm', "
LINES = {
    # ensembles
    "ensemble-step-refused": "ensemble 'e' depends on 's' which has no loaded version. Model 's' loading failed with error: version 1 is "
    "at UNAVAILABLE state: Internal: unable to create TensorRT engine: x;",
    "ensemble-step-version": "ensemble 'e' depends on 's' whose required version 9 is not loaded.",
    "ensemble-step-missing": "ensemble e contains models that are not available or ambiguous: s",
    "ensemble-circle": "circular dependency between ensembles: e -> ... -> f -> e",
    "ensemble-batch-size": "ensemble e allows maximum batch size 8, but it contains model s which only allows maximum batch size to be 4",
    "ensemble-map-unknown": "in ensemble e, ensemble tensor B is mapping to non-existing input Z in model s",
    "ensemble-input-unmapped": "in ensemble e, input B in model s is not mapped to any ensemble tensors",
    "ensemble-map-twice": "in ensemble e, input B in model s is mapped to multiple ensemble tensors",
    "ensemble-types": "in ensemble e, ensemble tensor A: inconsistent data type: TYPE_FP32 is inferred from model e while TYPE_FP16 is "
    "inferred from model s",
    "ensemble-unused": "ensemble input 'B' for ensemble e' is not used",
    "ensemble-without-steps": "must specify 'step' for ensemble 'e'",
    "ensemble-field": "instance group should not be specified for ensemble 'e'",
    "steps-without-ensemble": "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble",
    # TensorRT
    "plan-other-device": "unable to create TensorRT engine: IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan "
    "file is generated on an incompatible device, expecting compute 8.9 got compute 8.6, please rebuild.)",
    "plan-other-tensorrt": "The engine plan file is not compatible with this version of TensorRT, expecting library version 8.0.0 got "
    "8.0.1, please rebuild.",
    "plan-other-format": "Error Code 1: Serialization (Serialization assertion stdVersionRead == serializationVersion failed.Version tag does "
    "not match. Note: Current Version: 236, Serialized Engine Version: 237)",
    "plan-no-plan": "Error Code 1: Serialization (Serialization assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)",
    "plan-plugin-missing": "3: getPluginCreator could not find plugin: BatchTilePlugin_TRT version: 1",
    "plan-engine": "unable to create TensorRT engine: no reason",
    "plan-runtime": "unable to create TensorRT runtime: CUDA initialization failure with error: 35",
    "plan-context": "unable to create TensorRT context: no reason",
    "plan-cpu": f"{_STOCK}TensorRT backend supports only GPU device",
    "plan-batch-size": "autofill failed for model 'm': configuration specified max-batch 8 but TensorRT engine only supports max-batch 4",
    "plan-no-batch": "autofill failed for model 'm': model tensor shape configuration hints for dynamic batching but the underlying engine "
    "doesn't support batching.",
    "plan-profile": "Can not set the specified optimization profile 3[3] for m_0. Expected optimization profile index range 0-0",
    "plan-shape": f"{_STOCK}binding 'X' shape expected by framework [-1,3] doesn't match model configuration shape [-1,4]",
    "device-memory": "onnx runtime error 6: Exception during initialization: bfc_arena.cc:368 void* onnxruntime::BFCArena::"
    "AllocateRawInternal() Failed to allocate memory for requested buffer of size 268435456",
    # Python
    "python-own-module": "ModuleNotFoundError: No module named '1.other'",
    "python-module-missing": "ModuleNotFoundError: No module named 'transformers'",
    "python-name-missing": "ImportError: cannot import name 'nothing' from 'json' (/usr/lib/python3.10/json/__init__.py)",
    "python-library-missing": "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
    "python-abi": "ImportError: /lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by x.so)",
    "python-numpy-abi": "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1.0 as it may crash.",
    "python-syntax": "SyntaxError: invalid syntax (model.py, line 1)",
    "python-no-class": "AttributeError: module '1.model' has no attribute 'TritonPythonModel'",
    "python-attribute": "AttributeError: module 'json' has no attribute 'nothing'",
    "python-no-file": "Python model file not found in '/r/m/1/model.py'",
    "python-file-missing": "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/weights.bin'",
    "python-permission": "PermissionError: [Errno 13] Permission denied: '/r/m/1/cache'",
    "python-arguments": "TypeError: TritonPythonModel.initialize() takes 1 positional argument but 2 were given",
    "python-auto-complete": "auto_complete_config function in model 'm' must return a valid pb.ModelConfig object.",
    "python-process-died": "Stub process 'm_0_0' is not healthy.",
    "python-shared-memory": "Unable to initialize shared memory key 'triton_python_backend_shm_region_3' to requested size (67108864 bytes). If "
    "you are running Triton inside docker, use '--shm-size' flag to control the shared memory region size. Each Python backend model "
    "instance requires at least 64MBs of shared memory. Error: No space left on device",
    "python-environment-missing": "Path /e/bin/activate does not exist. The Python environment should contain an 'activate' script.",
    "python-environment-archive": "archive_read_next_header() failed with error code = -30 error message is Unrecognized archive format",
    "python-stub-missing": "triton_python_backend_stub is not found. Searched paths: /opt/tritonserver/backends/python and /b",
    # ONNX
    "onnx-not-parsed": f"{_ORT}Protobuf parsing failed.",
    "onnx-empty": f"{_ORT}No graph was found in the protobuf.",
    "onnx-ir-version": f"{_ORT}/onnxruntime_src/onnxruntime/core/graph/model.cc:180 onnxruntime::Model::Model(onnx::ModelProto&&) Unsupported "
    "model IR version: 11, max supported IR version: 10",
    "onnx-opset": f"{_ORT}ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 99 is "
    "under development and support for this is limited. Current official support for domain ai.onnx is till opset 28.",
    "onnx-custom-operator": f"{_ORT}Fatal error: com.example:Add(-1) is not a registered function/op",
    "onnx-unknown-operator": f'{_ORT}This is an invalid model. In Node, ("", Addd, "", -1), Error No Op registered for Addd with '
    "domain_version of 18",
    "onnx-no-kernel": "Could not find an implementation for Add(14) node with name ''",
    "onnx-weights-missing": 'External data path validation failed for initializer: W. Error: External data path does not exist: "/r/w.data"',
    "onnx-file-missing": "unable to find '/r/m/1/model.onnx' for model instance 'm_0'",
    "onnx-invalid-graph": f"{_ORT}This is an invalid model. Error: Duplicate definition of name (SUM).",
    "onnx-input-count": f"{_STOCK}configuration expects 1 inputs, model provides 2",
    "onnx-tensor-names": "the configuration has inputs 'A', 'C', the model has 'A', 'B'; not in the model: 'C'; not in the configuration: 'B'",
    "onnx-output-name": "output 'OTHER' is not in the model, which has 'SUM', 'DIFF'",
    "tensor-name-unknown": "unexpected inference input 'C', allowed inputs are: A, B",
    "onnx-type": f"{_STOCK}configuration expects datatype TYPE_FP16 for input 'A', model provides TYPE_FP32",
    "tensor-type": "input 'B': the configuration says TYPE_FP16, the model has TYPE_FP32",
    "tensor-shape": "input 'B': the configuration says dims [-1, 4] (the batch first), the model has [-1, 3]",
    "stock-shape": "model 'm', tensor 'A': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies 3 dimensions "
    "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete shape [-1,3,1])",
    "stock-no-batch": "model 'm', tensor 'A': for the model to support batching the shape should have at least 1 dimension and the first "
    "dimension must be -1; but shape expected by the model is [2,3]",
    "autofill-no-batch": "autofill failed for model 'm': model does not support batching while non-zero max_batch_size is specified",
    "optional-input-batched": f"{_STOCK}optional input 'A' is not supported for models that support batching",
    "sequence-control-input": "configuration specified sequence control 'START', but model does not provide that input",
    "accelerator-unknown": "unknown Execution Accelerator 'openvin' is requested",
    "parameter-value": "parameter intra_op_thread_count: expected a whole number, found 'two'",
    # core
    "config-unknown-field": 'config.pbtxt, line 6, column 14: Message type "inference.ModelConfig" has no field named "max_batchsize".',
    "config-unknown-value": 'config.pbtxt, line 3, column 45: Unknown enumeration value of "TYPE_FLOAT32" for field "data_type".',
    "config-syntax": "config.pbtxt, line 7, column 1: Expected identifier, got: ",
    "config-missing": "failed to open text file for read /r/m/config.pbtxt: No such file or directory",
    "warmup-file": "failed to open text file for read /r/m/warmup/missing: No such file or directory",
    "file-permission": "failed to open text file for read /r/m/config.pbtxt: Permission denied",
    "config-other-name": "unexpected directory name 'm' for model 'n', directory name must equal model name",
    "platform-unknown": "unexpected platform type 'onnx' for m",
    "platform-missing": "must specify 'platform' or 'backend' for 'm'",
    "platform-and-backend": "unexpected 'platform' and 'backend' pair, got:onnxruntime_onnx, python",
    "backend-missing": "unable to find backend library for backend 'onnxruntime', try specifying runtime on the model configuration.",
    "backend-library": "unable to load shared library: libcudnn.so.9: cannot open shared object file: No such file or directory",
    "backend-too-new": "Triton TRITONBACKEND API version: 1.10 does not support 'onnxruntime' TRITONBACKEND API version: 1.19",
    "version-missing": "at least one version must be available under the version policy of model 'm'",
    "batch-negative": "'max_batch_size' must be non-negative value for m",
    "preferred-batch": "dynamic batching preferred size must be <= max batch size for m",
    "priority-levels": "default priority level must be in range [1, 2] for m",
    "preserve-ordering": "Only one priority level is allowed when 'preserve_ordering' is true for m",
    "tensor-field": "model input 'A' must specify 'data_type' for m",
    "tensor-name": "model input must specify 'name' for m",
    "tensor-dimension": "model input 'A' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for m",
    "reshape": "model input 'A' has different size for dims and reshape for m",
    "format": "model input NHWC/NCHW require 3 dims for m",
    "tensorrt-field": "shape tensors are only supported for TensorRT platform for m",
    "no-gpu": "instance group m_0 of model m has kind KIND_GPU but no GPUs are available",
    "gpu-number": "instance group m_0 of model m specifies invalid or unsupported gpu id 3. GPUs with at least the minimum required CUDA "
    "compute compatibility of 6.000000 are: 0, 1",
    "gpus-of-other-kind": "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs",
    "memory-limit": "can not create model 'm': memory limit set for GPU 0 has exceeded, model loading is rejected.",
    "resource-scope": 'Resource "R" is present as both global and device-specific resource in the model configuration.',
    "resource-count": 'Resource count for "R" is limited to 1 which will prevent scheduling of one or more model instances, the minimum '
    "required count is 4",
    "response-cache-kind": "Response Cache does not currently support model m with 'decoupled' transaction policy. Please disable the response "
    "cache.",
    "batch-tensor-source": "unknown source input name 'Z' for batch_input",
    "batch-tensor-kind": "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 2",
    "sequence-control": "sequence batching control 'fp32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_START for m",
    "sequence-control-type": "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are TYPE_UINT64, TYPE_INT64",
    "warmup-sample": "warmup setting expects 12 bytes, but the data provided from only has 4 bytes",
    "agent-missing": "unable to find 'libtritonrepoagent_checksum.so' for repo agent 'checksum', searched: /opt/tritonserver/repoagents",
    "several-models-of-a-name": "There are 2 identifiers of model 'm' in global map, model namespace must be provided to resolve ambiguity.",
}
