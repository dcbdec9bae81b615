"""Volumes: named, anonymous, of images, of other containers, mounted ones; what a container puts there cannot lead out."""
import json
import os
import pathlib
import random
import subprocess
import threading
import time

import pytest

from conftest import LAB, QUICK, ROOT, Client, Daemon, programs, wait_until


def import_image(d, tar, name, *changes):
    q = "".join(f"&changes={c.replace(' ', '%20').replace('[', '%5B').replace(']', '%5D').replace(chr(34), '%22').replace('/', '%2F')}" for c in changes)
    status, lines = d.api("POST", f"/images/create?fromSrc=-&repo={name}&tag=latest{q}", pathlib.Path(tar).read_bytes(), {"Content-Type": "application/x-tar"})
    assert status == 200 and b"error" not in (lines if isinstance(lines, bytes) else json.dumps(lines).encode()), lines


@pytest.fixture(scope="module")
def vimage(daemon, tmp_path_factory):
    """An image with content at the places of its volumes."""
    d = tmp_path_factory.mktemp("vimg")
    subprocess.run([str(ROOT / "scripts/busybox-image"), str(d / "bb.tar")], check=True)
    root = d / "root"
    root.mkdir()
    subprocess.run(["tar", "-xpf", str(d / "bb.tar"), "-C", str(root)], check=True)
    (root / "seed/sub/deep").mkdir(parents=True)
    (root / "seed/file").write_text("from the image\n")
    os.chown(root / "seed/file", 1000, 50)
    os.chmod(root / "seed/file", 0o4640)
    os.link(root / "seed/file", root / "seed/sub/again")
    (root / "seed/link").symlink_to("/etc/passwd")
    os.mkfifo(root / "seed/fifo", 0o640)
    os.setxattr(root / "seed/sub", "user.mark", b"x\x00y")
    os.chmod(root / "seed/sub", 0o1777)
    os.utime(root / "seed/sub/deep", (5, 1000000))
    os.chown(root / "seed", 1000, 1000)
    os.chmod(root / "seed", 0o750)
    subprocess.run(["tar", "--xattrs", "-cf", str(d / "bb.tar"), "-C", str(root), "."], check=True)
    import_image(daemon, d / "bb.tar", "vimg", "VOLUME /seed")
    return "vimg"


@pytest.fixture(autouse=True)
def no_volumes(daemon):
    yield
    for c in daemon.api("GET", "/containers/json?all=1")[1]:
        daemon.api("DELETE", f"/containers/{c['Id']}?force=1&v=1")
    for v in daemon.api("GET", "/volumes")[1]["Volumes"]:
        assert daemon.api("DELETE", f"/volumes/{v['Name']}")[0] == 204
    assert os.listdir(daemon.dir / "d/volumes") == []


def data(d, name):
    return d.dir / "d/volumes" / name / "_data"


def test_verbs(daemon, cli):
    assert cli.out("volume", "create", "v1") == "v1"
    assert cli.out("volume", "create", "v1") == "v1"
    assert cli.out("volume", "create", "--label", "a=b", "v2") == "v2"
    assert cli.out("volume", "ls", "-q").split() == ["v1", "v2"]
    assert cli.out("volume", "ls", "--filter", "label=a", "--format", "{{.Name}} {{.Driver}}") == "v2 local"
    assert cli.out("volume", "ls", "-q", "--filter", "name=1") == "v1"
    v = json.loads(cli.out("volume", "inspect", "v2"))[0]
    assert v["Driver"] == "local" and v["Labels"] == {"a": "b"} and v["Scope"] == "local" and v["Mountpoint"] == str(data(daemon, "v2")) and v["CreatedAt"].endswith("Z")
    cli.out("run", "--rm", "-v", "v1:/d", "alpine", "sh", "-c", "echo kept >/d/f")
    assert cli.out("run", "--rm", "-v", "v1:/d:ro", "alpine", "cat", "/d/f") == "kept"
    assert "Read-only file system" in cli("run", "--rm", "-v", "v1:/d:ro", "alpine", "touch", "/d/g").err
    c = cli.out("create", "-v", "v1:/d", "--name", "user", "alpine", "true")
    assert f"remove v1: volume is in use - [{c}]" in cli("volume", "rm", "v1", ok=False).err
    assert cli.out("volume", "ls", "-q", "--filter", "dangling=true") == "v2"
    assert cli.out("ps", "-aq", "--no-trunc", "--filter", "volume=v1") == c
    assert cli.out("ps", "-aq", "--no-trunc", "--filter", "volume=/d") == c
    cli.out("rm", "-v", "user")
    assert cli.out("volume", "ls", "-q").split() == ["v1", "v2"], "rm -v leaves named ones"
    assert cli.out("volume", "rm", "v1", "v2").split() == ["v1", "v2"]
    assert "no such volume" in cli("volume", "rm", "v1", ok=False).err.lower()
    cli.out("volume", "rm", "-f", "v1")
    assert "o such volume: v1" in cli("volume", "inspect", "v1", ok=False).err or "no such volume" in cli("volume", "inspect", "v1", ok=False).err
    long = cli.out("volume", "create")
    assert len(long) == 64
    assert long in cli.out("volume", "prune", "-f")
    assert cli.out("volume", "ls", "-q") == ""


