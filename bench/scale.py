"""The figures of bench/scale: inside the lab those of one daemon, as JSON; with --report the section of all."""
import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

CONTAINERS = 200
RUNS = 15


def report(out):
    who = [w for w in ("pontoond", "dockerd") if (out / f"{w}.json").exists()]
    figures = {w: json.loads((out / f"{w}.json").read_text()) for w in who}
    print("## Many at once\n")
    print(f"From `bench/scale` on {os.cpu_count()} cores: through the API, eight requests at a time, in one run. Medians where there is more than one of a kind. PSS of all")
    print("processes that a daemon has and starts for its containers (relay, conmon; containerd and its shims), without the containers' own.\n")
    print(f"| what | {' | '.join(who)} |\n| --- |{' --- |' * len(who)}")
    for name in figures[who[0]]:
        print(f"| {name} | {' | '.join(f'{figures[w][name]:.1f}' if name in figures[w] else '' for w in who)} |")


if sys.argv[1] == "--report":
    report(pathlib.Path(sys.argv[2]))
    sys.exit(0)

WHO, OUT, NETWORKS = sys.argv[1], sys.argv[2], [int(n) for n in sys.argv[3:]]
LAB = pathlib.Path(os.environ["LAB"])
SOCK = str(LAB / "s")
OURS = WHO == "pontoond"
figures = {}


def figure(name, value):
    figures[name] = value
    print(f"{WHO}: {name}: {value:.1f}", flush=True)


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCK)


def api(method, path, body=None):
    c = Connection("localhost", timeout=600)
    c.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    r = c.getresponse()
    data = r.read()
    c.close()
    assert r.status < 400, (method, path, r.status, data)
    return json.loads(data) if data and r.getheader("Content-Type", "").startswith("application/json") else data


def in_parallel(items, fn, threads=8):
    left, lock, errors = iter(items), threading.Lock(), []

    def work():
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                return
            try:
                fn(i)
            except Exception as e:
                errors.append(e)

    ts = [threading.Thread(target=work) for _ in range(threads)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    assert not errors, errors[:3]


def timed(fn):
    start = time.perf_counter()
    fn()
    return (time.perf_counter() - start) * 1000


class Daemon:
    def start(self):
        (LAB / "w").mkdir(exist_ok=True)
        w = LAB / "w"
        tools = pathlib.Path(os.environ["LAB_BUILD"]) / "tools/usr/sbin"
        argv = [os.environ["LAB_BUILD"] + "/pontoond" if OURS else str(tools / "dockerd"), "--data-root", str(w / "d"), "--exec-root", str(w / "e"), "--pidfile", str(w / "p"), "-H", f"unix://{SOCK}",
                "--config-file", str(LAB / "daemon.json"), "--cgroup-parent", "/" + os.environ["LAB_NAME"], "--live-restore", "--default-address-pool", "base=10.128.0.0/10,size=24"]
        if not OURS:
            argv += ["--storage-driver", "overlay2"]
        pathlib.Path(SOCK).unlink(missing_ok=True)
        start = time.perf_counter()
        self.proc = subprocess.Popen(argv, stdout=open(LAB / "wlog", "ab"), stderr=subprocess.STDOUT)
        while True:
            try:
                api("GET", "/_ping")
                return (time.perf_counter() - start) * 1000
            except OSError:
                assert self.proc.poll() is None, (LAB / "wlog").read_text()[-2000:]
                time.sleep(0.002)

    def end(self, sig=signal.SIGTERM):
        self.proc.send_signal(sig)
        self.proc.wait()

    def again(self, sig=signal.SIGTERM):
        self.end(sig)
        return self.start()


def pss(names):
    total = 0
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if any((p / "comm").read_text().startswith(n) for n in names):
                total += next(int(l.split()[1]) for l in open(p / "smaps_rollup") if l.startswith("Pss:"))
        except (OSError, StopIteration):
            pass
    return total


ALL = ("pontoond", "pontoon-relay", "conmon") if OURS else ("dockerd", "containerd")


def one(i, command=("sleep", "1h")):
    api("POST", f"/v1.41/containers/create?name=c{i}", {"Image": "busybox", "Cmd": list(command)})
    api("POST", f"/v1.41/containers/c{i}/start")


def run_one(i):
    one(i, ["true"])
    api("POST", f"/v1.41/containers/c{i}/wait")
    api("DELETE", f"/v1.41/containers/c{i}")


def churn(n):
    return timed(lambda: in_parallel([f"r{i}" for i in range(n)], run_one)) / n


def main():
    d = Daemon()
    figure("first start", d.start())
    subprocess.run(["scripts/busybox-image", str(LAB / "bb.tar")], check=True)
    subprocess.run([os.environ["LAB_BUILD"] + "/tools/usr/bin/docker", "import", str(LAB / "bb.tar"), "busybox"], check=True, stdout=subprocess.DEVNULL)
    run_one("warm")
    figure("start with nothing in it", statistics.median(d.again() for _ in range(5)))
    idle = pss(ALL)
    figure("idle, PSS KiB", idle)
    figure("create, start, wait, remove: each of 64", churn(64))
    figure(f"create and start: each of {CONTAINERS}", timed(lambda: in_parallel(range(CONTAINERS), one)) / CONTAINERS)
    figure("more for each running container, PSS KiB", (pss(ALL) - idle) / CONTAINERS)
    figure(f"create, start, wait, remove beside {CONTAINERS} that run: each of 64", churn(64))
    figure(f"list of {CONTAINERS}", statistics.median(timed(lambda: api("GET", "/v1.41/containers/json")) for _ in range(RUNS)))
    figure(f"inspect, beside {CONTAINERS}", statistics.median(timed(lambda: api("GET", "/v1.41/containers/c7/json")) for _ in range(RUNS)))
    figure(f"start after kill -9, {CONTAINERS} running", d.again(signal.SIGKILL))
    assert len(api("GET", "/v1.41/containers/json")) == CONTAINERS
    figure(f"remove by force: each of {CONTAINERS}", timed(lambda: in_parallel(range(CONTAINERS), lambda i: api("DELETE", f"/v1.41/containers/c{i}?force=1"))) / CONTAINERS)
    have = 0
    for n in NETWORKS if OURS else NETWORKS[:1]:  # a dockerd with 500 networks takes minutes to start
        figure(f"network create: each, {have} to {n}", timed(lambda: [api("POST", "/v1.41/networks/create", {"Name": f"n{i}", "CheckDuplicate": True}) for i in range(have, n)]) / (n - have))
        have = n
        figure(f"list of {n} networks", statistics.median(timed(lambda: api("GET", "/v1.41/networks")) for _ in range(RUNS)))
        figure(f"start with {n} networks", d.again())
        figure(f"create, start, wait, remove beside {n} networks: each of 32", churn(32))
    d.end()


main()
pathlib.Path(OUT).write_text(json.dumps(figures))
