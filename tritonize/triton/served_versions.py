"""Find out which version a client gets that names none, and whether the server serves the versions that the repository does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import server as wording
from tritonize.core.reports import Finding
from tritonize.quality.comparison import compare
from tritonize.triton import client, decoupled_requests, inference, sequence_requests, server_description
from tritonize.triton.target import Target


class Asked(NamedTuple):
    """What a client gets that names no version."""

    findings: tuple[Finding, ...]
    reached: frozenset[int]
    """The versions that responded; several if the transports lead to different ones."""


def ask(target: Target) -> Asked:
    """Ask over each transport, since a proxy may route each to another server; shared memory is gRPC."""
    findings: list[Finding] = []
    reached: set[int] = set()
    for transport in target.transports:
        with target.connect(transport) as connection:
            findings += _over(target, connection, reached)
    return Asked(tuple(findings), frozenset(reached))


def loaded(target: Target) -> tuple[int, ...]:
    """The versions of the model that the server names; empty if it serves none or does not say."""
    for transport in target.transports:
        with target.connect(transport) as connection, contextlib.suppress(InferenceError):
            if named := _named(target, connection):
                return named
    return ()


def _over(target: Target, connection: client.Client, reached: set[int]) -> Iterator[Finding]:
    where = f"{target.model} over {connection.transport}"
    named = _named(target, connection)
    if named and target.served and named != target.served:
        expected, found = (", ".join(map(str, each)) for each in (target.served, named))
        yield Finding(
            where=where, what=wording.OTHER_VERSIONS_SERVED.text(), expected=f"version {expected}", found=f"version {found}"
        )
    try:
        outputs = dict(_without_a_version(target, connection))
    except InferenceError as error:
        yield inference.refusal(f"{where}, without a version", error)
        return
    answered = _number(connection.answered_version)
    if answered is None:
        answered = max(named, default=None)
    wanted = target.by_default
    reached |= set() if answered is None else {answered}
    if answered is not None and wanted is not None and answered != wanted:
        yield Finding(
            where=where, what=wording.OTHER_VERSION_BY_DEFAULT.text(), expected=f"version {wanted}", found=f"version {answered}"
        )
    elif wanted == target.version:
        golden = target.golden
        wrong = [
            each
            for index, found in outputs.items()
            for each in compare(
                inference.as_served(golden.expected_outputs((index,)), target.config, "output"), found, golden.tolerances
            )
            if not each.passed
        ]
        if wrong:
            reason = f"{wrong[0].name}: {wrong[0].reason}"
            yield Finding(where=where, what=wording.WRONG_BY_DEFAULT.text(), expected=f"version {wanted}", found=reason)


def _without_a_version(target: Target, connection: client.Client) -> Iterator[tuple[int, Arrays]]:
    """Send the first sample, or one sequence of a stateful model; yield each sample with its outputs."""
    if target.golden.samples.sequences:
        yield from sequence_requests.one_without_a_version(target, connection)
        return
    if target.golden.samples.requests:
        yield from decoupled_requests.one_without_a_version(target, connection)
        return
    target.pace.wait()
    inputs = arrays.stack(target.golden.samples.files, (0,))
    yield 0, connection.infer(target.model, inference.as_served(inputs, target.config, "input"))


def _named(target: Target, connection: client.Client) -> tuple[int, ...]:
    """The versions that the server names in the model's metadata, in ascending order; empty if it does not return them."""
    try:
        found = connection.model_metadata(target.model).get("versions", ())
    except (InferenceError, ServerError) as error:
        if server_description.why_unread(error) is None:
            raise
        return ()
    return tuple(sorted(number for each in found if (number := _number(each)) is not None))


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None
