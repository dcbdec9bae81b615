"""Who reaches a published port, from wherever, and as whom the container sees him: with both firewall backends, with and without the proxy. A daemon that comes back another way finds
its containers running: they are reached, see their clients and keep their ports as if they had been started by it, and what belongs to the other way is gone."""
import itertools
import json
import os
import socket
import subprocess

import pytest

from conftest import BUILD, Client, Daemon, wait_until
from nets import in_netns
from test_heal import Space
from test_proxy import Target

HOST, HOST6, NEAR, GATEWAY = "192.0.2.1", "fd99::1", "192.0.2.2", "172.17.0.1"
counter = itertools.count()
WAYS = {"iptables": [], "iptables without proxy": ["--userland-proxy=false"], "nftables": ["--firewall-backend", "nftables"],
        "nftables without proxy": ["--firewall-backend", "nftables", "--userland-proxy=false"]}


def taken(port, family=socket.AF_INET, host=""):
    with socket.socket(family) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            s.bind((host, port))
            s.listen()
        except OSError:
            return True
    return False


class Scene:
    def __init__(self, image):
        self.space, self.outside = Space(), Space()
        self.space.sh(f"ip link set lo up; ip link add up0 type veth peer name up1 netns {self.outside.proc.pid}; ip addr add {HOST}/24 dev up0; ip addr add {HOST6}/64 dev up0 nodad; ip link set up0 up")
        self.outside.sh(f"ip link set lo up; ip addr add {NEAR}/24 dev up1; ip addr add fd99::2/64 dev up1 nodad; ip link set up1 up")
        self.daemon = Daemon(f"switch{next(counter)}")
        plain = self.daemon.command
        self.daemon.command = lambda *a: [*self.space.enter, *plain("--live-restore", *a)]
        self.daemon.start()
        self.cli = Client("pontoon", BUILD / "pontoon", self.daemon)
        with open(image, "rb") as f:
            assert self.daemon.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})[0] == 200

    def pid(self, name):
        return int(self.cli.out("inspect", "-f", "{{.State.Pid}}", name))

    def seen(self, pid, address, port, kind=socket.SOCK_STREAM, limit=10):
        """Who the container says its client is; "" when nobody answers."""
        s = in_netns(pid, lambda: socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind))
        with s:
            s.settimeout(limit)
            try:
                s.connect((address, port))
                if kind == socket.SOCK_DGRAM:
                    s.send(b"")
                else:
                    s.shutdown(socket.SHUT_WR)
                return s.recv(999).decode().strip()
            except OSError:
                return ""

    def both(self, pid, address, port):
        """By TCP and UDP alike; else what either says."""
        tcp, udp = self.seen(pid, address, port), self.seen(pid, address, port, socket.SOCK_DGRAM)
        return tcp if tcp == udp else (tcp, udp)

    def taken(self, *args):
        return in_netns(self.space.proc.pid, lambda: taken(*args))

    def hairpin(self, name):
        index = self.cli.out("exec", name, "cat", "/sys/class/net/eth0/iflink")
        return f"{index}: " in self.space.sh("bridge -d link | grep -B1 'hairpin on'", ok=False)


@pytest.fixture(scope="module")
def scene(busybox):
    s = Scene(busybox)
    s.cli.out("run", "-d", "--name", "web", "-p", "8080:80", "-p", "8080:53/udp", "-p", "127.0.0.1:8081:80", "alpine", "sleep", "1h")
    s.cli.out("run", "-d", "--name", "hf", "-p", "8082:80", "--label", "com.pontoon.publish_scope=host-firewall", "alpine", "sleep", "1h")
    s.cli.out("run", "-d", "--name", "beside", "alpine", "sleep", "1h")
    s.cli.out("network", "create", "--subnet", "10.70.0.0/24", "other")
    s.cli.out("network", "create", "--subnet", "10.71.0.0/24", "-o", "com.docker.network.bridge.gateway_mode_ipv4=routed", "routed")
    for n in ("other", "routed"):
        s.cli.out("run", "-d", "--name", n, "--network", n, "alpine", "sleep", "1h")
    targets = [Target(s.pid(n)) for n in ("web", "hf")]
    yield s
    for target in targets:
        target.close()
    for c in s.daemon.api("GET", "/containers/json?all=1")[1]:
        s.daemon.api("DELETE", f"/containers/{c['Id']}?force=1")
    s.daemon.stop()
    s.space.end()
    s.outside.end()


