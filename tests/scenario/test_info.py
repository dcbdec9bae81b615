"""`docker info` tells the truth: every field against the host, in a daemon with its own options and in one without."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import BUILD, LAB, Client, Daemon, programs

pytestmark = pytest.mark.usefixtures("own_network")


class Proxied(Daemon):
    def start(self, *args, **kw):
        os.environ.update(https_proxy="http://me:secret@proxy.example:3128", NO_PROXY="localhost", HTTP_PROXY="http://nobody:asks@this.example")
        try:
            return super().start(*args, **kw)
        finally:
            for k in "https_proxy", "NO_PROXY", "HTTP_PROXY":
                del os.environ[k]


@pytest.fixture(scope="module")
def daemon(own_network):
    d = Proxied("told").start("-H", "tcp://127.0.0.1:2377", "--tls=false", "--live-restore", "--label", "a=b", "--insecure-registry", "10.0.0.0/8", "--insecure-registry", "reg.example:5000",
                              "--registry-mirror", "https://mirror.example", "--add-runtime", "mine=/usr/bin/mine", "--default-address-pool", "base=10.9.0.0/16,size=24", "--firewall-backend", "nftables")
    yield d
    d.clean()
    d.stop()


@pytest.fixture
def info(daemon):
    return daemon.api("GET", "/info")[1]


def read(path):
    return pathlib.Path(path).read_text().strip()


def test_the_host(info):
    release = dict(l.split("=", 1) for l in read("/etc/os-release").replace('"', "").splitlines())
    u = os.uname()
    assert (info["KernelVersion"], info["Architecture"], info["Name"], info["OSType"]) == (u.release, u.machine, u.nodename, "linux")
    assert (info["OperatingSystem"], info["OSVersion"]) == (release["PRETTY_NAME"], release.get("VERSION_ID", ""))
    assert info["NCPU"] == os.cpu_count() and info["MemTotal"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    assert (info["CgroupVersion"], info["CgroupDriver"]) == ("2" if v2 else "1", "cgroupfs")
    controllers = read("/sys/fs/cgroup/cgroup.controllers").split() if v2 else [p.name for p in pathlib.Path("/sys/fs/cgroup").iterdir()]
    for key, controller, warning in ("MemoryLimit", "memory", "No memory limit support"), ("CPUSet", "cpuset", "No cpuset support"), ("PidsLimit", "pids", "No pids limit support"), ("CPUShares", "cpu", "No cpu shares support"):
        assert info[key] == (controller in controllers)
        assert (f"WARNING: {warning}" in (info["Warnings"] or [])) == (not info[key])
    assert ("name=cgroupns" in info["SecurityOptions"]) == v2
    assert ("name=seccomp,profile=builtin" in info["SecurityOptions"]) == os.path.exists("/proc/sys/kernel/seccomp/actions_avail")
    assert info["IPv4Forwarding"] and read("/proc/sys/net/ipv4/ip_forward") == "1"
    for key, name in ("BridgeNfIptables", "iptables"), ("BridgeNfIp6tables", "ip6tables"):
        path = f"/proc/sys/net/bridge/bridge-nf-call-{name}"
        assert info[key] == (os.path.exists(path) and read(path) == "1")
    assert dict(info["DriverStatus"]) == {"Backing Filesystem": "tmpfs", "Supports d_type": "true"} and info["Driver"] == "overlay2"


def test_the_options(daemon, info):
    assert (info["DockerRootDir"], info["LiveRestoreEnabled"], info["Labels"], info["Debug"]) == (str(daemon.dir / "d"), True, ["a=b"], False)
    assert info["DefaultAddressPools"] == [{"Base": "10.9.0.0/16", "Size": 24}] and info["FirewallBackend"]["Driver"] == "nftables"
    registries = info["RegistryConfig"]
    assert registries["InsecureRegistryCIDRs"] == ["127.0.0.0/8", "10.0.0.0/8"] and registries["Mirrors"] == ["https://mirror.example/"] == registries["IndexConfigs"]["docker.io"]["Mirrors"]
    assert registries["IndexConfigs"]["docker.io"]["Secure"] and not registries["IndexConfigs"]["reg.example:5000"]["Secure"]
    found = {n: {"path": shutil.which(n)} for n in ("crun", "runc") if shutil.which(n)}
    assert info["Runtimes"] == {**found, "mine": {"path": "/usr/bin/mine"}} and info["DefaultRuntime"] in found
    version = subprocess.run([info["DefaultRuntime"], "--version"], capture_output=True, text=True).stdout.split()[2]
    assert info["RuncCommit"]["ID"] == (version if info["DefaultRuntime"] == "runc" else f"{info['DefaultRuntime']}-{version}")
    assert (info["HttpProxy"], info["HttpsProxy"], info["NoProxy"]) == ("", "http://xxxxx:xxxxx@proxy.example:3128", "localhost")
    assert any("API is accessible on http://127.0.0.1:2377 without encryption" in w for w in info["Warnings"])
    assert info["Plugins"]["Volume"] == ["local"] and {"bridge", "host", "null"} <= set(info["Plugins"]["Network"]) and "json-file" in info["Plugins"]["Log"]


def test_what_runs(daemon, busybox):
    def counts():
        i = daemon.api("GET", "/info")[1]
        return [i[k] for k in ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images")]
    assert counts() == [0, 0, 0, 0, 0]
    pontoon = Client("pontoon", BUILD / "pontoon", daemon)
    pontoon.out("import", str(busybox), "alpine")
    for name in "aa", "ab", "ac":
        pontoon.out("run", "-d", "--name", name, "--network", "none", "alpine", "sleep", "1h")
    pontoon.out("create", "--name", "ad", "alpine", "true")
    pontoon.out("pause", "aa")
    pontoon.out("kill", "ab")
    assert pontoon.out("wait", "ab") == "137"
    assert counts() == [4, 1, 1, 2, 1]


def test_clients_show_it(daemon, info):
    for name, program in programs():
        p = subprocess.run([str(program), "info"], env=daemon.env(), capture_output=True, text=True)
        assert p.returncode == 0, p
        for text in info["KernelVersion"], info["OperatingSystem"], "10.9.0.0/16", "10.0.0.0/8", info["DockerRootDir"], "proxy.example", "https://mirror.example/":
            assert text in p.stdout, (name, text, p.stdout)
        assert name != "pontoon" or "Firewall Backend: nftables" in p.stdout
        assert "secret" not in p.stdout
        assert "API is accessible on http://127.0.0.1:2377 without encryption" in p.stdout + p.stderr, (name, p)
