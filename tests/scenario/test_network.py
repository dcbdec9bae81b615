"""User-defined networks: isolation, names, joining and leaving at run time; with every client."""
import json
import re
import subprocess

import pytest

from conftest import BUILD, LAB, Client, Daemon, programs, wait_until


@pytest.fixture
def net(cli):
    """Networks made by a test go with it."""
    made = []

    def make(name, *args):
        cli.out("network", "create", *args, name)
        made.append(name)
        return name

    make.cli = cli
    yield make
    for c in cli.out("ps", "-aq").split():
        cli("rm", "-f", c)
    for n in made:
        cli("network", "rm", n)


def sleeper(cli, name, *args):
    cli.out("run", "-d", "--name", name, *args, "alpine", "sleep", "1h")


def reaches(cli, source, target):
    return cli("exec", source, "ping", "-c1", "-W1", target).rc == 0


def resolves(cli, source, name):
    """Addresses of a name as the container sees it; the empty set when there is none."""
    r = cli("exec", source, "nslookup", "-type=a", name)
    return set(re.findall(r"Address: (\S+)\n", r.out.split("Name:", 1)[1])) if "Name:" in r.out else set()


def unknown(cli, source, name):
    return "bad address" in cli("exec", source, "ping", "-c1", "-W1", name).err


def address(cli, container, network):
    return cli.out("inspect", "-f", "{{(index .NetworkSettings.Networks \"%s\").IPAddress}}" % network, container)


def test_life_of_a_network(cli, daemon):
    n = cli.out("network", "create", "--label", "a=b", "--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.128/25", "--gateway", "10.77.0.5", "--aux-address", "x=10.77.0.129", "first")
    assert re.fullmatch(r"[0-9a-f]{64}", n)
    j = json.loads(cli.out("network", "inspect", "first"))[0]
    assert j["Id"] == n and j["Driver"] == "bridge" and j["Scope"] == "local" and j["Labels"] == {"a": "b"}
    assert j["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.128/25", "Gateway": "10.77.0.5", "AuxiliaryAddresses": {"x": "10.77.0.129"}}]
    link = subprocess.run(["ip", "-br", "addr", "show", f"br-{n[:12]}"], capture_output=True, text=True).stdout
    assert "10.77.0.5/24" in link
    assert "first" in cli.out("network", "ls", "--filter", "label=a=b", "--format", "{{.Name}}").split()
    assert cli.out("network", "inspect", "-f", "{{.Name}}", n[:10]) == "first"
    sleeper(cli, "user1", "--network", "first")
    assert address(cli, "user1", "first") == "10.77.0.128"
    r = cli("network", "rm", "first")
    assert r.rc and 'error while removing network: network first has active endpoints (name:"user1" id:"' in r.err
    cli.out("rm", "-f", "user1")
    assert cli.out("network", "rm", "first") == "first"
    assert "br-" not in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
    assert n[:12] not in subprocess.run("iptables-save", capture_output=True, text=True).stdout
    assert daemon.doctor() == []


@pytest.mark.parametrize("args,text", [
    (["bridge"], "operation is not permitted on predefined bridge network"),
    (["-d", "macvlan", "xx"], 'plugin "macvlan" not found'),
    (["-d", "overlay", "xx"], 'plugin "overlay" not found'),
    (["--subnet", "10.9.0.1/24", "xx"], "invalid subnet 10.9.0.1/24: it should be 10.9.0.0/24"),
    (["--subnet", "172.17.0.0/16", "xx"], "invalid pool request: Pool overlaps with other one on this address space"),
    (["-o", "com.docker.network.driver.mtu=abc", "xx"], "failed to parse com.docker.network.driver.mtu value: abc"),
    (["-o", "com.docker.network.bridge.gateway_mode_ipv4=odd", "xx"], "unknown gateway mode odd"),
    (["-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated", "xx"], "gateway mode 'isolated' can only be used for an internal network"),
    (["--config-from", "nope", "xx"], 'configuration network "nope" does not exist'),
])
def test_refusals(any_cli, args, text):
    r = any_cli("network", "create", *args)
    assert r.rc != 0 and text in r.err