def test_errors(daemon):
    bad = '"%s" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
    for body, status, text in [({"Name": "/x"}, 400, "create /x: " + bad % "/x"), ({"Name": "x"}, 400, "create x: volume name is too short, names should be at least two alphanumeric characters"),
                               ({"Name": "v3", "Driver": "nope"}, 404, 'create v3: error looking up volume plugin nope: plugin "nope" not found'), ({"Name": "v4", "DriverOpts": {"foo": "bar"}}, 400, 'create v4: invalid option: "foo"'),
                               ({"Name": "v4", "DriverOpts": {"o": "bind"}}, 400, 'create v4: missing required option: "device"'), ({"Name": 1}, 400, "Name: expected a string, got a number"),
                               ({"Name": "../../etc"}, 400, "create ../../etc: " + bad % "../../etc")]:
        assert daemon.api("POST", "/volumes/create", body) == (status, {"message": text})
    assert daemon.api("GET", "/volumes/nope") == (404, {"message": "get nope: no such volume"})
    assert daemon.api("DELETE", "/volumes/nope") == (404, {"message": "get nope: no such volume"})
    assert daemon.api("DELETE", "/volumes/nope?force=1")[0] == 204
    assert daemon.api("GET", '/volumes?filters=%7B"zz":["x"]%7D') == (400, {"message": "invalid filter 'zz'"})
    assert daemon.api("GET", '/volumes?filters=%7B"dangling":["zz"]%7D') == (400, {"message": "invalid filter 'dangling=[zz]'"})
    run = {"Image": "alpine", "Cmd": ["true"]}
    for host, status, text in [({"Binds": ["ab c:/x"]}, 400, "create ab c: " + bad % "ab c"), ({"Binds": ["v1:/etc/passwd"]}, 400, "cannot mount volume over existing file, file exists /etc/passwd"),
                               ({"VolumesFrom": ["nope"]}, 400, "No such container: nope"), ({"Binds": ["v:/x:shared"]}, 400, 'invalid volume specification: \'v:/x:shared\': invalid mount config for type "volume": field BindOptions must not be specified')]:
        assert daemon.api("POST", "/containers/create", {**run, "HostConfig": host}) == (status, {"message": text})
    assert daemon.api("GET", "/volumes")[1]["Volumes"] == [], "a refused container leaves no volume"
    assert daemon.api("GET", "/containers/json?all=1")[1] == [] and os.listdir(daemon.dir / "d/containers") == []


