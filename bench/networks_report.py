"""bench/networks.md and bench/networks.svg from what the labs of bench/networks have written."""
import datetime
import json
import math
import os
import pathlib
import platform
import subprocess
import sys

OUT, HERE = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
WHO = [("pontoond, iptables", "1", "#1f77b4"), ("pontoond, nftables", "2", "#2ca02c"), ("dockerd", "3", "#d62728")]
data = {w: {int(k): v for k, v in json.loads((OUT / f"{f}.json").read_text()).items()} for w, f, _ in WHO if (OUT / f"{f}.json").exists()}
levels = sorted({n for d in data.values() for n in d})
series = [(w, colour, {n: r["create"] for n, r in data[w].items()}) for w, _, colour in WHO if w in data]
floor = {n: r["floor"] for n, r in data["pontoond, iptables"].items() if "floor" in r}
series.append(("bare iptables-restore", "#888888", floor))


def cell(who, level, key):
    v = data.get(who, {}).get(level, {}).get(key)
    return "" if v is None else f"{v:.1f}"


version = subprocess.run(["iptables", "--version"], capture_output=True, text=True).stdout.strip()
KEYS = ("create", "remove", "connect", "disconnect")
BOTH = ("create and remove", "connect and disconnect")
# of bench/plug.c: what it is called here
PLUG = {"connect": "connect", "disconnect": "disconnect", "bridge": "a bridge", "bridge removal, answered": "its removal"}


def kernel(level, key):
    v = data.get("pontoond, nftables", {}).get(level, {}).get("plug", {}).get(key)
    return "" if v is None else f"{v:.1f}"


def table(heads, cells):
    return ["| networks | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)] + [f"| {n} | " + " | ".join(cells(n)) + " |" for n in levels]


lines = ["# Networks\n",
         f"Made by `bench/networks` on {os.cpu_count()} cores, Linux {platform.release()}, {version}, {datetime.date.today()}: one API request each, while so many other networks are there; medians in ms, in one run, with a pause of 0.1 s after each request.",
         "The floor is a bare `iptables-restore` of the rules that pontoond adds for a network (removes, in the last column), in the same lab.\n"]
lines += table([f"{w}: {k}" for w in data for k in KEYS] + ["floor: create", "floor: remove"],
               lambda n: [cell(w, n, k) for w in data for k in KEYS] + [cell("pontoond, iptables", n, k) for k in ("floor", "floor remove")])
lines += ["\nWithout a pause: two requests, one after the other. The kernel frees what was removed after it has told that it is gone, and whoever asks it for another link meanwhile waits.\n"]
lines += table([f"{w}: {k}" for w in data for k in BOTH], lambda n: [cell(w, n, k) for w in data for k in BOTH])
lines += ["\nThe kernel's part alone (`bench/plug.c`): the same requests from one small program, until the kernel has told that the link is there or gone; the removal of a bridge until it has answered, as `ip link del` does.\n"]
lines += table(list(PLUG.values()), lambda n: [kernel(n, k) for k in PLUG])
lines.append("\n![creating a network](networks.svg)\n")
(HERE / "networks.md").write_text("\n".join(lines))

# Both axes logarithmic.
W, H, L, T, R, B = 720, 400, 60, 20, 170, 40
low = min(v for _, _, s in series for v in s.values())
high = max(v for _, _, s in series for v in s.values())
lo, hi = math.floor(math.log10(low)), math.ceil(math.log10(high))
span = math.log10(max(levels)) - math.log10(min(levels)) or 1


def x(n):
    return L + (W - L - R) * (math.log10(n) - math.log10(min(levels))) / span


def y(v):
    return H - B - (H - T - B) * (math.log10(v) - lo) / (hi - lo)


svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{W}" height="{H}" font-family="sans-serif" font-size="12">', f'<rect width="{W}" height="{H}" fill="white"/>']
for n in levels:
    svg.append(f'<line x1="{x(n):.1f}" y1="{T}" x2="{x(n):.1f}" y2="{H - B}" stroke="#ddd"/><text x="{x(n):.1f}" y="{H - B + 16}" text-anchor="middle">{n}</text>')
for p in range(lo, hi + 1):
    svg.append(f'<line x1="{L}" y1="{y(10 ** p):.1f}" x2="{W - R}" y2="{y(10 ** p):.1f}" stroke="#ddd"/><text x="{L - 6}" y="{y(10 ** p) + 4:.1f}" text-anchor="end">{10 ** p:g} ms</text>')
svg.append(f'<text x="{(L + W - R) / 2}" y="{H - 6}" text-anchor="middle">other networks</text>')
taken = []
for name, colour, s in series:
    points = sorted(s.items())
    if not points:
        continue
    svg.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in points)}"/>')
    svg += [f'<circle cx="{x(n):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for n, v in points]
    at = y(points[-1][1]) + 4
    while any(abs(at - t) < 14 for t in taken):
        at += 14
    taken.append(at)
    svg.append(f'<text x="{x(points[-1][0]) + 8:.1f}" y="{at:.1f}" fill="{colour}">{name}</text>')
(HERE / "networks.svg").write_text("\n".join(svg + ["</svg>", ""]))
print("\n".join(lines))
