"""What administrators do to the host that published ports stand on."""
import json
import os
import pathlib
import random
import signal
import subprocess
import threading

import pytest

from conftest import wait_until
from test_bridge import BACKENDS, host  # noqa: F401: fixtures
from test_switch import HOST, NEAR, scene  # noqa: F401

SERVE = ("sh", "-c", "nc -ll -p 80 -e echo here & exec sleep 1h")


def programs_without(prefix, where):
    """A PATH that has everything but these."""
    for d in os.environ["PATH"].split(":"):
        for p in pathlib.Path(d).iterdir() if pathlib.Path(d).is_dir() else []:
            if not p.name.startswith(prefix) and not (where / p.name).exists():
                (where / p.name).symlink_to(p)
    return str(where)


def says(h, address, port, namespace=None):
    enter = ["nsenter", "-n", "-t", str(namespace or h.holder.pid)]
    return subprocess.run([*enter, "timeout", "10", "busybox", "nc", address, str(port)], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def relay_of(h):
    mine = os.readlink(f"/proc/{h.holder.pid}/ns/net")
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (p / "comm").read_text() == "pontoon-relay\n" and os.readlink(p / "ns/net") == mine:
                return int(p.name)
        except OSError:
            pass
    return None


def test_ip6tables_goes_away(host, tmp_path):
    """What needs it is refused by name, or told to be missing; IPv4 goes on."""
    path = [f"PATH={os.environ['PATH']}"]
    h = host("no6", env=path)
    h.cli.out("network", "create", "--ipv6", "six")
    h.daemon.kill9()
    path[0] = f"PATH={programs_without('ip6tables', tmp_path)}"
    h.sh("ip6tables -F; iptables -F; ip link del docker0")
    h.start()
    assert "ip6tables-save was not found: install the package iptables, or start with --firewall-backend nftables or --ip6tables=false" in h.daemon.log.read_text()
    h.run("web", "-p", "8080:80", command=SERVE)
    assert wait_until(lambda: says(h, "127.0.0.1", 8080) == "here") and "dport 8080" in h.sh("iptables-save")
    r = h.cli("network", "create", "--ipv6", "another")
    assert r.rc and "ip6tables-save was not found" in r.err, r
    assert "another" not in h.cli.out("network", "ls")
    missing = h.daemon.doctor()
    assert missing and all("ip6" in json.dumps(d) or "DOCKER" in json.dumps(d) for d in missing), missing
    path[0] = f"PATH={os.environ['PATH']}"
    h.daemon.kill9()
    h.start()
    assert h.daemon.doctor() == [] and "DOCKER-USER" in h.sh("ip6tables-save")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_address_that_comes_later(host, backend):
    """A port at an address that the host has lost is not served, and told to be missing; it is when the address is back."""
    h = host("later-" + backend, "--live-restore", "--firewall-backend", backend, setup="ip addr add 192.0.2.50/32 dev lo")
    h.run("web", "-p", "192.0.2.50:8080:80", "-p", "8081:80", command=SERVE)
    assert wait_until(lambda: says(h, "192.0.2.50", 8080) == says(h, "127.0.0.1", 8081) == "here")
    h.daemon.kill9()
    os.kill(relay_of(h), signal.SIGKILL)
    h.sh("ip addr del 192.0.2.50/32 dev lo")
    h.start()
    assert "failed to bind host port 192.0.2.50:8080/tcp: cannot assign requested address" in h.daemon.log.read_text()
    assert [d for d in h.daemon.doctor() if "192.0.2.50" in json.dumps(d)] and says(h, "127.0.0.1", 8081) == "here"
    h.sh("ip addr add 192.0.2.50/32 dev lo")
    assert wait_until(lambda: h.daemon.doctor() == []), h.daemon.doctor()
    assert says(h, "192.0.2.50", 8080) == "here"


NFT = ["--firewall-backend", "nftables"]


def again(scene, *args):
    scene.daemon.kill9()
    scene.daemon.start(*args)


@pytest.mark.parametrize("args", [[], NFT], ids=BACKENDS if len(BACKENDS) > 1 else None)
def test_the_administrators_word(scene, args):
    """What the people's chain drops stays dropped, whatever comes, goes, is flushed and starts anew; and what it says about others does not matter."""
    again(scene, *args)
    near = scene.outside.proc.pid
    show = "nft list chain inet pontoon user" if args else "iptables -S DOCKER-USER"
    put = "nft add rule inet pontoon user ip saddr 192.0.2.2 meta l4proto tcp ct original proto-dst 8080 drop" if args else "iptables -I DOCKER-USER -s 192.0.2.2 -p tcp -m conntrack --ctorigdstport 8080 -j DROP"
    scene.space.sh(f"{put} && iptables -I FORWARD -s 198.51.100.1 -j ACCEPT; iptables -A FORWARD -s 198.51.100.2 -j ACCEPT; iptables -t nat -I PREROUTING -s 198.51.100.3 -j ACCEPT")
    before, foreign = scene.space.sh(show), [l for l in scene.space.sh("iptables-save").splitlines() if "198.51.100" in l]
    def holds():
        assert wait_until(lambda: scene.daemon.doctor() == []) and scene.space.sh(show) == before
        assert [l for l in scene.space.sh("iptables-save").splitlines() if "198.51.100" in l] == foreign
        assert scene.seen(near, HOST, 8080, limit=0.3) == "" and scene.seen(scene.space.proc.pid, HOST, 8080) == HOST
    try:
        holds()
        scene.cli.out("run", "-d", "--name", "more", "-p", "8095:80", "alpine", "sleep", "1h")
        holds()
        scene.cli.out("rm", "-f", "more")
        assert scene.daemon.stop() == 0
        scene.daemon.start(*args)
        holds()
        scene.space.sh("nft flush chain inet pontoon forward" if args else "iptables -D FORWARD -j DOCKER-USER; iptables -t nat -F DOCKER")
        holds()
        assert scene.space.sh("iptables -S FORWARD").splitlines()[1] == ("-A FORWARD -s 198.51.100.1/32 -j ACCEPT" if args else "-A FORWARD -j DOCKER-USER")
    finally:
        scene.space.sh("nft flush chain inet pontoon user" if args else "iptables -D DOCKER-USER 1")
        scene.space.sh("iptables -D FORWARD -s 198.51.100.1 -j ACCEPT; iptables -D FORWARD -s 198.51.100.2 -j ACCEPT; iptables -t nat -D PREROUTING -s 198.51.100.3 -j ACCEPT")
    assert scene.both(near, HOST, 8080) == NEAR


def test_an_old_dump(scene):
    """Somebody restores the rules of another day: of containers that have gone, and without those that came."""
    again(scene)
    scene.cli.out("run", "-d", "--name", "old", "-p", "8093:80", "-p", "127.0.0.1:8193:81", "alpine", "sleep", "1h")
    dump = [scene.space.sh(f"{p}-save") for p in ("iptables", "ip6tables")]
    assert "8093" in dump[0]
    scene.cli.out("rm", "-f", "old")
    scene.cli.out("run", "-d", "--name", "new", "-p", "8094:80", "alpine", "sh", "-c", "nc -ll -p 80 -e echo new & exec sleep 1h")
    for program, text in zip(("iptables", "ip6tables"), dump):
        subprocess.run([*scene.space.enter, f"{program}-restore"], input=text, text=True, check=True)
    near = scene.outside.proc.pid
    assert wait_until(lambda: scene.daemon.doctor() == []), scene.daemon.doctor()
    assert wait_until(lambda: scene.seen(near, HOST, 8094) == "new") and scene.seen(near, HOST, 8093) == "" and scene.both(near, HOST, 8080) == NEAR
    left = [l for l in scene.space.sh("iptables-save; ip6tables-save").splitlines() if "8093" in l or "8193" in l]
    # one names nothing but a number of the host's loopback: it may be the administrator's, and does not lead anywhere
    assert [l for l in left if "-d 127.0.0.1/32 ! -i lo" not in l] == [], left
    scene.space.sh("iptables -t raw -D PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8193 -j DROP", ok=False)
    scene.cli.out("rm", "-f", "new")


@pytest.mark.parametrize("args,damage", [([], "nft flush ruleset"), (NFT, "nft delete table inet pontoon")], ids=["iptables", "nftables"])
def test_damage_while_containers_start(scene, args, damage):
    """The rules go at any moment of a start: that does not fail, and in the end all is as it should be."""
    again(scene, *args)
    rng = random.Random(int(os.environ.get("PONTOON_SEED", "20261125")))
    for i in range(4):
        hostile = threading.Timer(rng.uniform(0, 0.15), lambda: scene.space.sh(damage, ok=False))
        hostile.start()
        r = scene.cli("run", "-d", "--name", f"h{i}", "-p", f"{8300 + i}:80", "alpine", "sh", "-c", "nc -ll -p 80 -e echo here & exec sleep 1h")
        hostile.join()
        assert r.rc == 0, (i, r)
        if i % 2:
            scene.cli.out("rm", "-f", f"h{i}")
    near = scene.outside.proc.pid
    assert wait_until(lambda: scene.daemon.doctor() == []), scene.daemon.doctor()
    assert wait_until(lambda: scene.seen(near, HOST, 8300) == scene.seen(near, HOST, 8302) == "here") and scene.both(near, HOST, 8080) == NEAR
    scene.cli.out("rm", "-f", "h0", "h2")
    assert scene.daemon.doctor() == []