def test_copy_up(daemon, cli, vimage):
    cli.out("create", "--name", "c1", "-v", "named:/seed", vimage, "true")
    d = data(daemon, "named")
    st = {n: os.lstat(d / n) for n in ("file", "sub", "sub/again", "link", "fifo", "sub/deep")}
    assert (d / "file").read_text() == "from the image\n" and (st["file"].st_uid, st["file"].st_gid, st["file"].st_mode & 0o7777) == (1000, 50, 0o4640)
    assert st["file"].st_ino == st["sub/again"].st_ino and os.readlink(d / "link") == "/etc/passwd"
    assert st["sub"].st_mode & 0o7777 == 0o1777 and os.getxattr(d / "sub", "user.mark") == b"x\x00y" and st["sub/deep"].st_mtime == 1000000
    assert st["fifo"].st_mode == 0o010640
    assert (d.stat().st_uid, d.stat().st_mode & 0o7777) == (1000, 0o750)
    (d / "file").write_text("changed\n")
    assert cli.out("run", "--rm", "-v", "named:/seed", vimage, "cat", "/seed/file") == "changed", "what is not empty stays"
    assert cli.out("run", "--rm", "-v", "empty:/seed:nocopy", vimage, "ls", "-A", "/seed") == ""
    assert cli.out("run", "--rm", "--mount", "type=volume,src=empty2,dst=/seed,volume-nocopy", vimage, "ls", "-A", "/seed") == ""
    assert cli.out("run", "--rm", "--mount", "type=volume,src=named,dst=/x,readonly,volume-label=q=r", vimage, "cat", "/x/file") == "changed"


def test_anonymous(daemon, cli, vimage):
    cli.out("run", "--rm", "-v", "/more", vimage, "sh", "-c", "cat /seed/file >/more/copy")
    assert wait_until(lambda: cli.out("volume", "ls", "-q") == ""), "--rm takes them along"
    cli.out("run", "--name", "c1", "-v", "/more", vimage, "touch", "/more/here")
    mounts = {m["Destination"]: m for m in json.loads(cli.out("inspect", "-f", "{{json .Mounts}}", "c1"))}
    assert sorted(mounts) == ["/more", "/seed"] and all(m["Type"] == "volume" and len(m["Name"]) == 64 and m["RW"] and m["Driver"] == "local" for m in mounts.values())
    assert mounts["/more"]["Source"] == str(data(daemon, mounts["/more"]["Name"]))
    assert cli.out("run", "--rm", "--volumes-from", "c1", "alpine", "ls", "/more") == "here"
    assert len(cli.out("volume", "ls", "-q").split()) == 2, "they belong to c1 still"
    assert "Read-only" in cli("run", "--rm", "--volumes-from", "c1:ro", "alpine", "touch", "/more/x").err
    cli.out("rm", "c1")
    assert len(cli.out("volume", "ls", "-q").split()) == 2, "rm without -v leaves them"
    assert len(cli.out("volume", "prune", "-f").splitlines()) == 5 and cli.out("volume", "ls", "-q") == ""
    cli.out("create", "--name", "c2", "-v", "/more", "alpine", "true")
    cli.out("create", "--name", "c3", "--volumes-from", "c2", "alpine", "true")
    cli.out("rm", "-v", "c2")
    assert len(cli.out("volume", "ls", "-q").split()) == 1, "another container has it"
    cli.out("rm", "-v", "c3")
    assert cli.out("volume", "ls", "-q") == ""


def test_prune_by_version(daemon):
    for name in ("one", "two"):
        assert daemon.api("POST", "/volumes/create", {"Name": name, "Labels": {"k": name}})[0] == 201
    anonymous = daemon.api("POST", "/volumes/create", {})[1]
    assert anonymous["Labels"] == {"com.docker.volume.anonymous": ""}
    (data(daemon, anonymous["Name"]) / "f").write_bytes(b"x" * 100000)
    s, r = daemon.api("POST", "/v1.42/volumes/prune")
    assert s == 200 and r["VolumesDeleted"] == [anonymous["Name"]] and r["SpaceReclaimed"] >= 100000
    assert daemon.api("POST", '/v1.42/volumes/prune?filters=%7B"all":["1"],"label":["k=two"]%7D')[1]["VolumesDeleted"] == ["two"]
    assert daemon.api("POST", "/v1.41/volumes/prune")[1]["VolumesDeleted"] == ["one"]


