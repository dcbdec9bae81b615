"""The embedded name server, row by row, asked from inside containers; and the host's resolvers, which may change at any time."""
import itertools
import os
import pathlib
import shutil
import socket
import struct
import subprocess

import pytest

from conftest import LAB, Client, Daemon, programs, wait_until
from nets import Scene, Upstream, ask, encode, in_netns, outside, parse

counter = itertools.count()
OUTSIDE = os.environ["LAB_OUTSIDE_PID"]
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


def known(address):
    """Names of "example" are there, the others are not."""
    return lambda name, kind: (0, [address] if kind == 1 else []) if name.endswith("example") else (NXDOMAIN, [])


@pytest.fixture
def upstream():
    """Servers outside, at addresses of their own."""
    made = []

    def make(address, say, pid=OUTSIDE, **more):
        if pid == OUTSIDE and address != "10.99.0.2" and ":" not in address:
            outside(f"ip addr replace {address}/24 dev up0")
        made.append(Upstream(pid, address, say, **more))
        return made[-1]

    yield make
    for u in made:
        u.close()


class Named(Scene):
    def address(self, name, network, six=False):
        return self.cli.out("inspect", "-f", "{{(index .NetworkSettings.Networks \"%s\").%s}}" % (network, "GlobalIPv6Address" if six else "IPAddress"), name)


@pytest.fixture
def scene(any_cli):
    s = Named(any_cli)
    yield s
    s.end()


def test_where_a_name_is_looked_for(scene):
    scene.net("alpha")
    scene.net("beta")
    scene.net("two.words")
    asker = scene.run("asker", "--network", "alpha", "--link", "web-b:friend", "--link", "other:web-a")
    scene.cli.out("network", "connect", "beta", "asker")
    scene.cli.out("network", "connect", "two.words", "asker")
    scene.run("web-a", "--network", "alpha", "--network-alias", "web", "--network-alias", "with.dots")
    scene.run("other", "--network", "alpha")
    scene.run("web-b", "--network", "beta", "--network-alias", "web", "--network-alias", "with.dots", "--network-alias", "Mixed")
    scene.run("web-c", "--network", "two.words", "--network-alias", "web")
    a, b, c = scene.address("web-a", "alpha"), scene.address("web-b", "beta"), scene.address("web-c", "two.words")
    assert ask(asker, "web").values() == [a], "the first network by name, all else being equal"
    assert ask(asker, "web.alpha").values() == [a] and ask(asker, "web.beta").values() == [b]
    assert ask(asker, "web.two.words").values() == [c], "a network's name may have dots"
    assert ask(asker, "with.dots").values() == [a] and ask(asker, "with.dots.beta").values() == [b], "the whole name first"
    assert ask(asker, "web-a").values() == [scene.address("other", "alpha")], "a link before a name"
    r = ask(asker, "MiXeD")
    assert r.values() == [b] and r.records[0][0] == "MiXeD" and r.question == "MiXeD"
    scene.cli.out("network", "disconnect", "beta", "asker")
    scene.cli.out("network", "connect", "--gw-priority", "7", "beta", "asker") if "gw-priority" in scene.cli("network", "connect", "--help").out else scene.cli.daemon.api(
        "POST", "/networks/beta/connect", {"Container": "asker", "EndpointConfig": {"GwPriority": 7}})
    assert ask(asker, "web").values() == [b], "the gateway's network first"
    assert "default via" in scene.cli.out("exec", "asker", "ip", "route") and "dev eth1" in scene.cli.out("exec", "asker", "ip", "route").splitlines()[0]


