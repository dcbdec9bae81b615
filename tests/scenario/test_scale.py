"""Many at once, for long, and at the limits: nothing is left, nothing acknowledged is lost, nothing grows that need not."""
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading

import pytest

from conftest import BUILD, LAB, QUICK, SOAK, Client, Daemon, wait_until
from test_daemon import leftovers, shell

CHURN = 3000 if SOAK else 60 if QUICK else 240
ROUNDS = 40 if SOAK else 2 if QUICK else 4
MANY = 20 if QUICK else 50
SANITIZED = "__asan_init" in subprocess.run(["nm", "-D", str(BUILD / "pontoond")], capture_output=True, text=True).stdout


def in_parallel(n, threads, fn):
    """fn(0) ... fn(n-1); what they raised."""
    left, lock, errors = iter(range(n)), threading.Lock(), []

    def work():
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                return
            try:
                fn(i)
            except Exception as e:  # reported by the caller
                errors.append(e)

    ts = [threading.Thread(target=work) for _ in range(threads)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    return errors


def rows(daemon):
    """Of every table; from a copy, for the daemon holds the file."""
    copy = LAB / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for f in (daemon.dir / "d").glob("pontoon.db*"):
        shutil.copy(f, copy)
    db = sqlite3.connect(copy / "pontoon.db")
    tables = [r[0] for r in db.execute("SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite%'")]
    found = {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}
    db.close()
    return found


def memory(pid):
    return next(int(l.split()[1]) for l in open(f"/proc/{pid}/smaps_rollup") if l.startswith("Pss:"))


def belongings(daemon):
    """Whatever a container could leave behind."""
    pid = daemon.proc.pid
    files = [str(p) for root in ("d", "e") for p in (daemon.dir / root).rglob("*") if "pontoon.db" not in p.name]
    fds = sorted(os.path.basename(l).split(":")[0] for l in shell(f"readlink /proc/{pid}/fd/*").splitlines())
    # crun makes directories in /sys/fs/cgroup/unified even where nothing is mounted there
    parents = f"/sys/fs/cgroup/{os.environ['LAB_NAME']} /sys/fs/cgroup/[!u]*/{os.environ['LAB_NAME']}"
    return {
        "descriptors": [f for f in fds if f != "socket"],
        "files": sorted(files),
        "mounts": shell("cat /proc/self/mountinfo").count(str(daemon.dir)),
        "links": sorted(shell("ip -o link | cut -d: -f2").split()),
        "cgroups": sorted(shell(f"find {parents} -mindepth 1 -type d 2>/dev/null").split()),
        "rows": rows(daemon),
        "rules": shell("iptables-save | grep -c '^-A'"),
        "children": len(shell(f"cat /proc/{pid}/task/*/children").split()),
    }


def test_churn_leaves_nothing(any_cli, daemon):
    """CI: run --rm, again and again, by eight at a time; by our command and by the API."""
    pontoon = Client("pontoon", BUILD / "pontoon", daemon)

    def once(i):
        if i % 2:
            assert pontoon.out("run", "--rm", "alpine", "echo", f"n{i}") == f"n{i}"
            return
        status, c = daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["sh", "-c", f"exit {i % 7}"], "HostConfig": {"NetworkMode": "none" if i % 4 else "bridge"}})
        assert status == 201, c
        assert daemon.api("POST", f"/containers/{c['Id']}/start")[0] == 204
        assert daemon.api("POST", f"/containers/{c['Id']}/wait")[1]["StatusCode"] == i % 7
        status, e = daemon.api("DELETE", f"/containers/{c['Id']}")
        assert status == 204, e

    assert in_parallel(24, 8, once) == []
    assert wait_until(lambda: leftovers(daemon) == []), leftovers(daemon)
    before, was = belongings(daemon), memory(daemon.proc.pid)
    assert in_parallel(CHURN, 8, once) == []
    assert wait_until(lambda: belongings(daemon) == before), {k: (before[k], v) for k, v in belongings(daemon).items() if v != before[k]}
    assert daemon.doctor() == []
    assert (daemon.dir / "d/pontoon.db-wal").stat().st_size < 16 << 20
    if not SANITIZED:
        assert memory(daemon.proc.pid) - was < 4096, "KiB more"


