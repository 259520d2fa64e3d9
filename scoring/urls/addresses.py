"""Which addresses are public. ipaddress knows the registries of its Python's day, and versions of
Python differ, so they are written out here, and it is asked besides."""

from __future__ import annotations

import ipaddress

# IANA's special-purpose registries of IPv4 and IPv6 addresses, multicast and reserved space, and
# what clouds put into public space
_IPV4 = """
    0.0.0.0/8           this network
    10.0.0.0/8          private
    100.64.0.0/10       shared by carriers (CGNAT); Alibaba's metadata at 100.100.100.200
    127.0.0.0/8         loopback
    168.63.129.16/32    Azure's host of each virtual machine
    169.254.0.0/16      link-local; metadata at 169.254.169.254, tasks' credentials at 169.254.170.2
    172.16.0.0/12       private
    192.0.0.0/24        protocol assignments; NAT64 discovery; Oracle's metadata at 192.0.0.192
    192.0.2.0/24        documentation
    192.31.196.0/24     AS112
    192.52.193.0/24     automatic multicast tunnelling
    192.88.99.0/24      relays of 6to4
    192.168.0.0/16      private
    192.175.48.0/24     AS112
    198.18.0.0/15       benchmarks
    198.51.100.0/24     documentation
    203.0.113.0/24      documentation
    224.0.0.0/4         multicast
    240.0.0.0/4         reserved, and broadcast
"""
# All that is outside of 2000::/3 is refused: unspecified, loopback, IPv4-compatible (::/96),
# -mapped (::ffff:0:0/96) and -translated (::ffff:0:0:0/96), NAT64 (64:ff9b::/96, 64:ff9b:1::/48),
# discard-only (100::/64), segment routing (5f00::/16), unique local (fc00::/7, with metadata at
# fd00:ec2::254 and fd20:ce::254), link-local, site-local and multicast.
_UNICAST = ipaddress.IPv6Network("2000::/3")
_IPV6 = """
    2001::/23           protocol assignments: Teredo, benchmarks, ORCHID
    2001:db8::/32       documentation
    2002::/16           6to4
    2620:4f:8000::/48   AS112
    3ffe::/16           the former 6bone
    3fff::/20           documentation
"""


def _networks(table: str) -> list[str]:
    return [line.split()[0] for line in table.strip().splitlines()]


_REFUSED_4 = [ipaddress.IPv4Network(text) for text in _networks(_IPV4)]
_REFUSED_6 = [ipaddress.IPv6Network(text) for text in _networks(_IPV6)]


def is_public(address: str) -> bool:
    """Whether an address, as the system resolves it, is a public host's. No zone, no port."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.is_global and not any(parsed in network for network in _REFUSED_4)
    if parsed.scope_id or parsed not in _UNICAST:
        return False
    return parsed.is_global and not any(parsed in network for network in _REFUSED_6)
