"""Group the addresses of a deployment into replicas: each is asked by itself, whatever a load balancer would select.

An HTTP and a gRPC address are one replica if they are the only two, or if they have the same host: then the first of each belong
together, the second of each, and so on. A name that resolves to several addresses is a replica at each of them.
"""

from __future__ import annotations

import ipaddress
import itertools
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tritonize.core.connection_options import ConnectionOptions
from tritonize.triton import remote
from tritonize.triton.client import diagnosis
from tritonize.triton.client.address import Address

_LOOPBACK = "localhost"
"""A name of this machine alone, whose two addresses are one server."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One server of a deployment."""

    name: str
    """For people: its address, and the IP address if its name has several."""
    urls: tuple[str, ...]
    options: ConnectionOptions


@dataclass(frozen=True, kw_only=True)
class _Given:
    """One `--url`."""

    url: str
    address: Address
    protocols: frozenset[str]


def replicas(urls: Sequence[str], options: ConnectionOptions) -> tuple[Replica, ...]:
    """The replicas that the addresses stand for; names are resolved now.

    Raises:
        UsageError: an address is malformed.
    """
    unlike = tuple(dict.fromkeys(urls))
    given = [_given(url, options, alone=len(unlike) == 1) for url in unlike]
    return tuple(replica for group in _groups(given) for replica in _resolved(group, options))


def _given(url: str, options: ConnectionOptions, *, alone: bool) -> _Given:
    """`host` alone has both protocols; of `host:port` the port is asked, if there are other addresses to group it with."""
    possible = remote.addresses(url, options)
    protocols = {each.protocol for each in possible}
    if len(protocols) > 1 and len({each.port for each in possible}) == 1:
        said = None if alone else diagnosis.spoken(possible[0])
        protocols = {"grpc"} if said is not None and said.protocol == "grpc" else {"http"}
    return _Given(url=url, address=possible[0], protocols=frozenset(protocols))


def _groups(given: Sequence[_Given]) -> Iterator[list[_Given]]:
    counts = {protocol: sum(protocol in each.protocols for each in given) for protocol in ("http", "grpc")}
    if all(count <= 1 for count in counts.values()):
        yield list(given)
        return
    for host in dict.fromkeys(each.address.host for each in given):
        own = [each for each in given if each.address.host == host]
        yield from ([each] for each in own if len(each.protocols) > 1)
        single = [[each for each in own if each.protocols == {protocol}] for protocol in ("http", "grpc")]
        for pair in itertools.zip_longest(*single):
            yield [each for each in pair if each is not None]


def _resolved(group: Sequence[_Given], options: ConnectionOptions) -> Iterator[Replica]:
    several = {each.address.host: found for each in group if len(found := _ips(each.address.host)) > 1}
    for ip in dict.fromkeys(ip for found in several.values() for ip in found):
        own = [each for each in group if ip in several.get(each.address.host, ())]
        at: Mapping[str, str] = {each.address.host: ip for each in own}
        yield Replica(name=f"{_name(own)} at {ip}", urls=_urls(own), options=replace(options, at=at))
    if rest := [each for each in group if each.address.host not in several]:
        yield Replica(name=_name(rest), urls=_urls(rest), options=options)


def _ips(host: str) -> tuple[str, ...]:
    """The addresses of one family of a name, IPv4 first; empty if each family has at most one: then the system selects."""
    if host == _LOOPBACK or _is_ip(host):
        return ()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # the connection will say so
        return ()
    for family in (socket.AF_INET, socket.AF_INET6):
        own = tuple(dict.fromkeys(str(place[0]) for kind, *_, place in found if kind is family))
        if len(own) > 1:
            return own
    return ()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _urls(group: Sequence[_Given]) -> tuple[str, ...]:
    return tuple(each.url for each in group)


def _name(group: Sequence[_Given]) -> str:
    hosts = dict.fromkeys(each.address.host for each in group)
    if len(hosts) > 1:
        return ", ".join(each.address.authority for each in group)
    others = dict.fromkeys(f",{each.address.port}" for each in group if each.address.port != group[0].address.port)
    return group[0].address.authority + "".join(others)
