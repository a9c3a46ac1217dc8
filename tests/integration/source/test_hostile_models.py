"""Model files that are made to run code, to open files or to fill the memory: each is refused by name and place, and does nothing.

An attack that succeeds leaves a mark in the test's folder. Under torch 2.13 alone the expressions, the guards, the pickles and
`__setstate__` do; other forms are refused since PyTorch writes them into code, whether or not these very files get that far.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.support.command import tritonize
from tritonize.core.errors import ExportError, TritonizeError, UsageError
from tritonize.source import model_files
from tritonize.source.model_files import expressions, refused
from tritonize.source.tasks import InspectRequest, LoadRequest
from tritonize.source.worker import inspection as inspect_worker
from tritonize.source.worker import loader, operators_used
from tritonize.triton import config_template

MARK = "executed"
TOUCH = f"__import__('pathlib').Path('{MARK}').touch()"
TRIED: list[str] = []
"""Every attack that was tried and refused; counted at the end."""


class Network(torch.nn.Module):
    """Two inputs, one of them in a dictionary, with sizes that are arithmetic on both."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, more: dict[str, torch.Tensor]) -> torch.Tensor:
        joined = torch.cat([self.linear(x), more["a"].reshape(-1, 4)])
        return torch.einsum("bi,bj->bij", joined, joined).reshape(joined.shape[0] * 2, 8)


class Reader(torch.nn.Module):
    """Opens a file, which makes it, in a method of a submodule."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("executed", True, 4)


class Whole(torch.nn.Module):
    """What a user would load."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Reader()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Reviver(torch.nn.Module):
    """Opens a file when it is loaded: `__setstate__` runs inside `torch.jit.load`."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.ones(4)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return (self.kept, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.kept = torch.from_file("executed", True, 4)
        self.training = state[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.kept


class Plain(torch.nn.Module):
    """Names that an attack would use, in a model that does nothing but arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.save = [1, 2]
        self.ops = torch.nn.ModuleDict({"a b": torch.nn.Linear(4, 4), "0": torch.nn.Linear(4, 4)})

    def forward(self, x: torch.Tensor, ops: int = 1) -> torch.Tensor:
        for layer in self.ops.values():
            x = layer(x)
        assert x.dim() == 2, "torch and ops: from_file 'quoted' \\ # no comment"
        return x * self.save[1] + ops


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """program.pt2, and the scripted modules above as .pt files."""
    folder = tmp_path_factory.mktemp("saved")
    dynamic = {0: torch.export.Dim.DYNAMIC}
    sample = (torch.randn(6, 4), {"a": torch.randn(8, 4)})
    captured = torch.export.export(Network().eval(), sample, dynamic_shapes=(dynamic, {"a": dynamic}), strict=False)
    torch.export.save(captured, folder / "program.pt2")
    for kind in (Reader, Whole, Reviver, Plain):
        torch.jit.script(kind().eval()).save(str(folder / f"{kind.__name__}.pt"))
    return folder


def rewritten(source: Path, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes] | None = None) -> str:
    """A copy of an archive in this folder with changed members; `None` leaves one out."""
    target = Path("attack" + source.suffix)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        folder = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            data = change(name.split("/", 1)[1], old.read(name))
            if data is not None:
                new.writestr(name, data)
        for name, data in (more or {}).items():
            new.writestr(f"{folder}/{name}", data)
    return str(target)


def changed_program(source: Path, change: Callable[[Any], None]) -> str:
    """program.pt2 with a changed description."""

    def rewrite(name: str, data: bytes) -> bytes:
        if name != "models/model.json":
            return data
        root = json.loads(data)
        change(root)
        return json.dumps(root).encode()

    return rewritten(source, rewrite)


def refused_program(location: str, code: str, place: str = "") -> UsageError:
    return refused_load("exported_program", location, code, place)


def refused_load(kind: str, location: str, code: str, place: str = "") -> UsageError:
    """Load it as a worker does: an error of this code and place, and nothing done."""
    request = LoadRequest(kind=kind, location=location, kwargs={}, weights=None, inputs=(), outputs=())
    with pytest.raises(UsageError) as caught:
        loader.load_module(request)
    assert caught.value.code == code
    assert place in (caught.value.where or "")
    assert not Path(MARK).exists()
    TRIED.append(f"{code} at {caught.value.where}")
    return caught.value


def graph_of(root: Any) -> Any:
    return root["graph_module"]["graph"]


