"""Joining and leaving while containers run: random rounds against a model, and the edge cases with real packets."""
import json
import os
import random
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import SOAK, QUICK, Client, programs, wait_until
from nets import Scene, ask, in_netns

NETWORKS, CONTAINERS = 5, 6
ROUNDS = 1000 if SOAK else 25 if QUICK else 100


def relay_pid(daemon):
    out = subprocess.run(["pgrep", "-x", "pontoon-relay", "-P", str(daemon.proc.pid)], capture_output=True, text=True).stdout.split()
    return int(out[0]) if out else int(subprocess.run(["pgrep", "-x", "pontoon-relay"], capture_output=True, text=True).stdout.split()[0])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def opened(pid):
    """What the descriptors are, to be shown when there are more than there were."""
    return sorted(re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{f}")) for f in os.listdir(f"/proc/{pid}/fd") if os.path.lexists(f"/proc/{pid}/fd/{f}"))


def memory(pid):
    return sum(int(l.split()[1]) for l in open(f"/proc/{pid}/smaps_rollup") if l.startswith(("Private_Dirty", "Private_Clean")))


class Model:
    """What the requests so far mean: who is on which network, and who runs."""

    def __init__(self, daemon, rng):
        self.daemon, self.rng = daemon, rng
        self.networks = [f"round{i}" for i in range(NETWORKS)]
        self.containers = {}  # name: [runs, set of networks]
        for i, n in enumerate(self.networks):
            self.want(201, "POST", "/networks/create", {"Name": n, "EnableIPv6": i == 1, "Internal": i == 2, "Options": {"com.docker.network.bridge.enable_icc": "false"} if i == 3 else {}})

    def want(self, status, method, path, body=None):
        got = self.daemon.api(method, path, body)
        assert got[0] == status, (method, path, body, got)
        return got[1]

    def step(self):
        name = f"c{self.rng.randrange(CONTAINERS)}x"
        net = self.rng.choice(self.networks)
        c = self.containers.get(name)
        what = self.rng.choice(["connect", "connect", "disconnect", "start", "start", "stop", "kill", "rm"])
        if c is None:
            self.want(201, "POST", f"/containers/create?name={name}", {"Image": "alpine", "Cmd": ["sleep", "1h"], "StopSignal": "SIGKILL", "HostConfig": {"NetworkMode": net}})
            self.containers[name] = [False, {net}]
        elif what == "connect":
            self.want(403 if net in c[1] else 200, "POST", f"/networks/{net}/connect", {"Container": name, "EndpointConfig": {"Aliases": [f"also-{name}"], "GwPriority": self.rng.randrange(3)}})
            c[1].add(net)
        elif what == "disconnect":
            self.want(200 if net in c[1] else 500, "POST", f"/networks/{net}/disconnect", {"Container": name, "Force": self.rng.random() < 0.5})
            c[1].discard(net)
        elif what == "start":
            self.want(304 if c[0] else 204, "POST", f"/containers/{name}/start")
            c[0] = True
        elif what in ("stop", "kill"):
            self.want(204 if c[0] else 304, "POST", f"/containers/{name}/stop?t=0")
            c[0] = False
        else:
            self.want(204, "DELETE", f"/containers/{name}?force=1")
            del self.containers[name]

    def check(self):
        assert self.daemon.doctor() == []
        leases = {}
        pids = {}
        for name, (runs, nets) in self.containers.items():
            j = self.daemon.api("GET", f"/containers/{name}/json")[1]
            got = j["NetworkSettings"]["Networks"]
            assert j["State"]["Running"] == runs and set(got) == nets, (name, runs, nets, got)
            for n, ep in got.items():
                assert bool(ep["IPAddress"]) == runs and bool(ep["GlobalIPv6Address"]) == (runs and n == "round1")
                if runs:
                    leases[(n, ep["IPAddress"])] = name
            if runs:
                pids[name] = j["State"]["Pid"]
                links = subprocess.run(["nsenter", "-n", "-t", str(j["State"]["Pid"]), "ip", "-br", "link"], capture_output=True, text=True).stdout
                assert len(re.findall("^eth", links, re.M)) == len(nets), links
        assert len(leases) == sum(len(n) for r, n in self.containers.values() if r)
        for n in self.networks:
            here = self.daemon.api("GET", f"/networks/{n}")[1]["Containers"]
            assert {e["IPv4Address"].split("/")[0]: e["Name"] for e in here.values()} == {a: c for (net, a), c in leases.items() if net == n}
        veths = [l for l in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout.splitlines() if l.startswith("veth")]
        assert len(veths) == len(leases), veths
        spaces = os.listdir(self.daemon.dir / "e/netns")
        assert len(spaces) == len(pids), spaces
        self.check_names(pids, leases)

    def check_names(self, pids, leases):
        """From one container, every name is known exactly where the two share a network."""
        asker = next((n for n in self.containers if self.containers[n][0] and self.containers[n][1]), None)
        if not asker:
            return
        mine = self.containers[asker][1]
        for name, (runs, nets) in self.containers.items():
            shared = {a for (n, a), c in leases.items() if c == name and n in mine}
            r = ask(pids[asker], name)
            assert (set(r.values()) <= shared and r.values()) if shared else r.rcode != "NOERROR", (asker, name, shared, r)


def test_random_rounds(daemon):
    """What is left is what the model says, whatever came before; nothing grows."""
    seed = int(os.environ.get("PONTOON_SEED") or random.randrange(1 << 32))
    print(f"PONTOON_SEED={seed}")
    m = Model(daemon, random.Random(seed))
    # The first question to others opens the relay's socket to them, which stays.
    m.want(201, "POST", "/containers/create?name=warm", {"Image": "alpine", "Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": "round0"}})
    m.want(204, "POST", "/containers/warm/start")
    ask(daemon.api("GET", "/containers/warm/json")[1]["State"]["Pid"], "somebody.else", limit=30)
    m.want(204, "DELETE", "/containers/warm?force=1")
    try:
        half = None
        for i in range(ROUNDS):
            try:
                m.step()
            except AssertionError as e:
                raise AssertionError(f"round {i} of seed {seed}: {e}") from e
            if i == ROUNDS // 2:
                for c in list(m.containers):
                    m.want(204, "DELETE", f"/containers/{c}?force=1")
                m.containers.clear()
                m.check()
                before = [opened(p) for p in (daemon.proc.pid, relay_pid(daemon))]
                half = [(descriptors(p), memory(p)) for p in (daemon.proc.pid, relay_pid(daemon))]
            if i % 50 == 49 or i == ROUNDS - 1:
                wait_until(lambda: daemon.doctor() == [])
                m.check()
    finally:
        for c in list(m.containers):
            daemon.api("DELETE", f"/containers/{c}?force=1")
        m.containers.clear()
    m.check()
    # Descriptors go with requests that end after their answer; what is looked at in the background takes memory for a moment.
    assert wait_until(lambda: all(descriptors(p) <= h[0] for p, h in zip((daemon.proc.pid, relay_pid(daemon)), half))), "\n".join(map(str, (before, [opened(p) for p in (daemon.proc.pid, relay_pid(daemon))])))
    sanitized = os.environ.get("PONTOON_BUILD", "").endswith("sanitized")  # it keeps what is freed
    assert sanitized or wait_until(lambda: all(memory(p) <= h[1] + 1024 for p, h in zip((daemon.proc.pid, relay_pid(daemon)), half))), (half, memory(daemon.proc.pid), memory(relay_pid(daemon)))
    for n in m.networks:
        m.want(204, "DELETE", f"/networks/{n}")
    assert daemon.doctor() == []