def test_kinds_of_questions(scene, upstream):
    up = upstream("10.99.0.2", known("192.0.2.7"))
    scene.net("four")
    scene.net("both", "--ipv6", "--subnet", "fd00:55::/64")
    asker = scene.run("asker", "--network", "four")
    scene.cli.out("network", "connect", "both", "asker")
    scene.run("plain", "--network", "four", "--network-alias", "pair", "--hostname", "HostName")
    scene.run("dual", "--network", "both")
    scene.run("second", "--network", "four", "--network-alias", "pair")
    plain, dual = scene.address("plain", "four"), scene.address("dual", "both")
    for tcp in (False, True):
        r = ask(asker, "plain", tcp=tcp)
        assert r.values() == [plain] and r.flags & 0x8400 == 0x8000 and r.flags & 0x80, "RA and not AA"
        assert ask(asker, "plain", "AAAA", tcp) [:2] == ("NOERROR", []), "the other family is empty, and not asked for elsewhere"
        assert ask(asker, "plain", "MX", tcp)[:2] == ("NOERROR", [])
        assert ask(asker, "dual", "AAAA", tcp).values() == [scene.address("dual", "both", six=True)]
        assert ask(asker, ".".join(reversed(plain.split("."))) + ".in-addr.arpa", "PTR", tcp).values() == ["plain.four"]
    assert ask(asker, "hostname").values() == [plain] and ask(asker, scene.cli.out("inspect", "-f", "{{.Id}}", "plain")[:12]).values() == [plain]
    six = socket.inet_pton(socket.AF_INET6, scene.address("dual", "both", six=True)).hex()
    assert ask(asker, ".".join(reversed(six)) + ".ip6.arpa", "PTR").values() == ["dual.both"]
    assert up.names() == [], "nothing of this is anybody else's business"
    pair = {plain, scene.address("second", "four")}
    orders = {tuple(ask(asker, "pair").values()) for _ in range(40)}
    assert all(set(o) == pair for o in orders) and len(orders) == 2, "in turn"
    assert ask(asker, "5.2.0.192.in-addr.arpa", "PTR").rcode == "NXDOMAIN" and ask(asker, "plain", "TXT").rcode == "NXDOMAIN"
    assert ask(asker, "some.example").values() == ["192.0.2.7"] and ask(asker, "no.where").rcode == "NXDOMAIN"
    assert up.names() == ["5.2.0.192.in-addr.arpa", "plain", "some.example", "no.where"], "PTR of others, other kinds, other names"
    assert ask(asker, "solo-example").values() == ["192.0.2.7"], "without ndots also a single word"


def test_ndots_and_search(scene, upstream):
    up = upstream("10.99.0.2", known("192.0.2.7"))
    scene.net("dots")
    asker = scene.run("asker", "--network", "dots", "--dns-option", "ndots:2", "--dns-search", "corp.example")
    assert scene.cli.out("exec", "asker", "grep", "-v", "^#", "/etc/resolv.conf").split() == ["nameserver", "127.0.0.11", "search", "corp.example", "options", "ndots:2"]
    assert ask(asker, "single-example")[:2] == ("NOERROR", []) and ask(asker, "single-example", "AAAA")[:2] == ("NOERROR", []) and up.names() == []
    assert ask(asker, "two.example").values() == ["192.0.2.7"] and ask(asker, "asker").values() == [scene.address("asker", "dots")]
    assert ask(asker, "single-example", "TXT").rcode == "NOERROR" and up.names() == ["two.example", "single-example"]
    scene.run("odd", "--network", "dots", "--dns-option", "ndots:nine")
    assert "options ndots:0" in scene.cli.out("exec", "odd", "cat", "/etc/resolv.conf") and "nine" not in scene.cli.out("exec", "odd", "cat", "/etc/resolv.conf")
    scene.run("none", "--network", "dots", "--dns-search", ".")
    assert "search" not in scene.cli.out("exec", "none", "grep", "-v", "^#", "/etc/resolv.conf")


def test_servers_in_turn(scene, upstream):
    first = upstream("10.99.0.11", lambda name, kind: ({"refused.example": REFUSED, "broken.example": SERVFAIL, "gone.example": NXDOMAIN}.get(name, 0), ["192.0.2.1"] if name == "good.example" else []))
    second = upstream("10.99.0.12", lambda name, kind: (0, ["192.0.2.2"] if name != "worse.example" else []))
    scene.net("turns")
    asker = scene.run("asker", "--network", "turns", "--dns", "10.99.0.11", "--dns", "10.99.0.12")
    assert ask(asker, "good.example").values() == ["192.0.2.1"]
    assert ask(asker, "refused.example").values() == ["192.0.2.2"] and ask(asker, "broken.example").values() == ["192.0.2.2"], "SERVFAIL and REFUSED: the next one"
    assert ask(asker, "gone.example").rcode == "NXDOMAIN" and "gone.example" not in second.names(), "any other answer is final"
    first.say = second.say = lambda name, kind: (SERVFAIL, [])
    assert ask(asker, "all.example").rcode == "SERVFAIL"
    dead = scene.run("dead", "--network", "turns", "--dns", "10.99.0.99", "--dns", "10.99.0.12")
    second.say = lambda name, kind: (0, ["192.0.2.3"])
    assert ask(dead, "slow.example").values() == ["192.0.2.3"], "one that is silent"