def test_statuses(daemon):
    def create(**body):
        return daemon.api("POST", "/networks/create", body)

    assert create(Name=" ")[0] == 400
    assert create(Name="two", EnableIPv4=False)[0] == 400
    assert create(Name="one")[0] == 201
    assert create(Name="one") == (409, {"message": "network with name one already exists"})
    assert daemon.api("DELETE", "/networks/host") == (403, {"message": "host is a pre-defined network and cannot be removed"})
    assert daemon.api("DELETE", "/networks/zz") == (404, {"message": "network zz not found"})
    assert daemon.api("POST", "/networks/one/connect", {"Container": "nobody"})[0] == 404
    assert daemon.api("POST", "/networks/prune")[1] == {"NetworksDeleted": ["one"]}
    assert daemon.api("POST", "/networks/prune")[1] == {"NetworksDeleted": None}


def test_names(net):
    cli = net.cli
    net("names")
    sleeper(cli, "web1", "--network", "names", "--network-alias", "www", "--hostname", "Host1")
    sleeper(cli, "web2", "--network", "names", "--network-alias", "www")
    sleeper(cli, "asker", "--network", "names")
    one, two = address(cli, "web1", "names"), address(cli, "web2", "names")
    for name in ("web1", "WEB1", "host1", "web1.names", cli.out("inspect", "-f", "{{.Id}}", "web1")[:12]):
        assert resolves(cli, "asker", name) == {one}, name
    assert resolves(cli, "asker", "www") == {one, two}
    assert reaches(cli, "asker", "web2")
    assert "name = web2.names" in cli("exec", "asker", "nslookup", two).out
    assert unknown(cli, "asker", "nobody")
    cli.out("stop", "-t", "0", "web2")
    assert unknown(cli, "asker", "web2") and resolves(cli, "asker", "www") == {one}
    cli.out("start", "web2")
    assert resolves(cli, "asker", "web2") == {address(cli, "web2", "names")}
    cli.out("rename", "web2", "web3")
    assert resolves(cli, "asker", "web3") and unknown(cli, "asker", "web2")
    sleeper(cli, "plain")
    assert "127.0.0.11" not in cli.out("exec", "plain", "cat", "/etc/resolv.conf"), "no names on docker0"


def test_join_and_leave(net, daemon):
    cli = net.cli
    net("left1")
    net("right1")
    sleeper(cli, "mover", "--network", "left1")
    sleeper(cli, "stays", "--network", "right1")
    target = address(cli, "stays", "right1")
    assert not reaches(cli, "mover", target), "networks are isolated"
    cli.out("network", "connect", "--alias", "guest", "right1", "mover")
    assert reaches(cli, "mover", target) and resolves(cli, "mover", "stays") == {target} and resolves(cli, "stays", "guest") == {address(cli, "mover", "right1")}
    assert "eth1" in cli.out("exec", "mover", "ip", "addr") and daemon.doctor() == []
    assert "already exists in network right1" in cli("network", "connect", "right1", "mover").err
    cli.out("exec", "mover", "sh", "-c", "echo 192.0.2.9 mine >>/etc/hosts")
    cli.out("network", "disconnect", "left1", "mover")
    assert re.search(r"default via \S+ dev eth1", cli.out("exec", "mover", "ip", "route"))
    hosts = cli.out("exec", "mover", "cat", "/etc/hosts")
    assert "192.0.2.9 mine" in hosts and address(cli, "mover", "right1") in hosts and "172.18." not in hosts.replace(address(cli, "mover", "right1"), "")
    cli.out("network", "connect", "bridge", "mover")
    assert re.search(r"eth0.*\n.*\n.*inet 172\.17\.", cli.out("exec", "mover", "ip", "addr")), "the lowest free name"
    for n in ("bridge", "right1"):
        cli.out("network", "disconnect", n, "mover")
    assert "eth" not in cli.out("exec", "mover", "ip", "link")
    assert "is not connected to" in cli("network", "disconnect", "right1", "mover").err
    cli.out("network", "connect", "left1", "mover")
    cli.out("restart", "-t", "0", "mover")
    assert address(cli, "mover", "left1") and daemon.doctor() == []


