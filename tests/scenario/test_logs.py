"""Log drivers: rotation by size, reading across the files, details, what is refused."""
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import time

import pytest

from conftest import LAB, wait_until

NUMBERS = "i=0; while [ $i -lt {n} ]; do echo line-$i-padding-padding-padding-padding; i=$((i+1)); [ $((i % 50)) = 0 ] && usleep 30000; done"


def files(daemon, id):
    d = daemon.dir / "d/containers" / id
    return sorted(p.name for p in d.iterdir() if ".log" in p.name)


def open_files(daemon):
    names = []
    for fd in pathlib.Path(f"/proc/{daemon.proc.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.append(os.readlink(fd))
    return names


def test_rotation(daemon, cli):
    id = cli.out("run", "-d", "--name", "rot", "--log-opt", "max-size=10k", "--log-opt", "max-file=200", "alpine", "sh", "-c", NUMBERS.format(n=2000) + "; sleep 1h")
    followed = LAB / f"followed-{cli.name}"
    f = cli.spawn("logs", "-f", "rot", stdout=open(followed, "w"))
    want = [f"line-{i}-padding-padding-padding-padding" for i in range(2000)]
    assert wait_until(lambda: cli.out("logs", "--tail", "1", "rot") == want[-1], 60)
    assert wait_until(lambda: len(files(daemon, id)) > 1)
    assert cli.out("logs", "rot").splitlines() == want, "nothing is lost between two files"
    assert cli.out("logs", "--tail", "1500", "rot").splitlines() == want[-1500:]
    stamped = cli.out("logs", "-t", "--tail", "1000", "rot").splitlines()
    since = stamped[0].split()[0]
    assert cli.out("logs", "--since", since, "rot").splitlines() == want[-1000:]
    early = cli.out("logs", "--until", since, "rot").splitlines()
    assert 1001 <= len(early) <= 1050 and early == want[:len(early)], "lines that came at once have one time"
    late = LAB / f"late-{cli.name}"
    f2 = cli.spawn("logs", "-f", "--tail", "1500", "rot", stdout=open(late, "w"))
    assert wait_until(lambda: late.read_text().splitlines() == want[-1500:])
    held = lambda: [t for t in open_files(daemon) if ".log." in t]
    assert wait_until(lambda: not held()), held()  # who has read them keeps no rotated file, which may be deleted, while it waits
    cli.out("kill", "rot")
    f.wait(60)
    f2.wait(60)
    assert followed.read_text().splitlines() == want, "who follows sees all of it"
    assert cli.out("logs", "rot").splitlines() == want, "also afterwards"


def test_bound(daemon, any_cli):
    bursts = "for p in first second third fourth; do " + NUMBERS.format(n=200).replace("line", "$p") + "; usleep 800000; done; "
    id = any_cli.out("run", "-d", "--name", "bound", "--log-driver", "local", "--log-opt", "max-size=4k", "--log-opt", "max-file=2", "alpine", "sh", "-c", bursts + "echo end; sleep 1h")
    assert wait_until(lambda: any_cli.out("logs", "--tail", "1", "bound") == "end", 60)
    text = any_cli.out("logs", "bound")
    assert wait_until(lambda: len(files(daemon, id)) <= 2) and "first-0" not in text and "fourth-199" in text
    one = any_cli.out("run", "-d", "--name", "one", "--log-opt", "max-size=4k", "alpine", "sh", "-c", NUMBERS.format(n=200) + "; usleep 1200000; echo end; sleep 1h")
    assert wait_until(lambda: any_cli.out("logs", "--tail", "1", "one") == "end", 60) and files(daemon, one) == [f"{one}-json.log"]
    daemon.kill9()
    daemon.start()
    assert any_cli.out("logs", "--tail", "1", "bound") == "end"


def test_details_and_refusals(daemon, any_cli):
    any_cli.out("run", "--name", "det", "--label", "a=b", "--label", "other=x", "-e", "X=y z", "--log-opt", "labels=a", "--log-opt", "env=X", "alpine", "echo", "hi")
    assert any_cli.out("logs", "--details", "det") == "X=y+z,a=b hi"
    assert re.fullmatch(r"\S+Z X=y\+z,a=b hi", any_cli.out("logs", "-t", "--details", "det"))
    any_cli.out("run", "--name", "none", "--log-driver", "none", "alpine", "echo", "hi")
    assert "configured logging driver does not support reading" in any_cli("logs", "none", ok=False).err
    for config, status, text in [({"Type": "json-file", "Config": {"max-size": "1x"}}, 400, "failed to initialize logging driver: invalid size: '1x'"), ({"Type": "json-file", "Config": {"max-file": "0"}}, 400, "failed to initialize logging driver: max-file cannot be less than 1"),
                                 ({"Type": "local", "Config": {"max-file": "x"}}, 400, 'failed to initialize logging driver: strconv.Atoi: parsing "x": invalid syntax'), ({"Type": "syslog"}, 400, "logger: no log driver named 'syslog' is registered")]:
        assert daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"], "HostConfig": {"LogConfig": config}}) == (status, {"message": text})


def test_many_followers(daemon, any_cli):
    """More than the kernel gives anyone inotify instances; each sees every line, and the end."""
    for name in "even", "odd":
        any_cli.out("run", "-d", "-i", "--name", name, "alpine", "sh", "-c", "read x; echo first of $x; sleep 0.1; echo last of $x")
    conns = []
    for i in range(140):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(str(daemon.sock))
        s.sendall(f"GET /containers/{'odd' if i % 2 else 'even'}/logs?stdout=1&follow=1 HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        assert s.recv(4096).startswith(b"HTTP/1.")  # the head: from now on it follows, or soon
        conns.append(s)
    for name in "even", "odd":
        assert any_cli("attach", name, stdin=name + "\n").rc == 0
    for i, s in enumerate(conns):
        name, data = "odd" if i % 2 else "even", b""
        while more := s.recv(65536):
            data += more
        assert data.count(b"\x01\x00\x00\x00") == 2 and f"last of {name}\n".encode() in data, (i, data)
        s.close()


def test_default_of_the_daemon(daemon, any_cli):
    """Of containers that name no driver; options go with the driver that they are for, and what the container says itself wins."""
    conf, args = LAB / "daemon.json", daemon.args
    before = conf.read_text()
    config = lambda *a: json.loads(any_cli.out("inspect", any_cli.out("create", *a, "alpine", "true")))[0]["HostConfig"]["LogConfig"]
    try:
        conf.write_text(json.dumps({"log-driver": "local", "log-opts": {"max-size": "1m", "max-file": "3"}}))
        daemon.kill9()
        daemon.start(*args)
        assert daemon.api("GET", "/info")[1]["LoggingDriver"] == "local"
        assert config() == {"Type": "local", "Config": {"max-file": "3", "max-size": "1m"}}
        assert config("--log-opt", "max-size=2m") == {"Type": "local", "Config": {"max-file": "3", "max-size": "2m"}}
        assert config("--log-driver", "json-file") == {"Type": "json-file", "Config": {}}
        daemon.kill9()
        conf.write_text(json.dumps({"log-driver": "local", "log-opts": {"nope": "1"}}))
        daemon.start(*args, ok=False)
        assert "failed to set log opts: unknown log opt 'nope' for local log driver" in daemon.log.read_text()
    finally:
        conf.write_text(before)
        daemon.start(*args)
