"""Errors in the words of the surface that the caller uses: `urls=` in Python where the command line has `--url`.

The catalogue of messages is written once, with the flags of the command line. A public function renames them: a flag of the table
becomes a keyword argument, and a flag inside a command to paste (`tritonize doctor --install-server`) stays.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from tritonize.core.errors import TritonizeError

P = ParamSpec("P")
R = TypeVar("R")

_CONNECTION = "connection=ConnectionOptions({}=...)"
FLAGS: Mapping[str, str] = {
    "allow-unproven": "allow_unproven=True",
    "atol": 'tolerance={"atol": ...}',
    "axis": "axes=",
    "ca": _CONNECTION.format("ca"),
    "cert": _CONNECTION.format("certificate"),
    "compression": _CONNECTION.format("compression"),
    "drop-config-fields": "drop_config_fields=True",
    "force": "force=True",
    "golden": "golden=",
    "header": _CONNECTION.format("headers"),
    "input": "inputs=",
    "insecure": "connection=ConnectionOptions(insecure=True)",
    "isolate": "tritonize.isolate()",
    "keep-alive": _CONNECTION.format("keep_alive_s"),
    "key": _CONNECTION.format("key"),
    "max-batch-size": "max_batch_size=",
    "max-message-size": _CONNECTION.format("max_message_bytes"),
    "max-mib": "max_mib=",
    "model": "models=",
    "name": "name=",
    "no-batch": "max_batch_size=0",
    "no-cache": "use_cache=False",
    "no-simplify": "simplify=False",
    "operators": "operators=",
    "opset": "opset=",
    "out": "out=",
    "output": "outputs=",
    "plans": "plans=",
    "plugin": "plugins=",
    "profile": "profile=",
    "quick": "quick=True",
    "rate": "rate=",
    "replace-config": "replace_config=True",
    "repository": "repository=",
    "requests": "requests=",
    "rtol": 'tolerance={"rtol": ...}',
    "sample-file": 'samples={"files": ...}',
    "sample-function": 'samples={"function": ...}',
    "seeds": "seeds=True",
    "serve-anyway": "serve_anyway=True",
    "server": "server=",
    "server-repository": "server_repository=",
    "text": 'samples={"texts": ...}',
    "timeout": _CONNECTION.format("timeout_s"),
    "trt-version": "tensorrt=",
    "url": "urls=",
    "version": "version=",
    "wait": _CONNECTION.format("wait_s"),
}
"""Flag to the keyword argument that says the same. One that ends with `=` takes the flag's value."""
_LISTS = frozenset({"model", "url", "plans", "plugin"})
"""Flags that are repeated on the command line: their keyword argument takes a sequence."""
_ASIDE = re.compile(r" \((?:--[a-z-]+(?: [A-Z][A-Z:=@]*)?(?:, )?)+ on the command line\)| \(--no-batch\)")
"""What a message adds for the command line alone."""
_INPUTS = re.compile(r"--input [^\s:]+:\w+:[\dx]*…?(?: --input [^\s:]+:\w+:[\dx]*…?)*")
_FLAG = re.compile(
    r"--(?P<flag>[a-z][a-z-]*[a-z])"
    r"(?:[ =](?P<value>[a-z]+://[^\s,;)]*|[A-Z][\w:=@./]*[\w/]|[A-Z]\b|\d[\d.]*|embedded|binary|docker|gzip|module:function))?"
)
_COMMAND = re.compile(r"\b(?:tritonize|tritonserver|docker|pip|perf_analyzer) [^;,(:`]*$|^ *(?:tritonserver|trtexec)\b[^;,(`]*$")


def in_python(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function: the texts of its errors name keyword arguments in place of flags."""

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except TritonizeError as error:
            error.what = python_words(error.what)
            error.cause = error.cause and python_words(error.cause)
            error.next_step = error.next_step and python_words(error.next_step)
            error.args = (error.what,)
            raise

    return call


def python_words(text: str) -> str:
    """Replace the flags in a text by keyword arguments.

    >>> python_words("set max_batch_size to 0 (--no-batch on the command line), or add --url http://host:8000")
    'set max_batch_size to 0, or add urls=["http://host:8000"]'
    >>> python_words("run: tritonize doctor --install-server")
    'run: tritonize doctor --install-server'
    """
    text = _INPUTS.sub(_inputs, _ASIDE.sub("", text))
    return _FLAG.sub(_keyword, text)


def _keyword(found: re.Match[str]) -> str:
    flag, value = found["flag"], found["value"]
    if flag not in FLAGS or _COMMAND.search(found.string[: found.start()]):
        return found[0]
    keyword = FLAGS[flag]
    if value is None:
        return keyword.rstrip("=") if keyword.endswith("=") else keyword
    if not keyword.endswith("="):
        return keyword if flag not in _WITHOUT_VALUE else f"{keyword} {value}"
    quoted = value if value.isdecimal() else f'"{value}"'
    return f"{keyword}[{quoted}]" if flag in _LISTS else f"{keyword}{quoted}"


_WITHOUT_VALUE = frozenset(flag for flag, keyword in FLAGS.items() if keyword.endswith(("True", "False", "=0", "()")))


def _inputs(found: re.Match[str]) -> str:
    """`--input x:fp32:1x3` as `inputs={"x": {"dtype": "fp32", "shape": ["batch", 3]}}`."""
    described = []
    for word in found[0].split("--input ")[1:]:
        name, dtype, sizes = word.strip().rsplit(":", 2)
        shape = ", ".join(['"batch"', *(size or "..." for size in sizes.removesuffix("…").split("x")[1:])])
        described.append(f'"{name}": {{"dtype": "{dtype}", "shape": [{shape}]}}')
    return f"inputs={{{', '.join(described)}}}"
