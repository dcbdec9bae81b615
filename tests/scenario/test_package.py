"""The Debian package: built, looked at, installed into a scratch root, and started from there. Never installed on the machine: /etc is read-only meanwhile."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import LAB, QUICK, ROOT, Client, Daemon

pytestmark = [
    pytest.mark.skipif(not shutil.which("dpkg-shlibdeps"), reason="dpkg-dev is not installed"),
    pytest.mark.skipif(QUICK, reason="the package has a build of its own, the same beside every other"),
    pytest.mark.usefixtures("own_network"),
]


def sh(script, **kw):
    return subprocess.run(["bash", "-ec", script], capture_output=True, text=True, **kw)


@pytest.fixture(scope="module")
def package():
    p = sh("scripts/deb", cwd=ROOT)
    assert p.returncode == 0, p.stdout + p.stderr
    return ROOT / p.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def root(package):
    """Installed by dpkg into an empty root, its scripts run with DPKG_ROOT."""
    r = LAB / "package-root"
    for d in "var/lib/dpkg/info", "var/lib/dpkg/updates", "etc":
        (r / d).mkdir(parents=True)
    (r / "var/lib/dpkg/status").touch()
    (r / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (r / "etc/group").write_text("root:x:0:\n")
    before = sh("getent passwd; getent group").stdout
    p = sh(f"""unshare -m bash -ec 'mount --bind /etc /etc; mount -o remount,bind,ro /etc
        dpkg --root={r} --log={r}/dpkg.log --force-script-chrootless --force-depends --install {package}'""")
    assert p.returncode == 0, p.stdout + p.stderr
    assert sh("getent passwd; getent group").stdout == before
    return r


def test_contents(package):
    fields = sh(f"dpkg-deb -f {package}").stdout
    assert re.search(r"^Package: pontoon$", fields, re.M) and re.search(r"^Version: \d[\d.]*-1$", fields, re.M)
    depends = re.search(r"^Depends: (.*)$", fields, re.M).group(1)
    for d in "libmicrohttpd12", "libsqlite3-0", "libgnutls30", "conmon", "crun | runc", "iptables":
        assert d in depends
    rows = [line.split(None, 5) for line in sh(f"dpkg-deb -c {package}").stdout.splitlines()]
    names = {r[5].lstrip("."): r[0] for r in rows}
    for f in ("/usr/sbin/pontoond", "/usr/bin/pontoon", "/usr/bin/pontoon-relay", "/usr/bin/pontoon-image", "/usr/bin/pontoon-runtime"):
        assert names[f] == "-rwxr-xr-x"
    for f in ("/usr/lib/systemd/system/pontoon.service", "/usr/lib/systemd/system/pontoon.socket", "/usr/lib/sysusers.d/pontoon.conf", "/usr/lib/tmpfiles.d/pontoon.conf",
              "/usr/share/bash-completion/completions/pontoon", "/usr/share/man/man8/pontoond.8.gz", "/usr/share/doc/pontoon/copyright", "/usr/share/doc/pontoon/changelog.Debian.gz"):
        assert names[f] == "-rw-r--r--", f
    assert all(r[1] == "root/root" for r in rows) and not [n for n in names if n.startswith(("/usr/local", "/etc", "/var", "/run"))]
    assert all(names[n][1:] == "rwxr-xr-x" for n in names if n.endswith("/"))


def test_the_same_sources_make_the_same_package(package):
    env = dict(os.environ, SOURCE_DATE_EPOCH="1700000000")
    made = []
    for _ in range(2):
        assert sh("scripts/deb", cwd=ROOT, env=env).returncode == 0
        made.append(hashlib.sha256(package.read_bytes()).hexdigest())
    assert made[0] == made[1]


def test_units(root):
    service = (root / "usr/lib/systemd/system/pontoon.service").read_text()
    assert re.search(r"^ExecStart=/usr/sbin/pontoond$", service, re.M) and "@" not in re.sub(r"^#.*", "", service, flags=re.M)
    for line in "KillMode=process", "Delegate=yes", "Type=notify", "ExecReload=/bin/kill -HUP $MAINPID":
        assert line in service
    # each of these would break containers: they are inherited, or hide mounts from the next start
    assert not re.search(r"^(ProtectSystem|PrivateTmp|PrivateDevices|ProtectHome|NoNewPrivileges|SystemCallFilter|RestrictNamespaces|MemoryDenyWriteExecute|CapabilityBoundingSet)=", service, re.M)
    socket = (root / "usr/lib/systemd/system/pontoon.socket").read_text()
    assert "SocketMode=0660" in socket and "SocketGroup=pontoon" in socket and "ListenStream=/run/pontoon/pontoon.sock" in socket
    if shutil.which("systemd-analyze"):
        p = sh(f"systemd-analyze verify --root={root} pontoon.service pontoon.socket")
        assert "Unknown" not in p.stderr and "Invalid" not in p.stderr, p.stderr