def test_kill9_in_the_middle_of_many(any_cli, daemon):
    """Starts, stops, removals and connects of many at once, and kill -9. What was acknowledged is so afterwards; the rest is one or the other, and whole."""
    rng = random.Random(int(os.environ.get("PONTOON_SEED", "20261125")))
    assert daemon.api("POST", "/networks/create", {"Name": "many"})[0] == 201
    for turn in range(ROUNDS):
        said = {}  # name -> the last that was acknowledged, and whether something was asked for after that

        def ask(name, verb, method, path, body=None):
            said[name] = (said.get(name, ("nothing",))[0], verb)
            if daemon.api(method, path, body)[0] < 300:
                said[name] = (verb, None)

        def life(i):
            name = f"t{turn}-{i}"
            try:
                ask(name, "create", "POST", f"/containers/create?name={name}", {"Image": "alpine", "Cmd": ["sleep", "1000"]})
                ask(name, "start", "POST", f"/containers/{name}/start")
                if i % 3 == 0:
                    ask(name, "connect", "POST", "/networks/many/connect", {"Container": name})
                if i % 3 == 1:
                    ask(name, "stop", "POST", f"/containers/{name}/stop?t=0")
                if i % 3 == 2:
                    ask(name, "remove", "DELETE", f"/containers/{name}?force=1")
            except OSError:
                pass  # the daemon is gone

        crowd = threading.Thread(target=lambda: in_parallel(MANY, 16, life))
        crowd.start()
        crowd.join(rng.uniform(0.1, 1.2 if not SANITIZED else 4))
        daemon.kill9()
        crowd.join()
        daemon.start()
        known = {c["Names"][0][1:]: c for c in daemon.api("GET", "/containers/json?all=1")[1]}
        for name, (done, asked) in said.items():
            state = known[name]["State"] if name in known else None
            if asked is None:
                assert state == {"create": "created", "start": "running", "connect": "running", "stop": "exited", "remove": None}[done], (turn, name, done, state)
            elif done in ("start", "connect") and asked == "connect":
                assert state == "running", (turn, name, done, asked, state)
            elif done == "create":
                assert state in ("created", "running"), (turn, name, state)
            if asked is None and done == "connect":
                assert "many" in known[name]["NetworkSettings"]["Networks"], (turn, name)
            if state == "running":
                assert daemon.api("POST", f"/containers/{name}/kill?signal=0")[0] in (204, 400) and os.path.exists(f"/proc/{daemon.api('GET', f'/containers/{name}/json')[1]['State']['Pid']}")
        assert wait_until(lambda: daemon.doctor() == []), (turn, daemon.doctor())
        ids = {c["Id"] for c in known.values()}
        running = {c["Id"] for c in known.values() if c["State"] == "running"}
        assert set(os.listdir(daemon.dir / "d/containers")) == ids
        assert wait_until(lambda: set(os.listdir(daemon.dir / "e/runtime")) == running)
        assert {p[:12] for p in os.listdir(daemon.dir / "e/netns")} == {i[:12] for i in running}
        assert in_parallel(len(ids), 8, lambda i: daemon.api("DELETE", f"/containers/{list(ids)[i]}?force=1")) == []
        assert wait_until(lambda: leftovers(daemon) == []), (turn, leftovers(daemon))
    assert daemon.api("DELETE", "/networks/many")[0] == 204


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_many_ports_leave_no_memory(backend, busybox, own_network):
    """Two thousand ports in no row, twice. What the C library keeps of that for itself is given back, and what is kept of the tables goes with the rules."""
    d = Daemon(f"ports-{backend}").start("--firewall-backend", backend)

    def once(n):
        keys = {f"{8000 + 2 * i}/tcp": [{"HostPort": str(20000 + 2 * i)}] for i in range(n)}
        status, c = d.api("POST", "/containers/create?name=many", {"Image": "alpine", "Cmd": ["sleep", "1h"], "ExposedPorts": {k: {} for k in keys}, "HostConfig": {"PortBindings": keys}})
        assert status == 201, c
        assert d.api("POST", "/containers/many/start")[0] == 204
        status, c = d.api("GET", "/containers/many/json")
        assert len(c["NetworkSettings"]["Ports"]) == n
        status, c = d.api("DELETE", "/containers/many?force=1")
        assert status == 204, c

    try:
        with open(busybox, "rb") as f:
            assert d.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})[0] == 200
        once(1)
        was = memory(d.proc.pid)
        for _ in range(2):
            once(2000)
        if not SANITIZED:
            assert wait_until(lambda: memory(d.proc.pid) - was < 5120, 5), f"{memory(d.proc.pid) - was} KiB more"
        assert d.doctor() == []
    finally:
        assert d.stop() == 0


def test_no_descriptors_left(any_cli, daemon):
    """At the limit of open files: an error that says so, nothing half done, and what must go on goes on: ends, stops, removals."""
    pid = daemon.proc.pid
    for name in ("brief", "stopped", "removed"):
        any_cli.out("run", "-d", "--name", name, "alpine", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done")
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    refused, started = [], []
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(int(f) for f in os.listdir(f"/proc/{pid}/fd")) + 60, limits[1]))
    try:
        while not refused and len(started) < 100:
            name = f"at{len(started)}"
            status, c = daemon.api("POST", f"/containers/create?name={name}", {"Image": "alpine", "Cmd": ["sleep", "1000"]})
            if status == 201:
                status, c = daemon.api("POST", f"/containers/{name}/start")
            if status >= 300:
                refused.append((status, c["message"]))
            started.append(name)
        assert refused[0][0] == 503 and "too many open files: of the " in refused[0][1], refused
        os.kill(daemon.api("GET", "/containers/brief/json")[1]["State"]["Pid"], signal.SIGKILL)
        assert daemon.api("POST", "/containers/brief/wait")[1]["StatusCode"] == 137
        assert daemon.api("POST", "/containers/stopped/stop")[0] == 204
        assert daemon.api("DELETE", "/containers/removed?force=1")[0] == 204
        assert daemon.doctor() == []
        assert daemon.api("POST", f"/containers/{started[0]}/stop?t=0")[0] == 204
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert daemon.api("POST", f"/containers/{started[0]}/start")[0] == 204
    assert daemon.doctor() == []
