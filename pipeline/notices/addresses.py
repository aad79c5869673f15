"""Network addresses that a webhook may go to.

The address of a webhook is written by the home's owner in a file. A public name may still lead to a private address,
by mistake or because somebody else has the name. So the name is looked up once, each address that it has is checked,
and the connection goes to a checked address: a second look-up could give another one.
"""

from __future__ import annotations

import ipaddress
import socket

from pipeline.errors import NoticeError, NoticeUndelivered

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
#: addresses within which an IPv4 address is hidden
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def checked_address(host: str, port: int, *, private: bool) -> str:
    """An address of a host, to connect to.

    Args:
        host: name or address.
        port: of the service.
        private: True: addresses of this machine and of private networks may be used too.

    Raises:
        NoticeError: one of its addresses must not be used.
        NoticeUndelivered: the name is not known now.
    """
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoticeUndelivered(f"the name {host} cannot be looked up") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
    for address in addresses:
        if not may_be_used(address, private=private):
            raise NoticeError(
                f"{host} is the private address {address}: if this is meant, say `private: true` in notices.yaml"
                if not private
                else f"{host} is {address}, which belongs to no server that takes notices"
            )
    return str(addresses[0])


def may_be_used(address: IpAddress, *, private: bool) -> bool:
    """True if a webhook may go to an address. Multicast and link-local addresses, at which clouds keep their keys,
    are never used."""
    inner = _inner(address)
    if inner.is_multicast or inner.is_link_local or inner.is_unspecified:
        return False
    return private or inner.is_global


def _inner(address: IpAddress) -> IpAddress:
    """The address itself, or the IPv4 address that is hidden in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
