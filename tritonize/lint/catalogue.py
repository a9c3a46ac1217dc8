"""All rules, by id, and the documentation page of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tritonize.core import suggestions
from tritonize.core.errors import UsageError
from tritonize.core.messages import lint as messages
from tritonize.core.wrapping import wrapped
from tritonize.lint import (
    backends,
    configuration,
    ensemble_models,
    ensembles,
    evidence,
    instances,
    layout,
    model_files,
    onnx_files,
    onnx_sequences,
    onnx_tensors,
    plan_files,
    scheduling,
    sequences,
    tensor_files,
    tensors,
    warmup,
)
from tritonize.lint.rule import Rule, Verdict

_MODULES = (
    layout,
    model_files,
    configuration,
    tensors,
    tensor_files,
    scheduling,
    sequences,
    instances,
    ensembles,
    ensemble_models,
    onnx_files,
    onnx_sequences,
    onnx_tensors,
    warmup,
    plan_files,
    backends,
    evidence,
)
RULES: Mapping[str, Rule] = dict(sorted((rule.id, rule) for each in _MODULES for rule in each.RULES))
"""Every rule by its id, in ascending order."""

SUBJECTS = {
    "0": "Directories and files",
    "1": "The configuration",
    "2": "Inputs and outputs",
    "3": "Scheduling",
    "4": "Instances and options",
    "5": "Ensembles",
    "6": "ONNX files",
    "7": "TensorRT plans",
    "8": "PyTorch and Python models",
    "9": "Evidence",
}
"""The first digit of an id, and what the rules are about."""

_TRITON: Mapping[Verdict, str] = {
    "refuses": "refuses the model",
    "completes": "completes the configuration; with `--disable-auto-complete-config` it refuses the model",
    "accepts": "accepts the model",
    "depends": "depends on the backend, or on the server's options and its machine",
}


def rule(name: str) -> Rule:
    """The rule of an id such as `TR205`, or of a name such as `dim`.

    Raises:
        UsageError: there is no such rule.
    """
    wanted = name.strip()
    found = RULES.get(wanted.upper()) or next((each for each in RULES.values() if each.name == wanted.lower()), None)
    if found is None:
        known = [*RULES, *(each.name for each in RULES.values())]
        expected = f"{min(RULES)} to {max(RULES)}, or a rule's name"
        raise UsageError.of(messages.NO_RULE, found=name, expected=expected, meant=suggestions.meant(wanted, known))
    return found


def page(rule: Rule) -> str:
    """The documentation page of a rule, in Markdown."""
    lines = [f"# {rule.id} {rule.name}", "", rule.what, "", f"Severity: {rule.severity}. Triton {_TRITON[rule.triton]}.", ""]
    lines += [
        "## Why",
        "",
        rule.why,
        "",
        "## Wrong",
        "",
        "```",
        rule.wrong,
        "```",
        "",
        "## Right",
        "",
        "```",
        rule.right,
        "```",
        "",
    ]
    lines += ["## Fix", "", rule.fix[0].upper() + rule.fix[1:] + "." + (" `--fix` does it." if rule.fixable else ""), ""]
    return "\n".join(lines)


def explanation(rule: Rule) -> str:
    """The page of a rule with its sentences wrapped for a terminal; examples are left as they are."""
    lines: list[str] = []
    example = False
    for line in page(rule).splitlines():
        fence = line == "```"
        lines += [line] if example or fence or not line else wrapped(line, rest="")
        example = example != fence
    return "\n".join(lines) + "\n"


def index() -> str:
    """The page that lists all rules, in Markdown."""
    return "\n".join(_index())


def _index() -> Iterator[str]:
    yield from ("# Lint rules", "", "Written by `make lint-pages` from the rules in `tritonize/lint`.")
    yield "`tritonize lint --explain ID` prints one of these pages."
    yield ""
    yield "An *error* is a model that Triton refuses, or that is not what was proven. A *warning* is probably not meant;"
    yield "*info* is worth knowing. The column *Triton* says what the server does with a model that breaks the rule:"
    yield ""
    yield from (
        f"- *{verdict}*: it {meaning}." if verdict != "depends" else f"- *depends*: {meaning[8:]}."
        for verdict, meaning in _TRITON.items()
    )
    for digit, subject in SUBJECTS.items():
        rules = [each for each in RULES.values() if each.id[2] == digit]
        if rules:
            yield from ("", f"## {subject}", "", "| rule | severity | Triton | what it finds |", "|---|---|---|---|")
            for each in rules:
                name = f"[{each.id}]({each.id}.md) `{each.name}`" + (" (`--fix`)" if each.fixable else "")
                yield f"| {name} | {each.severity} | {each.triton} | {each.what} |"
    yield ""