class Plugged(Scene):
    def connect(self, network, container, **config):
        r = self.cli.daemon.api("POST", f"/networks/{network}/connect", {"Container": container, "EndpointConfig": config})
        assert r[0] == 200, r

    def disconnect(self, network, container):
        self.cli.out("network", "disconnect", network, container)

    def inspect(self, name):
        return json.loads(self.cli.out("inspect", name))[0]

    def endpoint(self, name, network):
        return self.inspect(name)["NetworkSettings"]["Networks"][network]

    def route(self, name, six=False):
        """Where the default route leads: (gateway, interface); None."""
        m = re.search(r"^default via (\S+) dev (\S+)", self.cli.out("exec", name, "ip", *(["-6"] if six else []), "route"), re.M)
        return m and m.groups()

    def reaches(self, name, target, limit=5):
        return self.cli("exec", name, "ping", *(["-6"] if ":" in target else []), "-c1", f"-W{limit}", target).rc == 0


@pytest.fixture
def scene(any_cli, daemon):
    s = Plugged(any_cli)
    yield s
    s.end()
    assert daemon.doctor() == []


def test_which_gateway(scene):
    """Priority, then not internal, then both families, then the network's name; each family for itself; live."""
    scene.net("aa4")
    scene.net("bb46", "--ipv6", "--subnet", "fd00:b6::/64")
    scene.net("cc4")
    scene.net("in4", "--internal")
    scene.net("zz6", "--ipv6", "--subnet", "fd00:26::/64")
    scene.run("walker", "--network", "in4")
    assert scene.route("walker") is None and scene.route("walker", six=True) is None
    gateways = {n: json.loads(scene.cli.out("network", "inspect", n))[0]["IPAM"]["Config"][0]["Gateway"] for n in ("aa4", "bb46", "cc4", "zz6")}
    scene.connect("cc4", "walker")
    assert scene.route("walker") == (gateways["cc4"], "eth1")
    scene.connect("aa4", "walker")
    assert scene.route("walker") == (gateways["aa4"], "eth2"), "by name"
    scene.connect("bb46", "walker")
    assert scene.route("walker") == (gateways["bb46"], "eth3") and scene.route("walker", six=True) == ("fd00:b6::1", "eth3"), "both families"
    scene.connect("zz6", "walker")
    assert scene.route("walker")[1] == "eth3", "by name among those"
    scene.disconnect("cc4", "walker")
    scene.connect("cc4", "walker", GwPriority=10)
    assert scene.route("walker") == (gateways["cc4"], "eth1") and scene.route("walker", six=True) == ("fd00:b6::1", "eth3"), "IPv6 has its own"
    scene.disconnect("bb46", "walker")
    assert scene.route("walker", six=True) == ("fd00:26::1", "eth4") and scene.route("walker")[1] == "eth1"
    scene.connect("bb46", "walker", GwPriority=-1)
    assert scene.route("walker", six=True)[1] == "eth4", "a lower one"
    for n in ("cc4", "zz6", "aa4"):
        scene.disconnect(n, "walker")
    assert scene.route("walker")[1] == scene.route("walker", six=True)[1] == "eth3", "the last one with a way out"
    scene.disconnect("bb46", "walker")
    assert scene.route("walker") is None and scene.route("walker", six=True) is None
    scene.cli.out("restart", "-t", "0", "walker")
    assert scene.route("walker") is None


