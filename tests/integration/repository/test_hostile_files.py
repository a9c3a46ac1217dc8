"""Crafted data files: each causes an error of tritonize within a few seconds and with bounded memory."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import small_versions
from tests.support.golden_files import members, rewrite
from tritonize.core import bounded_files
from tritonize.core.errors import TritonizeError
from tritonize.plans import builder as plan_builder
from tritonize.plans import plan_file, proof_input, proof_record
from tritonize.quality import golden_set
from tritonize.reference import checksummed_archive
from tritonize.repository import manifest
from tritonize.source import samples
from tritonize.spec import editing, loader, schema
from tritonize.workflows import golden as golden_workflow

MIB = 2**20
SECONDS = 5.0
MEMORY = 300 * MIB
"""Largest allocation of Python and NumPy; a JSON file may have 32 MiB."""
DEEP = b"[" * 100_000
DEEPER_THAN_ALLOWED = b"[" * 200 + b"]" * 200
ran: list[str] = []


def refused(name: str, act: Callable[[], object], *codes: int, traced: bool = True) -> TritonizeError:
    """Require that an action raises an error of tritonize with one of the exit codes, within the limits of time and memory.

    `traced` is false for actions with much Python code, which tracing memory slows down several times.
    """
    if traced:
        tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(TritonizeError) as caught:
            act()
        assert not traced or tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < SECONDS
    assert caught.value.exit_code in codes
    assert len(str(caught.value)) < 20_000
    ran.append(name)
    return caught.value


@pytest.fixture(scope="module", autouse=True)
def _count(pytestconfig: pytest.Config) -> Iterator[None]:
    yield
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{len(ran)} hostile files, each an error of its own")


def npy(shape: str, *, descr: str = "'<f4'", data: bytes = b"", more: str = "") -> bytes:
    """Return a `.npy` file with an arbitrary header."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}{more}}}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


ARRAYS: dict[str, bytes] = {
    "a terabyte": npy("(1, 274877906944)"),
    "a yottabyte": npy("(1, 99999999999999999999999)"),
    "below zero": npy("(1, -16)", data=bytes(64)),
    "sizes that overflow": npy("(4294967296, 4294967296, 4)", data=bytes(64)),
    "nothing, in sizes that overflow": npy("(0, 4611686018427387904, 4611686018427387904)"),
    "1,000 axes": npy(f"({'1, ' * 1000})", data=bytes(4)),
    "shorter than it says": npy("(1, 16)", data=bytes(60)),
    "longer than it says": npy("(1, 16)", data=bytes(68)),
    "Python objects": npy("(1, 16)", descr="'|O'", data=bytes(128)),
    "a structure": npy("(1, 16)", descr=f"[{'(' + repr('a') + ', ' + repr('<f4') + ')'}]", data=bytes(64)),
    "no type": npy("(1, 16)", descr="'nonsense'", data=bytes(64)),
    "a deep head": npy("(" * 2000 + ")" * 2000),
    "a head that is no head": npy("(1, 16), 'x': __import__('os').getpid()", data=bytes(64)),
    "a shape of text": npy("('a', 16)", data=bytes(64)),
    "nothing": b"",
    "half a head": b"\x93NUMPY\x01\x00\xff\xff{",
    "another version": b"\x93NUMPY\x09\x00" + bytes(100),
    "no array": b"PK\x03\x04" + bytes(100),
}

