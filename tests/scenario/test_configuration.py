"""A configuration file of dockerd's, moved over: what counts here, what is passed over with a word, what is refused and why."""
import contextlib
import hashlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import BUILD, ROOT, RUNTIME, Client, Daemon, Own, programs, wait_until

sys.path.insert(0, str(ROOT / "tests/image"))
from archives import digest, entry, tar  # noqa: E402
from fake_registry import Registry  # noqa: E402

pytestmark = pytest.mark.usefixtures("own_network")


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


@pytest.mark.parametrize("mark", ["volumes/metadata.db", "network/files/local-kv.db"])
def test_the_data_root_of_dockerd_is_left_alone(mark):
    """Its containers would be taken for leftovers of ours: Pontoon wants a directory of its own, and changes nothing in this one."""
    d = Daemon("dockerds-" + mark[0])
    root = d.dir / "d"
    for path in (mark, f"containers/{hashlib.sha256(mark.encode()).hexdigest()}/config.v2.json", "volumes/data/_data/precious"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("precious")
    before = tree(root)
    try:
        d.start("--bridge", "none", ok=False)
        assert f"data-root: {root} is dockerd's (it holds {mark})" in d.log.read_text()
        assert tree(root) == before
    finally:
        d.stop()


# A file as people have it, and what is passed over of it.
THEIRS = {
    "storage-driver": "overlay2", "storage-opts": ["overlay2.override_kernel_check=true"], "exec-opts": ["native.cgroupdriver=systemd"],
    "log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}, "features": {"buildkit": True}, "experimental": True, "metrics-addr": "127.0.0.1:9323",
    "userns-remap": "", "selinux-enabled": False, "live-restore": True, "max-concurrent-downloads": 10, "max-download-attempts": 7, "oom-score-adjust": 500,
    "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 200, "Soft": 100}, "core": {"Name": "core", "Hard": -1, "Soft": -1}}, "default-shm-size": "32M",
    "default-ipc-mode": "shareable", "no-new-privileges": True, "proxies": {"https-proxy": "http://me:secret@127.0.0.1:1", "no-proxy": "localhost"}}
PASSED_OVER = {"exec-opts: native.cgroupdriver=systemd", "features", "experimental", "metrics-addr"}

TELL = "ulimit -Sn; ulimit -Hn; ulimit -c; df -k /dev/shm | awk 'END {print $2}'; awk '/NoNewPrivs/ {print $2}' /proc/self/status; cat /proc/self/oom_score_adj"


def told(text):
    return re.findall(r"level=warning msg=\"?([a-z:.= -]+) is passed over", text)


@pytest.fixture(scope="module")
def moved(own_network, busybox):
    d = Own("moved").configure(**THEIRS).start("--bridge", "none")
    pontoon = Client("pontoon", BUILD / "pontoon", d)
    pontoon.out("import", str(busybox), "alpine")
    yield d
    d.stop()


@pytest.fixture(params=[n for n, _ in programs()])
def client(request, moved):
    yield Client(request.param, dict(programs())[request.param], moved)
    moved.clean()


def reloaded(d, **keys):
    before = d.log.stat().st_size
    d.configure(**keys)
    d.proc.send_signal(signal.SIGHUP)
    assert wait_until(lambda: "the configuration was read again" in d.log.read_text()[before:]), d.log.read_text()[before:]
    return d.log.read_text()[before:]


def run(c, *args, tell=TELL):
    return c.out("run", "--rm", "--network", "none", *args, "alpine", "sh", "-c", tell).split()


def test_what_is_passed_over_is_said(moved):
    assert set(told(moved.log.read_text())) == PASSED_OVER and len(told(moved.log.read_text())) == len(PASSED_OVER)
    p = subprocess.run([BUILD / "pontoond", "--validate", "--config-file", moved.dir / "daemon.json"], capture_output=True, text=True)
    assert p.returncode == 0 and p.stdout.endswith("configuration OK\n") and set(re.findall(r"^([a-z:.= -]+) is passed over: ", p.stdout, re.M)) == PASSED_OVER, p
    assert pathlib.Path(f"/proc/{moved.proc.pid}/oom_score_adj").read_text() == "500\n"


def test_every_option_of_dockerds_is_known(moved):
    """By its own --help; what it means here is for the table in tests/daemon/test_config.c."""
    dockerd = ROOT / "build/tools/usr/sbin/dockerd"
    if not dockerd.exists():
        pytest.skip("dockerd is not there: scripts/deps")
    text = subprocess.run([dockerd, "--help"], capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"^ +(?:-\w, )?(--[a-z0-9-]+)", text, re.M)) - {"--help", "--version", "--config-file"}
    assert len(flags) > 70 and "--userns-remap" in flags
    p = subprocess.run([BUILD / "pontoond", "--validate", "--config-file", moved.dir / "none", *(f"{f}=x" for f in sorted(flags))], capture_output=True, text=True)
    assert "userns-remap: " in p.stderr and not re.findall(r"unknown flag: .*", p.stderr), p.stderr


