"""How many requests a verification sends, and how fast: the profiles, and the pace that a rate sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tritonize.core import arrays, deadline
from tritonize.quality.golden_set import Batch, GoldenSet

_NAMED_ALONE = 8
"""Most outputs that are requested alone."""

ProfileName = Literal["quick", "standard", "thorough"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a verification sends."""

    name: ProfileName
    batches: int | None
    """Most batches of the golden set over each transport; `None` for every sample at every batch size."""
    again: int
    """Batches of each size that are sent a second time, and in another order; if not all batches are sent, of the largest size."""
    padded: bool
    """Whether samples are also sent followed by padding."""
    clients: int
    """Concurrent clients; 0 for none."""
    concurrent_s: float
    """Seconds for which each concurrent client sends requests; it sends at least one."""
    turns: int
    """Most requests of each concurrent client for one pass over the batches."""
    named: bool
    """Whether requests name outputs too."""
    new: int
    """New samples of each transport; with more than one, a batch can hold different ones."""

    @property
    def mixed(self) -> int:
        """Requests of each transport that hold known samples beside new ones, where no reference is at hand."""
        return 2 * self.new

    @property
    def leaves_out(self) -> bool:
        """Whether a sample, a batch size or a variation of the standard profile is not sent."""
        return self.batches is not None

    def repeated_sizes(self, golden: GoldenSet) -> tuple[int, ...]:
        """The batch sizes at which requests are repeated."""
        sizes = arrays.batch_sizes(golden.max_batch_size)
        return sizes[-1:] if self.leaves_out else sizes

    def over_a_transport(self, golden: GoldenSet) -> list[Batch]:
        """The batches of the golden set that are sent over each transport: if not all, the largest ones and one sample.

        If all, also one batch of some sizes that the version was not compared at before.
        """
        every = golden.batches()
        if self.batches is None:
            return [*every, *_other_batches(golden)]
        if len(every) <= self.batches:
            return every
        by_size = sorted(every, key=len)
        return [by_size[0], *by_size[len(by_size) - self.batches + 1 :]]

    def named_outputs(self, golden: GoldenSet) -> list[tuple[str, ...]]:
        """The outputs that requests name, as many clients do: one alone, and all in another order."""
        names = tuple(tensor.name for tensor in golden.expected.tensors) if self.named else ()
        return [*((name,) for name in names[:_NAMED_ALONE]), *([names[::-1]] if len(names) > 1 else [])]

    def together(self, golden: GoldenSet) -> list[Batch]:
        """The sequences of a stateful model, or the requests to a decoupled one, that are sent over each transport.

        If not all, the longest ones, or those with the most responses.
        """
        every = golden.samples.together
        return every if self.batches is None else sorted(every, key=len, reverse=True)[: self.batches]


STANDARD = Profile(name="standard", batches=None, again=4, padded=True, clients=8, concurrent_s=2.0, turns=100, named=True, new=2)
"""100 turns are enough to find a mix-up that affects one response in 200."""
PROFILES: dict[ProfileName, Profile] = {
    "quick": Profile(name="quick", batches=2, again=1, padded=False, clients=0, concurrent_s=0.0, turns=0, named=False, new=1),
    "standard": STANDARD,
    "thorough": Profile(
        name="thorough", batches=None, again=32, padded=True, clients=8, concurrent_s=60.0, turns=2_000, named=True, new=8
    ),
}


class Pace:
    """Lets at most so many requests per second begin. Thread-safe.

    Args:
        rate: requests per second; `None` for no limit.
        on_request: called for every request.
        clock, sleep: replaced by tests.
    """

    def __init__(
        self,
        rate: float | None = None,
        *,
        on_request: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._clock, self._sleep, self._on_request = clock, sleep, on_request
        self._lock = threading.Lock()
        self._next = 0.0
        self.sent = 0
        """Requests so far."""

    def wait(self) -> None:
        """Wait for the turn of the next request, at most until the command's deadline."""
        with self._lock:
            self.sent += 1
            if self._on_request is not None:
                self._on_request()
            if not self._interval:
                return
            now = self._clock()
            due = max(now, self._next)
            self._next = due + self._interval
        if due > now:
            self._sleep(min(due - now, max(0.0, deadline.left())))


def _other_batches(golden: GoldenSet) -> list[Batch]:
    """One batch of each of three sizes that no other stage sends: 3, more than half of the maximum, and one less than it."""
    largest = golden.max_batch_size
    sizes = sorted(size for size in {3, largest // 2 + 1, largest - 1} if 2 < size < largest)
    members = max(arrays.groups(golden.samples), key=len, default=[]) if sizes else []
    return [tuple(members[place % len(members)] for place in range(size)) for size in sizes if members]


def most_requests(profile: Profile, golden: GoldenSet, *, transports: int, labelled: int = 0) -> int:
    """The largest number of inference requests of a verification: what concurrent clients send depends on the server's speed.

    Args:
        transports: number of transports that are used.
        labelled: requests for the classes of outputs with labels.
    """
    if golden.samples.sequences:
        return _most_steps(profile, golden, transports=transports)
    if golden.samples.requests:
        every = len(golden.samples.together)
        sent = len(profile.together(golden))
        return 2 + sent + min(sent, profile.again) + profile.clients * max(2 * every, profile.turns)
    repeated = 2 * profile.again * len(profile.repeated_sizes(golden))
    padded = 2 * len(arrays.groups(golden.samples)) if profile.padded and golden.max_batch_size > 1 else 0
    concurrent = profile.clients * max(2 * len(golden.batches()), profile.turns)
    new = transports * max(profile.mixed, profile.new * (1 + len(arrays.batch_sizes(golden.max_batch_size))))
    once = len(profile.over_a_transport(golden)) + len(profile.named_outputs(golden)) + 1
    return transports * once + repeated + padded + concurrent + new + labelled


def _most_steps(profile: Profile, golden: GoldenSet, *, transports: int) -> int:
    """The same for a stateful model, where each step of a sequence is a request; a gRPC stream counts as one more transport."""
    sent = profile.together(golden)
    longest = max(map(len, golden.samples.together))
    once = sum(map(len, sent))
    again = 3 * sum(map(len, sent[: profile.again]))
    concurrent = profile.clients * longest * max(2 * len(golden.samples.together), profile.turns)
    return (transports + 1) * (once + longest) + again + concurrent
