"""An object store as tritonize uses it: list, read, create without overwriting, replace, remove. Errors carry no credentials.

Credentials come from where the store's own tools look for them (environment, `~/.aws`, application default credentials); nothing
here reads or prints one. What a library's exception says is never passed on, since it may quote a request; only its kind is.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any  # Any: fsspec has no types

from tritonize.core import durable_files, errors
from tritonize.core.errors import MissingError, RepositoryError, TritonizeError, UsageError
from tritonize.core.local_paths import without_secrets
from tritonize.core.messages import remote as wording

SCHEMES: Mapping[str, tuple[str, str] | None] = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "az": ("adlfs", "az"), "file": None}
"""Scheme to the package that speaks it and the extra of tritonize that has the package."""
_ENDPOINT = re.compile(r"s3://(https?://[^/]+)/(.*)", re.DOTALL)
"""Triton's own form of an address with another endpoint than Amazon's."""
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
_LARGE = 8 * 2**20
_CONNECT_S, _READ_S = 10, 120
_SECRETLESS_CODE = re.compile(r"[A-Za-z0-9_.]{1,60}")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object."""

    bytes: int
    modified: float
    """When it was last written, by the store's clock, in seconds since 1970; 0 if the store does not say."""


class Store:
    """The objects below one address. Paths are relative to it, with slashes."""

    def __init__(self, files: Any, root: str, *, address: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self.address = without_secrets(address).rstrip("/")
        """For texts; without credentials."""

    def beside(self, suffix: str) -> Store:
        """Return the store whose address is this one with a suffix: `models` and `models.push`."""
        return Store(self._files, self._root + suffix, address=self.address + suffix)

    def entries(self, under: str = "") -> dict[str, Entry]:
        """Return the objects below a path, by their paths relative to the store; empty if there are none.

        Raises:
            RepositoryError: a name would lead out of a folder that it is copied to.
        """
        with self._errors(under):
            top = self._at(under) if under else self._root
            try:
                found = self._files.find(top, detail=True)
            except FileNotFoundError:
                if self._has_place():
                    return {}
                raise
        names = {str(name)[len(self._root) :].lstrip("/"): facts for name, facts in found.items() if name != top}
        names = {name: facts for name, facts in names.items() if not name.endswith("/")}  # a console's mark for a folder
        for name in names:
            if not _is_plain(name):
                raise RepositoryError.of(wording.NAME_NOT_PLAIN, where=self.address, found=repr(name))
        return {
            name: Entry(bytes=int(facts["size"]), modified=_seconds(facts))
            for name, facts in names.items()
            if facts["type"] == "file"
        }

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return an object's content, or a range of it. Raises FileNotFoundError if it does not exist."""
        with self._errors(path, absent=True):
            return bytes(self._files.cat_file(self._at(path), start=start, end=end))

    def read_all(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of several objects, which are read at the same time."""
        with self._errors(paths[0] if paths else ""):
            found = self._files.cat([self._at(each) for each in paths]) if paths else {}
        if isinstance(found, bytes):
            return {paths[0]: found}
        return {name[len(self._root) :].lstrip("/"): content for name, content in found.items()}

    def download(self, path: str, target: Path) -> None:
        """Copy an object into a file."""
        with self._errors(path), errors.storage_errors(target):
            self._files.get_file(self._at(path), str(target))

    def create(self, path: str, content: bytes | Path) -> bool:
        """Write an object that must not exist. Stores with conditional writes decide it themselves; for others it is looked up.

        Returns:
            Whether it was written; `False` if the object exists, which is then unchanged.
        """
        with self._errors(path):
            place = self._at(path)
            self._make_folders(place)
            if self._is_local:
                return self._place_file(place, content, overwrite=False)
            try:
                if isinstance(content, Path):
                    if content.stat().st_size > _LARGE and self._files.exists(place):  # before gigabytes are sent in vain
                        return False
                    self._files.put_file(str(content), place, mode="create")
                else:
                    self._files.pipe_file(place, content, mode="create")
            except FileExistsError:
                return False
            return True

    def replace(self, path: str, content: bytes) -> None:
        """Write an object, in place of one that may exist."""
        with self._errors(path):
            self._make_folders(self._at(path))
            if self._is_local:
                self._place_file(self._at(path), content, overwrite=True)
            else:
                self._files.pipe_file(self._at(path), content)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove objects; those that do not exist are skipped."""
        for path in paths:
            with self._errors(path), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @property
    def _is_local(self) -> bool:
        return "file" in _protocols(self._files)

    def _place_file(self, place: str, content: bytes | Path, *, overwrite: bool) -> bool:
        """Put a whole file in place in one step; fsspec's own filesystem writes it where it can be read half."""
        root = Path(self._root)
        part = root.with_name(f".{root.name}.part-{secrets.token_hex(6)}")
        try:
            if isinstance(content, Path):
                shutil.copyfile(content, part)
            else:
                part.write_bytes(content)
            durable_files.sync(part)
            if overwrite:
                part.replace(place)
            else:
                os.link(part, place)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True

    def _make_folders(self, place: str) -> None:
        """Make the folders above an object, in a store that has folders."""
        if not _protocols(self._files).isdisjoint({"file", "memory"}):
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)

    def _has_place(self) -> bool:
        """Whether the bucket exists, or the store has none."""
        bucket = self._root.split("/", 1)[0]
        return not bucket or bool(self._files.exists(bucket))

    @contextlib.contextmanager
    def _errors(self, path: str, *, absent: bool = False) -> Iterator[None]:
        """Raise what the store refuses as an error of tritonize.

        Args:
            path: the object.
            absent: let a FileNotFoundError through, for an object that may not exist.
        """
        where = f"{self.address}/{path}".rstrip("/")
        try:
            yield
        except TritonizeError:
            raise
        except FileNotFoundError as error:
            if absent:
                raise
            raise UsageError.of(wording.NO_PLACE, where=where, found=_kind(error)) from error
        except PermissionError as error:
            raise RepositoryError.of(wording.DENIED, where=where, found=_kind(error)) from error
        except Exception as error:  # noqa: BLE001 - each library has its own classes, and their texts may quote a request
            kind = _kind(error)
            if "Credential" in kind:
                raise MissingError.of(wording.NO_CREDENTIALS, where=where, found=kind) from None
            message = wording.UNREACHABLE if _is_connection(error) else wording.REFUSED
            raise RepositoryError.of(message, where=where, found=kind) from None


def open_store(address: str) -> Store:
    """Open the store of an address such as `s3://bucket/models`; `s3://http://127.0.0.1:9000/bucket/models` names an endpoint.

    Raises:
        UsageError: the scheme is unknown, or the address names no folder inside a bucket.
        MissingError: the package for the scheme is not installed.
    """
    scheme = address.partition("://")[0].lower()
    if scheme not in SCHEMES:
        expected = ", ".join(f"{each}://" for each in SCHEMES)
        raise UsageError.of(wording.SCHEME, expected=expected, found=without_secrets(address))
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    plain, endpoint = address, _ENDPOINT.fullmatch(address)
    if scheme == "s3":
        options["config_kwargs"] = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S}
        if endpoint:
            plain, options["endpoint_url"] = f"s3://{endpoint[2]}", endpoint[1]
    _require_folder(plain, scheme, address)
    if package := SCHEMES[scheme]:
        errors.require(package[0], extra=package[1])
    import fsspec  # not at the top: it takes a quarter of a second

    with Store(None, "", address=address)._errors(""):
        files = fsspec.filesystem(scheme, **({} if scheme == "file" else options))
    return Store(files, str(files._strip_protocol(plain)), address=address)


