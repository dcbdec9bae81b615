"""How long it takes to make and remove a network, and to join and leave one, while N others are there, inside the lab. Written as JSON for bench/networks."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

WHO, SOCKET, PID, OUT = sys.argv[1:5]
LEVELS = [int(n) for n in sys.argv[5].split(",")]
LIMIT_S = 300  # dockerd does not get to the end
ROUNDS = int(os.environ.get("ROUNDS", "15"))
SETTLE_S = 0.1  # between requests: what the kernel does after it has answered ends here, and is not counted to the next one


class Api:
    def __init__(self, path):
        self.conn = http.client.HTTPConnection("localhost")
        self.conn.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.conn.sock.connect(path)

    def __call__(self, method, path, body=None):
        self.conn.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"} if body else {})
        r = self.conn.getresponse()
        text = r.read()
        assert r.status < 300, (method, path, r.status, text)
        return json.loads(text) if text else None


api = Api(SOCKET)


def timed(fn):
    start = time.perf_counter()
    fn()
    return (time.perf_counter() - start) * 1000


def pair(do, undo):
    """Medians of two requests, each alone, then of both without a pause; and the first one's worst."""
    a, b, both = [], [], []
    for _ in range(ROUNDS):
        for times, fn in ((a, do), (b, undo)):
            times.append(timed(fn))
            time.sleep(SETTLE_S)
    for _ in range(ROUNDS):
        both.append(timed(lambda: (do(), undo())))
    time.sleep(SETTLE_S)
    return statistics.median(a), statistics.median(b), statistics.median(both), max(a)


def create(i):
    api("POST", "/networks/create", {"Name": f"n{i}", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": f"10.{i // 250}.{i % 250}.0/24"}]}})


def remove(i):
    api("DELETE", f"/networks/n{i}")


def iptables_save():
    tables, table = {}, None
    for line in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:], {})
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            table.setdefault(chain, []).append(rule)
    return tables


def added(i):
    """What the network's creation put where, as input of iptables-restore, for a bridge that is nobody's; and what takes it away again."""
    before = iptables_save()
    create(i)
    bridge = "br-" + api("GET", f"/networks/n{i}")["Id"][:12]
    after = iptables_save()
    remove(i)
    put, take = [], []
    for table, chains in after.items():
        lines = []
        for chain, rules in chains.items():
            known = set(before.get(table, {}).get(chain, []))
            lines += [(chain, k + 1, re.sub(bridge, "br-000000000000", r)) for k, r in enumerate(rules) if r not in known]
        if lines:
            put += [f"*{table}"] + [f"-I {c} {k} {r}" for c, k, r in lines] + ["COMMIT"]
            take += [f"*{table}"] + [f"-D {c} {r}" for c, k, r in lines] + ["COMMIT"]
    return "\n".join(put) + "\n", "\n".join(take) + "\n"


def floor(i):
    """A bare iptables-restore of the same text, while the daemon stands still."""
    put, take = added(i)
    if not put.strip():
        return None
    times = {"create": [], "remove": []}
    os.kill(int(PID), signal.SIGSTOP)
    try:
        for _ in range(ROUNDS):
            for what, text in (("create", put), ("remove", take)):
                times[what].append(timed(lambda: subprocess.run(["iptables-restore", "--noflush"], input=text.encode(), check=True)))
    finally:
        os.kill(int(PID), signal.SIGCONT)
    return {k: statistics.median(v) for k, v in times.items()}


def plug():
    """The kernel's part, while the daemon stands still: bench/plug.c."""
    os.kill(int(PID), signal.SIGSTOP)
    try:
        return json.loads(subprocess.run([f"{os.environ['LAB_BUILD']}/bench/bench-plug", str(ROUNDS), str(int(SETTLE_S * 1000))], capture_output=True, check=True).stdout)
    finally:
        os.kill(int(PID), signal.SIGCONT)


result, made, began = {}, 0, time.monotonic()
api("POST", "/containers/create?name=mover", {"Image": "busybox", "Cmd": ["sleep", "1h"]})
api("POST", "/containers/mover/start")
for level in LEVELS:
    while made < level and time.monotonic() - began < LIMIT_S:
        create(made)
        made += 1
    if made < level:
        break
    r = result[level] = {}
    r["create"], r["remove"], r["create and remove"], r["worst"] = pair(lambda: create(level), lambda: remove(level))
    if made:
        mover = {"Container": "mover"}
        r["connect"], r["disconnect"], r["connect and disconnect"], _ = pair(lambda: api("POST", "/networks/n0/connect", mover), lambda: api("POST", "/networks/n0/disconnect", mover))
    if WHO != "pontoond, nftables":
        f = floor(level)
        if f:
            r["floor"], r["floor remove"] = f["create"], f["remove"]
    if WHO.startswith("pontoond"):
        r["plug"] = plug()
    print(WHO, level, {k: round(v, 1) for k, v in r.items() if k != "plug"}, flush=True)
pathlib.Path(OUT).write_text(json.dumps(result))