def test_every_key_of_dockerds_is_known(moved):
    """Those that dockerd itself does not call unknown, of all words in it that could be one."""
    dockerd = ROOT / "build/tools/usr/sbin/dockerd"
    if not dockerd.exists():
        pytest.skip("dockerd is not there: scripts/deps")
    words = {w.decode() for w in re.findall(rb'json:"([a-z0-9]+(?:-[a-z0-9]+)*)', dockerd.read_bytes())} | {"graph", "icc", "ip", "dns", "mtu", "bip", "init", "restart", "containerd-plugins-namespace"}
    conf = moved.dir / "keys.json"

    def unknown(program):
        p = subprocess.run([program, "--config-file", conf, *(["--validate"] if program != dockerd else [])], capture_output=True, text=True)
        found = re.findall(r"don't match any configuration option: (.*)", p.stderr)
        return {w for f in found for w in f.strip().split(", ")}

    conf.write_text(json.dumps(dict.fromkeys(words | {"bogus-key"}, "x")))
    known = words - unknown(dockerd) - {"config-file", "help", "host", "label", "version"}  # the last are the names of its flags: as keys they say nothing
    assert len(known) > 75 and {"userns-remap", "default-ulimits", "builder", "restart"} <= known, known
    conf.write_text(json.dumps(dict.fromkeys(known | {"bogus-key"}, "x")))
    assert unknown(BUILD / "pontoond") == {"bogus-key"}


def test_the_man_page_names_every_option():
    man = (ROOT / "man/pontoond.8").read_text().replace("\\-", "-")
    text = subprocess.run([BUILD / "pontoond", "--help"], capture_output=True, text=True, check=True).stdout
    flags = re.findall(r"^ +(?:-\w, )?(--[a-z0-9-]+)", text, re.M)
    keys = re.findall(r'^\t\{(?:NULL|"--[a-z-]+"), "([a-z-]+)", CONF_', (ROOT / "src/daemon/config_foreign.c").read_text(), re.M)
    assert len(flags) > 60 and len(keys) > 25
    assert [f for f in flags if not re.search(re.escape(f) + r"\b(?!-)", man)] == [] and [k for k in keys if k not in man] == []


def test_what_is_refused_says_what_to_do(moved):
    p = subprocess.run([BUILD / "pontoond", "--config-file", moved.dir / "none", "--userns-remap", "default", "-s", "btrfs", "--validate"], capture_output=True, text=True)
    assert p.returncode == 1 and "userns-remap: containers have no user namespace here" in p.stderr and 'storage-driver: Pontoon has overlay2 only, not "btrfs"' in p.stderr, p


def in_session(client, name):
    """runc 1.1 loses, now and then, a race with Go's runtime in `exec`: the soft limit of files is then the hard one (opencontainers/runc#4195)."""
    told = client.out("exec", name, "sh", "-c", TELL).split()
    return ["100", *told[1:]] if RUNTIME == "runc" and told[0] == told[1] else told


def test_new_containers_get_the_defaults(moved, client):
    assert run(client) == ["100", "200", "unlimited", "32768", "1", "0"]
    own = ["--ulimit", "nofile=50:60", "--shm-size", "1m", "--ipc", "private", "--security-opt", "no-new-privileges=false", "--oom-score-adj", "5"]
    assert run(client, *own) == ["50", "60", "unlimited", "1024", "0", "5"]
    client.out("run", "-d", "--name", "giver", "--network", "none", "alpine", "sleep", "1h")
    assert in_session(client, "giver") == ["100", "200", "unlimited", "32768", "1", "0"]
    h = json.loads(client.out("inspect", "giver"))[0]["HostConfig"]
    assert (h["ShmSize"], h["IpcMode"], h["SecurityOpt"]) == (32 << 20, "shareable", ["no-new-privileges"])
    assert [(u["Name"], u["Soft"], u["Hard"]) for u in h["Ulimits"]] == [("nofile", 100, 200), ("core", -1, -1)]
    assert run(client, "--ipc", "container:giver", tell="echo in") == ["in"], "what is shareable can be shared"


