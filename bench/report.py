"""bench/RESULTS.md from what the labs of bench/run have written."""
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import sys

OUT = pathlib.Path(sys.argv[1])
WHO = [w for w in ("crun", "runc", "dockerd") if (OUT / f"{w}.json").exists()]
figures = {w: json.loads((OUT / f"{w}.json").read_text()) for w in WHO}
names = []
for w in WHO:
    names += [n for n in figures[w] if n not in names]

print("# Figures\n")
print(f"Made by `make bench` on {os.cpu_count()} cores, Linux {platform.release()}, {datetime.date.today()}: pontoond with crun, with runc, and Debian's dockerd 20.10 with runc, in one run.")
print("Medians, in ms where no unit is named. PSS: of the daemon's processes (pontoond and pontoon-relay; dockerd and containerd), without a container's monitor.\n")
print("| what | pontoond, crun | pontoond, runc | dockerd |\n| --- | --- | --- | --- |")
for n in names:
    cells = [f"{figures[w][n]:.0f}" if n in figures.get(w, {}) and "PSS" in n else f"{figures[w][n]:.1f}" if n in figures.get(w, {}) else "" for w in ("crun", "runc", "dockerd")]
    print(f"| {n} | {' | '.join(cells)} |")

print("\n## Where the time of a `run --rm` goes\n")
print("From the daemon's own clock (lines `phases` of its debug log), medians in ms over all containers of the run. What is left of the whole is the client, HTTP and waiting for the process to end.\n")
phases = {w: {} for w in WHO}
for w in WHO:
    log = OUT / f"{w}.log"
    for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
        m = re.search(r'phases (\w+) id=\w+ ([^"]*)', line)
        for k, v in re.findall(r"(\w+)=(\d+)", m.group(2)) if m else []:
            phases[w].setdefault((m.group(1), k), []).append(int(v) / 1000)
TEXT = {
    ("create", "create"): "create: body, checks, image, directories, store",
    ("start", "attach"): "network: address, namespace, veth, route, files, store",
    ("start", "create"): "overlay mount, bundle, conmon, runtime `create`",
    ("start", "start"): "runtime `start`",
    ("start", "record"): "recorded as running, durable",
    ("end", "detach"): "network taken away, exit recorded",
    ("end", "delete"): "runtime state, unmount",
    ("end", "remove"): "container removed, durable",
}
print("| part | crun | runc |\n| --- | --- | --- |")
for key, text in TEXT.items():
    cells = [f"{statistics.median(phases[w][key]):.2f}" if key in phases.get(w, {}) else "" for w in ("crun", "runc")]
    print(f"| {text} | {' | '.join(cells)} |")