def test_whose_namespace(scene, upstream):
    """The host's resolvers are asked from the host; those of --dns from the container; an internal network lets nothing out."""
    host = upstream("10.99.0.2", known("192.0.2.7"))
    scene.net("wide")
    scene.net("tight", "--internal")
    asker = scene.run("asker", "--network", "wide")
    assert ask(asker, "one.example").values() == ["192.0.2.7"] and host.asked[-1][2] == "10.99.0.1"
    shut = scene.run("shut", "--network", "tight")
    assert ask(shut, "two.example").rcode == "SERVFAIL" and ask(shut, "shut").values() == [scene.address("shut", "tight")]
    assert "two.example" not in host.names()
    scene.cli.out("network", "connect", "wide", "shut")
    assert ask(shut, "three.example").values() == ["192.0.2.7"], "a way out has come"
    scene.cli.out("network", "disconnect", "wide", "shut")
    assert ask(shut, "four.example").rcode == "SERVFAIL" and "four.example" not in host.names()
    server = scene.run("server", "--network", "tight")
    inner = upstream(scene.address("server", "tight"), known("192.0.2.8"), pid=server)
    own = scene.run("own", "--network", "tight", "--dns", scene.address("server", "tight"))
    assert ask(own, "five.example").values() == ["192.0.2.8"] and inner.asked[-1][2] == scene.address("own", "tight"), "a server on the internal network itself"
    local = scene.run("local", "--network", "wide", "--dns", "127.0.0.1")
    mine = upstream("127.0.0.1", known("192.0.2.9"), pid=local)
    assert ask(local, "six.example").values() == ["192.0.2.9"] and mine.asked[-1][2] == "127.0.0.1", "127.0.0.1 is the container's"
    self = scene.run("self", "--network", "wide", "--dns", "127.0.0.11")
    assert ask(self, "seven.example").rcode == "SERVFAIL" and ask(self, "self").values() == [scene.address("self", "wide")]


def test_own_server_on_port_53(scene, upstream):
    upstream("10.99.0.2", known("192.0.2.7"))
    scene.net("port53")
    pid = scene.run("busy", "--network", "port53")
    own = upstream("0.0.0.0", lambda name, kind: (0, ["192.0.2.50"]), pid=pid)
    assert ask(pid, "anything", server="127.0.0.1").values() == ["192.0.2.50"]
    assert ask(pid, "busy").values() == [scene.address("busy", "port53")] and ask(pid, "some.example").values() == ["192.0.2.7"]
    peer = scene.run("peer", "--network", "port53")
    assert ask(peer, "anything", server=scene.address("busy", "port53")).values() == ["192.0.2.50"] and "busy" not in own.names()
    tcp = in_netns(pid, lambda: socket.create_server(("0.0.0.0", 53)))
    assert ask(pid, "peer", tcp=True).values() == [scene.address("peer", "port53")]
    tcp.close()


def test_names_come_and_go_at_once(scene, upstream):
    upstream("10.99.0.2", known("192.0.2.7"))
    scene.net("quick")
    asker = scene.run("asker", "--network", "quick")
    for i in range(5):
        scene.run("fleeting", "--network", "quick")
        assert ask(asker, "fleeting").values() == [scene.address("fleeting", "quick")]
        scene.cli.out("rm", "-f", "fleeting")
        assert ask(asker, "fleeting").rcode != "NOERROR"
    scene.cli.out("create", "--name", "mover", "alpine", "sleep", "1h")
    scene.cli.out("start", "mover")
    for i in range(5):
        scene.cli.out("network", "connect", "--alias", "guest", "quick", "mover")
        assert ask(asker, "guest").values() == [scene.address("mover", "quick")] == ask(asker, "mover").values()
        scene.cli.out("network", "disconnect", "quick", "mover")
        assert ask(asker, "guest").rcode != "NOERROR" and ask(asker, "mover").rcode != "NOERROR"