def test_driver_options(daemon, cli):
    host = LAB / "exported"
    host.mkdir(exist_ok=True)
    (host / "f").write_text("host\n")
    cli.out("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", f"device={host}", "bound")
    assert cli.out("run", "--rm", "-v", "bound:/b", "alpine", "cat", "/b/f") == "host"
    assert "Read-only" in cli("run", "--rm", "-v", "bound:/b", "alpine", "touch", "/b/g").err
    cli.out("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=1000", "ram")
    assert cli.out("run", "--rm", "-v", "ram:/r", "alpine", "sh", "-c", "stat -c %u /r; df -k /r | tail -1 | awk '{print $2}'").split() == ["1000", "1024"]
    cli.out("run", "-d", "--name", "aa", "-v", "ram:/r", "alpine", "sh", "-c", "echo shared >/r/f; sleep 1h")
    assert wait_until(lambda: cli("run", "--rm", "-v", "ram:/r", "alpine", "cat", "/r/f").out == "shared\n"), "one file system while it is used"
    assert os.path.ismount(data(daemon, "ram")) and not os.path.ismount(data(daemon, "bound"))
    cli.out("rm", "-f", "aa")
    assert wait_until(lambda: not os.path.ismount(data(daemon, "ram")))
    cli.out("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/none-such", "broken")
    r = cli("run", "--rm", "-v", "broken:/x", "alpine", "true")
    assert r.rc != 0 and f"error while mounting volume '{data(daemon, 'broken')}': failed to mount local volume: mount /none-such:{data(daemon, 'broken')}, flags: 0x1000: No such file or directory" in r.err
    assert (host / "f").exists()


def test_mounts_and_propagation(daemon, cli):
    src = LAB / "propagated"
    src.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "x", str(src)], check=True)
    r = cli("run", "--rm", "-v", f"{src}:/p:rshared", "alpine", "true")
    assert f"path {src} is mounted on {src} but it is not a shared mount" in r.err
    subprocess.run(["mount", "--make-shared", str(src)], check=True)
    (src / "in").mkdir()
    cli.out("run", "-d", "--name", "pp", "--mount", f"type=bind,src={src},dst=/p,bind-propagation=rslave", "alpine", "sleep", "1h")
    subprocess.run(["mount", "-t", "tmpfs", "x", str(src / "in")], check=True)
    (src / "in/late").write_text("late")
    assert cli.out("exec", "pp", "ls", "/p/in") == "late"
    assert json.loads(cli.out("inspect", "-f", "{{json .Mounts}}", "pp"))[0]["Propagation"] == "rslave"
    cli.out("rm", "-f", "pp")
    subprocess.run(["umount", "-R", str(src)], check=True)
    assert "bind source path does not exist: /none-such" in cli("run", "--rm", "--mount", "type=bind,src=/none-such,dst=/x", "alpine", "true").err
    out = cli.out("run", "--rm", "--mount", "type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1770", "--tmpfs", "/e:exec,size=4m", "alpine", "sh", "-c",
                  "stat -c %a /t; grep -c 'tmpfs /t .*nosuid,nodev,noexec.*size=2048k' /proc/mounts; cp /bin/busybox /e/echo; /e/echo ran").split()
    assert out == ["1770", "1", "ran"]
    cli.out("run", "-d", "--name", "donor", "--ipc", "shareable", "--shm-size", "8m", "alpine", "sh", "-c", "echo mine >/dev/shm/f; sleep 1h")
    assert wait_until(lambda: cli("run", "--rm", "--ipc", "container:donor", "alpine", "cat", "/dev/shm/f").out == "mine\n"), "they share /dev/shm"
    assert cli.out("exec", "donor", "sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'") == "8192"
    cli.out("run", "-d", "--name", "private", "alpine", "sleep", "1h")
    assert "non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in cli("run", "--rm", "--ipc", "container:private", "alpine", "true").err


