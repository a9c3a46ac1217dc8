"""How flat named tensors become the arguments of a module's forward(), and its answer named tensors; in a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.utils._pytree as pytree  # the one that knows the classes that libraries register

from tritonize.core import call_arguments, nested
from tritonize.core.call_arguments import Parameter, Parameters
from tritonize.core.errors import ExportError, UsageError
from tritonize.source.worker.loader import ProgramModule


def program_order(program: ProgramModule, inputs: Sequence[str]) -> list[int]:
    """Position in the spec of every input of the program, in its order.

    Raises:
        UsageError: the spec's names are neither the program's, nor the paths into its arguments.
    """
    for names in (program.names, program.paths):
        if set(inputs) == set(names) and len(inputs) == len(names):
            return [list(inputs).index(name) for name in names]
    if len(program.names) == len(inputs) == 1 and not inputs[0].startswith("INPUT__"):
        return [0]
    raise UsageError(
        "The inputs are not those of the exported program.",
        expected=", ".join(program.names),
        found=", ".join(inputs),
        next_step="name every input as the program does, or use INPUT__0, INPUT__1, … in order",
    )


def parameters_of(module: torch.nn.Module) -> Parameters | None:
    """forward()'s parameters; `None` where they are unknown, or the module has another way to be called."""
    if isinstance(module, ProgramModule):
        return None
    if not isinstance(module, torch.jit.ScriptModule):
        return call_arguments.parameters(module.forward)
    arguments = list(module._c._get_method("forward").schema.arguments)[1:]
    return Parameters(
        named=tuple(
            Parameter(
                name=each.name,
                required=not each.has_default_value(),
                nullable=each.type.kind() == "OptionalType" or (each.has_default_value() and each.default_value is None),
            )
            for each in arguments
        )
    )


def name_outputs(answer: object, wanted: Sequence[str], inputs: Sequence[str] = ()) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of an answer with their names: a tensor, or tensors in containers (`nested.leaves`).

    Wanted names go in order. By default a flat answer's are OUTPUT__0, OUTPUT__1, …, a nested one's the path to each, such as
    `boxes` or `features.0`; one that has an input's name gets another (`own_names`), since a graph has one value of a name. What is
    None is left out.

    Raises:
        ExportError: something that is no tensor is among them.
        UsageError: there are more or fewer than names.
    """
    leaves = list(nested.leaves(pytree, answer))
    if not leaves:
        raise ExportError("The model's output is no tensor.", found=f"a {type(answer).__name__}", expected="tensors")
    if wanted and len(wanted) != len(leaves):
        raise UsageError(
            "The spec names another number of outputs than the model has.",
            expected=f"{len(leaves)} outputs",
            found=f"{len(wanted)}: {', '.join(wanted)}",
        )
    defaults = [".".join(path) for path, _ in leaves]
    by_key = isinstance(answer, Mapping) or nested.opened(answer) is not None
    if not by_key and all(not path or (len(path) == 1 and path[0].isdigit()) for path, _ in leaves):
        defaults = [f"OUTPUT__{position}" for position in range(len(leaves))]
    defaults = own_names(defaults, inputs)
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


def own_names(outputs: Sequence[str], inputs: Sequence[str]) -> list[str]:
    """What outputs are called: as the model calls them, or `mask_out` where an input is called `mask`."""
    taken, found = {*inputs, *outputs}, []
    for output in outputs:
        name = output
        while name in inputs or (name != output and name in taken):
            name = f"{name}_out"
        taken.add(name)
        found.append(name)
    return found
