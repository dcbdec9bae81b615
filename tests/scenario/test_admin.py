"""What administrators do to the host that published ports stand on."""
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

from conftest import wait_until
from test_bridge import BACKENDS, host  # noqa: F401: a fixture

SERVE = ("sh", "-c", "nc -ll -p 80 -e echo here & exec sleep 1h")
NEAR = "192.0.2.2"


def programs_without(prefix, where):
    """A PATH that has everything but these."""
    for d in os.environ["PATH"].split(":"):
        for p in pathlib.Path(d).iterdir() if pathlib.Path(d).is_dir() else []:
            if not p.name.startswith(prefix) and not (where / p.name).exists():
                (where / p.name).symlink_to(p)
    return str(where)


def says(h, address, port, namespace=None):
    enter = ["nsenter", "-n", "-t", str(namespace or h.holder.pid)]
    return subprocess.run([*enter, "timeout", "2", "busybox", "nc", address, str(port)], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def relay_of(h):
    mine = os.readlink(f"/proc/{h.holder.pid}/ns/net")
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (p / "comm").read_text() == "pontoon-relay\n" and os.readlink(p / "ns/net") == mine:
                return int(p.name)
        except OSError:
            pass
    return None


def test_ip6tables_goes_away(host, tmp_path):
    """What needs it is refused by name, or told to be missing; IPv4 goes on."""
    path = [f"PATH={os.environ['PATH']}"]
    h = host("no6", env=path)
    h.cli.out("network", "create", "--ipv6", "six")
    h.daemon.stop()
    path[0] = f"PATH={programs_without('ip6tables', tmp_path)}"
    h.sh("ip6tables -F; iptables -F; ip link del docker0")
    h.start()
    assert "ip6tables-save was not found: install the package iptables, or start with --firewall-backend nftables or --ip6tables=false" in h.daemon.log.read_text()
    h.run("web", "-p", "8080:80", command=SERVE)
    assert wait_until(lambda: says(h, "127.0.0.1", 8080) == "here") and "dport 8080" in h.sh("iptables-save")
    r = h.cli("network", "create", "--ipv6", "another")
    assert r.rc and "ip6tables-save was not found" in r.err, r
    assert "another" not in h.cli.out("network", "ls")
    missing = h.daemon.doctor()
    assert missing and all("ip6" in json.dumps(d) or "DOCKER" in json.dumps(d) for d in missing), missing
    path[0] = f"PATH={os.environ['PATH']}"
    h.daemon.kill9()
    h.start()
    assert h.daemon.doctor() == [] and "DOCKER-USER" in h.sh("ip6tables-save")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_address_that_comes_later(host, backend):
    """A port at an address that the host has lost is not served, and told to be missing; it is when the address is back."""
    h = host("later-" + backend, "--live-restore", "--firewall-backend", backend, setup="ip addr add 192.0.2.50/32 dev lo")
    h.run("web", "-p", "192.0.2.50:8080:80", "-p", "8081:80", command=SERVE)
    assert wait_until(lambda: says(h, "192.0.2.50", 8080) == says(h, "127.0.0.1", 8081) == "here")
    h.daemon.kill9()
    os.kill(relay_of(h), signal.SIGKILL)
    h.sh("ip addr del 192.0.2.50/32 dev lo")
    h.start()
    assert "failed to bind host port 192.0.2.50:8080/tcp: cannot assign requested address" in h.daemon.log.read_text()
    assert [d for d in h.daemon.doctor() if "192.0.2.50" in json.dumps(d)] and says(h, "127.0.0.1", 8081) == "here"
    h.sh("ip addr add 192.0.2.50/32 dev lo")
    assert wait_until(lambda: h.daemon.doctor() == []), h.daemon.doctor()
    assert says(h, "192.0.2.50", 8080) == "here"