def test_connections_go_on(scene):
    """A stream on one network does not notice what happens to others, not even that the gateway moves."""
    scene.net("quiet")
    server = scene.run("server", "--network", "quiet")
    client = scene.run("client", "--network", "quiet")
    address = scene.endpoint("server", "quiet")["IPAddress"]
    listener = in_netns(server, lambda: socket.create_server((address, 7777)))
    sender = in_netns(client, lambda: socket.create_connection((address, 7777)))
    peer, _ = listener.accept()
    stop, seen, longest = threading.Event(), [0], [0.0]

    def pump():
        last = time.monotonic()
        while not stop.is_set():
            sender.sendall(b"x" * 100)
            got = 0
            while got < 100:
                got += len(peer.recv(100 - got))
            seen[0] += 1
            now = time.monotonic()
            longest[0], last = max(longest[0], now - last), now

    sender.settimeout(20)
    peer.settimeout(20)
    t = threading.Thread(target=pump)
    t.start()
    for i in range(4):
        scene.net(f"more{i}", *(["--ipv6"] if i % 2 else []))
        scene.connect(f"more{i}", "client", GwPriority=i)
        scene.connect(f"more{i}", "server")
    before = seen[0]
    for i in range(4):
        scene.disconnect(f"more{i}", "client")
        scene.cli.out("network", "disconnect", f"more{i}", "server")
    scene.connect("bridge", "client")
    scene.disconnect("bridge", "client")
    assert wait_until(lambda: seen[0] > before)
    stop.set()
    t.join()
    assert seen[0] > 100
    for s in (listener, sender, peer):
        s.close()


