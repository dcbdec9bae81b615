"""Crashes, restarts, options, several daemons."""
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from conftest import LAB, ROUNDS, Client, Daemon, programs, wait_until


counter = itertools.count()


def shell(cmd):
    return subprocess.run(cmd, shell=True, capture_output=True, text=True).stdout


def test_kill9_adopts_running_containers(any_cli, daemon):
    any_cli.out("run", "-d", "--name", "kept", "alpine", "sh", "-c", "trap 'exit 4' TERM; while :; do echo tick; sleep 0.2; done")
    pid = any_cli.out("inspect", "-f", "{{.State.Pid}}", "kept")
    daemon.kill9()
    daemon.start()
    assert any_cli.out("inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "kept") == f"{pid} running"
    assert daemon.doctor() == []
    assert any_cli.out("exec", "kept", "echo", "hello") == "hello"
    assert "tick" in any_cli.out("logs", "--tail", "3", "kept")
    any_cli.out("stop", "kept")
    assert any_cli.out("inspect", "-f", "{{.State.ExitCode}}", "kept") == "4"


def test_exit_while_no_daemon_ran(any_cli, daemon):
    any_cli.out("run", "-d", "--name", "brief", "alpine", "sh", "-c", "sleep 1; exit 6")
    any_cli.out("run", "-d", "--rm", "--name", "gone", "alpine", "sh", "-c", "sleep 1")
    daemon.kill9()
    assert wait_until(lambda: "sleep 1" not in shell("ps ax"))
    daemon.start()
    assert any_cli.out("inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "brief") == "6 exited"
    assert any_cli.out("ps", "-a", "--format", "{{.Names}}") == "brief"
    assert daemon.doctor() == []


def test_exits_are_found_when_their_events_are_lost(any_cli, daemon):
    """The kernel keeps a limited number of events for a daemon that does not come to read them."""
    go, noise = LAB / "lost", daemon.dir / "e/exit"
    go.mkdir(exist_ok=True)
    id = any_cli.out("run", "-d", "--name", "lost", "-v", f"{go}:/go", "alpine", "sh", "-c", "while [ ! -e /go/now ]; do sleep 0.05; done; exit 6")
    daemon.proc.send_signal(signal.SIGSTOP)
    for i in range(int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text()) + 1):
        open(noise / "ab"[i % 2], "w").close()  # two in turn: the same one again would be the same event
    (go / "now").touch()
    assert wait_until((noise / id).exists)
    daemon.proc.send_signal(signal.SIGCONT)
    assert any_cli.out("wait", "lost") == "6"
    assert wait_until(lambda: not (noise / id).exists())
    for name in "ab":
        (noise / name).unlink()
    # a monitor that is killed leaves no file: the end of its container is told all the same
    (go / "now").unlink()
    any_cli.out("start", "lost")
    os.kill(int((daemon.dir / f"e/c/{id[:24]}/conmon.pid").read_text()), signal.SIGKILL)
    assert any_cli.out("wait", "lost") == "137"


def leftovers(daemon):
    """What must not be there once no container is left."""
    out = [l for l in shell("ip -br link").split() if l.startswith("veth")]
    out += [l for l in shell("mount").splitlines() if str(daemon.dir) in l and ("overlay" in l or "nsfs" in l)]
    for sub in ("e/netns", "e/root", "e/c", "e/exit", "e/runtime", "d/containers"):
        out += [f"{sub}/{n}" for n in os.listdir(daemon.dir / sub)]
    return out


def published(port):
    """What is left of a published port once its container has gone: rules and the socket that keeps it."""
    out = [l for l in shell("iptables-save; ip6tables-save").splitlines() if f"dport {port}" in l or f"dport {port - 1000}" in l]
    return out + [l for l in shell("ss -Hltn").splitlines() if f":{port} " in l]


def test_kill9_at_any_moment(any_cli, daemon):
    rng = random.Random(int(os.environ.get("PONTOON_SEED", "20261123")))
    for i in range(ROUNDS):
        ports = (["-p", "127.0.0.1:8100:7100"], ["-p", "8101:7101", "-p", "8102-8103:7102-7103"])
        procs = [any_cli.spawn("run", *(["--rm"] if k % 2 else ["-d"]), "--name", f"r{i}-{k}", *ports[k], "alpine", "sleep", "0.05", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for k in range(2)]
        time.sleep(rng.uniform(0, 0.2))
        daemon.kill9()
        for p in procs:
            p.wait()
        daemon.start()
        known = {c["Id"] for c in daemon.api("GET", "/containers/json?all=1")[1]}
        assert set(os.listdir(daemon.dir / "d/containers")) <= known, i
        assert wait_until(lambda: daemon.doctor() == []), (i, daemon.doctor())
        for c in known:
            daemon.api("DELETE", f"/containers/{c}?force=1")
        left = lambda: leftovers(daemon) + [l for port in range(8100, 8104) for l in published(port)]
        assert wait_until(lambda: left() == []), (i, left())


def test_repairs_what_was_damaged(any_cli, daemon):
    """Damage that nothing announces; what is announced is mended at once (test_heal.py)."""
    id = any_cli.out("run", "-d", "--name", "dam", "alpine", "sleep", "1h")
    inside = f"nsenter --net={daemon.dir}/e/netns/{id[:12]}"
    for cmd in (f"{inside} ip route del default", f"{inside} ip addr flush dev eth0", "sysctl -qw net.ipv6.conf.docker0.accept_ra=1", f"rm {daemon.dir}/d/containers/{id}/hostname"):
        subprocess.run(cmd, shell=True, check=True)
        assert daemon.doctor() != [], cmd
        status, d = daemon.api("POST", "/pontoon/doctor?repair=1")
        assert status == 200 and d["Differences"]
        assert daemon.doctor() == [], cmd
    assert "1 packets received" in any_cli.out("exec", "dam", "ping", "-c1", "-W2", "10.99.0.2")


def test_foreign_rules_stay(daemon):
    subprocess.run("iptables -I FORWARD 3 -s 198.51.100.1 -j DROP; iptables -A DOCKER-USER -s 198.51.100.2 -j DROP; iptables -t nat -A POSTROUTING -s 198.51.100.3 -j ACCEPT", shell=True, check=True)
    before = shell("iptables-save | grep 198.51")
    assert before.count("\n") == 3
    assert daemon.doctor() == []
    daemon.kill9()
    daemon.start()
    assert shell("iptables-save | grep 198.51") == before
    assert shell("iptables -S FORWARD").splitlines()[3] == "-A FORWARD -s 198.51.100.1/32 -j DROP"
    subprocess.run("iptables -D FORWARD -s 198.51.100.1 -j DROP; iptables -D DOCKER-USER -s 198.51.100.2 -j DROP; iptables -t nat -D POSTROUTING -s 198.51.100.3 -j ACCEPT", shell=True, check=True)


@pytest.fixture
def second(busybox):
    """A daemon of its own in a network namespace of its own."""
    made = []

    def make(*args, ok=True):
        d = Daemon(f"second{next(counter)}")
        plain = d.command
        d.command = lambda *a: ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *plain(*a)]
        made.append(d)
        d.start(*args, ok=ok)
        if ok:
            with open(busybox, "rb") as f:
                assert d.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})[0] == 200
        return d, Client(*programs()[0], d)

    yield make
    for d in made:
        if d.proc.poll() is None:
            for c in d.api("GET", "/containers/json?all=1")[1]:
                d.api("DELETE", f"/containers/{c['Id']}?force=1")
            d.stop()


