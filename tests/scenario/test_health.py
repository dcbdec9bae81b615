"""Health checks, statistics, updates: what a container's owner watches and turns while it runs."""
import json
import os
import re
import subprocess
import time

import pytest

from conftest import QUICK, Client, programs, wait_until


def health(cli, name):
    return json.loads(cli.out("inspect", "-f", "{{json .State.Health}}", name))


def threads(daemon):
    return len(os.listdir(f"/proc/{daemon.proc.pid}/task"))


def test_life_of_a_check(daemon, any_cli):
    cli = any_cli
    since = time.time() - 1
    cli.out("run", "-d", "--name", "h1", "--health-cmd", "echo hi; echo oops >&2; test -e /ok", "--health-interval", "100ms", "--health-retries", "2", "--health-timeout", "5s", "alpine", "sleep", "1h")
    h = health(cli, "h1")
    assert h["Status"] in ("starting", "unhealthy")
    assert wait_until(lambda: health(cli, "h1")["Status"] == "unhealthy")
    h = health(cli, "h1")
    assert h["FailingStreak"] >= 2 and h["Log"][0]["ExitCode"] == 1 and h["Log"][0]["Output"] == "hi\noops\n" and h["Log"][0]["Start"] < h["Log"][0]["End"]
    assert re.fullmatch(r"Up .* \(unhealthy\)", cli.out("ps", "--filter", "name=h1", "--format", "{{.Status}}"))
    cli.out("exec", "h1", "touch", "/ok")
    assert wait_until(lambda: health(cli, "h1")["Status"] == "healthy")
    assert wait_until(lambda: len(health(cli, "h1")["Log"]) == 5) and health(cli, "h1")["FailingStreak"] == 0
    assert "(healthy)" in cli.out("ps", "--filter", "health=healthy", "--format", "{{.Status}}")
    assert cli.out("ps", "-q", "--filter", "health=unhealthy") == "" and cli.out("ps", "-q", "--filter", "health=none") == ""
    assert json.loads(cli.out("inspect", "-f", "{{json .ExecIDs}}", "h1")) is None, "a check is no session of a user"
    cli.out("pause", "h1")
    n = health(cli, "h1")["Log"][-1]["Start"]
    time.sleep(0.3)
    assert health(cli, "h1")["Log"][-1]["Start"] == n or health(cli, "h1")["Log"][-2]["Start"] == n, "none while it is paused"
    cli.out("unpause", "h1")
    assert health(cli, "h1")["Status"] == "healthy"
    cli.out("rm", "-f", "h1")
    actions = [l for l in cli.out("events", "--since", str(since), "--until", str(time.time()), "--filter", "event=health_status", "--format", "{{.Action}}" if cli.name != "docker20" else "{{.Action}}").splitlines()]
    assert actions[-2:] == ["health_status: unhealthy", "health_status: healthy"]


