"""What only our own command line has, or has to do as docker's does: words, help, exit codes, formats, completion."""
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest
from conftest import BUILD, ROOT, Client, wait_until


@pytest.fixture
def pontoon(daemon):
    yield Client("pontoon", BUILD / "pontoon", daemon)
    daemon.clean()
    daemon.api("POST", "/networks/prune")


def test_exit_codes(pontoon):
    for args, rc, text in [
        (("ps", "--nonsense"), 125, "unknown flag: --nonsense"), (("--nonsense",), 125, "unknown flag: --nonsense"), (("run", "--nonsense", "x"), 125, "unknown flag"), (("run",), 1, "requires at least 1 argument"),
        (("network", "create"), 1, "'pontoon network create' requires 1 argument"), (("exec", "x"), 1, "requires at least 2 arguments"), (("network", "prune", "x"), 1, "'pontoon network prune' accepts no arguments"),
        (("network", "create", "--label", "=x", "xx"), 1, "invalid label '=x': empty name"), (("nonsense",), 1, "is not a pontoon command"),
        (("run", "alpine", "no-such-program"), 127, "no-such-program"), (("run", "alpine", "/etc"), 126, ""), (("run", "none-such:1"), 125, ""), (("inspect", "none-such"), 1, "No such object: none-such"),
        (("--host",), 125, "flag needs an argument"), (("ps", "-f", "x"), 125, "bad format of filter"), (("run", "--pull", "nope", "alpine", "true"), 125, "invalid pull option: 'nope'"),
        (("run", "-a", "foo", "alpine", "true"), 125, "valid streams are STDIN, STDOUT and STDERR"), (("create", "alpine"), 1, "no command specified"), (("create", "-e", "=x", "alpine", "true"), 125, "invalid environment variable"),
    ]:
        r = pontoon(*args)
        assert r.rc == rc and text in r.err, (args, r)


def test_near_misses(pontoon):
    assert "  pontoon images\n" in pontoon("image", "x").err + pontoon("iamges").err
    assert "  pontoon network connect\n" in pontoon("network", "conect").err
    assert "Did you mean" not in pontoon("zzzzzzzzz").err
    assert "buildah" in pontoon("build", ".").err and "docker-compose" in pontoon("stack", "ls").err and "no plugins" in pontoon("plugin", "ls").err


def test_help(pontoon):
    top = pontoon.out("--help")
    assert top == pontoon.out("help") == pontoon.out()
    commands = re.findall(r"^  ([a-z]+) ", top[:top.index("Management")], re.M)
    assert len(commands) > 25 and len(set(commands)) == len(commands)
    for c in commands:
        text = pontoon.out(c, "--help")
        assert text.startswith(f"Usage:  pontoon {c} ") and text == pontoon.out("help", c)
    for group in "container", "context", "image", "network", "system", "volume":
        text = pontoon.out(group)
        assert text.startswith(f"Usage:  pontoon {group} COMMAND")
        for c in re.findall(r"^  ([a-z]+) ", text, re.M):
            assert pontoon.out(group, c, "--help").startswith(f"Usage:  pontoon {group} {c} ")
    assert "Examples:\n  pontoon run -it --rm alpine sh" in pontoon.out("run", "--help")


def test_other_names(pontoon):
    assert pontoon.out("container", "ls", "-a") == pontoon.out("container", "list", "-a") == pontoon.out("ps", "-a")
    assert pontoon.out("image", "ls", "-q") == pontoon.out("image", "list", "-q") == pontoon.out("images", "-q")
    assert pontoon.out("network", "ls", "-q") == pontoon.out("network", "list", "-q")
    pontoon.out("network", "create", "nn")
    assert pontoon.out("network", "remove", "nn") == "nn"
    pontoon("ls", ok=False)


def test_inspect_of_any_kind(pontoon):
    pontoon.out("run", "-d", "--name", "both", "alpine", "sleep", "1h")
    pontoon.out("network", "create", "both")
    assert "State" in json.loads(pontoon.out("inspect", "both"))[0]
    assert "IPAM" in json.loads(pontoon.out("inspect", "--type", "network", "both"))[0]
    assert pontoon.out("inspect", "-f", "{{.Os}}", "--type=image", "alpine") == "linux"
    r = pontoon("inspect", "both", "none-such", "alpine", ok=False)
    assert len(json.loads(r.out)) == 2 and "No such object: none-such" in r.err
    assert '"x" is not a valid value for --type' in pontoon("inspect", "--type", "x", "both", ok=False).err
    assert json.loads(pontoon.out("inspect", "-s", "both"))[0]["SizeRootFs"] > 0


