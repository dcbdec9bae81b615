"""Publish scopes: who reaches a published port, by the scope of the container, of its network and of the daemon; with both firewall backends. A neighbour on
the LAN has 192.0.2.2; from behind him comes 198.51.100.1, which is no subnet of the host's."""
import subprocess
import sys
from types import SimpleNamespace

import pytest

from conftest import BUILD, Client, Daemon, wait_until
from test_heal import Space

NEAR, FAR, HOST = "192.0.2.2", "198.51.100.1", "192.0.2.1"
SERVER = "while true; do echo hello | nc -l -p 80; done"
# asks a TCP port: what it says, "refused" (also: taken and closed without a word) or "silent"
ASK = """
import socket, sys
s = socket.socket()
s.settimeout(1.5)
try:
    if sys.argv[1]: s.bind((sys.argv[1], 0))
    s.connect((sys.argv[2], int(sys.argv[3])))
    print(s.recv(99).decode().strip() or "refused")
except TimeoutError: print("silent")
except OSError: print("refused")
"""


class Scene:
    def __init__(self, backend, image):
        self.backend = backend
        self.space, self.outside = Space(), Space()
        self.space.sh(f"ip link set lo up; ip link add up0 type veth peer name up1 netns {self.outside.proc.pid}; ip addr add {HOST}/24 dev up0; ip link set up0 up;"
                      f"ip route add 198.51.100.0/24 via {NEAR}")
        self.outside.sh(f"ip link set lo up; ip addr add {NEAR}/24 dev up1; ip addr add {FAR}/24 dev lo; ip link set up1 up")
        self.daemon = Daemon(f"scope-{backend}")
        plain = self.daemon.command
        self.daemon.command = lambda *a: [*self.space.enter, *plain(*a)]
        self.daemon.start("--firewall-backend", backend)
        self.cli = Client("pontoon", BUILD / "pontoon", self.daemon)
        with open(image, "rb") as f:
            assert self.daemon.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})[0] == 200

    def serve(self, name, port, *args):
        self.cli("run", "-d", "--name", name, "-p", f"{port}:80", *args, "alpine", "sh", "-c", SERVER, ok=True)

    def ask(self, space, source, address, port):
        run = lambda: subprocess.run([*space.enter, sys.executable, "-c", ASK, source, address, str(port)], capture_output=True, text=True).stdout.strip()
        got = run()
        return got if got != "refused" else run()  # between two connections nobody listens in the container

    def seen(self, port):
        """Who reaches it: the LAN's neighbour, the one behind him, the host by its address and by loopback."""
        return [self.ask(self.outside, NEAR, HOST, port) == "hello", self.ask(self.outside, FAR, HOST, port) == "hello", self.ask(self.space, "", HOST, port) == "hello",
                self.ask(self.space, "", "127.0.0.1", port) == "hello"]

    def exposure(self):
        return {r["Container"]: r for r in self.daemon.api("GET", "/pontoon/exposure")[1] if r["HostIP"] == "0.0.0.0"}

    def rules(self):
        return self.space.sh("nft list table inet pontoon" if self.backend == "nftables" else "iptables-save")


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def scene(request, busybox):
    s = Scene(request.param, busybox)
    yield s
    for c in s.daemon.api("GET", "/containers/json?all=1")[1]:
        s.daemon.api("DELETE", f"/containers/{c['Id']}?force=1")
    left = s.daemon.doctor()
    s.daemon.stop()
    s.space.end()
    s.outside.end()
    assert left == []


SCOPES = {"any": [True] * 4, "lan": [True, False, True, True], "local": [False, False, True, True], "host-firewall": [True] * 4}


def test_scopes(scene):
    for i, (scope, want) in enumerate(SCOPES.items()):
        scene.serve(scope, 8000 + i, "--label", f"com.pontoon.publish_scope={scope}")
        assert scene.seen(8000 + i) == want, scope
    told = scene.exposure()
    assert {n: r["Scope"] for n, r in told.items()} == {s: s for s in SCOPES}
    assert told["any"]["From"] == "everywhere" and told["local"]["From"] == "this host"
    assert "192.0.2.0/24 at up0" in told["lan"]["From"]
    assert "INPUT" in told["host-firewall"]["DecidedBy"]
    # what the listing calls the deciding rule is there
    for name in ("any", "lan", "local"):
        rule = told[name]["DecidedBy"].split(": ", 1)[1]
        assert rule in scene.rules(), (rule, scene.rules())
    table = scene.cli.out("exposure")
    assert "REACHABLE FROM" in table and "0.0.0.0:8001/tcp" in table
    assert scene.daemon.doctor() == []


def test_the_hosts_own_rules_decide(scene):
    """What INPUT drops does not reach the container; with NAT it would."""
    try:
        scene.space.sh(f"iptables -I INPUT -p tcp --dport 8003 -s {FAR} -j DROP; iptables -I INPUT -p tcp --dport 8000 -s {FAR} -j DROP")
        assert scene.seen(8003) == [True, False, True, True]
        assert scene.seen(8000) == [True] * 4
    finally:
        scene.space.sh(f"iptables -D INPUT -p tcp --dport 8003 -s {FAR} -j DROP; iptables -D INPUT -p tcp --dport 8000 -s {FAR} -j DROP")


