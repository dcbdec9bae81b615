"""cp both ways, diff, export: running and stopped containers, volumes and binds, and containers that attack the copying."""
import base64
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
import time

import pytest

from conftest import LAB, QUICK, wait_until


@pytest.fixture
def files(tmp_path):
    d = tmp_path / "src"
    (d / "sub/deep").mkdir(parents=True)
    (d / "f").write_text("content\n")
    (d / "sub/g").write_text("g\n")
    (d / "link").symlink_to("f")
    os.chmod(d / "f", 0o640)
    os.chown(d / "sub/g", 1234, 4321)
    return d


def tar_of(**files):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for name, data in files.items():
            i = tarfile.TarInfo(name)
            if data is None:
                i.type, i.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(data, tuple):
                i.type, i.linkname = tarfile.SYMTYPE, data[0]
            else:
                i.size = len(data)
            t.addfile(i, io.BytesIO(data) if isinstance(data, bytes) else None)
    return b.getvalue()


def put(d, c, path, data, more=""):
    return d.api("PUT", f"/containers/{c}/archive?path={path}{more}", data, {"Content-Type": "application/x-tar"})


def stat(d, c, path):
    status, _ = d.api("HEAD", f"/containers/{c}/archive?path={path}")
    return json.loads(base64.b64decode(d.headers["X-Docker-Container-Path-Stat"])) if status == 200 else status


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return {m.name: m for m in t}


def test_copy_in_and_out(cli, files, tmp_path):
    cli.out("run", "-d", "--name", "cc", "-v", "cpvol:/vol", "-v", f"{files}:/bind:ro", "alpine", "sleep", "1h")
    for where in ("/tmp", "/vol"):
        cli.out("cp", str(files), f"cc:{where}")
        cli.out("cp", str(files / "f"), f"cc:{where}/renamed,x&y")
        cli.out("cp", f"{files}/.", f"cc:{where}/src/sub")
        cli.out("cp", str(files), f"cc:{where}/fresh")
        out = cli.out("exec", "cc", "sh", "-c", f"cd {where}; cat src/f 'renamed,x&y' src/sub/f fresh/sub/g; readlink src/link; stat -c '%a %u:%g' src/f src/sub/g").split()
        assert out == ["content", "content", "content", "g", "f", "640", "0:0", "644", "1234:4321"]
    cli.out("cp", "cc:/vol/src", str(tmp_path / "back"))
    assert (tmp_path / "back/sub/g").read_text() == "g\n" and os.readlink(tmp_path / "back/link") == "f" and (tmp_path / "back/f").stat().st_mode & 0o777 == 0o640
    (tmp_path / "dir").mkdir()
    cli.out("cp", "cc:/vol/src/f", str(tmp_path / "dir"))
    cli.out("cp", "cc:/vol/src/f", str(tmp_path / "dir/other"))
    cli.out("cp", "-L", "cc:/vol/src/link", str(tmp_path / "dir"))
    cli.out("cp", "cc:/vol/src/.", str(tmp_path / "inside"))
    assert [(tmp_path / p).read_text() for p in ("dir/f", "dir/other", "dir/link", "inside/f")] == ["content\n"] * 4 and not (tmp_path / "dir/link").is_symlink()
    assert cli("cp", "cc:/bind/f", "-", stdin=b"").out[:1] == b"f"
    assert "read-only" in cli("cp", str(files / "f"), "cc:/bind/new", ok=False).err
    for bad in (("cc:/none-such", str(tmp_path / "x")), (str(files / "f"), "cc:/none-such/dir/f"), (str(files), "cc:/etc/passwd"), ("no-such:/x", "-"), (str(files / "f"), "cc:/etc/passwd/"), (str(files / "f"), "no-such:"), ("cc:/etc/passwd", str(tmp_path / "none/x")), (str(tmp_path / "none"), "cc:/tmp")):
        assert cli("cp", *bad, ok=False).err
    assert not (tmp_path / "x").exists()
    data = tar_of(piped=b"p")
    assert cli("cp", "-", "cc:/tmp", stdin=data).rc == 0 and cli.out("exec", "cc", "cat", "/tmp/piped") == "p"


