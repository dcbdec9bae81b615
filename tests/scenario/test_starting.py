"""What a start of the daemon makes of the networks that there are, with options that have changed and on hosts that have."""
import json
import re
import shutil
import subprocess

import test_heal
from conftest import BUILD, LAB, QUICK, wait_until
from test_bridge import host  # noqa: F401: a fixture
from test_hotplug import Ear

B = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"


def want(h, status, method, path, body=None):
    got = h.daemon.api(method, path, body)
    assert got[0] == status, (method, path, body, got)
    return got[1]


def make(h, name, *subnets, **more):
    return want(h, 201, "POST", "/networks/create", dict({"Name": name, "IPAM": {"Config": list(subnets)}}, **more))["Id"]


def route(h, name):
    """Where a container's default route leads."""
    return re.search(r"default via (\S+)", h.cli.out("exec", name, "ip", "route")).group(1)


def subnet(h, name):
    return want(h, 200, "GET", f"/networks/{name}")["IPAM"]["Config"][0]["Subnet"]


def restart(h, *args):
    h.daemon.stop()
    h.args = ("--shutdown-timeout", "1", *args)
    h.start()


def test_pools_and_bip(host):
    """Networks keep subnet, id and device over starts with other pools; --bip and pools keep out of each other's way; a bad one does not keep the daemon from starting."""
    pools = ("--default-address-pool", "base=10.200.0.0/22,size=24")
    h = host("pools-start", *pools, "--default-network-opt", f"bridge={MTU}=1400", "--default-network-opt", f"bridge={B}enable_icc=false")
    assert subnet(h, "bridge") == "10.200.0.0/24"
    ids = [make(h, f"net{i}") for i in range(2)]
    h.run("there", "--network", "net1", "--stop-signal", "KILL")
    before, device = h.address("there", "net1"), f"br-{ids[1][:12]}"
    links = h.sh("ip -o link | cut -d: -f2,3")
    for args in (pools, ("--default-address-pool", "base=10.201.0.0/16,size=24")):
        restart(h, *args)
        assert [subnet(h, n) for n in ("bridge", "net0", "net1")] == ["10.200.0.0/24", "10.200.1.0/24", "10.200.2.0/24"] and [want(h, 200, "GET", f"/networks/net{i}")["Id"] for i in range(2)] == ids
        h.cli.out("start", "there")
        assert h.address("there", "net1") == before and h.reaches("there", "10.200.2.1") and "10.200.2.1/24" in h.sh(f"ip addr show {device}") and h.daemon.doctor() == [], args
        made = make(h, "fresh")
        assert subnet(h, "fresh") == ("10.200.3.0/24" if args == pools else "10.201.0.0/24")
        want(h, 204, "DELETE", "/networks/" + made)
    # --bip where a network of the user's is: told, and what there was stays as it was
    restart(h, *pools, "--bip", "10.200.2.9/24")
    assert "Pool overlaps with other one on this address space" in h.daemon.log.read_text() and subnet(h, "bridge") == "10.200.0.0/24"
    h.cli.out("start", "there")
    assert h.reaches("there", "10.200.2.1") and h.cli.out("run", "--rm", "alpine", "ip", "route").startswith("default via 10.200.0.1")
    # --bip in the pool: the next network passes over it
    restart(h, *pools, "--bip", "10.200.3.9/24")
    assert "inet 10.200.3.9/24" in h.sh("ip addr show docker0") and "10.200.0" not in h.sh("ip addr") and h.daemon.doctor() == []
    make(h, "next")
    assert subnet(h, "next") == "10.200.0.0/24"
    assert h.daemon.api("POST", "/networks/create", {"Name": "none left"}) == (400, {"message": "all predefined address pools have been fully subnetted"})
    restart(h)
    assert subnet(h, "bridge") == "10.200.3.0/24" and h.daemon.doctor() == [], "without the option it stays where it is"
    assert h.sh("ip -o link | cut -d: -f2,3 | grep -v br-").count("\n") <= links.count("\n")


