"""What the daemon's options and the options of a bridge do, with real packets, under both firewall backends."""
import concurrent.futures
import json
import sqlite3
import subprocess

import pytest

from conftest import QUICK, Client, Daemon, programs, wait_until

BACKENDS = ["nftables"] if QUICK else ["iptables", "nftables"]


def together(*calls):
    """Their results; what waits for a silence does so only once."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(c) for c in calls]]


def sh(line, ok=True):
    p = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert not ok or p.returncode == 0, (line, p.stdout, p.stderr)
    return p.stdout


class Host:
    """A host of its own: a network namespace with a daemon in it; `fresh` sysctls are the kernel's."""

    def __init__(self, name, *args, image=None, env=None, setup=""):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", f"ip link set lo up; sysctl -qw net.ipv4.ip_forward=0; {setup}\necho up; exec sleep infinity"], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"
        self.daemon = Daemon(name)
        plain = self.daemon.command
        self.daemon.command = lambda *a: ["nsenter", "-n", "-t", str(self.holder.pid), "env", *(env or []), *plain(*a)]
        self.args = ("--shutdown-timeout", "1", *args)
        self.start()
        self.cli = Client(*programs()[0], self.daemon)
        if image:
            with open(image, "rb") as f:
                status, lines = self.daemon.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})
            assert status == 200, lines

    def start(self, *more):
        self.daemon.start(*self.args, *more)

    def sh(self, line, ok=True):
        p = subprocess.run(["nsenter", "-n", "-t", str(self.holder.pid), "sh", "-c", line], capture_output=True, text=True)
        assert not ok or p.returncode == 0, (line, p.stdout, p.stderr)
        return p.stdout

    def run(self, name, *args, command=("sleep", "1h")):
        return self.cli.out("run", "-d", "--name", name, *args, "alpine", *command)

    def address(self, name, network="bridge", six=False):
        key = "GlobalIPv6Address" if six else "IPAddress"
        return self.cli.out("inspect", "-f", "{{(index .NetworkSettings.Networks \"%s\").%s}}" % (network, key), name)

    def reaches(self, source, target, limit=1):
        return self.cli("exec", source, "ping", "-c1", f"-W{limit}", target).rc == 0

    def close(self):
        try:
            if self.daemon.proc.poll() is None:
                for c in self.cli("ps", "-aq").out.split():
                    self.cli("rm", "-f", c)
                self.daemon.stop()
        finally:
            self.holder.kill()
            self.holder.wait()