def test_names_are_kept(cli, tmp_path):
    odd = ["a.b.c", "x*y", "[z]", "q^w$", "s;t", "a\\nb", "\\1", "u,v&w", "-n", "h\u00e9", "long" * 40]
    cli.out("create", "--name", "on", "alpine", "true")
    for name in odd:
        (tmp_path / name).write_text(name)
        cli.out("cp", str(tmp_path / name), "on:/root/z.z")
        cli.out("cp", str(tmp_path / name), f"on:/home/{name}")
        cli.out("cp", f"on:/home/{name}", str(tmp_path / "back"))
        assert (tmp_path / "back").read_text() == name
    (tmp_path / "dir.d/sub").mkdir(parents=True)
    cli.out("cp", str(tmp_path / "dir.d"), "on:/home/to.d")
    out = names(cli("cp", "on:/home", "-", stdin=b"").out)
    assert {n: m.size for n, m in out.items() if m.isfile()} == {f"home/{n}": len(n.encode()) for n in odd} and "home/to.d/sub" in out
    (tmp_path / "link").symlink_to("/home/" + odd[-1])
    cli.out("cp", str(tmp_path / "link"), "on:/root/link")
    cli.out("cp", "-L", "on:/root/link", str(tmp_path / "followed"))
    cli.out("cp", "on:/home", str(tmp_path / "whole"))
    assert (tmp_path / "followed").read_text() == odd[-1] and (tmp_path / "whole" / odd[-1]).read_text() == odd[-1]
    assert list(names(cli("cp", "on:/root/.", "-", stdin=b"").out)) == [".", "./link", "./z.z"]


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_half_an_archive_is_none(any_cli, daemon, framing):
    """The client goes between two files: what has come looks whole."""
    any_cli.out("create", "--name", "half", "alpine", "true")
    jobs = daemon.dir / "d/image/tmp"
    data = tar_of(one=b"1" * 5000, two=b"2" * 5000)[:512 + 5120]
    since = time.time()
    for method, path in (("POST", "/images/create?fromSrc=-&repo=half&tag=cut"), ("PUT", "/containers/half/archive?path=/tmp")):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(daemon.sock))
            head, body = ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(data), data)) if framing == "chunked" else (f"Content-Length: {len(data) + 1}", data)
            s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\n{head}\r\n\r\n".encode() + body)
            assert wait_until(lambda: os.listdir(jobs))
        assert wait_until(lambda: not os.listdir(jobs))
    assert put(daemon, "half", "/tmp", tar_of(last=b""))[0] == 200
    events = any_cli.out("events", "--since", str(since), "--until", str(time.time()), "--format", "{{.Action}}").split()
    assert [a for a in events if a in ("import", "tag", "extract-to-dir")] == ["extract-to-dir"] and any_cli.out("images", "-q", "half") == ""


def test_the_root_of_a_container(cli, daemon, tmp_path):
    """Its name is "/", also where a path comes back to it: that is what clients put the target's name in place of."""
    cli.out("create", "--name", "rr", "alpine", "true")
    for path in ("/", "//", "/tmp/..", "/etc/../tmp/../.."):
        cli.out("cp", f"rr:{path}", str(tmp_path / "new"))
        assert os.listdir(tmp_path) == ["new"] and (tmp_path / "new/etc/passwd").is_file() and os.readlink(tmp_path / "new/bin/sh") == "busybox", path
        subprocess.run(["rm", "-r", tmp_path / "new"], check=True)
    for path, name, entry in (("/", "/", "/etc/passwd"), ("/tmp/..", "/", "/etc/passwd"), ("..", "/", "/etc/passwd"), ("/.", ".", "./etc/passwd"), ("/bin/..//etc/./", "etc", "etc/passwd"), ("/etc/new/..", 404, None)):
        found = stat(daemon, "rr", path)
        assert found == 404 if name == 404 else found["name"] == name and entry in names(daemon.api("GET", f"/containers/rr/archive?path={path}")[1]), (path, found)


