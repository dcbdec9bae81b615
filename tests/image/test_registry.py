#!/usr/bin/env python3
"""pontoon-image and registries: well-behaved, weak and hostile ones (fake_registry.py), in a network namespace of the test's own, on its loopback.
Usage: test_registry.py PROGRAM [TEST]... Prints TAP."""
import base64
import fcntl
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from archives import config, digest, directory, entry, tar  # noqa: E402
from fake_registry import INDEX, MANIFEST, Registry, Tokens, basic, wants_basic  # noqa: E402

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "build/pontoon-image"
TESTS = []


def test(f):
    TESTS.append(f)
    return f


def eq(a, b):
    assert a == b, "%r, want %r" % (a, b)


def auth(**fields):
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


class Job:
    """A running job."""

    def __init__(self, verb, request, root=None, fds=None):
        self.root = root or tempfile.mkdtemp(prefix="job.", dir=WORK)
        self.dir = self.root + "/tmp/j"
        r, w = os.pipe()

        want = {3: w, **(fds or {})}

        def setup():
            high = {there: fcntl.fcntl(here, fcntl.F_DUPFD, 100) for there, here in want.items()}
            for there, here in high.items():
                os.dup2(here, there)
                os.close(here)
        self.proc = subprocess.Popen([PROGRAM, verb, "--root", self.root, "--job", "j"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=False, preexec_fn=setup)
        os.close(w)
        self.report = os.fdopen(r)
        self.proc.stdin.write(json.dumps(request).encode())
        self.proc.stdin.close()

    def end(self):
        self.lines = [json.loads(x) for x in self.report]
        self.report.close()
        self.stderr = self.proc.stderr.read().decode(errors="replace")
        self.proc.stderr.close()
        self.code = self.proc.wait()
        self.result = self.lines[-1].get("result") if self.lines else None
        self.error = self.lines[-1].get("error") if self.lines else None
        return self

    def ok(self):
        assert self.code == 0 and self.result, "failed: %s %s %s" % (self.code, self.error, self.stderr)
        return self

    def fails(self, kind, *words):
        assert self.code == 1 and self.error, "did not fail: %s %s %s" % (self.code, self.lines, self.stderr)
        assert self.error["kind"] == kind, self.error
        for w in words:
            assert w in self.error["message"], "%r lacks %r" % (self.error["message"], w)
        assert os.listdir(self.dir) == [], "left behind: %s" % os.listdir(self.dir)
        return self

    def said(self, id=None):
        """The words about one layer, without repetitions."""
        out = []
        for x in self.lines[:-1]:
            if x.get("id") == id and (not out or out[-1] != x["status"]):
                out.append(x["status"])
        return out

    def layer(self, i, what="diff"):
        return "%s/%s/%s" % (self.dir, self.result["layers"][i]["dir"], what)


def pull(registry, what="r:1", root=None, **request):
    return Job("pull", dict(reference="%s/%s" % (registry.name, what), **request), root).end()


L = [tar(directory("d"), entry("d/%d" % i, b"layer %d" % i)) for i in range(5)]
PACKED = [gzip.compress(L[0]), L[1], subprocess.run(["zstd", "-q"], input=L[2], capture_output=True, check=True).stdout, gzip.compress(L[3]), L[4]]
BIG = tar(entry("big", os.urandom(3 << 20)))


def short(data):
    return digest(data)[7:19]


@test
def what_a_pull_makes():
    r = Registry()
    d = r.image("a/b", "v1", L, PACKED)
    j = pull(r, "a/b:v1").ok()
    conf = config(L)
    im, = j.result["images"]
    eq((im["id"], im["config"], im["tags"], im["digests"]), (digest(conf)[7:], conf.decode(), [r.name + "/a/b:v1"], ["%s/a/b@%s" % (r.name, d)]))
    eq(im["diff_ids"], [digest(x) for x in L])
    eq({x["diff_id"] for x in j.result["layers"]}, {digest(x) for x in L})
    for k, x in enumerate(j.result["layers"]):
        i = [digest(y) for y in L].index(x["diff_id"])
        with open(j.layer(k) + "/d/%d" % i) as f:
            eq(f.read(), "layer %d" % i)
        with open(j.layer(k, "blob"), "rb") as f:
            blob = f.read()
        if i in (1, 4):  # came plain: kept compressed
            eq(subprocess.run(["zstd", "-dc"], input=blob, capture_output=True, check=True).stdout, L[i])
        else:
            eq(blob, PACKED[i])
    eq(set(os.listdir(j.dir)), {x["dir"] for x in j.result["layers"]})
    eq(j.lines[0], {"status": "Pulling from %s/a/b" % r.name, "progressDetail": {}, "id": "v1"})
    words = j.said(short(PACKED[0]))
    eq([w for w in words if w != "Downloading"], ["Pulling fs layer", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"])
    eq(j.lines[-2], {"status": "Digest: " + d})
    # nothing is asked for twice
    eq(len(r.asked), len({p for _, p, _ in r.asked}) + (r.asked[0][1] == r.asked[1][1]))


@test
def by_digest_and_what_is_there_already():
    r = Registry()
    d = r.image("r", "1", L[:2], PACKED[:2])
    j = pull(r, "r@" + d).ok()
    eq((j.result["images"][0]["tags"], j.result["images"][0]["digests"]), ([], ["%s/r@%s" % (r.name, d)]))
    r.asked.clear()
    j = pull(r, have=[digest(L[0])]).ok()
    eq([x["diff_id"] for x in j.result["layers"]], [digest(L[1])])
    eq(j.said(short(PACKED[0])), ["Already exists"])
    eq(r.gets(digest(PACKED[0])), [])
    j = pull(r, have=[digest(L[0]), digest(L[1])]).ok()
    eq((j.result["layers"], os.listdir(j.dir)), ([], []))
    # the registry sends another manifest than the one asked for
    r.manifests["r", d] = (MANIFEST, r.manifests["r", d][1] + b" ")
    pull(r, "r@" + d).fails("invalid", "manifest verification failed for digest " + d)


@test
def the_same_layer_twice():
    r = Registry()
    r.image("r", "1", [L[0], L[1], L[0]], [PACKED[0], PACKED[1], PACKED[0]])
    j = pull(r).ok()
    eq(sorted(x["diff_id"] for x in j.result["layers"]), sorted([digest(L[0]), digest(L[1])]))
    eq(len(r.gets(digest(PACKED[0]))), 1)


@test
def platforms():
    r = Registry()
    ds = {a: r.image("r", "only-" + a, [L[i]], architecture=a) for i, a in enumerate(("amd64", "arm64", "s390x"))}
    top = r.index("r", "1", [(ds["s390x"], "linux", "s390x", ""), (ds["amd64"], "linux", "amd64", ""), (ds["arm64"], "linux", "arm64", "v8")])
    j = pull(r, platform="linux/amd64").ok()
    eq((j.result["layers"][0]["diff_id"], j.result["images"][0]["digests"]), (digest(L[0]), ["%s/r@%s" % (r.name, top)]))
    eq(pull(r, platform="linux/arm64").ok().result["layers"][0]["diff_id"], digest(L[1]))
    pull(r, platform="linux/riscv64").fails("not_found", "no matching manifest for linux/riscv64", "linux/s390x, linux/amd64, linux/arm64/v8")
    pull(r, "r:only-arm64", platform="linux/amd64").fails("not_found", "was found but its platform (linux/arm64) does not match the specified platform (linux/amd64)")
    pull(r, platform="windows/amd64").fails("invalid", "windows")
    # an index in an index
    r.manifest("r", "deep", json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": INDEX, "size": 1, "digest": top}]}).encode(), INDEX)
    pull(r, "r:deep", platform="linux/amd64").ok()
    # an index of itself
    loop = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": INDEX, "size": 1, "digest": top}]}).encode()
    r.hooks.append(lambda h: "manifests" in h.route and ":" not in h.route.rsplit("/", 1)[1] and False)
    for i in range(6):
        d = r.manifest("r", "n%d" % i, loop, INDEX)
        loop = json.dumps({"schemaVersion": 2, "x": i, "manifests": [{"mediaType": INDEX, "size": 1, "digest": d}]}).encode()
    pull(r, "r:n5").fails("invalid", "nested too deeply")


@test
def all_tags():
    r = Registry()
    for i in range(5):
        r.image("r", "t%d" % i, L[:i + 1], PACKED[:i + 1])
    r.image("r", "zz", L[:1], PACKED[:1])
    j = pull(r, "r", all_tags=True).ok()
    eq(sorted(t for im in j.result["images"] for t in im["tags"]), [r.name + "/r:" + t for t in ("t0", "t1", "t2", "t3", "t4", "zz")])
    eq((len(j.result["images"]), len(j.result["layers"])), (5, 5))
    for p in PACKED:
        eq(len(r.gets(digest(p))), 1)


@test
def not_there():
    r = Registry()
    r.image("r", "1", L[:1])
    pull(r, "nosuch:1").fails("not_found", "repository %s/nosuch not found: name unknown" % r.name)
    pull(r, "r:2").fails("not_found", "manifest for %s/r:2 not found: manifest unknown: manifest unknown" % r.name)
    del r.blobs[digest(L[0])]
    pull(r).fails("not_found", "blob unknown to registry: " + digest(L[0]))
    r.hooks.append(lambda h: h.refuse(403, "DENIED", "requested access to the resource is denied"))
    pull(r).fails("not_found", "pull access denied for %s/r, repository does not exist or may require 'docker login'" % r.name)
    r.hooks[:] = [lambda h: h.answer(404, b"<html>nothing here</html>")]
    pull(r).fails("not_found", "manifest for %s/r:1 not found" % r.name)
    r.hooks[:] = [lambda h: h.refuse(429, "TOOMANYREQUESTS", "slow down")]
    pull(r).fails("unavailable", "toomanyrequests: slow down")
    r.hooks[:] = [lambda h: h.answer(200, b"{}", Content_Type="text/html")]
    pull(r).fails("invalid", "is not an image")
    r.close()
    pull(r).fails("internal", r.name, "Connection refused")


@test
def basic_credentials():
    r = Registry()
    r.image("r", "1", L[:3], PACKED[:3])
    r.hooks.append(wants_basic())
    pull(r).fails("internal", "no basic auth credentials")
    pull(r, auth=auth(username="me", password="wrong")).fails("internal", "unauthorized: authentication required")
    n = len(r.asked)
    pull(r, auth=auth(username="me", password="secret")).ok()
    eq(len(r.asked) - n, 1 + 1 + 1 + 3)  # one refusal, then manifest, configuration, layers
    pull(r, auth=auth(auth=base64.b64encode(b"me:secret").decode())).ok()
    pull(r, auth="%%%").fails("invalid", "X-Registry-Auth")


@test
def tokens():
    r = Registry()
    r.image("r", "1", L[:3], PACKED[:3])
    t = Tokens(r)
    pull(r).fails("internal", "unauthorized: authentication required")
    j = pull(r, auth=auth(username="me", password="secret")).ok()
    method, path, _, header = t.requests[-1]
    eq((method, header), ("GET", basic("me", "secret")))
    assert path.startswith("/token?service=svc&scope=repository%3Ar%3Apull&account=me"), path
    eq(len(t.requests), 2)
    pull(r, auth=auth(username="me", password="wrong")).fails("internal", "unauthorized: incorrect username or password")
    pull(r, auth=auth(identitytoken="refresh-me")).ok()
    method, path, form, header = t.requests[-1]
    eq((method, path, header), ("POST", "/token", None))
    eq({k: form[k] for k in ("grant_type", "service", "refresh_token", "scope")},
       {"grant_type": "refresh_token", "service": "svc", "refresh_token": "refresh-me", "scope": "repository:r:pull"})
    t.given.add("mine")
    n = len(t.requests)
    pull(r, auth=auth(registrytoken="mine")).ok()
    eq(len(t.requests), n)
    # a token that ends in the middle is replaced
    t.given.clear()
    first = []

    def expire(h):
        if "/blobs/" in h.route and not first:
            first.append(1)
            t.given.clear()
        return False
    r.hooks.insert(0, expire)
    n = len(t.requests)
    pull(r, auth=auth(username="me", password="secret")).ok()
    eq(len(t.requests) - n, 2)
    for bad in (b"", b"{}", b'{"token":"a b"}', b'{"token":"' + b"x" * 20000 + b'"}', b"[" * 5000):
        r.hooks[:] = [lambda h: h.answer(200, bad) if h.route == "/token" else t.hook(h)]
        t.given.clear()
        pull(r).fails("internal", "the token server's answer")
    del j


@test
def no_end_of_refusals():
    r = Registry()
    r.image("r", "1", L[:1])
    r.hooks.append(lambda h: h.answer(200, b'{"token":"t"}') if h.route == "/token" else
                   h.refuse(401, "UNAUTHORIZED", "never", WWW_Authenticate='Bearer realm="http://%s/token"' % r.name))
    pull(r, auth=auth(username="a", password="b")).fails("internal", "unauthorized: never")
    assert len(r.asked) < 8, r.asked
    for h in ("", "Bearer", 'Bearer realm="x', "Negotiate", "Digest realm=x, nonce=y", "Bearer realm=\"%s\"" % ("x" * 3000)):
        r.hooks[:] = [lambda x: x.answer(401, WWW_Authenticate=h)]
        j = pull(r, auth=auth(username="a", password="b"))
        assert j.error["kind"] in ("internal", "invalid"), j.error


@test
def secrets_stay_where_they_belong():
    """Not sent to another host that a redirect leads to, not on a command line, not in an environment, not in a message."""
    other = Registry("127.0.0.2")
    r = Registry()
    r.image("r", "1", [BIG])
    r.hooks.append(wants_basic("me", "TOPSECRET"))
    seen = []

    def redirect(h):
        if digest(BIG) in h.route:
            for p in os.listdir("/proc"):
                for f in ("cmdline", "environ"):
                    try:
                        with open("/proc/%s/%s" % (p, f), "rb") as x:
                            data = x.read()
                    except OSError:
                        continue
                    if b"pontoon-image" in data:
                        seen.append(data)
            return h.answer(307, Location="http://%s/store/%s?signature=x" % (other.name, digest(BIG)))
        return False
    r.hooks.append(redirect)
    other.hooks.append(lambda h: other.send_blob(h, BIG))
    j = pull(r, auth=auth(username="me", password="TOPSECRET")).ok()
    assert seen and not any(b"TOPSECRET" in x or base64.b64encode(b"me:TOPSECRET") in x for x in seen)
    eq([h.get("Authorization") for _, _, h in other.asked], [None])
    other.hooks[:] = [lambda h: h.answer(403, b"expired")]
    j = pull(r, auth=auth(username="me", password="TOPSECRET"))
    text = json.dumps(j.lines) + j.stderr
    assert j.code == 1 and "TOPSECRET" not in text and "signature" not in text, text
    # the same port of another name is another host too
    r.hooks[1:] = [lambda h: h.answer(302, Location="http://localhost:%s/x" % r.name.split(":")[1]) if digest(BIG) in h.route else False]
    n = len(r.asked)
    pull(r, auth=auth(username="me", password="TOPSECRET"))
    assert [h.get("Authorization") for _, p, h in r.asked[n:] if p == "/x"] in ([None], [None, None]), r.asked[n:]


@test
def redirect_loops():
    r = Registry()
    r.image("r", "1", L[:1])
    r.hooks.append(lambda h: h.answer(302, Location=h.path + "x"))
    pull(r).fails("internal", "Maximum (10) redirects followed")
    assert len(r.asked) < 15, len(r.asked)
    for to in ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/", "", "http://[", "//"):
        r.hooks[:] = [lambda h: h.answer(302, Location=to)]
        assert pull(r).code == 1


@test
def wrong_digests():
    r = Registry()
    for bad in ("layer", "config", "diff"):
        r.image("r", "1", L[:2])
        if bad == "layer":
            r.blobs[digest(L[1])] = L[1][:-1] + b"x"
            pull(r).fails("invalid", "filesystem layer verification failed for digest " + digest(L[1]))
        elif bad == "config":
            conf = config(L[:2])
            r.blobs[digest(conf)] = conf + b" "
            pull(r).fails("invalid", "image config verification failed for digest " + digest(conf))
        else:
            r.image("r", "1", L[:2], conf=config([L[0], L[2]]))
            pull(r).fails("invalid", "its content has the digest " + digest(L[1]), "the image's configuration says " + digest(L[2]))
    r.image("r", "1", L[:2], conf=config(L[:3]))
    pull(r).fails("invalid", "layers length mismatch: 2 layers, 3 diff ids")
    junk = b"not a tar" * 100
    r.image("r", "1", [junk])
    pull(r).fails("invalid", "archive is not a tar")
    cut = gzip.compress(L[0])[:-10]
    r.image("r", "1", L[:1], [cut])
    pull(r).fails("invalid", "the gzip data is broken: it is cut off")


def announce(r, size, layer=L[0]):
    """The manifest says that the layer has `size` bytes."""
    r.image("r", "1", [layer])
    t, m = r.manifests["r", "1"]
    m = json.loads(m)
    m["layers"][0]["size"] = size
    r.manifest("r", "1", json.dumps(m).encode())


@test
def wrong_lengths():
    r = Registry()
    announce(r, len(L[0]) - 1)
    pull(r).fails("internal", "sent more than it had announced")
    announce(r, len(L[0]) + 1)
    pull(r).fails("invalid", "verification failed", "%d bytes came, the manifest says %d" % (len(L[0]), len(L[0]) + 1))
    announce(r, -1)
    pull(r).fails("invalid", "negative size")
    announce(r, 1 << 60)
    pull(r).fails("too_large", "is too large")
    r.image("r", "1", L[:1])
    r.hooks.append(lambda h: "/blobs/" in h.route and h.answer(200, b"x" * 10, Content_Length="abc"))
    assert pull(r).code == 1
    r.hooks[:] = [lambda h: "/manifests/" in h.route and h.answer(200, b"x" * (5 << 20), Content_Type=MANIFEST)]
    pull(r).fails("internal", "sent more than it had announced")
    deep = b'{"a":' * 100000
    r.hooks[:] = [lambda h: "/manifests/" in h.route and h.answer(200, deep, Content_Type=MANIFEST)]
    pull(r).fails("invalid", "JSON")
    r.hooks[:] = [lambda h: h.answer(200, b"", **{"X-%d" % i: "y" * 60000 for i in range(200)})]
    assert pull(r).code == 1
    r.hooks[:] = [lambda h: h.answer(401, b"", WWW_Authenticate=["Basic realm=%s" % ("r" * 5000)] * 50)]
    assert pull(r).code == 1


@test
def schema_one():
    r = Registry()
    r.manifest("r", "1", b'{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+prettyjws")
    pull(r).fails("invalid", "has only a manifest of schema 1")


def cutter(r, data, pieces, ranges=True):
    """The blob's connection breaks after each of `pieces` bytes; then it goes well."""
    left = list(pieces)
    asked = []

    def hook(h):
        if digest(data) not in h.route:
            return False
        asked.append(h.headers.get("Range"))
        if not left:
            return r.send_blob(h, data, ranges)
        at = int(asked[-1][6:-1]) if asked[-1] and ranges else 0
        h.send_response(206 if at else 200)
        if at:
            h.send_header("Content-Range", "bytes %d-%d/%d" % (at, len(data) - 1, len(data)))
        h.send_header("Content-Length", str(len(data) - at))
        h.end_headers()
        h.wfile.write(data[at:at + left.pop(0)])
        h.wfile.flush()
        h.connection.shutdown(socket.SHUT_RDWR)
        h.close_connection = True
        return True
    r.hooks.append(hook)
    return asked


@test
def broken_connections_are_resumed():
    r = Registry()
    r.image("r", "1", [L[0], BIG])
    asked = cutter(r, BIG, [1000000, 500000, 1, 700000])
    j = pull(r, stall=10).ok()
    eq(asked, [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500001-", "bytes=2200001-"])
    assert "Retrying" in j.said(short(BIG)), j.lines
    # a server that knows no ranges begins anew
    r.hooks.clear()
    asked = cutter(r, BIG, [1000000, 500000], ranges=False)
    pull(r, stall=10).ok()
    eq(len(asked), 3)
    # one that sends another part
    r.hooks.clear()
    cutter(r, BIG, [1000000])
    r.hooks.insert(0, lambda h: h.headers.get("Range") and h.answer(206, BIG[5:], Content_Range="bytes 5-%d/%d" % (len(BIG) - 1, len(BIG))))
    pull(r, stall=10).fails("internal", "another part of the blob")


@test
def endless_faults_end():
    r = Registry()
    r.image("r", "1", [BIG])
    asked = cutter(r, BIG, [1000] + [0] * 50)
    pull(r, stall=10).fails("internal", digest(BIG))
    eq(len(asked), 5)
    n = []

    def ill(h):
        if digest(BIG) not in h.route:
            return False
        n.append(1)
        return len(n) < 3 and h.answer(503, b"busy")
    r.hooks[:] = [ill]
    pull(r, stall=10).ok()
    eq(len(n), 3)


@test
def stalls():
    r = Registry()
    r.image("r", "1", [BIG])
    gone = threading.Event()

    def stall(where):
        def hook(h):
            if where == "head" or (where == "manifest" and "/manifests/" in h.route):
                gone.wait(30)
                return True
            if where == "body" and digest(BIG) in h.route:
                h.send_response(200)
                h.send_header("Content-Length", str(len(BIG)))
                h.end_headers()
                h.wfile.write(BIG[:1000])
                h.wfile.flush()
                gone.wait(30)
                return True
            return False
        return hook
    for where in ("head", "body"):
        r.hooks[:] = [stall(where)]
        pull(r, stall=1).fails("internal", "nothing came for 1 seconds")
    # whoever runs the job goes: so does the fetcher
    r.hooks[:] = [stall("body")]
    for how in ("kill", "hang up"):
        n = len(r.asked)
        j = Job("pull", dict(reference=r.name + "/r:1"))
        while not any(digest(BIG) in p for _, p, _ in r.asked[n:]):
            time.sleep(0.01)
        with open("/proc/%d/task/%d/children" % (j.proc.pid, j.proc.pid)) as f:
            child = int(f.read())
        if how == "kill":
            j.proc.kill()
        else:
            j.report.close()
        j.proc.wait()
        end = time.monotonic() + 10
        while os.path.exists("/proc/%d" % child) and time.monotonic() < end:
            with open("/proc/%d/stat" % child) as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    break
            time.sleep(0.01)
        else:
            assert not os.path.exists("/proc/%d" % child), how
        j.proc.stderr.close()
    gone.set()


@test
def layers_come_side_by_side():
    r = Registry()
    r.image("r", "1", L, PACKED)
    together = threading.Barrier(3)

    def wait(h):
        if any(digest(p) in h.route for p in PACKED[:3]):
            together.wait(20)
        return False
    r.hooks.append(wait)
    pull(r).ok()
    r.hooks.clear()
    alone = threading.Lock()

    def count(h):
        if any(digest(p) in h.route for p in PACKED):
            assert alone.acquire(blocking=False), "two at once"
            time.sleep(0.02)
            alone.release()
        return False
    r.hooks.append(count)
    pull(r, parallel=1).ok()


@test
def no_space():
    small = WORK + "/small"
    os.makedirs(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], check=True)
    try:
        r = Registry()
        r.image("r", "1", [BIG])
        pull(r, root=small).fails("internal", "no space left on device")
        zeros = tar(entry("zeros", bytes(3 << 20)))
        r.image("r", "1", [zeros], [gzip.compress(zeros)])
        pull(r, root=small).fails("internal", "no space left on device")
    finally:
        subprocess.run(["umount", small], check=True)


@test
def without_and_with_tls():
    ca = WORK + "/tls"
    os.makedirs(ca)
    run = lambda *a: subprocess.run(a, cwd=ca, check=True, capture_output=True)  # noqa: E731
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority")
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=registry.test")
    with open(ca + "/ext", "w") as f:
        f.write("subjectAltName=DNS:registry.test")
    run("openssl", "x509", "-req", "-in", "s.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "s.crt")
    with open(ca + "/hosts", "w") as f:
        f.write("127.0.0.1 localhost\n10.9.9.9 registry.test plain.test\n")
    subprocess.run(["mount", "--bind", ca + "/hosts", "/etc/hosts"], check=True)
    subprocess.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"], check=True)
    secure, plain = Registry("10.9.9.9", tls=(ca + "/s.crt", ca + "/s.key")), Registry("10.9.9.9")
    ports = secure.name.split(":")[1], plain.name.split(":")[1]
    for r in (secure, plain):
        r.image("r", "1", L[:1])

    def get(what, **request):
        return Job("pull", dict(reference=what + "/r:1", **request)).end()
    at = "registry.test:" + ports[0]
    get(at).fails("internal", "certificate")
    get(at, insecure=["registry.test:" + ports[0]]).ok()
    get(at, insecure=["other.test"]).fails("internal", "certificate")
    get("10.9.9.9:" + ports[0], insecure=["10.9.0.0/16"]).ok()
    get("plain.test:" + ports[1]).fails("internal", "http: server gave HTTP response to HTTPS client")
    get("plain.test:" + ports[1], insecure=["plain.test"]).ok()
    get("nosuch.test:5000").fails("internal", "Could not resolve host")
    system = "/etc/ssl/certs/ca-certificates.crt"
    shutil.copy(ca + "/ca.crt", ca + "/bundle")
    os.makedirs(os.path.dirname(system), exist_ok=True)
    subprocess.run(["mount", "--bind", ca + "/bundle", system], check=True)
    try:
        get(at).ok()
        # a name that is not the certificate's
        get("plain.test:" + ports[0]).fails("internal", "certificate")
        # from TLS to none
        secure.hooks.append(lambda h: digest(L[0]) in h.route and h.answer(307, Location="http://10.9.9.9:%s/v2/r/blobs/%s" % (ports[1], digest(L[0]))))
        get(at).fails("internal", "redirected to an address without TLS")
        secure.hooks.clear()
        # a mirror is asked in the registry's place and gets none of its secrets
        n = len(secure.asked)
        j = Job("pull", dict(reference="library/r:1", mirror="https://%s/" % at, auth=auth(username="me", password="TOPSECRET"))).end()
        j.fails("not_found", "repository r not found")
        secure.image("library/r", "1", L[:1])
        secure.hooks.append(lambda h: "Authorization" not in h.headers and h.route.startswith("/v2/library") and h.refuse(401, "UNAUTHORIZED", "who?", WWW_Authenticate='Basic realm="x"'))
        Job("pull", dict(reference="library/r:1", mirror="https://%s/" % at, auth=auth(username="me", password="TOPSECRET"))).end().fails("internal", "no basic auth credentials")
        assert not any("Authorization" in h for _, _, h in secure.asked[n:])
        secure.hooks.clear()
        j = Job("pull", dict(reference="library/r:1", mirror="https://%s/" % at)).end().ok()
        eq(j.result["images"][0]["tags"], ["r:1"])
        plain.image("library/r", "1", L[:1])
        Job("pull", dict(reference="library/r:1", mirror="http://plain.test:%s" % ports[1])).end().ok()  # no TLS, as its address says
        Job("pull", dict(reference="library/r:1", mirror="https://plain.test:%s" % ports[1])).end().fails("internal", "http: server gave HTTP response to HTTPS client")
        # a token server without TLS gets no password
        secure.hooks.append(lambda h: h.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate='Bearer realm="http://10.9.9.9:%s/token"' % ports[1]))
        get(at, auth=auth(username="me", password="x")).fails("internal", "no secret is sent there")
        assert not any("/token" in p for _, p, _ in plain.asked)
    finally:
        subprocess.run(["umount", system], check=True)
        subprocess.run(["umount", "/etc/hosts"], check=True)


@test
def certificates_by_registry():
    """What stands in a registry's directory counts for it and for no other: authorities, and a certificate of the client's own."""
    d = WORK + "/certs"
    os.makedirs(d)
    run = lambda *a: subprocess.run(a, cwd=d, check=True, capture_output=True)  # noqa: E731
    for name in ("server", "client"):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".crt", "-days", "2", "-subj", "/CN=" + name,
            "-addext", "subjectAltName=IP:10.9.9.8")
    subprocess.run(["ip", "addr", "add", "10.9.9.8/32", "dev", "lo"], check=True)
    r = Registry("10.9.9.8", tls=(d + "/server.crt", d + "/server.key", d + "/client.crt"))
    r.image("r", "1", L[:1])
    for top in ("/etc/docker", "/etc/pontoon"):
        os.makedirs(top, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top], check=True)
    try:
        pull(r).fails("internal", "certificate")
        for top, other in (("/etc/docker", "/etc/pontoon"), ("/etc/pontoon", "/etc/docker")):
            here, there = "%s/certs.d/%s" % (top, r.name), "%s/certs.d/%s" % (other, r.name)
            os.makedirs(here)
            os.makedirs(there)
            shutil.copy(d + "/server.crt", there + "/ca.crt")
            j = pull(r).fails("internal")  # the server's word may be lost with the connection
            if "TLS fatal alert" in j.error["message"]:
                assert "client.cert and client.key in /etc/pontoon/certs.d/" + r.name in j.error["message"], j.error
            shutil.copy(d + "/client.crt", here + "/client.cert")
            pull(r).fails("internal", "missing key client.key for client certificate client.cert. CA certificates must use the extension .crt")
            shutil.copy(d + "/client.key", here + "/client.key")
            pull(r).ok()
            os.unlink(here + "/client.cert")
            pull(r).fails("internal", "missing client certificate client.cert for key client.key")
            shutil.rmtree(here)
            shutil.rmtree(there)
        # another port is another registry
        os.makedirs("/etc/docker/certs.d/10.9.9.8")
        shutil.copy(d + "/server.crt", "/etc/docker/certs.d/10.9.9.8/ca.crt")
        pull(r).fails("internal", "certificate")
    finally:
        for top in ("/etc/docker", "/etc/pontoon"):
            subprocess.run(["umount", top], check=True)


@test
def the_fetcher_is_confined():
    r = Registry()
    r.image("r", "1", [BIG])
    go = threading.Event()
    r.hooks.append(lambda h: digest(BIG) in h.route and not go.wait(20))
    n = len(r.asked)
    j = Job("pull", dict(reference=r.name + "/r:1"))
    while not any(digest(BIG) in p for _, p, _ in r.asked[n:]):
        time.sleep(0.01)
    with open("/proc/%d/task/%d/children" % (j.proc.pid, j.proc.pid)) as f:
        child = f.read().strip()
    with open("/proc/%s/status" % child) as f:
        status = dict(x.split(":\t", 1) for x in f.read().splitlines() if ":\t" in x)
    eq((status["Uid"].split(), status["Gid"].split(), status.get("Groups", "").strip()), (["64538"] * 4, ["64538"] * 4, ""))
    eq((status["CapPrm"], status["CapEff"], status["NoNewPrivs"], status["Seccomp"]), ("0" * 16, "0" * 16, "1", "2"))
    eq(sorted(os.listdir("/proc/%s/root" % child)), ["etc"])
    eq(sorted(os.listdir("/proc/%s/root/etc" % child)), ["ca.crt", "hosts", "nsswitch.conf", "resolv.conf"])
    with open("/proc/%s/mounts" % child) as f:
        line, = [x for x in f if x.split()[1] == "/"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(line.split()[3].split(",")), line
    with open("/proc/%d/status" % j.proc.pid) as f:
        status = dict(x.split(":\t", 1) for x in f.read().splitlines() if ":\t" in x)
    eq(status["Seccomp"], "2")
    assert os.readlink("/proc/%d/ns/net" % j.proc.pid) != os.readlink("/proc/self/ns/net")
    eq(os.readlink("/proc/%s/ns/net" % child), os.readlink("/proc/self/ns/net"))
    go.set()
    j.end().ok()


@test
def workers_end_with_the_job():
    r = Registry()
    zeros = tar(entry("zeros", bytes(400 << 20)))
    r.image("r", "1", [zeros, L[0]], [gzip.compress(zeros, 1), PACKED[0]])
    j = Job("pull", dict(reference=r.name + "/r:1"))
    me = "/proc/%d/task/%d/children" % (j.proc.pid, j.proc.pid)

    def children():
        with open(me) as f:
            return f.read().split()
    end = time.monotonic() + 20
    while len(seen := children()) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    assert len(seen) in (2, 3), seen  # the fetcher and one worker or both
    for c in seen:
        with open("/proc/%s/status" % c) as f:
            assert "Seccomp:\t2" in f.read()
    j.proc.kill()
    j.proc.wait()
    end = time.monotonic() + 10

    def alive(pid):
        try:
            with open("/proc/%s/stat" % pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    while any(alive(c) for c in seen) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(alive(c) for c in seen)
    j.report.close()
    j.proc.stderr.close()


# --- push, save: what the daemon keeps is a directory of layers ---

def store(*layers):
    """layers: (plain tar, its blob as kept). Returns the directory and the rows of a request."""
    top = tempfile.mkdtemp(prefix="layers.", dir=WORK)
    rows = []
    for i, (plain, kept) in enumerate(layers):
        name = "%016x" % i
        os.makedirs("%s/%s/diff" % (top, name))
        with open("%s/%s/blob" % (top, name), "wb") as f:
            f.write(kept)
        rows.append({"diff_id": digest(plain), "dir": name})
    return top, rows


def zstd(data):
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


def push(registry, *layers, tags=("1",), repo="r", change=None, **request):
    top, rows = store(*layers)
    conf = config([p for p, _ in layers])
    for r in rows:
        r.update(change or {})
    q = dict(reference="%s/%s" % (registry.name, repo), images=[{"id": digest(conf)[7:], "config": conf.decode(), "tags": list(tags), "layers": rows}], **request)
    fd = os.open(top, os.O_PATH | os.O_DIRECTORY)
    j = Job("push", q, fds={4: fd}).end()
    os.close(fd)
    j.layers_dir = top
    return j


@test
def what_a_push_sends():
    r = Registry()
    layers = [(L[0], gzip.compress(L[0])), (L[1], zstd(L[1])), (L[2], L[2])]
    j = push(r, *layers, tags=("1", "2")).ok()
    t, m = r.manifests["r", "1"]
    eq((t, r.manifests["r", "2"][1] == m), (MANIFEST, True))
    m = json.loads(m)
    eq((m["schemaVersion"], m["mediaType"], r.blobs[m["config"]["digest"]]), (2, MANIFEST, config(L[:3])))
    eq([gzip.decompress(r.blobs[x["digest"]]) for x in m["layers"]], L[:3])
    eq([len(r.blobs[x["digest"]]) for x in m["layers"]], [x["size"] for x in m["layers"]])
    eq(m["layers"][0]["digest"], digest(layers[0][1]))
    eq(j.result["pushed"], [{"tag": t, "digest": digest(r.manifests["r", t][1]), "size": len(r.manifests["r", t][1])} for t in ("1", "2")])
    # what was packed anew is handed back, to be kept
    eq([b["dir"] for b in j.result["blobs"]], ["%016x" % 1, "%016x" % 2])
    for b, plain in zip(j.result["blobs"], L[1:3]):
        with open(j.dir + "/" + b["file"], "rb") as f:
            eq(gzip.decompress(f.read()), plain)
    eq(j.said(digest(L[0])[7:19]), ["Preparing", "Pushing", "Pushed"])
    eq([x["aux"]["Digest"] for x in j.lines if "aux" in x], [digest(r.manifests["r", "1"][1])] * 2)
    assert {"status": "The push refers to repository [%s/r]" % r.name} in j.lines
    # the second time nothing is sent
    n = len(r.asked)
    j = push(r, *layers).ok()
    eq(j.said(digest(L[0])[7:19]), ["Preparing", "Layer already exists"])
    eq([m for m, _, _ in r.asked[n:] if m not in ("HEAD", "PUT")], [])
    # and what we push we pull
    eq([x["diff_id"] for x in sorted(pull(r).ok().result["layers"], key=lambda x: x["diff_id"])], sorted(digest(x) for x in L[:3]))


@test
def mounts():
    r = Registry()
    kept = gzip.compress(L[0])
    r.blob(kept)
    r.hooks.append(lambda h: h.command == "HEAD" and h.refuse(404, "BLOB_UNKNOWN"))
    j = push(r, (L[0], kept), change={"from": "other/repo"}).ok()
    eq(j.said(digest(L[0])[7:19]), ["Preparing", "Mounted from other/repo"])
    assert any("mount=%s&from=other/repo" % digest(kept) in p for m, p, _ in r.asked if m == "POST"), r.asked
    r.mount = False
    r.blobs.clear()
    eq(push(r, (L[0], kept), change={"from": "other/repo"}).ok().said(digest(L[0])[7:19]), ["Preparing", "Pushing", "Pushed"])


@test
def pushes_with_credentials():
    r = Registry()
    t = Tokens(r)
    push(r, (L[0], gzip.compress(L[0])), auth=auth(username="me", password="secret"), change={"from": "other/repo"}).ok()
    assert "scope=repository%3Ar%3Apull%2Cpush&scope=repository%3Aother%2Frepo%3Apull" in t.requests[-1][1], t.requests
    push(r, (L[1], gzip.compress(L[1]))).fails("internal", "unauthorized: authentication required")
    r.hooks[:] = [wants_basic()]
    push(r, (L[2], gzip.compress(L[2])), auth=auth(username="me", password="secret")).ok()
    r.hooks[:] = [lambda h: h.command in ("POST", "PUT") and h.refuse(403, "DENIED", "requested access to the resource is denied")]
    push(r, (L[3], gzip.compress(L[3]))).fails("internal", "denied: requested access to the resource is denied")


@test
def uploads_go_on_where_they_broke():
    r = Registry()
    kept = gzip.compress(BIG)
    breaks = [1000000, 500000, 0]

    def hook(h):
        if h.command != "PATCH" or not breaks or int(h.headers["Content-Length"]) < 10000: # the configuration goes well
            return False
        n = breaks.pop(0)
        uid = h.route.rsplit("/", 1)[1]
        r.uploads[uid] += h.rfile.read(n)
        h.connection.shutdown(socket.SHUT_RDWR)
        h.close_connection = True
        return True
    r.hooks.append(hook)
    j = push(r, (BIG, kept), stall=10).ok()
    eq(r.blobs[digest(kept)], kept)
    assert "Retrying" in j.said(digest(BIG)[7:19])
    starts = [h["Content-Range"].split("-")[0] for m, _, h in r.asked if m == "PATCH" and int(h["Content-Length"]) > 10000]
    eq(starts, ["0", "1000000", "1500000", "1500000"])
    # the upload is forgotten meanwhile: from the beginning
    r.blobs.clear()
    breaks[:] = [1000]
    r.hooks.append(lambda h: h.command == "GET" and "uploads" in h.route and h.refuse(404, "BLOB_UPLOAD_UNKNOWN"))
    push(r, (BIG, kept), stall=10).ok()
    eq(r.blobs[digest(kept)], kept)
    # and never: it ends
    breaks[:] = [0] * 100
    r.blobs.clear()
    push(r, (BIG, kept), stall=10).fails("internal", "PATCH")
    assert len(breaks) > 90


@test
def registries_that_lie_about_a_push():
    r = Registry()
    one = (L[0], gzip.compress(L[0]))
    r.hooks.append(lambda h: h.command == "POST" and h.answer(202))
    push(r, one).fails("invalid", "no Location")
    r.hooks[:] = [lambda h: h.command == "POST" and h.answer(202, Location="file:///etc/passwd")]
    push(r, one).fails("internal")
    r.hooks[:] = [lambda h: h.command == "PUT" and "uploads" in h.route and h.read_body() is not None and h.answer(201, Docker_Content_Digest="sha256:" + "0" * 64)]
    push(r, one).fails("invalid", "the registry stored", "as sha256:000")
    r.hooks[:] = [lambda h: h.command == "PUT" and "manifests" in h.route and h.read_body() is not None and h.answer(201, Docker_Content_Digest="sha256:" + "0" * 64)]
    push(r, one).fails("invalid", "the registry stored the manifest")
    r.hooks[:] = [lambda h: h.command == "PUT" and "manifests" in h.route and h.read_body() is not None and h.refuse(400, "MANIFEST_INVALID", "no")]
    push(r, one).fails("internal", "status 400 MANIFEST_INVALID: no")
    r.hooks[:] = [lambda h: h.command == "HEAD" and h.answer(500)]
    push(r, one, stall=2).fails("internal", "status 500")
    # the address to send to leads elsewhere: no credentials go there
    other = Registry("127.0.0.2")
    r.hooks[:] = [wants_basic(), lambda h: h.command == "POST" and h.answer(202, Location="http://%s/up?x=1" % other.name)]
    other.hooks.append(lambda h: h.read_body() is not None and h.answer(202 if h.command == "PATCH" else 201, Location="http://%s/up?x=2" % other.name))
    push(r, (L[4], gzip.compress(L[4])), auth=auth(username="me", password="secret")).ok()
    assert other.asked and all("Authorization" not in h for _, _, h in other.asked), other.asked


@test
def what_is_kept_is_damaged():
    r = Registry()
    push(r, (L[0], zstd(L[1]))).fails("internal", "the archive of layer " + digest(L[0])[:19] + " is damaged")
    push(r, (L[0], zstd(L[0])[:-9])).fails("invalid", "the zstd data is broken")
    for bad in ("../" + "0" * 16, "/etc", "nosuch"):
        j = push(r, (L[0], L[0]), change={"dir": bad})
        assert j.code == 1, j.lines
    eq(r.blobs, {})


@test
def logins_and_descriptions():
    r = Registry()
    d = r.image("r", "1", L[:1], architecture="arm64")
    ask = lambda verb, **q: Job(verb, dict(reference=r.name + "/r:1", **q)).end()  # noqa: E731
    eq(ask("inspect").ok().result["about"], {"Descriptor": {"mediaType": MANIFEST, "digest": d, "size": len(r.manifests["r", "1"][1])}, "Platforms": [{"architecture": "arm64", "os": "linux"}]})
    top = r.index("r", "1", [(d, "linux", "arm64", "v8"), (d, "linux", "amd64", "")])
    about = ask("inspect").ok().result["about"]
    eq((about["Descriptor"]["digest"], about["Platforms"]), (top, [{"architecture": "arm64", "os": "linux", "variant": "v8"}, {"architecture": "amd64", "os": "linux"}]))
    ask("auth").ok()
    r.hooks.append(wants_basic())
    ask("auth", auth=auth(username="me", password="secret")).ok()
    ask("auth", auth=auth(username="me", password="no")).fails("unauthorized", "login attempt to %s failed: unauthorized" % r.name)
    ask("auth").fails("unauthorized", "no basic auth credentials")
    ask("inspect").fails("internal", "no basic auth credentials")
    t = Tokens(r)
    r.hooks[:] = [t.hook]
    ask("auth", auth=auth(username="me", password="secret")).ok()
    ask("auth", auth=auth(username="me", password="no")).fails("unauthorized", "incorrect username or password")
    r.hooks[:] = [lambda h: h.answer(404, b"nothing")]
    ask("auth").fails("internal", "is it a registry?")


def main():
    global WORK
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    if "PONTOON_TEST_NS" not in os.environ:
        os.environ["PONTOON_TEST_NS"] = "1"
        os.execvp("unshare", ["unshare", "-m", "-n", "--propagation", "private", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    only = sys.argv[2:]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pontoon-registry.", dir="/var/tmp") as WORK:
        print("1..%d" % len(TESTS))
        for i, f in enumerate(TESTS, 1):
            if only and f.__name__ not in only:
                print("ok %d - %s # SKIP not asked for" % (i, f.__name__))
                continue
            start = time.monotonic()
            try:
                f()
                print("ok %d - %s # %.1f s" % (i, f.__name__, time.monotonic() - start), flush=True)
            except Exception:
                failed += 1
                for line in traceback.format_exc().splitlines():
                    print("# " + line)
                print("not ok %d - %s" % (i, f.__name__), flush=True)
    return failed != 0


WORK = ""
sys.exit(main())
