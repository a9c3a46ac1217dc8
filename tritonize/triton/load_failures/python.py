"""Messages of Triton's Python backend, and of a model's own Python code."""

from __future__ import annotations

from tritonize.triton.load_failures.row import LoadFailure

_STUB = "python_backend src/pb_stub.cc"
_LAUNCHER = "python_backend src/stub_launcher.cc"
_ENVIRONMENT = "python_backend src/pb_env.cc"
_CPYTHON = "CPython, passed on by python_backend src/pb_stub.cc"
_EXECUTION = "config.pbtxt: parameters EXECUTION_ENV_PATH"

TABLE = (
    LoadFailure(
        code="python-own-module",
        pattern=r"No module named '(?:\d+\.)(?P<module>[\w.]+)'",
        cause="model.py imports {module} from its own folder, and there is no such file",
        fix="put {module}.py beside model.py, in every version directory",
        where="the version directory",
        source=_CPYTHON,
    ),
    LoadFailure(
        code="python-module-missing",
        pattern=r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'",
        cause="model.py imports {module}, which the server's Python does not have",
        fix="install it in the server's image (pip install, whose package name may differ), or pack an environment for EXECUTION_ENV_PATH",
        where=f"model.py; {_EXECUTION}",
        source="https://github.com/triton-inference-server/server/issues/7410",
    ),
    LoadFailure(
        code="python-name-missing",
        pattern=r"ImportError: cannot import name '(?P<name>\w+)' from '(?P<module>[\w.]+)'",
        cause="the server's version of {module} has no {name}",
        fix="install the version of {module} that model.py was written for",
        where=f"model.py; {_EXECUTION}",
        source=_CPYTHON,
    ),
    LoadFailure(
        code="python-library-missing",
        pattern=r"ImportError: (?P<library>[\w./+-]+\.so[\w.]*): cannot open shared object file",
        cause="a Python package needs the library {library}, which the server's image does not have",
        fix="install the system package that contains {library} in the server's image, or add its folder to LD_LIBRARY_PATH",
        where="the server's environment",
        source=_CPYTHON,
    ),
    LoadFailure(
        code="python-abi",
        pattern=r"(?:version `?(?P<version>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)'? not found|undefined symbol: (?P<symbol>\w+))",
        cause="a library was built for another system or Python than the server's ({version}{symbol})",
        fix="build the packed environment in the server's own image, with the Python version of its stub",
        where=_EXECUTION,
        source="glibc's loader, passed on by python_backend src/pb_stub.cc",
    ),
    LoadFailure(
        code="python-numpy-abi",
        pattern=r"compiled using NumPy 1\.x cannot be run in NumPy 2|numpy\.dtype size changed|numpy\.core\.multiarray failed to import",
        cause="a Python package was built for another major version of NumPy than the installed one",
        fix='install a NumPy that fits: pip install "numpy<2", or a newer version of the package',
        where=f"the server's environment; {_EXECUTION}",
        source="NumPy, passed on by python_backend src/pb_stub.cc",
    ),
    LoadFailure(
        code="python-syntax",
        pattern=r"(?P<kind>SyntaxError|IndentationError|TabError): (?P<why>.*)",
        cause="model.py is not valid for the server's Python: {why}",
        fix="run python -m py_compile model.py with the server's version of Python",
        where="model.py",
        source=_CPYTHON,
    ),
    LoadFailure(
        code="python-no-class",
        pattern=r"has no attribute 'TritonPythonModel'",
        cause="model.py defines no class TritonPythonModel",
        fix="name the class TritonPythonModel, with the method execute(self, requests)",
        where="model.py",
        source=_STUB,
    ),
    LoadFailure(
        code="python-attribute",
        pattern=r"AttributeError: module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'",
        cause="the server's version of {module} has no {name}",
        fix="install the version of {module} that model.py was written for",
        where=f"model.py; {_EXECUTION}",
        source=_CPYTHON,
    ),
    LoadFailure(
        code="python-no-file",
        pattern=r"Python model file not found in '(?P<path>[^']*)'",
        cause="the version directory has no model.py",
        fix="add model.py to the version directory, or correct default_model_filename",
        where="the version directory; config.pbtxt: default_model_filename",
        source=_STUB,
    ),
    LoadFailure(
        code="python-file-missing",
        pattern=r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<path>[^']*)'",
        cause="model.py opens {path}, which the server does not have",
        fix="put the file into the version directory, and open it below args['model_repository'] and args['model_version']",
        where="model.py",
        source=_CPYTHON,
    ),
    LoadFailure(
        code="python-permission",
        pattern=r"PermissionError: \[Errno 13\] Permission denied: '(?P<path>[^']*)'",
        cause="the server's user may not read or write {path}",
        fix="grant its user the right, or write to a temporary folder: the repository may be mounted read-only",
        where="model.py",
        source=_CPYTHON,
    ),
    LoadFailure(
        code="python-arguments",
        pattern=r"TypeError: (?:TritonPythonModel\.)?(?P<method>initialize|execute|auto_complete_config)\(\) takes",
        cause="the method {method} has other parameters than Triton passes",
        fix="define initialize(self, args), execute(self, requests) and, as a static method, auto_complete_config(config)",
        where="model.py",
        source=_STUB,
    ),
    LoadFailure(
        code="python-auto-complete",
        pattern=r"auto_complete_config function in model '.*' must return a valid pb\.ModelConfig|auto-complete-config function for model",
        cause="the method auto_complete_config returns or adds what Triton does not accept",
        fix="return the object that it received, and give every tensor name, data_type and dims",
        where="model.py: auto_complete_config",
        source="python_backend src/pb_stub.cc, src/resources/triton_python_backend_utils.py",
    ),
    LoadFailure(
        code="python-process-died",
        pattern=r"Stub process '(?P<instance>[^']*)' is not healthy|Launch stub process failed|unexpected response from Python backend stub",
        cause="the model's process ended while it loaded: a crash in a library, os._exit, or too little memory",
        fix="run model.py alone with the server's Python: python -X faulthandler model.py; check dmesg for the OOM killer",
        where="model.py",
        source=_LAUNCHER,
    ),
    LoadFailure(
        code="python-shared-memory",
        pattern=r"Unable to initialize shared memory key|Failed to increase the shared memory pool size|Failed to create new mapped region for the grown shared memory",
        cause="/dev/shm is too small for the processes of the Python models; a container has 64 MiB by default",
        fix="start the container with more: docker run --shm-size=1g nvcr.io/nvidia/tritonserver:<xx.yy>-py3",
        where="the server's environment",
        source="python_backend src/shm_manager.cc",
    ),
    LoadFailure(
        code="python-environment-missing",
        pattern=r"Path (?P<path>\S+) does not exist\. The Python environment should contain an 'activate' script|Failed to get the canonical path for (?P<other>\S+?)\.?$",
        cause="EXECUTION_ENV_PATH names {path}{other}, which is missing or no packed environment",
        fix="pack it with conda-pack, put the archive into the model's directory, and write $$TRITON_MODEL_DIRECTORY/NAME.tar.gz",
        where=_EXECUTION,
        source=f"{_LAUNCHER}, {_ENVIRONMENT}",
    ),
    LoadFailure(
        code="python-environment-archive",
        pattern=r"archive_(?:read|write)_\w+\(\) failed with error code",
        cause="the packed Python environment cannot be unpacked: a damaged archive, or a full disk",
        fix="pack the environment again, and check the free space of the server's temporary folder: df -h /tmp",
        where=_EXECUTION,
        source=_ENVIRONMENT,
    ),
    LoadFailure(
        code="python-stub-missing",
        pattern=r"triton_python_backend_stub is not found|Failed to give execute permission to triton_python_backend_stub",
        cause="the Python backend is not completely installed, or its folder is read-only",
        fix="use an image with the Python backend: nvcr.io/nvidia/tritonserver:<xx.yy>-py3",
        where="the server's backend directory",
        source="python_backend src/python_be.cc, src/stub_launcher.cc",
    ),
)