def test_mounts_are_not_replaced(cli, files, daemon):
    """A container's own files are mounts: replaced, they would go from under the running container, and its network could no longer write them."""
    cli.out("run", "-d", "--name", "mm", "-v", f"{files}/f:/etc/one", "-v", "mmvol:/vol", "alpine", "sh", "-c", "echo v >/vol/v; sleep 1h")
    before = cli.out("exec", "mm", "cat", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/one", "/proc/mounts")
    for name in ("hosts", "resolv.conf", "hostname", "one"):
        r = cli("cp", str(files / "f"), f"mm:/etc/{name}")
        assert r.rc == 1 and f"etc/{name}" in r.err and "busy" in r.err, r
    for data in (tar_of(vol=b"x"), tar_of(vol=("/etc",))):
        status, answer = put(daemon, "mm", "/", data)
        assert status == 500 and "vol" in answer["message"] and "busy" in answer["message"], answer
    assert cli.out("exec", "mm", "cat", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/one", "/proc/mounts") == before and cli.out("exec", "mm", "cat", "/vol/v") == "v"
    cli.out("cp", str(files), "mm:/etc/new")
    assert cli.out("exec", "mm", "cat", "/etc/new/f") == "content"


def test_stopped_containers(cli, files, daemon):
    cli.out("create", "--name", "cs", "-v", "csvol:/vol", "alpine", "cat", "/root/f", "/vol/f")
    cli.out("cp", str(files / "f"), "cs:/root/")
    cli.out("cp", str(files / "f"), "cs:/vol/")
    assert names(cli("cp", "cs:/vol", "-", stdin=b"").out)["vol/f"].size == 8
    assert not [l for l in open("/proc/mounts") if str(daemon.dir) in l and "/merged" in l], "nothing stays mounted"
    assert cli.out("start", "-a", "cs").split() == ["content", "content"]
    assert cli.out("diff", "cs").splitlines()[:2] == ["C /root", "A /root/f"]
    cli.out("create", "--name", "ro", "--read-only", "-v", "csvol:/vol", "alpine", "true")
    assert "container rootfs is marked read-only" in cli("cp", str(files / "f"), "ro:/root/", ok=False).err
    cli.out("cp", str(files / "f"), "ro:/vol/again")
    cli.out("rm", "cs", "ro")


def test_diff_and_export(cli):
    cli.out("run", "-d", "--name", "dd", "-v", "ddvol:/vol", "alpine", "sh", "-c",
            "rm /etc/passwd; echo x >/etc/group; mkdir /new; touch /new/a /vol/v; rm -r /home; rm -r /usr; mkdir -p /usr/sbin; mknod /new/p p; sleep 1h")
    assert wait_until(lambda: "A /new/p" in cli.out("diff", "dd"))
    assert cli.out("diff", "dd").splitlines() == ["C /etc", "C /etc/group", "D /etc/passwd", "D /home", "A /new", "A /new/a", "A /new/p", "C /usr", "A /usr/sbin", "D /usr/bin", "A /vol"]
    out = names(cli("export", "dd", stdin=b"").out)
    assert {"bin/busybox", "etc/group", "new/a", "new/p", "usr/sbin", "vol"} <= set(out) and not {"etc/passwd", "home", "vol/v", "usr/bin"} & set(out)
    assert out["bin/sh"].linkname == "busybox" and out["new/p"].isfifo()
    cli.out("create", "--name", "d2", "alpine", "true")
    assert cli.out("diff", "d2") == "" and "bin/busybox" in names(cli("export", "d2", stdin=b"").out)
    assert "No such container: none" in cli("diff", "none", ok=False).err and "No such container: none" in cli("export", "none", stdin=b"").err.decode()


def test_answers(daemon, any_cli):
    any_cli.out("run", "-d", "--name", "aa", "-u", "user:staff", "alpine", "sleep", "1h")
    s = stat(daemon, "aa", "/etc/passwd")
    assert s == {"name": "passwd", "size": s["size"], "mode": 0o644, "mtime": "1970-01-01T00:00:00Z", "linkTarget": ""} and s["size"] > 50
    assert stat(daemon, "aa", "/bin/sh")["linkTarget"] == "/bin/busybox" and stat(daemon, "aa", "/bin/sh")["mode"] == 0o777 | 1 << 27
    assert stat(daemon, "aa", "/tmp")["mode"] == 0o777 | 1 << 31 | 1 << 20 and stat(daemon, "aa", "/etc/.")["name"] == "." and stat(daemon, "aa", "etc/")["name"] == "etc" and stat(daemon, "aa", "/")["name"] == "/"
    assert stat(daemon, "aa", "/etc/passwd/x") == 400 and stat(daemon, "aa", "/bin/sh/") == 400
    assert daemon.api("GET", "/containers/aa/archive?path=/nope") == (404, {"message": "Could not find the file /nope in container aa"})
    assert daemon.api("GET", "/containers/aa/archive?path=") == (400, {"message": "bad parameter: path cannot be empty"})
    assert daemon.api("GET", "/containers/no/archive?path=/x") == (404, {"message": "No such container: no"})
    assert put(daemon, "aa", "/nope", tar_of(x=b"x")) == (404, {"message": "Could not find the file /nope in container aa"})
    assert put(daemon, "aa", "/etc/passwd", tar_of(x=b"x")) == (400, {"message": "extraction point is not a directory"})
    status, answer = put(daemon, "aa", "/tmp", b"garbage" * 1000)
    assert status == 400 and "tar" in answer["message"]
    assert put(daemon, "aa", "/tmp", tar_of(d=None, f=b"f"))[0] == 200
    assert put(daemon, "aa", "/tmp", tar_of(d=b"file"), "&noOverwriteDirNonDir=1")[0] == 400 and put(daemon, "aa", "/tmp", tar_of(f=None), "&noOverwriteDirNonDir=true")[0] == 400
    assert put(daemon, "aa", "/tmp", tar_of(d=b"file"))[0] == 200 and any_cli.out("exec", "aa", "cat", "/tmp/d") == "file"
    assert put(daemon, "aa", "/tmp", tar_of(**{"own": b"o"}), "&copyUIDGID=1")[0] == 200 and any_cli.out("exec", "aa", "stat", "-c", "%u:%g", "/tmp/own") == "1000:50"
    assert put(daemon, "aa", "/tmp", tar_of(**{".wh.d": b""}))[0] == 200 and any_cli.out("exec", "aa", "ls", "-A", "/tmp").split() == [".wh.d", "d", "f", "own"], "no whiteouts outside of images"
    big = os.urandom(3 << 20)
    assert put(daemon, "aa", "/tmp", tar_of(big=big))[0] == 200
    with tarfile.open(fileobj=io.BytesIO(daemon.api("GET", "/containers/aa/archive?path=/tmp/big")[1])) as t:
        assert t.extractfile("big").read() == big


def test_nothing_leads_out(daemon, any_cli):
    """Links to everywhere, swapped while cp runs: what is read or written is always the container's."""
    secret, target = LAB / "secret", LAB / "outside"
    secret.mkdir(exist_ok=True)
    target.mkdir(exist_ok=True)
    (secret / "file").write_text("HOST SECRET\n")
    script = (f"mkdir -p {secret} /real; echo mine >{secret}/file; echo mine >/real/file; ln -s {target} /out; ln -s / /root/all; "
              f"while :; do ln -sfn {secret} /swap; ln -sfn {target} /dst; rm -f /swap /dst; mkdir /swap /dst; echo mine >/swap/file; usleep 20000; rm -rf /swap /dst; done")
    any_cli.out("run", "-d", "--name", "evil", "alpine", "sh", "-c", script)
    assert wait_until(lambda: stat(daemon, "evil", "/root/all") not in (404,))
    begun, got, wrote = time.monotonic(), 0, 0
    while time.monotonic() < begun + (2 if QUICK else 4) or (not (got and wrote) and time.monotonic() < begun + 60):
        status, data = daemon.api("GET", "/containers/evil/archive?path=/swap/file")
        if status == 200 and isinstance(data, bytes) and data:
            got += 1
            assert b"HOST SECRET" not in data
        status, data = daemon.api("GET", "/containers/evil/archive?path=/swap/.")
        assert status != 200 or b"HOST SECRET" not in data
        wrote += put(daemon, "evil", "/dst", tar_of(**{"pwned": b"x", "in/pwned": b"x"}))[0] == 200
        put(daemon, "evil", "/", tar_of(**{"dst/pwned": b"x"}))
        assert os.listdir(target) == [], "a write left the container"
    assert got and wrote, "the race was never run"
    assert put(daemon, "evil", "/tmp", tar_of(**{"l": (str(target),), "l/x": b"x"}))[0] in (200, 400)
    assert put(daemon, "evil", "/tmp", tar_of(**{"../../../../../../../outside/x": b"x"}))[0] in (200, 400)
    assert os.listdir(target) == [] and daemon.api("GET", "/containers/json")[0] == 200
    assert b"mine" in daemon.api("GET", f"/containers/evil/archive?path={secret}/file")[1], "an absolute path is the container's"
