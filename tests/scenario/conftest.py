"""Runs inside the lab (tests/lab/lab run --daemon none -- /usr/bin/python3 -m pytest tests/scenario): real daemon, real kernel, real clients."""
import ctypes
import http.client
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import termios
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PONTOON_BUILD", ROOT / "build"))
LAB = pathlib.Path(os.environ["LAB"])
RUNTIME = os.environ.get("PONTOON_RUNTIME", "")
QUICK = bool(os.environ.get("PONTOON_QUICK"))
SOAK = bool(os.environ.get("PONTOON_SOAK"))
ROUNDS = 1000 if SOAK else 20 if not QUICK else 5


def wait_until(what, limit=20.0):
    """Polls a condition; the limit only bounds a failure."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def where(pid):
    """What every thread of a process waits for: for the report of one that hangs."""
    if shutil.which("gdb"):
        return subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt 12"], capture_output=True, text=True).stdout
    return subprocess.run(f"for t in /proc/{pid}/task/*; do cat $t/comm $t/wchan $t/syscall; echo; done", shell=True, capture_output=True, text=True).stdout


class Daemon:
    def __init__(self, name="main"):
        self.dir = LAB / name
        self.dir.mkdir(exist_ok=True)
        self.sock = self.dir / "s"
        self.log = self.dir / "log"
        self.args = []
        self.proc = None

    def command(self, *args):
        cmd = [str(BUILD / "pontoond"), "--data-root", str(self.dir / "d"), "--exec-root", str(self.dir / "e"), "--pidfile", str(self.dir / "p"),
               "-H", f"unix://{self.sock}", "--cgroup-parent", "/" + os.environ["LAB_NAME"], "--config-file", str(LAB / "daemon.json"),
               "--image-program", str(BUILD / "pontoon-image")]
        if RUNTIME:
            cmd += ["--default-runtime", RUNTIME]
        return cmd + list(args)

    def start(self, *args, ok=True):
        self.args = list(args)
        if self.sock.exists():
            self.sock.unlink()
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(self.command(*args), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.sock.exists() or self.proc.poll() is not None, 60)
        alive = self.proc.poll() is None
        assert alive == ok, (self.proc.returncode, self.log.read_text()[-2000:])
        return self

    def kill9(self):
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(60)
            except subprocess.TimeoutExpired:
                print(where(self.proc.pid), self.log.read_text(errors="replace")[-4000:])
                self.proc.kill()
                raise
        return self.proc.returncode if self.proc else None

    def env(self):
        env = dict(os.environ, DOCKER_HOST=f"unix://{self.sock}", PONTOON_HOST=f"unix://{self.sock}")
        env.pop("DOCKER_API_VERSION", None)
        return env

    def api(self, method, path, body=None, headers=None):
        """One request; status, decoded body (JSON if it is)."""
        conn = http.client.HTTPConnection("localhost", timeout=60)
        conn.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        conn.sock.settimeout(60)
        conn.sock.connect(str(self.sock))
        head = dict(headers or {})
        data = None
        if body is not None:
            data = body if isinstance(body, (bytes, str)) else json.dumps(body)
            head.setdefault("Content-Type", "application/json")
        conn.request(method, path, data, head)
        r = conn.getresponse()
        raw = r.read()
        conn.close()
        self.headers = dict(r.getheaders())
        try:
            return r.status, json.loads(raw)
        except ValueError:
            return r.status, raw

    def doctor(self):
        status, d = self.api("GET", "/pontoon/doctor")
        assert status == 200, d
        return d["Differences"]

    def clean(self):
        """Removes every container; what is left must be nothing."""
        for c in self.api("GET", "/containers/json?all=1")[1]:
            self.api("DELETE", f"/containers/{c['Id']}?force=1")
        assert wait_until(lambda: self.doctor() == []), self.doctor()
        assert wait_until(lambda: not [l for l in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout.split() if l.startswith("veth")])


class Own(Daemon):
    """With a configuration file of its own."""

    def command(self, *args):
        cmd = super().command(*args)
        cmd[cmd.index("--config-file") + 1] = str(self.dir / "daemon.json")
        return cmd

    def configure(self, **keys):
        (self.dir / "daemon.json").write_text(json.dumps(keys))
        return self


class Result:
    def __init__(self, p):
        self.rc, self.out, self.err = p.returncode, p.stdout, p.stderr

    def __repr__(self):
        return f"rc={self.rc}\nout={self.out}\nerr={self.err}"


class Client:
    """One command line client, on one daemon."""

    def __init__(self, name, program, daemon):
        self.name, self.program, self.daemon = name, str(program), daemon

    def __call__(self, *args, stdin=None, ok=None, timeout=90):
        p = subprocess.run([self.program, *args], env=self.daemon.env(), input=stdin, capture_output=True, text=not isinstance(stdin, bytes), timeout=timeout)
        r = Result(p)
        if ok is not None:
            assert (r.rc == 0) == ok, f"{self.name} {' '.join(args)}: {r!r}"
        return r

    def out(self, *args, **kw):
        return self(*args, ok=True, **kw).out.strip()

    def spawn(self, *args, **kw):
        return subprocess.Popen([self.program, *args], env=self.daemon.env(), **kw)

    def tty(self, *args, rows=24, cols=80):
        return Tty([self.program, *args], self.daemon.env(), rows, cols)


class Tty:
    """A client on a terminal."""

    def __init__(self, argv, env, rows, cols):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (rows, cols))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.proc = subprocess.Popen(argv, env=dict(env, TERM="xterm"), stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.text = ""

    def expect(self, pattern, limit=20.0):
        end = time.monotonic() + limit
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"no {pattern!r} in {self.text!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    data = b""
                self.text += data.decode(errors="replace")
        m = re.search(pattern, self.text)
        self.text = self.text[m.end():]
        return m

    def send(self, text):
        os.write(self.master, text.encode())

    def resize(self, rows, cols):
        termios.tcsetwinsize(self.slave, (rows, cols))
        os.kill(self.proc.pid, signal.SIGWINCH)

    def end(self, limit=30):
        end = time.monotonic() + limit
        while self.proc.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        rc = self.proc.wait(5)
        restored = termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        assert restored, "the terminal was not restored"
        return rc


def programs():
    found = [("docker28", "/usr/local/bin/docker"), ("docker20", ROOT / "build/tools/usr/bin/docker"), ("pontoon", BUILD / "pontoon")]
    found = [(n, p) for n, p in found if pathlib.Path(p).exists()]
    return [found[0], found[-1]] if QUICK and len(found) > 2 else found  # one stock client and ours


class Stuck(BaseException):
    """Not an Exception: nothing may swallow it."""


@pytest.fixture(autouse=True)
def watchdog():
    """A test that hangs fails, and shows where everything stood; no healthy test comes near the limit."""

    def report(*_):
        print(subprocess.run(["ps", "axfo", "pid,ppid,stat,wchan:30,etimes,args"], capture_output=True, text=True).stdout)
        for log in LAB.glob("*/log"):
            print(log, log.read_text(errors="replace")[-6000:])
        raise Stuck("stuck")

    signal.signal(signal.SIGALRM, report)
    signal.alarm(6 * 3600 if SOAK else 300)
    yield
    signal.alarm(0)


@pytest.fixture(scope="module")
def own_network():
    """The module's tests, and the daemons that they start, are in a network namespace of their own: two daemons in one would mend each other's rules."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert libc.unshare(0x40000000) == 0  # CLONE_NEWNET
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    yield
    assert libc.setns(before, 0x40000000) == 0
    os.close(before)


@pytest.fixture(scope="session")
def busybox(tmp_path_factory):
    tar = tmp_path_factory.mktemp("image") / "busybox.tar"
    subprocess.run([str(ROOT / "scripts/busybox-image"), str(tar)], check=True)
    return tar


@pytest.fixture(scope="session")
def daemon(busybox):
    d = Daemon().start()
    with open(busybox, "rb") as f:
        status, lines = d.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", f.read(), {"Content-Type": "application/x-tar"})
    assert status == 200, lines
    yield d
    if d.proc.poll() is not None:
        d.start()
    d.clean()
    d.stop()


@pytest.fixture(params=[n for n, _ in programs()])
def cli(request, daemon):
    yield Client(request.param, dict(programs())[request.param], daemon)
    daemon.clean()


@pytest.fixture
def any_cli(daemon):
    name, program = programs()[0]
    yield Client(name, program, daemon)
    daemon.clean()
