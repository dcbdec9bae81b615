"""Options of run and create, each proven by what there is inside the container, or by how it is refused."""
import json
import os
import subprocess

from conftest import LAB, wait_until

ME = "/" + os.environ["LAB_NAME"]


def test_seen_from_inside(cli, daemon):
    cli.out("run", "-d", "--name", "donor", "-v", "/given", "alpine", "sh", "-c", "echo gift >/given/a; sleep 1h")
    cli.out("run", "-d", "--name", "all", "--init", "--ulimit", "nofile=77:88", "--ulimit", "core=0", "--device", "/dev/null:/dev/mine:rw", "--device", "/dev/full:/dev/mute:r",
            "--device-cgroup-rule", "c 42:* rwm", "--group-add", "777", "--group-add", "888", "--tmpfs", "/t:size=2m,mode=711,noexec,uid=5", "--mount", "type=tmpfs,dst=/u,tmpfs-size=1m,tmpfs-mode=700",
            "--stop-signal", "USR1", "--oom-score-adj", "321", "--pids-limit", "40", "--shm-size", "3m", "--cgroup-parent", f"..{ME}/a/../b", "--volumes-from", "donor:ro", "--isolation", "default",
            "--cpuset-cpus", "0", "--cpu-shares", "77", "-m", "40m", "--memory-swap", "40m", "alpine", "sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.05; done")
    look = """cat /proc/1/cmdline | tr '\\0' ' '; echo; ulimit -n; ulimit -Hn; ulimit -Hc; echo x >/dev/mine && echo wrote
        echo x >/dev/mute || echo mute; mknod /dev/z c 42 1; cat /dev/z 2>&1; mknod /dev/y c 43 1; cat /dev/y 2>&1; cat /given/a; touch /given/b 2>&1
        cat /proc/1/oom_score_adj; awk '/Groups|Cpus_allowed_list/ {$1=$1; print}' /proc/1/status; df -k /dev/shm /t /u | awk 'NR > 1 {print $2, $6}'
        stat -c '%a %u' /t /u; cp /bin/busybox /t/x 2>/dev/null; /t/x true 2>&1; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"""
    got = cli("exec", "all", "sh", "-c", look).out.splitlines()
    assert got[0].startswith("/sbin/docker-init -- sh -c"), got
    assert got[1:] == ["77", "88", "0", "wrote", "mute", "cat: can't open '/dev/z': No such device or address", "cat: can't open '/dev/y': Operation not permitted", "gift",
                       "touch: /given/b: Read-only file system", "321", "Groups: 0 777 888", "Cpus_allowed_list: 0", "3072 /dev/shm", "2048 /t", "1024 /u", "711 5", "700 0", "sh: /t/x: Permission denied", "40"], got
    state = json.loads(cli.out("inspect", "all"))[0]
    with open(f"/proc/{state['State']['Pid']}/cgroup") as f:
        assert f"{ME}/b/{state['Id']}\n" in f.read()  # and nothing leads out of the hierarchy
    cli.out("stop", "all")
    assert json.loads(cli.out("inspect", "all"))[0]["State"]["ExitCode"] == 9
    cli.out("run", "-d", "--name", "deaf", "--stop-timeout", "0", "alpine", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    cli.out("stop", "deaf")
    assert json.loads(cli.out("inspect", "deaf"))[0]["State"]["ExitCode"] == 137
    seen = lambda *args: cli.out("run", "--rm", *args, "alpine", "cat", "/proc/self/cgroup").splitlines()
    assert all(l.endswith(":/") for l in seen("--cgroupns", "private"))
    assert any(ME in l for l in seen("--cgroupns", "host"))


def test_propagation(any_cli, daemon):
    """What the host mounts later is seen through a slave and not through a private one."""
    shared = LAB / "shared"
    (shared / "sub").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(shared)], check=True)
    subprocess.run(["mount", "--make-shared", str(shared)], check=True)
    try:
        (shared / "sub").mkdir()
        any_cli.out("run", "-d", "--name", "sees", "--mount", f"type=bind,src={shared},dst=/slave,bind-propagation=rslave", "-v", f"{shared}:/private", "alpine", "sleep", "1h")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(shared / "sub")], check=True)
        (shared / "sub/late").write_text("")
        assert any_cli.out("exec", "sees", "sh", "-c", "ls /slave/sub; echo -; ls /private/sub").split() == ["late", "-"]
        r = any_cli("run", "--rm", "--mount", f"type=bind,src={LAB},dst=/x,bind-propagation=shared", "alpine", "true")
        assert r.rc == 125 and "but it is not a shared mount" in r.err
    finally:
        any_cli("rm", "-f", "sees")
        subprocess.run(["umount", "-R", str(shared)], check=True)