def test_long_answers(scene, upstream):
    """Cut at what the client takes, whole over TCP; of an upstream that sends more than was asked for, and of one that cuts."""
    many = [f"192.0.2.{i}" for i in range(1, 101)]  # 1,600 bytes

    def say(name, kind):
        return 0, many[:int(name.split(".")[0])] if name[0].isdigit() else []

    loose = upstream("10.99.0.31", say)
    strict = upstream("10.99.0.32", say, most=512)
    scene.net("long")
    one = scene.run("one", "--network", "long", "--dns", "10.99.0.31")
    two = scene.run("two", "--network", "long", "--dns", "10.99.0.32")
    for pid, up, zone in ((one, loose, "loose"), (two, strict, "strict")):
        assert ask(pid, f"20.{zone}").values() == many[:20], "below 512 bytes"
        r = ask(pid, f"40.{zone}")
        assert r.flags & 0x200 and set(r.values()) < set(many), "cut for a client without EDNS"
        r = ask(pid, f"41.{zone}", edns=1232)
        assert not r.flags & 0x200 and r.values() == many[:41], "whole for one with"
        assert ask(pid, f"100.{zone}", edns=1232).flags & 0x200
        assert ask(pid, f"100.{zone}", edns=4096).values() == many
        assert ask(pid, f"99.{zone}", edns=100).flags & 0x200, "nobody takes less than 512"
    assert strict.over_tcp and not loose.over_tcp
    assert ask(two, "98.strict", tcp=True).values() == many[:98] and ask(two, "40.strict", tcp=True).values() == many[:40]


def test_questions_that_are_none(scene, upstream):
    """Whatever a container sends, the others and the next question do not notice; reverse names that name no address are somebody else's."""
    up = upstream("10.99.0.2", known("192.0.2.7"))
    scene.net("odd", "--subnet", "10.91.0.0/24", "--ipv6", "--subnet", "fd00:91::/64")
    pid = scene.run("sender", "--network", "odd")
    head = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0)
    good = head + encode("sender") + struct.pack("!2H", 1, 1)
    udp = in_netns(pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.settimeout(10)
    udp.connect(("127.0.0.11", 53))
    # no head, answers, no question, another operation, two questions, a label that is too long, a pointer to itself, no end, rubbish behind, a long name, a long datagram
    for bad in (b"", b"x", head[:11], struct.pack("!6H", 1, 0x8180, 1, 0, 0, 0) + good[12:], struct.pack("!6H", 1, 0x100, 0, 0, 0, 0), struct.pack("!6H", 2, 0x2900, 1, 0, 0, 0) + good[12:],
                struct.pack("!6H", 3, 0x100, 2, 0, 0, 0) + good[12:] + good[12:], head + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", head + b"\xc0\x0c\0\1\0\1", good[:-3], good + b"rubbish",
                head + b"\x3f" + (b"a" * 63 + b"\x3f") * 4 + b"\0\0\1\0\1", b"y" * 5000, os.urandom(400)):
        udp.send(bad)
    udp.send(struct.pack("!H", 4242) + good[2:])
    while struct.unpack("!H", (reply := udp.recv(65536))[:2])[0] != 4242:
        assert reply[3] & 15 in (1, 4) or parse(reply).values() == [scene.address("sender", "odd")], "FORMERR, NOTIMP; rubbish behind a question is not read"
    assert parse(reply).values() == [scene.address("sender", "odd")]
    udp.close()
    for bad in (b"\0\0", b"\0\x05hello", b"\xff\xff" + good, struct.pack("!H", len(good) + 3) + good + b"xxx"):
        tcp = in_netns(pid, lambda: socket.create_connection(("127.0.0.11", 53), 10))
        tcp.sendall(bad)
        tcp.close()
    assert ask(pid, "sender", tcp=True).values() == [scene.address("sender", "odd")] and up.names() == []
    reverse = ["2.0.91.10.in-addr.arpa"]
    six = ".".join(reversed(socket.inet_pton(socket.AF_INET6, scene.address("sender", "odd", six=True)).hex())) + ".ip6.arpa"
    assert all(ask(pid, n, "PTR").values() == ["sender.odd"] for n in (*reverse, six, six.upper())) and up.names() == []
    none = ["0.91.10.in-addr.arpa", "1.2.0.91.10.in-addr.arpa", "256.0.91.10.in-addr.arpa", "02.0.91.10.in-addr.arpa", "x.0.91.10.in-addr.arpa", "in-addr.arpa", "-2.0.91.10.in-addr.arpa",
            six[2:], "0." + six, "g" + six[1:], "ip6.arpa", "2.0.91.10.in-addr.arpa.odd", "2.0.91.10.in-addr"]
    assert {ask(pid, n, "PTR").rcode for n in none} == {"NXDOMAIN"} and up.names() == none
    up.asked.clear()
    assert ask(pid, "sender", "MX")[:2] == ("NOERROR", []) and up.names() == []
    assert {ask(pid, "sender", k).rcode for k in ("SRV", "NS", "ANY", "TXT")} == {"NXDOMAIN"} and up.names() == ["sender"] * 4, "of other kinds nobody here knows"


@pytest.fixture
def own_daemon(busybox, daemon):
    """A daemon that reads a resolv.conf of ours; instead of the other one, as docker0 is there once."""
    made = []
    daemon.stop()

    def make(path):
        d = Daemon("resolvers")
        config = d.dir / "daemon.json"
        config.write_text('{"resolv-conf": "%s"}' % path if path else "{}")
        plain = d.command
        d.command = lambda *a: [str(config) if x == str(LAB / "daemon.json") else x for x in plain(*a)]
        d.start()
        made.append(d)
        with open(busybox, "rb") as f:
            d.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})
        return Named(Client(*programs()[0], d))

    yield make
    for d in made:
        for c in d.api("GET", "/containers/json?all=1")[1]:
            d.api("DELETE", f"/containers/{c['Id']}?force=1")
        d.api("POST", "/networks/prune")
        assert d.doctor() == []
        d.stop()
    daemon.start()


