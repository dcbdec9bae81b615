"""Clients that mean no good, or are broken: others keep being served, memory stays bounded."""
import socket
import time

import pytest

from conftest import wait_until


def connect(daemon):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(str(daemon.sock))
    return s


def resident(daemon):
    for line in open(f"/proc/{daemon.proc.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def raw(daemon, data, half_close):
    """The status line of the answer, or the empty string."""
    s = connect(daemon)
    try:
        s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        return s.recv(4096).split(b"\r\n")[0].decode()
    except OSError:
        return ""
    finally:
        s.close()


def test_many_silent_connections(daemon):
    silent = []
    for i in range(1500):
        s = connect(daemon)
        if i % 3 == 1:
            s.sendall(b"GET /version HT")
        if i % 3 == 2:
            s.sendall(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        silent.append(s)
        if i % 300 == 299:
            assert daemon.api("GET", "/_ping")[0] == 200, i
    assert daemon.api("GET", "/version")[0] == 200
    for s in silent:
        s.close()
    assert wait_until(lambda: len([l for l in open("/proc/net/unix") if str(daemon.sock) in l]) < 50)


@pytest.mark.parametrize("data,status", [
    (b"\x00\xff\x16\x03garbage\r\n\r\n", None),
    (b"GET /_ping HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100000 + b"\r\n", None),
    (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", None),
    (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{\"a\":", "400"),
    (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n\r\n" + b"[" * 2000, "400"),
    (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", "400"),
    (b"GET /containers/json?filters=%7B%22a%22 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
    (b"BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
])
def test_malformed(daemon, data, status):
    answer = raw(daemon, data, not status)
    if status:
        assert answer.split()[1] == status, answer
    assert daemon.api("GET", "/_ping")[0] == 200


def test_large_body(daemon):
    """What is too large is refused with its status and not kept."""
    before = resident(daemon)
    s = connect(daemon)
    s.sendall(b"POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n")
    try:
        for _ in range(100):
            s.sendall(b" " * 1000000)
    except OSError:
        pass
    s.close()
    assert resident(daemon) - before < 32 * 1024
    assert daemon.api("GET", "/_ping")[0] == 200


def test_readers_that_do_not_read(daemon, any_cli):
    any_cli.out("run", "-d", "--name", "talker", "alpine", "sh", "-c", "yes | head -c 20000000")
    before = resident(daemon)
    held = []
    for _ in range(20):
        s = connect(daemon)
        s.sendall(b"GET /containers/talker/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        held.append(s)
    time.sleep(1)
    assert resident(daemon) - before < 64 * 1024
    assert daemon.api("GET", "/_ping")[0] == 200
    for s in held:
        s.close()
    any_cli.out("rm", "-f", "talker")