def in_netns(d, cmd):
    return subprocess.run(["nsenter", "-n", "-t", str(d.proc.pid), "sh", "-c", cmd], capture_output=True, text=True).stdout


def test_two_daemons_share_nothing(any_cli, second):
    d, cli = second()
    any_cli.out("run", "-d", "--name", "same", "alpine", "sleep", "1h")
    cli.out("run", "-d", "--name", "same", "alpine", "sleep", "1h")
    assert cli.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "same") == "172.17.0.2"
    assert any_cli.out("ps", "-q") != cli.out("ps", "-q")
    cli.out("rm", "-f", "same")
    assert any_cli.out("ps", "--format", "{{.Names}}") == "same"


def test_bip_fixed_cidr_mtu_and_a_full_pool(second):
    d, cli = second("--bip", "192.168.77.1/24", "--fixed-cidr", "192.168.77.8/30", "--mtu", "1400")
    assert "192.168.77.1/24" in in_netns(d, "ip -br addr show docker0")
    for want in ("8", "9", "10", "11"):
        assert f"192.168.77.{want}/24" in cli.out("run", "-d", "--name", f"p{want}", "alpine", "sleep", "1h") + cli.out("exec", f"p{want}", "ip", "addr")
    assert "mtu 1400" in cli.out("exec", "p8", "ip", "link", "show", "eth0")
    r = cli("run", "-d", "--name", "toomany", "alpine", "sleep", "1h")
    assert r.rc == 125 and "no available IPv4 addresses on this network's address pools: bridge (" in r.err
    assert cli.out("ps", "-a", "--filter", "name=toomany", "--format", "{{.Status}}") == "Created"
    assert d.doctor() == []


