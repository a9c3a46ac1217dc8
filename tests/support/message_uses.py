"""Find in the source code every use of a catalogue message, with the placeholders that the call fills."""

from __future__ import annotations

import ast
import importlib
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.messages import Message

_ERROR_FIELDS = {"where", "expected", "found", "details", "meant"}
"""Keyword arguments of `TritonizeError.of` that belong to the error, not to the text."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Scope = _Function | ast.Module


@dataclass(frozen=True, kw_only=True)
class Use:
    """One message in one call: `message.text(...)`, `Error.of(message, ...)`, or a call of a function that forwards to them."""

    line: int
    message: Message
    needed: frozenset[str]
    """Placeholders of the formatted texts."""
    passed: frozenset[str]
    unknown: tuple[str, ...]
    """Expressions in `**expression` whose keys the source code does not show."""

    def problems(self) -> Iterator[str]:
        """Yield the placeholders that are missing or not in the texts, and the keys that cannot be checked."""
        for expression in self.unknown:
            yield f"**{expression} does not show its keys"
        if not self.unknown and self.needed - self.passed:
            yield f"without {', '.join(sorted(self.needed - self.passed))}"
        if self.passed - self.needed:
            yield f"unused {', '.join(sorted(self.passed - self.needed))}"


def placeholders(*texts: str | None) -> frozenset[str]:
    """The names of the placeholders in format strings."""
    fields = (field for text in texts if text for _, field, _, _ in string.Formatter().parse(text) if field)
    return frozenset(field.partition(".")[0].partition("[")[0] for field in fields)


class Source:
    """One module: the messages that it uses."""

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self._parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
        self._nodes = [tree, *self._parents]
        self._used: set[ast.expr] = set()
        self._bindings: dict[ast.AST, dict[str, ast.AST]] = {}

    def uses(self) -> Iterator[Use]:
        """Yield all uses in calls."""
        for call in (node for node in self._nodes if isinstance(node, ast.Call)):
            function = call.func
            if isinstance(function, ast.Attribute) and function.attr == "text":
                yield from self._uses(call, function.value, own=set(), only_what=True)
            elif isinstance(function, ast.Attribute) and function.attr == "of" and call.args:
                yield from self._uses(call, call.args[0], own=_ERROR_FIELDS)
            elif isinstance(function, ast.Name) and (forwarding := self._forwarding(function)):
                own = _ERROR_FIELDS | {argument.arg for argument in (*forwarding.args.args, *forwarding.args.kwonlyargs)}
                yield from self._uses(call, call.args[0], own=own)

    def other_references(self) -> Iterator[tuple[int, Message, str | None]]:
        """Yield line, message and the field that is read, for every reference outside a call of `uses`; run `uses` first."""
        for node in self._nodes:
            if isinstance(node, ast.Name | ast.Attribute) and node not in self._used:
                parent = self._parents.get(node)
                for message in self._messages(node) if self._is_reference(node) else ():
                    yield node.lineno, message, parent.attr if isinstance(parent, ast.Attribute) else None

    def _is_reference(self, node: ast.Name | ast.Attribute) -> bool:
        """Whether the node itself names a catalogue entry, and is not a variable that holds one."""
        return not isinstance(node, ast.Name) or isinstance(self._binding(node), ast.ImportFrom)

    def _uses(self, call: ast.Call, expression: ast.expr, *, own: set[str], only_what: bool = False) -> Iterator[Use]:
        passed, unknown = set(), []
        for keyword in call.keywords:
            keys = {keyword.arg} if keyword.arg else self._keys(keyword.value)
            if keys is None:
                unknown.append(ast.unparse(keyword.value))
            passed |= keys or set()
        for message in self._messages(expression):
            texts = (message.what,) if only_what else (message.what, message.cause, message.next_step)
            yield Use(
                line=call.lineno,
                message=message,
                needed=placeholders(*texts),
                passed=frozenset(passed - own),
                unknown=tuple(unknown),
            )

    def _messages(self, expression: ast.expr) -> list[Message]:
        """The messages that an expression can evaluate to; empty if it is something else."""
        if isinstance(expression, ast.IfExp):
            return [*self._messages(expression.body), *self._messages(expression.orelse)]
        if isinstance(expression, ast.Subscript):
            return self._messages(expression.value)
        if isinstance(expression, ast.Dict):
            return [message for value in expression.values if value for message in self._messages(value)]
        if isinstance(expression, ast.Attribute) and isinstance(expression.value, ast.Name):
            found = getattr(self._imported(expression.value), expression.attr, None)
        elif isinstance(expression, ast.Name):
            binding = self._binding(expression)
            if isinstance(binding, ast.Assign | ast.AnnAssign):
                return self._messages(binding.value) if binding.value else []
            found = self._imported(expression)
        else:
            found = None
        if isinstance(found, Message):
            self._used.add(expression)
            return [found]
        return []

    def _imported(self, name: ast.Name) -> object:
        """The module or message of the catalogue that a name is imported as; `None` for any other name."""
        binding = self._binding(name)
        if not isinstance(binding, ast.ImportFrom) or not (binding.module or "").startswith("tritonize.core.messages"):
            return None
        original = next(alias.name for alias in binding.names if name.id in (alias.asname, alias.name))
        module = importlib.import_module(str(binding.module))
        return getattr(module, original, None) or importlib.import_module(f"{binding.module}.{original}")

    def _keys(self, expression: ast.expr) -> set[str] | None:
        """The keys of `**expression`; `None` if they are not written down."""
        binding = self._binding(expression) if isinstance(expression, ast.Name) else None
        if isinstance(binding, ast.Assign | ast.AnnAssign) and isinstance(binding.value, ast.Dict):
            expression = binding.value
        if isinstance(expression, ast.Dict) and all(isinstance(key, ast.Constant) for key in expression.keys):
            return {key.value for key in expression.keys if isinstance(key, ast.Constant)}
        return None

    def _forwarding(self, name: ast.Name) -> ast.FunctionDef | None:
        """The function of this module that a call names, if its first parameter is a message."""
        binding = self._binding(name)
        if not isinstance(binding, ast.FunctionDef) or not binding.args.args:
            return None
        annotation = binding.args.args[0].annotation
        return binding if isinstance(annotation, ast.Name) and annotation.id == "Message" else None

    def _binding(self, name: ast.Name) -> ast.AST | None:
        """The statement or parameter that binds a name, in the nearest enclosing scope that binds it."""
        scope: ast.AST | None = name
        while scope := self._parents.get(scope):
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module):
                if scope not in self._bindings:
                    self._bindings[scope] = {bound: node for node in _inside(scope) for bound in _bound(node)}
                if name.id in self._bindings[scope]:
                    return self._bindings[scope][name.id]
        return None


def _inside(scope: _Scope) -> Iterator[ast.AST]:
    """All nodes of a scope without those of the functions in it."""
    waiting = list(ast.iter_child_nodes(scope))
    for node in waiting:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _bound(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ImportFrom | ast.Import):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign):
        return {node.target.id} if isinstance(node.target, ast.Name) else set()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {node.arg} if isinstance(node, ast.arg) else set()


def of_package(root: Path) -> Iterator[tuple[Path, Source]]:
    """Yield every module below a folder that imports messages, except the catalogue itself."""
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "core.messages" in text and path.parent.name != "messages":
            yield path, Source(text)