def test_resolvers_change(own_daemon, upstream):
    """In place, by a rename, by another target of a link, by a directory that comes: each time the next question goes to the new one."""
    for i in (21, 22, 23):
        upstream(f"10.99.0.{i}", known(f"192.0.2.{i}"))
    top = LAB / "etc"
    shutil.rmtree(top, ignore_errors=True)
    (top / "a").mkdir(parents=True)
    (top / "a/conf").write_text("nameserver 10.99.0.21\nsearch first.example\n")
    (top / "resolv.conf").symlink_to("link")
    (top / "link").symlink_to(top / "a/conf")
    s = own_daemon(top / "resolv.conf")
    s.net("live")
    user = s.run("user", "--network", "live")
    s.run("plain")
    s.run("edited")
    s.cli.out("exec", "edited", "sh", "-c", "echo '# mine' >>/etc/resolv.conf")
    count = [0]

    def asks(i):
        def there():
            count[0] += 1
            return ask(user, f"n{count[0]}.example").values() == [f"192.0.2.{i}"]

        assert wait_until(there), i
        assert wait_until(lambda: f"nameserver 10.99.0.{i}\n" in s.cli.out("exec", "plain", "cat", "/etc/resolv.conf") + "\n"), "and so do the files that nobody has edited"
        assert "10.99.0.21" in s.cli.out("exec", "edited", "cat", "/etc/resolv.conf")

    asks(21)
    (top / "a/conf").write_text("nameserver 10.99.0.22\nsearch second.example\n")
    asks(22)
    assert wait_until(lambda: "search second.example" in s.cli.out("exec", "user", "cat", "/etc/resolv.conf"))
    (top / "new").write_text("nameserver 10.99.0.23\n")
    (top / "new").rename(top / "a/conf")
    asks(23)
    (top / "b").write_text("nameserver 10.99.0.21\n")
    (top / "other").symlink_to("b")
    (top / "other").rename(top / "link")
    asks(21)
    (top / "to-come").symlink_to("later/deep/conf")
    (top / "to-come").rename(top / "resolv.conf")
    (top / "later/deep").mkdir(parents=True)
    (top / "later/deep/conf").write_text("nameserver 10.99.0.22\n")
    asks(22)
    (top / "later").rename(top / "gone")
    (top / "later/deep").mkdir(parents=True)
    (top / "later/deep/conf").write_text("nameserver 10.99.0.23\n")
    asks(23)
    s.cli.out("network", "connect", "live", "plain")
    assert "nameserver 127.0.0.11" in s.cli.out("exec", "plain", "cat", "/etc/resolv.conf"), "after all that it is still ours"
    s.cli.out("network", "connect", "live", "edited")
    text = s.cli.out("exec", "edited", "cat", "/etc/resolv.conf")
    assert "# mine" in text and "127.0.0.11" not in text, "and this is not"
    s.cli.out("restart", "-t", "0", "edited")
    text = s.cli.out("exec", "edited", "cat", "/etc/resolv.conf")
    assert "# mine" not in text and "127.0.0.11" in text