def test_sighup_changes_what_new_containers_get(moved, client):
    client.out("run", "-d", "--name", "old", "--network", "none", "alpine", "sleep", "1h")
    since = time.time()
    try:
        limits = {"nofile": {"Name": "nofile", "Hard": 400, "Soft": 300}}
        log = reloaded(moved, **{**THEIRS, "default-ulimits": limits, "default-shm-size": "16m", "default-ipc-mode": "private", "default-cgroupns-mode": "private", "max-download-attempts": 2, "no-new-privileges": False,
                          "metrics-addr": "127.0.0.1:1", "api-cors-header": "*"})
        assert re.findall(r"SIGHUP: ([a-z-]+) is passed over", log) == ["api-cors-header"], "what is new"
        assert "changed: default-cgroupns-mode, default-ipc-mode, default-shm-size, default-ulimits, max-download-attempts" in log and "next start: no-new-privileges" in log
        assert run(client)[:2] == ["300", "400"] and run(client)[3:5] == ["16384", "1"]
        new = json.loads(client.out("inspect", client.out("create", "--network", "none", "alpine", "true")))[0]["HostConfig"]
        assert (new["IpcMode"], new["CgroupnsMode"], new["ShmSize"]) == ("private", "private", 16 << 20)
        client.out("restart", "-t", "0", "old")
        assert in_session(client, "old")[:4] == ["100", "200", "unlimited", "32768"], "one that was there keeps what it has"
        event = json.loads(client.out("events", "--since", str(since), "--until", str(time.time()), "--filter", "type=daemon", "--format", "{{json .}}").splitlines()[-1])
        told = {k: v for k, v in event["Actor"]["Attributes"].items() if k.startswith("default-") or k.startswith("max-d")}
        assert told == {**told, "default-ipc-mode": "private", "default-cgroupns-mode": "private", "default-shm-size": str(16 << 20), "max-download-attempts": "2"}
    finally:
        reloaded(moved, **THEIRS)
    assert run(client)[:4] == ["100", "200", "unlimited", "32768"]


def test_info_tells_of_them(moved):
    info = moved.api("GET", "/info")[1]
    assert "name=no-new-privileges" in info["SecurityOptions"] and info["Driver"] == "overlay2" and info["CgroupDriver"] == "cgroupfs"
    assert (info["HttpsProxy"], info["NoProxy"], info["ExperimentalBuild"]) == ("http://xxxxx:xxxxx@127.0.0.1:1", "localhost", False)


def test_registries_are_reached_through_the_proxy(own_network):
    d = Own("proxied")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        d.configure(proxies={"https-proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}"}).start("--bridge", "none")
        asked = []

        def serve():
            c, _ = proxy.accept()
            with c:
                asked.append(c.recv(4096).split(b"\r\n")[0])
                c.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

        t = threading.Thread(target=serve, daemon=True)
        t.start()
        try:
            status, answer = d.api("POST", "/images/create?fromImage=registry.example/a&tag=1")
            t.join(20)
            assert asked == [b"CONNECT registry.example:443 HTTP/1.1"] and status == 500, (asked, status, answer)
        finally:
            d.stop()


def test_attempts_are_counted(moved):
    """A layer whose transfer breaks off without a byte is asked for so often, and no more."""
    with contextlib.closing(Registry()) as r:
        r.big = tar(entry("big", b"x" * 1000))
        r.image("broken", "1", [r.big])

        def hook(h):
            if digest(r.big) not in h.route:
                return False
            h.send_response(200)
            h.send_header("Content-Length", str(len(r.big)))
            h.end_headers()
            h.close_connection = True
            return True

        r.hooks.append(hook)
        assert "changed: max-download-attempts" in reloaded(moved, **{**THEIRS, "max-download-attempts": 2})
        status, answer = moved.api("POST", f"/images/create?fromImage={r.name}/broken&tag=1")
        asked = [path for _, path, _ in r.asked if digest(r.big) in path]
        assert len(asked) == 2 and b"error" in answer, (asked, status, answer)
    reloaded(moved, **THEIRS)


def test_the_daemons_own_filter(own_network, busybox):
    """In Docker's form: a rule for who has a capability is for nobody else."""
    d = Own("filter")
    profile = d.dir / "seccomp.json"
    calls = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                                   {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}], "syscalls": [{**calls, "excludes": {"caps": ["CAP_NET_ADMIN"]}}]}))
    d.configure(**{"seccomp-profile": str(profile)}).start("--bridge", "none")
    try:
        c = Client("pontoon", BUILD / "pontoon", d)
        c.out("import", str(busybox), "alpine")
        assert f"name=seccomp,profile={profile}" in d.api("GET", "/info")[1]["SecurityOptions"]
        tell = "mkdir /new 2>&1 && echo made"
        refused = c("run", "--rm", "--network", "none", "alpine", "sh", "-c", tell)
        assert "Function not implemented" in refused.out and "made" not in refused.out, refused
        for args in (["--cap-add", "NET_ADMIN"], ["--security-opt", "seccomp=unconfined"], ["--security-opt", "seccomp=builtin"], ["--privileged"]):
            assert run(c, *args, tell=tell) == ["made"], args
        # a container's own, which the client reads
        own = d.dir / "own.json"
        own.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{**calls, "includes": {"caps": ["CAP_CHOWN"]}}]}))
        assert "Function not implemented" in c("run", "--rm", "--network", "none", "--security-opt", f"seccomp={own}", "alpine", "sh", "-c", tell).out
        assert run(c, "--security-opt", f"seccomp={own}", "--cap-drop", "CHOWN", tell=tell) == ["made"]
        d.clean()
    finally:
        d.stop()
