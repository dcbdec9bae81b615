"""pontoond --take-down: Pontoon's network goes, that of others stays, and the next start has all of it again. With both backends, and with iptables of both kinds."""
import re
import subprocess

import pytest

from conftest import BUILD, Client, Daemon
from test_heal import KINDS, Space

COMMENT = "-m comment --comment mine"


@pytest.fixture(params=KINDS, scope="module")
def host(request, busybox):
    space = Space()
    space.sh("ip link set lo up; ip link add ours type bridge; ip link set ours up")
    d = Daemon(f"takedown-{request.param}")
    plain = d.command
    legacy = {n: d.dir / n for n in ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")} if request.param == "iptables-legacy" else {}
    for name, link in legacy.items():
        link.symlink_to(f"/usr/sbin/{name.replace('tables', 'tables-legacy', 1)}")
    path = ["env", f"PATH={d.dir}:/usr/sbin:/usr/bin:/sbin:/bin:{BUILD}/tools/usr/bin"] if legacy else []
    d.command = lambda *a: [*space.enter, *path, *plain(*a)]
    d.kind, d.space, d.iptables = request.param, space, "iptables-legacy" if legacy else "iptables"
    d.start(*KINDS[request.param])
    d.cli = Client("pontoon", BUILD / "pontoon", d)
    with open(busybox, "rb") as f:
        assert d.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})[0] == 200
    yield d
    d.stop()
    space.end()


def take_down(d):
    p = subprocess.run(d.command("--take-down"), capture_output=True, text=True, timeout=60)
    return p.returncode, p.stderr.strip()


def links(d):
    return sorted(re.findall(r"^\d+: ([^:@]+)", d.space.sh("ip -o link"), re.M))


def rules(d):
    text = d.space.sh(f"{d.iptables}-save; {d.iptables.replace('ip', 'ip6', 1)}-save; nft list tables")
    return [line for line in text.splitlines() if not re.match(r"#|COMMIT|\*", line) and not re.match(r":[A-Z]+ (ACCEPT|DROP) ", line) and not re.match(r"table ip6? (filter|nat|raw|mangle)$", line)]


def test_all_of_ours_and_nothing_else(host):
    d = host
    d.space.sh(f"{d.iptables} -I DOCKER-USER {COMMENT} -j RETURN; {d.iptables} -A FORWARD -i ours {COMMENT} -j ACCEPT" if d.kind != "nftables" else
               f"{d.iptables} -N DOCKER-USER; {d.iptables} -A DOCKER-USER {COMMENT} -j RETURN; {d.iptables} -A FORWARD -i ours {COMMENT} -j ACCEPT")
    d.cli.out("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "front")
    d.cli.out("run", "-d", "--name", "web", "--network", "front", "-p", "8080:80", "alpine", "sleep", "1h")
    assert len(links(d)) == 5 and "8080" in d.space.sh(f"{d.iptables}-save; nft list ruleset"), (links(d), rules(d))
    before = links(d)
    code, said = take_down(d)
    assert code == 1 and "nothing is taken down" in said and "another" in said, said
    d.stop()  # live-restore: the container goes on
    assert take_down(d) == (1, "pontoond: nothing is taken down: container web runs: start pontoond and stop it first")
    assert links(d) == before
    d.start(*d.args)
    d.cli.out("stop", "-t", "0", "web")
    d.stop()
    d.space.sh("ip link add guest0 type veth peer name guest1; ip link set guest0 master docker0")
    assert take_down(d) == (1, "pontoond: nothing is taken down: guest0 hangs on docker0 and is not Pontoon's: remove it first")
    d.space.sh("ip link del guest0")
    assert "docker0" in links(d)
    for _ in range(2):  # again it has nothing to do
        assert take_down(d) == (0, "")
        assert links(d) == ["lo", "ours"]
        left = rules(d)
        assert [r for r in left if "mine" not in r] == [r for r in left if r.startswith(":DOCKER-USER") or r == "-A DOCKER-USER -j RETURN"] and sum("mine" in r for r in left) == 2, left
    d.start(*d.args)
    assert d.doctor() == [] and "docker0" in links(d)
    d.cli.out("start", "web")
    assert d.doctor() == []
    d.cli.out("rm", "-f", "web")
    d.cli.out("network", "rm", "front")
    d.stop()
    for f in (d.dir / "d").glob("pontoon.db*"):
        f.unlink()
    assert take_down(d) == (0, "") and links(d) == ["lo", "ours"], "the bridges say whose they are"
    assert sum("mine" in r for r in rules(d)) == 2 and not re.search("docker0|172.17", "".join(rules(d)))
