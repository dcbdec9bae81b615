"""The API over TCP: only with TLS and a client's certificate unless told otherwise; sockets from systemd; SIGHUP; what systemd is told."""
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from conftest import BUILD, LAB, ROOT, Client, Daemon, Own, Own, programs, wait_until


pytestmark = pytest.mark.usefixtures("own_network")


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def authority(d, name):
    d.mkdir(exist_ok=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", d / "ca-key.pem", "-out", d / "ca.pem")


def issue(ca, d, prefix, usage, days=2):
    ext = d / "ext"
    ext.write_text(f"subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\nextendedKeyUsage={usage}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=pontoon", "-keyout", d / f"{prefix}key.pem", "-out", d / "req")
    openssl("x509", "-req", "-in", d / "req", "-CA", ca / "ca.pem", "-CAkey", ca / "ca-key.pem", "-CAcreateserial", "-days", days, "-extfile", ext, "-out", d / f"{prefix}cert.pem")


@pytest.fixture(scope="module")
def pki(own_network):
    """ours/: an authority, the server's and a client's certificate. others/: another authority and its client."""
    ours, others = LAB / "ours", LAB / "others"
    authority(ours, "ours")
    authority(others, "others")
    issue(ours, ours, "server-", "serverAuth")
    issue(ours, ours, "", "clientAuth")
    issue(others, others, "", "clientAuth")
    wrong = LAB / "wrong-use"
    wrong.mkdir(exist_ok=True)
    issue(ours, wrong, "", "serverAuth")
    (wrong / "ca.pem").write_text((ours / "ca.pem").read_text())
    (others / "server-ca.pem").write_text((ours / "ca.pem").read_text())
    return ours


def flags(pki):
    return ["--tlsverify", "--tlscacert", str(pki / "ca.pem"), "--tlscert", str(pki / "server-cert.pem"), "--tlskey", str(pki / "server-key.pem")]


PORT = 2376


@pytest.fixture(scope="module")
def remote(pki, busybox):
    d = Daemon("remote").start("--bridge", "none", "-H", f"tcp://127.0.0.1:{PORT}", "-H", f"tcp://[::1]:{PORT}", *flags(pki))
    assert d.api("POST", "/images/create?fromSrc=-&repo=alpine&tag=latest", busybox.read_bytes(), {"Content-Type": "application/x-tar"})[0] == 200
    yield d
    d.clean()
    d.stop()


@pytest.fixture(params=[n for n, _ in programs()])
def cli(request, remote, pki):
    class OverTcp:
        env = staticmethod(lambda: dict({k: v for k, v in remote.env().items() if k not in ("PONTOON_HOST",)}, DOCKER_HOST=f"tcp://127.0.0.1:{PORT}", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(pki)))

    yield Client(request.param, dict(programs())[request.param], OverTcp)
    remote.clean()


def test_everyday_work_over_tls(cli, remote):
    assert cli.out("version", "--format", "{{.Server.Os}}") == "linux"
    assert cli.out("run", "--rm", "--network", "none", "alpine", "echo", "hello") == "hello"
    cli.out("run", "-d", "--name", "aa", "--network", "none", "alpine", "sh", "-c", "echo one; sleep 1h")
    assert wait_until(lambda: cli.out("logs", "aa") == "one")
    assert cli.out("exec", "-i", "aa", "cat", stdin="through\n") == "through"
    assert cli("exec", "aa", "sh", "-c", "exit 7").rc == 7
    large = "x" * 70 + "\n"
    assert cli.out("run", "-i", "--rm", "--network", "none", "alpine", "md5sum", stdin=large * 100000).split()[0] == cli.out("run", "--rm", "--network", "none", "alpine", "sh", "-c", f"yes {large.strip()} | head -n 100000 | md5sum").split()[0]
    t = cli.tty("exec", "-it", "aa", "sh")
    t.expect("# ")
    t.send("echo $((6*7))\n")
    t.expect(r"\r\n42\r\n")
    t.send("exit 3\n")
    assert t.end() == 3


def test_streams_over_tls_end(cli, remote):
    cli.out("run", "-d", "--name", "aa", "--network", "none", "alpine", "sh", "-c", "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; sleep 1h")
    follow = cli.spawn("logs", "-f", "aa", stdout=subprocess.PIPE, text=True)
    events = cli.spawn("events", "--format", "{{.Action}}", stdout=subprocess.PIPE, text=True)
    assert [follow.stdout.readline() for _ in range(100)][-1] == "line 99\n"
    assert wait_until(lambda: remote.api("GET", "/info")[1]["NEventsListener"] >= 1)
    cli.out("rm", "-f", "aa")
    assert follow.wait(20) == 0
    assert events.stdout.readline() in ("kill\n", "die\n")
    events.terminate()
    events.wait(20)
    assert wait_until(lambda: remote.api("GET", "/info")[1]["NEventsListener"] == 0), "the daemon does not notice that a TLS client has gone"


def client_context(pki, cert=None):
    c = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    if cert:
        c.load_cert_chain(str(cert / "cert.pem"), str(cert / "key.pem"))
    return c


def ask(context, host="127.0.0.1"):
    with socket.create_connection((host, PORT), timeout=20) as s, context.wrap_socket(s, server_hostname=host) as t:
        t.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := t.recv(4096):
            data += chunk
        return data


def test_who_is_let_in(remote, pki):
    assert b"200 OK" in ask(client_context(pki, pki)) and b"200 OK" in ask(client_context(pki, pki), "::1")
    strangers = {"no certificate": client_context(pki), "another authority": client_context(pki, LAB / "others"), "a server's certificate": client_context(pki, LAB / "wrong-use")}
    for who, context in strangers.items():
        with pytest.raises((ssl.SSLError, ConnectionError)):
            answer = ask(context)
            assert b"HTTP" not in answer, who
            raise ConnectionError(who)
    old = client_context(pki, pki)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert b"200 OK" in ask(old)
    with socket.create_connection(("127.0.0.1", PORT), timeout=20) as s:
        s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" not in s.recv(4096)
    assert b"200 OK" in ask(client_context(pki, pki))


def test_strangers_that_only_connect(remote, pki):
    held = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(300)]
    for s in held[::3]:
        s.sendall(b"\x16\x03\x01\x02\x00\x01")
    assert b"200 OK" in ask(client_context(pki, pki))
    for s in held:
        s.close()
    assert remote.api("GET", "/_ping")[0] == 200


