"""A compose project, with Debian's docker-compose."""
import os
import re
import shutil
import subprocess

import pytest
from conftest import QUICK

PROJECT = """
version: "2.4"
services:
  mongo-db:
    image: alpine
    command: sleep 1h
  downloader:
    image: alpine
    command: sh -c "while :; do echo tick; sleep 1; done"
    depends_on: [mongo-db]
    networks:
      default:
        aliases: [ytdl]
networks:
  default:
    driver_opts:
      com.docker.network.driver.mtu: "1400"
"""


@pytest.fixture
def compose(daemon, tmp_path):
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed")
    (tmp_path / "docker-compose.yml").write_text(PROJECT)

    def run(*args, ok=True):
        p = subprocess.run(["docker-compose", "--no-ansi", "-p", "youtube-dl", *args], cwd=tmp_path, env=daemon.env(), capture_output=True, text=True, timeout=120)
        assert (p.returncode == 0) == ok, p.stdout + p.stderr
        return p.stdout + p.stderr

    yield run
    run("down", "-t", "0")
    daemon.clean()


def test_project(compose, daemon):
    text = compose("up", "-d")
    assert 'Creating network "youtube-dl_default"' in text
    network = daemon.api("GET", "/networks/youtube-dl_default")[1]
    assert network["Labels"]["com.docker.compose.project"] == "youtube-dl" and len(network["Containers"]) == 2
    assert "Up" in compose("ps")
    assert "1 packets received" in compose("exec", "-T", "downloader", "ping", "-c1", "-W1", "mongo-db")
    assert "1 packets received" in compose("exec", "-T", "mongo-db", "ping", "-c1", "-W1", "ytdl")
    assert "tick" in compose("logs", "downloader")
    assert "up-to-date" in compose("up", "-d")
    compose("restart", "-t", "0", "mongo-db")
    assert "1 packets received" in compose("exec", "-T", "downloader", "ping", "-c1", "-W1", "mongo-db")
    compose("down", "-t", "0")
    assert daemon.api("GET", "/networks/youtube-dl_default")[0] == 404
    assert daemon.api("GET", "/containers/json?all=1")[1] == [] and daemon.doctor() == []


SHOP = """
version: "2.4"
services:
  db:
    image: alpine
    command: sh -c "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    volumes: ["data:/data"]
    environment: {MODE: prod}
    healthcheck: {test: ["CMD", "test", "-d", "/data"], interval: 0.3s, retries: 3}
    networks: {back: {aliases: [store]}}
    restart: unless-stopped
    mem_limit: 64m
    stop_signal: SIGTERM
  web:
    image: alpine
    command: nc -ll -p 80 -e echo served
    depends_on: {db: {condition: service_healthy}}
    networks: [back, front]
    ports: ["127.0.0.1:18081:80"]
    extra_hosts: ["other:192.0.2.9"]
    labels: {tier: front}
    tmpfs: ["/scratch:size=1m,mode=1770", "/run"]
    ulimits: {nofile: {soft: 1234, hard: 2345}, nproc: 200}
    sysctls: {net.core.somaxconn: 321}
    pids_limit: -1
    read_only: true
    user: "1000:50"
    shm_size: 8m
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
"""


def traces():
    """Names of links and all rules: what a project that is gone leaves as it was."""
    links = sorted(re.findall(r"^\d+: ([^:@]+)", subprocess.check_output(["ip", "-o", "link"], text=True), re.M))
    rules = [subprocess.check_output([p], text=True) for p in ("iptables-save", "ip6tables-save")] + [subprocess.check_output(["nft", "list", "ruleset"], text=True, stderr=subprocess.DEVNULL)]
    return links, [re.sub(r"^#.*\n|\[\d+:\d+\]|packets \d+ bytes \d+", "", r, flags=re.M) for r in rules]


@pytest.fixture
def shop(daemon, tmp_path):
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed")
    file = tmp_path / "docker-compose.yml"
    file.write_text(SHOP)

    def run(*args, ok=True, **kw):
        p = subprocess.run(["docker-compose", "-p", "shop", *args], cwd=tmp_path, env=daemon.env(), capture_output=True, text=True, timeout=180, **kw)
        assert (p.returncode == 0) == ok, p.stdout + p.stderr
        return p.stdout + p.stderr

    run.file = file
    yield run
    run("down", "-v", "-t", "0", "--remove-orphans")
    daemon.clean()


