#!/usr/bin/env python3
"""Prints the RTP packets that arrive at a UDP port of the loopback device, one a line: nanoseconds, SSRC, payload type, marker,
timestamp, length of the encrypted payload. Only headers are read, which SRTP leaves in the clear. Needs CAP_NET_RAW.

    sniff.py PORT SECONDS
"""
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
PACKET_OUTGOING = 4

port, seconds = int(sys.argv[1]), float(sys.argv[2])
device = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
device.bind(("lo", ETH_P_ALL))
device.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
device.settimeout(0.2)
end = time.monotonic() + seconds
while time.monotonic() < end:
    try:
        packet, ancillary, _, address = device.recvmsg(65_535, 256)
    except TimeoutError:
        continue
    # The device shows each packet as sent and as received.
    if address[2] == PACKET_OUTGOING or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP:
        continue
    udp = packet[(packet[0] & 15) * 4:]
    if struct.unpack("!H", udp[2:4])[0] != port:
        continue
    rtp = udp[8:]
    # RFC 7983, and RFC 5761 to tell RTCP.
    if len(rtp) < 12 or not 128 <= rtp[0] <= 191 or 192 <= rtp[1] <= 223:
        continue
    header = 12 + 4 * (rtp[0] & 15)
    if rtp[0] & 16:
        header += 4 + 4 * struct.unpack("!H", rtp[header + 2:header + 4])[0]
    at = next((data for level, kind, data in ancillary if kind == SO_TIMESTAMPNS), None)
    at_seconds, at_ns = struct.unpack("qq", at)
    timestamp, ssrc = struct.unpack("!II", rtp[4:12])
    print(at_seconds * 1_000_000_000 + at_ns, ssrc, rtp[1] & 127, rtp[1] >> 7, timestamp, len(rtp) - header)
