"""One runtime's figures, inside the lab. Prints rows of a Markdown table."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

RT = sys.argv[1]
LAB = os.environ["LAB"]
N = 31


def run(*argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **kw)


def median(fn, n=N):
    times = []
    for _ in range(n):
        start = time.perf_counter()
        fn()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def row(what, value):
    print(f"| {RT}: {what} | {value} |", flush=True)


def pss(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def bare_runtime():
    """The floor: the runtime alone, on the same root file system."""
    bundle = pathlib.Path(LAB, "bundle")
    (bundle / "rootfs").mkdir(parents=True, exist_ok=True)
    run("tar", "-C", str(bundle / "rootfs"), "-xf", f"{LAB}/bb.tar")
    run(RT, "spec", cwd=bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=["true"])
    (bundle / "config.json").write_text(json.dumps(config))
    run(RT, "run", "--bundle", str(bundle), f"bare-{time.monotonic_ns()}")


bare_runtime()
pid = int(open(f"{LAB}/p").read())
row("pontoond idle, PSS", pss(pid))
row(f"bare `{RT} run` of true, {N} rounds", f"{median(lambda: run(RT, 'run', '--bundle', LAB + '/bundle', f'bare-{time.monotonic_ns()}')):.1f}")
row(f"`pontoon run --rm busybox true`, whole, {N} rounds", f"{median(lambda: run('pontoon', 'run', '--rm', 'busybox', 'true')):.1f}")
row(f"the same with `--network none`, {N} rounds", f"{median(lambda: run('pontoon', 'run', '--rm', '--network', 'none', 'busybox', 'true')):.1f}")
row(f"the same with `--security-opt seccomp=unconfined`, {N} rounds", f"{median(lambda: run('pontoon', 'run', '--rm', '--security-opt', 'seccomp=unconfined', 'busybox', 'true')):.1f}")
before = pss(pid)
start = time.perf_counter()
procs = [subprocess.Popen(["pontoon", "run", "-d", "--name", f"p{i}", "busybox", "sleep", "1h"], stdout=subprocess.DEVNULL) for i in range(50)]
assert all(p.wait() == 0 for p in procs)
row("50 containers started in parallel, all", f"{(time.perf_counter() - start) * 1000:.0f}")
row("pontoond more for each running container, PSS", f"{(pss(pid) - before) / 50:.0f}")
subprocess.run(["pontoon", "rm", "-f", *[f"p{i}" for i in range(50)]], stdout=subprocess.DEVNULL, check=True)
row("pontoond after all that, PSS", pss(pid))
