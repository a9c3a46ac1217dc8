"""Check a `.pt2` file of torch.export before PyTorch reads it.

PyTorch executes parts of the file when it loads it. Source: torch 2.13 (`torch/_export/serde/serialize.py`,
`torch/export/pt2_archive/_package.py`, `torch/export/_unlift.py`, `torch/fx/graph.py`, `torch/utils/_pytree.py`):

- `expr_str` is passed to sympy's `sympify`, and `guards_code` to `exec`;
- `target` and `as_operator` name any attribute of `torch`, `operator` and `math`, which is then called;
- names become variables, arguments and attributes in Python code that is generated and executed;
- tree specs import modules by name (`defaultdict`, enumerations);
- weights, constants and custom objects may be pickles; an AOTInductor package is a shared library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn  # Any: JSON that is not trusted, checked where it is read

from tritonize.core.errors import UsageError
from tritonize.core.messages import Message, security
from tritonize.source.model_files import expressions, refused
from tritonize.source.model_files.archive import Archive

_PAYLOADS = {
    "data/aotinductor": "a compiled library (AOTInductor)",
    "data/constants/custom_obj": "an object of a C++ class",
    "data/constants/opaque_obj": "a pickle (an opaque object)",
}
_JSON = re.compile(r"(models|data)/.+\.json", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE = re.compile(r"[A-Za-z0-9_.-]+")
_SYMBOL_RANGE = re.compile(r"(?:u|zuf)\d{1,5}|(?!u\d|zuf\d)[A-Za-z][A-Za-z0-9_]{0,63}")
"""Unbacked symbols have at most five digits, since PyTorch counts up to the number of the largest one."""

_OVERLOAD = re.compile(r"torch\.ops\.(\w+)\.(\w+)\.([A-Za-z]\w*)")
_HIGHER_ORDER = re.compile(r"torch\.ops\.higher_order\.(\w+)")
_GRAPH_RUNNERS = (
    "associative_scan auto_functionalized auto_functionalized_v2 cond flex_attention hints_wrapper invoke_subgraph map map_impl "
    "out_dtype scan while_loop wrap_with_autocast wrap_with_set_grad_enabled"
)
HIGHER_ORDER = frozenset(_GRAPH_RUNNERS.split())
"""Higher-order operators that a program may use: they run the graphs among their arguments and nothing else."""

_DUNDERS = "__and__ __iand__ __ior__ __ixor__ __lshift__ __ilshift__ __or__ __xor__ __rshift__ __irshift__"
_OF_OPERATOR = "eq ne le ge lt gt neg pos mul add sub floordiv mod pow truediv and_ or_ lshift rshift getitem not_ abs"
_OF_TORCH = (
    "sym_not sym_int sym_float sym_ite sym_max sym_min sym_sqrt sym_sum autograd.grad_mode.set_grad_enabled _C._set_grad_enabled "
    "amp.autocast_mode._enter_autocast amp.autocast_mode._exit_autocast _functorch.predispatch._add_batch_dim "
    "_functorch.predispatch._remove_batch_dim _functorch.predispatch._vmap_increment_nesting "
    "_functorch.predispatch._vmap_decrement_nesting _functorch.predispatch.lazy_load_decompositions"
)
_ALL_FUNCTIONS = (("_operator", _OF_OPERATOR), ("math", "ceil floor trunc sqrt"), ("torch", _OF_TORCH))
FUNCTIONS = frozenset(f"{module}.{name}" for module, names in _ALL_FUNCTIONS for name in names.split())
"""Python functions that torch.export itself writes into a graph: its verifier's list without those that call code by name."""


def check(opened: Archive) -> None:
    """Refuse a program if loading it would do more than build a graph of operators.

    Raises:
        UsageError: `where` states the file, the member and the path in its JSON.
    """
    for name in opened.members:
        lower = name.lower()
        for start, payload in _PAYLOADS.items():
            if lower.startswith(start):
                _refuse(security.PAYLOAD_REFUSED, f"{opened.path}: {name}", found=name, payload=payload)
        if lower.startswith("models/") and not _JSON.fullmatch(name):
            opened.refuse("a model that is not JSON", name)
    for name in opened.members:
        if _JSON.fullmatch(name):
            _Checker(f"{opened.path}: {name}").document(opened.read(name))


def _refuse(message: Message, where: str, *, found: object = None, **values: Any) -> NoReturn:
    raise UsageError.of(message, where=where, found=None if found is None else str(found)[:200], **values)


