"""Send the sequences of a stateful model, and compare the response to every step with the reference.

A step is sent with the inputs of a client alone: Triton adds the controls and the state. State can be lost, mixed up or kept too
long, so the sequences are also sent again, restarted before they end, and many at a time.
"""

from __future__ import annotations

import functools
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.errors import InferenceError
from tritonize.core.messages import sequences as wording
from tritonize.core.stages import StageName, Transport, over
from tritonize.quality.batch_checks import check_outputs
from tritonize.spec import sequences
from tritonize.triton import client, inference
from tritonize.triton.client.base import SequenceStep
from tritonize.triton.client.grpc import GrpcClient
from tritonize.triton.inference import Responses
from tritonize.triton.target import Target

Sequenced = tuple[int, ...]
"""The samples that are the steps of one sequence."""
_ROUNDS = 2
"""Times that each concurrent client sends its sequences at least."""


def stages(target: Target, transports: Sequence[Transport]) -> dict[StageName, Callable[[], Responses]]:
    """The stages of a stateful model, in their order."""
    found: dict[StageName, Callable[[], Responses]] = {over(name): functools.partial(_over, target, name) for name in transports}
    if "grpc" in transports:
        found[StageName.STREAM] = functools.partial(_streamed, target)
    found[StageName.INVARIANCES] = functools.partial(_varied, target)
    found[StageName.CONCURRENT] = functools.partial(_concurrently, target)
    return found


def notes(target: Target) -> Iterator[str]:
    """What a reader of the report has to know about the correlation ids."""
    contract = sequences.contract(target.config) if target.golden.samples.sequences else None
    if contract and contract.control("CORRID"):
        yield wording.IDS_FIXED.text(first=_correlation_id(target, target.golden.samples.together[0]))


def one_without_a_version(target: Target, connection: client.Client) -> Iterator[tuple[int, Arrays]]:
    """Send the shortest sequence without a version; yield the sample of each step with its outputs.

    Raises:
        InferenceError: a step is refused.
    """
    shortest = min(target.golden.samples.together, key=len)
    for index, step in _steps(shortest, _correlation_id(target, shortest)):
        target.pace.wait()
        yield index, connection.infer(target.model, _inputs(target, index), output_nbytes=_sizes(target, index), step=step)


def steps_of(target: Target, members: Sequenced) -> Iterator[tuple[int, SequenceStep]]:
    """Yield the samples of a sequence, each with its place in it, under an id that the model takes and no other client uses."""
    return _steps(members, _correlation_id(target, members))


def _steps(members: Sequenced, correlation_id: int | str) -> Iterator[tuple[int, SequenceStep]]:
    for index in members:
        yield index, SequenceStep(correlation_id, start=index == members[0], end=index == members[-1])


def _correlation_id(target: Target, members: Sequenced) -> int | str:
    """The id of the sample if the model takes it, else one that no other client uses."""
    contract = sequences.contract(target.config)
    control = contract.control("CORRID") if contract else None
    if control is None:
        return 1 + secrets.randbelow(2**62)
    value = arrays.load(target.golden.samples.files, members[0])[control.name].reshape(-1)[0]
    return str(value) if control.dtype == "string" else int(value)


def _inputs(target: Target, index: int) -> Arrays:
    """What a client sends for a step."""
    return inference.as_served(arrays.load(target.golden.samples.files, index), target.config, "input")


def _expected(target: Target, index: int) -> Arrays:
    """What a client must receive for a step."""
    return inference.as_served(target.golden.expected_outputs((index,)), target.config, "output")


def _sizes(target: Target, index: int) -> Mapping[str, int]:
    """Bytes of each output, so that no step is sent twice to measure them."""
    return {name: array.nbytes for name, array in _expected(target, index).items() if array.dtype != object}


def _check(target: Target, stage: StageName, index: int, *, found: Arrays, seconds: float, responses: Responses) -> None:
    expected = _expected(target, index)
    check = check_outputs(target.golden, stage, (index,), expected=expected, found=found, tracker=target.tracker, seconds=seconds)
    responses.checks.append(check)


def _send(
    target: Target,
    connection: client.Client,
    stage: StageName,
    *,
    steps: Iterator[tuple[int, SequenceStep]],
    responses: Responses,
    answered: Callable[[], None] = lambda: None,
) -> bool:
    """Send one step after the other, and compare each response; false if one was refused, which ends the sequence."""
    for index, step in steps:
        target.pace.wait()
        started = time.perf_counter()
        try:
            found = connection.infer(
                target.model, _inputs(target, index), version=str(target.version), output_nbytes=_sizes(target, index), step=step
            )
        except InferenceError as error:
            where = f"{stage}, sequence {step.correlation_id}, sample {index}"
            responses.findings.append(inference.refusal(where, error, stage=stage))
            return False
        answered()
        _check(target, stage, index, found=found, seconds=time.perf_counter() - started, responses=responses)
    return True


