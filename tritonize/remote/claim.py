"""The claim on one model of a store: one push at a time changes it, and the next one learns what a killed push left.

Claims are small objects beside the repository, `models.push/<model>/<number>.json`, created without overwriting, so that of several
processes exactly one gets a number; the highest number counts. While it works, its holder rewrites it every few seconds. A claim
that stays the same for its lease belongs to a killed push, and whoever creates the next number takes over. No two clocks are
compared: the waiting process measures the lease itself.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any  # Any: JSON data

from tritonize.core.errors import RepositoryError, TritonizeError
from tritonize.core.messages import remote as wording
from tritonize.remote.store import Store

LEASE_S = 16.0
_BEATS = 4
"""How often a claim is rewritten during its lease."""
_LOOK_S = 0.5
_OPEN, _DONE, _LEFT = "open", "done", "left"


class Claim:
    """A held claim; `left` is what an unfinished push noted, and `note` what this one would leave."""

    def __init__(self, store: Store, model: str, number: int, *, note: dict[str, Any], lease_s: float) -> None:
        self._store, self._model, self._number = store, model, number
        self._lease_s = lease_s
        self._note = note
        self._written = time.monotonic()
        self._lock = threading.Lock()
        self.left: Mapping[str, Any] = note.get("left", {})

    @property
    def path(self) -> str:
        """The claim's object."""
        return _path(self._model, self._number)

    def note(self, left: Mapping[str, Any]) -> None:
        """Note what the next push must complete or undo if this one is killed. It is in the store when this returns."""
        with self._lock:
            self._note["left"] = dict(left)
        self.beat()

    def beat(self, *, state: str = _OPEN) -> None:
        """Rewrite the claim, so that others see that its holder is alive."""
        with self._lock:
            self._note |= {"state": state, "beat": self._note["beat"] + 1}
            self._store.replace(self.path, json.dumps(self._note).encode())
            self._written = time.monotonic()

    def require(self, *, look: bool = False) -> None:
        """Check that the claim is still held: that it was renewed in time and, if `look` is true, that no other one is newer.

        Raises:
            RepositoryError: another push has taken over, or may have.
        """
        late = time.monotonic() - self._written >= self._lease_s
        if late or (look and _newest(self._store, self._model) != self._number):
            raise RepositoryError.of(wording.CLAIM_LOST, where=f"{self._store.address}/{self.path}", model=self._model)

    def finish(self) -> None:
        """Release the claim with nothing left to do, and remove those before it."""
        with self._lock:
            self._note["left"] = {}
        self.beat(state=_DONE)
        paths = [path for path in self._store.entries(self._model) if path != self.path]
        self._store.remove(paths)


@contextlib.contextmanager
def held(
    store: Store, model: str, *, lease_s: float = LEASE_S, waiting: Callable[[float], None] = lambda _s: None
) -> Iterator[Claim]:
    """Hold the claim on a model. After an error in the block, what was noted is left to the next push, which need not wait.

    Args:
        store: the place of the claims, `models.push`.
        model: the model's name.
        lease_s: seconds after which others take this process for killed if it does not renew the claim.
        waiting: called while another push holds the claim, with the seconds after which it is taken for killed.
    """
    claim = _acquire(store, model, lease_s, waiting=waiting)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(claim, stop, lease_s / _BEATS), daemon=True)
    renewal.start()
    try:
        yield claim
    except BaseException:
        stop.set()
        renewal.join()
        with contextlib.suppress(TritonizeError):
            claim.beat(state=_LEFT)
        raise
    stop.set()
    renewal.join()
    claim.finish()


def _renew(claim: Claim, stop: threading.Event, every_s: float) -> None:
    while not stop.wait(every_s):
        with contextlib.suppress(TritonizeError):  # `require` finds a claim that could not be renewed
            claim.beat()


def _acquire(store: Store, model: str, lease_s: float, *, waiting: Callable[[float], None]) -> Claim:
    seen: tuple[int, bytes] | None = None
    since = 0.0
    while True:
        number = _newest(store, model)
        content = _read(store, model, number) if number else b""
        before = _parsed(content)
        lease = float(before.get("lease_s", LEASE_S))
        if (number, content) != seen:
            seen, since = (number, content), time.monotonic()
        free = before.get("state", _DONE if not number else _OPEN) != _OPEN
        if free or time.monotonic() - since >= lease:
            note = {"schema": 1, "model": model, "id": secrets.token_hex(8), "lease_s": lease_s, "beat": 0, "state": _OPEN}
            note["left"] = before.get("left", {})
            if store.create(_path(model, number + 1), json.dumps(note).encode()):
                return Claim(store, model, number + 1, note=note, lease_s=lease_s)
            continue
        waiting(lease)
        time.sleep(min(_LOOK_S, lease / _BEATS))


def _path(model: str, number: int) -> str:
    return f"{model}/{number:09d}.json"


def _newest(store: Store, model: str) -> int:
    """The highest number of a claim on the model; 0 if there is none."""
    names = (path.rpartition("/")[2].removesuffix(".json") for path in store.entries(model))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _read(store: Store, model: str, number: int) -> bytes:
    try:
        return store.read(_path(model, number))
    except FileNotFoundError:  # removed by the holder of a newer one
        return b""


def _parsed(content: bytes) -> dict[str, Any]:
    """The note of a claim; a damaged one counts as open until its lease has passed."""
    try:
        note = json.loads(content or b"{}")
    except ValueError:
        return {"state": _OPEN}
    return note if isinstance(note, dict) else {"state": _OPEN}
