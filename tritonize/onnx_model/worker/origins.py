"""Find the origin of each node of an exported graph: the module in the user's model, and the line of the user's code.

The legacy exporter writes a node's scope into its name and the stack into its doc string; the dynamo exporter writes both into
the metadata. Exporters write absolute paths; this module makes them relative, so that evidence does not name the user's folders.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from torch.fx import Node

FORMAT = 1
"""Format version of `node_map.json`."""
_FRAME = re.compile(r'File "(?P<new>[^"]+)", line (?P<new_line>\d+)|^(?P<old>\S[^\n]*?)\((?P<old_line>\d+)\): ', re.MULTILINE)
_LIBRARY = re.compile(r"(?:^|/)(?:site|dist)-packages/(?P<inside>.+)$")
_LINE = re.compile(r"scope: (?P<scopes>\S*)(?: # (?P<file>.+?):(?P<line>\d+):\d+)?\s*$")
_GENERATED = "code/__torch__"
"""Prefix of source files that TorchScript generates; their line numbers differ from those of the user's files."""
_STANDARD = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
_PACKAGE = str(Path(__file__).resolve().parents[2]) + os.sep


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The origin of one node; a field is `None` if the exporter did not record it."""

    module: str | None
    """Path of the module in the user's model, such as `encoder.0.conv`; the empty string is the model itself."""
    source: str | None
    """`file.py:line` of the innermost frame outside torch, relative to the user's folders or to the installed packages."""
    function: str | None = None
    """The PyTorch operator; the legacy exporter does not record it."""


def of_graph(
    model: onnx.ModelProto, roots: Sequence[Path], scope: str, *, modules: Sequence[str] | None = None
) -> dict[str, Origin]:
    """Return the origins of all nodes by output name; names that occur in several graphs are left out.

    Args:
        model: the model as the exporter wrote it.
        roots: the user's folders; source files are named relative to them.
        scope: path of the user's module inside the exported module.
        modules: paths of all modules inside the user's module. The legacy exporter also writes paths that do not exist; these
            are replaced by the matching existing path, or by `None`.
    """
    origins: dict[str, Origin] = {}
    named: Counter[str] = Counter()
    for node in _nodes(model.graph):
        names = [name for name in node.output if name]
        named.update(names)
        origin = _origin(node, roots, scope)
        if origin and modules is not None and origin.module is not None:
            origin = replace(origin, module=_known(origin.module, modules))
        if origin:
            origins.update(dict.fromkeys(names, origin))
    return {name: origin for name, origin in origins.items() if named[name] == 1}


def _known(path: str, modules: Sequence[str]) -> str | None:
    """Return the existing module path that an exporter's path stands for; `None` if it is ambiguous.

    The legacy exporter omits the name of a ModuleList or ModuleDict, and numbers repeated calls of a module: the second call of
    `conv` is `conv_1`, which may also be the name of a different module.
    """
    called = re.fullmatch(r"(?P<first>.+)_\d+", path)
    if path in modules:
        return None if called and called["first"] in modules else path
    ends = [each for each in modules if each.endswith(f".{path}")]
    if len(ends) == 1:
        return ends[0]
    return _known(called["first"], modules) if called and not ends else None


def of_inlined(model: onnx.ModelProto, known: Mapping[str, Origin]) -> dict[str, Origin]:
    """Add origins for nodes of inlined functions to the known ones.

    Such a node gets the origin of its consumers, if all of them have the same one.
    """
    completed = dict(known)
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in _nodes(model.graph):
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    for node in reversed(model.graph.node):
        users = [user for name in node.output for user in consumers.get(name, ())]
        origins = {completed.get(user.output[0]) for user in users}
        if users and node.output[0] not in completed and len(origins) == 1 and (origin := origins.pop()):
            completed.update(dict.fromkeys(node.output, origin))
    return completed