def test_leaving_docker0(scene):
    for state in ("running", "created", "stopped"):
        name = f"leaver-{state}"
        scene.cli.out("create", "--name", name, "alpine", "sleep", "1h")
        if state != "created":
            scene.cli.out("start", name)
        if state == "stopped":
            scene.cli.out("stop", "-t", "0", name)
        scene.disconnect("bridge", name)
        assert scene.inspect(name)["NetworkSettings"]["Networks"] == {}
        r = scene.cli("network", "disconnect", "bridge", name)
        assert r.rc and f"is not connected to {'the ' if state != 'running' else ''}network bridge" in r.err
        scene.connect("bridge", name)
        if state != "running":
            scene.cli.out("start", name)
        assert scene.reaches(name, "172.17.0.1") and scene.route(name) == ("172.17.0.1", "eth0")


def neighbour(pid, address):
    out = subprocess.run(["nsenter", "-n", "-t", str(pid), "ip", "neigh", "show", address], capture_output=True, text=True).stdout
    m = re.search("lladdr (\\S+)", out)
    return m and m.group(1)


@pytest.mark.parametrize("six", [False, True])
def test_peers_learn_a_new_mac(scene, six):
    """An address that comes back at another MAC: who had talked to it does so again at once, without a probe of its own."""
    subnet, address = ("fd00:77::/64", "fd00:77::99") if six else ("10.79.0.0/24", "10.79.0.99")
    scene.net("learn", *(["--ipv6"] if six else []), "--subnet", subnet)
    pid = scene.run("peer", "--network", "learn")
    config = {"IPAMConfig": {"IPv6Address" if six else "IPv4Address": address}}
    for i in range(3):
        mac = f"02:42:00:00:00:{i:02x}"
        scene.cli.out("create", "--name", "wanderer", "--network", "learn", "--ip6" if six else "--ip", address, "--mac-address", mac, "alpine", "sleep", "1h")
        scene.cli.out("start", "wanderer")
        assert i == 0 or wait_until(lambda: neighbour(pid, address) == mac, 2), (neighbour(pid, address), mac)
        assert scene.reaches("peer", address) and neighbour(pid, address) == mac
        scene.cli.out("rm", "-f", "wanderer")


class Ear:
    """Hears announcements of an address inside a namespace: (the kernel's time of it, MAC)."""

    def __init__(self, pid, address):
        self.address, self.heard, self.end = address, [], False
        self.sock = in_netns(pid, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        self.sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        self.sock.settimeout(0.1)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        six = ":" in self.address
        want = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, self.address)
        while not self.end:
            try:
                f, more, _, info = self.sock.recvmsg(2048, 128)
            except socket.timeout:
                continue
            seconds, ns = struct.unpack("@ll", more[0][2])
            when = seconds + ns / 1e9
            if info[2] == socket.PACKET_OUTGOING:
                continue
            kind = struct.unpack("!H", f[12:14])[0]
            if not six and kind == 0x806 and f[28:32] == want == f[38:42]:
                self.heard.append((when, f[22:28].hex(":")))
            if six and kind == 0x86dd and f[20] == 58 and f[54] == 136 and f[62:78] == want and f[38:54] == socket.inet_pton(socket.AF_INET6, "ff02::1"):
                assert f[21] == 255 and f[58] & 0x20, "hop limit, override"
                self.heard.append((when, f[80:86].hex(":")))

    def close(self):
        self.end = True
        self.thread.join()
        self.sock.close()
        return self.heard


@pytest.mark.parametrize("six", [False, True])
def test_announcements(scene, six):
    """As many as the options say, as far apart; no more once it has left; of a bad number nothing."""
    for i, (options, count, apart) in enumerate([([], 3, 1.0), (["nmsgs=0"], 0, 0), (["nmsgs=1"], 1, 0), (["ms=100"], 3, 0.1)]):
        name = f"loud{i}"
        scene.net(name, *(["--ipv6"] if six else []), "--subnet", f"fd00:a{i}::/64" if six else f"10.{80 + i}.0.0/24", *[x for o in options for x in ("-o", "com.docker.network.advertise_addr_" + o)])
        ear = Ear(scene.run(f"ear{i}", "--network", name), f"fd00:a{i}::3" if six else f"10.{80 + i}.0.3")
        scene.run(f"voice{i}", "--network", name)
        wait_until(lambda: len(ear.heard) >= count, 10)
        time.sleep(0.4)
        heard = ear.close()
        assert len(heard) == count and len({m for _, m in heard}) <= 1, (options, heard)
        assert all(b[0] - a[0] > apart * 0.9 for a, b in zip(heard, heard[1:])), heard
    address = "fd00:a0::4" if six else "10.80.0.4"
    ear = Ear(int(scene.cli.out("inspect", "-f", "{{.State.Pid}}", "ear0")), address)
    scene.run("gone", "--network", "loud0")
    scene.cli.out("network", "disconnect", "loud0", "gone")
    left = time.time()
    time.sleep(1.5)
    heard = ear.close()
    assert heard and all(t < left for t, _ in heard), (left, heard)