def test_lan_follows_the_hosts_addresses(scene):
    """An address that comes makes a subnet on-link, one that goes ends that, while the container runs."""
    far = lambda: scene.ask(scene.outside, FAR, HOST, 8001)
    assert far() == "silent"
    scene.space.sh("ip addr add 198.51.100.9/24 dev up0")
    try:
        assert wait_until(lambda: far() == "hello"), scene.rules()
    finally:
        scene.space.sh("ip addr del 198.51.100.9/24 dev up0")
    scene.space.sh(f"ip route replace 198.51.100.0/24 via {NEAR}")
    assert wait_until(lambda: far() == "silent"), scene.rules()
    assert scene.daemon.doctor() == []


def test_the_list_goes_with_the_last(scene):
    listed = lambda: "DOCKER-LAN" in scene.rules() or '"up0"' in scene.rules()
    assert listed()
    scene.cli("rm", "-f", "lan", ok=True)
    assert listed()  # `local` is limited too
    scene.cli("rm", "-f", "local", ok=True)
    assert not listed()
    assert scene.daemon.doctor() == []


def test_whose_word_counts(scene):
    """The container's before the network's, the network's before the daemon's; all survive a restart of the daemon."""
    scene.cli("network", "create", "-o", "com.pontoon.publish_scope=local", "net1", ok=True)
    scene.serve("by-network", 8010, "--network", "net1")
    scene.serve("by-label", 8011, "--network", "net1", "--label", "com.pontoon.publish_scope=any")
    assert scene.seen(8010) == SCOPES["local"] and scene.seen(8011) == SCOPES["any"]
    scene.daemon.kill9()
    scene.daemon.start("--firewall-backend", scene.backend, "--publish-scope", "lan")
    assert scene.seen(8010) == SCOPES["local"] and scene.seen(8011) == SCOPES["any"]
    scene.serve("by-daemon", 8012)
    assert scene.seen(8012) == SCOPES["lan"]
    assert {n: r["Scope"] for n, r in scene.exposure().items() if n.startswith("by-")} == {"by-network": "local", "by-label": "any", "by-daemon": "lan"}
    assert scene.daemon.doctor() == []


def test_what_nobody_could_keep_is_refused(scene):
    bad = scene.cli("run", "-d", "--label", "com.pontoon.publish_scope=wan", "alpine", "true", ok=False)
    assert 'invalid value of label com.pontoon.publish_scope: "wan" (any, lan, local or host-firewall)' in bad.err
    bad = scene.cli("network", "create", "-o", "com.pontoon.publish_scope=wan", "n", ok=False)
    assert "failed to parse com.pontoon.publish_scope value: wan" in bad.err
    bad = scene.cli("run", "-d", "-p", "9000-9300:9000-9300/sctp", "--label", "com.pontoon.publish_scope=host-firewall", "alpine", "true", ok=False)
    assert 'publish scope "host-firewall"' in bad.err and "publish it in parts" in bad.err
    for mode in ("routed", "nat-unprotected"):
        scene.cli("network", "create", "-o", f"com.docker.network.bridge.gateway_mode_ipv4={mode}", mode, ok=True)
        bad = scene.cli("run", "-d", "--network", mode, "-p", "9400:80", "--label", "com.pontoon.publish_scope=lan", "alpine", "true", ok=False)
        assert f'publish scope "lan"' in bad.err and f"gateway mode {mode}" in bad.err
    assert scene.daemon.doctor() == []


def test_a_long_run_under_the_hosts_rules(scene):
    """One socket serves it; the host's INPUT rules see each port as it was asked for."""
    scene.cli("run", "-d", "--name", "long", "-p", "8900-9300:30-430", "--label", "com.pontoon.publish_scope=host-firewall", "alpine", "sh", "-c", SERVER, ok=True)
    assert scene.seen(8950) == [True] * 4
    scene.space.sh("iptables -A INPUT -p tcp --dport 8900 -j DROP")
    assert scene.seen(8950) == [True] * 4
    scene.space.sh("iptables -A INPUT -i up0 -p tcp --dport 8950 -j DROP")
    assert scene.seen(8950) == [False, False, True, True]
    scene.space.sh("iptables -D INPUT -i up0 -p tcp --dport 8950 -j DROP; iptables -D INPUT -p tcp --dport 8900 -j DROP")
    scene.cli("rm", "-f", "long", ok=True)
    assert scene.daemon.doctor() == []


def test_without_the_proxy(scene):
    """What only the proxy served while it was there is closed, and told so; the rest goes on."""
    scene.serve("closed", 8020, "--label", "com.pontoon.publish_scope=host-firewall")
    scene.serve("open", 8021, "--label", "com.pontoon.publish_scope=local")
    scene.daemon.kill9()
    scene.daemon.start("--firewall-backend", scene.backend, "--userland-proxy=false")
    rows = {(r["Container"], r["HostIP"]): r["From"] for r in scene.daemon.api("GET", "/pontoon/exposure")[1] if r["Container"] in ("closed", "open")}
    assert rows == {("closed", "0.0.0.0"): "nobody", ("closed", "::"): "nobody", ("open", "0.0.0.0"): "this host", ("open", "::"): "nobody"}
    assert scene.seen(8020) == [False] * 4 and scene.seen(8021) == SCOPES["local"]
    # containers are not this host, not even those beside it
    scene.serve("free", 8022)
    beside = SimpleNamespace(enter=["nsenter", "-n", "-t", scene.cli.out("inspect", "-f", "{{.State.Pid}}", "free")])
    assert scene.ask(beside, "", HOST, 8022) == "hello" and scene.ask(beside, "", HOST, 8021) == "silent"
    assert scene.daemon.doctor() == []