def test_options_of_networks(host):
    """default-network-opts, then the request, then what it takes its parameters from: on the device."""
    h = host("opts-start", "--default-network-opt", f"bridge={MTU}=1400", "--default-network-opt", f"bridge={B}enable_icc=false")

    def device(n):
        return h.sh(f"ip link show br-{n[:12]}").split(" mtu ")[1].split()[0], h.cli.out("network", "inspect", "-f", f'{{{{index .Options "{MTU}"}}}} {{{{index .Options "{B}enable_icc"}}}}', n)

    assert device(make(h, "plain")) == ("1400", "1400 false")
    assert device(make(h, "asked", Options={MTU: "576"})) == ("576", "576 false")
    make(h, "conf", {"Subnet": "10.66.0.0/24"}, ConfigOnly=True, Options={MTU: "1300"})
    assert device(want(h, 201, "POST", "/networks/create", {"Name": "taken", "ConfigFrom": {"Network": "conf"}})["Id"]) == ("1300", "1300 false")
    h.run("small", "--network", "asked")
    h.run("large", "--network", "plain")
    h.cli.out("network", "connect", "asked", "large")
    assert "mtu 576" in h.cli.out("exec", "small", "ip", "link", "show", "eth0") and "mtu 576" in h.cli.out("exec", "large", "ip", "link", "show", "eth1")
    # no IPv6 on such a link, nor a file to switch it off: nothing is missed, now or later
    assert not h.cli.out("exec", "large", "sh", "-c", "ls -d /proc/sys/net/ipv6/conf/eth1 2>/dev/null || :") and h.daemon.doctor() == []
    h.daemon.kill9()
    h.start()
    assert h.daemon.doctor() == [] and h.sh(f"sysctl -n net.ipv6.conf.br-{want(h, 200, 'GET', '/networks/plain')['Id'][:12]}.accept_ra") == "0\n"
    for mtu, text in (("1279", "invalid MTU number: 1279 (IPv6 needs 1280)"), ("65536", "invalid MTU number: 65536 (68 to 65535, or 0 for the default)")):
        assert h.daemon.api("POST", "/networks/create", {"Name": "bad", "EnableIPv6": True, "Options": {MTU: mtu}}) == (400, {"message": text})
    assert device(make(h, "least", EnableIPv6=True, Options={MTU: "1280"}))[0] == "1280" and h.daemon.doctor() == []


def test_things_in_the_way(host):
    """A device of somebody else's where a network's, or docker0, was: the daemon starts, the others work, and once it is gone all is mended."""
    h = host("way-start")
    n, m = make(h, "mine", {"Subnet": "10.67.0.0/24"}), make(h, "other", {"Subnet": "10.68.0.0/24"})
    for device, net in ((f"br-{n[:12]}", "mine"), ("docker0", "bridge")):
        h.daemon.stop()
        h.sh(f"ip link del {device}; ip link add {device} type veth peer name inway")
        h.start()
        differences = h.daemon.doctor()
        assert differences and device in json.dumps(differences), differences
        got = h.daemon.api("POST", "/containers/create?name=stuck", {"Image": "alpine", "Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": net}})
        assert got[0] == 201
        got = h.daemon.api("POST", "/containers/stuck/start")
        assert got[0] >= 500 and device in got[1]["message"], got
        h.run("works", "--network", "other")
        assert h.reaches("works", "10.68.0.1") and "inway" in h.sh("ip -br link")
        h.sh(f"ip link del {device}")
        assert wait_until(lambda: h.daemon.doctor() == []), h.daemon.doctor()
        h.cli.out("start", "stuck")
        assert h.reaches("stuck", want(h, 200, "GET", f"/networks/{net}")["IPAM"]["Config"][0]["Gateway"])
        h.cli.out("rm", "-f", "stuck", "works")


