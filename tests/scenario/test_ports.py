"""Published ports with real clients, packets, listeners and both firewall backends' programs."""
import contextlib
import json
import os
import re
import socket
import subprocess
import time

import pytest

from conftest import BUILD, Client, wait_until

SERVE = "mkdir -p /w; echo %s >/w/index.html; httpd -p 80 -h /w; sleep 1000"


def publisher(cli):
    names = []

    def run(name, *args, ok=True):
        names.append(name)
        return cli("run", "-d", "--name", name, *args, "alpine", "sh", "-c", SERVE % name, ok=ok)
    run.cli = cli
    yield run
    for n in names:
        cli("rm", "-f", n)


@pytest.fixture
def pub(cli):
    """run(name, *args) makes a container that serves its name on port 80; all are removed. With each client."""
    yield from publisher(cli)


@pytest.fixture
def one_pub(any_cli):
    yield from publisher(any_cli)


def get(host, port, limit=10.0):
    """The body, or None; tried again while the server starts."""
    end = time.monotonic() + limit
    while True:
        try:
            with socket.create_connection((host, port), timeout=2) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                data = b""
                while chunk := s.recv(4096):
                    data += chunk
            if b"\r\n\r\n" in data:
                return data.split(b"\r\n\r\n", 1)[1].decode().strip()
        except OSError:
            pass
        if time.monotonic() > end:
            return None
        time.sleep(0.05)


def refused(host, port):
    with socket.socket() as s:
        return s.connect_ex((host, port)) != 0


def rules(table, chain):
    out = subprocess.run(["iptables-save", "-t", table], capture_output=True, text=True, check=True).stdout
    return [line.split(" ", 2)[2] for line in out.splitlines() if line.startswith(f"-A {chain} ")]