def errors(*args):
    p = subprocess.run([str(BUILD / "pontoond"), "--config-file", str(LAB / "daemon.json"), "-n", *args], capture_output=True, text=True)
    assert p.returncode != 0, p.stdout
    return p.stderr


def test_what_is_refused(pki):
    plain = errors("-H", "tcp://0.0.0.0:2375")
    assert "would be root on this host" in plain and "--tls=false" in plain and "--tlsverify" in plain
    assert "contradict" in errors("--tls=false", "--tlsverify")
    for bad in "tcp://1.2.3.4:0", "tcp://x:99999", "tcp://[::1", "unix://relative", "http://x", "tcp://h:1/path", "nonsense":
        assert f"invalid bind address ({bad})" in errors("-H", bad, "--tls=false")
    ok = subprocess.run([str(BUILD / "pontoond"), "--config-file", str(LAB / "daemon.json"), "--validate", "-H", "tcp://", "--tls=false"], capture_output=True, text=True)
    assert (ok.returncode, ok.stdout) == (0, "configuration OK\n"), ok.stderr


def test_bad_certificates(pki):
    d = Daemon("bad-tls")
    d.start("--bridge", "none", "-H", "tcp://127.0.0.1:2399", "--tlsverify", "--tlscacert", "/none/ca.pem", "--tlscert", str(pki / "server-cert.pem"), "--tlskey", str(pki / "server-key.pem"), ok=False)
    assert "--tlscacert" in d.log.read_text() and "/none/ca.pem" in d.log.read_text()
    d.start("--bridge", "none", "-H", "tcp://127.0.0.1:2399", "--tlsverify", "--tlscacert", str(pki / "ca.pem"), "--tlscert", str(pki / "server-cert.pem"), "--tlskey", str(pki / "key.pem"), ok=False)
    assert "its key (--tlskey) cannot be used" in d.log.read_text()


