"""Published ports where the kernel's address translation does not reach: loopback, IPv6 clients of a container that has only IPv4, a container's own published ports.
Bytes and datagrams pass through pontoon-relay; connections outlive the daemon."""
import os
import pathlib
import signal
import socket
import subprocess
import threading

import pytest

from nets import in_netns

ECHO, UDP, HOST, HOST6, OUTSIDE6 = 8081, 8082, "10.99.0.1", "fd99::1", "fd99::2"


def outside_pid():
    return int(os.environ["LAB_OUTSIDE_PID"])


@pytest.fixture(scope="module")
def six():
    """The uplink has IPv6 too."""
    subprocess.run(["ip", "addr", "add", f"{HOST6}/64", "dev", "uplink0", "nodad"], check=True)
    subprocess.run(["nsenter", "-n", "-t", os.environ["LAB_OUTSIDE_PID"], "ip", "addr", "add", f"{OUTSIDE6}/64", "dev", "up0", "nodad"], check=True)
    yield
    subprocess.run(["ip", "addr", "del", f"{HOST6}/64", "dev", "uplink0"], check=True)
    subprocess.run(["nsenter", "-n", "-t", os.environ["LAB_OUTSIDE_PID"], "ip", "addr", "del", f"{OUTSIDE6}/64", "dev", "up0"], check=True)


class Target:
    """In a container: what a client has sent until its end comes back after it, with who it seemed to be; datagrams likewise."""

    def __init__(self, pid):
        def make():
            tcp, udp = socket.socket(socket.AF_INET, socket.SOCK_STREAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("", 80))
            tcp.listen(64)
            udp.bind(("", 53))
            return tcp, udp

        self.tcp, self.udp = in_netns(pid, make)
        self.threads, self.taken = [], []
        for run in (self.accept, self.datagrams):
            self.start(run)

    def start(self, run, *args):
        t = threading.Thread(target=run, args=args, daemon=True)
        self.threads.append(t)
        t.start()

    def accept(self):
        while True:
            try:
                c, peer = self.tcp.accept()
            except OSError:
                return
            self.taken.append(c)
            self.start(self.serve, c, peer)

    def serve(self, c, peer):
        try:
            got = b""
            while part := c.recv(65536):
                got += part
                if got.endswith(b"?"):
                    c.sendall(b"!")
            c.sendall(peer[0].encode() + b" " + got)
        except OSError:
            pass
        c.close()

    def datagrams(self):
        while True:
            try:
                got, peer = self.udp.recvfrom(65536)
                if not peer:  # shut down
                    return
                self.udp.sendto(peer[0].encode() + b" " + got, peer)
            except OSError:
                return

    def close(self):
        for s in (self.tcp, self.udp, *self.taken):  # a thread that waits would keep the socket, and that the namespace
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for t in self.threads:
            t.join(10)
        self.tcp.close()
        self.udp.close()


@pytest.fixture
def web(any_cli, daemon, six):
    any_cli.out("run", "-d", "--name", "web", "-p", f"{ECHO}:80", "-p", f"{UDP}:53/udp", "alpine", "sleep", "1h")
    state = daemon.api("GET", "/containers/web/json")[1]
    t = Target(state["State"]["Pid"])
    t.pid, t.gateway = state["State"]["Pid"], state["NetworkSettings"]["Gateway"]
    yield t
    t.close()


