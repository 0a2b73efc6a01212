"""Reads every TCP packet that enters or leaves a network namespace, as root, and prints the words in them: eavesdrop.py <word>...

Prints "listening" first. When its standard input ends, it prints the words that it saw, one a line, and ends.
"""

import select
import socket
import struct
import sys
import threading

words = [word.encode() for word in sys.argv[1:]]
seen = set()
tails: dict[bytes, bytes] = {}
packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0003))
packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
over = threading.Event()


def until_told() -> None:
    sys.stdin.read()
    over.set()


threading.Thread(target=until_told, daemon=True).start()
print("listening", flush=True)
while not over.is_set():
    if not select.select([packets], [], [], 0.2)[0]:
        continue
    packet, (interface, *_) = packets.recvfrom(1 << 16)
    # Skips packets that stay on the machine.
    if interface == "lo" or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        continue
    ip = (packet[0] & 15) * 4
    length = struct.unpack("!H", packet[2:4])[0]
    payload = packet[ip + (packet[ip + 12] >> 4) * 4 : length or None]
    # A word may be split between two packets.
    flow = packet[12:20] + packet[ip : ip + 4]
    text = tails.get(flow, b"") + payload
    tails[flow] = text[-64:]
    seen.update(word for word in words if word in text)
print("\n".join(sorted(word.decode() for word in seen)))