def test_installing_makes_the_users_and_starts_nothing(root):
    assert re.search(r"^pontoon:[^:]*:\d+:$", (root / "etc/group").read_text(), re.M)
    user = re.search(r"^pontoon-relay:[^:]*:(\d+):(\d+):[^:]*:[^:]*:/usr/sbin/nologin$", (root / "etc/passwd").read_text(), re.M)
    assert user and int(user.group(1)) < 1000
    assert "install ok installed" in (root / "var/lib/dpkg/status").read_text()
    assert not (root / "run/pontoon").exists()


def test_users_without_systemd(package, root):
    """The other way, by groupadd and useradd, and a second time over."""
    r = LAB / "no-systemd"
    (r / "etc").mkdir(parents=True)
    for f in "passwd", "group", "shadow", "gshadow":
        (r / "etc" / f).write_text("root:x:0:0:root:/root:/bin/sh\n" if f == "passwd" else "root:x:0:\n" if f == "group" else "")
    tools = LAB / "no-systemd-bin"
    tools.mkdir()
    for t in "groupadd", "useradd", "grep":
        (tools / t).symlink_to(shutil.which(t, path="/usr/sbin:/usr/bin:/sbin:/bin"))
    for _ in range(2):
        p = sh(f"unshare -m bash -ec 'mount --bind /etc /etc; mount -o remount,bind,ro /etc; DPKG_ROOT={r} PATH={tools} /bin/sh {ROOT}/packaging/debian/postinst configure'")
        assert p.returncode == 0, p.stdout + p.stderr
    assert len(re.findall(r"^pontoon-relay:", (r / "etc/passwd").read_text(), re.M)) == 1 and len(re.findall(r"^pontoon:", (r / "etc/group").read_text(), re.M)) == 1


class Packaged(Daemon):
    def __init__(self, root):
        super().__init__("packaged")
        self.root = root

    def command(self, *args):
        cmd = super().command(*args)
        i = cmd.index("--image-program")  # found beside it, or in PATH
        del cmd[i:i + 2]
        return [str(self.root / "usr/sbin/pontoond")] + cmd[1:]


def test_it_runs_from_there(root, busybox):
    d = Packaged(root)
    os.environ["PATH"], path = f"{root}/usr/bin:{os.environ['PATH']}", os.environ["PATH"]
    try:
        d.start("--bridge", "docker0")
        cli = Client("pontoon", root / "usr/bin/pontoon", d)
        cli.out("import", str(busybox), "alpine:latest")
        assert cli.out("run", "--rm", "alpine", "echo", "from the package") == "from the package"
        cli.out("network", "create", "nn")
        cli.out("run", "-d", "--name", "aa", "--network", "nn", "alpine", "sleep", "1h")
        assert "1 packets received" in cli.out("run", "--rm", "--network", "nn", "alpine", "ping", "-c1", "-W2", "aa")
        assert os.readlink(f"/proc/{d.proc.pid}/exe") == str(root / "usr/sbin/pontoond")
        relay = [p for p in pathlib.Path("/proc").glob("[0-9]*") if (p / "exe").exists() and os.readlink(p / "exe") == str(root / "usr/bin/pontoon-relay")]
        assert relay
        d.clean()
    finally:
        os.environ["PATH"] = path
        d.stop()


def test_removal_leaves_what_users_made(package):
    r = LAB / "removed"
    shutil.copytree(LAB / "package-root", r, symlinks=True)
    (r / "var/lib/pontoon").mkdir(parents=True)
    (r / "var/lib/pontoon/pontoon.db").write_text("x")
    p = sh(f"unshare -m bash -ec 'mount --bind /etc /etc; mount -o remount,bind,ro /etc; dpkg --root={r} --log={r}/dpkg.log --force-script-chrootless --purge pontoon'")
    assert p.returncode == 0, p.stdout + p.stderr
    assert not (r / "usr/sbin/pontoond").exists() and (r / "var/lib/pontoon/pontoon.db").exists()
