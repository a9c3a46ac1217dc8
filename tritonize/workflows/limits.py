"""The limits that a version was judged by, beside the defaults, for its evidence: it says what was widened, and where.

No person is named: evidence is copied to other machines, and the history of the spec's file has the author.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self  # Any: JSON data

from tritonize.core.messages import tolerance as wording
from tritonize.quality.golden_set import Rules
from tritonize.spec import schema

_QUALITY = schema.Quality()
DEFAULTS: Mapping[str, float | None] = {
    "rtol": schema.DEFAULT_RTOL,
    "atol": schema.DEFAULT_ATOL,
    "noise_floor": _QUALITY.noise_floor,
    "noise_floor_gpu": _QUALITY.noise_floor_gpu,
}
"""`None` is no limit."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of each output, and where they were set."""

    set_in: str
    """The name of the spec's file, `the command line`, `Python`, or the name of a golden file."""
    outputs: Mapping[str, Mapping[str, float | None]]
    """Output to its limits; the keys are those of `DEFAULTS`."""

    @classmethod
    def of(cls, rules: Mapping[str, Rules], set_in: str) -> Self:
        """The limits in the rules of a golden set."""
        outputs = {
            name: {
                "rtol": each.tolerance.rtol,
                "atol": each.tolerance.atol,
                "noise_floor": each.noise_floor,
                "noise_floor_gpu": each.noise_floor_gpu,
            }
            for name, each in rules.items()
        }
        return cls(set_in=set_in, outputs=outputs)

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, object]) -> Self | None:
        """The limits that a version was proven with; `None` if its manifest has none, as in earlier releases, or unusable ones."""
        plain: Any = manifest.get("limits")
        try:
            outputs = {
                str(output): {name: None if limits[name] is None else float(limits[name]) for name in DEFAULTS}
                for output, limits in plain["outputs"].items()
            }
            return cls(set_in=str(plain["set_in"]), outputs=outputs)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def wider(self) -> Iterator[tuple[str, str]]:
        """Yield output and name of each limit that is wider than the default."""
        for output, limits in self.outputs.items():
            for name, default in DEFAULTS.items():
                if _size(limits[name]) > _size(default):
                    yield output, name

    def as_json(self) -> dict[str, object]:
        """The limits, the defaults, and which limits are wider, as data for a report and a manifest."""
        return {
            "set_in": self.set_in,
            "defaults": dict(DEFAULTS),
            "outputs": {name: dict(each) for name, each in self.outputs.items()},
            "wider": [f"{output}: {name}" for output, name in self.wider()],
        }

    def notes(self) -> Iterator[str]:
        """Yield a note about the limits that are wider than the defaults, if any are."""
        words = [f"{output} {name} {_text(self.outputs[output][name])} ({_text(DEFAULTS[name])})" for output, name in self.wider()]
        if words:
            yield wording.WIDER.text(set_in=self.set_in, limits=", ".join(words))


def _size(limit: float | None) -> float:
    return math.inf if limit is None else limit


def _text(limit: float | None) -> str:
    return "off" if limit is None else f"{limit:g}"
