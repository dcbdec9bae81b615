"""What a container may do: capabilities, system calls, namespaces of others; and the events of sessions."""
import concurrent.futures
import json
import time

from conftest import LAB, wait_until


def test_security(any_cli, daemon):
    cli, profile = any_cli, LAB / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}))
    assert "Operation not permitted" in cli("run", "--rm", "--security-opt", f"seccomp={profile}", "alpine", "mkdir", "/x").err
    assert cli.out("run", "--rm", "--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges", "alpine", "grep", "-hE", "^Seccomp:|NoNewPrivs", "/proc/self/status").split() == ["NoNewPrivs:", "1", "Seccomp:", "0"]
    assert "apparmor=mine" in cli("run", "--rm", "--security-opt", "apparmor=mine", "alpine", "true", ok=False).err
    cli.out("run", "--rm", "--security-opt", "apparmor=unconfined", "alpine", "true")
    own = int([l for l in open("/proc/self/status") if l.startswith("CapPrm")][0].split()[1], 16)
    caps = lambda *args: int(cli.out("run", "--rm", *args, "alpine", "grep", "CapEff", "/proc/self/status").split()[1], 16)
    assert caps("--cap-add", "ALL") == own and caps("--privileged") == own and caps("--cap-add", "ALL", "--cap-drop", "NET_RAW") == own & ~(1 << 13)
    assert cli.out("run", "--rm", "--privileged", "alpine", "sh", "-c", "mkdir /m && mount -t tmpfs x /m && echo mounted") == "mounted"
    cli.out("run", "-d", "--name", "donor", "alpine", "sleep", "1h")
    assert "sleep 1h" in cli.out("run", "--rm", "--pid", "container:donor", "alpine", "ps")
    assert int(cli.out("exec", "--privileged", "donor", "grep", "CapEff", "/proc/self/status").split()[1], 16) == own


def test_what_a_run_is_refused_for_leaves_nothing(cli, daemon):
    """Not even a container; and a client that hears of a container that is not there does not take it for the image."""
    for args, said in ((["--mount", "type=bind,src=/none-such,dst=/x"], "bind source path does not exist: /none-such"), (["--volumes-from", "nosuch"], "No such container: nosuch")):
        r = cli("run", *args, "alpine", "true")
        assert r.rc == 125 and said in r.err and "Unable to find image" not in r.err and "manifest" not in r.err, r
    assert daemon.api("GET", "/containers/json?all=1")[1] == []


def test_words_of_names_and_logs(cli):
    hosts = cli.out("run", "--rm", "-h", "one.two", "--domainname", "example.org", "alpine", "cat", "/etc/hosts").splitlines()[-1].split()
    assert hosts[1:] == ["one.two.example.org", "one"]
    r = cli("run", "--rm", "--log-opt", "compress=true", "--log-opt", "max-size=1m", "--log-opt", "max-file=2", "--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=4m", "alpine", "echo", "ran")
    assert r.rc == 0 and r.out == "ran\n" and r.err.count("WARNING: The log option ") == 3 and "compress is passed over: log files are not compressed." in r.err, r


def test_events_of_looking_and_tidying(cli, daemon, tmp_path):
    since = time.time() - 0.1
    seen = cli.out("run", "-d", "-i", "--name", "seen", "-l", "of=seen", "alpine", "sh", "-c", "read x")
    cli.out("top", "seen")
    assert cli("attach", "seen", stdin="go\n", timeout=30).rc == 0
    cli.out("cp", "seen:/etc/passwd", str(tmp_path / "passwd"))
    cli.out("cp", str(tmp_path / "passwd"), "seen:/tmp")
    cli.out("export", "-o", str(tmp_path / "tar"), "seen")
    cli.out("run", "-d", "-t", "--name", "tty", "-l", "of=seen", "alpine", "sleep", "1h")
    assert daemon.api("POST", "/containers/tty/resize?h=11&w=22")[0] == 200
    for noun in "container", "network", "volume", "image":
        cli.out(noun, "prune", "-f")

    def events():
        lines = daemon.api("GET", f"/events?since={since}&until={time.time()}")[1]
        return [json.loads(l) for l in lines.decode().splitlines()]

    def of_container():
        return [e["Action"] for e in events() if e["Type"] == "container" and e["Actor"]["ID"] == seen]  # another client's was of this name

    wanted = ["create", "start", "top", "attach", "die", "archive-path", "extract-to-dir", "export"]
    assert wait_until(lambda: set(wanted) <= set(of_container())), of_container()
    shown = ["top", "attach", "archive-path", "extract-to-dir", "export"]
    assert list(dict.fromkeys(a for a in of_container() if a in shown)) == shown  # our cp asks first whether it is a directory
    resized = next(e for e in events() if e["Action"] == "resize" and e["Actor"]["Attributes"].get("height") == "11")["Actor"]["Attributes"]
    assert (resized["name"], resized["width"]) == ("tty", "22")
    pruned = {e["Type"]: e["Actor"]["Attributes"] for e in events() if e["Action"] == "prune"}
    assert set(pruned) == {"container", "network", "volume", "image"} and all(int(a["reclaimed"]) >= 0 for a in pruned.values())
    assert int(pruned["container"]["reclaimed"]) > 0  # the file that was put into it