def test_forms(daemon, any_cli):
    cli = any_cli
    cli.out("run", "-d", "--name", "slow", "--health-cmd", "echo begun; sleep 60", "--health-interval", "50ms", "--health-timeout", "300ms", "--health-retries", "1", "alpine", "sleep", "1h")
    assert wait_until(lambda: health(cli, "slow")["Status"] == "unhealthy")
    assert health(cli, "slow")["Log"][0]["Output"] == "Health check exceeded timeout (0.3s)" and health(cli, "slow")["Log"][0]["ExitCode"] == -1
    assert wait_until(lambda: cli.out("top", "slow").count("sleep 60") <= 1), "what took too long is killed"
    cli.out("run", "-d", "--name", "loud", "--health-cmd", "head -c 10000 /dev/zero | tr '\\0' x", "--health-interval", "50ms", "alpine", "sleep", "1h")
    assert wait_until(lambda: health(cli, "loud")["Status"] == "healthy")
    out = health(cli, "loud")["Log"][0]["Output"]
    assert len(out) == 4096 and out.endswith("x...")
    cli.out("run", "-d", "--name", "none", "alpine", "sleep", "1h")
    assert health(cli, "none") is None and "health" not in cli.out("ps", "--filter", "name=none", "--format", "{{.Status}}")
    for test, sure in [(["CMD", "test", "-e", "/etc/passwd"], "healthy"), (["CMD", "nope"], "unhealthy")]:
        s, c = daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["sleep", "1h"], "Healthcheck": {"Test": test, "Interval": 50000000, "Retries": 1}})
        assert s == 201 and daemon.api("POST", f"/containers/{c['Id']}/start")[0] == 204
        assert wait_until(lambda: health(cli, c["Id"])["Status"] == sure), health(cli, c["Id"])
    assert "executable file not found in $PATH" in health(cli, c["Id"])["Log"][0]["Output"]
    s, c = daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["sleep", "1h"], "Healthcheck": {"Test": ["CMD-SHELL", "exit 1"], "Interval": 50000000, "StartPeriod": 3600000000000, "StartInterval": 50000000, "Retries": 1}})
    daemon.api("POST", f"/containers/{c['Id']}/start")
    assert wait_until(lambda: len(health(cli, c["Id"])["Log"]) >= 3) and health(cli, c["Id"])["Status"] == "starting" and health(cli, c["Id"])["FailingStreak"] == 0
    assert daemon.api("GET", '/containers/json?filters=%7B"health":["bogus"]%7D') == (400, {"message": "Unrecognised filter value for health: bogus"})