def client(pid, kind, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = in_netns(pid, lambda: socket.socket(family, kind))
    s.settimeout(10)
    s.connect((address, ECHO if kind == socket.SOCK_STREAM else UDP))
    return s


def tcp(pid, address):
    """Half-closed: the answer begins when the question has ended."""
    with client(pid, socket.SOCK_STREAM, address) as s:
        s.sendall(b"x" * 100000)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while part := s.recv(65536):
            got += part
    peer, text = got.split(b" ")
    assert text == b"x" * 100000
    return peer.decode()


def udp(pid, address):
    with client(pid, socket.SOCK_DGRAM, address) as s:  # connected: it hears only of the address that it has asked
        s.send(b"hello")
        peer, text = s.recv(65536).split(b" ")
    assert text == b"hello"
    return peer.decode()


def relays():
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (p / "comm").read_text().strip() == "pontoon-relay":
                found.append(int(p.name))
        except OSError:
            pass
    return found


def test_wherever_nat_does_not_reach(web):
    here, there = os.getpid(), outside_pid()
    for name, pid, address in (("loopback", here, "127.0.0.1"), ("loopback, IPv6", here, "::1"), ("the host's IPv6 address", here, HOST6), ("from outside, IPv6", there, HOST6),
                               ("its own port, by the host's address", web.pid, HOST), ("its own port, by the gateway", web.pid, web.gateway)):
        for way in (tcp, udp):
            peer = way(pid, address)
            assert peer == web.gateway or pid == web.pid, (name, way, peer)
    assert tcp(there, HOST) == udp(there, HOST) == os.environ["LAB_OUTSIDE"]  # the kernel's NAT keeps who it is


def test_a_port_goes_with_its_container(web, any_cli):
    with client(os.getpid(), socket.SOCK_STREAM, "127.0.0.1") as s:
        s.sendall(b"there?")
        assert s.recv(1) == b"!"
        any_cli.out("stop", "-t", "0", "web")
        with pytest.raises(ConnectionRefusedError):
            client(os.getpid(), socket.SOCK_STREAM, "127.0.0.1")
        with pytest.raises(OSError):  # and so do its connections
            if s.recv(1) == b"":
                raise ConnectionResetError


def test_a_killed_relay_is_back_at_once(web):
    for _ in range(3):
        pids = relays()
        assert len(pids) == 1
        os.kill(pids[0], signal.SIGKILL)
        assert tcp(os.getpid(), "127.0.0.1") == web.gateway  # the kernel takes the client until another serves it
        assert udp(os.getpid(), "127.0.0.1") == web.gateway
        assert relays() != pids


def test_connections_outlive_the_daemon(web, daemon):
    with client(os.getpid(), socket.SOCK_STREAM, "127.0.0.1") as s, client(os.getpid(), socket.SOCK_STREAM, "::1") as six:
        def alive(c):
            c.sendall(b"?")
            return c.recv(1) == b"!"

        assert alive(s) and alive(six)
        pids = relays()
        daemon.kill9()
        assert alive(s) and alive(six) and tcp(os.getpid(), "127.0.0.1") == web.gateway
        daemon.start()
        assert alive(s) and alive(six) and tcp(os.getpid(), "::1") == web.gateway
        assert relays() == pids
    assert daemon.doctor() == []


class Many:
    """In a container: listeners that say which one they are."""

    def __init__(self, pid, ports):
        def datagrams(p):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("0.0.0.0", p))
            return s

        self.socks = [in_netns(pid, lambda p=p: socket.create_server(("0.0.0.0", p))) for p in ports]
        self.udp = [in_netns(pid, lambda p=p: datagrams(p)) for p in ports]
        for s in self.socks:
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()
        self.threads = [threading.Thread(target=self.answer, args=(s,), daemon=True) for s in self.udp]
        for t in self.threads:
            t.start()

    @staticmethod
    def answer(s):
        while True:
            got, peer = s.recvfrom(100)
            if not peer:  # shut down
                return
            s.sendto(str(s.getsockname()[1]).encode(), peer)

    @staticmethod
    def serve(s):
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            with c:
                c.sendall(str(s.getsockname()[1]).encode())

    def close(self):
        for s in self.socks:
            s.shutdown(socket.SHUT_RDWR)
            s.close()
        for s, t in zip(self.udp, self.threads):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:  # not connected, but whoever waits is woken
                pass
            t.join(10)
            s.close()


def asked(pid, address, port, kind=socket.SOCK_STREAM):
    s = in_netns(pid, lambda: socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind))
    with s:
        s.settimeout(10)
        s.connect((address, port))
        if kind == socket.SOCK_DGRAM:
            s.send(b"?")
        return int(s.recv(100))


def test_every_port_of_a_long_run(any_cli, daemon, six):
    """Ten thousand ports of TCP and of UDP, one socket each: wherever NAT does not reach, the container's port that belongs to the one asked for answers."""
    with socket.create_server(("127.0.0.1", 25000)):
        r = any_cli("run", "--rm", "-p", "20000-29999:30000-39999", "alpine", "true")
        assert r.rc != 0 and "failed to bind host port 0.0.0.0:25000/tcp: address already in use" in r.err, r
    any_cli.out("run", "-d", "--name", "many", "-p", "20000-29999:30000-39999", "-p", "20000-29999:30000-39999/udp", "alpine", "sleep", "1h")
    state = daemon.api("GET", "/containers/many/json")[1]
    pid, gateway, here = state["State"]["Pid"], state["NetworkSettings"]["Gateway"], os.getpid()
    many = Many(pid, (30000, 34321, 39999))

    def whole():
        for at, address in ((here, "127.0.0.1"), (here, "::1"), (here, HOST6), (outside_pid(), HOST6), (outside_pid(), HOST), (pid, gateway)):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                assert [asked(at, address, p, kind) for p in (20000, 24321, 29999)] == [30000, 34321, 39999], (at, address, kind)

    try:
        whole()
        for address, port in (("127.0.0.1", 30000), ("::1", 19999)):
            with pytest.raises(ConnectionRefusedError):
                asked(here, address, port)
        with pytest.raises(ConnectionResetError):  # within the run, but nobody listens in the container
            asked(here, "127.0.0.1", 20001)
        os.kill(relays()[0], signal.SIGKILL)
        whole()
        daemon.kill9()
        assert asked(here, "127.0.0.1", 24321) == 34321
        daemon.start()
        whole()
        assert daemon.doctor() == []
        any_cli.out("rm", "-f", "many")
        for p in (20000, 24321):
            with pytest.raises(ConnectionRefusedError):
                asked(here, "127.0.0.1", p)
    finally:
        many.close()


