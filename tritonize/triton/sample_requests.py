"""Send the samples of a model whose requests are independent of each other, over every transport and in variations."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tritonize.core import arrays, progress
from tritonize.core.stages import StageName, Transport, over
from tritonize.quality.golden_set import Batch
from tritonize.triton import classification, inference, invariances, server_description
from tritonize.triton.inference import Responses
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.target import Target


def stages(target: Target, transports: Sequence[Transport], served: ModelConfig) -> dict[StageName, Callable[[], Responses]]:
    """The stages of such a model, in their order.

    Args:
        served: the configuration that the server has.
    """
    found: dict[StageName, Callable[[], Responses]] = {over(name): functools.partial(_over, target, name) for name in transports}
    found[StageName.INVARIANCES] = functools.partial(_invariances, target, served)
    found[StageName.CONCURRENT] = functools.partial(_concurrently, target)
    if target.labels:
        found[StageName.CLASSIFICATION] = functools.partial(classification.send, target)
    return found


def _over(target: Target, transport: Transport) -> Responses:
    """Send the profile's batches over one transport, and request outputs by name."""
    responses = Responses()
    with target.connect(transport) as connection, inference.Comparing() as comparing:
        send = functools.partial(inference.send, target, connection, over(transport), responses=responses, comparing=comparing)
        batches: list[tuple[Batch, Sequence[str] | None]] = [
            (each, None) for each in target.profile.over_a_transport(target.golden)
        ]
        named = [((0,), names) for names in target.profile.named_outputs(target.golden)]
        for indices, outputs in progress.counted([*batches, *named], "request"):
            send(indices=indices, outputs=outputs)
    return responses


def _invariances(target: Target, served: ModelConfig) -> Responses:
    """Repeat requests, reorder their samples, add padding, and check that all transports returned the same bits."""
    responses, golden, profile = Responses(), target.golden, target.profile
    with target.connect(target.any_transport) as connection, inference.Comparing() as comparing:
        send = functools.partial(inference.send, target, connection, responses=responses, comparing=comparing)
        repeated = [
            indices
            for size in profile.repeated_sizes(golden)
            for indices in list(arrays.batches(golden.samples, size))[: profile.again]
        ]
        for indices in progress.counted(repeated, "request", text="repeated"):
            send(StageName.AGAIN, indices=indices)
            if len(set(indices)) > 1:
                send(StageName.ORDER, indices=indices[::-1])
        fills = (invariances.copies,) if golden.unpadded else (invariances.zeros, invariances.copies)
        for fill in progress.counted(fills if profile.padded else (), "padding"):
            for index, batch in invariances.padded(golden, fill):
                inference.send_padded(target, connection, index, batch=batch, responses=responses)
    differing = list(target.digests.findings())
    count = len(responses.checks)
    responses.note = f"{count} responses, {target.digests.compared} repeats with equal bits"
    if differing and (why := _may_differ(target, served)):
        responses.note = f"{count} responses; {differing[0].what} ({differing[0].where}), as {why}"
    else:
        responses.findings += differing
    return responses


def _may_differ(target: Target, served: ModelConfig) -> str:
    """An acceptable reason for different bits in responses to the same request; empty if there is no such reason."""
    if target.server.log is None:  # Triton may batch requests of other clients with these
        return "other clients can cause"
    if server_description.runs_on_gpu(served) and len(served.get("instance_group", ())) > 1:
        # Triton sends a request to any free instance, and each group has kernels tuned for its own profile.
        return "groups of instances with kernels of their own do"
    return ""


def _concurrently(target: Target) -> Responses:
    """Run clients that send concurrently, each with a different mix of samples and batch sizes."""
    batches, profile = target.golden.batches(), target.profile
    progress.report(text=f"{profile.clients} clients")

    def send(number: int) -> Responses:
        responses = Responses()
        with target.connect(target.any_transport) as connection:
            until = time.perf_counter() + profile.concurrent_s
            for turn in range(max(2 * len(batches), profile.turns)):  # strides of 7, so that neighbours send different batches
                batch = batches[(number + turn * 7) % len(batches)]
                inference.send(target, connection, StageName.CONCURRENT, indices=batch, responses=responses)
                if responses.findings or time.perf_counter() > until:
                    break
        return responses

    with ThreadPoolExecutor(profile.clients) as pool:
        clients = list(pool.map(send, range(profile.clients)))
    return Responses(
        checks=[check for each in clients for check in each.checks],
        findings=[finding for each in clients for finding in each.findings],
        note=f"{profile.clients} clients",
    )
