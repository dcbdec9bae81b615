"""A runtime works in a mount namespace that has of all containers' mounts only its own's (engine/room.c), on a host whose mounts are shared, as systemd has them."""
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import BUILD, LAB, Client, Daemon, programs, wait_until

pytestmark = pytest.mark.usefixtures("own_network")
SRC = LAB / "room-shared"


class SharedDaemon(Daemon):
    def command(self, *args):
        return ["unshare", "-m", "--propagation", "shared", "--", *super().command(*args)] if self.proc is None else ["nsenter", f"--mount=/proc/{self.host.pid}/ns/mnt", "--", *super().command(*args)]

    def start(self, *args, **kw):
        super().start(*args, **kw)
        if not hasattr(self, "host"):  # keeps the namespace, as PID 1 would
            self.host = subprocess.Popen(["nsenter", f"--mount=/proc/{self.proc.pid}/ns/mnt", "sleep", "1h"])
            assert wait_until(lambda: pathlib.Path(f"/proc/{self.host.pid}/comm").read_text() == "sleep\n")
        return self

    def on_host(self, command):
        return subprocess.run(["nsenter", f"--mount=/proc/{self.host.pid}/ns/mnt", "sh", "-c", command], capture_output=True, text=True, check=True).stdout

    def mounts(self, text=None):
        """Of roots and of network namespaces, each as often as it is mounted."""
        at = [line.split()[4] for line in (text or self.on_host("cat /proc/self/mountinfo")).splitlines()]
        return [sorted(p.rsplit("/", 1)[1] for p in at if f"{self.dir}/e/{sub}/" in p and p.count("/") == str(self.dir).count("/") + 3) for sub in ("root", "netns")]


@pytest.fixture(scope="module")
def room(busybox):
    seen = LAB / "seen-runtime"
    seen.write_text(f"#!/bin/sh\ncase \" $* \" in *' create '*) cat /proc/self/mountinfo >{LAB}/seen ;; esac\nexec \"$(command -v crun || command -v runc)\" \"$@\"\n")
    seen.chmod(0o755)
    d = SharedDaemon("room").start("--add-runtime", f"seen={seen}")
    cli = Client("docker", programs()[0][1], d)
    cli.out("import", str(busybox), "alpine")
    yield d, cli
    d.stop()
    d.host.kill()
    d.host.wait()


def run(cli, name, *args):
    return cli.out("run", "-d", "--name", name, *args, "alpine", "sleep", "1h")


def test_no_other_mounts(room):
    d, cli = room
    ids = [run(cli, "one"), run(cli, "two"), run(cli, "three", "--runtime", "seen")]
    assert d.mounts((LAB / "seen").read_text()) == [[ids[2]], [ids[2][:12]]], "the runtime sees its own container's alone"
    assert d.mounts() == [sorted(ids), sorted(i[:12] for i in ids)], "the host has each once"
    ids.append(run(cli, "whole", "-v", "/:/host", "-v", "/:/later:rslave"))
    seen = cli.out("exec", "whole", "cat", "/proc/self/mounts")
    assert f"{d.dir}/e/root/{ids[3]}" in seen and not any(i in seen for i in ids[:3]), "a container that has all of the host does not hold what others leave"
    cli.out("rm", "-f", "one")
    assert d.mounts() == [sorted(ids[1:]), sorted(i[:12] for i in ids[1:])]
    late = run(cli, "late")
    assert late not in cli.out("exec", "whole", "cat", "/proc/self/mounts")
    # a network namespace and a process id of another container are found without their mounts
    assert cli.out("run", "--rm", "--network", "container:two", "--pid", "container:two", "alpine", "sh", "-c", "ip -o addr show eth0 | wc -l; ps | grep -c '[s]leep 1h'").split()[-1] == "1"


