"""Two hundred clients at once: run, exec, logs -f, events, stats, network connect, and questions. No error that dockerd would not give, and afterwards the daemon is as it was."""
import collections
import http.client
import json
import os
import pathlib
import random
import re
import socket
import threading
import time

import pytest
from conftest import BUILD, LAB, QUICK, SOAK, Daemon, wait_until

pytestmark = pytest.mark.usefixtures("own_network")
SECONDS = 300 if SOAK else 6 if QUICK else 30
SANITIZED = "sanitized" in str(BUILD)
PEAK_KB = 40 * 1024


class Crowd(Daemon):
    def status(self):
        text = open(f"/proc/{self.proc.pid}/status").read()
        ends = "VmRSS" not in text
        assert not ends or self.proc.wait(20) is None, f"the daemon has ended ({self.proc.returncode}): {self.log.read_text(errors='replace')[-6000:]}"
        number = lambda key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1))
        return {"resident": number("VmRSS"), "threads": number("Threads"), "files": len(os.listdir(f"/proc/{self.proc.pid}/fd"))}

    def files(self):
        """What the descriptors are: for the report."""
        return collections.Counter(re.sub(r"\d+|[0-9a-f]{12,}", "N", os.readlink(f)) for f in pathlib.Path(f"/proc/{self.proc.pid}/fd").iterdir()).most_common(8)

    def connect(self):
        c = http.client.HTTPConnection("localhost", timeout=120)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.settimeout(120)
        c.sock.connect(str(self.sock))
        return c


class Client(threading.Thread):
    """Does its work again and again until it is told to stop; a connection that it keeps."""

    def __init__(self, crowd, end, work, n):
        super().__init__(daemon=True)
        self.crowd, self.end, self.work, self.n = crowd, end, work, n
        self.failed, self.done, self.conn, self.random = [], 0, None, random.Random(n)

    def call(self, method, path, body=None, allowed=()):
        if not self.conn:
            self.conn = self.crowd.connect()
        self.conn.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
        r = self.conn.getresponse()
        data = r.read()
        if r.status >= 400 and r.status not in allowed:
            self.failed.append(f"{method} {path}: {r.status} {data[:300]!r}")
        return r.status, data

    def stream(self, path, enough):
        """Reads a stream until there was enough of it, then goes away in the middle."""
        c = self.crowd.connect()
        try:
            c.request("GET", path)
            r = c.getresponse()
            if r.status != 200:
                self.failed.append(f"{path}: {r.status} {r.read()[:300]!r}")
                return
            got = 0
            c.sock.settimeout(0.5)
            while got < enough and not self.end.is_set():
                try:
                    data = r.read1(65536)
                except TimeoutError:
                    return
                if not data:
                    return
                got += len(data)
        finally:
            c.close()

    def run(self):
        while not self.end.is_set():
            try:
                self.work(self)
                self.done += 1
            except Exception as x:  # a connection that breaks is a failure of the daemon
                self.failed.append(f"{self.work.__name__}: {x!r}")
                self.conn = None
        if self.conn:
            self.conn.close()


def run_one(c):
    status, data = c.call("POST", "/containers/create", {"Image": "alpine", "Cmd": ["echo", f"client {c.n}"], "HostConfig": {"NetworkMode": "crowd"}})
    if status != 201:
        return
    i = json.loads(data)["Id"]
    c.call("POST", f"/containers/{i}/start")
    status, data = c.call("POST", f"/containers/{i}/wait")
    if status == 200 and json.loads(data)["StatusCode"] != 0:
        c.failed.append(f"run: {data!r}")
    status, data = c.call("GET", f"/containers/{i}/logs?stdout=1")
    if data[8:] != f"client {c.n}\n".encode():
        c.failed.append(f"logs: {data!r}")
    c.call("DELETE", f"/containers/{i}?force=1")


def exec_one(c):
    word = f"word-{c.random.random()}"
    status, data = c.call("POST", f"/containers/steady{c.n % 4}/exec", {"Cmd": ["echo", word], "AttachStdout": True})
    if status != 201:
        return
    i = json.loads(data)["Id"]
    status, data = c.call("POST", f"/exec/{i}/start", {})
    if data[8:] != f"{word}\n".encode():
        c.failed.append(f"exec: {status} {data!r}")
    status, data = c.call("GET", f"/exec/{i}/json")
    if json.loads(data)["ExitCode"] != 0:
        c.failed.append(f"exec: {data!r}")


def follow(c):
    c.stream(f"/containers/steady{c.n % 4}/logs?stdout=1&follow=1&tail=10", 2000)


def events(c):
    c.stream("/events", 5000)