def test_ps_of_sizes_and_mounts(any_cli, pontoon, daemon):
    """As Docker's client shows them."""
    any_cli.out("network", "create", "second")
    any_cli.out("run", "-d", "--name", "big", "--network", "second", "-v", "/tmp:/host", "-v", "named:/named", "-v", "/anonymous", "alpine", "sh", "-c", "head -c 123000 /dev/zero >/z; sleep 1h")
    assert wait_until(lambda: (daemon.api("GET", "/containers/json?size=1")[1][0]["SizeRw"]) >= 123000)
    for fmt in ("{{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.Size}}", "{{.Mounts}} {{.LocalVolumes}}", "table {{.Names}}\t{{.Size}}"):
        assert pontoon.out("ps", "--format", fmt).split() == any_cli.out("ps", "--format", fmt).split(), fmt
    assert re.fullmatch(r"\S+,\S+,\S+ 2 second 12[3-9](\.\d)?kB \(virtual [\d.]+[kM]B\)", pontoon.out("ps", "--format", "{{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.Size}}"))
    shown = [l.split("   ")[-1].strip() for l in pontoon.out("ps", "-s").splitlines()]
    assert shown == [l.split("   ")[-1].strip() for l in any_cli.out("ps", "-s").splitlines()] and shown[0] == "SIZE" and "virtual" in shown[1]
    assert "SIZE" not in pontoon.out("ps")
    any_cli.out("rm", "-fv", "big")
    any_cli.out("volume", "rm", "named")
    any_cli.out("network", "rm", "second")


def test_tables_are_docker_s(any_cli, pontoon):
    """Column by column and blank by blank, with cells that are empty and a command that is shortened by a character of three bytes."""
    pontoon.out("create", "--name", "plain", "alpine", "true")
    pontoon.out("create", "--name", "long", "-p", "80", "alpine", "sh", "-c", "echo a very long command")
    for args in ("images",), ("network", "ls"), ("volume", "ls"), ("ps", "-a", "--format", "table {{.Names}}\t{{.Ports}}\t{{.Command}}\t{{.Image}}"), ("ps", "--format", "table {{.ID}}\\t{{.Names}}"):
        assert [l.rstrip() for l in pontoon.out(*args).splitlines()] == [l.rstrip() for l in any_cli.out(*args).splitlines()], args
    assert "\u2026" in pontoon.out("ps", "-a")


def test_version_and_info(pontoon, daemon):
    assert re.search(r"^Client: Pontoon\n Version: +[\d.]+\n API version: +1\.51", pontoon.out("version"))
    assert json.loads(pontoon.out("version", "-f", "json"))["Server"]["ApiVersion"] == "1.51"
    assert pontoon.out("version", "-f", "{{.Client.Version}}") == pontoon.out("version", "-f", "{{.Server.Version}}")
    info = pontoon.out("info")
    for line in "Server:", " Storage Driver: overlay2", " Firewall Backend: iptables", " Network Drivers: bridge", " Swarm: inactive":
        assert line in info
    assert json.loads(pontoon.out("info", "--format", "{{json .}}"))["Driver"] == "overlay2"
    down = subprocess.run([pontoon.program, "-H", "unix:///none", "info"], capture_output=True, text=True, env=daemon.env())
    assert down.returncode == 1 and "Version:" in down.stdout and "Is pontoond running?" in down.stderr


def test_df_and_prune(pontoon):
    pontoon.out("run", "--name", "writer", "alpine", "sh", "-c", "head -c 50000 /dev/zero > /zeros")
    df = pontoon.out("system", "df")
    assert re.search(r"^Images +\d+ +1 +[\d.]+MB +", df, re.M) and re.search(r"^Containers +1 +0 +5\d(\.\d+)?kB +5\d(\.\d+)?kB \(100%\)", df, re.M), df
    assert json.loads(pontoon.out("system", "df", "--format", "json").splitlines()[1])["Type"] == "Containers"
    assert pontoon.out("system", "df", "--format", "{{.Type}}").splitlines()[:2] == ["Images", "Containers"]
    assert "writer" in pontoon.out("system", "df", "-v")
    pontoon.out("network", "create", "unused")
    assert pontoon("system", "prune", stdin="n\n", ok=True).out.startswith("WARNING!")
    text = pontoon.out("system", "prune", "-f")
    assert "Deleted Networks:\nunused" in text and re.search(r"Total reclaimed space: 5\d(\.\d+)?kB", text)
    assert pontoon.out("ps", "-aq") == ""