def first_node(root: Any) -> Any:
    return graph_of(root)["nodes"][0]


def a_size(root: Any) -> Any:
    """The first size of the graph that is an expression."""
    for meta in graph_of(root)["tensor_values"].values():
        for size in meta["sizes"]:
            if "as_expr" in size:
                return size["as_expr"]
    raise AssertionError


EXPRESSIONS = [
    TOUCH,
    f"Symbol({TOUCH!r})",
    f"Float({TOUCH!r})",
    f"Max(1, {TOUCH})",
    "().__class__.__base__.__subclasses__()",
    "[print(i) for i in range(9)]",
    "(lambda: 0)()",
    "f'{print()}'",
    "s77 if print() else 1",
    "Symbol('s77', cls=print)",
    "Symbol(*'ab')",
    "sympify('1')",
    "Integer.__init__",
    "s77[0]",
    "eval",
    f"Add('{'1' * 10}', {TOUCH!r})",
    "(x := 3)",
    "2" * 60,
    "1+" * 9000 + "1",
    "\N{FULLWIDTH LATIN SMALL LETTER E}val('1')",
    # `sympify` takes line ends out: a text that ends in a comment here goes on there, and what was the comment is code.
    f'Symbol("s77\\\n" # ") and {TOUCH} and Symbol("s77"\n)',
    "Symbol('s77'\n)",
    "s77 # + 1",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_size_that_is_not_arithmetic_is_refused(text, saved):
    if text == "eval":  # a name alone does nothing; it is only never called
        assert expressions.problem(text) is None
        return
    location = changed_program(saved / "program.pt2", lambda root: a_size(root).update(expr_str=text))
    assert refused_program(location, "expression-refused", "expr_str").found


def test_inspect_refuses_it_too_and_runs_nothing(saved):
    location = changed_program(saved / "program.pt2", lambda root: a_size(root).update(expr_str=TOUCH))
    with pytest.raises(UsageError) as caught:
        inspect_worker.inspect(InspectRequest(kind="exported_program", location=location))
    assert caught.value.code == "expression-refused"
    done = tritonize("inspect", location, "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "expression-refused")
    assert not Path(MARK).exists()
    TRIED.append("inspect")


def test_what_torch_writes_itself_is_arithmetic():
    for text in (
        "Symbol('s77', positive=True, integer=True)",
        "TruncToInt(Mul(Float('1.5', precision=53), ToFloat(Symbol('s77', positive=True, integer=True))))",
        "Mul(Integer(6), Max(Integer(1), FloorDiv(Add(Symbol('s0', integer=True), Integer(-1)), Integer(2))))",
        "Pow(Symbol('s0', integer=True), Rational(1, 2))",
        "2*s0 + s1//3",
        "(s0 + 3) % 2 <= 1",
        "Ne(u0, 0)",
    ):
        assert expressions.problem(text) is None, text
    for text in (
        "(L['x'].size()[0] % 2) == 0",
        "((4*L['x'].size()[0] + 4*L['d']['a'].size()[0]) % (2*L['x'].size()[0])) == 0",
        "L['args'][0].stride()[1] != 1 and math.floor(L['n']) < 7",
    ):
        assert expressions.guard_problem(text) is None, text


GUARDS = [
    TOUCH,
    "L['x'].size()[0] == 1 # ",
    "(L['x'].size()[0]\n == 1)",
    "L['x\\\n'].size()[0] == 1",
    f"L['x'].size()[0] == 1 or {TOUCH}",
    f"""L['x"+{TOUCH}+"'].size()[0] == 1""",
    "L.__class__",
    "torch.hub",
    "math.__loader__",
    "L['x'].tofile('executed')",
    "L[print()]",
    "open('executed', 'w')",
]


@pytest.mark.parametrize("text", GUARDS)
def test_a_guard_that_is_not_a_comparison_is_refused(text, saved):
    location = changed_program(saved / "program.pt2", lambda root: root["guards_code"].append(text))
    refused_program(location, "expression-refused", "guards_code")


TARGETS = {
    "torch.os.system": "target-refused",
    "torch.hub.load": "target-refused",
    "torch.load": "target-refused",
    "torch.save": "target-refused",
    "torch.ops.load_library": "target-refused",
    "torch.utils.cpp_extension.load_inline": "target-refused",
    "torch._C._jit_get_all_schemas": "target-refused",
    "torch.ops.aten.add.default.__class__": "target-refused",
    "torch.ops.aten.__setattr__.__call__": "target-refused",
    "torch.ops.aten.__class__.default": "target-refused",
    "_operator.methodcaller": "target-refused",
    "_operator.attrgetter": "target-refused",
    "math.__loader__.load_module": "target-refused",
    "#aoti:model": "target-refused",
    "torch.ops.higher_order.aoti_call_delegate": "target-refused",
    "torch.ops.higher_order.call_torchbind": "target-refused",
    "torch.ops.higher_order.triton_kernel_wrapper_mutation": "target-refused",
    "torch.ops.aten.from_file.default": "operator-refused",
    "torch.ops.aten.from_file.out": "operator-refused",
    "torch.ops.aten.save.default": "operator-refused",
    "torch.ops.debugprims.load_tensor.default": "operator-refused",
    "torch.ops.c10d.send.default": "operator-refused",
    "torch.ops._c10d_functional.all_reduce.default": "operator-refused",
    "torch.ops.inductor._reinterpret_tensor.default": "operator-refused",
    "torch.ops.image.write_file.default": "operator-refused",
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_graph_calls_operators_alone(target, saved):
    location = changed_program(saved / "program.pt2", lambda root: first_node(root).update(target=target))
    refused_program(location, TARGETS[target], "nodes[0].target")


def test_an_operator_as_an_argument_is_looked_at_too(saved):
    def change(root: Any) -> None:
        first_node(root)["inputs"].append({"name": "f", "arg": {"as_operator": "torch.hub.load"}, "kind": 1})

    refused_program(changed_program(saved / "program.pt2", change), "target-refused", "as_operator")


INJECTED = f"x = {TOUCH}"


def _rename_kwarg(root: Any) -> None:
    first_node(root)["inputs"][0]["name"] = INJECTED


def _rename_node(root: Any) -> None:
    first_node(root)["name"] = INJECTED


def _rename_tensor(root: Any) -> None:
    graph_of(root)["inputs"][0]["as_tensor"]["name"] = INJECTED


def _rename_value(root: Any) -> None:
    values = graph_of(root)["tensor_values"]
    values[INJECTED] = values.pop(next(iter(values)))


def _rename_parameter(root: Any) -> None:
    specs = root["graph_module"]["signature"]["input_specs"]
    next(each for each in specs if "parameter" in each)["parameter"]["parameter_name"] = f'w", {TOUCH}, "'


def _string_input(root: Any) -> None:
    graph_of(root)["inputs"].append({"as_string": f"' or {TOUCH} or '"})


def _argument_names(root: Any) -> None:
    root["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [INJECTED]


def _large_symbol(root: Any) -> None:
    root["range_constraints"]["u99999999999"] = {"min_val": 0, "max_val": 1}


def _dictionary_key(root: Any) -> None:
    first_node(root)["inputs"][0]["arg"] = {"as_string_to_argument": {f"': {TOUCH}, '": {"as_int": 1}}}


def _tree(node: dict[str, Any]) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        root["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, node])

    return change


LEAF = {"type": None, "context": None, "children_spec": []}
NAMES = [_rename_kwarg, _rename_node, _rename_tensor, _rename_value, _rename_parameter, _string_input, _argument_names]
NAMES += [_large_symbol, _dictionary_key]
NAMES.append(_tree({"type": "builtins.dict", "context": json.dumps([f'x"+{TOUCH}+"']), "children_spec": [LEAF]}))


@pytest.mark.parametrize("change", NAMES)
def test_a_name_is_a_name(change, saved):
    refused_program(changed_program(saved / "program.pt2", change), "name-refused")


FACTORY = {"default_factory_module": "os", "default_factory_name": "system", "dict_context": ["touch executed"]}
ENUM = [{"__enum__": True, "fqn": "antigravity:x", "name": "x"}]


@pytest.mark.parametrize(("kind", "context"), [("collections.defaultdict", FACTORY), ("builtins.dict", ENUM)])
def test_a_tree_spec_imports_nothing(kind, context, saved):
    for held in (context, json.dumps(context)):
        change = _tree({"type": kind, "context": held, "children_spec": [LEAF]})
        refused_program(changed_program(saved / "program.pt2", change), "payload-refused", "in_spec")


class Exploit:
    """A pickle that runs code when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path(MARK).touch, ()


PAYLOADS = {
    "data/aotinductor/model/evil.so": b"\x7fELF",
    "data/aotinductor/model/model.wrapper_metadata.json": b"{}",
    "data/constants/opaque_obj_0": pickle.dumps(Exploit()),
    "data/constants/custom_obj_0": pickle.dumps(Exploit()),
    "DATA/Constants/opaque_obj_0": pickle.dumps(Exploit()),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_program_brings_no_library_and_no_pickle(name, saved):
    location = rewritten(saved / "program.pt2", lambda _name, data: data, {name: PAYLOADS[name]})
    refused_program(location, "payload-refused", name)


def test_a_weight_that_is_a_pickle_is_refused(saved):
    def change(name: str, data: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            config = json.loads(data)
            next(iter(config["config"].values()))["use_pickle"] = True
            return json.dumps(config).encode()
        return data

    refused_program(rewritten(saved / "program.pt2", change), "payload-refused", "use_pickle")


def test_sample_inputs_that_are_a_pickle_are_not_loaded(saved):
    evil = io.BytesIO()
    torch.save({"a": Exploit()}, evil)

    def change(name: str, data: bytes) -> bytes:
        return evil.getvalue() if "sample_inputs" in name else data

    with pytest.raises(ExportError):
        loader.load_program(rewritten(saved / "program.pt2", change))
    assert not Path(MARK).exists()
    TRIED.append("sample inputs")


def test_every_program_of_an_archive_is_looked_at(saved):
    with zipfile.ZipFile(saved / "program.pt2") as archive:
        root = json.loads(archive.read(next(name for name in archive.namelist() if name.endswith("models/model.json"))))
    a_size(root)["expr_str"] = TOUCH
    location = rewritten(saved / "program.pt2", lambda _name, data: data, {"models/second.json": json.dumps(root).encode()})
    refused_program(location, "expression-refused", "models/second.json")


@pytest.mark.parametrize("text", [b"[" * 200_000, b"\xff\xfe{", b"no json", b'{"graph_module": 1'])
def test_a_description_that_is_none_is_named(text, saved):
    location = rewritten(saved / "program.pt2", lambda name, data: text if name == "models/model.json" else data)
    refused_program(location, "program-unreadable", "models/model.json")


def _appended(data: bytes) -> bytes:
    return data + b"PK\x05\x06" + bytes(18)


def _commented(data: bytes) -> bytes:
    return data[:-2] + struct.pack("<H", 4) + b"more"


def _prefixed(data: bytes) -> bytes:
    return b"#!/bin/sh\n" + data


def _other_local_name(data: bytes) -> bytes:
    return data.replace(b"models/model.json", b"models/other.json", 1)


def _encrypted(data: bytes) -> bytes:
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 8] + b"\x01" + data[at + 9 :]


def _elsewhere(data: bytes) -> bytes:
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 42] + struct.pack("<L", 0) + data[at + 46 :]


@pytest.mark.parametrize("change", [_appended, _commented, _prefixed, _other_local_name, _encrypted, _elsewhere])
def test_an_archive_that_two_readers_read_in_two_ways_is_refused(change, saved):
    Path("attack.pt2").write_bytes(change((saved / "program.pt2").read_bytes()))
    refused_program("attack.pt2", "archive-ambiguous")


MEMBERS = ["models/model.json", "Models/MODEL.json", "models/../../x", "/etc/x", "a\\b", "models//model.json", "a\x01b"]


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_has_one_name_inside_the_archive(name, saved):
    location = rewritten(saved / "program.pt2", lambda _name, data: data, {name: b"{}"})
    refused_program(location, "archive-ambiguous")


def test_a_second_folder_at_the_top_is_refused(saved):
    location = rewritten(saved / "program.pt2", lambda _name, data: data)
    with zipfile.ZipFile(location, "a") as archive:
        archive.writestr("other/models/model.json", "{}")
    refused_program(location, "archive-ambiguous")


def test_an_archive_that_grows_without_bound_is_refused(saved):
    location = rewritten(saved / "Plain.pt", lambda _name, data: data)
    member = zipfile.ZipInfo("Plain/data/9")
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(location, "a") as archive, archive.open(member, "w") as file:
        for _ in range(300):
            file.write(bytes(2**20))
    assert Path(location).stat().st_size < 3 * 2**20
    refused_load("torchscript", location, "archive-expands")


# TorchScript


@pytest.mark.parametrize(("name", "place"), [("Reader", "__torch__"), ("Whole", "__torch__"), ("Reviver", "__torch__")])
def test_a_script_opens_no_file_when_it_is_run_nor_when_it_is_loaded(name, place, saved):
    error = refused_load("torchscript", str(saved / f"{name}.pt"), "operator-refused", place)
    assert "aten::from_file" in error.what
    file, line = re.search(r": (code/\S+\.py):(\d+)$", error.where).groups()
    with zipfile.ZipFile(saved / f"{name}.pt") as archive:
        assert "from_file" in archive.read(f"{name}/{file}").decode().splitlines()[int(line) - 1]


CODE = {
    'torch.from_file("executed", True, 4)': "operator-refused",
    'torch . from_file("executed", True, 4)': "operator-refused",
    'torch.save(1, "executed")': "operator-refused",
    'ops.aten.save(1, "executed")': "operator-refused",
    'ops.aten.from_file("executed", True, 4)': "operator-refused",
    'ops.image.write_file("executed", x)': "operator-refused",
    "ops.c10d.barrier(x)": "operator-refused",
    'torch.rpc_async("a", "b")': "operator-refused",
    'getattr(torch, "from_file")("executed", True, 4)': "code-refused",
    'getattr(torch, "from" "_file")("executed", True, 4)': "code-refused",
    'getattr((torch), "save")(1, "executed")': "code-refused",
    'getattr(torch, "s\\x61ve")(1, "executed")': "code-refused",
    'getattr(torch, """save""")(1, "executed")': "code-refused",
    't = torch\n    t.save(1, "executed")': "code-refused",
    'a = ops.aten\n    a.save(1, "executed")': "code-refused",
    'torch.\\\n        save(1, "executed")': "code-refused",
    'torch.(  # "\n        save)(1, "executed")': "code-refused",
    "x = '\"'": "code-refused",
    "y = __torch__.torch.classes.dist_rpc.WorkerInfo": "class-refused",
}


@pytest.mark.parametrize("line", CODE)
def test_no_spelling_of_an_operator_is_missed(line, saved):
    def change(name: str, data: bytes) -> bytes:
        if b"class Plain" not in data or not name.endswith(".py"):
            return data
        start = data.index(b"-> Tensor:\n", data.index(b"def forward")) + len(b"-> Tensor:\n")
        return data[:start] + f"    {line}\n".encode() + data[start:]

    refused_load("torchscript", rewritten(saved / "Plain.pt", change), CODE[line], "code/__torch__/")


def test_a_pickle_of_a_script_makes_packed_weights_alone(saved):
    evil = b"\x80\x02c__torch__.torch.classes.dist_c10d.ProcessGroup\nX\n)\x81."
    location = rewritten(saved / "Plain.pt", lambda name, data: evil if name == "data.pkl" else data)
    refused_load("torchscript", location, "class-refused", "data.pkl")
    location = rewritten(saved / "Plain.pt", lambda _name, data: data, {"model.json": b"{}"})
    refused_load("torchscript", location, "archive-ambiguous", "model.json")


def test_the_graphs_are_looked_at_again_after_the_load(saved, monkeypatch):
    monkeypatch.setattr(model_files, "require_safe", lambda _kind, _location: None)
    for name, place in (("Reader", "forward"), ("Whole", "inner.forward")):
        error = refused_load("torchscript", str(saved / f"{name}.pt"), "operator-refused", place)
        assert "aten::from_file" in error.what
    location = changed_program(saved / "program.pt2", lambda root: first_node(root).update(target="torch.os.system"))
    with pytest.raises(TritonizeError):
        loader.load_program(location)
    assert not Path(MARK).exists()


def test_a_graph_that_was_changed_in_memory_is_refused():
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    operators_used.require_harmless_program(program, "x")
    next(node for node in program.graph.nodes if node.op == "call_function").target = os.system
    with pytest.raises(UsageError) as caught:
        operators_used.require_harmless_program(program, "x")
    assert caught.value.code == "target-refused"
    TRIED.append("a graph in memory")


def test_what_is_harmless_is_loaded(saved):
    loader.load_program(str(saved / "program.pt2"))
    request = LoadRequest(kind="torchscript", location=str(saved / "Plain.pt"), kwargs={}, weights=None, inputs=(), outputs=())
    assert loader.load_module(request)(torch.ones(1, 4), 2).shape == (1, 4)


SCHEMAS = """
import json, torch
kinds = lambda schema: [(argument.name, str(argument.type).removesuffix("?")) for argument in schema.arguments]
print(json.dumps([(schema.name, kinds(schema)) for schema in torch._C._jit_get_all_schemas()]))
"""


def test_every_operator_of_this_torch_that_takes_text_was_decided():
    # In a process of its own: other tests of this one register operators.
    done = subprocess.run([sys.executable, "-c", SCHEMAS], capture_output=True, text=True, check=True, timeout=120)
    schemas = json.loads(done.stdout)
    undecided = [(name, arguments) for name, arguments in schemas if refused.reason(name) is None]
    takes_text = {name for name, arguments in undecided for _, kind in arguments if kind in ("str", "str[]")}
    kernels = ("aten", "quantized", "onednn", "mkldnn", "mkldnn_prepacked")  # by the names of their arguments, below
    assert {name for name in takes_text if name.split("::")[0] not in kernels} - refused.HARMLESS_TEXT == set()
    of_files = ("filename", "file", "path", "url", "library", "lib", "directory", "uri")
    named = {f"{name}({argument})" for name, arguments in undecided for argument, _ in arguments if argument in of_files}
    assert named == {"aten::einsum(path)"}  # the order of its sums
    assert len(schemas) > 4000


# Templates


TEMPLATES = {
    "{{ ''.__class__.__mro__ }}": "template-refused",
    "{{ name.__class__ }}": "template-refused",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {MARK}') }}}}": "template-refused",
    "{{ lipsum.__globals__['os'] }}": "template-refused",
    "{{ name | attr('__class__') }}": "template-refused",
    "{{ inputs.append(1) }}": "template-refused",
    "{{ '{0.__class__}'.format(name) }}": "template-refused",
    "{{ 'a' * 10 ** 9 }}": "template-refused",
    "{{ 9 ** 9 ** 9 }}": "template-refused",
    "{% for i in range(10 ** 9) %}a{% endfor %}": "template-unusable",
    "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}": "template-unending",
    "{% include '/etc/hostname' %}": "template-file-refused",
    "{% include '../secret.j2' %}": "template-file-refused",
    "{% include 'link.j2' %}": "template-file-refused",
    "{% include 'secret.txt' %}": "template-file-refused",
    "{% import '/etc/hostname' as x %}": "template-file-refused",
    "{{ name": "template-unusable",
    "{{ no_such_name }}": "template-unusable",
}


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_template_reaches_nothing_but_its_fields(text):
    folder = Path("templates")
    folder.mkdir()
    Path("secret.j2").write_text("secret")
    (folder / "secret.txt").write_text("secret")
    (folder / "link.j2").symlink_to(Path("secret.j2").absolute())
    path = folder / "mine.j2"
    path.write_text(f"first line\n{text}\n")
    with pytest.raises(UsageError) as caught:
        config_template.fill(path, {"name": "net", "inputs": [{"name": "x"}]})
    assert caught.value.code == TEMPLATES[text]
    assert str(path) in caught.value.where
    assert caught.value.code == "template-unending" or caught.value.where.endswith(":2")
    assert not Path(MARK).exists()
    TRIED.append(caught.value.code)


def test_a_template_that_does_not_end_ends_with_its_worker(monkeypatch):
    monkeypatch.setattr(config_template, "_DEADLINE_S", 1.0)
    Path("slow.j2").write_text("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
    with pytest.raises(UsageError) as caught:
        config_template.rendered(Path("slow.j2"), {})
    assert caught.value.code == "template-unending"
    TRIED.append("an endless template")


def test_a_template_may_include_one_beside_it():
    Path("part.j2").write_text("max_batch_size: {{ size }}")
    Path("mine.j2").write_text("name: {{ name | pbtxt }}\n{% include 'part.j2' %}")
    assert config_template.rendered(Path("mine.j2"), {"name": "net", "size": 2}) == 'name: "net"\nmax_batch_size: 2'


# ONNX


@pytest.mark.parametrize("place", ["/etc/hostname", "../outside.bin", "link.bin"])
def test_an_onnx_file_reads_no_data_from_elsewhere(place):
    Path("outside.bin").write_bytes(bytes(64))
    Path("model").mkdir()
    Path("model/link.bin").symlink_to(Path("outside.bin").absolute())
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=place)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [weight])
    Path("model/net.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(UsageError) as caught:
        inspect_worker.inspect(InspectRequest(kind="onnx", location="model/net.onnx"))
    assert caught.value.found == place
    TRIED.append(f"external data at {place}")


@pytest.fixture(scope="module", autouse=True)
def _count(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n{len(TRIED)} attacks by model files and templates: all refused, nothing executed")
