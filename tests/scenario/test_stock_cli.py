"""What users of the stock `docker` command do every day, against us. One scene a client; then questions about it, and verbs on containers of their own."""
import json
import re
import signal
import subprocess
import time

import pytest
from conftest import QUICK, SOAK, Client, programs, wait_until

DOCKERS = [(n, p) for n, p in programs() if n.startswith("docker")]
if QUICK:
    DOCKERS = DOCKERS[:1]


@pytest.fixture(scope="module", params=[n for n, _ in DOCKERS])
def docker(request, daemon):
    """A client and its scene: web, db (labelled, on shop), done (exited 3), fresh (created), frozen (paused)."""
    d = Client(request.param, dict(DOCKERS)[request.param], daemon)
    d.out("network", "create", "--subnet", "10.77.0.0/24", "--label", "team=shop", "shop")
    d.out("tag", "alpine", "localhost:5000/team/web:1.0")
    d.out("run", "-d", "--name", "web", "--network", "shop", "--ip", "10.77.0.10", "--network-alias", "www", "--hostname", "webhost", "-e", "MODE=prod", "-l", "tier=front", "-l", "team=shop", "--expose", "80",
          "-w", "/srv", "localhost:5000/team/web:1.0", "sh", "-c", "echo started; echo problem >&2; sleep 1h")
    d.out("run", "-d", "--name", "db", "--network", "shop", "--restart", "on-failure:3", "-l", "tier=back", "-l", "team=shop", "-m", "64m", "--cpus", "0.5", "-u", "1000:1000", "--stop-signal", "SIGINT", "alpine", "sleep", "1h")
    d("run", "--name", "done", "alpine", "sh", "-c", "echo bye; exit 3")
    d.out("create", "--name", "fresh", "-it", "alpine", "sh")
    d.out("run", "-d", "--name", "frozen", "alpine", "sleep", "1h")
    d.out("pause", "frozen")
    yield d
    daemon.clean()
    d("rmi", "localhost:5000/team/web:1.0")
    daemon.api("DELETE", "/networks/shop")


@pytest.fixture
def mine(docker):
    """Names of containers that a test made; they go with it."""
    made = []

    def name(n):
        made.append(n)
        return n

    yield name
    if made:
        docker("rm", "-f", *made)


@pytest.fixture(scope="module")
def one(daemon):
    """Only one client, where what matters is what the daemon makes of it."""
    return Client(*DOCKERS[0], daemon)


def names(text):
    return sorted(text.split())


# --- ps ---

@pytest.mark.parametrize("args,want", [
    ([], ["db", "frozen", "web"]),
    (["-a"], ["db", "done", "fresh", "frozen", "web"]),
    (["-n", "2"], ["fresh", "frozen"]),
    (["-l"], ["frozen"]),
    (["-f", "name=we"], ["web"]),
    (["-f", "name=^we$"], []),
    (["-af", "status=exited"], ["done"]),
    (["-f", "status=paused"], ["frozen"]),
    (["-f", "status=created"], ["fresh"]),
    (["-f", "status=running"], ["db", "web"]),
    (["-af", "exited=3"], ["done"]),
    (["-af", "exited=0"], []),
    (["-f", "label=tier=front"], ["web"]),
    (["-f", "label=team"], ["db", "web"]),
    (["-f", "label=team=shop", "-f", "label=tier=back"], ["db"]),
    (["-f", "network=shop"], ["db", "web"]),
    (["-f", "network=bridge"], ["frozen"]),
    (["-f", "ancestor=alpine", "-a"], ["db", "done", "fresh", "frozen", "web"]),
    (["-a", "-f", "before=done"], ["db", "web"]),
    (["-a", "-f", "since=done"], ["fresh", "frozen"]),
    (["-f", "name=web", "-f", "name=db"], ["db", "web"]),
], ids=lambda a: " ".join(a) or "-")
def test_ps_filters(docker, args, want):
    assert names(docker.out("ps", *args, "--format", "{{.Names}}")) == want


