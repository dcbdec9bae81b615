"""What the tests of networks share: sockets in other namespaces, a DNS client and servers made of them."""
import collections
import ctypes
import os
import random
import select
import socket
import struct
import subprocess
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
TYPES = {"A": 1, "NS": 2, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "ANY": 255}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def in_netns(pid, make):
    """Runs make() on a thread inside the network namespace of a process; sockets that it returns stay there."""
    got = []

    def run():
        try:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            if LIBC.setns(fd, CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.close(fd)
            got.append((make(), None))
        except BaseException as e:  # handed to the caller
            got.append((None, e))

    t = threading.Thread(target=run)
    t.start()
    t.join()
    if got[0][1]:
        raise got[0][1]
    return got[0][0]


def outside(line):
    return subprocess.run(["nsenter", "-n", "-t", os.environ["LAB_OUTSIDE_PID"], "sh", "-c", line], check=True, capture_output=True, text=True).stdout


def encode(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


def decode(msg, at):
    """A name and where it ends."""
    parts, end = [], None
    while msg[at]:
        if msg[at] >= 0xc0:
            end = end or at + 2
            at = (msg[at] & 0x3f) << 8 | msg[at + 1]
            continue
        parts.append(msg[at + 1:at + 1 + msg[at]].decode())
        at += 1 + msg[at]
    return ".".join(parts), end or at + 1


class Answer(collections.namedtuple("Answer", "rcode records flags question")):
    def values(self):
        return [r[2] for r in self.records]


def parse(msg):
    ident, flags, qd, an, _, _ = struct.unpack("!6H", msg[:12])
    at, records, question = 12, [], ""
    for _ in range(qd):
        question, at = decode(msg, at)
        at += 4
    for _ in range(an):
        name, at = decode(msg, at)
        kind, _, ttl, n = struct.unpack("!HHIH", msg[at:at + 10])
        data = msg[at + 10:at + 10 + n]
        value = socket.inet_ntoa(data) if kind == 1 else socket.inet_ntop(socket.AF_INET6, data) if kind == 28 else decode(msg, at + 10)[0] if kind == 12 else data
        records.append((name, kind, value, ttl))
        at += 10 + n
    return Answer(RCODES.get(flags & 15, flags & 15), records, flags, question)


def ask(pid, name, kind="A", tcp=False, server="127.0.0.11", limit=10):
    """One question, as a process in that namespace would ask it."""
    query = struct.pack("!6H", random.randrange(65536), 0x100, 1, 0, 0, 0) + encode(name) + struct.pack("!2H", TYPES[kind], 1)
    s = in_netns(pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM))
    with s:
        s.settimeout(limit)
        s.connect((server, 53))
        if tcp:
            s.sendall(struct.pack("!H", len(query)) + query)
            data = b""
            while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
                data += s.recv(65536)
            return parse(data[2:])
        s.send(query)
        return parse(s.recv(65536))


class Upstream:
    """A DNS server in some namespace: what it says follows from the name; who asked it what is kept."""

    def __init__(self, pid, address, say):
        self.say, self.asked = say, []

        def make():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, 53))
            return s

        self.sock = in_netns(pid, make)
        self.wake, self.end = os.pipe()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            ready = select.select([self.sock, self.wake], [], [])[0]
            if self.wake in ready:
                return
            q, peer = self.sock.recvfrom(4096)
            name, at = decode(q, 12)
            kind = struct.unpack("!H", q[at:at + 2])[0]
            self.asked.append((name.lower(), kind, peer[0]))
            rcode, addresses = self.say(name.lower(), kind)
            body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 30, 4) + socket.inet_aton(a) for a in addresses)
            self.sock.sendto(q[:2] + struct.pack("!5H", 0x8180 | rcode, 1, len(addresses), 0, 0) + q[12:at + 4] + body, peer)

    def names(self):
        return [n for n, _, _ in self.asked]

    def close(self):
        os.write(self.end, b"x")
        self.thread.join()
        self.sock.close()
        os.close(self.wake)
        os.close(self.end)