def test_failed_connects(scene, daemon):
    """Nothing of a refused connect is left: inspect, links, rules and leases are as before."""
    scene.net("fine", "--subnet", "10.84.0.0/24")
    scene.net("tiny", "--subnet", "10.85.0.0/30")
    scene.run("one", "--network", "tiny")
    scene.run("two", "--network", "name=fine,driver-opt=com.docker.network.endpoint.ifname=lan0")
    assert "lan0" in scene.cli.out("exec", "two", "ip", "link")
    scene.cli.out("network", "create", "--config-only", "conf")
    scene.networks.append("conf")

    def state():
        rules = subprocess.run("iptables-save | grep -v '^#' | sed 's/\\[.*\\]//'; ip -br link; ip -br addr; ls " + str(daemon.dir / "e/netns"), shell=True, capture_output=True, text=True).stdout
        return rules, scene.inspect("two"), [scene.cli.out("network", "inspect", n) for n in ("fine", "tiny", "bridge")], scene.cli.out("exec", "two", "cat", "/etc/hosts"), scene.cli.out("exec", "two", "ip", "addr")

    before = state()
    opts = {"com.docker.network.endpoint.ifname": "lan0"}
    for net, config, status, text in [
        ("tiny", {}, 500, "no available IPv4 addresses on this network's address pools: tiny ("),
        ("fine", {}, 403, "endpoint with name two already exists in network fine"),
        ("bridge", {"IPAMConfig": {"IPv4Address": "172.17.0.77"}}, 400, "user-specified IP address is supported on user-defined networks only"),
        ("bridge", {"Aliases": ["x"]}, 400, "network-scoped aliases are only supported for user-defined networks"),
        ("tiny", {"IPAMConfig": {"IPv4Address": "10.86.0.1"}}, 400, "no configured subnet contains IP address 10.86.0.1"),
        ("bridge", {"DriverOpts": opts}, 500, "file exists"),
        ("bridge", {"DriverOpts": {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.no_such=1"}}, 500, "no_such"),
        ("bridge", {"DriverOpts": {"com.docker.network.endpoint.sysctls": "kernel.shmmax=1"}}, 400, "unrecognised network interface sysctl"),
        ("bridge", {"IPAMConfig": {"LinkLocalIPs": ["10.0.0.1"]}}, 400, "invalid link local IP address"),
        ("bridge", {"MacAddress": "soup"}, 400, "soup"),
        ("host", {}, 400, "cannot connect container to host network - container must be created in host network mode"),
        ("none", {}, 400, "container cannot be connected to multiple networks with one of the networks in private (none) mode"),
        ("conf", {}, 403, "cannot create endpoint on configuration-only network"),
        ("nowhere", {}, 404, "network nowhere not found"),
    ]:
        got = daemon.api("POST", f"/networks/{net}/connect", {"Container": "two", "EndpointConfig": config})
        assert got[0] == status and text in got[1]["message"], (net, config, got)
        assert state() == before, (net, config)


def test_settings_of_interfaces(scene):
    """Sysctls of an endpoint; a network without IPv6, without IPv4; IPv6 switched off by a sysctl gives its address back."""
    scene.net("dual", "--ipv6", "--subnet", "fd00:87::/64")
    scene.net("only6", "--ipv6", "--subnet", "fd00:88::/64", "--ipv4=false") if "--ipv4" in scene.cli("network", "create", "--help").out else None
    scene.run("plain")
    assert scene.cli.out("exec", "plain", "cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1" and "inet6" not in scene.cli.out("exec", "plain", "ip", "addr", "show", "eth0")
    assert "ip6" not in scene.cli.out("exec", "plain", "cat", "/etc/hosts")
    scene.run("off", "--network", "name=dual,driver-opt=com.docker.network.endpoint.sysctls=net.ipv6.conf.IFNAME.disable_ipv6=1")
    ep = scene.endpoint("off", "dual")
    assert ep["GlobalIPv6Address"] == "" and ep["IPv6Gateway"] == "" and ep["IPAddress"] and "fd00:87" not in scene.cli.out("exec", "off", "cat", "/etc/hosts")
    scene.run("on", "--network", "dual")
    assert scene.endpoint("on", "dual")["GlobalIPv6Address"] == "fd00:87::2", "the address was not taken"
    scene.run("none", "--network", "dual", "--sysctl", "net.ipv6.conf.all.disable_ipv6=1")
    ep = scene.endpoint("none", "dual")
    assert ep["GlobalIPv6Address"] == "" and ep["IPAddress"] and "inet6" not in scene.cli.out("exec", "none", "ip", "addr") and scene.route("none", six=True) is None
    if "only6" in scene.networks:
        pid = scene.run("six1", "--network", "only6")
        scene.run("six2", "--network", "only6")
        ep = scene.endpoint("six2", "only6")
        assert ep["IPAddress"] == "" and ep["GlobalIPv6Address"] == "fd00:88::3" and scene.reaches("six1", "fd00:88::3")
        assert ask(pid, "six2", "AAAA").values() == ["fd00:88::3"] and ask(pid, "six2")[:2] == ("NOERROR", []), "127.0.0.11 all the same"
        assert "inet " not in scene.cli.out("exec", "six1", "ip", "addr", "show", "eth0")


def test_internal(scene):
    """Its own bridge and the host can be reached, and nothing else; two that share it find each other by every address they have."""
    scene.net("inner", "--internal", "--ipv6", "--subnet", "fd00:89::/64")
    scene.run("in1", "--network", "inner")
    scene.run("in2", "--network", "inner")
    gateway = [c["Gateway"] for c in json.loads(scene.cli.out("network", "inspect", "inner"))[0]["IPAM"]["Config"]]
    for target in gateway:
        assert scene.reaches("in1", target)
    assert not scene.reaches("in1", "10.99.0.1", 1) and not scene.reaches("in1", "10.99.0.2", 1) and scene.route("in1") is None
    ep = scene.endpoint("in2", "inner")
    assert scene.reaches("in1", ep["IPAddress"]) and scene.reaches("in1", ep["GlobalIPv6Address"]) and scene.reaches("in1", "in2")
    ll = re.search(r"inet6 (fe80\S+)/", scene.cli.out("exec", "in2", "ip", "addr", "show", "eth0")).group(1)
    assert wait_until(lambda: scene.cli("exec", "in1", "ping", "-6", "-c1", "-W1", ll + "%eth0").rc == 0), "link-local"
    assert subprocess.run(["busybox", "ping", "-c1", "-W5", ep["IPAddress"]], capture_output=True).returncode == 0, "from the host"


def test_macs(scene):
    """A stable address keeps its MAC; one that was asked for stays over restarts, and only that is told as configured."""
    scene.net("macs", "--subnet", "10.90.0.0/24")
    scene.run("fixed", "--network", "macs", "--mac-address", "02:12:34:56:78:9a")
    scene.run("free", "--network", "macs")
    for _ in range(2):
        assert scene.endpoint("fixed", "macs")["MacAddress"] == "02:12:34:56:78:9a" and "02:12:34:56:78:9a" in scene.cli.out("exec", "fixed", "ip", "link", "show", "eth0")
        assert scene.endpoint("free", "macs")["MacAddress"] == "02:42:0a:5a:00:03"
        scene.cli.out("restart", "-t", "0", "fixed")
        scene.cli.out("restart", "-t", "0", "free")
    scene.cli.out("stop", "-t", "0", "fixed", "free")
    assert scene.endpoint("free", "macs")["MacAddress"] == ""
    scene.cli.out("network", "create", "more")
    scene.networks.append("more")
    scene.connect("more", "free", MacAddress="02:00:00:00:00:77")
    scene.cli.out("start", "free")
    assert scene.endpoint("free", "more")["MacAddress"] == "02:00:00:00:00:77"
