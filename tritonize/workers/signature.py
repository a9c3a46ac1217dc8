"""How flat named tensors become the arguments of a module's forward(), and its answer named tensors; in a worker."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.utils._pytree as pytree  # the one that knows the classes that libraries register

from tritonize.errors import ExportError, UsageError
from tritonize.workers.torch_source import ProgramModule


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"x.mask": a, "x.image": b, "ys.0": c}` as `{"x": {"mask": a, "image": b}, "ys": [c]}`: a name's dots lead inwards."""
    root: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = root
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    if list(inner) == [str(index) for index in range(len(inner))]:
        return list(inner.values())
    return inner


def positions(inputs: Sequence[str]) -> list[int]:
    """In which order inputs go by position: INPUT__0 first, wherever the spec lists it; others as they are listed."""
    if not _numbered(inputs):
        return list(range(len(inputs)))
    return sorted(range(len(inputs)), key=lambda position: int(inputs[position].rpartition("__")[2]))


def _numbered(inputs: Sequence[str]) -> bool:
    return set(inputs) == {f"INPUT__{number}" for number in range(len(inputs))}


def by_name(module: torch.nn.Module, inputs: Sequence[str]) -> bool:
    """Whether the inputs are named after forward()'s parameters (up to the first dot).

    Raises:
        UsageError: the number of inputs does not fit the signature, or only some names are parameters.
    """
    parameters = parameters_of(module)
    if parameters is None or isinstance(module, ProgramModule):
        return False
    names = [name for name, _ in parameters]
    required = [name for name, is_required in parameters if is_required]
    roots = list(dict.fromkeys(name.partition(".")[0] for name in inputs))
    known = [root for root in roots if root in names]
    kinds = _kinds(module)
    by_keyword = len(known) == len(roots) or (inspect.Parameter.VAR_KEYWORD in kinds and not _numbered(inputs))
    if by_keyword and not set(required) - set(known):
        return True
    clear = _numbered(inputs) or (len(inputs) == 1 and not inputs[0].startswith("INPUT__"))  # one input has one place to go
    too_many = len(inputs) > len(names) and inspect.Parameter.VAR_POSITIONAL not in kinds
    if too_many or len(inputs) < len(required) or (not clear and len(names) > 0):
        raise UsageError(
            "The inputs are not those of the model's forward().",
            expected=", ".join(name if is_required else f"{name} (optional)" for name, is_required in parameters) or "none",
            found=", ".join(inputs),
            next_step="name every input after its parameter, or use INPUT__0, INPUT__1, … in order",
        )
    return False


def program_order(program: ProgramModule, inputs: Sequence[str]) -> list[int]:
    """Position in the spec of every input of the program, in its order.

    Raises:
        UsageError: the spec's names are neither the program's nor INPUT__0, INPUT__1, …
    """
    if set(inputs) == set(program.names) and len(inputs) == len(program.names):
        return [list(inputs).index(name) for name in program.names]
    one = len(inputs) == 1 and not inputs[0].startswith("INPUT__")
    if len(inputs) == len(program.names) and (_numbered(inputs) or one):
        return positions(inputs)
    raise UsageError(
        "The inputs are not those of the exported program.",
        expected=", ".join(program.names),
        found=", ".join(inputs),
        next_step="name every input as the program does, or use INPUT__0, INPUT__1, … in order",
    )


def _kinds(module: torch.nn.Module) -> set[Any]:
    """The kinds of forward()'s parameters: whether it takes more than it names."""
    if isinstance(module, torch.jit.ScriptModule):
        return set()
    return {each.kind for each in inspect.signature(module.forward).parameters.values()}


def parameters_of(module: torch.nn.Module) -> list[tuple[str, bool]] | None:
    """forward()'s parameters and whether each is required; `None` where they are open (`*args`) or unknown."""
    if isinstance(module, torch.jit.ScriptModule):
        arguments = list(module._c._get_method("forward").schema.arguments)[1:]
        return [(argument.name, not argument.has_default_value()) for argument in arguments]
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    named = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if len(named) == len(parameters):
        return [(each.name, each.default is each.empty) for each in named]
    # Open ends hide nothing of what is named: t5 with `decoder_input_ids` second must not get it as `attention_mask`.
    return [(each.name, each.default is each.empty) for each in named] if named else None


def name_outputs(answer: Any, wanted: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of an answer with their names: a tensor, or tensors in tuples, lists, dicts and registered classes.

    Wanted names go in order. By default a flat answer's are OUTPUT__0, OUTPUT__1, …, a nested one's the path to each, such as
    `boxes` or `features.0`. What is None is left out.

    Raises:
        ExportError: something that is no tensor is among them.
        UsageError: there are more or fewer than names.
    """
    leaves = [(path, leaf) for path, leaf in pytree.tree_flatten_with_path(answer)[0] if leaf is not None]
    if not leaves:
        raise ExportError("The model's output is no tensor.", found=f"a {type(answer).__name__}", expected="tensors")
    if wanted and len(wanted) != len(leaves):
        raise UsageError(
            "The spec names another number of outputs than the model has.",
            expected=f"{len(leaves)} outputs",
            found=f"{len(wanted)}: {', '.join(wanted)}",
        )
    defaults = [".".join(_key(part) for part in path) for path, _ in leaves]
    flat = all(len(path) == 0 or (len(path) == 1 and isinstance(path[0], pytree.SequenceKey)) for path, _ in leaves)
    if flat:
        defaults = [f"OUTPUT__{position}" for position in range(len(leaves))]
    if set(wanted) == set(defaults):
        wanted = defaults  # the model names them itself: then a name means its own tensor, in whatever order it is listed
    elif set(wanted) & set(defaults):
        raise UsageError(
            "Only some of the spec's outputs are named as the model names them.",
            expected=", ".join(defaults),
            found=", ".join(wanted),
            next_step="use the model's names for all outputs, or other names for all of them",
        )
    for position, (path, tensor) in enumerate(leaves):
        default = defaults[position]
        if not isinstance(tensor, torch.Tensor):
            raise ExportError(
                "The model's output is no tensor." if not path else f"Output {default!r} of the model is no tensor.",
                expected="a tensor",
                found=f"a {type(tensor).__name__}",
                next_step="wrap the model so that it returns tensors only",
            )
        yield wanted[position] if wanted else default, tensor


def _key(part: Any) -> str:
    """One step of a path as text: an index, a key, an attribute."""
    found = next((getattr(part, field) for field in ("idx", "key", "name") if hasattr(part, field)), part)
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(found))
