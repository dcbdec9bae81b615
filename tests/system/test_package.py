"""The Debian package on a fresh machine: it boots, installs, serves, is reloaded, killed, upgraded and removed under a real systemd. Run by make test-system;
the tests of one machine build on each other, in this order."""
import os
import pathlib
import re
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNTIME = {1: "crun", 2: "runc"}  # both are met; crun wants CAP_SYS_RESOURCE on cgroup v2, which a CI machine may lack
SOCKET = "/run/pontoon/pontoon.sock"


def wait_until(what, limit=60.0):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


class Machine:
    def __init__(self, *options):
        self.proc = subprocess.Popen([str(ROOT / "tests/system/machine"), "run", *options, "--", "sh", "-c", "echo $MACHINE_PID; exec cat"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pid = self.proc.stdout.readline().strip()
        if not self.pid:
            reason = self.proc.stderr.read().strip().splitlines()[-1:]
            assert self.proc.wait() == 77, reason
            pytest.skip(f"no machine can be booted here: {reason}")
        self.root = pathlib.Path(f"/proc/{self.pid}/root")

    def end(self):
        self.proc.communicate()

    def run(self, *command, ok=True, stdin=None):
        p = subprocess.run(["nsenter", "--all", "--target", self.pid, "--root", "--wd", *command], capture_output=True, text=True, stdin=stdin,
                           env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER_HOST": f"unix://{SOCKET}", "DEBIAN_FRONTEND": "noninteractive"}, timeout=180)
        assert ok is None or (p.returncode == 0) == ok, f"{' '.join(command)}: {p.returncode}\n{p.stdout}\n{p.stderr}\n{self.journal() if command[0] != 'journalctl' else ''}"
        return p

    def out(self, *command):
        return self.run(*command).stdout.strip()

    def journal(self):
        return self.out("journalctl", "--no-pager", "--output=cat", "--unit=pontoon")

    def show(self, unit, what):
        return self.out("systemctl", "show", "--value", f"--property={what}", unit)

    def get(self, port):
        """What a published port answers, asked on the machine itself; None: nobody."""
        p = subprocess.run(["nsenter", "--net", "--target", self.pid, "python3", "-c",
                            f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/', timeout=5).read().decode())"], capture_output=True, text=True)
        return p.stdout.strip() if p.returncode == 0 else None


@pytest.fixture(scope="module")
def busybox(tmp_path_factory):
    tar = tmp_path_factory.mktemp("image") / "busybox.tar"
    subprocess.run([str(ROOT / "scripts/busybox-image"), str(tar)], check=True)
    return tar


@pytest.fixture(scope="module", params=[1, 2])
def machine(request, busybox):
    m = Machine("--cgroup", str(request.param))
    m.cgroup = request.param
    (m.root / "root/busybox.tar").write_bytes(busybox.read_bytes())
    (m.root / "etc/pontoon").mkdir()
    (m.root / "etc/pontoon/daemon.json").write_text('{"default-runtime": "%s"}' % RUNTIME[request.param])
    yield m
    m.end()


def test_install(machine):
    machine.run("dpkg", "-i", "/root/pontoon.deb")
    for unit in ("pontoon.service", "pontoon.socket"):
        assert machine.out("systemctl", "is-enabled", unit) == "enabled"
        assert machine.out("systemctl", "is-active", unit) == "active"
    assert machine.out("stat", "-c", "%a %U:%G", SOCKET) == "660 root:pontoon"
    assert machine.run("systemd-analyze", "verify", "--man=no", "pontoon.service", "pontoon.socket").stderr == ""
    assert machine.out("pontoon", "info", "--format", "{{.CgroupVersion}} {{.DefaultRuntime}}") == f"{machine.cgroup} {RUNTIME[machine.cgroup]}"
    machine.run("pontoon", "doctor")
    assert machine.out("systemctl", "is-system-running") == "running"
    assert not re.search("level=(warn|error)", machine.journal())


def test_the_group_opens_the_socket(machine):
    as_user = ["setpriv", "--reuid=4711", "--regid=4711"]
    machine.run(*as_user, "--groups=pontoon", "pontoon", "ps")
    refused = machine.run(*as_user, "--clear-groups", "pontoon", "ps", ok=False)
    assert "permission denied" in refused.stderr and "pontoon" in refused.stderr


def test_a_client_starts_the_daemon(machine):
    machine.run("systemctl", "stop", "pontoon.service")
    assert machine.out("systemctl", "is-active", "pontoon.socket") == "active"
    assert machine.out("docker", "version", "--format", "{{.Server.Version}}") == machine.out("pontoon", "--version").split()[-1].rstrip(",")
    assert machine.out("systemctl", "is-active", "pontoon.service") == "active"


def test_containers(machine):
    machine.run("docker", "import", "/root/busybox.tar", "alpine")
    machine.run("docker", "network", "create", "front")
    machine.run("docker", "run", "-d", "--name", "web", "--network", "front", "--restart", "always", "--stop-signal", "KILL", "-p", "8080:80", "alpine", "sh", "-c",
                "mkdir -p /www && echo served >/www/index.html && exec httpd -f -p 80 -h /www")
    assert machine.out("docker", "run", "--rm", "--network", "front", "alpine", "sh", "-c",
                       "until wget -q -O - web; do sleep 0.1; done") == "served"
    assert machine.get(8080) == "served"
    machine.run("pontoon", "doctor")


def pid_of_web(machine):
    return machine.out("docker", "inspect", "--format", "{{.State.Pid}}", "web")


def test_reload_returns_when_it_is_done(machine):
    config = machine.root / "etc/pontoon/daemon.json"
    config.write_text(config.read_text().replace("{", '{"live-restore": true, "labels": ["a=b"], '))
    machine.run("systemctl", "reload", "pontoon")
    assert machine.out("docker", "info", "--format", "{{.LiveRestoreEnabled}} {{.Labels}}") == "true [a=b]"
    config.write_text("{")
    machine.run("systemctl", "reload", "pontoon")
    assert "the configuration stays as it was" in machine.journal()
    assert machine.out("docker", "info", "--format", "{{.LiveRestoreEnabled}}") == "true"
    config.write_text('{"live-restore": true, "default-runtime": "%s"}' % RUNTIME[machine.cgroup])


def test_live_restore(machine):
    before = pid_of_web(machine)
    machine.run("systemctl", "stop", "pontoon.service", "pontoon.socket")
    assert not (machine.root / SOCKET[1:]).exists()
    assert machine.get(8080) == "served"
    machine.run("systemctl", "start", "pontoon.service")
    assert pid_of_web(machine) == before and machine.get(8080) == "served"
    machine.run("systemctl", "restart", "pontoon.service")
    assert pid_of_web(machine) == before and machine.get(8080) == "served"


def test_systemd_starts_a_killed_daemon_again(machine):
    before, daemon = pid_of_web(machine), machine.show("pontoon", "MainPID")
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "pontoon")
    assert wait_until(lambda: machine.show("pontoon", "ActiveState") == "active" and machine.show("pontoon", "MainPID") not in ("0", daemon))
    assert pid_of_web(machine) == before and machine.get(8080) == "served"
    machine.run("pontoon", "doctor")


def test_systemd_forgets_nothing_of_running_containers(machine):
    """daemon-reload makes systemd walk all cgroups."""
    machine.run("systemctl", "daemon-reload")
    machine.run("docker", "exec", "web", "true")
    machine.run("docker", "update", "--restart", "unless-stopped", "web")
    machine.run("docker", "pause", "web")
    machine.run("docker", "unpause", "web")


def upgraded(machine, version, tmp_path):
    work = tmp_path / "deb"
    subprocess.run(["dpkg-deb", "-R", str(machine.root / "root/pontoon.deb"), str(work)], check=True)
    control = work / "DEBIAN/control"
    control.write_text(re.sub("(?m)^Version: .*", f"Version: {version}", control.read_text()))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(work), str(machine.root / "root/next.deb")], check=True, capture_output=True)
    machine.run("dpkg", "-i", "/root/next.deb")
    assert machine.out("dpkg-query", "-W", "-f", "${Version}", "pontoon") == version


def test_upgrade_keeps_containers(machine, tmp_path):
    before, daemon = pid_of_web(machine), machine.show("pontoon", "MainPID")
    upgraded(machine, "999-1", tmp_path)
    assert machine.show("pontoon", "MainPID") not in ("0", daemon)
    assert machine.out("systemctl", "is-active", "pontoon.socket") == "active"
    assert pid_of_web(machine) == before and machine.get(8080) == "served"


def test_upgrade_leaves_off_what_is_off(machine, tmp_path):
    machine.run("systemctl", "disable", "--now", "pontoon.service", "pontoon.socket")
    upgraded(machine, "999-2", tmp_path)
    for unit in ("pontoon.service", "pontoon.socket"):
        assert machine.run("systemctl", "is-enabled", unit, ok=False).stdout.strip() == "disabled"
        assert machine.run("systemctl", "is-active", unit, ok=False).stdout.strip() == "inactive"
    assert machine.get(8080) == "served"
    machine.run("systemctl", "enable", "--now", "pontoon.socket", "pontoon.service")


def test_an_orderly_stop_ends_containers(machine):
    (machine.root / "etc/pontoon/daemon.json").write_text('{"default-runtime": "%s"}' % RUNTIME[machine.cgroup])
    machine.run("systemctl", "reload", "pontoon")
    machine.run("systemctl", "stop", "pontoon.service", "pontoon.socket")
    assert machine.get(8080) is None
    assert "httpd" not in machine.out("ps", "ax") and "conmon" not in machine.out("ps", "ax") and "pontoon" not in machine.out("ps", "ax")
    machine.run("systemctl", "start", "pontoon.service")
    assert wait_until(lambda: machine.get(8080) == "served")  # its restart policy


def bridges(machine):
    return len(re.findall("(?m)^ *(?:docker0|br-[0-9a-f]{12}):", machine.out("cat", "/proc/net/dev")))


def test_remove_and_purge(machine):
    assert bridges(machine) == 2
    machine.run("dpkg", "-r", "pontoon")
    assert machine.get(8080) is None and "pontoon" not in machine.out("ps", "ax")
    assert bridges(machine) == 0 and not re.search("docker0|br-", machine.out("iptables-save"))
    machine.run("dpkg", "-i", "/root/pontoon.deb")
    assert wait_until(lambda: machine.get(8080) == "served")  # what users made was theirs
    machine.run("dpkg", "-P", "pontoon")
    assert machine.run("systemctl", "cat", "pontoon.service", ok=False).returncode == 1
    assert not list((machine.root / "etc/systemd/system").glob("*.wants/pontoon*")) and not list((machine.root / "var/lib/systemd").glob("deb-systemd-helper*/**/pontoon*"))
    assert machine.out("systemctl", "is-system-running") == "running"
    left = machine.out("find", "/usr", "/etc", "/lib", "/run", "-name", "*pontoon*").split()
    assert left == ["/etc/pontoon"], left


def test_installed_by_hand(busybox, tmp_path):
    """make install, then the README's own lines."""
    build = pathlib.Path(os.environ.get("PONTOON_BUILD", ROOT / "build"))
    subprocess.run(["meson", "install", "-C", str(build), "--no-rebuild", "--quiet"], env=dict(os.environ, DESTDIR=str(tmp_path)), check=True)
    line = re.search(r"^ +(systemd-sysusers .*)$", (ROOT / "README.md").read_text(), re.M)[1]
    context = re.search(r"`(docker context create pontoon .* docker context use pontoon)`", (ROOT / "README.md").read_text())[1]
    m = Machine()
    try:
        subprocess.run(["cp", "-a", f"{tmp_path}/usr/.", str(m.root / "usr/")], check=True)
        (m.root / "root/busybox.tar").write_bytes(busybox.read_bytes())
        m.run("sh", "-c", line)
        assert m.out("stat", "-c", "%a %U:%G", SOCKET) == "660 root:pontoon"
        m.run("sh", "-c", f"unset DOCKER_HOST; HOME=/root; export HOME; {context} && docker import /root/busybox.tar alpine && docker run --rm alpine true")
        m.run("pontoon", "doctor")
        assert "pontoon-relay was not" not in m.journal() and not re.search("level=(warn|error)", m.journal())
        tls = re.search(r"^ +(echo .*systemctl restart pontoon)$", (ROOT / "README.md").read_text(), re.M)[1]
        subprocess.run([str(ROOT / "scripts/tls-certificates"), str(m.root / "etc/pontoon"), "127.0.0.1"], check=True)
        m.run("sh", "-c", tls)
        client = "/etc/pontoon/client"
        m.run("docker", "context", "create", "remote", "--docker", f"host=tcp://127.0.0.1:2376,ca={client}/ca.pem,cert={client}/cert.pem,key={client}/key.pem")
        m.run("sh", "-c", "unset DOCKER_HOST; docker --context remote run --rm alpine true && docker --context pontoon version")
        m.run("pontoon", "ps")
        m.run("systemctl", "disable", "--now", "pontoon.socket", "pontoon.service")
    finally:
        m.end()


def test_an_image_with_the_package_serves_after_its_first_boot():
    m = Machine("--installed")
    try:
        for unit in ("pontoon.service", "pontoon.socket"):
            assert m.out("systemctl", "is-enabled", unit) == "enabled"
            assert m.out("systemctl", "is-active", unit) == "active"
        assert m.out("stat", "-c", "%a %U:%G", SOCKET) == "660 root:pontoon"
        m.run("pontoon", "doctor")
    finally:
        m.end()