def asked(scene):
    pid = {n: scene.pid(n) for n in ("web", "beside", "other", "routed")} | {"host": scene.space.proc.pid, "near": scene.outside.proc.pid}
    return {"near": scene.both(pid["near"], HOST, 8080), "host": scene.both(pid["host"], HOST, 8080), "loopback": scene.both(pid["host"], "127.0.0.1", 8080),
            "own loopback": scene.seen(pid["host"], "127.0.0.1", 8081), "itself": scene.both(pid["web"], HOST, 8080), "beside": scene.both(pid["beside"], HOST, 8080),
            "beside, by the gateway": scene.both(pid["beside"], GATEWAY, 8080), "another network": scene.both(pid["other"], HOST, 8080),
            "another network, by its gateway": scene.both(pid["other"], "10.70.0.1", 8080), "another network, by that one's gateway": scene.both(pid["other"], GATEWAY, 8080),
            "a routed network": scene.both(pid["routed"], HOST, 8080), "a routed network, by its gateway": scene.both(pid["routed"], "10.71.0.1", 8080)}


def expected(way):
    plain, nft = "without" in way, "nft" in way
    want = dict.fromkeys(["loopback", "own loopback", "itself", "beside", "beside, by the gateway", "another network", "another network, by its gateway",
                          "another network, by that one's gateway", "a routed network", "a routed network, by its gateway"], GATEWAY)
    want |= {"near": NEAR, "host": GATEWAY if plain else HOST}
    if plain or nft:  # no proxy in between, and no address of the host's either: that is what mode routed is for
        want |= dict.fromkeys(["a routed network", "a routed network, by its gateway"], "10.71.0.2")
    return want


def test_ways(scene):
    here, near, web = scene.space.proc.pid, scene.outside.proc.pid, scene.pid("web")
    order = list(WAYS)
    for way in order + [order[0], order[2]]:
        scene.daemon.kill9()
        scene.daemon.start(*WAYS[way])
        plain = "without" in way
        assert scene.pid("web") == web and scene.daemon.doctor() == [], way
        assert asked(scene) == expected(way), way
        assert bool(scene.seen(near, HOST6, 8080)) == bool(scene.seen(near, HOST, 8082)) == (not plain), way
        assert scene.hairpin("web") == (plain or "nft" in way), way
        # what nothing leads to is not kept from others
        assert scene.taken(8080) and scene.taken(8081, socket.AF_INET, "127.0.0.1"), way
        assert scene.taken(8080, socket.AF_INET6) == scene.taken(8082) == (not plain), way
        told = {(r["Container"], r["HostIP"], r["HostPort"]): r["From"] for r in scene.daemon.api("GET", "/pontoon/exposure")[1]}
        assert told[("web", "0.0.0.0", 8080)] == "everywhere" and (told[("web", "::", 8080)] == "nobody") == (told[("hf", "0.0.0.0", 8082)] == "nobody") == plain, (way, told)
        tables = scene.space.sh("iptables-save; nft list tables")
        assert ("dport 8080" in tables) == ("nft" not in way) and ("inet pontoon" in tables) == ("nft" in way), way