def test_events(pontoon, daemon):
    listeners = lambda: daemon.api("GET", "/info")[1]["NEventsListener"]
    before = listeners()
    p = pontoon.spawn("events", "--filter", "type=network", "--format", "{{.Action}} {{.Actor.Attributes.name}}", stdout=subprocess.PIPE, text=True)
    assert wait_until(lambda: listeners() > before)
    pontoon.out("network", "create", "seen")
    assert p.stdout.readline() == "create seen\n"
    p.terminate()
    p.wait(10)
    assert re.search(r"network create [0-9a-f]{64} \(.*name=seen", pontoon.out("events", "--since", "1m", "--until", "0s"))
    for times in ({"since": "0"}, {"since": "1"}, {}):
        query = urllib.parse.urlencode({"until": time.time(), "filters": json.dumps({"network": ["seen"]}), **times})
        assert daemon.api("GET", "/events?" + query)[1]["Action"] == "create", "a time that is given, be it only the last, asks for what has been"


def test_environment_of_files_and_our_own(any_cli, pontoon, daemon, tmp_path):
    """run, create and exec read it in the same way, and as Docker's client does."""
    (tmp_path / "env").write_text("# a comment\nFROM_FILE=1 2\n\nOURS\nNOT_OURS\n")
    os.environ["OURS"] = "inherited"
    try:
        flags = "--env-file", str(tmp_path / "env"), "-e", "OURS_TOO=x", "-e", "OURS"
        pontoon.out("run", "-d", "--name", "envs", "alpine", "sleep", "1h")
        want = {"FROM_FILE=1 2", "OURS=inherited", "OURS_TOO=x"}
        for cli in pontoon, any_cli:
            for out in cli.out("exec", *flags, "envs", "env"), cli.out("run", "--rm", *flags, "alpine", "env"):
                assert want <= set(out.splitlines()) and "NOT_OURS" not in out
        assert "none-such" in pontoon("exec", "--env-file", str(tmp_path / "none-such"), "envs", "env", ok=False).err
    finally:
        del os.environ["OURS"]


def test_a_cidfile_that_is_there_makes_no_container(pontoon, tmp_path):
    cid = str(tmp_path / "cid")
    made = pontoon.out("create", "--cidfile", cid, "alpine", "true")
    assert (tmp_path / "cid").read_text() == made
    assert "container ID file found" in pontoon("create", "--cidfile", cid, "alpine", "true", ok=False).err
    assert pontoon.out("ps", "-aq", "--no-trunc") == made


def test_options_that_docker_has(any_cli, pontoon, daemon):
    assert pontoon("create", "-d", "alpine").rc == 125 and "--detach" not in pontoon.out("create", "--help") and "--detach" in pontoon.out("run", "--help")
    pontoon.out("run", "-d", "--name", "ab", "--log-opt", "labels=which", "--label", "which=one", "alpine", "sh", "-c", "echo hello; sleep 1h")
    assert wait_until(lambda: pontoon.out("logs", "--details", "ab") == "which=one hello") and pontoon.out("logs", "ab") == "hello"
    pontoon.out("pause", "ab")
    assert pontoon("attach", "ab", ok=False).err == "You cannot attach to a paused container, unpause it first\n"
    pontoon.out("unpause", "ab")
    for flag in "--time", "--timeout", "-t":
        pontoon.out("restart", flag, "0", "ab")
        assert "0" == pontoon.out("inspect", "-f", "{{.RestartCount}}", "ab")
    pontoon.out("stop", "--timeout", "0", "ab")
    assert pontoon("attach", "ab", ok=False).err == "You cannot attach to a stopped container, start it first\n"
    for args in ("history", "--human=false", "--no-trunc", "alpine"), ("history", "-q", "alpine"), ("images", "--digests"), ("images", "--digests", "--format", "{{.Digest}} {{.SharedSize}} {{.UniqueSize}}"):
        assert pontoon.out(*args).split() == any_cli.out(*args).split(), args
    pontoon.out("network", "create", "ll")
    pontoon.out("create", "--name", "ac", "--network", "ll", "--link-local-ip", "169.254.7.7", "alpine", "true")
    assert json.loads(pontoon.out("inspect", "ac"))[0]["NetworkSettings"]["Networks"]["ll"]["IPAMConfig"]["LinkLocalIPs"] == ["169.254.7.7"]
    assert json.loads(pontoon.out("network", "inspect", "-v", "ll"))[0]["Name"] == "ll"
    assert pontoon("network", "inspect", "--type", "network", "ll").rc == 125