def test_more_long_runs_than_the_kernel_leads(any_cli, daemon, six):
    """64 of them have a program that leads them to their socket. Whoever asks for more is told; what NAT leads is led, and what it would not lead is refused."""
    runs = {f"{p}-{p + 256}/tcp": [{"HostPort": f"{p}-{p + 256}"}] for p in range(10000, 10000 + 63 * 300, 300)}
    make = {"Image": "alpine", "Cmd": ["sleep", "1h"], "ExposedPorts": {}, "HostConfig": {"PortBindings": runs}}
    assert daemon.api("POST", "/containers/create?name=first", make)[1]["Warnings"] == []
    any_cli.out("start", "first")
    runs = {f"{p}-{p + 256}/udp": [{"HostPort": f"{p}-{p + 256}"}] for p in (10000, 10300)}
    status, made = daemon.api("POST", "/containers/create?name=two", {**make, "HostConfig": {"PortBindings": runs}})
    full = ("Published ports %s are not reached beyond port %d where only the proxy leads to them (from loopback addresses, or over IPv6 to a container without it): "
            "64 programs that look for sockets (BPF, sk_lookup) are there already, and the kernel takes no more")
    assert (status, made["Warnings"]) == (201, [full % ("10300-10556/udp", 10300)]), made
    any_cli.out("rm", "two")
    sixty_fourth = any_cli("run", "-d", "--name", "last", "-p", "40000-40256:40000-40256", "alpine", "sleep", "1h", ok=True)
    assert "WARNING" not in sixty_fourth.err
    more = any_cli("run", "-d", "--name", "more", "-p", "41000-41256:42000-42256", "alpine", "sleep", "1h", ok=True)
    assert "WARNING: " + full % ("41000-41256/tcp", 41000) in more.err.replace("\n", " "), more
    pid, here = daemon.api("GET", "/containers/more/json")[1]["State"]["Pid"], os.getpid()
    many = Many(pid, (42000, 42100))
    try:
        assert asked(outside_pid(), HOST, 41100) == 42100 and asked(here, "127.0.0.1", 41000) == 42000
        with pytest.raises(ConnectionRefusedError):
            asked(here, "127.0.0.1", 41100)
        args = ("run", "-d", "--name", "alone", "--label", "com.pontoon.publish_scope=host-firewall", "-p", "43000-43256:43000-43256", "alpine", "sleep", "1h")
        alone = any_cli(*args)
        assert alone.rc != 0 and "the proxy cannot serve ports 43000-43256: 64 programs" in alone.err, alone
        with pytest.raises(ConnectionRefusedError):
            asked(here, "127.0.0.1", 43000)
        any_cli.out("rm", "-f", "alone", "last")
        any_cli.out(*args)  # there is a place again
        assert daemon.doctor() == []
        any_cli.out("rm", "-f", "more")
        with pytest.raises(ConnectionRefusedError):
            asked(outside_pid(), HOST, 41100)
    finally:
        many.close()
        any_cli.out("rm", "-f", "first", "more", "alone")


def test_a_long_run_of_sctp(any_cli, daemon, six):
    """NAT leads it; the proxy does not serve it, and says so."""
    run = any_cli("run", "-d", "--name", "sctp", "-p", "20000-20256:30000-30256/sctp", "alpine", "sleep", "1h", ok=True)
    assert "WARNING: Published ports 20000-20256/sctp are not reached where only the proxy leads to them" in run.err and "it serves no run of sctp that long, publish it in parts" in run.err, run
    any_cli.out("rm", "-f", "sctp")
    run = any_cli("run", "-d", "--name", "sctp", "-p", f"[{HOST6}]:20000-20256:30000-30256/sctp", "alpine", "sleep", "1h")
    assert run.rc != 0 and "host ports 20000-20256/sctp: only the proxy leads there, and it serves no run of sctp that long: publish it in parts" in run.err, run
    any_cli.out("rm", "-f", "sctp")
    assert daemon.doctor() == []