def test_no_bridge_no_iptables_no_masquerade(second):
    d, cli = second("--bridge", "none")
    assert "docker0" not in in_netns(d, "ip -br link")
    assert "bridge" not in cli.out("network", "ls", "--format", "{{.Name}}").split()
    d, cli = second("--iptables=false")
    assert "DOCKER" not in in_netns(d, "iptables-save")
    d, cli = second("--ip-masq=false")
    assert "MASQUERADE" not in in_netns(d, "iptables-save") and "-N DOCKER" in in_netns(d, "iptables -S")


def test_policy_stays_when_forwarding_was_on(second):
    d, cli = second("--ip-forward=false")
    assert "-P FORWARD ACCEPT" in in_netns(d, "iptables -S FORWARD")
    assert in_netns(d, "cat /proc/sys/net/ipv4/ip_forward").strip() == "0"


def test_bad_options(daemon):
    def errors(*args):
        p = subprocess.run(daemon.command(*args), capture_output=True, text=True)
        assert p.returncode != 0
        return p.stderr

    assert 'bip: "x" is not an IPv4 address' in errors("--bip", "x", "--validate")
    assert "unknown flag: --nonsense" in errors("--nonsense", "--validate")
    assert "invalid MTU number: 5" in errors("--mtu", "5", "--validate")
    assert "ICC=false uses iptables" in errors("--icc=false", "--iptables=false", "--validate")
    assert "is not running or delete" in errors() or "in use by another pontoond" in errors()
    p = subprocess.run(daemon.command("--validate", "--bip", "10.0.0.1/24"), capture_output=True, text=True)
    assert (p.returncode, p.stdout) == (0, "configuration OK\n")
    (LAB / "bad.json").write_text('{"mtu": "x", "nonsense": 1}')
    text = subprocess.run([daemon.command()[0], "--config-file", str(LAB / "bad.json"), "--validate"], capture_output=True, text=True).stderr
    assert "mtu: expected a number" in text and "don't match any configuration option: nonsense" in text


def test_unreadable_store(second):
    d, cli = second()
    d.stop()
    db = d.dir / "d/pontoon.db"
    db.write_bytes(b"this is no database, and long enough to be looked at " * 100)
    before = db.read_bytes()
    d.start(ok=False)
    assert "pontoon.db" in d.log.read_text() and "nothing was changed" in d.log.read_text()
    assert db.read_bytes() == before


def test_missing_runtime(second):
    d, _ = second("--default-runtime", "no-such-runtime", ok=False)
    assert "no-such-runtime" in d.log.read_text()


def test_orderly_stop_and_restart(second):
    d, cli = second()
    cli.out("run", "-d", "--name", "st", "alpine", "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done")
    assert wait_until(lambda: "up" in cli.out("logs", "st")), "it can be told to end"
    assert d.stop() == 0
    d.start()
    assert cli.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "st") == "exited 5"
    net = json.loads(cli.out("network", "inspect", "bridge"))[0]["Id"]
    d.stop()
    d.start()
    assert json.loads(cli.out("network", "inspect", "bridge"))[0]["Id"] == net