SPECS: dict[str, str | bytes] = {
    "aliases": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12)),
    "merges": "a0: &a0 {k: 1}\n" + "".join(f"a{i + 1}: &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 9)}]}}\n" for i in range(12)),
    "an alias of itself": "schema: 1\nmodels: &a {m: *a}\n",
    "deep lists": DEEP,
    "deep mappings": "a: {" * 100_000,
    "deep blocks": "".join(f"{' ' * i}a:\n" for i in range(1500)),
    "deep, and closed": "schema: 1\nmodels: " + "{m: " * 200 + "1" + "}" * 200,
    "a number of 5,000 digits": f"schema: {'9' * 5000}",
    "month 13": "schema: 2001-13-01",
    "no number": "schema: !!int abc",
    "no fraction": "schema: !!float abc",
    "no truth": "schema: !!bool abc",
    "no time": "schema: !!timestamp abc",
    "no bytes": "schema: !!binary x",
    "a Python object": "schema: !!python/object/apply:os.getpid []",
    "an unknown tag": "schema: !x 1\nmodels: !y {m: !z [1]}",
    "keys of all kinds": "schema: 1\nmodels: {1: {}, null: {}, [1]: {}, {a: b}: {}, 2001-01-01: {}}",
    "a set": "schema: 1\nmodels: !!set {a, b}",
    "infinities": "schema: .inf\nmodels: .nan",
    "zero bytes": b"schema: \x00",
    "no UTF-8": b"schema: \xff\xfe",
    "no text": os.urandom(1000),
    "nothing": b"",
    "3 MiB": "# comment\n" * 300_000,
    "many values": f"schema: [{'1, ' * 25_000}]",
    "a model per line": "schema: 1\nmodels:\n" + "".join(f"  m{i}: 1\n" for i in range(2000)),
}


