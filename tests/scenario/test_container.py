"""Verbs and streams of containers, with every client."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import LAB, QUICK, RUNTIME, wait_until


def test_exit_codes(cli):
    assert cli("run", "--rm", "alpine", "sh", "-c", "exit 42").rc == 42
    r = cli("run", "--rm", "alpine", "nope")
    assert r.rc == 127 and 'exec: "nope": executable file not found in $PATH' in r.err
    r = cli("run", "--rm", "alpine", "/etc/passwd")
    assert r.rc == 126 and "permission denied" in r.err
    assert cli("run", "--rm", "--nonsense", "alpine").rc == 125
    r = cli("run", "--rm", "no-such-image", "true")
    assert r.rc == 125 and "Unable to find image 'no-such-image:latest' locally" in r.err
    cli.out("run", "-d", "--name", "xx", "alpine", "sleep", "1h")
    assert cli("exec", "xx", "sh", "-c", "exit 9").rc == 9
    r = cli("exec", "xx", "nope")
    assert r.rc in (126, 127) and "executable file not found in $PATH" in r.out + r.err
    assert cli("ps", "-aq", ok=True).out.count("\n") == 1


def test_stdin_and_output_are_whole(cli):
    data = os.urandom(1 << 20)
    r = cli("run", "-i", "--rm", "alpine", "cat", stdin=data)
    assert r.rc == 0 and r.out == data
    r = cli("run", "--rm", "alpine", "sh", "-c", "echo out; echo err >&2")
    assert (r.out, r.err) == ("out\n", "err\n")
    r = cli("run", "-i", "--rm", "alpine", "sh", "-c", "cat >/dev/null; echo after", stdin="x\n")
    assert r.out == "after\n"
    cli.out("run", "-d", "--name", "xx", "alpine", "sleep", "1h")
    r = cli("exec", "-i", "xx", "sha256sum", stdin=data)
    assert len(r.out.split()[0]) == 64


def test_a_client_that_goes_before_the_start(any_cli, daemon):
    """`run -i` that is killed between its attach and its start has ended the input: nobody else ever would."""
    def left(name, *words):
        c = {"Image": "alpine", "Cmd": ["sh", "-c", "cat >/got; wc -c </got"], "OpenStdin": True, "StdinOnce": True}
        assert daemon.api("POST", f"/containers/create?name={name}", c)[0] == 201
        fds = lambda: len(os.listdir(f"/proc/{daemon.proc.pid}/fd"))
        before = fds()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(daemon.sock))
            s.sendall(f"POST /containers/{name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
            assert s.recv(12) == b"HTTP/1.1 101"
            for w in words:
                s.sendall(w)
        return wait_until(lambda: fds() <= before)
    for words, want in (((), "0"), ((b"hello\n",), "6"), ((b"x" * 8000,) * 2, "16000")):
        left("left", *words)
        any_cli.out("start", "left")
        assert wait_until(lambda: any_cli.out("inspect", "-f", "{{.State.Status}}", "left") == "exited"), words
        assert any_cli.out("logs", "left") == want and any_cli.out("rm", "left") == "left"
    assert left("left", b"old"), "its end has been seen"
    assert any_cli("start", "-a", "-i", "left", stdin="newer").out == "5\n", "who is there counts"
    any_cli.out("rm", "left")


def test_terminal(cli, daemon):
    since = time.time() - 0.1
    t = cli.tty("run", "-it", "--rm", "--name", "tt", "alpine", "sh", rows=33, cols=101)
    t.expect(r"# ")
    t.send("stty size\n")
    t.expect(r"33 101")
    t.resize(44, 120)
    t.send("sleep 0.3; stty size\n")
    t.expect(r"44 120")
    t.send("tty\n")
    t.expect(r"/dev/(pts/0|console)")
    t.send("\x10\x11")  # ctrl-p ctrl-q
    assert t.end() == 0
    assert cli.out("ps", "-q") != ""
    if cli.name == "pontoon":  # docker's client keeps the keys to itself
        assert wait_until(lambda: b'"Action":"detach"' in daemon.api("GET", f"/events?since={since}&until={time.time()}")[1])
    a = cli.tty("attach", "tt")
    a.expect(r"# ")
    a.send("echo again-$((1+1))\n")
    a.expect(r"again-2")
    a.send("exit 5\n")
    assert a.end() == 5


def test_signals(cli):
    p = cli.spawn("run", "--rm", "--name", "sig", "alpine", "sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done", stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    p.terminate()
    assert p.stdout.read() == "got\n"
    assert p.wait(20) == 3


def test_signal_as_soon_as_it_speaks(cli):
    """Output comes before the start is recorded: a signal sent at once must still arrive."""
    for _ in range(2 if QUICK else 8):
        test_signals(cli)


def test_logs(cli):
    cli.out("run", "--name", "lg", "alpine", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo problem >&2; printf partial")
    assert cli.out("logs", "lg").splitlines() == [f"line {i}" for i in range(1, 6)] + ["partial"]
    assert cli("logs", "lg").err == "problem\n"
    last = cli("logs", "--tail", "3", "lg")
    assert (last.out, last.err) == ("line 5\npartial", "problem\n")
    assert cli("logs", "-n", "0", "lg").out == ""
    stamped = cli.out("logs", "-t", "lg").splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 1$", stamped[0])
    assert cli.out("logs", "--since", "1h", "lg").splitlines()[0] == "line 1"
    assert cli("logs", "--until", "1h", "lg").out == ""
    p = cli.spawn("run", "--name", "fl", "alpine", "sh", "-c", "echo one; sleep 1; echo two", stdout=subprocess.DEVNULL)
    assert wait_until(lambda: cli("inspect", "fl").rc == 0 and cli("logs", "fl").out == "one\n")
    assert cli.out("logs", "-f", "fl").splitlines() == ["one", "two"]
    p.wait()


def test_life(cli):
    c = cli.out("create", "--name", "life", "alpine", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    assert cli.out("ps", "-a", "--format", "{{.Names}} {{.Status}}") == "life Created"
    assert cli.out("start", "life") == "life"
    assert cli.out("start", "life") == "life"
    assert "Up" in cli.out("ps", "--format", "{{.Status}}")
    cli.out("pause", "life")
    assert "(Paused)" in cli.out("ps", "--format", "{{.Status}}")
    assert "is paused" in cli("exec", "life", "true", ok=False).err
    cli.out("unpause", "life")
    top = cli.out("top", "life")
    assert "PID" in top.splitlines()[0] and "sleep" in top
    cli.out("rename", "life", "renamed")
    assert cli.out("inspect", "-f", "{{.Name}} {{.State.Status}} {{.State.Running}}", "renamed") == "/renamed running true"
    pid = cli.out("inspect", "-f", "{{.State.Pid}}", "renamed")
    cli.out("restart", "renamed")
    assert cli.out("inspect", "-f", "{{.State.Pid}}", "renamed") != pid
    w = cli.spawn("wait", "renamed", stdout=subprocess.PIPE, text=True)
    cli.out("stop", "renamed")
    assert w.communicate(timeout=20)[0].strip() == "7"
    assert cli.out("inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "renamed") == "7 exited"
    assert "is not running" in cli("kill", "renamed", ok=False).err
    assert cli.out("rm", c[:12]) == c[:12]
    assert "No such container: renamed" in cli("stop", "renamed", ok=False).err


def test_options(cli):
    shared = LAB / "shared"
    shared.mkdir(exist_ok=True)
    (shared / "f").write_text("from the host\n")
    text = cli.out("run", "--rm", "-e", "A=b c", "-w", "/var", "-u", "user:staff", "-h", "host1", "--group-add", "nogroup", "-v", f"{shared}:/data:ro", "--tmpfs", "/scratch:size=1m",
                   "--read-only", "--ulimit", "nofile=123:456", "--label", "l=v", "alpine", "sh", "-c",
                   "echo $A; pwd; id -u; id -g; id -G; hostname; cat /data/f; mount | grep -c ' /data .*ro,'; mount | grep -c ' on / .*ro,'; touch /scratch/ok && echo scratch; ulimit -n; ulimit -Hn").splitlines()
    assert text[:7] == ["b c", "/var", "1000", "50", "50 65534", "host1", "from the host"]
    assert text[7:9] == ["1", "1"]
    assert text[9:] == ["scratch", "123", "456"]
    assert cli.out("run", "--rm", "--entrypoint", "echo", "alpine", "hello") == "hello"
    assert "docker-init" in cli.out("run", "--rm", "--init", "alpine", "cat", "/proc/1/cmdline")
    assert cli.out("run", "--rm", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "alpine", "grep", "CapBnd", "/proc/self/status").endswith("0000000000002000")
    assert cli.out("run", "--rm", "--network", "none", "alpine", "ls", "/sys/class/net") == "lo"
    assert "uplink0" in cli.out("run", "--rm", "--network", "host", "alpine", "ls", "/sys/class/net")
    r = cli("run", "--rm", "-u", "nobody-here", "alpine", "true")
    assert r.rc in (125, 126, 127) and "unable to find user nobody-here: no matching entries in passwd file" in r.err
    if os.path.isdir("/sys/fs/cgroup/memory"):
        assert cli.out("run", "--rm", "-m", "32m", "--pids-limit", "50", "--cpus", "0.5", "alpine", "sh", "-c",
                       "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us").split() == [str(32 << 20), "50", "50000"]


def test_groups_of_the_process(any_cli):
    any_cli.out("run", "-d", "--name", "up", "--group-add", "77", "alpine", "sleep", "1h")
    assert any_cli.out("exec", "up", "grep", "Groups", "/proc/self/status").split() == ["Groups:", "0", "77"]
    assert any_cli.out("exec", "-u", "user", "up", "grep", "Groups", "/proc/self/status").split() == ["Groups:", "50", "77", "1000"]
    assert any_cli.out("run", "--rm", "-u", "5:6", "alpine", "grep", "Groups", "/proc/self/status").split() == ["Groups:", "6"]
    # a user that is not there is no missing program
    assert any_cli("exec", "-u", "nobody-here", "up", "true", ok=False).rc == 126 and any_cli("exec", "up", "no-such-program", ok=False).rc == 127


def test_names_of_a_joined_namespace(any_cli):
    any_cli.out("network", "create", "shared")
    any_cli.out("run", "-d", "--name", "first", "--network", "shared", "-h", "host-of-first", "--add-host", "other:192.0.2.9", "alpine", "sleep", "1h")
    any_cli.out("run", "-d", "--name", "second", "--network", "container:first", "alpine", "sleep", "1h")
    files = ["cat", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname"]
    want = any_cli.out("exec", "first", *files)
    assert "nameserver 127.0.0.11" in want and "192.0.2.9" in want and "host-of-first" in want
    assert any_cli.out("exec", "second", *files) == want
    assert any_cli.out("run", "--rm", "--network", "container:second", "alpine", *files) == want
    any_cli.out("rm", "-f", "second", "first")
    any_cli.out("network", "rm", "shared")


def test_no_pids_limit(any_cli):
    limit = ["sh", "-c", "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"]
    assert any_cli.out("run", "--rm", "--pids-limit", "-1", "alpine", *limit) == "max"
    any_cli.out("run", "-d", "--name", "up", "--pids-limit", "20", "alpine", "sleep", "1h")
    any_cli.out("update", "--pids-limit", "-1", "up")
    assert any_cli.out("inspect", "-f", "{{.HostConfig.PidsLimit}}", "up") == "-1" and int(any_cli.out("exec", "up", *limit).replace("max", "4194304")) == 4194304
    any_cli.out("restart", "-t", "0", "up")
    assert any_cli.out("exec", "up", *limit) == "max"


def test_another_runtime(daemon, any_cli, tmp_path):
    """What one runtime has made is unknown to another: this one keeps its state elsewhere."""
    other = tmp_path / "other"
    other.write_text('#!/bin/sh\nfor a; do\nshift\n[ "$last" = --root ] && set -- "$@" "$a.other" || set -- "$@" "$a"\nlast=$a\ndone\nexec %s "$@"\n' % shutil.which("crun"))
    other.chmod(0o755)
    args = daemon.args
    daemon.kill9()
    daemon.start(*args, "--add-runtime", f"other={other}")
    any_cli.out("run", "-d", "--runtime", "other", "--name", "up", "alpine", "sleep", "1h")
    assert any_cli.out("exec", "up", "echo", "in") == "in"
    any_cli.out("pause", "up")
    any_cli.out("unpause", "up")
    any_cli.out("update", "-m", "64m", "--memory-swap", "64m", "up")
    daemon.kill9()
    daemon.start(*args)  # which does not know the name any more
    assert any_cli.out("exec", "up", "echo", "still") == "still"
    any_cli.out("rm", "-f", "up")
    assert daemon.doctor() == []


@pytest.mark.skipif(RUNTIME != "", reason="the command line names the default runtime")
def test_the_default_runtime_is_reloaded(daemon, any_cli, tmp_path):
    """From SIGHUP on new processes are run by it; it is tried first, and what runs keeps what runs it."""
    conf, used = LAB / "daemon.json", tmp_path / "used"
    before, first = conf.read_text(), daemon.api("GET", "/info")[1]["DefaultRuntime"]
    other = tmp_path / "other"
    other.write_text('#!/bin/sh\necho "$@" >>%s\nexec %s "$@"\n' % (used, shutil.which(first)))
    other.chmod(0o755)
    any_cli.out("run", "-d", "--name", "old", "alpine", "sleep", "1h")

    def reload(default, said):
        n = len(daemon.log.read_text())
        conf.write_text(json.dumps({"runtimes": {"other": {"path": str(other)}, "none": {"path": "/bin/false"}}, "default-runtime": default}))
        daemon.proc.send_signal(signal.SIGHUP)
        assert wait_until(lambda: said in daemon.log.read_text()[n:]), daemon.log.read_text()[n:]
        return daemon.api("GET", "/info")[1]["DefaultRuntime"]

    try:
        assert reload("other", "default-runtime") == "other"
        any_cli.out("run", "-d", "--name", "new", "alpine", "sleep", "1h")
        assert "create" in used.read_text() and json.loads(any_cli.out("inspect", "new"))[0]["HostConfig"]["Runtime"] == "other"
        used.write_text("")
        assert any_cli.out("exec", "old", "echo", "in") == "in" and used.read_text() == ""
        assert reload("none", "the OCI runtime none cannot be used") == "other"
        assert any_cli.out("exec", "new", "echo", "in") == "in" and used.read_text() != ""
    finally:
        conf.write_text(before)
        daemon.proc.send_signal(signal.SIGHUP)
    assert wait_until(lambda: daemon.api("GET", "/info")[1]["DefaultRuntime"] == first)


def test_oom(any_cli):
    any_cli("run", "--name", "oom", "-m", "8m", "alpine", "sh", "-c", "x=x; while :; do x=$x$x$x$x; done")
    d = json.loads(any_cli.out("inspect", "oom"))[0]["State"]
    assert d["ExitCode"] == 137 and d["OOMKilled"]


def test_errors(daemon, cli):
    one = cli.out("create", "--name", "taken", "alpine", "true")
    r = cli("create", "--name", "taken", "alpine", "true")
    assert f'Conflict. The container name "/taken" is already in use by container "{one}". You have to remove (or rename) that container to be able to reuse that name.' in r.err
    assert "Invalid container name (.bad)" in cli("create", "--name", ".bad", "alpine", "true").err
    assert daemon.api("POST", "/containers/create?name=taken", {"Image": "alpine", "Cmd": ["true"]})[0] == 409
    assert daemon.api("POST", "/containers/create", {"Image": "nope"}) == (404, {"message": "No such image: nope:latest"})
    assert daemon.api("GET", "/containers/nope/json") == (404, {"message": "No such container: nope"})
    assert daemon.api("GET", "/networks/zz") == (404, {"message": "network zz not found"})
    assert daemon.api("GET", "/nowhere") == (404, {"message": "page not found"})
    assert daemon.api("GET", "/v1.99/version") == (400, {"message": "client version 1.99 is too new. Maximum supported API version is 1.51"})
    assert daemon.api("GET", "/v1.12/version")[0] == 400
    assert daemon.api("POST", "/containers/create", "{", {"Content-Type": "application/json"})[0] == 400
    assert daemon.api("POST", "/containers/create", "{} x", {"Content-Type": "application/json"}) == (400, {"message": "unexpected content after JSON"})
    assert daemon.api("POST", "/containers/create", "x", {"Content-Type": "text/plain"}) == (400, {"message": "unsupported Content-Type header (text/plain): must be 'application/json'"})
    assert daemon.api("GET", "/containers/json?filters=" + "%7B%22zz%22%3A%5B%22a%22%5D%7D") == (400, {"message": "invalid filter 'zz'"})
    for bad, text in [({"HostConfig": {"Memory": 1000}}, "Minimum memory limit allowed is 6MB"), ({"WorkingDir": "x"}, "the working directory 'x' is invalid, it needs to be an absolute path"),
                      ({"HostConfig": {"CapAdd": ["NOPE"]}}, "unknown capability: \"CAP_NOPE\""), ({"HostConfig": {"Memory": "x"}}, "HostConfig.Memory: expected a number, got a string"),
                      ({"HostConfig": {"NetworkMode": "container:"}}, "invalid container format container:<name|id>"), ({"StopSignal": "NOPE"}, "invalid signal: NOPE")]:
        status, d = daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"], **bad})
        assert status == 400 and text in d["message"], d
    for bad, text in [({"VolumesFrom": ["gone"]}, "No such container: gone"), ({"PidMode": "container:gone"}, "No such container: gone"), ({"IpcMode": "container:gone"}, "No such container: gone"),
                      ({"Mounts": [{"Type": "bind", "Source": "/none-such", "Target": "/x"}]}, 'invalid mount config for type "bind": bind source path does not exist: /none-such')]:
        assert daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"], "HostConfig": bad}) == (400, {"message": text}), "not 404: the image is not missing"
    r = cli("run", "--rm", "--volumes-from", "gone", "alpine", "true")
    assert "No such container: gone" in r.err and "Unable to find image" not in r.err, r
    for program in ("/etc/passwd", "/etc"):
        r = cli("run", "--rm", "alpine", program)
        assert r.rc == 126 and f'exec: "{program}": permission denied' in r.err, r
    assert cli("rm", "-f", "taken", ok=True)


def test_parallel(any_cli, daemon):
    n = 20
    procs = [any_cli.spawn("run", "--rm", "alpine", "sh", "-c", f"ip -4 addr show eth0 | grep inet; echo {i}", stdout=subprocess.PIPE, text=True) for i in range(n)]
    outs = [p.communicate(timeout=120)[0] for p in procs]
    assert all(p.returncode == 0 for p in procs)
    assert sorted(int(o.split()[-1]) for o in outs) == list(range(n))


def test_images(daemon, cli, tmp_path):
    since = time.time()
    assert "alpine" in cli.out("images")
    cli.out("tag", "alpine", "other:v1")
    assert cli.out("images", "-q", "other:v1") == cli.out("images", "-q", "alpine:latest")
    cli.out("rmi", "other:v1")
    for version in ("1.51", "1.24"):
        lines = daemon.api("GET", f"/v{version}/events?since={since}&until={time.time()}&filters=%7B%22type%22%3A%5B%22image%22%5D%7D")[1].splitlines()
        assert [(e["Action"], e.get("status"), e.get("id")) for e in map(json.loads, lines)] == [(a, a, json.loads(lines[0])["Actor"]["ID"]) for a in ("tag", "untag")], "what old clients read"
    (tmp_path / "no.tar").write_bytes(b"this is no archive" * 100)
    r = cli("import", str(tmp_path / "no.tar"), "bad:latest")
    assert r.rc != 0 and "tar" in r.err
    r = cli("load", "-i", str(tmp_path / "no.tar"))
    assert r.rc != 0
    assert "bad" not in cli.out("images")
