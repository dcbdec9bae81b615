"""Restart policies, with the stock client."""
from conftest import wait_until


def state(cli, name):
    return cli.out("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name)


def test_on_failure_gives_up(any_cli):
    any_cli.out("run", "-d", "--name", "fails", "--restart", "on-failure:2", "alpine", "sh", "-c", "echo run; exit 3")
    assert wait_until(lambda: state(any_cli, "fails") == "exited 2")
    assert any_cli.out("logs", "fails").split() == ["run"] * 3
    assert any_cli.out("inspect", "-f", "{{.State.ExitCode}}", "fails") == "3"
    any_cli.out("run", "-d", "--name", "well", "--restart", "on-failure", "alpine", "true")
    assert wait_until(lambda: state(any_cli, "well") == "exited 0")


def test_a_stop_ends_it(any_cli):
    any_cli.out("run", "-d", "--name", "loops", "--restart", "always", "alpine", "false")
    # the third wait and later ones are long enough to be seen
    assert wait_until(lambda: any_cli.out("ps", "-a", "--filter", "name=loops", "--format", "{{.Status}}").startswith("Restarting (1)"))
    r = any_cli("rm", "loops")
    assert r.rc != 0 and "stop the container before removing or force remove" in r.out + r.err
    any_cli.out("stop", "loops")
    was = state(any_cli, "loops")
    assert was.startswith("exited ")
    any_cli.out("rm", "loops")
    any_cli.out("run", "-d", "--name", "killed", "--restart", "always", "alpine", "false")
    assert wait_until(lambda: any_cli.out("ps", "-a", "--filter", "name=killed", "--format", "{{.Status}}").startswith("Restarting (1)"))
    any_cli.out("kill", "killed")
    assert state(any_cli, "killed").startswith("exited ")
    any_cli.out("rm", "killed")
    any_cli.out("run", "-d", "--name", "forced", "--restart", "always", "alpine", "false")
    any_cli.out("rm", "-f", "forced")
    assert any_cli.out("ps", "-aq") == ""


def test_killed_by_itself_or_by_the_user(any_cli):
    any_cli.out("run", "-d", "--name", "kept", "--restart", "unless-stopped", "alpine", "sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.1; done")
    assert wait_until(lambda: any_cli.out("logs", "kept") == "ready")  # before the trap is set the kernel keeps the signal from a first process
    any_cli.out("kill", "-s", "USR1", "kept")
    assert wait_until(lambda: state(any_cli, "kept") == "running 1")
    any_cli.out("kill", "kept")
    assert wait_until(lambda: state(any_cli, "kept") == "exited 1")


def test_daemon_start(any_cli, daemon):
    for name, policy in (("a", "always"), ("b", "unless-stopped"), ("c", "always"), ("d", "unless-stopped"), ("e", "no")):
        any_cli.out("run", "-d", "--stop-signal", "KILL", "--name", "ctr-" + name, "--restart", policy, "alpine", "sleep", "1h")
    any_cli.out("stop", "-t", "0", "ctr-c", "ctr-d")
    daemon.stop()
    daemon.start()
    for name, want in (("a", "running 0"), ("b", "running 0"), ("c", "running 0"), ("d", "exited 0"), ("e", "exited 0")):
        assert wait_until(lambda: state(any_cli, "ctr-" + name) == want), name
    assert wait_until(lambda: daemon.doctor() == [])