def test_plain_tcp_when_asked_for():
    d = Daemon("plain").start("--bridge", "none", "-H", "tcp://127.0.0.1:2375", "--tls=false")
    try:
        assert "is root on this host" in d.log.read_text()
        p = subprocess.run(["curl", "-s", "http://127.0.0.1:2375/_ping"], capture_output=True, text=True)
        assert p.stdout == "OK"
        s = socket.create_connection(("127.0.0.1", 2375))
        s.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wait_until(lambda: d.api("GET", "/info")[1]["NEventsListener"] == 1)
        s.close()
        assert wait_until(lambda: d.api("GET", "/info")[1]["NEventsListener"] == 0)
    finally:
        d.stop()


def test_certificates_as_the_script_makes_them():
    """scripts/tls-certificates as the README has it: the docker command with a context, ours with its options; what each is told when something is missing."""
    d = Daemon("scripted")
    certs = d.dir / "certs"
    subprocess.run([str(ROOT / "scripts/tls-certificates"), str(certs), "localhost", "127.0.0.1"], check=True)
    d.start("--bridge", "none", "-H", "tcp://127.0.0.1:2397", "--tlsverify", "--tlscacert", f"{certs}/ca.pem", "--tlscert", f"{certs}/cert.pem", "--tlskey", f"{certs}/key.pem")
    client = {f"--tls{k}": f"{certs}/client/{f}.pem" for k, f in (("cacert", "ca"), ("cert", "cert"), ("key", "key"))}
    env = {k: v for k, v in d.env().items() if not k.startswith(("DOCKER_", "PONTOON_"))} | {"HOME": str(d.dir), "DOCKER_CONFIG": str(d.dir / "config")}

    def run(program, *args, ok=True):
        p = subprocess.run([str(program), *args], env=env, capture_output=True, text=True)
        assert (p.returncode == 0) == ok, p
        return p.stdout.strip() if ok else p.stderr

    try:
        ours = BUILD / "pontoon"
        for n, (_, docker) in enumerate((programs()[0], programs()[-1])):
            if n:  # ours has the same contexts, and makes them as well
                assert run(docker, "--context", "local", "info", "--format", "{{.ID}}") == run(docker, "info", "--format", "{{.ID}}") == d.api("GET", "/info")[1]["ID"]
                run(docker, "context", "rm", "-f", "remote", "local")
            run(docker, "context", "create", "remote", "--docker", f"host=tcp://127.0.0.1:2397,ca={certs}/client/ca.pem,cert={certs}/client/cert.pem,key={certs}/client/key.pem")
            run(docker, "context", "create", "local", "--docker", f"host=unix://{d.sock}")
            assert run(docker, "--context", "local", "info", "--format", "{{.ID}}") == d.api("GET", "/info")[1]["ID"]
            run(docker, "context", "use", "remote")
            assert run(docker, "info", "--format", "{{.ID}}") == d.api("GET", "/info")[1]["ID"]
        run(ours, "context", "create", "careless", "--docker", "host=tcp://127.0.0.1:2397,skip-tls-verify=true")
        assert "the context has none" in run(ours, "-c", "careless", "ps", ok=False)
        run(ours, "context", "update", "careless", "--docker", f"host=tcp://127.0.0.1:2397,cert={certs}/client/cert.pem,key={certs}/client/key.pem")
        assert "is not trusted" in run(ours, "-c", "careless", "ps", ok=False)  # the system knows no such authority
        run(ours, "context", "update", "careless", "--docker", f"host=tcp://127.0.0.1:2397,skip-tls-verify=true,cert={certs}/client/cert.pem,key={certs}/client/key.pem")
        run(ours, "-c", "careless", "ps")
        run(ours, "context", "use", "default")
        flat = [x for kv in client.items() for x in kv]
        for host in "tcp://localhost:2397", "tcp://127.0.0.1:2397":
            assert run(ours, "-H", host, "--tlsverify", *flat, "info", "--format", "{{.ID}}") == d.api("GET", "/info")[1]["ID"]
        assert "if it wants TLS, use --tlsverify" in run(ours, "-H", "tcp://127.0.0.1:2397", "ps", ok=False)
        assert "client's certificate" in run(ours, "-H", "tcp://127.0.0.1:2397", "--tlscacert", client["--tlscacert"], "ps", ok=False)
        assert "if it wants TLS" in run(ours, "-H", "tcp://127.0.0.1:2397", "version", "--format", "{{.Server.Version}}", ok=False)
        # an authority that is there goes on: certificates made anew fit the clients that have it
        before = (certs / "ca.pem").read_text()
        subprocess.run([str(ROOT / "scripts/tls-certificates"), str(certs), "localhost"], check=True)
        assert (certs / "ca.pem").read_text() == before
        run(ours, "-H", "tcp://127.0.0.1:2397", "--tlsverify", *flat, "ps")
    finally:
        d.stop()


