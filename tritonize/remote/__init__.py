"""Model repositories in object stores: read one (`mirror`), and publish versions to one (`push`) while a Triton polls it.

`store.py` is the only module that knows fsspec. `pushing.py` has the order of the writes, `claim.py` keeps two pushes of a
model apart.
"""

from __future__ import annotations

from tritonize.remote.claim import LEASE_S
from tritonize.remote.mirroring import Depth, mirror
from tritonize.remote.pushing import Outcome, VersionFiles, Work, push
from tritonize.remote.store import SCHEMES, Store, open_store

__all__ = ["LEASE_S", "SCHEMES", "Depth", "Outcome", "Store", "VersionFiles", "Work", "mirror", "open_store", "push"]