def test_ps_columns(docker):
    text = docker.out("ps", "-a")
    assert re.match(r"CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n", text)
    assert re.search(r'^[0-9a-f]{12} +localhost:5000/team/web:1\.0 +"sh -c \'echo started…" +.* ago +Up .* +80/tcp +web$', text, re.M), text
    assert re.search(r"Exited \(3\) .* ago +done$", text, re.M) and re.search(r"Created +fresh$", text, re.M) and re.search(r"Up .* \(Paused\) +frozen$", text, re.M)


def test_ps_formats(docker):
    row = json.loads(docker.out("ps", "-f", "name=web", "--format", "{{json .}}"))
    assert (row["Names"], row["Image"], row["State"], row["Ports"], row["Networks"]) == ("web", "localhost:5000/team/web:1.0", "running", "80/tcp", "shop")
    assert set(row["Labels"].split(",")) == {"tier=front", "team=shop"}
    assert docker.out("ps", "-f", "name=web", "--format", "table {{.Names}}\t{{.Label \"tier\"}}").splitlines()[1].split() == ["web", "front"]
    ids = docker.out("ps", "-q").split()
    assert len(ids) == 3 and all(len(i) == 12 for i in ids)
    assert all(len(i) == 64 for i in docker.out("ps", "-q", "--no-trunc").split())
    assert "sh -c 'echo started; echo problem >&2; sleep 1h'" in docker.out("ps", "--no-trunc", "-f", "name=web")


def test_ps_wrong_filters(docker):
    assert "invalid filter" in docker("ps", "-f", "nonsense=1", ok=False).err
    for wrong, words in (("status=nonsense", "invalid filter 'status=nonsense'"), ("exited=x", "invalid filter 'exited=x'"), ("is-task=x", "invalid filter 'is-task=[x]'"), ("before=nobody", "No such container: nobody"),
                         ("since=nobody", "No such container: nobody")):
        assert words in docker("ps", "-f", wrong, ok=False).err, wrong
    assert docker.out("ps", "-qf", "is-task=true") == "" and docker.out("ps", "-q", "-f", "is-task=false") != ""


# --- inspect ---

@pytest.mark.parametrize("template,want", [
    ("{{.State.Status}} {{.State.Running}}", "running true"),
    ("{{.Config.Image}}", "localhost:5000/team/web:1.0"),
    ("{{.Config.Hostname}} {{.Config.WorkingDir}}", "webhost /srv"),
    ("{{range .Config.Env}}{{println .}}{{end}}", "MODE=prod"),
    ("{{index .Config.Labels \"tier\"}}", "front"),
    ("{{.Name}}", "/web"),
    ("{{.Path}} {{index .Args 0}}", "sh -c"),
    ("{{.NetworkSettings.Networks.shop.IPAddress}}", "10.77.0.10"),
    ("{{.NetworkSettings.Networks.shop.Gateway}}/{{.NetworkSettings.Networks.shop.IPPrefixLen}}", "10.77.0.1/24"),
    ("{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}", "shop"),
    ("{{.HostConfig.NetworkMode}} {{.HostConfig.RestartPolicy.Name}}", "shop no"),
    ("{{json .Config.ExposedPorts}}", '{"80/tcp":{}}'),
    ("{{len .Mounts}} {{.RestartCount}} {{.Platform}} {{.Driver}}", "0 0 linux overlay2"),
])
def test_inspect_web(docker, template, want):
    assert want in docker.out("inspect", "-f", template, "web")


