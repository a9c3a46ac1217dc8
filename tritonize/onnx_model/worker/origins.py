"""Where the nodes of an exported graph come from: the module in the user's model, and the line of the user's code.

The legacy exporter keeps a node's scope in its name and its stack in the doc string; the dynamo exporter keeps both in the
metadata. Exporters write absolute paths; what is read here is relative, so that it may leave the machine.
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
"""Of `node_map.json`."""
_FRAME = re.compile(r'File "(?P<new>[^"]+)", line (?P<new_line>\d+)|^(?P<old>\S[^\n]*?)\((?P<old_line>\d+)\): ', re.MULTILINE)
_LIBRARY = re.compile(r"(?:^|/)(?:site|dist)-packages/(?P<inside>.+)$")
_LINE = re.compile(r"scope: (?P<scopes>\S*)(?: # (?P<file>.+?):(?P<line>\d+):\d+)?\s*$")
_GENERATED = "code/__torch__"
"""TorchScript's own text of a model, which is not the user's file; its lines are others."""
_STANDARD = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
_PACKAGE = str(Path(__file__).resolve().parents[2]) + os.sep


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where one node comes from; what the exporter did not keep is None."""

    module: str | None
    """Path of the module in the user's model, such as `encoder.0.conv`; the empty text is the model itself."""
    source: str | None
    """`file.py:line` of the innermost code outside torch, relative to the user's folders or to the installed packages."""
    function: str | None = None
    """The PyTorch operator."""


def of_graph(
    model: onnx.ModelProto, roots: Sequence[Path], scope: str, *, modules: Sequence[str] | None = None
) -> dict[str, Origin]:
    """The origins of all nodes, by the names of their outputs; a name that several graphs use has none.

    Args:
        model: as the exporter wrote it.
        roots: the user's folders.
        scope: path of the user's module in what was exported.
        modules: the paths that there are in it; the legacy exporter makes up others, and they are left out.
    """
    found: dict[str, Origin] = {}
    named: Counter[str] = Counter()
    for node in _nodes(model.graph):
        names = [name for name in node.output if name]
        named.update(names)
        origin = _origin(node, roots, scope)
        if origin and modules is not None and origin.module is not None:
            origin = replace(origin, module=_known(origin.module, modules))
        if origin:
            found.update(dict.fromkeys(names, origin))
    return {name: origin for name, origin in found.items() if named[name] == 1}


def _known(path: str, modules: Sequence[str]) -> str | None:
    """The path of a module that there is; `None` where it is not clear which one is meant.

    The legacy exporter leaves out what a ModuleList or ModuleDict is called, and numbers the calls of a module: the second one
    of `conv` is `conv_1`, which may be the name of another module.
    """
    called = re.fullmatch(r"(?P<first>.+)_\d+", path)
    if path in modules:
        return None if called and called["first"] in modules else path
    ends = [each for each in modules if each.endswith(f".{path}")]
    if len(ends) == 1:
        return ends[0]
    return _known(called["first"], modules) if called and not ends else None


def of_inlined(model: onnx.ModelProto, known: Mapping[str, Origin]) -> dict[str, Origin]:
    """The known origins, and those of nodes that came out of an inlined function: of all that consumes them, if that is one."""
    found = dict(known)
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in _nodes(model.graph):
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    for node in reversed(model.graph.node):
        users = [user for name in node.output for user in consumers.get(name, ())]
        origins = {found.get(user.output[0]) for user in users}
        if users and node.output[0] not in found and len(origins) == 1 and (origin := origins.pop()):
            found.update(dict.fromkeys(node.output, origin))
    return found


def write(model: onnx.ModelProto, origins: Mapping[str, Origin], path: Path) -> None:
    """Write `node_map.json` for the finished graph; a node whose origin was lost says so."""
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
    """The origin of a node of an exported program (`torch.fx.Node`)."""
    scopes = list(node.meta.get("nn_module_stack", {}).values())
    module = _inside(scopes[-1][0], scope) if scopes else None
    return Origin(module=module, source=user_line(node.meta.get("stack_trace") or ""), function=str(node.target))


def of_legacy_line(line: str, scope: str) -> Origin:
    """The origin of a node in the legacy exporter's text of a graph: `…, scope: net.Net::/net.Block::a # file.py:3:0`."""
    found = _LINE.search(line)
    scopes, file, number = found.groups() if found else (None, None, None)
    if file and is_standard(file):
        file = None  # torch's quantized modules answer through contextlib, and the line of the user's own code is not kept
    path = _joined([part for each in (scopes or "").split("/") if (part := each.rpartition("::")[2])])
    return Origin(module=_inside(path, scope) if scopes else None, source=f"{relative(file)}:{number}" if file else None)


def user_line(stack: str, roots: Sequence[Path] = ()) -> str | None:
    """The innermost frame outside torch and tritonize, from either kind of stack text, as `file.py:line`.

    The dynamo exporter keeps the frames of forward() alone: of a function that it calls, the line of the call.
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
    """A path that says nothing of the machine: relative to the installed packages, a root or an entry of `sys.path`, or a name."""
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
    """Whether a file is of Python's standard library, through which torch calls itself (contextlib)."""
    return not _LIBRARY.search(file) and file.startswith(_STANDARD)


def is_torch(file: str) -> bool:
    """Whether a file is torch's or tritonize's own, and not the user's."""
    inside = _LIBRARY.search(file)
    return bool(inside and inside["inside"].startswith("torch/")) or file.startswith((_PACKAGE, "<"))


def is_ours(file: str) -> bool:
    """Whether a file is tritonize's own."""
    return file.startswith(_PACKAGE)


def is_installed(file: str) -> bool:
    """Whether a file is of an installed package, torch among them, or of tritonize itself."""
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
    """The exporter writes Python lists of texts."""
    listed = ast.literal_eval(text)
    return [str(each) for each in listed]


def _of_legacy_name(node: onnx.NodeProto) -> str | None:
    """`/blocks/blocks.0/conv/Conv` as `blocks.0.conv`: parts of containers repeat the container's name."""
    if not node.name.startswith("/"):
        return None
    return _joined(node.name.strip("/").split("/")[:-1])


def _joined(parts: Sequence[str]) -> str:
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)


def _inside(path: str | None, scope: str) -> str | None:
    """A path relative to the user's module; `None` outside it, where the exporter lost it."""
    if path is None or not scope or path == scope:
        return "" if path == scope else path
    return path.removeprefix(f"{scope}.") if path.startswith(f"{scope}.") else None


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes in the file's order, those of subgraphs behind the node that has them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
