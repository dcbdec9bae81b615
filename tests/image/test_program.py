#!/usr/bin/env python3
"""pontoon-image from outside: runs the built program as root, in a mount namespace of the test's own, on archives made here.
Usage: test_program.py PROGRAM. Prints TAP."""
import io
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from archives import *  # noqa: E402,F403

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "build/pontoon-image"
TESTS = []


def test(f):
    TESTS.append(f)
    return f


class Run:
    """One job: its lines, its exit status, its directory."""

    def __init__(self, verb, data, *args, root=None):
        self.root = root or tempfile.mkdtemp(prefix="job.", dir=WORK)
        self.dir = self.root + "/tmp/j"
        r, w = os.pipe()
        p = start(verb, w, *args, root=self.root, stdin=subprocess.PIPE)
        os.close(w)
        feeder = threading.Thread(target=feed, args=(p.stdin, data))
        feeder.start()
        with os.fdopen(r) as report:
            self.lines = [json.loads(x) for x in report]
        self.stderr = p.stderr.read().decode(errors="replace")
        self.code = p.wait()
        p.stderr.close()
        feeder.join()
        self.result = self.lines[-1].get("result") if self.lines else None
        self.error = self.lines[-1].get("error") if self.lines else None

    def ok(self):
        assert self.code == 0 and self.result, "failed: %s %s %s" % (self.code, self.error, self.stderr)
        assert "error" not in json.dumps([list(x) for x in self.lines]), self.lines
        return self

    def fails(self, kind, *words):
        assert self.code == 1 and self.error, "did not fail: %s %s %s" % (self.code, self.lines, self.stderr)
        assert self.error["kind"] == kind, self.error
        for w in words:
            assert w in self.error["message"], "%r lacks %r" % (self.error["message"], w)
        assert os.listdir(self.dir) == [], "left behind: %s" % os.listdir(self.dir)
        return self

    def diff(self, layer=0):
        return "%s/%s/diff" % (self.dir, self.result["layers"][layer]["dir"])

    def path(self, name, layer=0):
        return self.diff(layer) + "/" + name

    def lstat(self, name):
        return os.lstat(self.path(name))


def start(verb, report, *args, root, stdin):
    def to3():
        os.dup2(report, 3)
    return subprocess.Popen([PROGRAM, verb, "--root", root, "--job", "j", *args], stdin=stdin, stderr=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, close_fds=False, preexec_fn=to3)


def feed(pipe, data):
    try:
        pipe.write(data)
        pipe.close()
    except BrokenPipeError:
        pass


def imports(*entries, **kw):
    return Run("import", tar(*entries, **kw))


def is_whiteout(st):
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def opaque(path):
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def eq(a, b):
    assert a == b, "%r, want %r" % (a, b)


def zstd_stored(data):
    """A zstd frame of uncompressed blocks."""
    out = b"\x28\xb5\x2f\xfd" + b"\xa0" + struct.pack("<I", len(data))
    blocks = [data[i:i + 65536] for i in range(0, len(data), 65536)] or [b""]
    for i, b in enumerate(blocks):
        out += struct.pack("<I", len(b) << 3 | (i == len(blocks) - 1))[:3] + b
    return out


L1 = tar(directory("a"), entry("a/b", b"hello"))
L2 = tar(entry("a/.wh.b", b""), entry("c", b"xyz"))
PACK = dict(COMPRESS, zstd=zstd_stored)


def pack(tree, *args):
    """What `pack` makes of a directory: the exit status, the bytes, the last line."""
    root = tempfile.mkdtemp(prefix="job.", dir=WORK)
    r, w = os.pipe()
    source = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    out = open(root + "/out", "wb")

    def fds():
        a, b, c = os.dup(w), os.dup(source), os.dup(out.fileno())
        os.dup2(c, 1), os.dup2(a, 3), os.dup2(b, 4)
    p = subprocess.Popen([PROGRAM, "pack", "--root", root, "--job", "j", *args], stdin=subprocess.DEVNULL, close_fds=False, preexec_fn=fds)
    os.close(w)
    os.close(source)
    with os.fdopen(r) as report:
        last = [json.loads(x) for x in report][-1]
    out.close()
    with open(root + "/out", "rb") as f:
        return p.wait(), f.read(), last


def packed(tree, *args):
    code, data, last = pack(tree, *args)
    assert code == 0 and "result" in last, last
    return tarfile.open(fileobj=io.BytesIO(data))