def test_subpath_cannot_lead_out(daemon):
    """A container makes a link in its volume; a part of that volume is asked for through it."""
    name, program = programs()[0]
    cli = Client("x", program, daemon)
    cli.out("run", "--rm", "-v", "vol:/v", "alpine", "sh", "-c", "mkdir -p /v/a/b; echo in >/v/a/b/f; ln -s / /v/out; ln -s a/b /v/ok; ln -s ../../../../../../etc /v/up")

    def run(sub):
        s, c = daemon.api("POST", "/containers/create", {"Image": "alpine", "Cmd": ["ls", "/m"], "HostConfig": {"Mounts": [{"Type": "volume", "Source": "vol", "Target": "/m", "VolumeOptions": {"Subpath": sub}}]}})
        assert s == 201, c
        r = cli("start", "-a", c["Id"])
        return r.out.split() if r.rc == 0 else r.err

    assert run("a/b") == ["f"] and run("ok") == ["f"]
    assert run("out") == ["a", "ok", "out", "up"], "the volume is the root of its links"
    assert "cannot access path up of volume vol" in run("up")
    assert "cannot access path none of volume vol" in run("none")


def test_events_and_df(daemon, cli):
    since = time.time() - 0.1
    cli.out("run", "--name", "ee", "-v", f"ev-{cli.name}:/d", "alpine", "true")
    cli.out("rm", "ee")
    df = daemon.api("GET", "/system/df?type=volume")[1]["Volumes"][0]
    assert df["Name"] == f"ev-{cli.name}" and df["UsageData"]["RefCount"] == 0 and df["UsageData"]["Size"] >= 0
    cli.out("volume", "rm", f"ev-{cli.name}")
    lines = [json.loads(l) for l in cli.out("events", "--since", str(since), "--until", str(time.time()), "--filter", "type=volume", "--filter", f"volume=ev-{cli.name}", "--format", "{{json .}}").splitlines()]
    assert [l["Action"] for l in lines] == ["create", "mount", "unmount", "destroy"]
    assert lines[1]["Actor"]["Attributes"] == {"container": lines[2]["Actor"]["Attributes"]["container"], "destination": "/d", "driver": "local", "propagation": "", "read/write": "true"}


def test_kill9_leaves_no_half_volume(busybox):
    """Any moment: what was acknowledged is there with its data, what was removed is gone, and nothing has a mark left."""
    d = Daemon("volumes")
    plain = d.command
    d.command = lambda *a: ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *plain(*a)]
    d.start()
    import_image(d, busybox, "alpine")
    rng, kept, stop = random.Random(7), {}, threading.Event()
    for round in range(3 if QUICK else 8):

        def work(k):
            for i in range(100):
                name, cmd = f"v{round}-{k}-{i}", ["sh", "-c", f"echo {i} >/etc/stamp"]
                try:
                    s, c = d.api("POST", "/containers/create", {"Image": "alpine", "Cmd": cmd, "HostConfig": {"Binds": [f"{name}:/etc"]}})
                    if s == 201:
                        kept[name] = True
                    if i % 3 == 0 and d.api("DELETE", f"/containers/{c['Id']}")[0] == 204:
                        kept[name] = None
                        if d.api("DELETE", f"/volumes/{name}")[0] == 204:
                            del kept[name]
                except (OSError, ValueError, KeyError):
                    return

        threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
        [t.start() for t in threads]
        time.sleep(rng.uniform(0.05, 0.4))
        d.kill9()
        [t.join() for t in threads]
        d.start()
        have = {v["Name"] for v in d.api("GET", "/volumes")[1]["Volumes"]}
        for name, sure in kept.items():
            assert name in have or sure is None, name
        assert have == set(os.listdir(d.dir / "d/volumes"))
        for name in have:
            assert os.listdir(d.dir / "d/volumes" / name) == ["_data"]
            assert "passwd" in os.listdir(d.dir / "d/volumes" / name / "_data"), "never without the image's content"
        kept = {n: True for n in have}
    # a store that was lost: the data is kept
    (d.dir / "d/volumes/orphan/_data").mkdir(parents=True)
    (d.dir / "d/volumes/orphan/_data/precious").write_text("x")
    d.kill9()
    d.start()
    assert d.api("GET", "/volumes/orphan")[0] == 200 and (d.dir / "d/volumes/orphan/_data/precious").exists()
    for c in d.api("GET", "/containers/json?all=1")[1]:
        d.api("DELETE", f"/containers/{c['Id']}?force=1")
    assert len(d.api("POST", '/volumes/prune?filters=%7B"all":["1"]%7D')[1]["VolumesDeleted"]) == len(have) + 1
    d.stop()