@pytest.mark.parametrize("name,template,want", [
    ("db", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.Config.User}} {{.Config.StopSignal}}", "67108864 500000000 1000:1000 SIGINT"),
    ("db", "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}", "on-failure:3"),
    ("done", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}", "exited 3 0"),
    ("fresh", "{{.State.Status}} {{.State.StartedAt}} {{.Config.Tty}} {{.Config.OpenStdin}}", "created 0001-01-01T00:00:00Z true true"),
    ("frozen", "{{.State.Paused}} {{.State.Running}} {{.State.Status}}", "true true paused"),
    ("shop", "{{(index .IPAM.Config 0).Subnet}} {{.Driver}} {{.Scope}} {{.Internal}}", "10.77.0.0/24 bridge local false"),
    ("shop", "{{index .Labels \"team\"}} {{len .Containers}}", "shop 2"),
    ("alpine", "{{.Os}} {{len .RootFS.Layers}}", "linux 1"),
])
def test_inspect_others(docker, name, template, want):
    assert docker.out("inspect", "-f", template, name) == want


def test_inspect_by_kind_and_prefix(docker):
    full = docker.out("inspect", "-f", "{{.Id}}", "web")
    assert docker.out("inspect", "-f", "{{.Name}}", full[:7]) == "/web" and docker.out("container", "inspect", "-f", "{{.Id}}", "web") == full
    assert json.loads(docker.out("network", "inspect", "shop"))[0]["Containers"][full]["IPv4Address"] == "10.77.0.10/24"
    image = docker.out("image", "inspect", "-f", "{{.Id}}", "alpine")
    assert docker.out("inspect", "--type", "image", "-f", "{{json .RepoTags}}", image) == '["alpine:latest","localhost:5000/team/web:1.0"]'
    r = docker("inspect", "web", "no-such", "db", ok=False)
    assert len(json.loads(r.out)) == 2 and "No such object: no-such" in r.err
    assert "No such container" in docker("container", "inspect", "shop", ok=False).err


# --- logs, exec, top, stats-like ---

def test_logs(docker):
    r = docker("logs", "web", ok=True)
    assert (r.out, r.err) == ("started\n", "problem\n")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z started", docker.out("logs", "-t", "web"))
    assert docker.out("logs", "--tail", "0", "web") == "" and docker.out("logs", "--tail", "1", "done") == "bye"
    assert docker.out("logs", "--since", "1h", "done") == "bye" and docker.out("logs", "--until", "1h", "done") == ""
    assert "No such container: no-such" in docker("logs", "no-such", ok=False).err


def test_logs_follow_until_the_end(docker, mine):
    docker.out("run", "-d", "--name", mine("talker"), "alpine", "sh", "-c", "for i in 1 2 3 4 5; do echo tick $i; sleep 0.1; done")
    assert docker.out("logs", "-f", "talker", timeout=30).splitlines() == [f"tick {i}" for i in range(1, 6)]


def test_exec(docker):
    assert docker.out("exec", "web", "pwd") == "/srv" and docker.out("exec", "-w", "/etc", "web", "pwd") == "/etc"
    assert docker.out("exec", "-u", "nobody", "web", "id", "-un") == "nobody" and docker.out("exec", "db", "id", "-u") == "1000"
    assert docker.out("exec", "-e", "A=b c", "web", "sh", "-c", 'echo "$A $MODE"') == "b c prod"
    assert docker.out("exec", "-i", "web", "tr", "a-z", "A-Z", stdin="shout\n") == "SHOUT"
    assert [docker("exec", "web", "sh", "-c", f"exit {n}").rc for n in (0, 1, 42)] == [0, 1, 42]
    assert docker("exec", "web", "no-such-program").rc == 127
    assert "is not running" in docker("exec", "done", "true", ok=False).err and "is paused" in docker("exec", "frozen", "true", ok=False).err
    r = docker("exec", "web", "sh", "-c", "echo out; echo err >&2", ok=True)
    assert (r.out, r.err) == ("out\n", "err\n")


def test_exec_on_a_terminal(docker):
    t = docker.tty("exec", "-it", "web", "sh", rows=33, cols=101)
    t.expect(r"# ")

    def size():
        t.send("stty size; echo end\n")
        return t.expect(r"([^\n]*)\r\nend\r").group(1)

    # newer clients say the size with the request, older ones tell it once the shell is there
    assert size() == "33 101" if docker.name == "docker28" else wait_until(lambda: size() == "33 101")
    t.resize(44, 120)
    assert wait_until(lambda: size() == "44 120")
    t.send("sleep 100\n")
    time.sleep(0.2)
    t.send("\x03")
    t.expect(r"# ")
    t.send("exit 9\n")
    assert t.end() == 9