def test_a_bridge_of_ones_own(host):
    """--bridge, and a network's bridge that was there before: its address says the subnet, and it stays as it was when it is not used any more, or has gone."""
    h = host("own-start")
    h.daemon.stop()
    h.sh("ip link del docker0; ip link add docker0 type bridge; ip addr add 192.0.2.9/24 dev docker0")  # another program's
    h.daemon.start(*h.args, "--bridge", "none")
    assert h.daemon.doctor() == [] and "192.0.2.9" in h.sh("ip addr show docker0")
    h.sh("ip link del docker0")
    h.daemon.stop()
    h.daemon.start(*h.args, "--bridge", "people0", ok=False)
    assert "bridge device with non default name people0 must be created manually" in h.daemon.log.read_text()
    h.sh("ip link add people0 address 02:aa:00:00:00:01 type bridge; ip addr add 192.0.2.1/24 dev people0; ip addr add 10.77.0.5/24 dev people0; ip addr add fd00:77::5/64 dev people0 nodad; ip link set people0 up")
    look = lambda: h.sh("ip -o addr show people0 scope global; ip -o -d link show people0 | grep -oE 'link/ether \\S+|alias.*'; ip -o link show people0 | grep -o 'mtu [0-9]*'")
    before = look()

    def default():
        j = want(h, 200, "GET", "/networks/bridge")
        return [(c["Subnet"], c["Gateway"]) for c in j["IPAM"]["Config"]], j["Options"][B + "name"]

    for args, config in [([], [("192.0.2.0/24", "192.0.2.1")]), (["--fixed-cidr", "10.77.0.128/25", "--ipv6"], [("10.77.0.0/24", "10.77.0.5"), ("fd00:77::/64", "fd00:77::5")])]:
        restart(h, "--bridge", "people0", *args)
        assert default() == (config, "people0") and look() == before and "docker0" not in h.sh("ip -o link")
        h.run("guest")
        assert h.reaches("guest", config[0][1]) and route(h, "guest") == config[0][1] and h.daemon.doctor() == []
        if "--ipv6" in args:
            h.daemon.kill9()
            h.start()
            assert look() == before and h.reaches("guest", config[0][1]) and h.daemon.doctor() == []
        h.cli.out("rm", "-f", "guest")
    restart(h)
    assert default() == ([("172.17.0.0/16", "172.17.0.1")], "docker0") and look() == before and "172.17.0.1/16" in h.sh("ip addr show docker0") and h.daemon.doctor() == []
    # one without an address gets one, and loses it again
    h.sh("ip link add bare0 type bridge")
    for _ in range(1 if QUICK else 2):
        restart(h, "--bridge", "bare0")
        assert default() == ([("172.17.0.0/16", "172.17.0.1")], "bare0") and "172.17.0.1/16" in h.sh("ip addr show bare0")
    restart(h)
    assert "inet " not in h.sh("ip addr show bare0") and look() == before and h.daemon.doctor() == []
    # a network on it: with the gateway that it has, and with another
    for gateway in ("10.77.0.5", "10.77.0.9"):
        make(h, "people", {"Subnet": "10.77.0.0/24", "Gateway": gateway}, Options={B + "name": "people0"})
        h.run("guest", "--network", "people")
        assert h.reaches("guest", "10.77.0.5") and h.reaches("guest", gateway) and h.daemon.doctor() == []
        h.cli.out("rm", "-f", "guest")
        want(h, 204, "DELETE", "/networks/people")
        assert look() == before
    # it goes from below a network, which can be removed all the same
    make(h, "people", {"Subnet": "10.78.0.0/24"}, Options={B + "name": "people0"})
    h.run("guest", "--network", "people")
    h.sh("ip link del people0")
    want(h, 204, "DELETE", "/containers/guest?force=1")
    want(h, 204, "DELETE", "/networks/people")
    assert h.daemon.doctor() == [] and "people0" not in h.sh("ip -o link")
    # gone while the daemon was away, as after a boot: it is made anew
    h.sh("ip link add people0 type bridge; ip addr add 10.78.0.5/24 dev people0")
    make(h, "people", {"Subnet": "10.78.0.0/24", "Gateway": "10.78.0.5"}, Options={B + "name": "people0"})
    h.daemon.stop()
    h.sh("ip link del people0")
    h.start()
    h.run("guest", "--network", "people")
    assert h.reaches("guest", "10.78.0.5") and h.daemon.doctor() == []
    h.cli.out("rm", "-f", "guest")
    want(h, 204, "DELETE", "/networks/people")
    assert h.daemon.doctor() == [] and "people0" not in h.sh("ip -o link")


def test_live_restore(host):
    """Names of interfaces, addresses and announcements of containers that outlive the daemon; docker0's subnet stays below them whatever the options say."""
    args = ("--live-restore", "--ipv6", "--fixed-cidr-v6", "fd00:17::/64")
    h = host("live-start", *args)
    n = make(h, "live", {"Subnet": "10.69.0.0/24"})
    h.cli.out("run", "-d", "--name", "named", "--network", "bridge", "alpine", "sleep", "1h")
    want(h, 200, "POST", "/networks/live/connect", {"Container": "named", "EndpointConfig": {"DriverOpts": {"com.docker.network.endpoint.ifname": "eth1"}, "IPAMConfig": {"IPv4Address": "10.69.0.9"}}})
    h.run("peer", "--network", "live")
    six = h.address("named", six=True)
    restart(h, "--live-restore", "--ipv6", "--fixed-cidr-v6", "fe80::/64")
    assert "the default bridge keeps its device and subnets while containers run on it" in h.daemon.log.read_text()
    assert h.address("named", six=True) == six and six in h.cli.out("exec", "named", "ip", "addr", "show", "eth0") and h.cli("exec", "named", "ping", "-6", "-c1", "-W5", "fd00:17::1").rc == 0
    assert "10.69.0.9" in h.cli.out("exec", "named", "ip", "addr", "show", "eth1") and h.reaches("peer", "10.69.0.9") and h.daemon.doctor() == []
    make(h, "more", {"Subnet": "10.70.0.0/24"})
    got = h.daemon.api("POST", "/networks/more/connect", {"Container": "named", "EndpointConfig": {"DriverOpts": {"com.docker.network.endpoint.ifname": "eth1"}}})
    assert got == (500, {"message": 'error renaming interface to "eth1": file exists'})
    h.cli.out("network", "connect", "more", "named")
    assert "10.70.0.2" in h.cli.out("exec", "named", "ip", "addr", "show", "eth2"), "the next free number"
    h.cli.out("network", "disconnect", "bridge", "named")
    h.cli.out("network", "connect", "bridge", "named")
    assert "172.17.0" in h.cli.out("exec", "named", "ip", "addr", "show", "eth0")
    # one that is started again by the new daemon is announced, at its new MAC
    ear = Ear(int(h.cli.out("inspect", "-f", "{{.State.Pid}}", "peer")), "10.69.0.9")
    h.cli.out("rm", "-f", "named")
    h.cli.out("run", "-d", "--name", "named", "--network", "live", "--ip", "10.69.0.9", "--mac-address", "02:00:00:00:00:69", "alpine", "sleep", "1h")
    assert wait_until(lambda: ear.heard)
    restart(h, "--live-restore", "--ipv6", "--fixed-cidr-v6", "fe80::/64")
    assert {m for _, m in ear.close()} == {"02:00:00:00:00:69"} and h.reaches("peer", "10.69.0.9") and h.daemon.doctor() == []
    assert h.address("named", "live") == "10.69.0.9" and want(h, 200, "GET", "/networks/live")["Id"] == n
    h.cli.out("rm", "-f", "named", "peer")
    restart(h, "--ipv6", "--fixed-cidr-v6", "fe80::/64")
    assert "fd00:17" not in h.sh("ip addr show docker0") and [c["Subnet"] for c in want(h, 200, "GET", "/networks/bridge")["IPAM"]["Config"]] == ["172.17.0.0/16", "fe80::/64"] and h.daemon.doctor() == []