def test_a_number_that_was_taken_meanwhile(scene):
    """The proxy comes back to a port that another program has: that one is not served, the others are, and it is told."""
    assert scene.pid("hf")
    scene.daemon.kill9()
    scene.daemon.start("--userland-proxy=false")
    other = in_netns(scene.space.proc.pid, lambda: socket.create_server(("", 8082)))
    with other:
        scene.daemon.kill9()
        scene.daemon.start()
        assert scene.seen(scene.space.proc.pid, "127.0.0.1", 8080) == GATEWAY
        assert "failed to bind host port 0.0.0.0:8082/tcp: address already in use" in scene.daemon.log.read_text()
        assert [d for d in scene.daemon.doctor() if "8082" in json.dumps(d)]
    scene.space.sh("ip addr add 192.0.2.99/32 dev lo")  # it is tried again by itself, and at once when anything changes
    assert wait_until(lambda: scene.daemon.doctor() == []) and scene.seen(scene.outside.proc.pid, HOST, 8082) == GATEWAY


def test_families_and_modes(scene):
    """IPv4 clients of a container that has IPv6 alone; families of which one is routed; a routed network that is not the gateway's; and an administrator's DROP at the end of FORWARD."""
    serve = ("alpine", "sh", "-c", "nc -ll -p 80 -e echo here & exec sleep 1h")
    mode = "com.docker.network.bridge.gateway_mode_ipv"
    scene.cli.out("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd00:66::/64", "six")
    scene.cli.out("network", "create", "--subnet", "10.72.0.0/24", "--ipv6", "--subnet", "fd00:72::/64", "-o", mode + "6=routed", "crossed")
    scene.cli.out("run", "-d", "--name", "only6", "--network", "six", "-p", "8090:80", *serve)
    scene.cli.out("run", "-d", "--name", "crossed", "--network", "crossed", "-p", "8091:80", *serve)
    scene.cli.out("run", "-d", "--name", "aside", "-p", "8092:80", *serve)
    scene.cli.out("network", "connect", "--gw-priority", "-1", "routed", "aside")
    ports = lambda name: json.loads(scene.cli.out("inspect", name))[0]["NetworkSettings"]["Ports"]["80/tcp"]
    assert ports("only6") == [{"HostIp": "0.0.0.0", "HostPort": "8090"}, {"HostIp": "::", "HostPort": "8090"}]
    assert ports("crossed") == [{"HostIp": "0.0.0.0", "HostPort": "8091"}, {"HostIp": "::", "HostPort": ""}]
    six, four = (scene.cli.out("inspect", "-f", "{{.NetworkSettings.Networks.%s}}" % k, n) for k, n in (("crossed.GlobalIPv6Address", "crossed"), ("routed.IPAddress", "aside")))
    near = scene.outside.proc.pid
    scene.outside.sh(f"ip route replace 10.71.0.0/24 via {HOST}; ip route replace 10.72.0.0/24 via {HOST}; ip -6 route replace fd00:72::/64 via {HOST6}; ip -6 route replace fd00:66::/64 via {HOST6}")
    says = lambda *at: scene.seen(near, *at)
    try:
        for backend in ([], ["--firewall-backend", "nftables"]):
            scene.daemon.kill9()
            scene.daemon.start(*backend)
            assert wait_until(lambda: says(HOST, 8090) == says(HOST6, 8090) == says(HOST, 8091) == says(HOST, 8092) == "here"), backend
            assert says(six, 80) == "here" and says(four, 80) == "here", backend
            assert says(HOST6, 8091) == "", "mode routed: nothing of the host's leads there"
            if not backend:
                scene.space.sh("iptables -A FORWARD -j DROP; ip6tables -A FORWARD -j DROP")
                assert says(HOST, 8091) == says(six, 80) == says(four, 80) == scene.seen(scene.pid("other"), HOST, 8092) == "here"
                assert scene.cli("exec", "aside", "ping", "-c1", "-W5", NEAR).rc == 0
                scene.daemon.kill9()
                scene.daemon.start()
                assert says(HOST, 8091) == says(six, 80) == "here" and scene.space.sh("iptables -S FORWARD").splitlines()[-1] == "-A FORWARD -j DROP"
                scene.space.sh("iptables -D FORWARD -j DROP; ip6tables -D FORWARD -j DROP")
            assert scene.daemon.doctor() == []
    finally:
        scene.cli("rm", "-f", "only6", "crossed", "aside")
        scene.cli("network", "rm", "six", "crossed")