@test
def attributes():
    cap = bytes.fromhex("0100000200200000000000000000000000000000").decode()
    r = imports(
        directory("./"),
        directory("./d", mode=0o1777, uid=5, gid=6, pax_headers={"mtime": "1000000001.250000001"}),
        entry("./d/suid", b"abc", mode=0o4755, uid=1000, gid=1001, pax_headers={"mtime": "1234567890.123456789"}),
        entry("./d/sgid", b"", mode=0o2711, uid=3000000000, gid=3000000001),
        entry("./d/x", b"1", pax_headers={"SCHILY.xattr.user.note": "hello", "SCHILY.xattr.security.capability": cap,
                                          "SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.opaque": "y",
                                          "SCHILY.xattr.security.selinux": "x", "SCHILY.xattr.trusted.foo": "y"}),
        symlink("./d/link", "/nowhere", uid=7, gid=8),
        hardlink("./d/hard", "./d/suid"),
        entry("./null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666, uid=9),
        entry("./disk", type=tarfile.BLKTYPE, devmajor=8, devminor=17, mode=0o660),
        entry("./pipe", type=tarfile.FIFOTYPE, mode=0o622)).ok()
    st = r.lstat("d/suid")
    eq((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, st.st_nlink), (0o4755, 1000, 1001, 1234567890123456789, 2))
    eq(r.lstat("d/hard").st_ino, st.st_ino)
    st = r.lstat("d/sgid")
    eq((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (0o2711, 3000000000, 3000000001))
    st = r.lstat("d")
    eq((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns), (0o1777, 5, 6, 1000000001250000001))
    names = set(os.listxattr(r.path("d/x")))
    eq(names, {"user.note", "security.capability"})
    eq(os.getxattr(r.path("d/x"), "user.note"), b"hello")
    eq(os.getxattr(r.path("d/x"), "security.capability"), cap.encode())
    eq(os.readlink(r.path("d/link")), "/nowhere")
    eq((r.lstat("d/link").st_uid, r.lstat("d/link").st_mtime), (7, 1000000000))
    st = r.lstat("null")
    eq((stat.S_ISCHR(st.st_mode), st.st_rdev, stat.S_IMODE(st.st_mode), st.st_uid), (True, os.makedev(1, 3), 0o666, 9))
    eq(r.lstat("disk").st_rdev, os.makedev(8, 17))
    eq((stat.S_ISFIFO(r.lstat("pipe").st_mode), stat.S_IMODE(r.lstat("pipe").st_mode)), (True, 0o622))
    st = os.stat(r.diff())
    eq((stat.S_IMODE(st.st_mode), st.st_uid), (0o755, 0))
    eq(r.result["layers"][0]["size"], 4)


def tree_of_everything():
    top = tempfile.mkdtemp(prefix="tree.", dir=WORK)
    long = "l" * 120
    os.makedirs(top + "/d/" + long)
    os.mkdir(top + "/\u00e4")
    for name, data in (("a", b"hello"), ("d/b", b""), ("d/%s/c" % long, b"x" * 513), ("\u00e4/z", b"1"), ("d/" + "n" * 250, b"2")):
        with open(top + "/" + name, "wb") as f:
            f.write(data)
    os.link(top + "/a", top + "/d/hard")
    os.symlink("/" + "t" * 200, top + "/link")
    os.mkfifo(top + "/pipe", 0o600)
    os.mknod(top + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    with open(top + "/holes", "wb") as f:
        f.truncate(50 << 20)
        f.seek(3 << 20)
        f.write(b"data")
    s = socket.socket(socket.AF_UNIX)
    cwd = os.getcwd()
    os.chdir(top)
    s.bind("sock")
    os.chdir(cwd)
    s.close()
    os.setxattr(top + "/a", "user.note", b"\0\xff=\n")
    os.setxattr(top + "/a", "trusted.foo", b"y")
    os.setxattr(top + "/a", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    os.chown(top + "/d/b", 3000000000, 3000000001)
    os.chmod(top + "/d/b", 0o4711)
    os.utime(top + "/d/b", (-5, -5))
    os.utime(top + "/a", ns=(1234567890123456789, 1234567890123456789))
    return top, long


@test
def pack_writes_what_is_there():
    top, long = tree_of_everything()
    t = packed(top)
    names = t.getnames()
    eq(set(names), {"a", "d", "d/b", "d/hard", "d/" + long, "d/%s/c" % long, "\u00e4", "\u00e4/z", "d/" + "n" * 250, "link", "pipe", "null", "holes"})
    assert names.index("d") < names.index("d/" + long) < names.index("d/%s/c" % long)
    a = t.getmember("a")
    eq((a.size, a.mtime, t.extractfile("a").read()), (5, 1234567890, b"hello"))
    eq({k: v.encode(errors="surrogateescape") for k, v in a.pax_headers.items() if "xattr" in k},
       {"SCHILY.xattr.user.note": b"\0\xff=\n", "SCHILY.xattr.security.capability": bytes.fromhex("0100000200200000000000000000000000000000")})
    b = t.getmember("d/b")
    eq((b.uid, b.gid, b.mode, b.mtime, b.size), (3000000000, 3000000001, 0o4711, -5, 0))
    eq((t.getmember("d/hard").islnk(), t.getmember("d/hard").linkname), (True, "a"))
    eq(t.getmember("link").linkname, "/" + "t" * 200)
    eq((t.getmember("null").ischr(), t.getmember("null").devmajor, t.getmember("null").devminor, t.getmember("pipe").isfifo()), (True, 1, 3, True))
    data = t.extractfile("holes").read()
    eq((len(data), data[3 << 20:(3 << 20) + 4], data.count(0)), (50 << 20, b"data", (50 << 20) - 4))
    eq(len(t.extractfile("d/%s/c" % long).read()), 513)
    out = tempfile.mkdtemp(dir=WORK)
    p = subprocess.run(["tar", "-xf", "-", "-C", out, "--xattrs", "--xattrs-include=*"], input=pack(top)[1], stderr=subprocess.PIPE)
    eq(p.returncode, 0)
    eq(os.getxattr(out + "/a", "user.note"), b"\0\xff=\n")
    eq(os.stat(out + "/a").st_ino, os.stat(out + "/d/hard").st_ino)


@test
def pack_is_deterministic_and_reads_back():
    top, _ = tree_of_everything()
    one, two = pack(top)[1], pack(top)[1]
    assert one == two
    r = Run("import", one).ok()
    st = r.lstat("d/b")
    eq((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode), st.st_mtime), (3000000000, 3000000001, 0o4711, -5))
    eq(os.getxattr(r.path("a"), "user.note"), b"\0\xff=\n")
    code, again, _ = pack(r.diff())
    eq((code, len(again)), (0, len(one)))
    assert again == one, "what was unpacked packs to other bytes"


@test
def pack_names_of_every_length():
    top = tempfile.mkdtemp(prefix="tree.", dir=WORK)
    want = set()
    for n in list(range(95, 106)) + list(range(150, 160)) + list(range(250, 262)):
        for first in (1, 99, 100, 101, 154, 155, 156):
            if 0 < n - first - 1 <= 255 and first <= 255:
                d = "%s%s" % (first, "d" * (first - len(str(first))))
                name = d + "/" + "f" * (n - first - 1)
                os.makedirs(top + "/" + d, exist_ok=True)
                with open(top + "/" + name, "w") as f:
                    f.write(name)
                os.makedirs(top + "/" + name + "D"[:255 - (n - first - 1)], exist_ok=True) if n - first - 1 < 255 else None
                want.add(name)
    t = packed(top)
    files = {m.name for m in t if m.isfile()}
    eq(files, want)
    for name in want:
        eq(t.extractfile(name).read().decode(), name)


@test
def pack_of_one_name():
    top, long = tree_of_everything()
    eq(packed(top, "--name", "a", "--as", "x/b").getnames(), ["x/b"])
    eq(sorted(packed(top, "--name", "d", "--as", "e").getnames())[:2], ["e", "e/b"])
    eq(packed(top, "--name", "link", "--as", "l").getmember("l").issym(), True)
    eq(packed(top, "--name", "gone", "--as", "l").getnames(), [])
    eq(len(pack(top, "--name", "gone")[1]), 1024)


@test
def pack_while_somebody_changes_it():
    top = tempfile.mkdtemp(prefix="tree.", dir=WORK)
    secret = tempfile.mkdtemp(prefix="secret.", dir=WORK)
    with open(secret + "/f", "w") as f:
        f.write("SECRET")
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            n += 1
            for i in range(20):
                p = "%s/%d" % (top, i)
                try:
                    if os.path.isdir(p) and not os.path.islink(p):
                        os.rmdir(p)
                    elif os.path.lexists(p):
                        os.unlink(p)
                    k = (n + i) % 5
                    if k == 0:
                        os.symlink(secret, p)
                    elif k == 1:
                        os.mkdir(p)
                    elif k == 2:
                        os.symlink(secret + "/f", p)
                    elif k == 3:
                        os.mkfifo(p)
                    else:
                        with open(p, "w") as f:
                            f.write("x" * (n % 7000))
                except OSError:
                    pass
    t = threading.Thread(target=change)
    t.start()
    try:
        for _ in range(25):
            code, data, last = pack(top)
            assert b"SECRET" not in data
            if code == 0:
                tarfile.open(fileobj=io.BytesIO(data)).getnames()
            else:
                assert "replaced again and again" in last["error"]["message"], last
    finally:
        stop.set()
        t.join()


@test
def root_entry_does_not_change_the_root():
    r = imports(directory("./", mode=0o700, uid=33), entry("f", b"")).ok()
    st = os.stat(r.diff())
    eq((stat.S_IMODE(st.st_mode), st.st_uid, st.st_mtime), (0o755, 0, 1000000000))


@test
def names():
    odd = b"\xff\xfebad".decode(errors="surrogateescape")
    deep = "/".join(["d%d" % i for i in range(100)]) + "/f"
    long = "x" * 255
    for fmt in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        r = imports(entry("ü/é", b"1"), entry(odd, b"2"), entry("./a//b/./c", b"3"), entry("/abs", b"4"), entry(deep, b"5"),
                    entry(long, b"6"), entry("sp ace\nnl", b"7"), fmt=fmt).ok()
        for name, want in (("ü/é", b"1"), (odd, b"2"), ("a/b/c", b"3"), ("abs", b"4"), (deep, b"5"), (long, b"6"), ("sp ace\nnl", b"7")):
            with open(r.path(name), "rb") as f:
                eq(f.read(), want)
        eq(stat.S_IMODE(r.lstat("a/b").st_mode), 0o755)


@test
def sparse_file():
    with tempfile.TemporaryDirectory(dir=WORK) as d:
        with open(d + "/s", "wb") as f:
            f.write(b"begin")
            f.seek(50 << 20)
            f.write(b"end")
            f.truncate(60 << 20)
        for fmt in ("gnu", "pax"):
            data = subprocess.run(["tar", "-C", d, "--format=" + fmt, "-S", "-c", "s"], stdout=subprocess.PIPE, check=True).stdout
            assert len(data) < 1 << 20
            r = Run("import", data).ok()
            st = r.lstat("s")
            eq(st.st_size, 60 << 20)
            assert st.st_blocks * 512 < 1 << 20, "not sparse: %d" % st.st_blocks
            with open(r.path("s"), "rb") as f:
                eq(f.read(5), b"begin")
                f.seek(50 << 20)
                eq(f.read(4), b"end\0")


@test
def compression():
    data = tar(directory("d"), entry("d/f", os.urandom(300000)), entry("g", b"x" * 1000000))
    for name, pack in PACK.items():
        r = Run("import", pack(data)).ok()
        eq(r.result["layers"][0]["diff_id"], digest(data))
        eq(os.path.getsize(r.path("g")), 1000000)
    two = gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + b"\0" * 512
    eq(Run("import", two).ok().result["layers"][0]["diff_id"], digest(data))


@test
def cut_and_flipped():
    data = tar(directory("d"), entry("d/f", os.urandom(100000)), entry("g", b"y" * 100000))
    for name, pack in PACK.items():
        packed = pack(data)
        for cut in (1, 3, 7, 20, len(packed) // 3, len(packed) // 2, len(packed) - (11000 if name == "none" else 5)):
            Run("import", packed[:cut]).fails("invalid")
        if name in ("none", "zstd"):
            continue
        bad = bytearray(packed)
        bad[len(bad) // 2] ^= 4
        Run("import", bytes(bad)).fails("invalid")  # what is noticed first, the tar or the checksum, depends on the format
    # the checksum at the end of gzip alone tells this one
    bad = bytearray(gzip.compress(data, 0))
    bad[len(bad) // 2] ^= 4
    Run("import", bytes(bad)).fails("invalid", "gzip", "incorrect data check")
    Run("import", gzip.compress(data) + b"rubbish").fails("invalid", "gzip")


@test
def not_a_tar():
    Run("import", b"").fails("invalid", "archive is not a tar", "empty")
    Run("import", b"hello world, this is no tar\n" * 100).fails("invalid", "archive is not a tar")
    Run("import", gzip.compress(b"PK\3\4" + b"z" * 5000)).fails("invalid", "archive is not a tar")
    Run("import", b"PK\3\4" + b"z" * 5000).fails("invalid", "archive is not a tar")
    data = bytearray(tar(entry("a", b"1"), entry("b", b"2"), entry("c", b"3")))
    data[1024:1030] = b"\xff" * 6
    Run("import", bytes(data)).fails("invalid", "broken after entry 1", '"a"')
    r = Run("import", b"\0" * 10240).ok()
    eq(os.listdir(r.diff()), [])


@test
def whiteouts():
    r = imports(directory("d"), entry("d/.wh.gone", b""), entry(".wh.top", b""), entry("new/.wh..wh..opq", b""),
                directory("both"), entry("both/x", b"1"), entry(".wh.both", b""),
                entry(".wh.later", b""), directory("later"), entry("later/y", b"2"),
                entry(".wh.implied", b""), entry("implied/z", b"3"),
                entry("file", b"4"), entry(".wh.file", b""), entry(".wh.file2", b""), entry("file2", b"5"),
                entry(".wh..wh.plnk", b""), entry(".wh..wh.orph/q", b""), entry(".wh.twice", b""), entry(".wh.twice", b"")).ok()
    for name in ("d/gone", "top", "twice"):
        assert is_whiteout(r.lstat(name)), name
    for name in ("new", "both", "later", "implied"):
        assert opaque(r.path(name)), name
    assert not opaque(r.path("d"))
    for name, want in (("both/x", "1"), ("later/y", "2"), ("implied/z", "3"), ("file", "4"), ("file2", "5")):
        eq(open(r.path(name)).read(), want)
    left = [f for _, dirs, files in os.walk(r.diff()) for f in dirs + files if f.startswith(".wh.")]
    eq(left, [])
    for name in (".wh.", ".wh..", ".wh...", "d/.wh...", ".wh.x/y"):
        imports(entry(name, b"")).fails("invalid", "whiteout")


@test
def replacing():
    r = imports(entry("a", b"file"), directory("a"), entry("a/in", b"1"),
                directory("b"), entry("b/deep/er", b"x"), entry("b", b"now a file"),
                symlink("c", "a"), entry("c", b"plain"),
                symlink("d", "a"), directory("d", mode=0o700), entry("d/in2", b"2"),
                directory("e", mode=0o700), entry("e/keep", b"k"), directory("e", mode=0o711),
                entry("f", b"f"), hardlink("g", "f"), entry("g", b"own"),
                entry("h", b"h"), symlink("h", "a"), entry("i", b"1"), hardlink("i", "i"), hardlink("i", "f"),
                symlink("j", "a"), entry("j/via", b"v")).ok()
    eq(sorted(os.listdir(r.path("a"))), ["in", "via"])
    eq(open(r.path("b")).read(), "now a file")
    assert stat.S_ISREG(r.lstat("c").st_mode) and stat.S_ISDIR(r.lstat("d").st_mode)
    eq(os.listdir(r.path("d")), ["in2"])
    eq((stat.S_IMODE(r.lstat("e").st_mode), os.listdir(r.path("e"))), (0o711, ["keep"]))
    eq((open(r.path("f")).read(), open(r.path("g")).read()), ("f", "own"))
    eq(os.readlink(r.path("h")), "a")
    eq(r.lstat("i").st_ino, r.lstat("f").st_ino)
    # the directory a name led through is replaced: the next name with the same parent goes to the new place
    r = imports(directory("x"), entry("x/one", b"1"), directory("y"), entry("x/two", b"2"), symlink("x", "y"), entry("x/three", b"3")).ok()
    eq(os.listdir(r.path("y")), ["three"])
    # a device or an earlier file where a directory is needed
    imports(entry("p", b"file"), entry("p/q", b"")).fails("invalid", "p", "Not a directory")


@test
def nothing_leads_out():
    canary = WORK + "/canary"
    os.makedirs(canary + "/etc", exist_ok=True)
    with open(canary + "/etc/passwd", "w") as f:
        f.write("safe")
    host = open("/etc/passwd").read()
    up = "../" * 12
    for bad in ("../x", "a/../../x", "..", "a/..", up + "etc/passwd", "/.."):
        imports(entry(bad, b"evil")).fails("invalid", "..")
        imports(directory(bad)).fails("invalid", "..")
        imports(symlink(bad, "x")).fails("invalid", "..")
        imports(entry("t", b""), hardlink(bad, "t")).fails("invalid", "..")
        imports(hardlink("t", bad)).fails("invalid", "..")
    # links to everywhere, then writing through them: it lands inside or fails
    for target in ("/", "/etc", up + "etc", canary + "/etc", up + canary[1:] + "/etc"):
        r = imports(directory("etc"), symlink("l", target), entry("l/passwd", b"evil"))
        if r.code == 0:
            inside = [os.path.join(d, f) for d, _, files in os.walk(r.diff()) for f in files if f == "passwd"]
            eq(len(inside), 1)
        else:
            r.fails("invalid")
        r = imports(symlink("l", target), hardlink("h", "l"), entry("h", b"evil"), entry("l", b"evil")).ok()
        eq((open(r.path("h")).read(), open(r.path("l")).read()), ("evil", "evil"))
        imports(symlink("l", target), hardlink("h", "l/passwd")).fails("invalid", "hard link")
    for target in ("/etc/passwd", "etc/passwd", "nothing", ".", "/"):
        imports(hardlink("h", target)).fails("invalid", "hard link")
    imports(directory("d"), hardlink("h", "d")).fails("invalid", "directory")
    imports(entry(".wh.w", b""), hardlink("h", "w")).fails("invalid", "whiteout")
    # a chain of links, a loop
    r = imports(directory("a"), symlink("s1", "a"), symlink("s2", "s1"), symlink("s3", "/s2/../s2"), entry("s3/f", b"1")).ok()
    eq(os.listdir(r.path("a")), ["f"])
    imports(symlink("l", "l"), entry("l/x", b"")).fails("invalid", "symbolic links")
    imports(symlink("l", "gone"), entry("l/x", b"")).fails("invalid", "Not a directory")
    imports(symlink("proc", "/proc/self/root"), entry("proc/x", b"")).fails("invalid")
    eq(open(canary + "/etc/passwd").read(), "safe")
    eq(open("/etc/passwd").read(), host)


@test
def odd_values():
    imports(entry("x" * 256, b"")).fails("invalid", "255 bytes")
    imports(entry("/".join(["y" * 200] * 30), b"")).fails("invalid", "too long")
    imports(entry("/".join("z" * 300), b"")).fails("invalid", "too many directories")
    imports(symlink("l", "t" * 5000)).fails("invalid", "too long")
    imports(entry("u", b"", pax_headers={"uid": "4294967295"})).fails("invalid", "owner")
    imports(entry("u", b"", pax_headers={"uid": "-1"})).fails("invalid")
    imports(entry("u", b"", pax_headers={"gid": "99999999999"})).fails("invalid", "owner")
    imports(entry("x", b"", pax_headers={"SCHILY.xattr.security.capability": "broken"})).fails("invalid", "extended attribute")
    imports(entry("x", b"", pax_headers={"SCHILY.xattr.user.a%d" % i: "v" for i in range(65)})).fails("invalid", "too many")
    imports(entry(".", b"evil")).fails("invalid", "root")
    # a name with a NUL in it ends there
    r = Run("import", tar(entry("aaaa", b"1", pax_headers={"path": "good\0/../../evil"})))
    assert r.code == 1 or os.listdir(r.diff()) == ["good"], r.lines
    # a huge size with nothing behind it
    imports(entry("big", None, size=1 << 40)).fails("too_large", "too large")
    data = bytearray(tar(entry("big", None, size=1 << 33)))
    Run("import", bytes(data)).fails("invalid", "broken")
    # many of each: devices, links, small files
    many = [entry("dev/%d" % i, type=tarfile.BLKTYPE, devmajor=i % 4096, devminor=i) for i in range(3000)]
    many += [entry("f%d" % i, b"") for i in range(3000)] + [hardlink("h%d" % i, "f0") for i in range(3000)]
    r = imports(*many).ok()
    eq(r.lstat("f0").st_nlink, 3001)


@test
def full_disk():
    small = WORK + "/small"
    os.makedirs(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=200", "none", small], check=True)
    for entries in ([entry("big", b"x" * (4 << 20))], [entry("f%d" % i, b"") for i in range(500)]):
        r = Run("import", tar(*entries), root=small)
        r.fails("internal", "no space left on device")
    Run("load", docker_save([tar(entry("big", b"x" * (2 << 20)))]), root=small).fails("internal", "no space left on device")
    # at every size until it fits: an error that says so, and nothing left
    layer = tar(directory("d", pax_headers={"SCHILY.xattr.user.x": "v" * 3000}), *[entry("d/f%d" % i, b"x" * 5000) for i in range(12)],
                entry("d/.wh.y", b""), symlink("l", "d"), directory("e"))
    for verb, data in (("import", layer), ("load", docker_save([layer, L2]))):
        for what in ("size=%dk", "size=1m,nr_inodes=%d"):
            fitted = failed = 0
            for n in range(5, 400, 1 if "inodes" in what else 4):
                subprocess.run(["mount", "-o", "remount," + what % n, small], check=True)
                r = Run(verb, data, root=small)
                if r.code == 0:
                    fitted += 1
                    subprocess.run(["rm", "-rf", r.dir], check=True)
                    break
                r.fails("internal", "o space left on device")
                failed += 1
            assert fitted and failed > 5, (verb, what, fitted, failed)
            subprocess.run(["mount", "-o", "remount,size=1m,nr_inodes=1000", small], check=True)


@test
def import_config():
    r = Run("import", tar(entry("f", b"1")), "--repo-tag", "docker.io/library/alpine", "--message", "hello",
            "--change", "CMD [\"sh\", \"-l\"]", "--change", "ENV A=1 B=\"two words\"", "--change", "ENV C $A-${B}",
            "--change", "EXPOSE 80 53/udp", "--change", "LABEL a=b", "--change", "WORKDIR /srv", "--change", "WORKDIR data",
            "--change", "USER web", "--change", "VOLUME /v", "--change", "STOPSIGNAL SIGINT", "--change", "ENTRYPOINT echo hi",
            "--platform", "linux/arm64").ok()
    im = r.result["images"][0]
    eq(im["tags"], ["alpine:latest"])
    eq(im["id"], hashlib.sha256(im["config"].encode()).hexdigest())
    eq(im["diff_ids"], [r.result["layers"][0]["diff_id"]])
    c = json.loads(im["config"])
    eq((c["architecture"], c["os"], c["comment"], c["rootfs"]), ("arm64", "linux", "hello", {"type": "layers", "diff_ids": im["diff_ids"]}))
    eq(c["history"], [{"created": c["created"], "comment": "hello"}])
    k = c["config"]
    eq((k["Cmd"], k["Entrypoint"], k["Env"]), (["sh", "-l"], ["/bin/sh", "-c", "echo hi"], ["A=1", "B=two words", "C=1-two words"]))
    eq((k["ExposedPorts"], k["Labels"], k["WorkingDir"], k["User"]), ({"80/tcp": {}, "53/udp": {}}, {"a": "b"}, "/srv/data", "web"))
    eq((k["Volumes"], k["StopSignal"]), ({"/v": {}}, "SIGINT"))
    c = json.loads(Run("import", tar()).ok().result["images"][0]["config"])
    eq((c["comment"], c["config"]["Cmd"], c["config"]["Labels"]), ("Imported from -", None, None))
    for change, words in (("FOO bar", "unknown instruction: FOO"), ("RUN ls", "RUN is not a valid change command"), ("ENV", "ENV requires at least one")):
        r = Run("import", tar(), "--change", change)
        eq((r.code, r.error["kind"]), (1, "invalid"))
        assert words in r.error["message"], r.error
    r = Run("import", tar(), "--repo-tag", "UPPER")
    eq((r.code, r.error["kind"], r.error["message"]), (1, "invalid", "invalid reference format: repository name (library/UPPER) must be lowercase"))
    eq(Run("import", tar(), "--platform", "windows/amd64").error["kind"], "invalid")


@test
def load_docker_save():
    for pack in PACK.values():
        for outer in (bytes, gzip.compress):
            for order in (None, lambda f: f[::-1]):
                r = Run("load", outer(docker_save([L1, L2, L1], tags=["docker.io/library/x:1", "y"], pack=pack, order=order))).ok()
                im, = r.result["images"]
                eq((im["tags"], im["diff_ids"]), (["x:1", "y:latest"], [digest(L1), digest(L2), digest(L1)]))
                eq([(x["diff_id"], x["size"]) for x in r.result["layers"]], [(digest(L1), 5), (digest(L2), 3)])
                assert is_whiteout(os.lstat(r.path("a/b", 1)))
                eq(sorted(os.listdir(r.dir)), sorted(x["dir"] for x in r.result["layers"]))
    progress = [x for x in r.lines if x.get("status") == "Loading layer"]
    assert progress and len(progress[0]["id"]) == 12 and progress[0]["progressDetail"]["total"] > 0, r.lines
    assert Run("load", docker_save([L1], tags=[])).ok().result["images"][0]["tags"] == []


@test
def load_have():
    have = WORK + "/have"
    with open(have, "w") as f:
        f.write(digest(L1) + "\n" + digest(b"other") + "\n")
    r = Run("load", docker_save([L1, L2]), "--have", have).ok()
    eq([x["diff_id"] for x in r.result["layers"]], [digest(L2)])
    eq(r.result["images"][0]["diff_ids"], [digest(L1), digest(L2)])
    # a layer that is there already is verified all the same
    conf = config([L1])
    Run("load", docker_save([L2], conf=conf), "--have", have).fails("invalid", "digest")


def layout(fill):
    x = Layout()
    fill(x)
    return x


@test
def load_layout():
    name = {"annotations": {"io.containerd.image.name": "docker.io/library/bb:1", "org.opencontainers.image.ref.name": "1"}}
    amd, arm = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}
    if os.uname().machine == "aarch64":
        amd, arm = arm, amd
    lay = Layout()
    lay.index = [lay.nested([lay.image([L1, L2], platform=arm), lay.image([L1], platform=amd),
                             lay.image([L2], platform={"os": "unknown", "architecture": "unknown"})], **name),
                 lay.image([L2], annotations={"org.opencontainers.image.ref.name": "quay.io/q/w:2"}),
                 lay.image([L1, L1], annotations={"org.opencontainers.image.ref.name": "latest"})]
    for order in (lambda f: f, lambda f: f[::-1]):
        for outer in (bytes, lzma.compress):
            r = Run("load", outer(lay.tar(order))).ok()
            eq([x["tags"] for x in r.result["images"]], [["bb:1"], ["quay.io/q/w:2"], []])
            eq(r.result["images"][0]["diff_ids"], [digest(L1)])
            eq({x["diff_id"] for x in r.result["layers"]}, {digest(L1), digest(L2)})
    # the same name for two platforms, flat
    lay = Layout()
    lay.index = [lay.image([L1], platform=arm, **name), lay.image([L2], platform=amd, **name)]
    r = Run("load", lay.tar()).ok()
    eq([(x["tags"], x["diff_ids"]) for x in r.result["images"]], [(["bb:1"], [digest(L2)])])
    # another one than this machine's, when it is asked for
    lay = Layout()
    lay.index = [lay.image([L1], conf=config([L1], architecture=arm["architecture"]), platform=arm, **name), lay.image([L2], conf=config([L2], architecture=amd["architecture"]), platform=amd, **name)]
    r = Run("load", lay.tar(), "--platform", "linux/" + arm["architecture"]).ok()
    eq([x["diff_ids"] for x in r.result["images"]], [[digest(L1)]])
    Run("load", lay.tar(), "--platform", "linux/riscv64").fails("invalid", "no image for platform linux/riscv64")
    # none for this machine
    lay = Layout()
    lay.index = [lay.nested([lay.image([L1], platform={"os": "linux", "architecture": "s390x"}),
                             lay.image([L2], platform={"os": "linux", "architecture": "ppc64le"})], **name)]
    Run("load", lay.tar()).fails("invalid", "no image for platform", "linux/s390x, linux/ppc64le")
    # one only: taken, whatever it is for
    lay = Layout()
    lay.index = [lay.image([L1], platform={"os": "linux", "architecture": "s390x"}, **name)]
    Run("load", lay.tar()).ok()


@test
def load_shared():
    """Two images with a layer in common, one of them under two names."""
    c1, c2 = config([L1]), config([L1, L2])
    files = [entry("l1.tar", L1), entry("l2.tar", L2), entry("c1.json", c1), entry("c2.json", c2),
             entry("manifest.json", json.dumps([
                 {"Config": "c1.json", "RepoTags": ["a:1"], "Layers": ["l1.tar"]},
                 {"Config": "c2.json", "RepoTags": ["b:1"], "Layers": ["l1.tar", "l2.tar"]},
                 {"Config": "c1.json", "RepoTags": ["a:2", "a:1"], "Layers": ["l1.tar"]}]).encode())]
    r = Run("load", tar(*files)).ok()
    eq([x["tags"] for x in r.result["images"]], [["a:1", "a:2"], ["b:1"]])
    eq(len(r.result["layers"]), 2)


@test
def load_lies():
    bad = lambda m: docker_save([L1], manifest=m)  # noqa: E731
    Run("load", docker_save([L1], conf=config([L2]))).fails("invalid", digest(L1), digest(L2))
    Run("load", docker_save([L1], conf=config([L1, L2]))).fails("invalid", "layers length mismatch")
    Run("load", docker_save([L1], conf=b"{}")).fails("invalid", "diff_ids")
    Run("load", docker_save([L1], conf=b"[1]")).fails("invalid", "configuration")
    Run("load", docker_save([L1], conf=config([L1], os="windows"))).fails("invalid", "windows")
    Run("load", docker_save([L1], tags=["UPPER:x"])).fails("invalid", "invalid tag")
    Run("load", bad({})).fails("invalid", "manifest.json")
    Run("load", bad([])).fails("invalid", "no image")
    Run("load", bad([{"Config": "gone.json", "Layers": []}])).fails("invalid", "gone.json", "not in the archive")
    Run("load", bad([{"Config": "../../etc/passwd", "Layers": []}])).fails("invalid", "not in the archive")
    Run("load", bad([{"Config": "/etc/passwd", "Layers": []}])).fails("invalid", "not in the archive")
    Run("load", tar(entry("manifest.json", b'[{"Config":'))).fails("invalid", "JSON")
    Run("load", tar(entry("manifest.json", b" " * ((4 << 20) + 1)))).fails("too_large", "manifest.json")
    Run("load", tar(symlink("manifest.json", "manifest.json"))).fails("invalid", "neither")
    Run("load", tar(symlink("manifest.json", "../../etc/passwd"))).fails("invalid", "out of the archive")
    Run("load", tar(symlink("manifest.json", "/etc/passwd"))).fails("invalid", "neither")
    Run("load", tar(entry("../x", b""))).fails("invalid", "..")
    Run("load", tar(entry("f", b""))).fails("invalid", "not a saved image")
    Run("load", tar(*[entry("f%d" % i, b"") for i in range(20001)])).fails("too_large", "20000")
    Run("load", b"").fails("invalid", "archive is not a tar", "empty")
    Run("load", docker_save([b"this is no tar" * 100])).fails("invalid", "layer", "not a tar")
    Run("load", docker_save([tar(entry("../../out", b"evil"))])).fails("invalid", "..")
    whole = docker_save([L1, L2])
    for cut in (700, len(whole) // 2, len(whole) - 11000):
        Run("load", whole[:cut]).fails("invalid")
    lay = Layout()
    lay.index = [lay.image([L1])]
    for d in list(lay.blobs):
        good = lay.blobs[d]
        lay.blobs[d] = good + b" "
        Run("load", lay.tar()).fails("invalid", "does not match its name")
        del lay.blobs[d]
        Run("load", lay.tar()).fails("invalid", "not in the archive")
        lay.blobs[d] = good
    lay.index = [lay.image([L1], conf=config([L2]))]
    Run("load", lay.tar()).fails("invalid", digest(L2))
    lay.index = [{"mediaType": "x", "digest": "sha256:../../../etc/passwd", "size": 1}]
    Run("load", lay.tar()).fails("invalid", "not a sha256 digest")
    lay.index = [lay.image([L1])]
    for _ in range(6):
        lay.index = [lay.nested(lay.index)]
    Run("load", lay.tar()).fails("invalid", "nested too deeply")
    # OCI calls anything an artifact: only images are loaded
    lay = Layout()
    m = {"schemaVersion": 2, "config": lay.blob(b"{}", "application/vnd.oci.empty.v1+json"), "layers": []}
    lay.index = [lay.blob(json.dumps(m).encode(), "application/vnd.oci.image.manifest.v1+json")]
    Run("load", lay.tar()).fails("invalid", "not a container image")


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@test
def confinement():
    root = tempfile.mkdtemp(prefix="job.", dir=WORK)
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.dup2(secret, 77)  # a descriptor that the parent forgot
    r, w = os.pipe()
    p = start("import", w, root=root, stdin=subprocess.PIPE)
    os.close(w)
    os.close(secret)
    os.close(77)
    deadline = time.monotonic() + 60
    while status_of(p.pid).get("Seccomp") != "2":
        assert time.monotonic() < deadline, "never confined"
        time.sleep(0.01)
    st = status_of(p.pid)
    want = sum(1 << c for c in (0, 1, 3, 4, 21, 27, 31))
    eq([int(st[k], 16) for k in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")], [want, want, want, 0, 0])
    eq(st["NoNewPrivs"], "1")
    proc = "/proc/%d" % p.pid
    for ns in ("mnt", "net", "ipc", "uts"):
        assert os.readlink("%s/ns/%s" % (proc, ns)) != os.readlink("/proc/self/ns/" + ns), ns
    mounts = open(proc + "/mountinfo").read().splitlines()
    eq(len(mounts), 1)
    for flag in ("nosuid", "nodev", "noexec"):
        assert flag in mounts[0], mounts
    assert not os.path.exists(proc + "/root/etc"), "the old root is visible"
    fds = {int(x): os.readlink("%s/fd/%s" % (proc, x)) for x in os.listdir(proc + "/fd")}
    assert set(fds) <= {0, 1, 2, 3, 4, 5, 6}, fds
    assert not any(v.startswith("/etc") for v in fds.values()), fds
    p.stdin.write(tar(entry("f", b"1")))
    p.stdin.close()
    with os.fdopen(r) as report:
        assert "result" in report.read()
    eq(p.wait(), 0)
    p.stderr.close()


@test
def nobody_listens():
    root = tempfile.mkdtemp(prefix="job.", dir=WORK)
    r, w = os.pipe()
    p = start("import", w, root=root, stdin=subprocess.PIPE)
    os.close(w)
    os.close(r)
    feed(p.stdin, tar(entry("f", b"1" * 3000000)))
    eq(p.wait(), 1)
    p.stderr.close()
    eq(os.listdir(root + "/tmp/j"), [])


@test
def command_line():
    def run(*args, report=True):
        r = subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return r.returncode, r.stderr.decode()
    for args in ([], ["eat"], ["import"], ["import", "--root", "/x"], ["load", "--root", "/x", "--job", "a/b"], ["load", "--root", "/x", "--job", "..", ],
                 ["load", "--root", "/x", "--job", "j", "--change", "CMD x"], ["import", "--root", "/x", "--job", "j", "extra"]):
        code, text = run(*args)
        eq(code, 2)
        assert "usage:" in text, text
    code, text = run("import", "--root", WORK, "--job", "j")
    eq(code, 2)
    assert "descriptor 3" in text, text


def main():
    global WORK
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    if "PONTOON_TEST_NS" not in os.environ:
        os.environ["PONTOON_TEST_NS"] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
    only = sys.argv[2:]
    failed = 0
    # not below /tmp when that is a tmpfs: owners and attributes must be those of a disk
    with tempfile.TemporaryDirectory(prefix="pontoon-image.", dir="/var/tmp") as WORK:
        print("1..%d" % len(TESTS))
        for i, f in enumerate(TESTS, 1):
            if only and f.__name__ not in only:
                print("ok %d - %s # SKIP not asked for" % (i, f.__name__))
                continue
            try:
                f()
                print("ok %d - %s" % (i, f.__name__), flush=True)
            except Exception:
                failed += 1
                for line in traceback.format_exc().splitlines():
                    print("# " + line)
                print("not ok %d - %s" % (i, f.__name__), flush=True)
        subprocess.run(["umount", WORK + "/small"], stderr=subprocess.DEVNULL, check=False)
    return failed != 0


WORK = ""
sys.exit(main())
