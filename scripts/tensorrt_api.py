"""What the Python bindings of a TensorRT really have: `python scripts/tensorrt_api.py WHEEL > VERSION.json`.

The tests read what it writes in `tests/support/tensorrt_api`.

The bindings are on PyPI for every version (`tensorrt-bindings`, `tensorrt-cu12-bindings`, `tensorrt-cu13-bindings`). The libraries
under them are not, and need not be there to look: the bindings take a dozen functions of those, and empty ones are compiled here.
So classes, members and signatures are the real ones, while every call would answer nothing. It needs a C compiler and a Python
that the wheel is for.
"""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CLASSES = (
    "Builder",
    "BuilderFlag",
    "ComputeCapability",
    "DataType",
    "DynamicShapesKernelSpecializationStrategy",
    "EngineInspector",
    "HardwareCompatibilityLevel",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IOutputAllocator",
    "IPluginRegistry",
    "IProgressMonitor",
    "IRuntimeConfig",
    "IStreamWriter",
    "ITensor",
    "ITimingCache",
    "LayerInformationFormat",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "IPluginCreator",
    "OnnxParser",
    "OnnxParserFlag",
    "ParserError",
    "ProfilingVerbosity",
    "Runtime",
    "TensorFormat",
    "TensorIOMode",
    "TensorLocation",
)
"""Those that tritonize takes to; a version may lack some."""
FUNCTIONS = ("get_plugin_registry", "init_libnvinfer_plugins")
NVIDIA = re.compile(r"^(?:create|get|init)\w*(?:Infer|Nv|Plugin)\w*$|^_ZN\d+nv")


def unpacked(wheel: Path, folder: Path) -> Path:
    """The bindings, with empty libraries beside them."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (library,) = folder.glob("*/tensorrt*.so")
    told = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    needed = [name for name in re.findall(r"\(NEEDED\).*\[(.+?)\]", told) if name.startswith("libnv") or "tensorrt" in name]
    told = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True).stdout
    wanted = sorted({name for line in told.splitlines() if NVIDIA.match(name := line.split()[-1].partition("@")[0])})
    (folder / "empty.c").write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in wanted))
    for name in needed:
        command = ["gcc", "-shared", "-fPIC", "-o", folder / name, folder / "empty.c", f"-Wl,-soname,{name}"]
        subprocess.run(command, check=True)
    return library


def imported(library: Path):
    """The module, as if it were the package of its name."""
    import ctypes
    import importlib.machinery
    import importlib.util

    for each in sorted(library.parents[1].glob("lib*.so*")):
        ctypes.CDLL(str(each), mode=ctypes.RTLD_GLOBAL)
    name = library.name.partition(".")[0]
    loader = importlib.machinery.ExtensionFileLoader(name, str(library))
    spec = importlib.util.spec_from_file_location(name, library, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def signatures(function) -> list[str]:
    """Of all overloads, as the bindings write them; none where it is an attribute."""
    said = getattr(function, "__doc__", None) or ""
    name = getattr(function, "__name__", "")
    if not name or not callable(function):
        return []
    every = re.findall(rf"^(?:\d+\. )?({re.escape(name)}\(.*)$", said, re.MULTILINE)
    return [each for each in every if each != f"{name}(*args, **kwargs)"]  # the heading of overloads


def described(module) -> dict:
    """Class to member to its signatures; functions under the empty name."""
    found = {}
    for name in CLASSES:
        kind = getattr(module, name, None)
        if kind is not None:
            members = [each for each in dir(kind) if not each.startswith("_") or each == "__init__"]
            found[name] = {each: signatures(getattr(kind, each)) for each in members if each not in ("name", "value")}
            if not hasattr(kind, "__members__"):  # of an enumeration these are no members of ours
                found[name] |= {each: [] for each in ("name", "value") if hasattr(kind, each)}
    found[""] = {name: signatures(getattr(module, name)) for name in FUNCTIONS if hasattr(module, name)}
    return found


def main() -> None:
    """Look into one wheel and print it."""
    with tempfile.TemporaryDirectory() as folder:
        module = imported(unpacked(Path(sys.argv[1]), Path(folder)))
        print(json.dumps(described(module), indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