def test_systemd_resolved(own_daemon, upstream):
    """A stub alone in /etc/resolv.conf means the real list; when that goes, the stub counts, and cannot be used from docker0."""
    upstream("10.99.0.21", known("192.0.2.21"))
    upstream("10.99.0.22", known("192.0.2.22"))
    real, etc = pathlib.Path("/run/systemd/resolve/resolv.conf"), LAB / "resolv.conf"
    before = etc.read_text()
    try:
        s = own_daemon(None)
        s.net("live")
        user = s.run("user", "--network", "live")
        real.parent.mkdir(parents=True)
        real.write_text("nameserver 10.99.0.21\n")
        etc.write_text("nameserver 127.0.0.53\noptions edns0\n")
        assert wait_until(lambda: ask(user, "some.example").values() == ["192.0.2.21"])
        real.write_text("nameserver 10.99.0.22\n")
        assert wait_until(lambda: ask(user, "another.example").values() == ["192.0.2.22"])
        assert "'/run/systemd/resolve/resolv.conf' (internal resolver)" in s.cli.out("exec", "user", "cat", "/etc/resolv.conf")
        shutil.rmtree(real.parent.parent)
        s.run("plain")
        assert wait_until(lambda: "8.8.8.8" in s.cli.out("exec", "plain", "cat", "/etc/resolv.conf"))
        text = s.cli.out("exec", "plain", "cat", "/etc/resolv.conf")
        assert "127.0.0.53" not in text and "options edns0" in text
    finally:
        etc.write_text(before)
        shutil.rmtree("/run/systemd", ignore_errors=True)


def test_resolvers_of_the_host_itself(own_daemon, upstream):
    """On its loopback, on a link, none at all: what a container on each kind of network gets of them."""
    conf = LAB / "own-resolv.conf"
    conf.write_text("nameserver ::1\nnameserver 127.0.0.53\n")
    six, four = upstream("::1", known("192.0.2.61"), pid=os.getpid()), upstream("127.0.0.53", known("192.0.2.53"), pid=os.getpid())
    s = own_daemon(conf)
    s.net("wide")
    s.net("tight", "--internal")
    assert s.cli.daemon.api("POST", "/networks/create", {"Name": "six", "EnableIPv4": False, "EnableIPv6": True})[0] == 201
    s.networks.append("six")
    wide, tight, only6 = s.run("wide1", "--network", "wide"), s.run("tight1", "--network", "tight"), s.run("six1", "--network", "six")
    s.run("plain")
    assert ask(wide, "one.example").values() == ["192.0.2.61"] and six.asked[-1][2] == "::1", "the host's ::1, asked from the host"
    assert ask(only6, "two.example").values() == ["192.0.2.61"] and s.address("six1", "six") == "", "also by a container that has no IPv4"
    assert ask(tight, "three.example").rcode == "SERVFAIL" and "three.example" not in six.names() + four.names()
    text = s.cli.out("exec", "plain", "cat", "/etc/resolv.conf")
    assert "nameserver 8.8.8.8" in text and "::1" not in text and "127.0.0.53" not in text and "2001:" not in text

    def asks(want):
        """A changed file counts from some moment on."""
        return wait_until(lambda: ask(wide, f"n{next(counter)}.example").values() == want)

    conf.write_text("nameserver 127.0.0.53\n")
    assert asks(["192.0.2.53"])
    # a router's link-local address, as it comes with router advertisements
    outside("ip addr replace fe80::53/64 dev up0 nodad; ip link set up0 up")
    subprocess.run("ip addr replace fe80::1/64 dev uplink0 nodad", shell=True, check=True)
    upstream("fe80::53%up0", known("192.0.2.80"))
    conf.write_text("nameserver fe80::53%uplink0\n")
    assert asks(["192.0.2.80"])
    assert wait_until(lambda: "fe80" not in s.cli.out("exec", "plain", "cat", "/etc/resolv.conf"))
    conf.write_text("nameserver fe80::53%gone0\n")
    assert wait_until(lambda: ask(wide, f"n{next(counter)}.example").rcode == "SERVFAIL"), "on a link that is not there"
    conf.write_text("")
    assert wait_until(lambda: "(internal resolver)" in s.cli.out("exec", "wide1", "cat", "/etc/resolv.conf"))
    assert ask(wide, "four.example").rcode == "SERVFAIL" and ask(wide, "wide1").values() == [s.address("wide1", "wide")], "nobody to ask; names go on"
    # 127.0.0.11 alone is nobody either; with another that one is asked
    upstream("10.99.0.31", known("192.0.2.31"))
    both = s.run("both", "--network", "wide", "--dns", "127.0.0.11", "--dns", "10.99.0.31")
    assert ask(both, "five.example").values() == ["192.0.2.31"]