def write(model: onnx.ModelProto, origins: Mapping[str, Origin], path: Path) -> None:
    """Write `node_map.json` for the finished graph; a node without a known origin is marked `unmapped`."""
    entries: list[dict[str, object]] = []
    for node in _nodes(model.graph):
        origin = next((origins[name] for name in node.output if name in origins), None)
        entry: dict[str, object] = {"node": node.name, "operator": node.op_type, "outputs": list(node.output)}
        known = {key: value for key, value in vars(origin).items() if value is not None} if origin else {}
        lost = {} if "module" in known or "source" in known else {"unmapped": True}
        entries.append({**entry, **known, **lost})
    unmapped = sum(1 for entry in entries if "unmapped" in entry)
    text = json.dumps({"format": FORMAT, "mapped": len(entries) - unmapped, "unmapped": unmapped, "nodes": entries}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def of_program_node(node: Node, scope: str) -> Origin:
    """Return the origin of a node of an exported program (`torch.fx.Node`).

    Args:
        node: the node.
        scope: path of the user's module inside the exported module.
    """
    scopes = list(node.meta.get("nn_module_stack", {}).values())
    module = _inside(scopes[-1][0], scope) if scopes else None
    return Origin(module=module, source=user_line(node.meta.get("stack_trace") or ""), function=str(node.target))


def of_legacy_line(line: str, scope: str) -> Origin:
    """Return the origin from a line of TorchScript's graph text, such as `…, scope: net.Net::/net.Block::a # file.py:3:0`."""
    match = _LINE.search(line)
    scopes, file, number = match.groups() if match else (None, None, None)
    if file and is_standard(file):
        file = None  # torch's quantized modules run inside contextlib, and the user's line is not recorded
    path = _joined([part for each in (scopes or "").split("/") if (part := each.rpartition("::")[2])])
    return Origin(module=_inside(path, scope) if scopes else None, source=f"{relative(file)}:{number}" if file else None)


def user_line(stack: str, roots: Sequence[Path] = ()) -> str | None:
    """Return the innermost frame outside torch and tritonize as `file.py:line`; `None` if the text has no frames.

    The dynamo exporter records only the frames of forward(); for a function that forward() calls, this is the line of the call.

    Args:
        stack: a stack in the format of Python or of TorchScript.
        roots: the user's folders; the file is named relative to them.
    """
    frames = [
        (each["new"], each["new_line"], True) if each["new"] else (each["old"], each["old_line"], False)
        for each in _FRAME.finditer(stack)
    ]
    outermost_first = bool(frames) and frames[0][2]
    innermost_first = list(reversed(frames)) if outermost_first else frames
    innermost_first = [frame for frame in innermost_first if not frame[0].startswith(_GENERATED)]
    own = next((frame for frame in innermost_first if not is_torch(frame[0]) and not is_standard(frame[0])), None)
    innermost_first = [frame for frame in innermost_first if not is_standard(frame[0])] or innermost_first
    chosen = own or next(iter(innermost_first), None)
    return f"{relative(chosen[0], roots)}:{chosen[1]}" if chosen else None


def relative(file: str, roots: Iterable[Path] = ()) -> str:
    """Make a path relative to site-packages, to one of `roots` or to an entry of `sys.path`; else return the file's name."""
    inside = _LIBRARY.search(file)
    if inside:
        return inside["inside"]
    for root in sorted((os.fspath(each) for each in roots), key=len, reverse=True):
        if file.startswith(root.rstrip("/") + "/"):
            return os.path.relpath(file, root)
    for root in sys.path:
        if root and file.startswith(root.rstrip("/") + "/"):
            return os.path.relpath(file, root)
    return Path(file).name


def is_standard(file: str) -> bool:
    """Return whether a file belongs to Python's standard library; stacks inside torch pass through it (contextlib)."""
    return not _LIBRARY.search(file) and file.startswith(_STANDARD)


def is_torch(file: str) -> bool:
    """Return whether a file belongs to torch or tritonize, or is generated code without a file (`<string>`)."""
    inside = _LIBRARY.search(file)
    return bool(inside and inside["inside"].startswith("torch/")) or file.startswith((_PACKAGE, "<"))


def is_ours(file: str) -> bool:
    """Return whether a file belongs to tritonize."""
    return file.startswith(_PACKAGE)


def is_installed(file: str) -> bool:
    """Return whether a file belongs to an installed package, to torch or to tritonize."""
    return bool(_LIBRARY.search(file)) or is_torch(file)


def _origin(node: onnx.NodeProto, roots: Sequence[Path], scope: str) -> Origin | None:
    kept = {entry.key: entry.value for entry in node.metadata_props}
    if "pkg.torch.onnx.name_scopes" in kept:
        scopes = _listed(kept["pkg.torch.onnx.name_scopes"])
        classes = _listed(kept.get("pkg.torch.onnx.class_hierarchy", "[]"))
        return Origin(
            module=_inside(scopes[-2], scope) if len(scopes) > 1 else None,
            source=user_line(kept.get("pkg.torch.onnx.stack_trace", ""), roots),
            function=classes[-1] if classes else None,
        )
    module = _of_legacy_name(node)
    source = user_line(node.doc_string, roots)
    if module is None and source is None:
        return None
    return Origin(module=_inside(module, scope), source=source)


def _listed(text: str) -> list[str]:
    """Parse a list of strings, which the dynamo exporter writes as a Python literal."""
    listed = ast.literal_eval(text)
    return [str(each) for each in listed]


def _of_legacy_name(node: onnx.NodeProto) -> str | None:
    """Return the module path of a node name: `blocks.0.conv` for `/blocks/blocks.0/conv/Conv`."""
    if not node.name.startswith("/"):
        return None
    return _joined(node.name.strip("/").split("/")[:-1])


def _joined(parts: Sequence[str]) -> str:
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):  # the part of a module in a container repeats the container's name
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)


def _inside(path: str | None, scope: str) -> str | None:
    """Make a module path relative to the user's module; `None` if it is outside of it."""
    if path is None or not scope or path == scope:
        return "" if path == scope else path
    return path.removeprefix(f"{scope}.") if path.startswith(f"{scope}.") else None


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes in the file's order; the nodes of a subgraph follow the node that contains it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