def test_config_is_a_directory_of_ones_choice(pontoon, tmp_path):
    (tmp_path / "config.json").write_text('{"auths": {"registry.example": {"auth": "bWU6cHc="}}}')
    assert "Removing login credentials for registry.example" in pontoon.out("--config", str(tmp_path), "logout", "registry.example")
    assert json.loads((tmp_path / "config.json").read_text()).get("auths", {}) == {}


def test_no_colours_in_pipes(pontoon):
    pontoon.out("run", "-d", "--name", "plain", "alpine", "sleep", "1h")
    for args in ("ps",), ("images",), ("info",), ("inspect", "plain"), ("network", "ls"), ("system", "df"):
        assert "\x1b" not in pontoon.out(*args)


def complete(daemon, line):
    """The words that bash would offer at the end of the line."""
    script = f'source {ROOT}/completion/pontoon.bash; COMP_LINE=$1; COMP_WORDS=($1); [ "${{1: -1}}" = " " ] && COMP_WORDS+=(""); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _pontoon; printf "%s\\n" "${{COMPREPLY[@]}}"'
    env = dict(daemon.env(), PATH=f"{BUILD}:{os.environ['PATH']}")
    p = subprocess.run(["bash", "-c", script, "bash", line], env=env, capture_output=True, text=True, cwd="/")
    assert p.stderr == "", p.stderr
    return p.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_completion(pontoon, daemon):
    pontoon.out("run", "-d", "--name", "running-one", "alpine", "sleep", "1h")
    pontoon.out("create", "--name", "created-one", "alpine", "true")
    pontoon.out("network", "create", "some-network")
    assert {"run", "ps", "container", "network", "system", "images"} <= set(complete(daemon, "pontoon "))
    assert complete(daemon, "pontoon netw") == ["network"]
    assert {"connect", "create", "inspect", "ls", "prune", "rm"} <= set(complete(daemon, "pontoon network "))
    assert complete(daemon, "pontoon network rm some") == ["some-network"]
    assert complete(daemon, "pontoon network connect some") == ["some-network"]
    assert set(complete(daemon, "pontoon network connect some-network ")) == {"running-one", "created-one"}
    assert complete(daemon, "pontoon exec ") == ["running-one"]
    assert complete(daemon, "pontoon exec -it -u 0 runn") == ["running-one"]
    assert set(complete(daemon, "pontoon rm ")) == {"running-one", "created-one"}
    assert complete(daemon, "pontoon run --rm alp") == ["alpine:latest"]
    assert complete(daemon, "pontoon run --network some") == ["some-network"]
    assert "--hostname" in complete(daemon, "pontoon run --host")
    assert "unless-stopped" in complete(daemon, "pontoon run --restart ")
    assert {"alpine:latest", "running-one", "some-network"} <= set(complete(daemon, "pontoon inspect "))
    assert "--tlscacert" in complete(daemon, "pontoon --tls") and "--format" in complete(daemon, "pontoon system df --f")
    assert complete(daemon, "pontoon -H unix:///none rm ") == []
    assert complete(daemon, "pontoon rmi alpine:la") == ["latest"]


def options(text):
    """Of a --help text: every long option with its letter."""
    return re.findall(r"^ +(?:(-\w), )?(--[a-z0-9-]+)", text, re.M)


def test_every_command_and_option_is_in_the_manual(pontoon):
    manual = (ROOT / "man/pontoon.1").read_text().replace("\\-", "-")
    top = pontoon.out("--help")
    for c in re.findall(r"^  ([a-z]+) ", top[:top.index("Options:")], re.M):
        assert re.search(rf"\b{c}\b", manual), c
    words = complete(pontoon.daemon, "pontoon -")
    for _, name in options(top[top.index("Options:"):]):
        assert name in manual and name in words, name
    manual = (ROOT / "man/pontoond.8").read_text().replace("\\-", "-")
    daemon = subprocess.run([str(BUILD / "pontoond"), "--help"], capture_output=True, text=True).stdout
    assert len(options(daemon)) > 50
    for letter, name in options(daemon):
        assert re.search(rf"{name}\b", manual) and (not letter or re.search(rf"{letter}\b", manual)), name


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_every_option_is_completed(pontoon, daemon):
    for command in "run", "network create", "system prune", "pull":
        words = complete(daemon, f"pontoon {command} --")
        missing = [name for _, name in options(pontoon.out(*command.split(), "--help")) if name not in words]
        assert not missing, (command, missing)