@pytest.fixture
def host(busybox):
    made = []

    def make(name, *args, **kw):
        made.append(Host(name, *args, image=busybox, **kw))
        return made[-1]

    yield make
    for h in made:
        h.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_icc(host, backend):
    h = host("icc-" + backend, "--firewall-backend", backend, "--icc=false")
    h.cli.out("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "--ipv6", "quiet")
    h.cli.out("network", "create", "loud")
    for net in ("quiet", "loud", "bridge"):
        h.run(net + "1", "--network", net)
        h.run(net + "2", "--network", net)
    assert h.reaches("loud1", h.address("loud2", "loud"), 5)
    assert h.reaches("quiet1", h.sh("ip -4 -o addr show docker0 | grep -oE '172[0-9.]+' | head -1").strip(), 5), "the host"
    assert not any(together(lambda: h.reaches("quiet1", h.address("quiet2", "quiet")), lambda: h.reaches("bridge1", h.address("bridge2")),
                            lambda: h.cli("exec", "quiet1", "ping", "-6", "-c1", "-W1", h.address("quiet2", "quiet", six=True)).rc == 0))
    assert "quiet2" in h.cli.out("exec", "quiet1", "nslookup", "-type=a", "quiet2"), "names go on"
    assert h.daemon.doctor() == []
    h.daemon.stop()
    h.daemon.start("--shutdown-timeout", "1", "--firewall-backend", backend)
    assert h.daemon.doctor() == [], "the default bridge is not filtered any more"


@pytest.mark.parametrize("backend", BACKENDS)
def test_default_bridge_ipv6(host, backend):
    h = host("six-" + backend, "--firewall-backend", backend, "--ipv6", "--fixed-cidr-v6", "fd00:17::/64")
    h.run("one")
    h.run("two")
    assert h.address("one", six=True) == "fd00:17::2" and h.address("two", six=True) == "fd00:17::3"
    assert h.cli("exec", "one", "ping", "-6", "-c1", "-W5", "fd00:17::3").rc == 0
    assert "default via fd00:17::1" in h.cli.out("exec", "one", "ip", "-6", "route")
    hosts = h.cli.out("exec", "one", "cat", "/etc/hosts")
    assert "fd00:17::2\t" in hosts and "ip6-localhost" in hosts
    assert h.sh("sysctl -n net.ipv6.conf.all.forwarding") == "1\n"
    if backend == "iptables":
        assert "-P FORWARD DROP" in h.sh("ip6tables -S FORWARD") and "-P FORWARD DROP" in h.sh("iptables -S FORWARD")
    else:
        assert "ipv4, ipv6" in h.sh("nft list set inet pontoon strict")
    j = json.loads(h.cli.out("network", "inspect", "bridge"))[0]
    assert j["EnableIPv6"] and [c["Subnet"] for c in j["IPAM"]["Config"]][1] == "fd00:17::/64"
    h.cli.out("run", "--rm", "--add-host", "gw:host-gateway", "alpine", "grep", "-q", "fd00:17::1.gw", "/etc/hosts")
    h.cli.out("rm", "-f", "one", "two")
    h.daemon.stop()
    h.daemon.start("--shutdown-timeout", "1", "--firewall-backend", backend, "--ipv6", "--fixed-cidr-v6", "fe80::/64")
    h.run("three")
    assert h.address("three", six=True) == "fe80::2" and "fd00:17" not in h.sh("ip -6 addr show docker0")
    assert h.daemon.doctor() == []
    h.cli.out("rm", "-f", "three")
    h.daemon.stop()
    h.daemon.start("--shutdown-timeout", "1", "--firewall-backend", backend, "--ipv6", "--bip6", "fd00:18::9/64", "--default-gateway-v6", "fd00:18::99")
    h.run("four")
    assert "inet6 fd00:18::9/64" in h.sh("ip -6 addr show docker0") and "default via fd00:18::99" in h.cli.out("exec", "four", "ip", "-6", "route")
    h.cli.out("rm", "-f", "four")
    h.daemon.stop()
    h.daemon.start("--shutdown-timeout", "1", "--firewall-backend", backend)
    assert not json.loads(h.cli.out("network", "inspect", "bridge"))[0]["EnableIPv6"] and "fd00:18" not in h.sh("ip -6 addr show docker0") and h.daemon.doctor() == []


def test_forwarding_and_policy(host):
    """FORWARD is set to DROP for a family when it is us who switch its forwarding on: IPv6 with its first network."""
    h = host("policy", "--default-network-opt", "bridge=com.docker.network.driver.mtu=1400")
    assert "-P FORWARD DROP" in h.sh("iptables -S FORWARD") and "-P FORWARD ACCEPT" in h.sh("ip6tables -S FORWARD")
    assert h.sh("sysctl -n net.ipv6.conf.all.forwarding") == "0\n"
    h.cli.out("network", "create", "--ipv6", "six")
    assert "-P FORWARD DROP" in h.sh("ip6tables -S FORWARD") and h.sh("sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.default.forwarding") == "1\n1\n"
    h.cli.out("network", "rm", "six")
    h.daemon.stop()
    h.start()
    h.cli.out("network", "create", "--ipv6", "six")
    assert "-P FORWARD DROP" in h.sh("ip6tables -S FORWARD"), "remembered"
    for kw, args in (({"setup": "sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1"}, []), ({}, ["--ip-forward-no-drop"]), ({}, ["--ip-forward=false"])):
        other = host("policy%d" % len(args + list(kw)) + "".join(args), *args, **kw)
        other.cli.out("network", "create", "--ipv6", "six")
        assert "-P FORWARD ACCEPT" in other.sh("ip6tables -S FORWARD") and "-P FORWARD ACCEPT" in other.sh("iptables -S FORWARD")
        assert other.sh("sysctl -n net.ipv4.ip_forward") == ("0\n" if "--ip-forward=false" in args else "1\n")
        assert other.daemon.doctor() == []
        other.close()


@pytest.mark.parametrize("args,text", [
    (["--icc=false", "--iptables=false"], "you specified --iptables=false with --icc=false"),
    (["--icc=false", "--ipv6", "--ip6tables=false"], "you specified --ip6tables=false with --icc=false"),
    (["--bridge", "br9", "--bip6", "fd00::1/64"], "you specified -b & --bip, mutually exclusive options"),
    (["--bip6", "10.0.0.1/8"], 'bip6: "10.0.0.1/8" is not an IPv6 address with a mask'),
    (["--fixed-cidr-v6", "10.0.0.0/8"], 'fixed-cidr-v6: "10.0.0.0/8" is not an IPv6 subnet'),
    (["--default-gateway-v6", "10.0.0.1"], 'default-gateway-v6: "10.0.0.1" is not an IPv6 address'),
    (["--bridge", "br+"], 'bridge: "br+" is no name of a device'),
    (["--ipv6", "--mtu", "1279"], "invalid MTU number: 1279 (IPv6 needs 1280)"),
    (["--bridge-accept-fwmark", "soup"], 'invalid firewall mark "soup"'),
    (["--bridge-accept-fwmark", "0x10/0xf"], 'invalid firewall mark "0x10/0xf"'),
])
def test_refused_options(args, text):
    d = Daemon("refused")
    p = subprocess.run(d.command("--validate", *args), capture_output=True, text=True)
    assert p.returncode and text in p.stderr, p


def test_links(host):
    """--link on docker0: hosts follow the target, inspect, ps and rm --link know it, its texts."""
    h = host("links")
    cli = h.cli
    h.run("db", "--hostname", "data")
    cli.out("run", "-d", "--name", "web", "--link", "db:database", "--link", "db", "--link", "db:database", "alpine", "sleep", "1h")

    def hosts():
        return [l.split() for l in cli.out("exec", "web", "cat", "/etc/hosts").splitlines()]

    assert ["172.17.0.2", "database", "data", "db"] in hosts() and ["172.17.0.2", "db", "data"] in hosts() and len(hosts()) == 4
    assert cli("exec", "web", "ping", "-c1", "-W5", "database").rc == 0
    j = json.loads(cli.out("inspect", "web"))[0]
    assert j["HostConfig"]["Links"] == ["/db:/web/database", "/db:/web/db"] and j["NetworkSettings"]["Networks"]["bridge"]["Links"] is None
    row = [c for c in h.daemon.api("GET", "/containers/json")[1] if "/db" in c["Names"]][0]
    assert row["Names"] == ["/db", "/web/database", "/web/db"]
    cli.out("exec", "web", "sh", "-c", "echo 192.0.2.1 own >>/etc/hosts")
    cli.out("stop", "-t", "0", "db")
    assert not [l for l in hosts() if "data" in l]
    h.run("taker")  # gets the address that was the target's
    cli.out("start", "db")
    assert ["172.17.0.4", "database", "data", "db"] in hosts() and ["192.0.2.1", "own"] in hosts()
    assert cli("exec", "web", "ping", "-c1", "-W5", "database").rc == 0
    cli.out("rename", "db", "store")
    assert ["172.17.0.4", "database", "data", "store"] in hosts() and json.loads(cli.out("inspect", "web"))[0]["HostConfig"]["Links"][0] == "/store:/web/database"
    cli.out("network", "create", "apart")
    cli.out("network", "disconnect", "bridge", "store")
    assert not [l for l in hosts() if "data" in l]
    cli.out("network", "connect", "bridge", "store")
    assert [l for l in hosts() if "database" in l]
    assert cli.out("rm", "--link", "web/db") == "web/db"
    assert not [l for l in hosts() if "db" in l] and json.loads(cli.out("inspect", "web"))[0]["HostConfig"]["Links"] == ["/store:/web/database"]
    assert "No such container: web/db" in cli("rm", "--link", "web/db").err
    h.daemon.kill9()
    h.start()
    assert json.loads(cli.out("inspect", "web"))[0]["HostConfig"]["Links"] == ["/store:/web/database"]
    cli.out("stop", "-t", "0", "web", "store")
    assert "Cannot link to a non running container: /store AS /web/database" in cli("start", "web").err
    cli.out("network", "disconnect", "bridge", "store")
    assert "Cannot link to /store, as it does not belong to the default network" in cli("start", "web").err
    cli.out("network", "connect", "bridge", "store")
    cli.out("start", "store")
    cli.out("start", "web")
    assert [l for l in hosts() if "database" in l]
    cli.out("rm", "-f", "store")
    assert "Cannot link to a non running container" in cli("restart", "-t", "0", "web").err
    h.run("onhost", "--network", "host")
    h.run("shares", "--network", "container:taker")
    for args, text in [(["--link", "nobody:x"], "could not get container for nobody: No such container: nobody"), (["--link", "onhost"], "host type networking can't be used with links"),
                       (["--network", "container:taker", "--link", "taker"], "container type network can't be used with links")]:
        r = cli("create", *args, "alpine", "true")
        assert r.rc and (text in r.err or "links are only supported for user-defined networks" in r.err), r  # docker 20.10 itself says so of the last one
    assert "deprecated" in cli("create", "--link", "taker", "alpine", "true").err
    assert h.cli.out("run", "--rm", "--link", "shares:friend", "alpine", "grep", "friend", "/etc/hosts").split()[:2] == ["172.17.0.2", "friend"]
    assert h.daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"], "HostConfig": {"Links": ["a:b:c"]}}) == (400, {"message": "bad format for links: a:b:c"})
    assert h.daemon.doctor() == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_links_without_icc(host, backend):
    """A link opens the target's exposed ports for the linking container, and nothing else, wherever the target goes."""
    h = host("linked-" + backend, "--icc=false", "--firewall-backend", backend, "--ipv6", "--fixed-cidr-v6", "fd00:17::/64")
    serve = ("sh", "-c", "nc -ll -p 80 -e echo tcp80 & nc -ll -p 81 -e echo tcp81 & nc -ll -p 90 -e echo tcp90 & sleep 1h")
    h.run("target", "--expose", "80", "--expose", "80-85/tcp", "--expose", "53/udp", command=serve)
    h.run("linked", "--link", "target:tt", "--link", "target:uu")
    h.run("stranger")

    def asks(source, port, address, limit="1"):
        return h.cli("exec", source, "timeout", limit, "nc", address, str(port)).out.strip()

    def check(closed=False):
        assert wait_until(lambda: asks("linked", 80, "tt") == "tcp80" or asks("linked", 80, "uu") == "tcp80") and asks("linked", 81, h.address("target"), "5") == "tcp81"
        if closed:
            target, linked = h.address("target"), h.address("linked")
            assert not any(together(lambda: asks("linked", 90, target), lambda: asks("stranger", 80, target), lambda: h.reaches("linked", target), lambda: h.reaches("target", linked)))
        assert h.daemon.doctor() == []

    check(closed=True)
    if backend == "iptables":
        rules = h.sh("iptables -S DOCKER").splitlines()
        a, b = h.address("linked"), h.address("target")
        for rule in (f"-s {a}/32 -d {b}/32 -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT", f"-s {b}/32 -d {a}/32 -i docker0 -o docker0 -p tcp -m tcp --sport 80 -j ACCEPT",
                     f"-s {a}/32 -d {b}/32 -i docker0 -o docker0 -p tcp -m tcp --dport 85 -j ACCEPT", f"-s {a}/32 -d {b}/32 -i docker0 -o docker0 -p udp -m udp --dport 53 -j ACCEPT"):
            assert rules.count("-A DOCKER " + rule) == 1, rules
    h.cli.out("stop", "-t", "0", "target")
    h.run("taker")
    assert "ACCEPT" not in h.sh("iptables -S DOCKER") if backend == "iptables" else "elements" not in h.sh("nft list set inet pontoon links4")
    h.cli.out("start", "target")
    check()
    h.daemon.kill9()
    h.start()
    check()
    h.cli.out("rm", "--link", "linked/tt")
    check()
    h.cli.out("rm", "--link", "linked/uu")
    assert asks("linked", 80, h.address("target")) == "" and h.daemon.doctor() == []


def test_crash_between_a_device_and_its_mark(host):
    """A device without our alias is ours only when an intent names it: as a kill -9 right after its making leaves it."""
    h = host("unmarked")
    h.cli.out("network", "create", "mine")
    h.run("stays", "--network", "mine")
    pid = h.cli.out("inspect", "-f", "{{.State.Pid}}", "stays")
    h.daemon.kill9()
    ids = {c * 64: f"br-{c * 12}" for c in "abc"}
    for name in ids.values():
        h.sh(f"ip link add {name} type bridge")
    h.sh("ip link add people type bridge; ip link add vethabcdef1 type veth peer name eth1 netns " + pid)
    db = sqlite3.connect(h.daemon.dir / "d/pontoon.db")
    for what in ({"about": "a" * 64, "containers": [], "networks": ["a" * 64], "devices": [ids["a" * 64], "people-not", "vethabcdef1"]}, {"devices": [ids["c" * 64]]}, ["odd"]):
        db.execute("INSERT INTO pending(verb, what) VALUES ('network create', ?)", (json.dumps(what),))
    db.commit()
    db.close()
    h.sh("ip link set br-cccccccccccc alias somebody")
    h.start()
    links = h.sh("ip -br link")
    assert "br-aaaaaaaaaaaa" not in links and "vethabcdef1" not in links
    assert "br-bbbbbbbbbbbb" in links and "br-cccccccccccc" in links and "people" in links, "not named, marked by somebody else, of no kind of ours"
    assert "eth1" not in h.cli.out("exec", "stays", "ip", "link")
    h.cli.out("network", "connect", "bridge", "stays")
    assert h.daemon.doctor() == []
    h.sh("ip link del br-bbbbbbbbbbbb; ip link del br-cccccccccccc; ip link del people")


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_routed_hosts(host, backend):
    """Networks in mode routed on two hosts, a static route each: published ports and pings under the containers' own addresses."""
    hosts = [host(f"r{i}-{backend}", "--firewall-backend", backend) for i in (1, 2)]
    one, two = hosts
    subprocess.run(["ip", "link", "add", "lan0", "netns", str(one.holder.pid), "type", "veth", "peer", "name", "lan0", "netns", str(two.holder.pid)], check=True)
    for i, h in enumerate(hosts, 1):
        h.sh(f"ip addr add 192.0.2.{i}/24 dev lan0; ip addr add fd00:99::{i}/64 dev lan0 nodad; ip link set lan0 up")
        h.sh(f"ip route add 10.10{3 - i}.0.0/24 via 192.0.2.{3 - i}; ip -6 route add fd00:10{3 - i}::/64 via fd00:99::{3 - i}")
        h.cli.out("network", "create", "--subnet", f"10.10{i}.0.0/24", "--ipv6", "--subnet", f"fd00:10{i}::/64", "-o", "com.docker.network.bridge.gateway_mode_ipv4=routed",
                  "-o", "com.docker.network.bridge.gateway_mode_ipv6=routed", "routed")
        h.run("server", "--network", "routed", "-p", "80", command=("sh", "-c", "nc -ll -p 80 -e sh -c 'echo $SOCAT; netstat -tn | grep :80' & nc -ll -p 90 -e echo closed & sleep 1h"))
        h.run("hidden")
    def asks(near, target, port, limit=2):
        return near.cli("exec", "server", "timeout", str(limit), "nc", target, str(port)).out

    for near, far, i in ((one, two, 2), (two, one, 1)):
        four, six = f"10.10{i}.0.2", f"fd00:10{i}::2"
        assert near.reaches("server", four, 5) and near.cli("exec", "server", "ping", "-6", "-c1", "-W5", six).rc == 0
        for target in four, six:
            own = near.address("server", "routed", six=target == six)
            assert wait_until(lambda: own in asks(near, target, 80)), "its own address arrives"
        assert wait_until(lambda: near.sh(f"timeout 2 busybox nc {four} 80 </dev/null || :")), "from the host itself"
        assert not any(together(lambda: asks(near, four, 90, 1), lambda: asks(near, six, 90, 1), lambda: near.reaches("server", far.address("hidden")))), "not published; a network in mode nat"
        port = json.loads(near.cli.out("inspect", "server"))[0]["NetworkSettings"]["Ports"]["80/tcp"]
        assert port and all(p["HostPort"] == "" for p in port), port
    for h in hosts:
        assert h.daemon.doctor() == []