def test_exec_detached(docker):
    docker.out("exec", "-d", "web", "sh", "-c", "echo there > /srv/mark")
    assert wait_until(lambda: docker("exec", "web", "cat", "/srv/mark").out == "there\n")


def test_top_and_port(docker):
    assert re.match(r"UID +PID +PPID +C +STIME +TTY +TIME +CMD\n", docker.out("top", "web")) and "sleep 1h" in docker.out("top", "web")
    assert docker.out("top", "db", "-o", "pid,comm").splitlines()[0].split() == ["PID", "COMMAND"]
    assert "is not running" in docker("top", "done", ok=False).err
    assert docker.out("port", "web") == ""


def test_attach_and_detach(docker, mine):
    docker.out("run", "-dit", "--name", mine("shell"), "alpine", "sh")
    t = docker.tty("attach", "shell")
    t.send("echo $((40+2))\n")
    t.expect(r"42\r")
    t.send("\x10\x11")
    t.expect("read escape sequence")
    assert t.end() in (0, 1) and docker.out("inspect", "-f", "{{.State.Running}}", "shell") == "true"


def test_attach_sees_what_comes(docker, mine):
    docker.out("create", "--name", mine("later"), "alpine", "sh", "-c", "echo hello; exit 4")
    r = docker("start", "-a", "later")
    assert (r.rc, r.out) == (4, "hello\n")


# --- run ---

