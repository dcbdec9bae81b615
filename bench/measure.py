"""The figures of one daemon, inside the lab: written as JSON for bench/report.py."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

WHO, CLIENT, OUT = sys.argv[1:4]
LAB = pathlib.Path(os.environ["LAB"])
OURS = WHO != "dockerd"
N = 31 if OURS else 11
figures = {}


def run(*argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **kw)


def docker(*args):
    return run(CLIENT, *args)


def timed(fn):
    start = time.perf_counter()
    fn()
    return (time.perf_counter() - start) * 1000


def figure(name, values):
    values = list(values)
    figures[name] = statistics.median(values)
    print(f"{WHO}: {name}: {figures[name]:.1f}", flush=True)


def processes():
    """The daemon's own, without what belongs to a container: conmon, containerd-shim."""
    names = ("pontoond", "pontoon-relay") if OURS else ("dockerd", "containerd", "docker-proxy")
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (p / "comm").read_text().strip() in names:
                found.append(int(p.name))
        except OSError:
            pass
    return found


def pss(pids):
    total = 0
    for pid in pids:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def bare_runtime():
    """The floor: the runtime alone, on the same root file system."""
    bundle = LAB / "bundle"
    (bundle / "rootfs").mkdir(parents=True, exist_ok=True)
    run("tar", "-C", str(bundle / "rootfs"), "-xf", f"{LAB}/bb.tar")
    run(WHO, "spec", cwd=bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=["true"])
    (bundle / "config.json").write_text(json.dumps(config))
    figure("bare runtime, `run` of true", (timed(lambda: run(WHO, "run", "--bundle", str(bundle), f"bare-{time.monotonic_ns()}")) for _ in range(N)))


figure("idle, PSS KiB", [pss(processes())])
docker("run", "--rm", "busybox", "true")
if OURS:
    bare_runtime()
    figure("`pontoon version`: the client alone", (timed(lambda: run("pontoon", "version")) for _ in range(N)))
    figure("`pontoon run --rm busybox true`", (timed(lambda: run("pontoon", "run", "--rm", "busybox", "true")) for _ in range(N)))
    figure("the same, `--network none`", (timed(lambda: run("pontoon", "run", "--rm", "--network", "none", "busybox", "true")) for _ in range(N)))
    figure("the same, `--security-opt seccomp=unconfined`", (timed(lambda: run("pontoon", "run", "--rm", "--security-opt", "seccomp=unconfined", "busybox", "true")) for _ in range(N)))
figure("`docker version`: the client alone", (timed(lambda: docker("version")) for _ in range(N)))
figure("`docker run --rm busybox true`", (timed(lambda: docker("run", "--rm", "busybox", "true")) for _ in range(N)))
verbs = {"create": [], "start": [], "stop -t 0": [], "rm": []}
for i in range(N):
    verbs["create"].append(timed(lambda: docker("create", "--name", f"v{i}", "busybox", "sleep", "1h")))
    verbs["start"].append(timed(lambda: docker("start", f"v{i}")))
    verbs["stop -t 0"].append(timed(lambda: docker("stop", "-t", "0", f"v{i}")))
    verbs["rm"].append(timed(lambda: docker("rm", f"v{i}")))
for k, v in verbs.items():
    figure(f"`docker {k}`", v)
docker("run", "-d", "--name", "mover", "busybox", "sleep", "1h")
nets = {"network create": [], "network connect": [], "network disconnect": [], "network rm": []}
for i in range(N):
    nets["network create"].append(timed(lambda: docker("network", "create", "n1")))
    nets["network connect"].append(timed(lambda: docker("network", "connect", "n1", "mover")))
    nets["network disconnect"].append(timed(lambda: docker("network", "disconnect", "n1", "mover")))
    nets["network rm"].append(timed(lambda: docker("network", "rm", "n1")))
for k, v in nets.items():
    figure(f"`docker {k}`", v)
docker("rm", "-f", "mover")
before = pss(processes())
start = time.perf_counter()
procs = [subprocess.Popen([CLIENT, "run", "-d", "--name", f"p{i}", "busybox", "sleep", "1h"], stdout=subprocess.DEVNULL) for i in range(50)]
assert all(p.wait() == 0 for p in procs)
figure("50 containers started in parallel, all of them", [(time.perf_counter() - start) * 1000])
figure("more for each running container, PSS KiB", [(pss(processes()) - before) / 50])
docker("rm", "-f", *[f"p{i}" for i in range(50)])
figure("after all that, PSS KiB", [pss(processes())])
pathlib.Path(OUT).write_text(json.dumps(figures))