@pytest.mark.parametrize("name", SPECS)
def test_specs(name: str) -> None:
    content = SPECS[name]
    Path("s.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(f"spec: {name}", lambda: loader.load(Path("s.yaml")), 2, traced=False)
    refused(f"edited spec: {name}", lambda: editing.keep_in_fp32(Path("s.yaml"), "m", ["n"]), 2, traced=False)


def model(**fields: Any) -> schema.Model:
    return schema.Model.model_validate(
        {"source": "m.pt", "inputs": {"x": {"shape": ["batch", "n"]}}, "max_batch_size": 4, **fields}
    )


def test_sizes_in_specs() -> None:
    start = "schema: 1\nmodels: {m: {source: m.pt, max_batch_size: %s, inputs: {x: {shape: %s}}, axes: %s}}"
    for text in (
        start % (10**9, "[batch, 4]", "{}"),
        start % (4, "[batch, 99999999999]", "{}"),
        start % (4, "[batch, n]", "{n: {max: 99999999999}}"),
        start % (4, f"[batch{', 1' * 40}]", "{}"),
        start % (4, f"[batch{', 1' * 4000}]", "{}"),
    ):
        Path("s.yaml").write_text(text)
        refused("spec: sizes", lambda: loader.load(Path("s.yaml")), 2, traced=False)
    names = [f"n{i}" for i in range(20)]
    described = {"source": "m.pt", "max_batch_size": 4, "backend": "tensorrt", "inputs": {"x": {"shape": ["batch", *names]}}}
    described["axes"] = {name: {"max": 100} for name in names}
    described["profiles"] = [{name: {"max": 50} for name in names}, {name: {"min": 40} for name in names}]
    Path("s.yaml").write_text(json.dumps({"schema": 1, "models": {"m": described}}))
    error = refused("spec: profiles that meet in 3^20 ways", lambda: loader.load(Path("s.yaml")), 2, traced=False)
    assert "combinations of sizes" in "".join(error.details)


def test_samples_of_sizes_that_no_machine_has(tmp_path: Path) -> None:
    huge = {"n": {"min": 1, "max": 2**31 - 1}}
    batch = model(axes=huge, max_batch_size=4096)
    assert refused("a batch of terabytes", lambda: samples.write(batch, tmp_path / "s"), 2).code == "batch-too-large"
    many = model(axes={"n": {"min": 2**20, "max": 2**20}}, samples={"count": 1_000_000})
    assert refused("samples of terabytes", lambda: samples.write(many, tmp_path / "s"), 6).code == "no-room-for-samples"
    assert not (tmp_path / "s").exists()


def zipped(entries: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def spoiled(content: bytes, place: int, value: bytes) -> bytes:
    """Return the archive with one byte changed in the first entry's header and in its directory entry."""
    parts = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        start = content.index(signature) + place + offset
        parts[start : start + len(value)] = value
    return bytes(parts)


@functools.cache
def sample_files() -> dict[str, bytes]:
    sound = npy("(1, 16)", data=bytes(64))
    found = {f"an array: {name}": zipped({"x.npy": content}) for name, content in ARRAYS.items() if name != "a structure"}
    bomb = zipped({"x.npy": npy("(1, 16)") + bytes(64 * MIB)}, method=zipfile.ZIP_DEFLATED)
    return found | {
        "a bomb behind a small array": bomb,
        "no ZIP": b"nothing",
        "half a ZIP": zipped({"x.npy": sound})[:-30],
        "a password": spoiled(zipped({"x.npy": sound}), 6, b"\x01\x00"),
        "an unknown method": spoiled(zipped({"x.npy": sound}), 8, b"\x63\x00"),
        "a wrong sum": spoiled(zipped({"x.npy": sound}), 14, b"\1\2\3\4"),
        "a terabyte, it says": spoiled(zipped({"x.npy": sound}), 22, b"\xfe\xff\xff\x7f"),
        "a member that is no array": zipped({"x.npy": sound, "evil.txt": b"x"}),
        "another array": zipped({"../y.npy": sound}),
        "an empty ZIP": zipped({}),
    }


@pytest.mark.parametrize("name", sample_files())
def test_sample_files(name: str, tmp_path: Path) -> None:
    Path("s.npz").write_bytes(sample_files()[name])
    described = model(axes={"n": {"max": 16}}, samples={"files": "s.npz"})
    refused(f"sample file: {name}", lambda: samples.write(described, tmp_path / "s"), 2)


@pytest.mark.parametrize("name", ARRAYS)
def test_sample_folders(name: str, tmp_path: Path) -> None:
    Path("s").mkdir()
    Path("s/x.npy").write_bytes(ARRAYS[name])
    described = model(axes={"n": {"max": 16}}, samples={"files": "s"})
    refused(f"sample folder: {name}", lambda: samples.write(described, tmp_path / "out"), 2)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    os.mkfifo("folder/x.npy")
    for files in ("pipe", "folder"):
        described = model(axes={"n": {"max": 16}}, samples={"files": files})
        refused(f"samples: {files}", lambda described=described: samples.write(described, tmp_path / "s"), 2)
    refused("spec: a pipe", lambda: loader.load(Path("pipe")), 2)
    refused("spec: a folder", lambda: loader.load(Path("folder")), 2)
    refused("golden file: a pipe", lambda: golden_workflow.look(Path("pipe")), 2)
    refused("request: a pipe", lambda: plan_builder.read_request(Path("pipe")), 2)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "models"
    small_versions.publish(root, 1)
    golden_workflow.export(root, "small", out=root.parent / "sound.golden")
    golden_workflow.export(root, "small", out=root.parent / "seeded.golden", seeds=True)
    return root


Change = Callable[[dict[str, Any]], dict[str, Any]]


def in_set(**changes: Any) -> Change:
    return lambda facts: {**facts, "set": {**facts["set"], **changes}}


FACTS: dict[str, Change] = {
    "a billion samples": in_set(count=10**9),
    "a billion samples in a pack": lambda facts: {**in_set(count=10**9)(facts), "packs": [[0], *facts["packs"]]},
    "no samples": lambda facts: {**in_set(count=0, edges={})(facts), "packs": []},
    "samples below zero": in_set(count=-1),
    "a batch of a billion": in_set(max_batch_size=10**9),
    "a batch below zero": in_set(max_batch_size=-1),
    "edge cases that are none": in_set(edges={"0": "zeros"}),
    "edge cases beyond the end": in_set(edges={"999": "zeros"}),
    "more edge cases than samples": in_set(edges={str(i): "zeros" for i in range(50)}),
    "an empty pack": lambda facts: {**facts, "packs": [*facts["packs"], []]},
    "packs of text": lambda facts: {**facts, "packs": ["01234567"]},
    "packs of nothing": lambda facts: {**facts, "packs": None},
    "a sample twice": lambda facts: {**facts, "packs": [facts["packs"][0] + facts["packs"][0]]},
    "an unknown type": lambda facts: in_set(inputs=[{**facts["set"]["inputs"][0], "dtype": "fp31"}])(facts),
    "an input of text": lambda facts: in_set(inputs=[{**facts["set"]["inputs"][0], "dtype": "string"}])(facts),
    "no inputs of a kind": in_set(inputs=7),
    "40 axes": lambda facts: in_set(inputs=[{**facts["set"]["inputs"][0], "shape": [1] * 40}])(facts),
    "rules of no kind": in_set(rules={"y": {"tolerance": {"rtol": -1}}}),
    "a version of no number": lambda facts: {**facts, "version": "x"},
    "deep": lambda facts: {**facts, "versions": json.loads(DEEPER_THAN_ALLOWED)},
    "seeds of no kind": lambda facts: {**facts, "seeds": {"sha256": {"0": "0"}}},
    "a list": lambda facts: [facts],  # type: ignore[return-value, dict-item]
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_golden_files(name: str, published: Path) -> None:
    content = members(published.parent / "sound.golden")
    facts = FACTS[name](json.loads(content["golden.json"]))
    rewrite(Path("g.golden"), {**content, "golden.json": json.dumps(facts).encode()})
    assert Path("g.golden").stat().st_size < 100_000
    refused(f"golden file: {name}", lambda: golden_workflow.look(Path("g.golden")), 6)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_golden_files(name: str, published: Path) -> None:
    content = members(published.parent / "sound.golden")
    for member in ("inputs/0/0.npy", "expected/0/0.npy", "exact/0/0.npy"):
        rewrite(Path("g.golden"), {**content, member: ARRAYS[name]})
        refused(f"golden file: {member}: {name}", lambda: golden_workflow.look(Path("g.golden")), 6)


def test_seeds_of_golden_files(published: Path) -> None:
    content = members(published.parent / "seeded.golden")
    facts = json.loads(content["golden.json"])
    for described in (
        {"inputs": {"x": {"shape": ["batch", 2**31 - 1]}}, "max_batch_size": 4},
        {"inputs": {"x": {"shape": ["batch", 16]}}, "max_batch_size": 10**9},
        {"inputs": {f"x{i}": {"shape": ["batch", 16]} for i in range(1000)}, "max_batch_size": 4},
        {"inputs": {"x": {"shape": ["batch", "n"]}}, "axes": {"n": {"max": 2**31 - 1}}, "max_batch_size": 4},
    ):
        seeds = {**facts["seeds"], "spec": {"source": "-", **described}}
        rewrite(Path("g.golden"), {**content, "golden.json": json.dumps({**facts, "seeds": seeds}).encode()})
        refused("golden file: seeds", lambda: golden_workflow.look(Path("g.golden")), 6)


def sealed_zip(entries: dict[str, bytes], index: dict[str, Any] | bytes, **options: Any) -> bytes:
    plain = index if isinstance(index, bytes) else json.dumps(index).encode()
    seal = hashlib.sha256(plain).hexdigest().encode()
    return zipped({**entries, checksummed_archive.INDEX: plain, checksummed_archive.INDEX_DIGEST: seal}, **options)


@functools.cache
def archives() -> dict[str, bytes]:
    content = b"{}"
    listed = {"golden.json": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": 2}}
    sound = {"golden.json": content}

    def of(**changes: Any) -> dict[str, Any]:
        return {"schema": 1, "members": {"golden.json": {**listed["golden.json"], **changes}}}

    packed = {"method": zipfile.ZIP_DEFLATED}
    return {
        "an index that is deep": sealed_zip(sound, DEEP),
        "an index of many": sealed_zip(sound, b'{"members": {' + b'"a": {},' * 8_000_000, **packed),
        "an index of a list": sealed_zip(sound, b"[]"),
        "an index of nothing": sealed_zip(sound, {"schema": 1, "members": None}),
        "a size that is infinite": sealed_zip(sound, b'{"schema": 1, "members": {"golden.json": {"sha256": "", "bytes": 1e999}}}'),
        "a size of exabytes": sealed_zip(sound, of(bytes=10**18)),
        "a size below zero": sealed_zip(sound, of(bytes=-1)),
        "a name that leads out": sealed_zip({"../evil": content}, {"schema": 1, "members": {"../evil": listed["golden.json"]}}),
        "a name from the root": sealed_zip({"/evil": content}, {"schema": 1, "members": {"/evil": listed["golden.json"]}}),
        "a bomb that the index does not know": spoiled(
            sealed_zip({"golden.json": bytes(64 * MIB)}, of(), **packed), 22, struct.pack("<I", 2)
        ),
        "facts of 40 MiB": sealed_zip(
            {"golden.json": b" " * (40 * MIB), "config.pbtxt": b""},
            {
                "schema": 1,
                "members": {
                    "golden.json": {"sha256": hashlib.sha256(b" " * (40 * MIB)).hexdigest(), "bytes": 40 * MIB},
                    "config.pbtxt": {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0},
                },
            },
            **packed,
        ),
        "a password": spoiled(sealed_zip(sound, of()), 6, b"\x01\x00"),
        "an unknown method": spoiled(sealed_zip(sound, of()), 8, b"\x63\x00"),
        "no seal": zipped({**sound, checksummed_archive.INDEX: json.dumps(of()).encode()}),
        "no ZIP": b"nothing",
    }


@pytest.mark.parametrize("name", archives())
def test_archives(name: str, tmp_path: Path) -> None:
    Path("g.golden").write_bytes(archives()[name])
    refused(f"golden file: {name}", lambda: golden_workflow.look(Path("g.golden")), 6)
    assert not (tmp_path.parent / "evil").exists()
    assert not Path("/evil").exists()


JSON: dict[str, bytes] = {
    "deep": DEEP,
    "deeper than allowed": DEEPER_THAN_ALLOWED,
    "deep objects": b'{"a":' * 100_000,
    "33 MiB": b" " * (33 * MIB),
    "a list": b"[]",
    "a number": b"7",
    "text": b'"x"',
    "null": b"null",
    "an object": b"{}",
    "no JSON": b"{",
    "no UTF-8": b'{"schema": "\xff"}',
    "a number of 5,000 digits": b'{"schema": ' + b"1" * 5000 + b"}",
    "infinity": b'{"schema": 1e999, "count": 1e999, "max_batch_size": NaN}',
    "nothing": b"",
    "parts of no kind": b'{"schema": 1, "files": {"a": 7}, "onnx": 7, "precision": [], "deadline_s": {}, "sha256": 1}',
}


@pytest.mark.parametrize("name", JSON)
def test_json(name: str) -> None:
    """Check every kind of JSON file that is read from a repository or a request."""
    for folder in ("version/evidence", "input", "golden"):
        Path(folder).mkdir(parents=True)
    for path in ("version/evidence/manifest.json", "golden/golden.json", "input/question.json", "r.json"):
        Path(path).write_bytes(JSON[name])
    Path("model.plan").write_bytes(b"x")
    for path in (plan_file.metadata_path(Path("model.plan")), proof_record.path(Path("model.plan"))):
        path.write_bytes(JSON[name])
    refused(f"manifest: {name}", lambda: manifest.read(Path("version")), 6)
    refused(f"golden set: {name}", lambda: golden_set.read(Path("golden")), 6)
    refused(f"proof input: {name}", lambda: proof_input.read(Path("input")), 2, 6)
    refused(f"request: {name}", lambda: plan_builder.read_request(Path("r.json")), 2)
    refused(f"plan metadata: {name}", lambda: plan_file.read_metadata(Path("model.plan")), 5)
    refused(f"proof record: {name}", lambda: proof_record.read(Path("model.plan")), 5)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_versions(name: str, published: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(published / "small/1/evidence/golden", tmp_path / "golden")
    (tmp_path / "golden/expected/3/0.npy").write_bytes(ARRAYS[name])
    refused(f"golden set: {name}", lambda: golden_set.read(tmp_path / "golden"), 6)


def test_valid_files_are_read(published: Path) -> None:
    assert golden_workflow.look(published.parent / "sound.golden").golden.samples.files.count == 8
    assert golden_set.read(published / "small/1/evidence/golden").samples.files.count == 8
    assert bounded_files.parsed("[" * 100 + "]" * 100)
    np.savez("s.npz", x=np.random.default_rng(0).random((4, 16), np.float32))
    described = model(axes={"n": {"max": 16}}, samples={"files": "s.npz"})
    assert samples.write(described, Path("out")).files.count == 4