def test_ipv6_that_cannot_be_switched_off(host):
    """/proc/sys read-only: a container whose IPv6 cannot be switched off does not start, and nothing of it is left."""
    h = host("ro-start", env=["unshare", "-m"])

    def mounts(line):
        subprocess.run(["nsenter", "-m", "-t", str(h.daemon.proc.pid), "sh", "-c", line], check=True)

    mounts("mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys")
    links = h.sh("ip -br link | cut -d' ' -f1")
    want(h, 201, "POST", "/containers/create?name=four1", {"Image": "alpine", "Cmd": ["sleep", "1h"]})
    got = h.daemon.api("POST", "/containers/four1/start")
    assert got[0] == 500 and "failed to disable IPv6 on container's interface eth0" in got[1]["message"] and "Read-only" in got[1]["message"], got
    assert wait_until(lambda: h.sh("ip -br link | cut -d' ' -f1") == links) and want(h, 200, "GET", "/networks/bridge")["Containers"] == {}
    mounts("umount /proc/sys")
    h.cli.out("start", "four1")
    assert h.daemon.doctor() == []


def test_no_ip6tables(host, monkeypatch):
    """--ip6tables=false: no rule of IPv6 is ever made, also after firewalld has reloaded, and IPv6 goes on as it can."""
    program = shutil.which("dbus-daemon") or shutil.which(str(BUILD / "tools/usr/bin/dbus-daemon"))
    path, conf = LAB / "bus6", LAB / "bus6.conf"
    conf.write_text(f'<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth><policy context="default">'
                    '<allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>')
    bus = subprocess.Popen([program, f"--config-file={conf}", "--nofork", "--nopidfile"]) if program else None
    try:
        assert not bus or wait_until(path.exists)
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
        h = host("no6-start", "--ip6tables=false", "--debug")
        make(h, "six", {"Subnet": "fd00:72::/64"}, EnableIPv6=True)
        h.run("six1", "--network", "six", "-p", "8072:80")
        h.run("six2", "--network", "six")
        looks = lambda: h.daemon.log.read_text().count("looked at the network")

        def clean():
            return not re.search("DOCKER|MASQ|br-", h.sh("ip6tables-save")) and "-P FORWARD ACCEPT" in h.sh("ip6tables -S FORWARD") and "br-" in h.sh("iptables-save")

        assert clean() and h.cli("exec", "six1", "ping", "-6", "-c1", "-W5", h.address("six2", "six", six=True)).rc == 0
        if bus and "not built in" not in h.daemon.log.read_text():
            before = looks()
            firewalld = test_heal.FakeFirewalld(str(path))
            assert wait_until(lambda: looks() > before)
            h.sh("iptables -F; iptables -t nat -F; ip6tables -F; ip6tables -t nat -F")
            before = looks()
            firewalld.reloaded()
            assert wait_until(lambda: looks() > before and h.daemon.doctor() == [])
        h.daemon.kill9()
        h.start()
        assert clean() and h.daemon.doctor() == []
    finally:
        if bus:
            bus.kill()
            bus.wait()