def test_refused(any_cli, daemon):
    cpus = open("/sys/devices/system/cpu/online").read().strip()
    create = lambda host, version="": daemon.api("POST", version + "/containers/create", {"Image": "alpine", "Cmd": ["true"], "HostConfig": host})
    for host, want in (({"StorageOpt": {"size": "1g"}}, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
                       ({"Isolation": "hyperv"}, "invalid isolation (hyperv): linux only supports 'default'"),
                       ({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}, 'could not select device driver "" with capabilities: [[gpu]]'),
                       ({"SecurityOpt": ["label"]}, 'invalid --security-opt 1: "label"')):
        status, said = create(host)
        assert (status, said) == (400, {"message": want})
    status, said = create({"CpusetCpus": "0-999"})
    assert status == 400 and said["message"].startswith("Requested CPUs are not available - requested 0-999, available: "), said
    box = create({})[1]["Id"]
    status, said = daemon.api("POST", f"/containers/{box}/update", {"CpusetCpus": "999"})
    assert status == 400 and f"Cannot update container {box}: Requested CPUs are not available" in said["message"], (said, cpus)
    assert "kernel memory limit" in create({"KernelMemory": 10 << 20}, "/v1.41")[1]["Warnings"][0]
    assert create({"KernelMemory": 10 << 20})[1]["Warnings"] == []
    kinds = {o.split(",")[0] for o in daemon.api("GET", "/info")[1]["SecurityOptions"]}
    assert kinds - {"name=cgroupns"} == {"name=seccomp"}  # no AppArmor, no SELinux; cgroup v2 has namespaces of its own
    r = any_cli("run", "--rm", "--gpus", "all", "alpine", "true")
    assert r.rc == 125 and 'could not select device driver "" with capabilities: [[gpu' in r.err


def test_restart_of_one_that_removes_itself(any_cli):
    """A restart is no end."""
    any_cli.out("run", "-d", "--rm", "--name", "again", "alpine", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    before = any_cli.out("inspect", "-f", "{{.State.StartedAt}}", "again")
    any_cli.out("restart", "again")
    assert any_cli.out("inspect", "-f", "{{.State.Status}}", "again") == "running" and any_cli.out("inspect", "-f", "{{.State.StartedAt}}", "again") != before
    any_cli.out("stop", "again")
    assert wait_until(lambda: any_cli("inspect", "again").rc != 0)


def test_files_of_a_joined_namespace(any_cli, tmp_path):
    """Names are those of whom it joins, for cp and inspect too."""
    any_cli.out("run", "-d", "--name", "host", "--add-host", "there:10.1.2.3", "alpine", "sleep", "1h")
    any_cli.out("run", "-d", "--name", "guest", "--network", "container:host", "alpine", "sleep", "1h")
    paths = [json.loads(any_cli.out("inspect", n))[0] for n in ("host", "guest")]
    for key in ("HostsPath", "ResolvConfPath", "HostnamePath"):
        assert paths[0][key] == paths[1][key] and paths[0][key], key
    any_cli.out("cp", "guest:/etc/hosts", str(tmp_path / "hosts"))
    assert "10.1.2.3\tthere" in (tmp_path / "hosts").read_text()
    r = any_cli("run", "--rm", "--network", "container:nosuch", "alpine", "true")
    assert r.rc == 125 and "joining network namespace of container: No such container: nosuch" in r.err
    r = any_cli("run", "--rm", "--name", "self", "--network", "container:self", "alpine", "true")
    assert r.rc == 125 and "cannot join own network namespace" in r.err