def test_stopped_containers(net):
    cli = net.cli
    net("fixed", "--subnet", "10.78.0.0/24")
    cli.out("create", "--name", "later", "alpine", "sleep", "1h")
    cli.out("network", "connect", "--ip", "10.78.0.77", "fixed", "later")
    cli.out("network", "disconnect", "bridge", "later")
    cli.out("start", "later")
    assert address(cli, "later", "fixed") == "10.78.0.77"
    r = cli("run", "--rm", "--network", "fixed", "--ip", "10.78.0.77", "alpine", "true")
    assert r.rc == 125 and "Address already in use" in r.err
    r = cli("run", "--rm", "--network", "fixed", "--ip", "10.1.1.1", "alpine", "true")
    assert r.rc == 125 and "no configured subnet contains IP address 10.1.1.1" in r.err


def test_internal_and_icc(net):
    cli = net.cli
    net("inner", "--internal")
    net("apart", "-o", "com.docker.network.bridge.enable_icc=false")
    sleeper(cli, "in1", "--network", "inner")
    sleeper(cli, "in2", "--network", "inner")
    assert reaches(cli, "in1", "in2") and not reaches(cli, "in1", "10.99.0.2")
    assert "default" not in cli.out("exec", "in1", "ip", "route")
    sleeper(cli, "ap1", "--network", "apart")
    assert reaches(cli, "ap1", "10.99.0.2")
    rules = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True).stdout
    device = "br-" + cli.out("network", "inspect", "-f", "{{.Id}}", "apart")[:12]
    assert f"-A FORWARD -i {device} -o {device} -j DROP" in rules


def test_ipv6(net):
    cli = net.cli
    net("six", "--ipv6", "--subnet", "fd00:77::/64")
    sleeper(cli, "six1", "--network", "six")
    # the bridge answers from the first packet on
    device = "br-" + cli.out("network", "inspect", "-f", "{{.Id}}", "six")[:12]
    assert subprocess.run(["ip", "-6", "addr", "show", "tentative", "dev", device], capture_output=True, text=True, check=True).stdout == ""
    sleeper(cli, "six2", "--network", "six")
    assert cli.out("inspect", "-f", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}", "six2") == "fd00:77::3"
    assert cli("exec", "six1", "ping", "-6", "-c1", "-W2", "fd00:77::3").rc == 0
    assert "fd00:77::3" in cli("exec", "six1", "nslookup", "-type=aaaa", "six2").out


def test_names_outlive_the_daemon(any_cli, daemon):
    any_cli.out("network", "create", "lasting")
    sleeper(any_cli, "l1", "--network", "lasting")
    sleeper(any_cli, "l2", "--network", "lasting")
    pid = any_cli.out("inspect", "-f", "{{.State.Pid}}", "l1")
    want = address(any_cli, "l2", "lasting")
    daemon.kill9()
    r = subprocess.run(["nsenter", "-t", pid, "-n", "-m", "/bin/busybox", "nslookup", "-type=a", "l2"], capture_output=True, text=True)
    assert want in r.stdout, r
    daemon.start()
    assert resolves(any_cli, "l1", "l2") == {want} and daemon.doctor() == []
    relay = subprocess.run(["pgrep", "-f", str(daemon.dir) + "|pontoon-relay"], capture_output=True, text=True).stdout.split()
    subprocess.run(["pkill", "-9", "-x", "pontoon-relay"], check=True)
    assert relay and wait_until(lambda: resolves(any_cli, "l1", "l2") == {want}), "a dead relay is followed by another"
    any_cli.out("rm", "-f", "l1", "l2")
    any_cli.out("network", "rm", "lasting")