def _over(target: Target, transport: Transport) -> Responses:
    """Send one sequence after another over one transport."""
    responses = Responses()
    chosen = target.profile.together(target.golden)
    with target.connect(transport) as connection:
        for members in progress.counted(chosen, "sequence"):
            steps = _steps(members, _correlation_id(target, members))
            _send(target, connection, over(transport), steps=steps, responses=responses)
    responses.note = f"{len(responses.checks)} responses in {len(chosen)} sequences"
    return responses


def _streamed(target: Target) -> Responses:
    """Send step by step of all sequences in turn over one stream, without waiting for a response."""
    responses = Responses()
    chosen = target.profile.together(target.golden)
    each = [list(_steps(members, _correlation_id(target, members))) for members in chosen]
    turns = [step for turn in itertools.zip_longest(*each) for step in turn if step is not None]
    with target.connect("grpc") as connection:
        assert isinstance(connection, GrpcClient)
        try:
            with connection.stream(target.model, str(target.version)) as stream:
                sent: dict[str, tuple[int, float]] = {}
                for number, (index, step) in enumerate(turns):
                    target.pace.wait()
                    sent[str(number)] = index, time.perf_counter()
                    stream.send(str(number), _inputs(target, index), step=step)
                while sent:
                    response = stream.receive()
                    index, started = sent.pop(response.request)
                    seconds = time.perf_counter() - started
                    _check(target, StageName.STREAM, index, found=response.outputs, seconds=seconds, responses=responses)
        except InferenceError as error:
            where = f"{StageName.STREAM}, {len(responses.checks)} responses before"
            responses.findings.append(inference.refusal(where, error, stage=StageName.STREAM))
    responses.note = f"{len(responses.checks)} responses in {len(chosen)} sequences at once"
    return responses


def _varied(target: Target) -> Responses:
    """Send sequences again, then in reverse order, each after a start of itself that is not brought to an end."""
    responses, every = Responses(), target.profile.together(target.golden)
    chosen = every[: target.profile.again]
    with target.connect(target.any_transport) as connection:
        for members in progress.counted(chosen, "sequence", text="repeated"):
            steps = _steps(members, _correlation_id(target, members))
            _send(target, connection, StageName.AGAIN, steps=steps, responses=responses)
        for members in progress.counted(chosen[::-1], "sequence", text="restarted"):
            correlation_id = _correlation_id(target, members)
            begun = itertools.islice(_steps(members, correlation_id), len(members) - 1)
            steps = itertools.chain(begun, _steps(members, correlation_id))
            _send(target, connection, StageName.ORDER, steps=steps, responses=responses)
    responses.note = f"{len(responses.checks)} responses in {2 * len(chosen)} sequences, {len(chosen)} of them restarted"
    return responses


def _concurrently(target: Target) -> Responses:
    """Run clients that each send sequences of their own, so that many are under way in the server."""
    every, profile = target.golden.samples.together, target.profile
    contract = sequences.contract(target.config)
    fixed = contract is not None and contract.control("CORRID") is not None
    clients = min(profile.clients, len(every)) if fixed else profile.clients
    lock, last, changes = threading.Lock(), [-1], [0]

    def answered(number: int) -> None:
        with lock:
            changes[0] += last[0] not in (-1, number)
            last[0] = number

    def send(number: int) -> Responses:
        responses = Responses()
        own = every[number::clients] or [every[number % len(every)]]
        until = time.perf_counter() + profile.concurrent_s
        with target.connect(target.any_transport) as connection:
            for turn in range(max(_ROUNDS * len(own), profile.turns)):
                members = own[turn % len(own)]
                steps = _steps(members, _correlation_id(target, members))
                on_answer = functools.partial(answered, number)
                _send(target, connection, StageName.CONCURRENT, steps=steps, responses=responses, answered=on_answer)
                if responses.findings or (turn >= len(own) and time.perf_counter() > until):
                    break
        return responses

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(send, range(clients)))
    checks = [check for each in found for check in each.checks]
    return Responses(
        checks=checks,
        findings=[finding for each in found for finding in each.findings],
        note=wording.INTERLEAVED.text(count=len(checks), clients=clients, changes=changes[0]),
    )