# --- conflicts of flags and file, SIGHUP ---

def test_flag_and_file_conflict():
    f = LAB / "conflict.json"
    f.write_text(json.dumps({"debug": True, "hosts": ["unix:///run/x.sock"], "dns": ["1.1.1.1"]}))
    text = subprocess.run([str(BUILD / "pontoond"), "--config-file", str(f), "--validate", "--debug=false", "-H", "unix:///run/y.sock", "--dns", "8.8.8.8"], capture_output=True, text=True).stderr
    assert "specified both as a flag and in the configuration file: debug: (from flag: false, from file: true)" in text
    assert 'hosts: (from flag: [unix:///run/y.sock], from file: ["unix:///run/x.sock"])' in text
    assert "dns: (from flag: [8.8.8.8]" in text


def test_sighup():
    d = Own("hup").configure(debug=False, labels=["a=b"]).start("--bridge", "none")
    try:
        assert d.api("GET", "/info")[1]["Labels"] == ["a=b"]
        since = time.time()
        d.configure(**{"debug": True, "labels": ["c=d", "e=f"], "live-restore": True, "shutdown-timeout": 3, "runtimes": {"mine": {"path": "/usr/bin/mine"}}, "mtu": 1400})
        before = d.log.stat().st_size
        d.proc.send_signal(signal.SIGHUP)
        assert wait_until(lambda: d.api("GET", "/info")[1]["Debug"])
        info = d.api("GET", "/info")[1]
        assert info["Labels"] == ["c=d", "e=f"] and info["LiveRestoreEnabled"] and info["Runtimes"]["mine"] == {"path": "/usr/bin/mine"}
        assert wait_until(lambda: "the configuration was read again" in d.log.read_text()[before:])
        assert re.search(r"take effect at the next start: mtu", d.log.read_text()[before:])
        status, text = d.api("GET", f"/events?since={int(since)}&until={int(time.time()) + 1}&filters=%7B%22type%22%3A%5B%22daemon%22%5D%7D")
        event = text if isinstance(text, dict) else json.loads(text.splitlines()[0])
        assert (event["Type"], event["Action"], event["Actor"]["Attributes"]["labels"], event["Actor"]["Attributes"]["debug"]) == ("daemon", "reload", '["c=d","e=f"]', "true")
        # what is wrong changes nothing
        (d.dir / "daemon.json").write_text('{"debug": 7, "labels": ["x=y"]}')
        before = d.log.stat().st_size
        d.proc.send_signal(signal.SIGHUP)
        assert wait_until(lambda: "the configuration stays as it was" in d.log.read_text()[before:])
        assert d.api("GET", "/info")[1]["Labels"] == ["c=d", "e=f"]
        d.configure(**{"live-restore": True})
        d.proc.send_signal(signal.SIGHUP)
        assert wait_until(lambda: d.api("GET", "/info")[1]["Labels"] == [])
        assert not d.api("GET", "/info")[1]["Debug"]
    finally:
        d.stop()


# --- systemd's side, played by the test ---

