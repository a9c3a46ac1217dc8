"""Send requests to a decoupled model over gRPC streams, and compare every response to each with the reference, in their order."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as client_messages
from tritonize.core.messages import decoupled as wording
from tritonize.core.reports import Finding
from tritonize.core.stages import StageName, Transport, over
from tritonize.quality.batch_checks import check_outputs
from tritonize.triton import client, inference
from tritonize.triton.client.grpc import GrpcClient
from tritonize.triton.client.stream import Response
from tritonize.triton.inference import Responses
from tritonize.triton.target import Target

Requested = tuple[int, ...]
"""The samples that are the responses to one request."""


def stages(target: Target, transports: Sequence[Transport]) -> dict[StageName, Callable[[], Responses]]:
    """The stages of a decoupled model; those over a transport without streams are listed and not run."""
    found: dict[StageName, Callable[[], Responses]] = {over(name): Responses for name in transports}
    chosen = target.profile.together(target.golden)
    found[StageName.STREAM] = functools.partial(_sent, target, StageName.STREAM, chosen, at_once=len(chosen))
    again = chosen[: target.profile.again][::-1]
    found[StageName.INVARIANCES] = functools.partial(_sent, target, StageName.AGAIN, again, at_once=1)
    found[StageName.CONCURRENT] = functools.partial(_concurrently, target)
    return found


def one_without_a_version(target: Target, connection: client.Client) -> Iterator[tuple[int, Arrays]]:
    """Send the first request without a version, if the transport has streams; yield the sample of each response with its outputs.

    Raises:
        InferenceError: it is refused.
    """
    if not isinstance(connection, GrpcClient) or connection.transport != "grpc":
        return
    members = target.golden.samples.together[0]
    target.pace.wait()
    with connection.stream(target.model, "") as stream:
        stream.send("0", _inputs(target, members))
        found = list(_until_final(stream.receive))
    yield from zip(members, found, strict=False)


def _until_final(receive: Callable[[], Response]) -> Iterator[Arrays]:
    while True:
        response = receive()
        if response.outputs:
            yield response.outputs
        if response.final:
            return


def _inputs(target: Target, members: Requested) -> Arrays:
    return inference.as_served(arrays.load(target.golden.samples.files, members[0]), target.config, "input")


def _sent(target: Target, stage: StageName, chosen: Sequence[Requested], *, at_once: int) -> Responses:
    """Send requests over one stream, so many at a time."""
    responses = Responses()
    with target.connect("grpc") as connection:
        for start in progress.counted(range(0, len(chosen), at_once), "stream"):
            _exchange(target, connection, stage, chosen=chosen[start : start + at_once], responses=responses)
    responses.note = f"{len(responses.checks)} responses to {responses.requests} requests"
    return responses


def _exchange(
    target: Target, connection: client.Client, stage: StageName, *, chosen: Sequence[Requested], responses: Responses
) -> None:
    """Send requests over a new stream, wait for all of their responses, and compare each."""
    assert isinstance(connection, GrpcClient)
    counts = [0] * len(chosen)
    left = {str(number): number for number in range(len(chosen))}
    started = time.perf_counter()
    responses.requests += len(chosen)
    try:
        with connection.stream(target.model, str(target.version)) as stream:
            for name, number in left.items():
                target.pace.wait()
                stream.send(name, _inputs(target, chosen[number]))
            while left:
                response = stream.receive()
                number = int(response.request)
                if response.outputs:
                    counts[number] += 1
                    seconds = time.perf_counter() - started
                    _compare(
                        target, stage, chosen[number], place=counts[number] - 1, response=response, seconds=seconds, to=responses
                    )
                if response.final:
                    del left[response.request]
    except InferenceError as error:
        responses.findings.append(inference.refusal(f"{stage}, after {sum(counts)} responses", error, stage=stage))
        return
    except ServerError as error:
        if error.code != client_messages.SERVER_SILENT.code or not any(counts):
            raise
        where = f"{stage}, samples {', '.join(str(chosen[number][0]) for number in left.values())}"
        responses.findings.append(Finding(where=where, what=wording.NO_FINAL.text(), found=error.what, stage=stage))
    for members, count in zip(chosen, counts, strict=True):
        if count != len(members):
            where = f"{stage}, sample {members[0]}"
            expected, found = f"{len(members)} responses", f"{count} responses"
            responses.findings.append(Finding(where=where, what=wording.COUNT.text(), expected=expected, found=found, stage=stage))


def _compare(
    target: Target, stage: StageName, members: Requested, *, place: int, response: Response, seconds: float, to: Responses
) -> None:
    """Compare one response with the expected one of the same place; one more than expected is counted alone."""
    if place >= len(members):
        return
    golden, index = target.golden, members[place]
    expected = inference.as_served(golden.expected_outputs((index,)), target.config, "output")
    to.checks.append(
        check_outputs(golden, stage, (index,), expected=expected, found=response.outputs, tracker=target.tracker, seconds=seconds)
    )


def _concurrently(target: Target) -> Responses:
    """Run clients with a stream each, which send one request after the other."""
    every, profile = target.golden.samples.together, target.profile

    def send(number: int) -> Responses:
        responses = Responses()
        until = time.perf_counter() + profile.concurrent_s
        with target.connect("grpc") as connection:
            for turn in range(max(2 * len(every), profile.turns)):
                members = every[(number + turn) % len(every)]
                _exchange(target, connection, StageName.CONCURRENT, chosen=[members], responses=responses)
                if responses.findings or time.perf_counter() > until:
                    break
        return responses

    with ThreadPoolExecutor(profile.clients) as pool:
        found = list(pool.map(send, range(profile.clients)))
    return Responses(
        checks=[check for each in found for check in each.checks],
        findings=[finding for each in found for finding in each.findings],
        requests=sum(each.requests for each in found),
        note=f"{profile.clients} clients",
    )
