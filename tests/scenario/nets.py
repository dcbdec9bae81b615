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


def ask(pid, name, kind="A", tcp=False, server="127.0.0.11", limit=10, edns=0):
    """One question, as a process in that namespace would ask it; edns: the size of answers that it says it takes."""
    query = struct.pack("!6H", random.randrange(65536), 0x100, 1, 0, 0, 1 if edns else 0) + encode(name) + struct.pack("!2H", TYPES[kind], 1)
    if edns:
        query += b"\0" + struct.pack("!HHIH", 41, edns, 0, 0)
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
        data = s.recv(65536)
        assert len(data) <= max(512, edns), len(data)
        return parse(data)


class Upstream:
    """A DNS server in some namespace: what it says follows from the name; who asked it what is kept. With `most` it cuts longer datagrams and serves TCP too."""

    def __init__(self, pid, address, say, most=65535):
        self.say, self.asked, self.most, self.over_tcp = say, [], most, 0
        host = address.split("%")[0]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def make(kind):
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(socket.getaddrinfo(address, 53, family, kind)[0][4])
            if kind == socket.SOCK_STREAM:
                s.listen()
            return s

        self.socks = in_netns(pid, lambda: [make(socket.SOCK_DGRAM)] + ([make(socket.SOCK_STREAM)] if most < 65535 else []))
        self.wake, self.end = os.pipe()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def answer(self, q, peer):
        name, at = decode(q, 12)
        kind = struct.unpack("!H", q[at:at + 2])[0]
        self.asked.append((name.lower(), kind, peer[0]))
        rcode, addresses = self.say(name.lower(), kind)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 30, 4) + socket.inet_aton(a) for a in addresses)
        return q[:2] + struct.pack("!5H", 0x8180 | rcode, 1, len(addresses), 0, 0) + q[12:at + 4] + body, at + 4

    def run(self):
        while True:
            ready = select.select([*self.socks, self.wake], [], [])[0]
            if self.wake in ready:
                return
            if self.socks[0] in ready:
                q, peer = self.socks[0].recvfrom(4096)
                reply, end = self.answer(q, peer)
                if len(reply) > self.most:
                    reply = reply[:2] + struct.pack("!5H", 0x8380, 1, 0, 0, 0) + reply[12:end]
                self.socks[0].sendto(reply, peer)
            else:
                c, peer = self.socks[1].accept()
                with c:
                    c.settimeout(10)
                    n = struct.unpack("!H", c.recv(2, socket.MSG_WAITALL))[0]
                    reply, _ = self.answer(c.recv(n, socket.MSG_WAITALL), peer)
                    c.sendall(struct.pack("!H", len(reply)) + reply)
                    self.over_tcp += 1

    def names(self):
        return [n for n, _, _ in self.asked]

    def close(self):
        os.write(self.end, b"x")
        self.thread.join()
        for s in self.socks:
            s.close()
        os.close(self.wake)
        os.close(self.end)


class Scene:
    """Containers on networks of a test's own."""

    def __init__(self, cli):
        self.cli, self.networks = cli, []

    def net(self, name, *args):
        self.cli.out("network", "create", *args, name)
        self.networks.append(name)

    def run(self, name, *args):
        """Starts a container; the id of its process."""
        self.cli.out("run", "-d", "--name", name, *args, "alpine", "sleep", "1h")
        return int(self.cli.out("inspect", "-f", "{{.State.Pid}}", name))

    def end(self):
        for c in self.cli.out("ps", "-aq").split():
            self.cli("rm", "-f", c)
        for n in self.networks:
            self.cli("network", "rm", n)