def stats(c):
    c.stream(f"/containers/steady{c.n % 4}/stats", 4000)


def join_and_leave(c):
    """Each client its own network; the containers are shared."""
    name = f"steady{c.n % 4}"
    c.call("POST", f"/networks/own{c.n}/connect", {"Container": name})
    c.call("POST", f"/networks/own{c.n}/disconnect", {"Container": name})


def quarrel(c):
    """All at one network with one container: all but one are told so, in Docker's words."""
    c.call("POST", "/networks/quarrel/connect", {"Container": "steady0"}, allowed=(403,))
    c.call("POST", "/networks/quarrel/disconnect", {"Container": "steady0"}, allowed=(404, 500))


def ask(c):
    path = c.random.choice(["/containers/json?all=1", "/containers/steady1/json", "/info", "/version", "/images/json", "/networks", "/networks/crowd", "/system/df", "/_ping", "/containers/steady2/top"])
    status, data = c.call("GET", path)
    if path != "/_ping":
        json.loads(data)
    time.sleep(0.02)  # others want their turn


CROWD = [(run_one, 20), (exec_one, 30), (follow, 50), (events, 20), (stats, 20), (join_and_leave, 10), (quarrel, 5), (ask, 45)]
assert sum(n for _, n in CROWD) == 200


@pytest.fixture
def crowd(own_network, busybox):
    d = Crowd("crowd").start()
    assert d.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", busybox.read_bytes(), {"Content-Type": "application/x-tar"})[0] == 200
    for n in "crowd", "quarrel":
        assert d.api("POST", "/networks/create", {"Name": n})[0] == 201
    for i in range(4):
        body = {"Image": "alpine", "Cmd": ["sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.1; done"], "HostConfig": {"NetworkMode": "crowd", "LogConfig": {"Config": {"max-size": "1m"}}}}
        assert d.api("POST", f"/containers/create?name=steady{i}", body)[0] == 201
        assert d.api("POST", f"/containers/steady{i}/start")[0] == 204
    yield d
    if d.proc.poll() is None:
        d.clean()
        for n in d.api("GET", "/networks")[1]:
            if n["Name"] not in ("bridge", "host", "none"):
                d.api("DELETE", f"/networks/{n['Id']}")
        d.stop()


def crowd_for(d, seconds):
    """The clients after so much of their work, and if it can be after one turn of each; and the daemon's peak."""
    end = threading.Event()
    clients = []
    for work, n in CROWD:
        for _ in range(n):
            clients.append(Client(d, end, work, len(clients)))
    joiners = [c for c in clients if c.work is join_and_leave]
    for c in joiners:
        assert d.api("POST", "/networks/create", {"Name": f"own{c.n}", "IPAM": {"Config": [{"Subnet": f"10.{100 + c.n % 100}.0.0/24"}]}})[0] == 201
    for c in clients:
        c.start()
    peak, stop = 0, time.monotonic() + seconds
    while (left := stop - time.monotonic()) > 0 or (left > -60 and not all(c.done or c.failed for c in clients)):
        peak = max(peak, d.status()["resident"])
        time.sleep(0.05)
    end.set()
    for c in clients:
        c.join(180)
        assert not c.is_alive(), c.work.__name__
    for c in joiners:
        d.api("DELETE", f"/networks/own{c.n}")
    return clients, peak


def test_two_hundred_clients(crowd):
    warm_up = crowd_for(crowd, 2)[0]
    assert not sum((c.failed for c in warm_up), [])
    settled = lambda: crowd.status()["threads"] <= 60 and crowd.api("GET", "/info")[1]["NEventsListener"] == 0
    assert wait_until(settled, 60), crowd.status()
    before = crowd.status()
    clients, peak = crowd_for(crowd, SECONDS)
    failed = collections.Counter(re.sub(r"[0-9a-f]{12,64}|\d+", "N", f) for c in clients for f in c.failed)
    assert not failed, failed.most_common(20)
    done = collections.Counter()
    for c in clients:
        done[c.work.__name__] += c.done
    assert all(done[work.__name__] > 0 for work, _ in CROWD), done
    assert wait_until(lambda: settled() and crowd.status()["files"] <= before["files"] + 8 and crowd.status()["threads"] <= before["threads"] + 4, 60), (before, crowd.status(), crowd.files())
    after = crowd.status()
    print(f"{SECONDS} s: {dict(done)}; before {before}, after {after}, peak {peak} kB")
    if not SANITIZED:
        assert peak < PEAK_KB, peak
        assert after["resident"] < before["resident"] + 4096, (before, after)
    assert wait_until(lambda: crowd.doctor() == []), crowd.doctor()
