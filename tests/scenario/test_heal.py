"""What others do to rules, links and settings is noticed and mended: with both backends, and with iptables of both kinds. Each kind has a daemon of its own, one after the other."""
import itertools
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest

from conftest import BUILD, LAB, QUICK, SOAK, Client, Daemon, wait_until

OUTSIDE = "192.0.2.2"
KINDS = {"iptables-nft": ["--live-restore"], "iptables-legacy": ["--live-restore"], "nftables": ["--live-restore", "--firewall-backend", "nftables"]}
counter = itertools.count()
PROGRAMS = ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"]


class Space:
    """A network namespace that stays."""

    def __init__(self):
        self.proc = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        mine = os.readlink("/proc/self/ns/net")
        assert wait_until(lambda: os.readlink(f"/proc/{self.proc.pid}/ns/net") != mine)
        self.enter = ["nsenter", "-n", "-t", str(self.proc.pid)]

    def sh(self, text, ok=True):
        p = subprocess.run([*self.enter, "sh", "-c", text], capture_output=True, text=True)
        assert not ok or p.returncode == 0, f"{text}: {p.stdout} {p.stderr}"
        return p.stdout

    def end(self):
        self.proc.kill()
        self.proc.wait()


class Host:
    """A daemon in a namespace of its own with a neighbour outside, a network, two containers on it and one on docker0."""

    def __init__(self, kind, image):
        self.kind = kind
        self.nft = kind == "nftables"
        self.space, self.outside = Space(), Space()
        self.sh = self.space.sh
        self.sh(f"ip link set lo up; echo 0 >/proc/sys/net/ipv4/ip_forward; ip link add up0 type veth peer name up1 netns {self.outside.proc.pid}; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up")
        self.outside.sh("ip addr add 192.0.2.2/24 dev up1; ip link set up1 up")
        self.daemon = Daemon(f"{kind}{next(counter)}")
        plain = self.daemon.command
        self.daemon.command = lambda *a: [*self.space.enter, *plain(*a)]
        self.daemon.start(*KINDS[kind])
        self.docker = Client("pontoon", BUILD / "pontoon", self.daemon)
        with open(image, "rb") as f:
            status, lines = self.daemon.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})
        assert status == 200, lines
        self.docker("network", "create", "--subnet", "10.81.0.0/24", "net1", ok=True)
        for name, net in (("one", "net1"), ("two", "net1"), ("three", "bridge")):
            self.docker("run", "-d", "--name", name, "--network", net, "alpine", "sh", "-c", "busybox nc -ll -p 81 -e true & exec sleep 1h", ok=True)
        self.br = "br-" + json.loads(self.docker.out("network", "inspect", "net1"))[0]["Id"][:12]
        self.veth = self.container_veth("one")
        self.two = self.docker.out("inspect", "-f", "{{.NetworkSettings.Networks.net1.IPAddress}}", "two")
        self.three = self.docker.out("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "three")
        self.since = time.time()

    def end(self):
        for c in self.daemon.api("GET", "/containers/json?all=1")[1]:
            self.daemon.api("DELETE", f"/containers/{c['Id']}?force=1")
        assert wait_until(lambda: self.daemon.doctor() == []), self.daemon.doctor()
        assert self.daemon.stop() == 0
        self.outside.end()
        self.space.end()

    def container_veth(self, name):
        index = self.docker.out("exec", name, "cat", "/sys/class/net/eth0/iflink")
        return next(l.split(":")[1].strip().split("@")[0] for l in self.sh("ip -o link").splitlines() if l.startswith(f"{index}:"))

    def repairs(self):
        status, raw = self.daemon.api("GET", f"/events?since={self.since:.6f}&until={time.time():.6f}&filters=%7B%22type%22%3A%5B%22daemon%22%5D%7D")
        assert status == 200, raw
        text = json.dumps(raw) if isinstance(raw, dict) else raw.decode() if isinstance(raw, bytes) else raw
        return [e for e in map(json.loads, filter(None, text.splitlines())) if e["Action"] == "repair"]

    def whole(self, isolated=False):
        assert wait_until(lambda: self.daemon.doctor() == []), self.daemon.doctor()
        assert self.docker("doctor").rc == 0
        two, three = self.two, self.three
        asked = [("one", two, True), ("one", OUTSIDE, True), ("three", OUTSIDE, True)] + [("one", three, False), ("three", two, False)] * isolated
        pings = [self.docker.spawn("exec", src, "ping", "-c", "1", "-W", "1", dst, stdout=subprocess.DEVNULL) for src, dst, _ in asked]
        for (src, dst, expect), p in zip(asked, pings):
            assert (p.wait() == 0) == expect, f"{src} to {dst}: not {expect}\n{self.daemon.log.read_text()[-2000:]}"

    def damage(self, command):
        self.since = time.time()
        self.sh(command.format(br=self.br, veth=self.veth), ok=False)  # a repair may come between two commands
        assert wait_until(self.repairs), f"{command}: no repair"
        self.whole()
        return self.repairs()


@pytest.fixture(scope="module", params=list(KINDS))
def host(request, busybox):
    path = os.environ["PATH"]
    multi = {"iptables-nft": "xtables-nft-multi", "iptables-legacy": "xtables-legacy-multi", "nftables": "xtables-nft-multi"}[request.param]
    if not shutil.which(multi):
        pytest.skip(f"no {multi}")
    bin = LAB / f"bin{next(counter)}"
    bin.mkdir()
    for p in PROGRAMS:
        (bin / p).symlink_to(shutil.which(multi))
    os.environ["PATH"] = f"{bin}:{path}"
    h = Host(request.param, busybox)
    yield h
    h.end()
    os.environ["PATH"] = path


RULES = {
    "iptables": ["iptables -F", "iptables -F && iptables -X", "iptables -t nat -F", "iptables -t raw -F PREROUTING", "iptables -t nat -F && iptables -t nat -X && iptables -F && iptables -X && iptables -t raw -F",
                 "iptables -D FORWARD -j DOCKER-ISOLATION-STAGE-1", "iptables -D DOCKER-ISOLATION-STAGE-1 -i {br} ! -o {br} -j DOCKER-ISOLATION-STAGE-2", "iptables -P FORWARD ACCEPT",
                 "iptables -I FORWARD -s 198.51.100.9 -j ACCEPT",  # before the jump to DOCKER-USER
                 "printf '*filter\\n:FORWARD ACCEPT\\n-A FORWARD -s 198.51.100.9 -j ACCEPT\\nCOMMIT\\n*nat\\nCOMMIT\\n' | iptables-restore"],
    "iptables-nft": ["nft flush ruleset", "nft delete table ip nat", "nft delete table ip filter"],
    "nftables": ["nft flush ruleset", "nft delete table inet pontoon", "nft flush chain inet pontoon forward", "nft flush set inet pontoon bridges", "nft delete element inet pontoon masq4 '{{ {br} }}'",
                 "nft add rule inet pontoon forward accept"],
}


def test_rules(host):
    commands = list(RULES.get(host.kind, []))
    if not host.nft:
        commands = RULES["iptables"] + commands
    for c in commands:
        host.damage(c)
    host.whole(isolated=True)


def test_links(host):
    host.whole()
    for c in ("ip addr del 10.81.0.1/24 dev {br}", "ip link set {br} down", "ip link set {veth} nomaster", "ip link set {veth} down", "ip link del {veth}", "ip link del {br}",
              "sysctl -qw net.ipv4.ip_forward=0"):
        host.damage(c)
        assert host.docker("exec", "one", "ping", "-c", "1", "-W", "1", "10.81.0.1").rc == 0, c
        assert ("hairpin on" in host.sh(f"bridge -d link show dev {host.veth}")) == host.nft, c


def test_what_is_not_ours_stays(host):
    """The people's chain, foreign tables, foreign links: not touched by a repair; changes of theirs are none of ours."""
    user = "nft list chain inet pontoon user" if host.nft else "iptables -S DOCKER-USER"
    host.sh("nft add rule inet pontoon user ip saddr 192.0.2.7 drop" if host.nft else "iptables -I DOCKER-USER -s 192.0.2.7 -j DROP")
    host.sh("iptables -t mangle -A PREROUTING -s 192.0.2.8 -j ACCEPT; iptables -A INPUT -s 192.0.2.9 -j DROP; nft add table inet others; nft add chain inet others c; nft add rule inet others c accept")
    host.sh("ip link add theirs type bridge; ip link set theirs up")
    host.whole()
    before = [host.sh(user), host.sh("iptables -t mangle -S"), host.sh("iptables -S INPUT"), host.sh("nft list table inet others"), host.sh("ip -br link show theirs")]
    host.damage("ip link set {br} down")
    host.damage("nft flush set inet pontoon bridges" if host.nft else "iptables -F FORWARD")
    assert before == [host.sh(user), host.sh("iptables -t mangle -S"), host.sh("iptables -S INPUT"), host.sh("nft list table inet others"), host.sh("ip -br link show theirs")]
    host.since = time.time()
    host.sh("nft add rule inet others c drop; nft delete table inet others; ip link del theirs; iptables -D INPUT -s 192.0.2.9 -j DROP; iptables -t mangle -F")
    host.whole()
    assert host.repairs() == []


def test_event_says_what(host):
    got = host.damage("ip addr del 10.81.0.1/24 dev {br}")
    a = got[0]["Actor"]["Attributes"]
    assert int(a["missing"]) >= 1 and "10.81.0.1/24" in a["objects"], a
    assert "is repaired" in host.daemon.log.read_text()


def test_operations_meet_the_damage(host):
    """An operation right after a flush does not fail, whoever is quicker."""
    flush = ["nft flush ruleset"] if host.nft else ["iptables -F && iptables -X"] + ["nft flush ruleset"] * (host.kind == "iptables-nft")
    for c in flush * 5:
        for verb in (("create", "net2"), ("connect", "net2", "three"), ("disconnect", "net2", "three"), ("rm", "net2")):
            host.sh(c, ok=False)  # a repair may come in between
            host.docker("network", *verb, ok=True)
    host.sh(f"ip link del {host.br}")
    host.docker("run", "--rm", "--network", "net1", "alpine", "true", ok=True)
    host.whole(isolated=True)


def test_damage_while_the_daemon_is_away(host):
    host.daemon.kill9()
    host.sh("nft flush ruleset" if host.nft else "iptables -F && iptables -t nat -F")
    host.sh(f"ip link set {host.br} down")
    host.daemon.start(*KINDS[host.kind])
    host.since = time.time()
    host.whole()
    host.damage("nft flush ruleset" if host.nft else "iptables -F")


class FakeFirewalld:
    """Owns firewalld's name on a bus of the test's own, and says what firewalld says."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        assert self.sock.recv(1000).startswith(b"OK")
        self.sock.sendall(b"BEGIN\r\n")
        self.serial = 0
        bus = {1: ("o", "/org/freedesktop/DBus"), 2: ("s", "org.freedesktop.DBus"), 6: ("s", "org.freedesktop.DBus")}
        self.send(1, {**bus, 3: ("s", "Hello")})
        self.send(1, {**bus, 3: ("s", "RequestName"), 8: ("g", "su")}, self.text("org.fedoraproject.FirewallD1") + struct.pack("<I", 0))

    @staticmethod
    def text(s):
        b = struct.pack("<I", len(s)) + s.encode() + b"\0"
        return b + b"\0" * (-len(b) % 4)

    def send(self, kind, fields, body=b""):
        self.serial += 1
        array = b""
        for code, (signature, value) in fields.items():
            array += b"\0" * (-len(array) % 8) + bytes([code, 1]) + signature.encode() + b"\0"
            array += bytes([len(value)]) + value.encode() + b"\0" if signature == "g" else struct.pack("<I", len(value)) + value.encode() + b"\0"
        head = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), self.serial, len(array)) + array
        self.sock.sendall(head + b"\0" * (-len(head) % 8) + body)

    def reloaded(self):
        self.send(4, {1: ("o", "/org/fedoraproject/FirewallD1"), 2: ("s", "org.fedoraproject.FirewallD1"), 3: ("s", "Reloaded")})


@pytest.mark.parametrize("host", ["iptables-legacy"], indirect=True)
def test_firewalld_reloads(host, monkeypatch):
    """Its coming and its reload are heard, and each is answered with a look at the rules."""
    program = shutil.which("dbus-daemon") or shutil.which(str(BUILD / "tools/usr/bin/dbus-daemon"))
    if not program:
        pytest.skip("no dbus-daemon")
    path, conf = LAB / "bus", LAB / "bus.conf"
    conf.write_text(f'<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth><policy context="default">'
                    '<allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>')
    bus = subprocess.Popen([program, f"--config-file={conf}", "--nofork", "--nopidfile"], stderr=subprocess.PIPE)
    looks = lambda: host.daemon.log.read_text().count("looked at the network")
    try:
        assert wait_until(path.exists), bus.stderr.read() if bus.poll() is not None else "no bus"
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
        host.daemon.stop()
        host.daemon.start(*KINDS[host.kind], "--debug")
        if "not built in" in host.daemon.log.read_text():
            pytest.skip("built without libsystemd")
        quiet = -1
        while quiet != looks():  # what its start has changed is looked at by the next poll
            quiet = looks()
            time.sleep(0.8)
        firewalld = FakeFirewalld(str(path))
        assert wait_until(lambda: looks() == quiet + 1)
        for i in range(3):
            firewalld.reloaded()
            assert wait_until(lambda: looks() == quiet + 2 + i), host.daemon.log.read_text()[-1000:]
        bus.terminate()
        bus.wait()
        host.daemon.stop()
        host.daemon.start(*KINDS[host.kind])
    finally:
        bus.kill()
    host.damage("iptables -F")


class Rounds:
    """Random operations with whatever a host lives through; the model is the daemon's own, `doctor` compares. A prober asks for a port that nobody has published all the time."""

    def __init__(self, host, seed):
        self.h, self.random = host, random.Random(seed)
        self.nets, self.ports, self.published, self.damages = [], {}, 0, 0

    def docker(self, *args, ok=True):
        return self.h.docker(*args, ok=ok)

    def network_create(self):
        if len(self.nets) < 6:
            self.nets.append(f"r{self.random.randrange(10**9)}")
            self.docker("network", "create", *self.random.choice([[], ["--internal"], ["-o", "com.docker.network.bridge.enable_icc=false"]]), self.nets[-1])

    def network_rm(self):
        for n in self.nets[:1]:
            for c in json.loads(self.docker("network", "inspect", n).out)[0]["Containers"].values():
                self.docker("network", "disconnect", n, c["Name"])
            self.docker("network", "rm", n)
            self.nets.remove(n)

    def connect(self):
        if self.nets:
            self.h.docker("network", "connect", self.random.choice(self.nets), self.random.choice(["one", "two", "three"]))  # joined already: refused

    def disconnect(self):
        if self.nets:
            self.h.docker("network", "disconnect", self.random.choice(self.nets), self.random.choice(["one", "two", "three"]))  # not joined: refused

    def publish(self):
        if len(self.ports) < 3:
            port = next(p for p in range(8000, 8100) if p not in self.ports.values())
            self.published += 1
            name = f"pub{self.published}"
            self.docker("run", "-d", "--name", name, "-p", f"{port}:80", "--network", self.random.choice(["bridge", "net1"]), "alpine", "busybox", "nc", "-ll", "-p", "80", "-e", "true")
            self.ports[name] = port

    def unpublish(self):
        for name in list(self.ports)[:1]:
            self.docker("rm", "-f", name)
            del self.ports[name]

    def flush(self):
        self.damages += 1
        kinds = ["nft flush ruleset", "nft delete table inet pontoon"] if self.h.nft else ["iptables -F", "iptables -F; iptables -X", "iptables -t nat -F", "iptables -t raw -F"]
        self.h.sh(self.random.choice(kinds), ok=False)

    def link(self):
        self.h.sh(self.random.choice([f"ip link set {self.h.br} down", f"ip link del {self.h.br}", "ip addr del 10.81.0.1/24 dev " + self.h.br]), ok=False)

    def restart(self):
        assert self.h.daemon.stop() == 0
        self.h.daemon.start(*KINDS[self.h.kind])

    def kill(self):
        self.h.daemon.kill9()
        self.h.daemon.start(*KINDS[self.h.kind])

    def run(self, rounds):
        what = [self.network_create, self.network_rm, self.connect, self.disconnect] * 4 + [self.publish, self.unpublish] * 3 + [self.flush] * 3 + [self.link, self.restart, self.kill]
        began = time.monotonic()
        for i in range(rounds):
            step = self.random.choice(what)
            step()
            if i % 10 == 9:
                self.settled(f"round {i}, {step.__name__}")
            if i % 1000 == 999:
                print(f"{i + 1} rounds after {time.monotonic() - began:.0f} s", flush=True)
        for name in list(self.ports):
            self.docker("rm", "-f", name)
        self.ports.clear()
        self.settled("the end")
        for n in list(self.nets):
            self.network_rm()
        self.settled("without networks")

    def settled(self, where):
        assert wait_until(lambda: self.h.daemon.doctor() == []), f"{where}: {self.h.daemon.doctor()}"
        for name, port in self.ports.items():
            assert wait_until(lambda: self.h.outside.sh(f"timeout 2 busybox nc 192.0.2.1 {port} </dev/null && echo yes", ok=False).strip() == "yes"), f"{where}: {name} is not reached at {port}"


@pytest.mark.parametrize("host", ["iptables-nft", "nftables"], indirect=True)
def test_random_rounds(host):
    seed = int(os.environ.get("PONTOON_SEED", time.time_ns() % 10**6))
    print(f"seed {seed}: PONTOON_SEED={seed} repeats it")
    # who knows a route to the containers but has no business there
    host.outside.sh("ip route replace 10.81.0.0/24 via 192.0.2.1; ip route replace 172.17.0.0/16 via 192.0.2.1")
    two = host.docker.out("inspect", "-f", "{{.NetworkSettings.Networks.net1.IPAddress}}", "two")
    prober = subprocess.Popen([*host.outside.enter, sys.executable, str(pathlib.Path(__file__).with_name("prober.py")), two, "81"], stdout=subprocess.PIPE, text=True)
    assert prober.stdout.readline() == "asks\n"
    rounds = Rounds(host, seed)
    try:
        rounds.run(10000 if SOAK else 20 if QUICK else 100)
    finally:
        prober.terminate()
        told = json.loads(prober.communicate()[0])
    print(f"{rounds.damages} flushes; the prober: {told}")
    assert told["asked"] > 0 and told["windows"] <= rounds.damages, told