def test_propagation_both_ways(room):
    d, cli = room
    SRC.mkdir()
    d.on_host(f"mount -t tmpfs x {SRC} && mkdir {SRC}/in {SRC}/out")  # shared, as what it is mounted on; after the daemon's start
    run(cli, "both", "--privileged", "-v", f"{SRC}:/p:rshared")
    d.on_host(f"mount -t tmpfs x {SRC}/in && echo late >{SRC}/in/f")
    assert cli.out("exec", "both", "cat", "/p/in/f") == "late"
    cli.out("exec", "both", "sh", "-c", "mount -t tmpfs x /p/out && echo mine >/p/out/f")
    assert d.on_host(f"cat {SRC}/out/f") == "mine\n"
    cli.out("rm", "-f", "both")
    d.on_host(f"umount -R {SRC}")


def test_a_new_daemon_finds_all(room):
    d, cli = room
    running = cli.out("ps", "-q", "--no-trunc").split()
    before = d.on_host("cat /proc/self/mountinfo")
    d.kill9()
    d.start(*d.args)
    assert d.on_host("cat /proc/self/mountinfo") == before
    assert cli.out("exec", "-u", "nobody", "two", "id", "-un") == "nobody", "by the files of its root"
    assert cli.out("cp", "two:/etc/passwd", "-") and "A /tmp/new" in (cli.out("exec", "two", "touch", "/tmp/new"), cli.out("diff", "two"))[1]
    new = run(cli, "new", "--runtime", "seen")
    assert d.mounts((LAB / "seen").read_text()) == [[new], [new[:12]]]
    cli.out("rm", "-f", new, *running)
    assert d.mounts() == [[], []] and d.doctor() == []
    d.stop()
    assert str(d.dir) not in d.on_host("cat /proc/self/mountinfo"), "an orderly end with no container left leaves no mount"


class Copied(Daemon):
    """Programs of its own, in a directory of its own."""

    def __init__(self, name):
        super().__init__(name)
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for program in ("pontoond", "pontoon-relay", "pontoon-runtime"):
            shutil.copy2(BUILD / program, self.bin)
        self.runtime = self.bin / "pontoon-runtime"

    def command(self, *args):
        path = ":".join(p for p in os.environ["PATH"].split(":") if not (pathlib.Path(p) / "pontoon-runtime").exists())
        return ["env", f"PATH={path}", str(self.bin / "pontoond"), *super().command(*args)[1:]]

    def breaks(self):
        self.runtime.unlink()  # a program that runs cannot be written to
        self.runtime.write_text("#!/bin/sh\necho 'pontoon-runtime: copy the mounts of /: No space left on device' >&2\nexit 1\n")
        self.runtime.chmod(0o755)


def test_without_a_room(busybox):
    """A start whose room cannot be made fails and says why; a daemon that finds that it has none works without."""
    d = Copied("no-room").start()
    cli = Client("docker", programs()[0][1], d)
    cli.out("import", str(busybox), "alpine")
    d.breaks()
    r = cli("run", "--name", "one", "alpine", "true")
    assert r.rc != 0 and "pontoon-runtime: copy the mounts of /: No space left on device" in r.err, r
    assert cli.out("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "one") == "created 0" and d.doctor() == []
    shutil.copy2(BUILD / "pontoon-runtime", d.runtime.with_suffix(".new"))
    d.runtime.with_suffix(".new").rename(d.runtime)
    cli.out("start", "one")
    for change, said in ((d.breaks, "No space left on device"), (d.runtime.unlink, "pontoon-runtime was not found")):
        d.stop()
        change()
        d.log.unlink()
        d.start()
        log = d.log.read_text()
        assert said in log and "starts become slower with the number of containers" in log, log
        assert cli.out("run", "--rm", "alpine", "echo", "here") == "here"
        run(cli, "stays")
        assert cli.out("exec", "stays", "echo", "there") == "there"
        cli.out("rm", "-f", "stays")
        assert d.doctor() == []
    cli.out("rm", "one")
    d.stop()
