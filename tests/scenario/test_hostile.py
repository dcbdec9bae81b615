"""Clients that mean no good, or are broken: others keep being served, memory stays bounded."""
import array
import fcntl
import json
import os
import random
import resource
import socket
import termios
import time

import pytest

from conftest import BUILD, ROUNDS, SOAK, wait_until


def connect(daemon):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(str(daemon.sock))
    return s


def resident(daemon):
    """0 in a sanitized build, which keeps what is freed."""
    if "sanitized" in str(BUILD):
        return 0
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
    except TimeoutError:
        raise  # it must not hang
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


def test_stop_with_readers_that_do_not_read(daemon, any_cli):
    """Their connections' threads wait for them for minutes: the stop does not."""
    any_cli.out("run", "-d", "--stop-signal", "KILL", "--name", "talker", "alpine", "sh", "-c", "yes | head -c 20000000; sleep 1h")
    held = [connect(daemon) for _ in range(3)]
    for s in held:
        s.sendall(b"GET /containers/talker/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    any_cli.out("run", "-d", "--stop-signal", "KILL", "--name", "quiet", "alpine", "sh", "-c", "echo hi; sleep 1h")
    polite = connect(daemon)
    polite.sendall(b"GET /containers/quiet/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    end = b""
    while b"hi\n" not in end:
        end += polite.recv(4096)
    others = {}
    for path in "/events", "/containers/quiet/stats":
        others[path] = connect(daemon)
        others[path].sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert others[path].recv(4096).startswith(b"HTTP/1.1 200")
    before = [0] * len(held)

    def full():
        """Nothing more arrives: the sockets' buffers are full."""
        last, n = list(before), array.array("i", [0])
        for i, s in enumerate(held):
            fcntl.ioctl(s, termios.FIONREAD, n)
            before[i] = n[0]
        time.sleep(0.2)
        return all(b == x > 0 for b, x in zip(before, last))

    assert wait_until(full)
    daemon.proc.terminate()
    assert daemon.proc.wait(60) == 0
    while more := polite.recv(4096):
        end += more
    assert end.endswith(b"0\r\n\r\n")  # the one that reads is told the end
    for path, s in others.items():
        rest = b""
        while more := s.recv(4096):
            rest += more
        assert rest.endswith(b"0\r\n\r\n") and (path != "/events" or b'"Action":"die"' in rest), (path, rest[-200:])
    for s in held:
        s.close()
    daemon.start(*daemon.args)
    any_cli.out("rm", "-f", "talker", "quiet")


def threads(daemon):
    return int(next(l for l in open(f"/proc/{daemon.proc.pid}/status") if l.startswith("Threads:")).split()[1])


def files(daemon):
    return len(os.listdir(f"/proc/{daemon.proc.pid}/fd"))


def test_ten_thousand_idle_connections(daemon):
    """The newest is served, whoever came before; nothing is left afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 10000 if hard > 12000 else hard - 2000
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before, held = (threads(daemon), files(daemon), resident(daemon)), []
    try:
        for i in range(want):
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(daemon.sock))  # waits for its turn
            s.settimeout(30)
            held.append(s)
            if i % 2000 == 1999:
                newest = socket.socket(socket.AF_UNIX)
                newest.connect(str(daemon.sock))
                newest.settimeout(60)
                newest.sendall(b"GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n")
                assert newest.recv(4096).startswith(b"HTTP/1.1 200"), i
                newest.close()
                assert threads(daemon) < 1100 and files(daemon) < 1300 and resident(daemon) < before[2] + 32 * 1024, (threads(daemon), files(daemon), resident(daemon), before)
    finally:
        for s in held:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert wait_until(lambda: threads(daemon) <= before[0] + 4 and files(daemon) <= before[1] + 4), (before, threads(daemon), files(daemon))


def test_a_gigabyte_for_an_image(daemon):
    """It flows through, is no archive, and is not kept anywhere."""
    before = resident(daemon)
    s = connect(daemon)
    s.sendall(b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n")
    block = b"100000\r\n" + b"\x01" * 0x100000 + b"\r\n"
    size = 1024 if SOAK else 128
    try:
        for _ in range(size):
            s.sendall(block)
            assert resident(daemon) < before + 24 * 1024
        s.sendall(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass
    try:
        answer = s.recv(65536)
        assert b"error" in answer or b"message" in answer, answer[:300]
    except ConnectionResetError:
        pass
    s.close()
    assert daemon.api("GET", "/_ping")[0] == 200


@pytest.mark.parametrize("head", [
    b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nhalf a chunk",
    b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nContent-Length: 100000\r\n\r\nsome of it",
    b"POST /images/create?fromSrc=-&repo=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nhalf",
    b"POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"Name\":",
])
def test_truncated_uploads(daemon, head):
    before = (threads(daemon), files(daemon))
    for _ in range(20):
        s = connect(daemon)
        s.sendall(head)
        s.close()
    assert wait_until(lambda: threads(daemon) <= before[0] + 2 and files(daemon) <= before[1] + 2), (before, threads(daemon), files(daemon))
    assert daemon.api("GET", "/images/x/json")[0] == 404 and daemon.api("GET", "/_ping")[0] == 200


CHUNKED = b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("path", [b"/networks/create", b"/images/load"])
@pytest.mark.parametrize("body", [
    b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"fffffffffffffffff\r\n{}", b"7fffffffffffffff\r\n{}", b"\r\n\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"2\n{}\n0\n\n", b"2 \r\n{}\r\n",
    b"2;" + b"x" * 100000 + b"\r\n{}\r\n0\r\n\r\n", b"1\r\n \r\n" * 20000 + b"x", b"0\r\n" + b"Trailer: x\r\n" * 20000 + b"\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"2\x00\r\n{}\r\n0\r\n\r\n",
], ids=range(13))
def test_chunked_nonsense(daemon, path, body):
    """Never done, never waited for when its client has gone, never kept."""
    before = (threads(daemon), files(daemon), resident(daemon))
    for _ in range(4):
        answer = raw(daemon, b"POST " + path + CHUNKED + body, True)
        assert not answer or answer.split()[1] >= "400" or path == b"/images/load", answer  # a stream's head comes before its error
    assert wait_until(lambda: threads(daemon) <= before[0] + 2 and files(daemon) <= before[1] + 2), (before, threads(daemon), files(daemon))
    assert resident(daemon) < before[2] + 8 * 1024 and daemon.api("GET", "/_ping")[0] == 200


@pytest.mark.parametrize("data,status", [
    (b"GET /containers/%00%01%ff/json HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
    (b"GET /containers/%2e%2e%2f%2e%2e%2fetc/json HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
    (b"GET /containers/json?filters=%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
    (b"GET /containers/json?limit=99999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
    (b"GET /events?since=-1&until=999999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
    (b"GET /containers/json?" + b"&".join(b"a%d=b" % i for i in range(2000)) + b" HTTP/1.1\r\nHost: x\r\n\r\n", None),
    (b"GET /containers/json?filters=" + b"%7B%22label%22%3A" + b"%5B" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
    (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":1}{}", "400"),
    (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull", "400"),
    (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", "400"),
    (b"POST /containers/x/start HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
    (b"GET /_ping HTTP/9.9\r\nHost: x\r\n\r\n", None),
    (b"GET\r\n\r\n", None),
    (b"GET /_ping HTTP/1.1\r\nHost: x\r\n" + b"X" * 60000 + b": y\r\n\r\n", "431"),
    (b"HEAD /containers/json HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
    (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
], ids=lambda v: str(v) if not isinstance(v, bytes) else "x")
def test_odd_requests(daemon, data, status):
    answer = raw(daemon, data, False if status else True)
    if status:
        assert answer.split()[1] == status, answer
    assert daemon.api("GET", "/_ping")[0] == 200


def test_deep_and_wide_bodies(daemon):
    deep = '{"HostConfig":' * 70 + "{}" + "}" * 70
    assert daemon.api("POST", "/containers/create", deep)[0] == 400
    wide = json.dumps({"Image": "alpine", "Labels": {f"k{i}": "v" for i in range(100000)}})
    assert daemon.api("POST", "/containers/create", wide)[0] == 400
    status, long = daemon.api("POST", "/containers/create", json.dumps({"Image": "alpine", "Cmd": ["x"] * 500000}))
    assert status == 201 and daemon.api("POST", f"/containers/{long['Id']}/start")[0] in (400, 500)  # longer than any program's arguments can be
    assert daemon.api("DELETE", f"/containers/{long['Id']}")[0] == 204
    many = {f"key{i}": {} for i in range(200000)}
    assert daemon.api("POST", "/networks/create", {"Name": "wide", "Options": {k: "v" for k in many}})[0] in (400, 413)
    assert daemon.api("POST", "/networks/create", b" " * (5 << 20), {"Content-Type": "application/json"})[0] == 413
    assert daemon.api("GET", "/networks/wide")[0] == 404


def test_thousands_of_filters(daemon):
    before = resident(daemon)
    text = b'{"label":["' + b'","'.join([b"x"] * 9000) + b'"]}'
    for path in b"/containers/json", b"/events", b"/images/json", b"/networks":
        tail = b"&until=1" if path == b"/events" else b""
        assert raw(daemon, b"GET " + path + b"?filters=" + text + tail + b" HTTP/1.1\r\nHost: x\r\n\r\n", False).split()[1] == "200"
    assert resident(daemon) < before + 16 * 1024


def test_a_head_byte_by_byte(daemon):
    """Slow writers hold a thread each, and keep nobody out."""
    slow = [connect(daemon) for _ in range(100)]
    head = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
    for i in range(len(head)):
        for s in slow:
            s.sendall(head[i:i + 1])
        assert i % 8 or daemon.api("GET", "/_ping")[0] == 200
    assert all(s.recv(4096).startswith(b"HTTP/1.1 200") for s in slow)
    for s in slow:
        s.close()


def hijack(daemon, path, body=b""):
    s = connect(daemon)
    s.sendall(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
    return s


def frames(s):
    """What comes until the end, after the head, without the frames' heads."""
    data, out = b"", b""
    while more := s.recv(1 << 20):
        data += more
    data = data.partition(b"\r\n\r\n")[2]
    while data:
        n = int.from_bytes(data[4:8], "big")
        out, data = out + data[8:8 + n], data[8 + n:]
    return out


def test_half_open_hijacks(daemon, any_cli):
    """Attached and gone, attached and silent, attached and deaf: the container and the others go on."""
    any_cli.out("run", "-d", "-i", "--name", "chatty", "alpine", "sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; [ $((i % 1000)) = 0 ] && sleep 0.05; done")
    before = (threads(daemon), files(daemon), resident(daemon))
    gone = [hijack(daemon, "/containers/chatty/attach?stream=1&stdout=1&stdin=1") for _ in range(30)]
    for s in gone:
        s.close()
    deaf = [hijack(daemon, "/containers/chatty/attach?stream=1&stdout=1" + "&logs=1" * (i % 2)) for i in range(10)]
    half = [hijack(daemon, "/containers/chatty/attach?stream=1&stdin=1&stdout=1") for _ in range(10)]
    for s in half:
        s.shutdown(socket.SHUT_WR)
    never = [connect(daemon) for _ in range(10)]
    for s in never:  # the head of a hijack, and not its end
        s.sendall(b"POST /containers/chatty/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n")
    time.sleep(1)
    assert resident(daemon) < before[2] + 32 * 1024
    assert "line" in any_cli.out("logs", "--tail", "2", "chatty")  # the last may be one that has just begun
    execs = []
    for _ in range(10):
        i = daemon.api("POST", "/containers/chatty/exec", {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True})[1]["Id"]
        execs.append(hijack(daemon, f"/exec/{i}/start", b"{}"))
    assert any_cli.out("exec", "chatty", "echo", "here") == "here"
    # its end waits for none of them, and who reads after all gets everything up to the last line
    assert daemon.api("POST", "/containers/chatty/kill")[0] == 204 and daemon.api("GET", "/containers/chatty/json")[1]["State"]["ExitCode"] == 137
    last = any_cli.out("logs", "--tail", "1", "chatty")
    for i, s in enumerate(deaf):
        lines = frames(s).splitlines()
        assert lines[-1] == last.encode()
        if not i % 2:  # what came between the attach and its look at the log is in both
            first = int(lines[0].split()[1])
            whole = [b"line %d" % k for k in range(first, first + len(lines))]
            assert lines[:-1] == whole[:-1] and whole[-1].startswith(lines[-1]), (lines[0], lines[-1], len(lines))  # it may have died in the middle of its last
    for s in deaf + half + never + execs:
        s.close()
    any_cli.out("rm", "-f", "chatty")
    assert wait_until(lambda: threads(daemon) <= before[0] + 2 and files(daemon) <= before[1] + 4, 30), (before, threads(daemon), files(daemon))


def test_pipelined_requests(daemon):
    s = connect(daemon)
    s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
    data = b""
    while data.count(b"HTTP/1.1 200") < 200:
        block = s.recv(65536)
        assert block, data.count(b"HTTP/1.1 200")
        data += block
    s.close()


def test_noise(daemon):
    """Random bytes, and requests with random bytes in them, from a printed seed."""
    seed = int(os.environ.get("PONTOON_SEED", time.time_ns() % 1000000))
    print("seed", seed)
    rnd = random.Random(seed)
    whole = [b"GET /containers/json?all=1&filters=%7B%22name%22%3A%5B%22x%22%5D%7D HTTP/1.1\r\nHost: x\r\n\r\n",
             b"POST /containers/create?name=noise HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"Image\":\"none\",\"HostConfig\":{\"Memory\":1}}",
             b"GET /events?since=1&until=2 HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"Name\":\"\"}  "]
    for _ in range(ROUNDS * 20):
        data = bytearray(rnd.choice(whole))
        for _ in range(rnd.randrange(1, 6)):
            at = rnd.randrange(len(data))
            data[at:at + rnd.randrange(3)] = rnd.randbytes(rnd.randrange(4))
        s = connect(daemon)
        s.sendall(bytes(data))
        s.shutdown(socket.SHUT_WR)
        s.close()
    assert daemon.api("GET", "/_ping")[0] == 200 and daemon.proc.poll() is None