@pytest.mark.parametrize("args,command,want", [
    ([], "echo hello", "hello"),
    (["-e", "A=1", "-e", "B"], "echo $A$B", "1"),
    (["--entrypoint", "/bin/echo"], None, "-n x"),
    (["-u", "12345"], "id -u", "12345"),
    (["--hostname", "hh", "--domainname", "example.com"], "hostname -f", "hh.example.com"),
    (["--read-only"], "touch /x 2>&1 || echo refused", "refused"),
    (["--tmpfs", "/scratch:size=1m"], "df -k /scratch | tail -1 | tr -s ' ' | cut -d' ' -f2", "1024"),
    (["--cap-drop", "ALL"], "grep CapEff /proc/self/status", "0000000000000000"),
    (["--cap-add", "NET_ADMIN"], "ip link add br9 type bridge && ip -o link show br9 | cut -d: -f2", "br9"),
    (["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status | cut -f2", "1"),
    (["--ulimit", "nofile=123:456"], "ulimit -n; ulimit -Hn", "123\n456"),
    (["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1"),
    (["--shm-size", "2m"], "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2", "2048"),
    (["--add-host", "other:192.0.2.7"], "grep other /etc/hosts", "192.0.2.7\tother"),
    (["--dns", "192.0.2.53", "--dns-search", "example.org"], "grep -E '^(nameserver|search)' /etc/resolv.conf", "192.0.2.53"),
    (["--network", "none"], "ls /sys/class/net", "lo"),
    (["--network", "host"], "ls /sys/class/net", "docker0"),
    (["--pid", "host"], "[ $$ != 1 ] && echo others", "others"),
    (["--init"], "ps -o pid,comm | grep -c init", "1"),
    (["--group-add", "4242"], "id -G", "4242"),
    (["-m", "32m"], "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max", "33554432"),
    (["--pids-limit", "17"], "cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max", "17"),
    (["-v", "/etc/debian_version:/host/version:ro"], "cat /host/version; echo x 2>/dev/null > /host/version || echo refused", "refused"),
    (["--mount", "type=tmpfs,destination=/t,tmpfs-size=65536"], "df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2", "64"),
    (["--workdir", "/made/for/it"], "pwd", "/made/for/it"),
    (["--stop-timeout", "1", "--label", "a=b", "--label", "c"], "echo fine", "fine"),
    (["--mac-address", "02:00:00:00:00:07"], "cat /sys/class/net/eth0/address", "02:00:00:00:00:07"),
    (["--device", "/dev/null:/dev/mynull"], "ls /dev/mynull", "/dev/mynull"),
    (["--oom-score-adj", "77"], "cat /proc/self/oom_score_adj", "77"),
], ids=lambda a: " ".join(a) if isinstance(a, list) else None)
def test_run_options(one, args, command, want):
    tail = ["sh", "-c", command] if command else ["-n", "x"]
    if not command:
        tail, want = ["fixed"], "fixed"
    assert want in one.out("run", "--rm", *args, "alpine", *tail)


def test_run_in_the_network_of_another(docker):
    assert "10.77.0.10/24" in docker.out("run", "--rm", "--network", "container:web", "alpine", "ip", "-4", "-o", "addr", "show", "eth0")


def test_run_and_its_end(docker, mine):
    assert docker("run", "--rm", "alpine", "sh", "-c", "exit 5").rc == 5
    r = docker("run", "--rm", "alpine", "no-such-program")
    assert r.rc == 127 and "executable file not found in $PATH" in r.err
    assert docker("run", "--rm", "alpine", "/etc/passwd").rc == 126
    assert "gone-at-once" not in docker.out("ps", "-a")
    r = docker("run", "--name", "web", "alpine", "true")
    assert r.rc == 125 and 'Conflict. The container name "/web" is already in use by container' in r.err
    assert docker("run", "--memory", "1k", "alpine", "true").rc == 125
    assert docker.out("run", "-i", "--rm", "alpine", "wc", "-c", stdin="x" * 300000) == "300000"
    r = docker("run", "--rm", "alpine", "sh", "-c", "echo out; echo err >&2", ok=True)
    assert (r.out, r.err) == ("out\n", "err\n")
    assert docker("run", "-a", "stderr", "--rm", "alpine", "sh", "-c", "echo out; echo err >&2", ok=True).out == ""


def test_run_with_cidfile_and_env_file(docker, tmp_path):
    (tmp_path / "env").write_text("# comment\nA=from file\nB=two words\n")
    assert docker.out("run", "--rm", "--cidfile", str(tmp_path / "cid"), "--env-file", str(tmp_path / "env"), "alpine", "sh", "-c", "echo $A, $B") == "from file, two words"
    assert re.fullmatch(r"[0-9a-f]{64}", (tmp_path / "cid").read_text())


def test_run_on_a_terminal(docker):
    t = docker.tty("run", "--rm", "-it", "alpine", "sh")
    t.expect(r"# ")
    t.send("tty; echo $TERM\n")
    t.expect(r"/dev/pts/0\r\nxterm\r")
    t.send("exit\n")
    assert t.end() == 0


def test_signals_reach_the_process(docker, mine):
    p = docker.spawn("run", "--name", mine("trapper"), "alpine", "sh", "-c", "trap 'echo got it; exit 6' TERM; echo ready; while :; do sleep 0.05; done", stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    p.send_signal(signal.SIGTERM)
    assert p.stdout.read() == "got it\n" and p.wait(20) == 6


# --- the life of a container ---

def test_life(docker, mine):
    docker.out("create", "--name", mine("life"), "alpine", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    state = lambda: docker.out("inspect", "-f", "{{.State.Status}}", "life")
    assert state() == "created"
    assert docker.out("start", "life") == "life" and state() == "running"
    first = docker.out("inspect", "-f", "{{.State.StartedAt}}", "life")
    assert docker.out("restart", "-t", "5", "life") == "life" and docker.out("inspect", "-f", "{{.State.StartedAt}}", "life") != first
    assert docker.out("pause", "life") == "life" and state() == "paused"
    assert "already paused" in docker("pause", "life", ok=False).err
    assert docker.out("unpause", "life") == "life" and state() == "running"
    assert docker.out("rename", "life", mine("living")) == "" and docker.out("inspect", "-f", "{{.Name}}", "living") == "/living"
    assert "cannot remove" in docker("rm", "living", ok=False).err
    assert docker.out("stop", "-t", "10", "living") == "living"
    assert docker.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "living") == "exited 0"
    assert docker.out("stop", "living") == "living"
    assert "is not running" in docker("kill", "living", ok=False).err
    assert docker.out("rm", "living") == "living"
    assert "No such container" in docker("start", "living", ok=False).err


def test_restarted_again_and_again(docker, mine):
    docker.out("run", "-d", "--name", mine("again"), "alpine", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    for _ in range(300 if SOAK else 8):
        docker.out("restart", "-t", "5", "again")
        assert docker.out("inspect", "-f", "{{.State.Status}}", "again") == "running"


def test_kill_and_wait(docker, mine):
    docker.out("run", "-d", "--name", mine("victim"), "alpine", "sleep", "1h")
    p = docker.spawn("wait", "victim", stdout=subprocess.PIPE, text=True)
    time.sleep(0.2)
    assert docker.out("kill", "victim") == "victim"
    assert p.communicate(timeout=20)[0] == "137\n"
    assert docker.out("wait", "done") == "3"
    assert "nvalid signal: NONSENSE" in docker("kill", "-s", "NONSENSE", "web", ok=False).err


def test_several_at_once(docker, mine):
    three = [docker.out("run", "-d", "--name", mine(f"many{i}"), "alpine", "sleep", "1h") for i in range(3)]
    assert docker.out("stop", "-t", "0", "many0", "many1", "many2").split() == ["many0", "many1", "many2"]
    r = docker("rm", "many0", "none-such", "many1", ok=False)
    assert r.out.split() == ["many0", "many1"] and "No such container: none-such" in r.err
    assert docker.out("rm", three[2][:12]) == three[2][:12]


# --- images ---

def test_images(docker):
    text = docker.out("images")
    assert re.match(r"REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\n", text) and re.search(r"^localhost:5000/team/web +1\.0 +[0-9a-f]{12} +.* ago +[\d.]+[kM]B$", text, re.M)
    assert docker.out("images", "-q", "alpine") == docker.out("images", "-q", "localhost:5000/team/web")
    assert docker.out("images", "--format", "{{.Repository}}:{{.Tag}}", "alpine") == "alpine:latest"
    assert docker.out("image", "ls", "-q", "--no-trunc", "alpine").startswith("sha256:")
    assert docker.out("images", "-f", "reference=localhost:5000/*/*", "-q") != "" and docker.out("images", "-f", "dangling=true", "-q") == ""


def test_tag_rmi_history_import(docker, busybox, tmp_path):
    docker.out("tag", "alpine", "another:name")
    assert "Untagged: another:name" in docker.out("rmi", "another:name")
    assert "No such image: another:name" in docker("rmi", "another:name", ok=False).err
    docker.out("import", "-c", "ENV X=y", "-c", 'CMD ["/bin/echo", "from the image"]', "-m", "imported", str(busybox), "imported:1")
    assert docker.out("run", "--rm", "imported:1") == "from the image"
    assert docker.out("inspect", "-f", "{{json .Config.Env}} {{.Comment}}", "imported:1") == '["X=y"] imported'
    assert "imported" in docker.out("history", "imported:1") and docker.out("history", "-q", "imported:1")
    assert "Deleted: sha256:" in docker.out("rmi", "imported:1")
    assert "image is being used by running container" in docker("rmi", docker.out("images", "-q", "alpine"), ok=False).err


# --- networks ---

def test_networks(docker, mine):
    text = docker.out("network", "ls")
    assert re.match(r"NETWORK ID +NAME +DRIVER +SCOPE\n", text)
    for line in r"bridge +bridge +local", r"host +host +local", r"none +null +local", r"shop +bridge +local":
        assert re.search(rf"^[0-9a-f]{{12}} +{line}$", text, re.M)
    assert docker.out("network", "ls", "-f", "label=team=shop", "--format", "{{.Name}}") == "shop"
    assert names(docker.out("network", "ls", "-f", "driver=bridge", "--format", "{{.Name}}")) == ["bridge", "shop"]
    assert names(docker.out("network", "ls", "-f", "type=builtin", "--format", "{{.Name}}")) == ["bridge", "host", "none"]
    assert "network with name shop already exists" in docker("network", "create", "shop", ok=False).err
    assert "has active endpoints" in docker("network", "rm", "shop", ok=False).err
    assert "bridge is a pre-defined network and cannot be removed" in docker("network", "rm", "bridge", ok=False).err
    assert "no-such" in docker("network", "connect", "no-such", "web", ok=False).err


def test_names_and_joining(docker, mine):
    assert "1 packets received" in docker.out("exec", "web", "ping", "-c1", "-W2", "db")
    assert "1 packets received" in docker.out("exec", "-u", "0", "db", "ping", "-c1", "-W2", "www")
    docker.out("network", "create", "side")
    try:
        docker.out("network", "connect", "--alias", "guest", "side", "web")
        docker.out("run", "-d", "--name", mine("sider"), "--network", "side", "alpine", "sleep", "1h")
        assert "1 packets received" in docker.out("exec", "sider", "ping", "-c1", "-W2", "guest")
        assert names(docker.out("inspect", "-f", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}", "web")) == ["shop", "side"]
        docker.out("network", "disconnect", "side", "web")
        assert docker("exec", "sider", "ping", "-c1", "-W1", "guest").rc != 0
        docker.out("rm", "-f", "sider")
    finally:
        docker("network", "disconnect", "-f", "side", "web")
        assert docker.out("network", "rm", "side") == "side"


# --- events, info ---

def test_events(docker, mine):
    since = f"{time.time():.3f}"
    docker.out("run", "--name", mine("noted"), "-l", "mark=1", "alpine", "true")
    docker.out("rm", "noted")
    got = [e.split() for e in docker.out("events", "--since", since, "--until", f"{time.time() + 0.1:.3f}", "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}").splitlines()]
    mine_only = [e[1] for e in got if e[0] == "container" and e[2] == "noted"]
    assert [a for a in mine_only if a in ("create", "start", "die", "destroy")] == ["create", "start", "die", "destroy"]
    assert [e[1] for e in got if e[0] == "network" and e[2] == "bridge"] == ["connect", "disconnect"]
    only = docker.out("events", "--since", since, "--until", f"{time.time() + 0.1:.3f}", "-f", "event=die", "-f", "label=mark=1", "--format", "{{json .}}")
    assert json.loads(only)["Actor"]["Attributes"]["exitCode"] == "0"
    assert docker.out("events", "--until", "0") == "" and "noted" in docker.out("events", "--since", "0", "--until", f"{time.time() + 0.1:.3f}")
    r = docker("events", "--since", since, "--until", "1", ok=False)
    assert f"`since` time ({since}" in r.err and "cannot be after `until` time (1" in r.err


def test_version_and_info(docker):
    assert re.fullmatch(r"\d+\.\d+\.\d+", docker.out("version", "-f", "{{.Server.Version}}"))
    assert "conmon" in docker.out("version") and "linux/" in docker.out("version", "-f", "{{.Server.Os}}/{{.Server.Arch}}")
    assert docker.out("info", "-f", "{{.Driver}} {{.OSType}} {{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}}") == "overlay2 linux 5 2 1"
    r = docker("info", ok=True)
    assert "Storage Driver: overlay2" in r.out and "Swarm: inactive" in r.out and "Backing Filesystem:" in r.out


def test_a_daemon_that_is_not_there(docker):
    p = subprocess.run([docker.program, "-H", "unix:///none.sock", "ps"], env=docker.daemon.env(), capture_output=True, text=True)
    assert p.returncode != 0 and "Is the docker daemon running?" in p.stderr