def activated(d, sockets, *args, names=None, notify=None):
    """Starts the daemon as systemd does: the sockets from 3 on, LISTEN_PID its process id."""
    script = "import os,sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
    cmd = [c for c in d.command(*args)]
    i = cmd.index("-H")
    del cmd[i:i + 2]
    env = dict(os.environ, LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(names or ["x"] * len(sockets)))
    if notify:
        env["NOTIFY_SOCKET"] = notify
    high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]

    def place():
        for k, fd in enumerate(high):
            os.dup2(fd, 3 + k)
            os.set_inheritable(3 + k, True)

    with open(d.log, "ab") as log:
        d.proc = subprocess.Popen(["/usr/bin/python3", "-c", script, *cmd], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env, preexec_fn=place, pass_fds=range(3, 3 + len(sockets)))
    for fd in high:
        os.close(fd)


def listening(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen(64)
    return s


def test_socket_activation_and_notify():
    d = Daemon("activated")
    with listening(d.sock) as a, listening(d.dir / "second") as b, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind("\0" + os.environ["LAB_NAME"])
        told.settimeout(60)
        activated(d, [a, b], "--bridge", "none", "-H", "fd://", names=["api", "more"], notify="@" + os.environ["LAB_NAME"])
        try:
            assert told.recv(200).startswith(b"READY=1")
            assert d.api("GET", "/_ping")[0] == 200
            d.sock, first = d.dir / "second", d.sock
            assert d.api("GET", "/_ping")[0] == 200
            d.sock = first
            environment = open(f"/proc/{d.proc.pid}/environ", "rb").read()
            d.proc.send_signal(signal.SIGHUP)
            assert told.recv(200).startswith(b"RELOADING=1\nMONOTONIC_USEC=") and told.recv(200).startswith(b"READY=1")
            d.proc.terminate()
            assert told.recv(200).startswith(b"STOPPING=1")
            assert d.proc.wait(30) == 0 and b"LISTEN_FDS" in environment
            assert d.sock.exists(), "a socket that systemd made is systemd's to remove"
        finally:
            d.stop()


def test_passed_sockets_are_the_default():
    """Without -H, as in pontoon.service; a reload does not see another default then."""
    d = Daemon("activated3")
    with listening(d.sock) as a:
        activated(d, [a], "--bridge", "none")
        try:
            assert d.api("GET", "/_ping")[0] == 200
            d.proc.send_signal(signal.SIGHUP)
            assert wait_until(lambda: "changed: nothing" in d.log.read_text()) and "next start" not in d.log.read_text()
        finally:
            d.stop()


def test_activation_by_name_and_its_errors():
    d = Daemon("activated2")
    with listening(d.sock) as a, listening(d.dir / "second") as b:
        activated(d, [a, b], "--bridge", "none", "-H", "fd://more", names=["api", "more"])
        try:
            d.sock = d.dir / "second"
            assert wait_until(lambda: d.proc.poll() is not None or "is ready" in d.log.read_text()) and d.api("GET", "/_ping")[0] == 200
        finally:
            d.stop()
        d.log.write_text("")
        activated(d, [a], "--bridge", "none", "-H", "fd://none-such")
        assert d.proc.wait(30) != 0 and "failed to find the specified socket activation file: fd://none-such" in d.log.read_text()
        activated(d, [], "--bridge", "none", "-H", "fd://")
        assert d.proc.wait(30) != 0 and "no sockets found via socket activation" in d.log.read_text()
    with socket.create_server(("127.0.0.1", 2398)) as tcp:
        activated(d, [tcp], "--bridge", "none", "-H", "fd://")
        assert d.proc.wait(30) != 0 and "the passed socket: whoever reaches it" in d.log.read_text()


def test_group_of_the_socket():
    import grp
    import stat
    d = Daemon("group").start("--bridge", "none", "--group", "daemon")
    st = d.sock.stat()
    assert stat.S_IMODE(st.st_mode) == 0o660 and st.st_gid == grp.getgrnam("daemon").gr_gid
    d.stop()
    d.start("--bridge", "none", "--group", "12345")
    assert d.sock.stat().st_gid == 12345
    d.stop()
    d.start("--bridge", "none", "--group", "no-such-group", ok=False)
    assert "the group no-such-group (--group) does not exist" in d.log.read_text()
