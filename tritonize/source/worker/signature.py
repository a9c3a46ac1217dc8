"""Map flat named tensors to the arguments of forward(), and its output to named tensors; runs inside a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.utils._pytree as pytree  # this pytree knows the classes that libraries register

from tritonize.core import call_arguments, nested
from tritonize.core.call_arguments import Parameter, Parameters
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import source as wording
from tritonize.source.worker.loader import ProgramModule


def program_order(program: ProgramModule, inputs: Sequence[str]) -> list[int]:
    """For every input of the program, in the program's order, its position in the spec.

    Raises:
        UsageError: the spec uses neither the program's names nor the paths into its arguments.
    """
    for names in (program.names, program.paths):
        if set(inputs) == set(names) and len(inputs) == len(names):
            return [list(inputs).index(name) for name in names]
    if len(program.names) == len(inputs) == 1 and not inputs[0].startswith("INPUT__"):
        return [0]
    raise UsageError.of(wording.PROGRAM_NAMES, expected=", ".join(program.names), found=", ".join(inputs))


def parameters_of(module: torch.nn.Module) -> Parameters | None:
    """The parameters of forward(); `None` if they are unknown or the module is an exported program."""
    if isinstance(module, ProgramModule):
        return None
    if not isinstance(module, torch.jit.ScriptModule):
        return call_arguments.parameters(module.forward)
    arguments = list(module._c._get_method("forward").schema.arguments)[1:]
    return Parameters(
        named=tuple(
            Parameter(
                name=argument.name,
                required=not argument.has_default_value(),
                nullable=argument.type.kind() == "OptionalType"
                or (argument.has_default_value() and argument.default_value is None),
            )
            for argument in arguments
        )
    )


def name_outputs(output: object, names: Sequence[str], inputs: Sequence[str] = ()) -> Iterator[tuple[str, torch.Tensor]]:
    """Name the tensors in the output of forward(): a tensor, or tensors in containers (`nested.leaves`). `None` is left out.

    Args:
        output: the return value of forward().
        names: names from the spec, in the order of the tensors. If they are the default names, their order does not matter.
            If empty, every tensor gets its default name: OUTPUT__0, OUTPUT__1, … for a tensor or a flat tuple, else the path to
            the tensor, such as `boxes` or `features.0`.
        inputs: the names of the inputs. In a graph, a name stands for one value, so `unique_output_names` renames an output with
            the name of an input.

    Raises:
        ExportError: a value in the output is not a tensor.
        UsageError: the number of names differs from the number of tensors, or only some of them are default names.
    """
    leaves = list(nested.leaves(pytree, output))
    if not leaves:
        raise ExportError.of(wording.NO_OUTPUT, found=f"a {type(output).__name__}", expected="tensors")
    if names and len(names) != len(leaves):
        raise UsageError.of(wording.OUTPUT_COUNT, expected=f"{len(leaves)} outputs", found=f"{len(names)}: {', '.join(names)}")
    defaults = [".".join(path) for path, _ in leaves]
    by_key = isinstance(output, Mapping) or nested.opened(output) is not None
    if not by_key and all(not path or (len(path) == 1 and path[0].isdigit()) for path, _ in leaves):
        defaults = [f"OUTPUT__{position}" for position in range(len(leaves))]
    defaults = unique_output_names(defaults, inputs)
    if set(names) == set(defaults):
        names = defaults  # the spec lists the model's own names: each name stands for its own tensor, in any order
    elif set(names) & set(defaults):
        raise UsageError.of(wording.OUTPUT_NAMES_MIXED, expected=", ".join(defaults), found=", ".join(names))
    for position, (path, tensor) in enumerate(leaves):
        default = defaults[position]
        if not isinstance(tensor, torch.Tensor):
            expected, found = "a tensor", f"a {type(tensor).__name__}"
            if not path:
                raise ExportError.of(wording.SINGLE_OUTPUT_NOT_A_TENSOR, expected=expected, found=found)
            raise ExportError.of(wording.OUTPUT_NOT_A_TENSOR, expected=expected, found=found, name=default)
        yield names[position] if names else default, tensor


def unique_output_names(outputs: Sequence[str], inputs: Sequence[str]) -> list[str]:
    """The names of the outputs; an output with the name of an input, such as `mask`, becomes `mask_out`."""
    taken, unique = {*inputs, *outputs}, []
    for output in outputs:
        name = output
        while name in inputs or (name != output and name in taken):
            name = f"{name}_out"
        taken.add(name)
        unique.append(name)
    return unique
