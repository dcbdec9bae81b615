"""Contexts: ours are the docker command's, in its files and with its words; which daemon counts."""
import json
import os
import subprocess

import pytest
from conftest import BUILD, LAB, ROOT, programs
from test_cli import complete

OURS = BUILD / "pontoon"
ABSENT = "/nowhere"


class Home:
    """A user's directory of settings, without any daemon."""

    def __init__(self, path):
        self.dir = path

    def run(self, program, *args, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "PONTOON_"))}
        return subprocess.run([str(program), *args], env=clean | {"HOME": str(self.dir), "DOCKER_CONFIG": str(self.dir)} | env, cwd=self.dir, capture_output=True, text=True)

    def out(self, *args, program=OURS, **env):
        p = self.run(program, *args, **env)
        assert p.returncode == 0, p
        return p.stdout.strip()

    def err(self, *args, program=OURS, rc=1, **env):
        p = self.run(program, *args, **env)
        assert p.returncode == rc, p
        return p.stderr.strip()

    def files(self):
        return {str(p.relative_to(self.dir)): p.read_bytes() for p in self.dir.rglob("*") if p.is_file()}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture(scope="module")
def pki():
    certs = LAB / "context-certs"
    subprocess.run([str(ROOT / "scripts/tls-certificates"), str(certs), "localhost"], check=True, capture_output=True)
    return certs / "client"


def tls(pki, host="tcp://server.example:2376"):
    return f"host={host},ca={pki}/ca.pem,cert={pki}/cert.pem,key={pki}/key.pem"


DOCKER20 = ROOT / "build/tools/usr/bin/docker"
OF_20 = [p for p in (DOCKER20, OURS) if p.exists()]