def test_a_port_leads_to_its_container(pub, daemon):
    cli = pub.cli
    pub("web", "-p", "8080:80", "-p", "127.0.0.1:8081:80/tcp")
    ip = json.loads(cli.out("inspect", "web"))[0]["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert get("10.99.0.1", 8080) == "web" and get("127.0.0.1", 8080) == "web" and get("::1", 8080) == "web"
    assert get("127.0.0.1", 8081) == "web" and refused("10.99.0.1", 8081)
    assert cli("exec", "web", "wget", "-qO-", "http://10.99.0.1:8080/").out.strip() == "web"
    assert f"-d {ip}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT" in rules("filter", "DOCKER")
    assert f"! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {ip}:80" in rules("nat", "DOCKER")
    assert "-d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8081 -j DROP" in rules("raw", "PREROUTING")
    assert set(cli.out("port", "web").splitlines()) == {"80/tcp -> 0.0.0.0:8080", "80/tcp -> 127.0.0.1:8081", "80/tcp -> :::8080" if cli.name == "docker20" else "80/tcp -> [::]:8080"}
    row = cli.out("ps", "--format", "{{.Ports}}", "--filter", "publish=80")
    assert "0.0.0.0:8080->80/tcp" in row and "127.0.0.1:8081->80/tcp" in row
    assert not cli.out("ps", "-q", "--filter", "publish=8080")
    shown = json.loads(cli.out("inspect", "web"))[0]["NetworkSettings"]["Ports"]["80/tcp"]
    assert {"HostIp": "::", "HostPort": "8080"} in shown and len(shown) == 3
    cli("stop", "-t", "0", "web", ok=True)
    assert refused("10.99.0.1", 8080) and not rules("filter", "DOCKER") and not rules("raw", "PREROUTING")[1:]
    assert json.loads(cli.out("inspect", "web"))[0]["NetworkSettings"]["Ports"] == {}
    cli("start", "web", ok=True)
    assert get("10.99.0.1", 8080) == "web"
    assert daemon.doctor() == []


def test_taken_ports(pub, daemon):
    cli = pub.cli
    pub("first", "-p", "8080:80")
    r = pub("second", "--restart", "always", "-p", "8080:80", ok=None)
    endpoint = re.search(r"failed to set up container networking: driver failed programming external connectivity on endpoint second \(([0-9a-f]{64})\): "
                         r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated", r.err)
    assert r.rc == 125 and endpoint, r
    status, answer = daemon.api("POST", "/containers/second/start")[:2]
    assert status == 500
    state = json.loads(cli.out("inspect", "second"))[0]["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", 128, answer["message"])
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 8090))
        s.listen()
        r = pub("third", "-p", "8090:80", ok=None)
        assert r.rc == 125 and "failed to bind host port 0.0.0.0:8090/tcp: address already in use" in r.err, r
        # one of a long run, which has no sockets of its own
        r = pub("fourth", "-p", "8000-8400:8000-8400", ok=None)
        assert r.rc == 125 and "0.0.0.0:8080 failed: port is already allocated" in r.err, r
        r = pub("fifth", "-p", "8085-8400:8085-8400", ok=None)
        assert r.rc == 125 and "failed to bind host port 0.0.0.0:8090/tcp: address already in use" in r.err, r
        # any of a range: the next one
        pub("sixth", "-p", "8090-8092:80")
        assert get("10.99.0.1", 8091) == "sixth"
    cli("rm", "-f", "first", ok=True)
    cli("start", "second", ok=True)
    state = json.loads(cli.out("inspect", "second"))[0]["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("running", 0, "")
    assert daemon.doctor() == []


def test_what_the_kernel_refuses(one_pub, daemon):
    """Each with Docker's words around it, and nothing stays behind."""
    def sctp():
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
            return True
        except OSError:
            return False
    cases = [("-p", "203.0.113.77:8080:80", "failed to bind host port 203.0.113.77:8080/tcp: cannot assign requested address"),
             ("-p", "[fd00:dead::1]:8080:80", "failed to bind host port [fd00:dead::1]:8080/tcp: cannot assign requested address")]
    if not sctp():
        cases.append(("-p", "8132:132/sctp", "failed to bind host port 0.0.0.0:8132/sctp: protocol not supported: this kernel has no SCTP (modprobe sctp)"))
    before = rules("nat", "DOCKER")
    for i, (flag, spec, text) in enumerate(cases):
        r = one_pub(f"refused{i}", flag, spec, ok=None)
        assert r.rc == 125 and re.search(rf"failed to set up container networking: driver failed programming external connectivity on endpoint refused{i} \([0-9a-f]{{64}}\): {re.escape(text)}", r.err), r
        assert json.loads(one_pub.cli.out("inspect", f"refused{i}"))[0]["State"]["Status"] == "created"
    assert rules("nat", "DOCKER") == before
    assert daemon.doctor() == []


def test_ephemeral_ports(pub, daemon):
    cli = pub.cli
    pub("eph", "-p", "80", "-p", "127.0.0.1::81/udp", "-P", "--expose", "82")
    shown = json.loads(cli.out("inspect", "eph"))[0]["NetworkSettings"]["Ports"]
    assert len({b["HostPort"] for b in shown["80/tcp"]}) == 1 and len(shown["80/tcp"]) == 2
    low, high = map(int, open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
    assert low <= int(shown["80/tcp"][0]["HostPort"]) <= high and [b["HostIp"] for b in shown["81/udp"]] == ["127.0.0.1"] and shown["82/tcp"]
    assert get("10.99.0.1", int(shown["80/tcp"][0]["HostPort"])) == "eph"
    assert daemon.doctor() == []


def test_ports_move_with_the_gateway(pub, daemon):
    cli = pub.cli
    cli("network", "create", "a1", ok=True)
    cli("network", "create", "a2", ok=True)
    try:
        pub("web", "--network", "a2", "-p", "8080:80")
        assert get("10.99.0.1", 8080) == "web"
        before = rules("nat", "DOCKER")
        cli("network", "connect", "a1", "web", ok=True)  # by name the better one
        after = rules("nat", "DOCKER")
        assert before != after and get("10.99.0.1", 8080) == "web" and get("127.0.0.1", 8080) == "web"
        cli("network", "disconnect", "a1", "web", ok=True)
        assert rules("nat", "DOCKER") == before and get("10.99.0.1", 8080) == "web"
        assert daemon.doctor() == []
    finally:
        cli("rm", "-f", "web")
        cli("network", "rm", "a1", "a2")


@pytest.mark.parametrize("body,text", [
    ({"80/tcp": [{"HostPort": "eighty"}]}, 'invalid port specification: "eighty"'),
    ({"80/tcp": [{"HostPort": "80/tcp"}]}, 'invalid port specification: "80/tcp"'),
    ({"0/tcp": [{}]}, 'invalid port specification: "0/tcp"'),
    ({"65536/tcp": [{}]}, 'invalid port specification: "65536/tcp"'),
    ({"82-80/tcp": [{}]}, 'invalid port specification: "82-80/tcp"'),
    ({"80/tcp": [{"HostPort": "65536"}]}, 'invalid port specification: "65536"'),
    ({"80/tcp": [{"HostPort": "0-10"}]}, 'invalid port specification: "0-10"'),
    ({"80/tcp": [{"HostPort": "8080-"}]}, 'invalid port specification: "8080-"'),
    ({"80/tcp": [{"HostPort": "-8080"}]}, 'invalid port specification: "-8080"'),
    ({"80/tcp": [{"HostPort": " 8080"}]}, 'invalid port specification: " 8080"'),
    ({"80/tcp": [{"HostIp": "192.0.2.1/24"}]}, "invalid IP address: 192.0.2.1/24"),
    ({"80/tcp": [{"HostIp": "fe80::1%eth0"}]}, "invalid IP address: fe80::1%eth0"),
    ({"80/icmp": [{}]}, 'invalid port specification: "80/icmp"'),
    ({"80/tcp": [{"HostIp": "localhost"}]}, "invalid IP address: localhost"),
    ({"80-82/tcp": [{"HostPort": "80-81"}]}, "invalid ranges specified for container and host Ports: 80-82/tcp and 80-81"),
    ({"80/tcp": [{}] * 65}, "port 80/tcp has 65 bindings: at most 64"),
])
def test_bad_bindings(daemon, body, text):
    status, answer = daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"], "HostConfig": {"PortBindings": body}})[:2]
    assert status == 400 and answer["message"] == text


def test_live_ports(pub, daemon, busybox):
    cli = pub.cli
    pub("live", "-p", "8080:80", "-p", "8085")
    assert get("10.99.0.1", 8080) == "live"
    held = socket.create_connection(("10.99.0.1", 8080), timeout=5)  # stays open through all that follows

    def ports(ok=204, **body):
        status, answer = daemon.api("POST", "/containers/live/ports", body)[:2]
        assert status == ok, (status, answer)
        return answer
    ports(Add={"80/tcp": [{"HostPort": "8081"}, {"HostIp": "127.0.0.1", "HostPort": "8082"}]})
    assert get("10.99.0.1", 8081) == "live" and get("127.0.0.1", 8082) == "live"
    assert "8081" in ports(409, Add={"80/tcp": [{"HostPort": "8081"}]})["message"]
    assert ports(404, Remove={"81/tcp": [{}]})["message"] == "port 81/tcp is not published"
    assert ports(400, Add={"80/tcp": [{"HostPort": "8083", "Scope": "lan"}]})["message"] == 'unknown key "Scope" in Add.80/tcp'
    assert ports(400, Add={"80/tcp": [{"HostPort": "8083"}]}, Delete={})["message"] == 'unknown key "Delete"'
    # all or nothing
    assert "port is already allocated" in ports(500, Add={"81/tcp": [{"HostPort": "8083"}], "82/tcp": [{"HostPort": "8081"}]})["message"]
    assert refused("10.99.0.1", 8083)
    ports(Remove={"80/tcp": [{"HostPort": "8081"}]}, Add={"80/tcp": [{"HostPort": "8084"}]})
    assert refused("10.99.0.1", 8081) and get("10.99.0.1", 8084) == "live"
    number = json.loads(cli.out("inspect", "live"))[0]["NetworkSettings"]["Ports"]["8085/tcp"][0]["HostPort"]
    ports(Remove={"8085/tcp": [{"HostPort": number}]})  # by the number that was given out
    assert "8085/tcp" not in json.loads(cli.out("inspect", "live"))[0]["HostConfig"]["PortBindings"]
    held.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert held.recv(4096).startswith(b"HTTP")
    held.close()  # else the kernel keeps the container's namespace for a minute
    cli("restart", "-t", "0", "live", ok=True)
    assert get("10.99.0.1", 8084) == "live" and refused("10.99.0.1", 8081)
    cli("stop", "-t", "0", "live", ok=True)
    ports(Add={"80/tcp": [{"HostPort": "8086"}]})
    assert refused("10.99.0.1", 8086)
    cli("start", "live", ok=True)
    assert get("10.99.0.1", 8086) == "live"
    assert daemon.doctor() == []


def test_live_ports_by_command(daemon):
    cli = Client("pontoon", BUILD / "pontoon", daemon)
    cli("run", "-d", "--name", "live", "alpine", "sh", "-c", SERVE % "live", ok=True)
    try:
        cli("port", "add", "live", "8080:80", "127.0.0.1:5353:53/udp", ok=True)
        assert get("10.99.0.1", 8080) == "live"
        assert "53/udp -> 127.0.0.1:5353" in cli.out("port", "live")
        cli("port", "rm", "live", "80", ok=True)
        assert refused("10.99.0.1", 8080)
        r = cli("port", "rm", "live", "80")
        assert r.rc == 1 and "port 80/tcp is not published" in r.err
        for verb in "add", "rm":
            for args in (["live"], []):
                r = cli("port", verb, *args)
                assert r.rc == 1 and r.err == f"pontoon: 'pontoon port {verb}' requires a container and at least 1 port\n\nUsage:  pontoon port {verb} CONTAINER PORT...\n", r
        cli.out("rename", "live", "add")
        assert "53/udp -> 127.0.0.1:5353" in cli.out("port", "add") and cli.out("port", "add", "53/udp") == "127.0.0.1:5353"
        cli.out("rename", "add", "live")
    finally:
        cli("rm", "-f", "live")


def test_addresses_that_mix(one_pub, daemon):
    """Any address and one of the host's get each its number; two of the loopback do not meet."""
    def create(name, bindings, **host):
        status, answer = daemon.api("POST", f"/containers/create?name={name}", {"Image": "alpine", "Cmd": ["sh", "-c", SERVE % name], "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": bindings, **host}})
        assert status == 201 and daemon.api("POST", f"/containers/{name}/start")[0] == 204, answer
        return json.loads(one_pub.cli.out("inspect", name))[0]["NetworkSettings"]["Ports"]["80/tcp"]
    mixed = create("mixed", {"80/tcp": [{"HostIp": "0.0.0.0"}, {"HostIp": "127.0.0.1"}, {"HostIp": "10.99.0.1"}]})
    numbers = {b["HostIp"]: int(b["HostPort"]) for b in mixed}
    assert len(set(numbers.values())) == 2 and numbers["127.0.0.1"] == numbers["10.99.0.1"] and get("10.99.0.1", numbers["0.0.0.0"]) == get("127.0.0.1", numbers["127.0.0.1"]) == "mixed"
    for i in 1, 2:
        create(f"lo{i}", {"80/tcp": [{"HostIp": f"127.0.0.{i}", "HostPort": "8110"}]})
    assert [get(f"127.0.0.{i}", 8110) for i in (1, 2)] == ["lo1", "lo2"]
    # nothing said about a port is one number, and -P does not add another
    for name, none in (("null", None), ("empty", [])):
        both = create(name, {"80/tcp": none}, PublishAllPorts=True)
        assert len(both) == 2 and len({b["HostPort"] for b in both}) == 1 and get("10.99.0.1", int(both[0]["HostPort"])) == name
    listed = {c["Names"][0]: c["Ports"] for c in daemon.api("GET", "/containers/json")[1]}
    assert {(p["IP"], p["PublicPort"], p["PrivatePort"]) for p in listed["/null"]} == {(b["HostIp"], int(b["HostPort"]), 80) for b in json.loads(one_pub.cli.out("inspect", "null"))[0]["NetworkSettings"]["Ports"]["80/tcp"]}
    assert len(listed["/null"]) == 2 and daemon.doctor() == []
    one_pub.cli("rm", "-f", "mixed", "lo1", "lo2", "null", "empty", ok=True)


def test_ranges(pub, daemon):
    cli = pub.cli
    pub("ranges", "-p", "8200-8202:79-81", "-p", "127.0.0.1:8210-8212:80", "-P", "--expose", "90-91", "--expose", "92/udp")
    pub("next", "-p", "127.0.0.1:8210-8212:80")
    assert get("10.99.0.1", 8201) == get("127.0.0.1", 8210) == "ranges" and get("127.0.0.1", 8211) == "next"
    lines = cli.out("port", "ranges").splitlines()
    assert {"79/tcp -> 0.0.0.0:8200", "80/tcp -> 0.0.0.0:8201", "81/tcp -> 0.0.0.0:8202", "80/tcp -> 127.0.0.1:8210"} <= set(lines) and len(lines) == 2 * 6 + 1
    assert sorted({l.split()[0] for l in lines}) == ["79/tcp", "80/tcp", "81/tcp", "90/tcp", "91/tcp", "92/udp"]
    for spec, text in (("8000-8002:80-81", "ranges"), ("0-3:80", "8"), ("70000:80", "70000"), ("8000:0", "0"), ("8000:65536", "65536"), ("8003-8000:80", "8003-8000"), ("8000:80/icmp", "icmp")):
        r = cli("create", "-p", spec, "alpine", "true")
        if spec == "0-3:80":  # whatever a client makes of it
            assert r.rc or cli("rm", r.out.strip().splitlines()[-1]).rc == 0
        else:
            assert r.rc in (1, 125) and text in r.err, (spec, r)
    assert daemon.doctor() == []


def test_a_restart_among_closed_connections(one_pub):
    """Sockets in TIME_WAIT, at the proxy's port and in the kernel's table, do not keep a container from starting again."""
    one_pub("web", "-p", "8080:80")
    assert all(get(host, 8080) == "web" for host in ("127.0.0.1", "10.99.0.1", "::1"))
    assert wait_until(lambda: "8080" in subprocess.run(["ss", "-Htan", "state", "time-wait"], capture_output=True, text=True).stdout)
    one_pub.cli("restart", "-t", "0", "web", ok=True)
    assert all(get(host, 8080) == "web" for host in ("127.0.0.1", "10.99.0.1", "::1"))


def test_ports_come_back_with_the_daemon(one_pub, daemon):
    one_pub("web", "--restart", "always", "--stop-signal", "KILL", "-p", "8080:80", "-p", "80")
    daemon.stop()
    assert refused("10.99.0.1", 8080) and not [r for r in rules("nat", "DOCKER") if "dport" in r]
    daemon.start()
    assert get("10.99.0.1", 8080) == get("127.0.0.1", 8080) == "web"
    other = [b["HostPort"] for b in json.loads(one_pub.cli.out("inspect", "web"))[0]["NetworkSettings"]["Ports"]["80/tcp"] if b["HostPort"] != "8080"]
    assert len(other) == 2 and get("10.99.0.1", int(other[0])) == "web" and daemon.doctor() == []


def test_ports_outlive_the_daemon(pub, daemon):
    pub("web", "-p", "8080:80")
    assert get("10.99.0.1", 8080) == "web" and get("127.0.0.1", 8080) == "web"
    daemon.kill9()
    assert get("10.99.0.1", 8080) == "web" and get("127.0.0.1", 8080) == "web"
    daemon.start()
    assert get("10.99.0.1", 8080) == "web" and get("127.0.0.1", 8080) == "web"
    assert daemon.doctor() == []


def test_a_foreign_rule_keeps_its_place(pub):
    with contextlib.ExitStack() as undo:
        for where in (["-t", "nat", "-I", "DOCKER", "1"], ["-t", "filter", "-I", "DOCKER", "1"], ["-t", "raw", "-A", "PREROUTING"]):
            rule = ["-s", "192.0.2.77", "-j", "RETURN"]
            subprocess.run(["iptables", *where, *rule], check=True)
            undo.callback(subprocess.run, ["iptables", where[0], where[1], "-D", where[3], *rule], check=True)
        pub("web", "-p", "8080:80", "-p", "127.0.0.1:8081:80")
        assert rules("nat", "DOCKER")[0] == rules("filter", "DOCKER")[-1] == rules("raw", "PREROUTING")[-1] == "-s 192.0.2.77/32 -j RETURN"
        pub("other", "-p", "8082:80")
        assert rules("filter", "DOCKER")[-1] == "-s 192.0.2.77/32 -j RETURN"
        pub.cli("rm", "-f", "web", "other", ok=True)
        assert rules("filter", "DOCKER") == ["-s 192.0.2.77/32 -j RETURN"] and rules("raw", "PREROUTING")[-1] == "-s 192.0.2.77/32 -j RETURN"


def test_what_a_dead_container_published_goes(any_cli, daemon):
    """It ended while no daemon was there: no rule stays, not even the one that names nothing but a port of the host's loopback."""
    any_cli("run", "-d", "--name", "web", "-p", "127.0.0.1:8081:80", "-p", "8080:80", "alpine", "sh", "-c", SERVE % "web", ok=True)
    pid = json.loads(any_cli.out("inspect", "web"))[0]["State"]["Pid"]
    assert any("8081" in r for r in rules("raw", "PREROUTING"))
    daemon.kill9()
    os.kill(pid, 9)
    daemon.start()
    assert not [r for r in rules("raw", "PREROUTING") + rules("nat", "DOCKER") + rules("filter", "DOCKER") if "dport" in r]
    assert refused("127.0.0.1", 8081) and refused("127.0.0.1", 8080)
    assert daemon.doctor() == []
    any_cli("rm", "-f", "web", ok=True)