@pytest.mark.skipif(QUICK, reason="played in the other run")
def test_everyday_compose(shop, daemon):
    before = traces()
    text = shop("up", "-d")
    assert "Creating volume" in text and 'Creating network "shop_back"' in text
    one = lambda name: daemon.api("GET", f"/containers/{name}/json")[1]
    db, web = one("shop_db_1"), one("shop_web_1")
    assert db["State"]["Health"]["Status"] == "healthy" and db["HostConfig"]["Memory"] == 64 << 20 and "MODE=prod" in db["Config"]["Env"]
    assert set(web["NetworkSettings"]["Networks"]) == {"shop_back", "shop_front"} and web["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == "18081"
    assert daemon.api("GET", "/networks/shop_back")[1]["Internal"] is True and db["Mounts"][0]["Name"] == "shop_data"
    # names, extra hosts, exec with a status, a file in the volume
    assert "1 packets received" in shop("exec", "-T", "-u", "0", "web", "ping", "-c1", "-W2", "store")
    assert web["HostConfig"]["ExtraHosts"] == ["other:192.0.2.9"]
    shop("exec", "-T", "db", "sh", "-c", "echo kept > /data/file")
    # limits, tmpfs, sysctls and the user
    text = shop("exec", "-T", "web", "sh", "-c", "ulimit -n; ulimit -Hn; ulimit -u; cat /proc/sys/net/core/somaxconn; id -u; id -g; grep -E ' /scratch | /run | /dev/shm ' /proc/mounts; touch /scratch/f /root-is-closed; ls /scratch || true")
    assert text.split()[:6] == ["1234", "2345", "200", "321", "1000", "50"]
    assert "size=1024k,mode=1770" in text and "size=8192k" in text and " /run tmpfs" in text and "/root-is-closed: Read-only file system" in text
    # what it says of itself
    assert "Up (healthy)" in shop("ps") and set(shop("ps", "-q").split()) == {db["Id"], web["Id"]} and shop("port", "web", "80").strip() == "127.0.0.1:18081"
    # stop and start
    shop("stop", "-t", "5", "db")
    assert one("shop_db_1")["State"]["ExitCode"] == 0
    shop("start", "db")
    # a change makes a new container of the service, with its volume; the others stay
    shop.file.write_text(SHOP.replace("MODE: prod", "MODE: test"))
    assert "Recreating" in shop("up", "-d", "-t", "0")
    again = one("shop_db_1")
    assert again["Id"] != db["Id"] and "MODE=test" in again["Config"]["Env"] and "kept" in shop("exec", "-T", "db", "cat", "/data/file")
    # several of one service, and one to be thrown away
    shop("up", "-d", "-t", "0", "--scale", "db=3")
    assert len(daemon.api("GET", "/networks/shop_back")[1]["Containers"]) == 4
    assert "thrown" in shop("run", "--rm", "-T", "--no-deps", "db", "echo", "thrown")
    # what is left behind
    shop("down", "-t", "0")
    assert daemon.api("GET", "/volumes/shop_data")[0] == 200
    shop("up", "-d", "db")
    assert "kept" in shop("exec", "-T", "db", "cat", "/data/file")
    shop("down", "-v", "-t", "0")
    assert daemon.api("GET", "/volumes/shop_data")[0] == 404 and daemon.api("GET", "/containers/json?all=1")[1] == [] and daemon.doctor() == []
    assert traces() == before and daemon.api("GET", "/volumes")[1]["Volumes"] in ([], None)


def test_logs_and_foreground(shop, daemon):
    shop.file.write_text(SHOP.replace("nc -ll -p 80 -e echo served", 'sh -c "for i in 1 2 3; do echo tick $$i; sleep 0.1; done"'))
    text = shop("up", "--abort-on-container-exit", "-t", "0")
    assert "tick 1" in text and "tick 3" in text and "exited with code 0" in text
    assert "tick 2" in shop("logs", "web") and "tick 3" in shop("logs", "--tail=1", "web") and "tick 1" not in shop("logs", "--tail=1", "web")
