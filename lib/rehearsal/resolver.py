"""The VPC's resolver: answers as Amazon's does, whether or not a packet could get there."""

import hashlib
import re
from ipaddress import IPv4Address, ip_address
from typing import cast

from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from rehearsal.network import Outlook

_S3 = re.compile(r"(?:.+\.)?s3(?:[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com")
# Ends of names that no public resolver knows (RFC 2606, RFC 6762, Amazon's own).
_PRIVATE = ("internal", "invalid", "local", "localhost", "test")


def s3_region(name: str) -> str | None:
    """The region whose S3 has this host name; None for other names."""
    match = _S3.fullmatch(name)
    return (match[1] or "us-east-1") if match else None


def resolve(name: str, outlook: Outlook) -> str | None:
    """The address of a name; None if there is no such name."""
    name = name.rstrip(".").lower()
    if name == outlook.host.name:
        return outlook.host.private_ip
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    region = s3_region(name)
    if region is not None:
        networks = outlook.s3.get(region)
        return str(networks[0][1 + number % (networks[0].num_addresses - 2)]) if networks else None
    if "." not in name or name.rpartition(".")[2] in _PRIVATE:
        return None
    # An address that belongs to nobody (RFC 5737) stands for each of the internet's hosts.
    return str(IPv4Address("198.51.100.0") + 1 + number % 254)


def answer(query: bytes, outlook: Outlook) -> bytes:
    """The reply to one DNS query."""
    question = DNSRecord.parse(query)
    reply = question.reply()
    address = resolve(str(question.q.qname), outlook)
    if not outlook.host.dns_support:
        # Amazon's stays silent; a refusal reads the same to the programs and costs no waiting.
        reply.header.rcode = RCODE.REFUSED
    elif address is None:
        reply.header.rcode = RCODE.NXDOMAIN
    elif question.q.qtype == QTYPE.A:
        reply.add_answer(RR(question.q.qname, rdata=A(address), ttl=5))
    return cast(bytes, reply.pack())


def lookup(name: str, outlook: Outlook) -> str | None:
    """The address that a program on the instance gets for a name, or for an address."""
    try:
        return str(ip_address(name))
    except ValueError:
        return resolve(name, outlook) if outlook.host.dns_support else None
