#!/usr/bin/env python3
"""Looks up a sample of addresses in a kernel set and prints how many are in it, as "99/100".

    bench/kernel_set.py TABLE SET FILE [--sample 100]

TABLE is of family inet; FILE has one IPv4 address a line. Each lookup is one NFT_MSG_GETSETELEM with
a key (not a dump), which a hash set answers without a walk: `nft get element` and `nft list` read the
whole set first, which takes a minute at a million.

Needs Python 3.9 or newer and CAP_NET_ADMIN in the namespace of the table.
"""

import argparse
import ipaddress
import socket
import struct

NETLINK_NETFILTER, NLMSG_ERROR = 12, 2
NLM_F_REQUEST, NLA_F_NESTED, NFPROTO_INET = 1, 0x8000, 1
NEWSETELEM, GETSETELEM = (10 << 8) | 12, (10 << 8) | 13
TABLE, SET, ELEMENTS = 1, 2, 3
LIST_ELEM, KEY, VALUE = 1, 1, 1


def attribute(kind, payload):
    length = len(payload) + 4
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)


def nested(kind, payload):
    return attribute(kind | NLA_F_NESTED, payload)


def holds(kernel, table, set_name, address):
    key = nested(KEY, attribute(VALUE, ipaddress.IPv4Address(address).packed))
    body = struct.pack("=BBH", NFPROTO_INET, 0, 0)
    body += attribute(TABLE, table.encode() + b"\0") + attribute(SET, set_name.encode() + b"\0")
    body += nested(ELEMENTS, nested(LIST_ELEM, key))
    kernel.send(struct.pack("=IHHII", 16 + len(body), GETSETELEM, NLM_F_REQUEST, 1, 0) + body)
    _, kind = struct.unpack_from("=IH", kernel.recv(1 << 16))
    if kind not in (NEWSETELEM, NLMSG_ERROR):
        raise SystemExit(f"error: unexpected netlink message {kind}")
    return kind == NEWSETELEM


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table")
    parser.add_argument("set")
    parser.add_argument("file")
    parser.add_argument("--sample", type=int, default=100)
    options = parser.parse_args()
    with open(options.file) as file:
        addresses = file.read().split()
    sample = addresses[:: max(1, len(addresses) // options.sample)][: options.sample]
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    kernel.settimeout(30)
    kernel.bind((0, 0))
    held = sum(holds(kernel, options.table, options.set, address) for address in sample)
    print(f"{held}/{len(sample)}")


if __name__ == "__main__":
    main()