def test_upstreams(any_cli):
    """What is not a container's name is asked of the host's resolver, from the host's namespace."""
    server = subprocess.Popen(["nsenter", "-n", "-t", __import__("os").environ["LAB_OUTSIDE_PID"], "/usr/bin/python3", "-c", """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.99.0.2', 53))
print('up', flush=True)
while True:
    q, a = s.recvfrom(4096)
    if q[12:13] == b'\\x04':  # four letters: known
        n = q.index(b'\\0', 12) + 5
        s.sendto(q[:2] + b'\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0' + q[12:n] + (b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\x07' if q[n-3] == 1 else b''), a)
    else:
        s.sendto(q[:2] + b'\\x81\\x83\\0\\1\\0\\0\\0\\0\\0\\0' + q[12:], a)
"""], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "up\n"
        any_cli.out("network", "create", "outer")
        any_cli.out("network", "create", "--internal", "closed")
        sleeper(any_cli, "u1", "--network", "outer")
        sleeper(any_cli, "u2", "--network", "closed")
        sleeper(any_cli, "u3", "--network", "outer", "--dns", "10.99.0.2")
        assert resolves(any_cli, "u1", "four.example") == {"192.0.2.7"}
        assert resolves(any_cli, "u3", "four.example") == {"192.0.2.7"}, "asked from the container's own namespace"
        assert resolves(any_cli, "u1", "longer.example") == set()
        assert resolves(any_cli, "u2", "four.example") == set(), "an internal network leaks no questions"
    finally:
        server.kill()
        server.wait()
        any_cli("rm", "-f", "u1", "u2", "u3")
        any_cli("network", "rm", "outer", "closed")


def test_address_pools():
    d = Daemon("pools")
    plain = d.command
    d.command = lambda *a: ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *plain(*a)]
    d.start("--default-address-pool", "base=10.200.0.0/22,size=24", "--bip", "10.201.0.1/24")
    try:
        cli = Client(*programs()[0], d)
        got = [json.loads(cli.out("network", "inspect", cli.out("network", "create", f"pool{i}")))[0]["IPAM"]["Config"][0]["Subnet"] for i in range(4)]
        assert got == [f"10.200.{i}.0/24" for i in range(4)]
        assert "all predefined address pools have been fully subnetted" in cli("network", "create", "pool4").err
        cli.out("network", "rm", "pool1")
        again = cli.out("network", "create", "--subnet", "0.0.0.0/26", "pool5") if cli.name == "pontoon" else d.api("POST", "/networks/create", {"Name": "pool5", "IPAM": {"Config": [{"Subnet": "0.0.0.0/26"}]}})[1]["Id"]
        assert d.api("GET", f"/networks/{again}")[1]["IPAM"]["Config"][0]["Subnet"] == "10.200.1.0/26"
    finally:
        d.stop()


def test_wishes_of_an_endpoint(any_cli, daemon):
    any_cli.out("network", "create", "wish")
    sleeper(any_cli, "target", "--network", "wish")
    ours = Client("pontoon", BUILD / "pontoon", daemon)  # docker 20.10 has no link-local-ip in --network
    ours.out("run", "-d", "--name", "wisher", "--network", "name=wish,driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,link-local-ip=169.254.7.7",
             "--link", "target:friend", "alpine", "sleep", "1h")
    assert any_cli.out("exec", "wisher", "cat", "/proc/sys/net/ipv4/conf/eth0/log_martians") == "1"
    assert "169.254.7.7/16" in any_cli.out("exec", "wisher", "ip", "addr")
    assert f"inet addr:{address(any_cli, 'wisher', 'wish')} " in any_cli.out("exec", "wisher", "ifconfig", "eth0"), "the first address is the network's"
    assert resolves(any_cli, "wisher", "friend") == {address(any_cli, "target", "wish")} and unknown(any_cli, "target", "friend")
    r = any_cli("network", "connect", "--driver-opt", "com.docker.network.endpoint.sysctls=kernel.shmmax=1", "bridge", "wisher")
    assert r.rc and "unrecognised network interface sysctl" in r.err
    assert daemon.doctor() == []
    any_cli.out("rm", "-f", "wisher", "target")
    any_cli.out("network", "rm", "wish")