def _require_folder(plain: str, scheme: str, address: str) -> None:
    """Refuse credentials in an address, and a bucket without a folder, beside which the claims could not lie."""
    if without_secrets(address) != address:
        raise UsageError.of(wording.CREDENTIALS_IN_ADDRESS, found=without_secrets(address))
    bucket, _, folder = plain.partition("://")[2].partition("/")
    if scheme != "file" and (not bucket or not folder.strip("/")):
        raise UsageError.of(wording.NO_FOLDER, found=without_secrets(address), written=f"{scheme}://{bucket or 'bucket'}/models")


def _protocols(files: Any) -> set[str]:
    protocol = files.protocol
    return {protocol} if isinstance(protocol, str) else set(protocol)


def _is_plain(name: str) -> bool:
    """Whether a name is a relative path without `.`, `..` and empty parts, so that it stays inside a folder."""
    return (
        "\\" not in name
        and "\0" not in name
        and {"", ".", ".."}.isdisjoint(name.split("/"))
        and not PurePosixPath(name).is_absolute()
    )


def _seconds(facts: Mapping[str, Any]) -> float:
    for key in _TIMES:
        value = facts.get(key)
        if isinstance(value, dt.datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return dt.datetime.fromisoformat(value).timestamp()
    return 0.0


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _kind(error: BaseException) -> str:
    """The kind of an error: the store's code for it, else the name of its class. Its text may quote a request, and is left out."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(each, "error_code", None)
        if isinstance(code, str) and _SECRETLESS_CODE.fullmatch(code):
            return code
    return type(error).__name__


def _is_connection(error: BaseException) -> bool:
    return any(isinstance(each, ConnectionError | TimeoutError) or "Connect" in type(each).__name__ for each in _chain(error))