@pytest.mark.parametrize("program", OF_20, ids=lambda p: p.name)
def test_words_are_docker_s(home, program, pki):
    """Those of 20.10; later ones changed some."""
    def err(*args, **kw):
        return home.err("context", *args, program=program, **kw)

    assert home.out("context", "create", "one", "--docker", "host=unix:///one", "--description", "the first", program=program) == "one"
    home.out("context", "create", "two", "--docker", tls(pki), program=program)
    assert 'context "one" already exists' in err("create", "one")
    assert '"default" is a reserved context name' in err("create", "default") and '"default" is a reserved context name' in err("update", "default", "--description", "x")
    for name in "x", ".x", "a b", "a/b", "a!":
        assert f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"' in err("create", name)
    assert "unable to create docker endpoint config: bogus: unrecognized config key" in err("create", "xx", "--docker", "bogus=1")
    assert 'skip-tls-verify: strconv.ParseBool: parsing "foo": invalid syntax' in err("create", "xx", "--docker", "host=tcp://x,skip-tls-verify=foo")
    assert "open /nowhere" in err("create", "xx", "--docker", "host=tcp://x,ca=/nowhere")
    assert 'invalid argument "host" for "--docker" flag: host must be formatted as key=value' in err("create", "xx", "--docker", "host", rc=125)
    assert 'context "nope" does not exist' in err("create", "xx", "--from", "nope") and 'context "nope" does not exist' in err("create", "xx", "--docker", "from=nope")
    for verb in "use", "inspect", "update", "rm":
        assert 'context "nope" does not exist' in err(verb, "nope")
    assert 'context "default" cannot be removed' in err("rm", "default")
    assert home.out("context", "ls", "-q", program=program).split() == ["default", "one", "two"]
    p = home.run(program, "context", "use", "one")
    assert (p.stdout, p.stderr) == ("one\n", 'Current context is now "one"\n')
    assert home.out("context", "ls", "--format", "{{.Name}} {{.Current}} {{.DockerEndpoint}} {{.Description}}", program=program).splitlines()[1] == "one true unix:///one the first"
    table = home.out("context", "ls", program=program).splitlines()
    assert table[0].split("  ")[0] == "NAME" and table[2].startswith("one *  ") and table[1].startswith("default  ")
    assert "in use, set -f flag to force remove" in err("rm", "one")
    assert home.out("context", "inspect", "-f", "{{.Endpoints.docker.Host}}", program=program) == "unix:///one"
    two = json.loads(home.out("context", "inspect", "two", program=program))[0]
    assert two["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]} and two["Endpoints"]["docker"] == {"Host": "tcp://server.example:2376", "SkipTLSVerify": False}
    assert set(two) == {"Name", "Metadata", "Endpoints", "TLSMaterial", "Storage"}
    assert "Successfully updated context" in home.run(program, "context", "update", "two", "--docker", "host=unix:///two").stderr
    assert json.loads(home.out("context", "inspect", "two", program=program))[0]["TLSMaterial"] == {}
    assert home.out("context", "rm", "-f", "one", "two", program=program).split() == ["one", "two"]
    assert "currentContext" not in json.loads((home.dir / "config.json").read_text())
    assert [f for f in home.files() if f != "config.json"] == []


def test_both_have_the_same_contexts(home, pki):
    _, docker = programs()[0]
    if docker == OURS:
        pytest.skip("there is no other client")
    for maker, reader in (OURS, docker), (docker, OURS):
        home.out("context", "create", "shared", "--docker", tls(pki), "--description", "d", program=maker)
        home.out("context", "use", "shared", program=maker)
        mine, theirs = (json.loads(home.out("context", "inspect", program=p)) for p in (maker, reader))
        assert mine == theirs and mine[0]["Name"] == "shared"
        for pem in "ca", "cert", "key":
            f = next(home.dir.glob(f"contexts/tls/*/docker/{pem}.pem"))
            assert f.stat().st_mode & 0o777 == 0o600 and f.read_bytes() == (pki / f"{pem}.pem").read_bytes()
        assert all(d.stat().st_mode & 0o77 == 0 for d in [home.dir / "contexts/tls", *home.dir.glob("contexts/tls/**/")])
        home.out("context", "use", "default", program=reader)
        home.out("context", "rm", "shared", program=reader)
        assert not home.run(maker, "context", "inspect", "shared").stdout.strip().strip("[]")


def test_which_daemon_counts(home):
    for name in "kept", "asked", "ours", "theirs":
        home.out("context", "create", name, "--docker", f"host=unix://{ABSENT}/{name}")

    def daemon(*options, **env):
        return home.err(*options, "ps", **env).split(ABSENT + "/")[1].split(".")[0]

    both = {"PONTOON_CONTEXT": "ours", "DOCKER_CONTEXT": "theirs"}
    host = {"DOCKER_HOST": f"unix://{ABSENT}/host"}
    assert "unix:///run/pontoon/pontoon.sock" in home.out("context", "inspect", "-f", "{{.Endpoints.docker.Host}}")
    home.out("context", "use", "kept")
    assert daemon() == "kept" and daemon(**both) == "ours" and daemon(DOCKER_CONTEXT="theirs") == "theirs"
    assert daemon("-c", "asked") == daemon("--context=asked", **both) == daemon("-casked", **both, **host) == "asked"
    assert daemon(**both, **host) == "host" and daemon(**host, PONTOON_HOST=f"unix://{ABSENT}/first") == "first"
    assert daemon("-H", f"unix://{ABSENT}/flag", **both, **host) == "flag" == daemon("-H", f"unix://{ABSENT}/flag")
    assert daemon("-c", "default", **both, **host) == "host"
    assert home.err("-H", "unix:///x", "-c", "asked", "ps") == "Conflicting options: either specify --host or --context, not both"
    for who, env in (("-c", "nope"), {}), ((), {"PONTOON_CONTEXT": "nope"}), ((), {"DOCKER_CONTEXT": "nope"}):
        assert home.err(*who, "ps", **env) == 'unable to resolve docker endpoint: context "nope" does not exist'
    assert [home.out("context", "show", **env) for env in ({}, both, host)] == ["kept", "ours", "default"]
    # what the environment hides is still in use
    assert "in use" in home.err("context", "rm", "kept", **host)
    p = home.run(OURS, "context", "use", "asked", **host)
    assert 'To use "asked", either set the global --context flag' in p.stderr and daemon() == "asked"
    # one that is gone is told, and can be left
    config = home.dir / "config.json"
    config.write_text(json.dumps({"auths": {"a.example": {"auth": "eDp5"}}, "currentContext": "gone", "psFormat": "x"}))
    assert home.err("ps") == f'Current context "gone" is not found on the file system, please check your config file at {config}'
    assert "Usage:" in home.out("ps", "--help") and 'the current context "gone" does not exist' in home.run(OURS, "context", "ls").stderr
    home.out("context", "use", "kept")
    assert json.loads(config.read_text()) == {"auths": {"a.example": {"auth": "eDp5"}}, "currentContext": "kept", "psFormat": "x"}
    for broken in "{", "[]":
        config.write_text(broken)
        assert "WARNING: Error loading config file" in home.err("-H", "", "ps") + home.err("ps")
        assert config.read_text() == broken and "is not a JSON object" in home.err("context", "use", "kept") and config.read_text() == broken


def test_all_or_nothing(home, pki):
    """What cannot be done changes no file; what is not ours stays."""
    home.out("context", "create", "one", "--docker", tls(pki))
    meta = next(home.dir.glob("contexts/meta/*/meta.json"))
    content = json.loads(meta.read_text())
    content["Metadata"]["StackOrchestrator"] = "swarm"
    content["Endpoints"]["kubernetes"] = {"DefaultNamespace": "x"}
    meta.write_text(json.dumps(content))
    before = home.files()
    wrong = home.dir.parent / "wrong"
    wrong.write_text("no certificate")
    secret = (pki / "key.pem").read_text().splitlines()[3]
    for what in [f"host=tcp://x,ca={wrong}", f"host=tcp://x,cert={pki}/cert.pem,key={wrong}", f"host=tcp://x,cert={pki}/key.pem,key={pki}/cert.pem", f"host=tcp://x,cert={pki}/cert.pem", "host=tcp://x,key=/nowhere",
                 "host=ftp://x", "host=x:1", f"ca={pki}/ca.pem", "from=one,host=tcp://x"]:
        for verb, name in ("create", "two"), ("update", "one"):
            text = home.err("context", verb, name, "--docker", what)
            assert text.startswith("unable to create docker endpoint config: ") and secret not in text, what
    assert "is set" in home.err("context", "create", "two", "--from", "one", "--docker", "host=unix:///x")
    # the last file cannot be written: the certificates are as they were
    place, aside = meta.parent, home.dir / "aside"
    for what in "host=unix:///x", f"host=tcp://x,ca={pki}/ca.pem":
        place.rename(aside), place.touch()
        assert str(place) in home.err("context", "create", "one", "--docker", what)
        place.unlink(), aside.rename(place)
        assert home.files() == before
    home.out("context", "create", "copy", "--from", "one")
    copy = json.loads(home.out("context", "inspect", "copy"))[0]
    assert copy["TLSMaterial"] and copy["Metadata"] == {"StackOrchestrator": "swarm"} and copy["Endpoints"]["kubernetes"] == {"DefaultNamespace": "x"}
    home.out("context", "update", "copy", "--description", "d", "--docker", "from=default")
    copy = json.loads(home.out("context", "inspect", "copy"))[0]
    assert copy["TLSMaterial"] == {} and copy["Metadata"] == {"StackOrchestrator": "swarm", "Description": "d"} and "kubernetes" in copy["Endpoints"]
    home.out("context", "update", "copy", "--description", "")
    assert json.loads(home.out("context", "inspect", "copy"))[0]["Metadata"] == {"StackOrchestrator": "swarm"}
    meta.write_text('{"Name": "one"')
    assert str(meta) in home.err("context", "ls")


def test_completion_knows_contexts(home, daemon):
    home.out("context", "create", "some-context", "--docker", "host=unix:///x")

    class At:
        def env(self):
            return daemon.env() | {"DOCKER_CONFIG": str(home.dir)}

    assert complete(At(), "pontoon -c some") == complete(At(), "pontoon context use some") == complete(At(), "pontoon context create --from some") == ["some-context"]
    assert complete(At(), "pontoon context rm -f some") == ["some-context"] and complete(At(), "pontoon context cr") == ["create"] and complete(At(), "pontoon context create ") == []
    assert "--docker" in complete(At(), "pontoon context update --d")