def test_session_events(any_cli, daemon):
    since = time.time() - 0.1
    any_cli.out("run", "-d", "--name", "ses", "alpine", "sleep", "1h")
    any_cli("exec", "ses", "sh", "-c", "exit 3")

    def events(*filters):
        q = [x for f in filters for x in ("--filter", f)]
        return [json.loads(l) for l in any_cli.out("events", "--since", str(since), "--until", str(time.time()), "--filter", "container=ses", *q, "--format", "{{json .}}").splitlines()]

    assert wait_until(lambda: len(events("event=exec_create", "event=exec_start", "event=exec_die")) == 3)
    got = events("event=exec_create", "event=exec_start", "event=exec_die")
    assert [e["Action"] for e in got] == ["exec_create: sh -c exit 3", "exec_start: sh -c exit 3", "exec_die"]
    assert got[2]["Actor"]["Attributes"]["exitCode"] == "3" and len({e["Actor"]["Attributes"]["execID"] for e in got}) == 1 and got[0]["Actor"]["Attributes"]["name"] == "ses"
    assert events("event=exec_die", "type=network") == []
    assert any_cli("exec", "ses", "nothing").rc in (126, 127)
    assert [e["Action"] for e in events("event=exec_create", "event=exec_start", "event=exec_die")][3:] == ["exec_create: nothing", "exec_start: nothing"]  # as dockerd: it did not live


def test_the_order_of_events(daemon, any_cli):
    """Whatever ends at once has begun before, and who is told of an end finds its event: many at the same time, all in one stream."""
    def begin(body):
        i = daemon.api("POST", "/containers/create", {"Image": "alpine", **body})[1]["Id"]
        assert daemon.api("POST", f"/containers/{i}/start")[0] == 204
        return i

    def events():
        return [json.loads(l) for l in daemon.api("GET", f"/events?since={since}&until={time.time()}")[1].decode().splitlines()]

    def session(n):
        i = daemon.api("POST", f"/containers/{steady}/exec", {"Cmd": ["true"], "AttachStdout": bool(n % 2)})[1]["Id"]
        assert daemon.api("POST", f"/exec/{i}/start", {"Detach": n % 2 == 0})[0] == 200
        return n % 2 == 0 or [e["Action"].split(":")[0] for e in events() if e["Actor"]["Attributes"].get("execID") == i] == ["exec_create", "exec_start", "exec_die"]

    def run(n):
        i = begin({"Cmd": ["true"], "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000}})
        assert daemon.api("POST", f"/containers/{i}/wait")[0] == 200
        return i, [e["Action"] for e in events() if e["Actor"]["ID"] == i]

    assert daemon.api("POST", "/networks/create", {"Name": "ordered"})[0] == 201
    since = time.time()
    steady = begin({"Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": "ordered"}})
    checked = begin({"Cmd": ["sleep", "1h"], "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000}})
    with concurrent.futures.ThreadPoolExecutor(8) as crowd:
        sessions, runs = crowd.map(session, range(16)), crowd.map(run, range(8))
        assert all(sessions)
        for i, seen in runs:
            assert [a for a in seen if not a.startswith("health_status")] == ["create", "start", "die"], seen
            assert all("start" in seen[:n] and "die" not in seen[:n] for n, a in enumerate(seen) if a.startswith("health_status")), seen
    assert wait_until(lambda: "health_status: healthy" in [e["Action"] for e in events() if e["Actor"]["ID"] == checked])
    assert daemon.api("POST", f"/containers/{steady}/kill")[0] == 204
    ends = lambda: [e["Action"].split(":")[0] for e in events() if e["Actor"]["Attributes"].get("execID")]
    assert wait_until(lambda: sorted(ends()) == sorted(["exec_create", "exec_start", "exec_die"] * 16)), ends()
    of_one = {}
    for e in events():
        of_one.setdefault(e["Actor"]["Attributes"].get("execID"), []).append(e["Action"].split(":")[0])
    assert all(seen == ["exec_create", "exec_start", "exec_die"] for i, seen in of_one.items() if i), of_one
    assert [e["Action"].split(":")[0] for e in events() if steady in (e["Actor"]["ID"], e["Actor"]["Attributes"].get("container")) and "execID" not in e["Actor"]["Attributes"]] == [
        "create", "connect", "start", "die", "disconnect", "kill"]
    daemon.clean()
    assert daemon.api("DELETE", "/networks/ordered")[0] == 204
