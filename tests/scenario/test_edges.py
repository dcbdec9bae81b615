"""The edges of networks, addresses and joining: small and odd subnets, odd words, clients in each other's way, steps that fail half-way; with real packets."""
import concurrent.futures
import os
import re
import socket
import subprocess
import urllib.parse

import pytest

from conftest import QUICK, SOAK, wait_until
from nets import ask, in_netns
from test_hotplug import Ear, Plugged

B = "com.docker.network.bridge."
IFNAME = "com.docker.network.endpoint.ifname"


class Edge(Plugged):
    def want(self, status, method, path, body=None):
        got = self.cli.daemon.api(method, path, body)
        assert got[0] == status, (method, path, body, got)
        return got[1]

    def make(self, name, *subnets, **more):
        """A network by the API: the stock client of Debian 12 lacks some flags."""
        self.networks.append(name)
        return self.want(201, "POST", "/networks/create", dict({"Name": name, "IPAM": {"Config": list(subnets)}}, **more))["Id"]

    def create(self, name, *networks, status=201, **more):
        """A container with several endpoints: a name, or a name and its settings."""
        ends = dict((n, {}) if isinstance(n, str) else n for n in networks)
        body = {"Image": "alpine", "Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": next(iter(ends), "bridge")}, "NetworkingConfig": {"EndpointsConfig": ends}}
        return self.want(status, "POST", f"/containers/create?name={name}", dict(body, **more))

    def start(self, name, status=204):
        return self.want(status, "POST", f"/containers/{name}/start")

    def pid(self, name):
        return self.inspect(name)["State"]["Pid"]

    def up(self, name, *networks):
        self.create(name, *networks)
        self.start(name)
        return self.pid(name)

    def inside(self, name, line):
        return subprocess.run(["nsenter", "-n", "-t", str(self.pid(name)), "sh", "-c", line], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def scene(any_cli, daemon):
    s = Edge(any_cli)
    yield s
    for c in daemon.api("GET", "/containers/json?all=1")[1]:
        daemon.api("DELETE", f"/containers/{c['Id']}?force=1")
    for n in s.networks:
        daemon.api("DELETE", f"/networks/{urllib.parse.quote(n, safe='')}")
    assert daemon.doctor() == []


def everything(scene):
    """What a failure must leave as it was."""
    line = f"iptables-save | grep -v '^#' | sed 's/\\[.*\\]//'; ip -br link | cut -d' ' -f1; ip -o addr show scope global; ls {scene.cli.daemon.dir}/e/netns"
    return subprocess.run(line, shell=True, capture_output=True, text=True).stdout, [scene.want(200, "GET", f"/networks/{n}") for n in (*scene.networks, "bridge")]


def test_small_subnets(scene):
    """A /31 and a /126 hold what they can and no more; isolated, a /31 has two; a /32 none; the last address of a 64-bit block is one."""
    for name, subnet, addresses, more in [
        ("pair", "10.92.1.0/31", ["10.92.1.1"], {}), ("alone", "10.92.2.0/32", [], {}),
        ("points", "10.92.3.0/31", ["10.92.3.0", "10.92.3.1"], {"Internal": True, "Options": {B + "gateway_mode_ipv4": "isolated"}}),
        ("six", "fd00:92::/126", ["fd00:92::2", "fd00:92::3"], {"EnableIPv6": True, "EnableIPv4": False}), ("pair6", "fd00:92:1::/127", ["fd00:92:1::1"], {"EnableIPv6": True, "EnableIPv4": False}),
    ]:
        scene.make(name, {"Subnet": subnet}, **more)
        for i, address in enumerate(addresses):
            scene.up(f"{name}{i}", name)
            assert scene.endpoint(f"{name}{i}", name)["GlobalIPv6Address" if ":" in subnet else "IPAddress"] == address
        scene.create(f"{name}-more", name)
        family = "IPv6" if ":" in subnet else "IPv4"
        before = everything(scene)
        assert f"no available {family} addresses on this network's address pools: {name} (" in scene.start(f"{name}-more", 500)["message"]
        assert everything(scene) == before
        if addresses:
            gateway = scene.want(200, "GET", f"/networks/{name}")["IPAM"]["Config"][0].get("Gateway")
            assert scene.reaches(f"{name}0", gateway or addresses[-1])
        scene.want(204, "DELETE", f"/containers/{name}0?force=1") if addresses else None
        if addresses:
            scene.start(f"{name}-more")
            assert scene.endpoint(f"{name}-more", name)["GlobalIPv6Address" if ":" in subnet else "IPAddress"] == addresses[0], "what is given back is free at once"
    assert scene.route("points-more") is None and "10.92.3" not in subprocess.run(["ip", "-br", "addr"], capture_output=True, text=True).stdout, "no address of the host's"
    scene.make("end64", {"Subnet": "fd00:93::/64", "IPRange": "fd00:93::ffff:ffff:ffff:fffe/127"}, EnableIPv6=True, EnableIPv4=False)
    scene.up("last", "end64")
    assert scene.endpoint("last", "end64")["GlobalIPv6Address"] == "fd00:93::ffff:ffff:ffff:ffff" and scene.reaches("last", "fd00:93::ffff:ffff:ffff:fffe")


def test_link_local_subnets(scene):
    """A network whose subnet is link-local, the usual one or another: announced, reached by address, also where it is internal."""
    for i, (subnet, internal) in enumerate([("fe80::/64", False), ("fe80:1234::/64", False), ("fe80:77::/64", True)]):
        name, first, second = f"ll{i}", subnet.split("/")[0] + "2", subnet.split("/")[0] + "3"
        scene.make(name, {"Subnet": subnet}, EnableIPv6=True, Internal=internal)
        ear = Ear(scene.up(f"{name}a", name), second)
        scene.up(f"{name}b", name)
        assert scene.endpoint(f"{name}a", name)["GlobalIPv6Address"] == first and scene.endpoint(f"{name}b", name)["GlobalIPv6Address"] == second
        assert scene.reaches(f"{name}a", second + "%eth0") and scene.reaches(f"{name}b", subnet.split("/")[0] + "1%eth0"), "each other and the bridge"
        assert wait_until(lambda: ear.heard), subnet
        ear.close()


def test_many_at_a_small_pool(scene):
    """Twenty at once where thirteen fit: thirteen get an address of their own, the others an error and nothing else."""
    scene.make("pool", {"Subnet": "10.94.0.0/28"})
    for i in range(20):
        scene.create(f"p{i}x", "bridge" if i % 2 else "pool")
        if i % 2:
            scene.start(f"p{i}x")
    api = scene.cli.daemon.api

    def take(i):
        return api("POST", "/networks/pool/connect", {"Container": f"p{i}x"}) if i % 2 else api("POST", f"/containers/p{i}x/start")

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        got = list(pool.map(take, range(20)))
    bad = [g for g in got if g[0] not in (200, 204)]
    assert len(bad) == 7 and all(s == 500 and "no available IPv4 addresses" in j["message"] for s, j in bad), got
    here = scene.want(200, "GET", "/networks/pool")["Containers"].values()
    assert sorted(c["IPv4Address"] for c in here) == sorted(f"10.94.0.{n}/28" for n in range(2, 15))
    assert scene.cli.daemon.doctor() == []


def test_addresses_that_were_asked_for(scene):
    """They stay over restarts and in a container that does not run, also in a subnet out of the pools; somebody else's is refused when it starts."""
    scene.make("pooled", EnableIPv6=True)
    subnets = [c["Subnet"] for c in scene.want(200, "GET", "/networks/pooled")["IPAM"]["Config"]]
    four, six = subnets[0].replace("0.0/16", "7.7"), subnets[1].replace("/64", "7")
    assert subnets[1].startswith("fd")
    scene.create("fixed", ("pooled", {"IPAMConfig": {"IPv4Address": four, "IPv6Address": six}}))

    def told():
        ep = scene.endpoint("fixed", "pooled")
        return ep["IPAMConfig"], (ep["IPAddress"], ep["GlobalIPv6Address"])

    wish = {"IPv4Address": four, "IPv6Address": six}
    assert told() == (wish, ("", ""))
    scene.start("fixed")
    assert told() == (wish, (four, six)) and f"{four}\t" in scene.cli.out("exec", "fixed", "cat", "/etc/hosts")
    scene.cli.out("restart", "-t", "0", "fixed")
    assert told() == (wish, (four, six))
    scene.cli.out("stop", "-t", "0", "fixed")
    assert told() == (wish, ("", ""))
    scene.up("taker", ("pooled", {"IPAMConfig": {"IPv4Address": four}}))
    assert scene.start("fixed", 403)["message"] == "failed to set up container networking: Address already in use"
    assert told() == (wish, ("", "")) and scene.inspect("fixed")["State"]["Error"].endswith("Address already in use")
    scene.disconnect("pooled", "taker")
    scene.start("fixed")
    assert told() == (wish, (four, six)) and scene.reaches("fixed", four)
    # by the network's id, with a fresh endpoint for one that does not run
    n = scene.want(200, "GET", "/networks/pooled")["Id"]
    scene.cli.out("run", "-d", "--name", "by-id", "--network", n[:10], "alpine", "sleep", "1h")
    assert scene.endpoint("by-id", "pooled")["IPAddress"] and scene.reaches("by-id", "fixed")


def test_macs_by_old_clients(scene, daemon):
    """The container's own MacAddress is that of its main network, whatever the network is called by, up to 1.43 and as a deprecated field later."""
    n = scene.make("old")
    scene.make("other")
    for i, (version, mode) in enumerate([(43, n), (43, n[:14]), (43, "old"), (44, n), (51, "old")]):
        mac, name = f"02:00:00:00:01:{i:02x}", f"old{i}"
        j = scene.want(201, "POST", f"/v1.{version}/containers/create?name={name}", {"Image": "alpine", "Cmd": ["sleep", "1h"], "MacAddress": mac, "HostConfig": {"NetworkMode": mode}})
        assert bool(j["Warnings"]) == (version >= 44), j
        scene.connect("other", name)
        scene.start(name)
        assert mac in scene.cli.out("exec", name, "cat", "/sys/class/net/eth0/address") and mac not in scene.cli.out("exec", name, "cat", "/sys/class/net/eth1/address")
        assert scene.endpoint(name, "old")["MacAddress"] == mac
        assert scene.want(200, "GET", f"/v1.43/containers/{name}/json")["Config"]["MacAddress"] == mac
    daemon.kill9()
    daemon.start()
    for i in range(2):
        scene.cli.out("restart", "-t", "0", f"old{i}")
        assert f"02:00:00:00:01:{i:02x}" in scene.cli.out("exec", f"old{i}", "cat", "/sys/class/net/eth0/address")


def test_a_gateway_that_somebody_broke(scene):
    """The next gateway's interface is down, without its address, renamed or gone, by somebody in the container: it is mended, and then the old one is left."""
    scene.make("first", {"Subnet": "10.95.0.0/24"})
    scene.make("second", {"Subnet": "10.95.1.0/24"})
    scene.up("torn", ("first", {"GwPriority": 1}), "second")
    for damage in ("link set eth1 down", "addr flush dev eth1", "link set eth1 name other", "link del eth1"):
        assert scene.route("torn") == ("10.95.0.1", "eth0")
        scene.inside("torn", "ip " + damage)
        scene.disconnect("first", "torn")
        assert scene.route("torn") == ("10.95.1.1", "eth1") and scene.reaches("torn", "10.95.1.1") and scene.cli.daemon.doctor() == [], damage
        assert "10.95.0" not in scene.inside("torn", "ip addr; ip route") and "other" not in scene.inside("torn", "ip link")
        scene.connect("first", "torn", GwPriority=1)


def test_starts_that_fail_late(scene, daemon):
    """The last of several networks, or the process itself, cannot be: nothing is left of those before, and the next start is as if nothing had been."""
    scene.make("early", {"Subnet": "10.96.0.0/24"})
    scene.make("late", {"Subnet": "10.96.1.0/30"})
    scene.up("full", "late")
    before = everything(scene)
    scene.create("late1", "early", "late")
    scene.create("late2", "early", ("late", {"DriverOpts": {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.no_such=1"}}))
    scene.create("late3", ("early", {"DriverOpts": {IFNAME: "wan"}}), ("late", {"DriverOpts": {IFNAME: "wan"}}))
    scene.create("late4", "early", Cmd=["/no/such/program"])
    for name, status, text in [("late1", 500, "no available IPv4 addresses"), ("late4", 400, "no such file")]:
        assert text in scene.start(name, status)["message"] and wait_until(lambda: everything(scene) == before), name  # links go in the background
    scene.want(204, "DELETE", "/containers/full?force=1")
    assert wait_until(lambda: "veth" not in everything(scene)[0])
    before = everything(scene)
    for name, text in [("late2", "no_such"), ("late3", 'error renaming interface to "wan": file exists')]:
        assert text in scene.start(name, 500)["message"] and wait_until(lambda: everything(scene) == before), name
    scene.start("late1")
    assert scene.endpoint("late1", "early")["IPAddress"] == "10.96.0.2" and scene.reaches("late1", "10.96.1.1")


def test_networks_that_go_away(scene, daemon):
    """Below a container that does not run: it says so when it starts, and can leave what is no more."""
    n = scene.make("gone")
    scene.create("left", "bridge", "gone")
    scene.create("only", "gone")
    scene.want(204, "DELETE", "/networks/gone")
    for name in ("left", "only"):
        got = daemon.api("POST", f"/containers/{name}/start")
        assert got[0] in (404, 500) and f"network {n} not found" in got[1]["message"], got
    scene.want(404, "POST", "/networks/gone/disconnect", {"Container": "left"})
    scene.want(200, "POST", f"/networks/{n}/disconnect", {"Container": "left", "Force": True})
    scene.start("left")
    assert scene.route("left") == ("172.17.0.1", "eth0")
    scene.make("gone")
    assert f"network {n} not found" in daemon.api("POST", "/containers/only/start")[1]["message"], "another of that name is another"


def test_odd_words(scene, daemon):
    """Names of networks and aliases as people write them; what stands in hosts, hostname and resolv.conf; who may read that."""
    names = ["ünï $(id) 'q' \"p\"", "a%20b#x:y", "-x.y", "Bridge"]
    for name in names:
        n = scene.make(name)
        pid = scene.up("worded", name)
        assert scene.inspect("worded")["NetworkSettings"]["Networks"][name]["NetworkID"] == n
        assert ask(pid, "worded").values() == [scene.endpoint("worded", name)["IPAddress"]]
        scene.want(204, "DELETE", "/containers/worded?force=1")
        assert scene.cli.out("network", "inspect", "-f", "{{.Id}}", "--", name) == n and scene.cli.out("network", "rm", "--", name) == name
    scene.make("words", {"Subnet": "10.97.0.0/24"})
    aliases = ["a b", "*", "UPPER", "127.0.0.9", "under_score", "x" * 63, "a.b.c.d", ".", "", "x" * 64, "a..b"]
    scene.create("main", ("words", {"Aliases": aliases}), Hostname="fqdn.of.it", Domainname="example.org", HostConfig={"NetworkMode": "words", "ReadonlyRootfs": True, "Dns": ["10.99.0.9"], "DnsSearch": ["corp.example"],
                 "DnsOptions": ["ndots:3"], "ExtraHosts": ["mine:192.0.2.1", "six=[::1]", "gw:host-gateway"]}, User="1234:1234")
    scene.start("main")
    assert all(ask(scene.pid("main"), a).values() == ["10.97.0.2"] for a in ["a b", "*", "UPPER", "127.0.0.9", "under_score", "x" * 63, "fqdn.of.it", "main"])
    hosts = scene.cli.out("exec", "main", "cat", "/etc/hosts").splitlines()
    assert hosts == ["127.0.0.1\tlocalhost", "192.0.2.1\tmine", "::1\tsix", "172.17.0.1\tgw", "10.97.0.2\tfqdn.of.it.example.org fqdn"]
    text = scene.cli.out("exec", "main", "cat", "/etc/resolv.conf", "/etc/hostname", "/proc/sys/kernel/domainname")
    assert [l for l in text.splitlines() if l and l[0] != "#"] == ["nameserver 127.0.0.11", "search corp.example", "options ndots:3", "fqdn.of.it", "example.org"]
    scene.create("short", "words", Hostname="deep.name")
    scene.start("short")
    assert scene.cli.out("exec", "short", "cat", "/etc/hosts").splitlines()[-1] == "10.97.0.3\tdeep.name deep"
    scene.create("onhost", "host", HostConfig={"NetworkMode": "host", "Dns": ["10.99.0.9"], "DnsOptions": ["use-vc"]})
    scene.start("onhost")
    text = scene.cli.out("exec", "onhost", "cat", "/etc/resolv.conf")
    assert "nameserver 10.99.0.9\n" in text and "options use-vc" in text and "127.0.0.11" not in text
    scene.up("target")
    scene.create("linked", Env=["A=b"], HostConfig={"Links": ["target:db"]}, ExposedPorts={"80/tcp": {}})
    scene.start("linked")
    assert sorted(l.split("=")[0] for l in scene.cli.out("exec", "linked", "env").splitlines()) == ["A", "HOME", "HOSTNAME", "PATH"], "no variables of links"


def test_links_that_come_and_go(scene):
    """On a network of one's own: given with connect, to a target that comes later, gone with the disconnect."""
    scene.make("love")
    pid = scene.up("asker")
    scene.connect("love", "asker", Links=["later:friend", "later"])
    assert ask(pid, "friend").rcode != "NOERROR"
    scene.up("later", "love")
    there = [scene.endpoint("later", "love")["IPAddress"]]
    assert ask(pid, "friend").values() == there == ask(pid, "FRIEND").values() == ask(pid, "friend.love").values()
    assert ask(scene.pid("later"), "friend").rcode != "NOERROR", "the other one's word"
    scene.want(204, "POST", "/containers/later/rename?name=sooner")
    scene.up("later", "love")
    assert ask(pid, "friend").values() == [scene.endpoint("later", "love")["IPAddress"]] != there
    scene.disconnect("love", "asker")
    text = scene.cli.out("exec", "asker", "cat", "/etc/resolv.conf", "/etc/hosts")
    assert "127.0.0.11" not in text and "nameserver 10.99.0.2" in text and there[0] not in text, "as on docker0 alone"
    scene.connect("love", "asker")
    assert "127.0.0.11" in scene.cli.out("exec", "asker", "cat", "/etc/resolv.conf") and ask(pid, "friend").rcode != "NOERROR" and ask(pid, "sooner").values() == there, "the link was the endpoint's"


def test_ways_out(scene):
    """The source that was asked for, the host's, or one's own; a DROP that somebody appended to FORWARD changes nothing; two networks see nothing of each other in either family."""
    subprocess.run("ip addr replace 10.99.0.77/24 dev uplink0; iptables -A FORWARD -j DROP; ip6tables -A FORWARD -j DROP", shell=True, check=True)
    outside = int(os.environ["LAB_OUTSIDE_PID"])
    server = in_netns(outside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("10.99.0.2", 7977))
    server.settimeout(10)
    try:
        for i, (options, source) in enumerate([({}, "10.99.0.1"), ({"com.docker.network.host_ipv4": "10.99.0.77"}, "10.99.0.77"), ({B + "enable_ip_masquerade": "false"}, "10.98.2.2"),
                                               ({B + "gateway_mode_ipv4": "routed"}, "10.98.3.2")]):
            name = f"out{i}"
            scene.make(name, {"Subnet": f"10.98.{i}.0/24"}, {"Subnet": f"fd00:98:{i}::/64"}, EnableIPv6=True, Options=options)
            with in_netns(scene.up(name, name), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
                s.sendto(b"x", ("10.99.0.2", 7977))
            assert server.recvfrom(10)[1][0] == source, options
        assert scene.reaches("out0", "10.99.0.2") and scene.reaches("out1", "10.99.0.2")
        apart = [(f"out{i}", scene.endpoint(f"out{k}", f"out{k}")[key]) for i, k in ((0, 1), (1, 0), (2, 0)) for key in ("IPAddress", "GlobalIPv6Address")]
        with concurrent.futures.ThreadPoolExecutor(len(apart)) as pool:
            assert not any(pool.map(lambda a: scene.reaches(*a, limit=1), apart))
    finally:
        server.close()
        subprocess.run("ip addr del 10.99.0.77/24 dev uplink0; iptables -D FORWARD -j DROP; ip6tables -D FORWARD -j DROP", shell=True, check=True)


def test_sysctls_of_interfaces(scene):
    """As the whole container's up to 1.47, as the endpoint's from 1.48 on; whatever number switches IPv6 off."""
    for name in ("net1", "net2"):
        scene.make(name, EnableIPv6=True)
    old = {"Image": "alpine", "Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": "net1", "Sysctls": {"net.ipv4.conf.eth0.log_martians": "1", "net.ipv4.ip_default_ttl": "77"}}}
    assert "Migrated sysctl" in scene.want(201, "POST", "/v1.47/containers/create?name=old1", old)["Warnings"][0]
    scene.start("old1")
    assert scene.cli.out("exec", "old1", "cat", "/proc/sys/net/ipv4/conf/eth0/log_martians", "/proc/sys/net/ipv4/conf/all/log_martians", "/proc/sys/net/ipv4/ip_default_ttl").split() == ["1", "0", "77"]
    assert "must be supplied using driver option" in scene.want(400, "POST", "/v1.48/containers/create", old)["message"]
    wish = {"DriverOpts": {"com.docker.network.endpoint.sysctls": "net.ipv6.conf.IFNAME.disable_ipv6=2,net.ipv4.conf.ifname.log_martians=1"}}
    scene.up("wisher", "net1", ("net2", wish))
    ep = scene.endpoint("wisher", "net2")
    assert scene.endpoint("wisher", "net1")["GlobalIPv6Address"] and ep["GlobalIPv6Address"] == "" and ep["IPv6Gateway"] == "" and "inet6" not in scene.inside("wisher", "ip addr show eth1")
    assert scene.route("wisher", six=True)[1] == "eth0" and scene.inside("wisher", "cat /proc/sys/net/ipv6/conf/eth1/disable_ipv6 /proc/sys/net/ipv4/conf/eth1/log_martians").split() in (["1", "1"], ["2", "1"])
    scene.up("other", "net2")
    assert scene.endpoint("other", "net2")["GlobalIPv6Address"].endswith("::2"), "the address is free"


@pytest.mark.skipif(not SOAK, reason="a thousand ports take a while: make soak")
def test_full_bridge(scene):
    """The 1,024th port, whoever has the others."""
    device = "br-" + scene.make("full")[:12]
    ports = [f"{c}{i}" for i in range(511) for c in "fg"]
    batch = "".join(f"link add f{i} type veth peer name g{i}\n" for i in range(511)) + "".join(f"link set {p} master {device}\n" for p in ports)
    try:
        subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
        scene.up("last", "full")
        before = everything(scene)
        scene.create("more", "full")
        assert scene.start("more", 503)["message"].endswith(f"{device} is full: a Linux bridge holds 1,023 ports")
        assert wait_until(lambda: everything(scene) == before)
    finally:
        subprocess.run(["ip", "-batch", "-"], input="".join(f"link del f{i}\n" for i in range(511)), text=True, check=True)


def test_creates_at_once(scene, daemon):
    """One name, one subnet, one device, or only the pools: of twelve that want the same, one gets it, and of what is anybody's everybody gets another."""
    rows = [({"Name": "same"}, 409, "network with name same already exists"), ({"IPAM": {"Config": [{"Subnet": "10.93.0.0/24"}]}}, 403, "Pool overlaps with other one on this address space"),
            ({"Options": {B + "name": "one0"}}, 403, "networks have same bridge name")]
    for body, status, text in rows:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            got = list(pool.map(lambda i: daemon.api("POST", "/networks/create", dict({"Name": f"once{i}"}, **body)), range(12)))
        made = [g[1]["Id"] for g in got if g[0] == 201]
        assert len(made) == 1 and all(g[0] == 201 or (g[0] == status and text in g[1]["message"]) for g in got), got
        scene.want(204, "DELETE", f"/networks/{made[0]}")
    scene.networks += [f"pool{i}" for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: daemon.api("POST", "/networks/create", {"Name": f"pool{i}", "EnableIPv6": True}), range(8)))
    assert {g[0] for g in got} == {201}
    subnets = [c["Subnet"] for n in scene.want(200, "GET", "/networks") if n["Name"].startswith("pool") for c in n["IPAM"]["Config"]]
    assert len(subnets) == 16 == len(set(subnets)) and daemon.doctor() == []


def test_clients_in_each_others_way(scene, daemon):
    """Ten that connect and disconnect one container, remove it, remove its network, all at once: each gets an answer that can be, and what is left is whole."""
    nets = [f"way{i}" for i in range(4)]
    for n in nets:
        scene.make(n)
    expected = re.compile("already exists in network|is not connected to|No such container|has active endpoints|network \\S+ not found|marked for removal|is already in progress")
    for turn in range(2 if QUICK else 4):
        scene.up("prize")

        def work(k):
            bad = []
            for i in range(12):
                n = nets[(i * 7 + k * 3) % 4]
                got = daemon.api("POST", f"/networks/{n}/{'connect' if (i + k) % 2 else 'disconnect'}", {"Container": "prize", "Force": i % 3 == 0})
                if k == 0 and i == 8 and turn % 2:
                    got = daemon.api("DELETE", "/containers/prize?force=1")
                if k == 1 and i % 4 == 3:
                    got = daemon.api("DELETE", f"/networks/{n}")
                    if got[0] == 204:
                        got = daemon.api("POST", "/networks/create", {"Name": n})
                if got[0] >= 300 and not expected.search(got[1]["message"]):
                    bad.append(got)
            return bad

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            assert sum(pool.map(work, range(10)), []) == []
        assert daemon.doctor() == []
        if turn % 2 == 0:
            on = scene.inspect("prize")["NetworkSettings"]["Networks"]
            assert len(re.findall("^eth", scene.inside("prize", "ip -br link"), re.M)) == len(on)
            for n in on:
                where = scene.want(200, "GET", f"/networks/{n}")["Containers"]
                assert [c["Name"] for c in where.values()] == ["prize"]
            scene.want(204, "DELETE", "/containers/prize?force=1")
    assert not [l for l in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout.splitlines() if l.startswith("veth")]