class _Checker:
    """Walks through one JSON document. Every key that PyTorch turns into code has a rule."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.rules: dict[str, Callable[[object, str], None]] = {
            "expr_str": self._expression,
            "guards_code": self._guards,
            "target": self._target,
            "as_operator": self._target,
            "name": self._name,
            "as_name": self._name,
            "path_name": self._path_name,
            "forward_arg_names": self._names,
            "field_names": self._names,
            "in_spec": self._tree,
            "out_spec": self._tree,
            "range_constraints": self._ranges,
            "use_pickle": self._pickle,
            "class_fqn": self._custom_object,
            "constant_input": self._constant,
            "user_input": self._user_input,
            "as_string_to_argument": self._plain_keys,
            **dict.fromkeys(("tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values"), self._identifier_keys),
            **dict.fromkeys(
                ("parameter_name", "buffer_name", "tensor_constant_name", "custom_obj_name", "user_input_name", "fqn"), self._plain
            ),
        }

    def document(self, data: bytes) -> None:
        """Parse a document and check it. PyTorch uses the same parser, so both see the same values."""
        try:
            root = json.loads(data.decode("utf-8"))
            self._walk(root, "")
        except (ValueError, RecursionError) as error:
            _refuse(security.PROGRAM_UNREADABLE, self.where, found=str(error) or type(error).__name__)

    def _walk(self, value: object, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                inner_path = f"{path}.{key}" if path else str(key)
                rule = self.rules.get(key)
                if rule is not None:
                    rule(inner, inner_path)
                self._walk(inner, inner_path)
        elif isinstance(value, list):
            graph_inputs = path.endswith("graph.inputs")
            for index, inner in enumerate(value):
                if graph_inputs and isinstance(inner, dict) and "as_string" in inner:
                    self._plain(inner["as_string"], f"{path}[{index}].as_string")
                self._walk(inner, f"{path}[{index}]")

    def _at(self, path: str) -> str:
        return f"{self.where}: {path}"

    def _expression(self, value: object, path: str) -> None:
        if not isinstance(value, dict | list) and (problem := expressions.problem(value)) is not None:
            _refuse(security.EXPRESSION_REFUSED, self._at(path), found=problem)

    def _guards(self, value: object, path: str) -> None:
        for index, guard in enumerate(value if isinstance(value, list) else [value]):
            if (problem := expressions.guard_problem(guard)) is not None:
                _refuse(security.EXPRESSION_REFUSED, self._at(f"{path}[{index}]"), found=problem)

    def _target(self, value: object, path: str) -> None:
        if isinstance(value, dict | list) or value in FUNCTIONS:
            return
        text = str(value)
        if overload := _OVERLOAD.fullmatch(text):
            operator = f"{overload[1]}::{overload[2]}"
            if (reason := refused.reason(operator)) is not None:
                _refuse(security.OPERATOR_REFUSED, self._at(path), found=text, operator=operator, reason=reason)
            if overload[1] != "higher_order" and (overload[2] in _DUNDERS.split() or not overload[2].startswith("__")):
                return
        elif (higher := _HIGHER_ORDER.fullmatch(text)) and higher[1] in HIGHER_ORDER:
            return
        _refuse(security.TARGET_REFUSED, self._at(path), found=text)

    def _name(self, value: object, path: str) -> None:
        if isinstance(value, dict | list) or value is None or value == "":
            return
        if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
            _refuse(security.NAME_REFUSED, self._at(path), found=value)

    def _names(self, value: object, path: str) -> None:
        for index, name in enumerate(value if isinstance(value, list) else []):
            self._name(name, f"{path}[{index}]")

    def _identifier_keys(self, value: Any, path: str) -> None:
        self._names(list(value), path)

    def _plain_keys(self, value: object, path: str) -> None:
        for key in value if isinstance(value, dict) else ():
            self._plain(key, path)

    def _plain(self, value: object, path: str) -> None:
        if not isinstance(value, dict | list) and value is not None and not expressions.PLAIN.fullmatch(str(value)):
            _refuse(security.NAME_REFUSED, self._at(path), found=value)

    def _constant(self, value: object, path: str) -> None:
        constant = value.get("value") if isinstance(value, dict) else None
        if isinstance(constant, dict) and "as_string" in constant:
            self._plain(constant["as_string"], f"{path}.value.as_string")

    def _user_input(self, value: object, path: str) -> None:
        argument = value.get("arg") if isinstance(value, dict) else None
        if isinstance(argument, dict) and "as_string" in argument:
            self._plain(argument["as_string"], f"{path}.arg.as_string")

    def _path_name(self, value: object, path: str) -> None:
        if isinstance(value, dict | list):
            return
        if not isinstance(value, str) or not _FILE.fullmatch(value):
            _refuse(security.NAME_REFUSED, self._at(path), found=value)
        if value.startswith(("custom_obj", "opaque_obj")):
            _refuse(security.PAYLOAD_REFUSED, self._at(path), found=value, payload="an object that is not a tensor")

    def _ranges(self, value: object, path: str) -> None:
        for symbol in value if isinstance(value, dict) else ():
            if not _SYMBOL_RANGE.fullmatch(symbol):
                _refuse(security.NAME_REFUSED, self._at(path), found=symbol)

    def _pickle(self, value: object, path: str) -> None:
        if value and not isinstance(value, dict | list):
            _refuse(security.PAYLOAD_REFUSED, self._at(path), payload="a pickled tensor")

    def _custom_object(self, value: object, path: str) -> None:
        if not isinstance(value, dict | list):
            _refuse(security.PAYLOAD_REFUSED, self._at(path), found=value, payload="an object of a C++ class")

    def _tree(self, value: object, path: str) -> None:
        if isinstance(value, str):
            self._tree_node(json.loads(value), path)

    def _tree_node(self, value: object, path: str) -> None:
        """Check a tree spec: it imports no module by name, and no key contains a quote."""
        if isinstance(value, list):
            for inner in value:
                self._tree_node(inner, path)
        elif isinstance(value, dict):
            factory = (value.get("default_factory_module"), value.get("default_factory_name"))
            if "__enum__" in value or (factory[0] is not None and factory not in _FACTORIES):
                found = value.get("fqn") or ".".join(map(str, factory))
                _refuse(security.PAYLOAD_REFUSED, self._at(path), found=found, payload="a class that is imported by name")
            for key, inner in value.items():
                self._plain(key, path)
                self._tree_node(json.loads(inner) if key == "context" and _is_json(inner) else inner, path)
        else:
            self._plain(value, path)


_FACTORIES = frozenset(("builtins", name) for name in ("list", "dict", "set", "tuple", "int", "float", "str", "bool"))


def _is_json(value: object) -> bool:
    try:
        return isinstance(value, str) and json.loads(value) is not None
    except ValueError:
        return False
