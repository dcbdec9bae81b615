"""The log driver journald, with a journald of the test's own: the lab's /run is its own, and nothing of the machine's journal is touched."""
import json
import os
import pathlib
import subprocess

import pytest

from conftest import LAB, ROOT, wait_until

TOOLS = ROOT / "build/tools"
JOURNALD, JOURNALCTL = [next((p for p in map(pathlib.Path, ps) if p.exists()), None) for ps in (
    ("/lib/systemd/systemd-journald", TOOLS / "lib/systemd/systemd-journald"), ("/usr/bin/journalctl", TOOLS / "bin/journalctl"))]
ENV = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": ":".join(map(str, (TOOLS / "usr/lib").glob("*/systemd")))}
pytestmark = [pytest.mark.skipif(not JOURNALD or not JOURNALCTL, reason="systemd-journald is neither installed nor unpacked: scripts/deps test"),
              pytest.mark.skipif(not os.path.exists("/etc/machine-id") or not os.path.getsize("/etc/machine-id"), reason="a journal needs /etc/machine-id")]


@pytest.fixture(scope="module")
def journal(daemon):
    status, made = daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"], "HostConfig": {"LogConfig": {"Type": "journald"}}})
    assert status == 201 and "journald" not in daemon.api("GET", "/info")[1]["Plugins"]["Log"]
    status, said = daemon.api("POST", f"/containers/{made['Id']}/start")
    assert status == 500 and said["message"].endswith("failed to initialize logging driver: journald is not enabled on this host")
    conf = LAB / "journald.conf"
    conf.write_text("[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nRateLimitIntervalSec=0\nRuntimeMaxUse=32M\n")
    pathlib.Path("/etc/systemd").mkdir(exist_ok=True)
    target = pathlib.Path("/etc/systemd/journald.conf")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(target.parent)], check=True)
    target.write_text(conf.read_text())
    for d in "/run/systemd/journal", "/run/log/journal":
        os.makedirs(d, exist_ok=True)
    log = open(LAB / "journald.log", "wb")
    p = subprocess.Popen([str(JOURNALD)], env=ENV, stdout=log, stderr=log)
    assert wait_until(lambda: os.path.exists("/run/systemd/journal/io.systemd.journal")), (LAB / "journald.log").read_text()
    yield "/run/log/journal"
    p.terminate()
    p.wait(20)
    log.close()
    subprocess.run(["umount", str(target.parent)], check=True)
    subprocess.run(["rm", "-rf", "/run/systemd/journal", "/run/log/journal"], check=True)


def test_journald(cli, daemon, journal):
    assert "journald" in daemon.api("GET", "/info")[1]["Plugins"]["Log"]
    script = "echo one; printf '%020000d' 7; echo; echo last"
    box = cli.out("run", "-d", "--name", "told", "--log-driver", "journald", "--log-opt", "tag=x/{{.Name}}/{{.ID}}", "alpine", "sh", "-c", script)
    cli.out("wait", "told")
    long = "7".rjust(20000, "0")
    r = cli("logs", "told", ok=True)
    assert (r.out, r.err) == (f"one\n{long}\nlast\n", "")
    r = cli("run", "--name", "both", "--log-driver", "journald", "alpine", "sh", "-c", "echo out; echo err >&2", ok=True)
    assert (r.out, r.err) == ("out\n", "err\n")
    r = cli("logs", "both", ok=True)
    assert (r.out, r.err) == ("out\n", "err\n")
    assert cli.out("logs", "--tail", "2", "told") == f"{long}\nlast"
    assert cli("logs", "--tail", "0", "told").out == ""
    lines = cli.out("logs", "-t", "--tail", "1", "told").split()
    assert lines[1] == "last" and lines[0].endswith("Z")
    assert cli("logs", "--since", lines[0], "told").out == "last\n"
    assert cli("logs", "--until", "2000-01-01T00:00:00Z", "told").out == ""
    j = json.loads(cli.out("inspect", "told"))[0]
    assert (j["HostConfig"]["LogConfig"]["Type"], j["LogPath"]) == ("journald", "")
    rows = [json.loads(l) for l in subprocess.run([str(JOURNALCTL), "-D", journal, "-o", "json", "CONTAINER_TAG=" + box[:12], "CONTAINER_TAG=x/told/" + box[:12]], env=ENV, capture_output=True, text=True, check=True).stdout.splitlines()]
    assert [rows[0][k].strip() for k in ("MESSAGE", "PRIORITY", "CONTAINER_ID_FULL", "CONTAINER_ID", "CONTAINER_NAME")] == ["one", "6", box, box[:12], "told"]


def test_followed(any_cli, daemon, journal):
    """What comes is told as it comes, and the end of the container ends it; a second run is told after the first."""
    any_cli.out("run", "-d", "--name", "going", "--log-driver", "journald", "alpine", "sh", "-c", "echo first; while [ ! -e /go ]; do sleep 0.05; done; rm /go; echo second; echo end")
    p = any_cli.spawn("logs", "-f", "going", stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "first\n"
    any_cli.out("exec", "going", "touch", "/go")
    assert p.stdout.read() == "second\nend\n" and p.wait(30) == 0
    any_cli.out("start", "going")
    assert wait_until(lambda: any_cli.out("logs", "--tail", "4", "going").splitlines() == ["first", "second", "end", "first"])


def test_options(daemon, journal):
    create = lambda opts: daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"], "HostConfig": {"LogConfig": {"Type": "journald", "Config": opts}}})
    assert create({"max-size": "1m"}) == (400, {"message": "unknown log opt 'max-size' for journald log driver"})
    assert create({"labels": "a"})[0] == 400
    for tag in "{{.Nope}}", "{{.ID":
        box = create({"tag": tag})[1]["Id"]
        status, said = daemon.api("POST", f"/containers/{box}/start")
        assert status == 400 and "failed to initialize logging driver" in said["message"], said
    daemon.clean()