def test_checks_cost_no_thread_each(daemon, any_cli):
    before = threads(daemon)
    n = 6 if QUICK else 20
    ids = [daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": "none"}, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 200000000}})[1]["Id"] for _ in range(n)]
    for i in ids:
        assert daemon.api("POST", f"/containers/{i}/start")[0] == 204
    assert wait_until(lambda: all(daemon.api("GET", f"/containers/{i}/json")[1]["State"]["Health"]["Status"] == "healthy" for i in ids), 60)
    assert threads(daemon) <= before + 6, "threads of connections come and go, none belongs to a container"
    daemon.kill9()
    daemon.start()
    assert wait_until(lambda: all(daemon.api("GET", f"/containers/{i}/json")[1]["State"]["Health"]["Status"] == "healthy" for i in ids), 60), "a new daemon goes on checking"


def test_stats(daemon, any_cli):
    cli = any_cli
    cli.out("run", "-d", "--name", "st", "-m", "64m", "alpine", "sh", "-c", "while :; do :; done")
    one = daemon.api("GET", "/containers/st/stats?stream=0&one-shot=1")[1]
    assert one["preread"] == "0001-01-01T00:00:00Z" and one["precpu_stats"]["cpu_usage"]["total_usage"] == 0 and one["name"] == "/st"
    two = daemon.api("GET", "/containers/st/stats?stream=false")[1]
    cpu, pre = two["cpu_stats"], two["precpu_stats"]
    assert cpu["cpu_usage"]["total_usage"] > pre["cpu_usage"]["total_usage"] > 0 and cpu["system_cpu_usage"] > pre["system_cpu_usage"] and cpu["online_cpus"] >= 1 and two["read"] > two["preread"]
    assert 0 < two["memory_stats"]["usage"] <= two["memory_stats"]["limit"] == 64 << 20 and two["pids_stats"]["current"] == 1 and "io_service_bytes_recursive" in two["blkio_stats"]
    pid = cli.out("inspect", "-f", "{{.State.Pid}}", "st")
    cli.out("exec", "st", "ping", "-c", "3", "-s", "1000", "-q", "172.17.0.1")
    net = daemon.api("GET", "/containers/st/stats?stream=0&one-shot=1")[1]["networks"]
    dev = {l.split(":")[0].strip(): l.split(":")[1].split() for l in open(f"/proc/{pid}/net/dev").read().splitlines()[2:]}
    assert list(net) == ["eth0"] and 3000 < net["eth0"]["rx_bytes"] <= int(dev["eth0"][0]) and net["eth0"]["tx_packets"] >= 3
    procs = [Client(n, prog, daemon).spawn("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "st", stdout=subprocess.PIPE, text=True) for n, prog in programs()]
    for p in procs:
        line = p.communicate()[0].split()
        assert p.returncode == 0 and line[0] == "st" and float(line[1].rstrip("%")) > 1 and line[4] == "64MiB" and line[5] == "1"
    procs = [Client(n, prog, daemon).spawn("stats", "--format", "name {{.Name}}", stdout=subprocess.PIPE, text=True) for n, prog in programs()]
    for p in procs:
        seen = 0
        while seen < 2:
            text = p.stdout.readline()
            assert text, "it ended"
            seen += "name st" in text
        p.kill()
        p.wait()
    cli.out("create", "--name", "off", "alpine", "true")
    none = daemon.api("GET", "/containers/off/stats?stream=0")[1]
    assert none["read"] == "0001-01-01T00:00:00Z" and none["memory_stats"] == {} and "networks" not in none
    assert daemon.api("GET", "/containers/nope/stats") == (404, {"message": "No such container: nope"})
    assert "nope" in cli("stats", "--no-stream", "nope", ok=False).err


def test_stats_stream_ends_with_its_reader(daemon, any_cli):
    import http.client
    import socket
    any_cli.out("run", "-d", "--name", "st", "alpine", "sleep", "1h")
    before = threads(daemon)
    conn = http.client.HTTPConnection("localhost")
    conn.sock = socket.socket(socket.AF_UNIX)
    conn.sock.connect(str(daemon.sock))
    conn.request("GET", "/containers/st/stats")
    r = conn.getresponse()
    a, b = json.loads(r.readline()), json.loads(r.readline())
    assert a["precpu_stats"]["cpu_usage"]["total_usage"] == 0 and b["preread"] == a["read"] and b["precpu_stats"]["cpu_usage"]["total_usage"] == a["cpu_stats"]["cpu_usage"]["total_usage"]
    any_cli.out("rm", "-f", "st")
    r.read()  # it ends
    conn.close()
    assert wait_until(lambda: threads(daemon) <= before)


def test_update(daemon, cli):
    cli.out("run", "-d", "--name", "up", "-m", "64m", "--cpus", "0.5", "alpine", "sleep", "1h")
    pid = cli.out("inspect", "-f", "{{.State.Pid}}", "up")

    def cg(controller, file):
        for line in open(f"/proc/{pid}/cgroup").read().splitlines():
            _, names, path = line.split(":", 2)
            if controller in names.split(","):
                return open(f"/sys/fs/cgroup/{controller}{path}/{file}").read().strip()
        return None

    assert cli.out("update", "-m", "32m", "--memory-swap", "96m", "--cpus", "0.25", "--pids-limit", "77", "--restart", "on-failure:4", "up") == "up"
    h = json.loads(cli.out("inspect", "-f", "{{json .HostConfig}}", "up"))
    assert (h["Memory"], h["MemorySwap"], h["NanoCpus"], h["PidsLimit"], h["RestartPolicy"]) == (32 << 20, 96 << 20, 250000000, 77, {"Name": "on-failure", "MaximumRetryCount": 4})
    if os.path.isdir("/sys/fs/cgroup/memory"):
        assert (cg("memory", "memory.limit_in_bytes"), cg("pids", "pids.max"), cg("cpu", "cpu.cfs_quota_us")) == (str(32 << 20), "77", "25000")
    assert f"Cannot update container" in cli("update", "-m", "512m", "up", ok=False).err
    assert json.loads(cli.out("inspect", "-f", "{{.HostConfig.Memory}}", "up")) == 32 << 20
    assert "you must provide one or more flags" in cli("update", "up").err
    daemon.kill9()
    daemon.start(*daemon.args)
    assert json.loads(cli.out("inspect", "-f", "{{.HostConfig.PidsLimit}}", "up")) == 77 and cli.out("ps", "-q", "--filter", "name=up") != ""
    cli.out("create", "--name", "later", "alpine", "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true")
    cli.out("update", "--pids-limit", "55", "later")
    assert cli.out("start", "-a", "later") == "55"
    cli.out("run", "-d", "--rm", "--name", "auto", "alpine", "sleep", "1h")
    assert "Restart policy cannot be updated because AutoRemove is enabled for the container" in cli("update", "--restart", "always", "auto", ok=False).err
