"""The main job: two containers on docker0, seen from inside, with every client there is."""
import json
import re
import subprocess

from conftest import LAB


def test_scene(cli):
    a = cli.out("container", "run", "-d", "--name", "a-in-docker0", "alpine", "sleep", "1h")
    assert re.fullmatch(r"[0-9a-f]{64}", a)
    t = cli.tty("container", "run", "-it", "--name", "b-in-docker0", "alpine", "sh")
    t.expect(r"# ")
    t.send("ip addr\n")
    t.expect(r"eth0@if\d+: ")
    t.expect(r"link/ether 02:42:ac:11:00:03")
    t.expect(r"inet 172\.17\.0\.3/16 brd 172\.17\.255\.255")
    t.send("ping -c 1 -W 2 172.17.0.2\n")
    t.expect(r"1 packets received")
    t.send("ping -c 1 a-in-docker0\n")
    t.expect(r"bad address 'a-in-docker0'")
    x = cli.tty("container", "exec", "-it", "a-in-docker0", "sh")
    x.expect(r"# ")
    x.send("ps aux\n")
    x.expect(r"1 root +sleep 1h")
    x.expect(r"\d+ root +sh\r")
    x.expect(r"\d+ root +(ps aux|\{ps\} sh)\r")
    x.expect(r"# ")
    x.send("ip addr show eth0\n")
    x.expect(r"link/ether 02:42:ac:11:00:02")
    x.expect(r"inet 172\.17\.0\.2/16")
    x.send("ping -c 1 -W 1 b-in-docker0\n")
    x.expect(r"bad address")
    x.send("ping -c 1 -W 2 172.17.0.3\n")
    x.expect(r"1 packets received")
    x.send("exit 3\n")
    assert x.end() == 3
    t.send("exit\n")
    t.end()


def test_inside(cli):
    text = cli.out("run", "--rm", "--name", "cc", "alpine", "sh", "-c", "ip route; cat /etc/hosts /etc/hostname; grep nameserver /etc/resolv.conf; hostname; id; pwd; echo $HOME $PATH; cat /proc/self/status")
    assert re.search(r"^default via 172\.17\.0\.1 dev eth0", text, re.M)
    assert re.search(r"^172\.17\.0\.0/16 dev eth0 .*src 172\.17\.0\.2", text, re.M)
    host = re.search(r"^172\.17\.0\.2\t([0-9a-f]{12})$", text, re.M).group(1)
    assert text.count(host) >= 3
    assert "127.0.0.1\tlocalhost" in text and "::1" not in text
    assert "nameserver 10.99.0.2" in text
    assert "/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in text
    assert re.search(r"^CapEff:\t00000000a80425fb$", text, re.M)
    assert re.search(r"^Seccomp:\t2$", text, re.M)


def test_masquerade_and_outside(cli):
    assert "1 packets received" in cli.out("run", "--rm", "alpine", "ping", "-c", "1", "-W", "2", "10.99.0.2")


def test_firewall_listing(daemon):
    def rules(*args):
        return subprocess.run(["iptables", *args], capture_output=True, text=True, check=True).stdout.splitlines()

    assert rules("-S", "FORWARD") == [
        "-P FORWARD DROP", "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
        "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A FORWARD -o docker0 -j DOCKER",
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT", "-A FORWARD -i docker0 -o docker0 -j ACCEPT"]
    assert rules("-S", "DOCKER-USER") == ["-N DOCKER-USER", "-A DOCKER-USER -j RETURN"]
    assert rules("-S", "DOCKER") == ["-N DOCKER"]
    assert rules("-S", "DOCKER-ISOLATION-STAGE-1")[1:] == [
        "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2", "-A DOCKER-ISOLATION-STAGE-1 -j RETURN"]
    assert rules("-S", "DOCKER-ISOLATION-STAGE-2")[1:] == ["-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP", "-A DOCKER-ISOLATION-STAGE-2 -j RETURN"]
    assert "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE" in rules("-t", "nat", "-S")
    assert "-A PREROUTING -d 172.17.0.0/16 ! -i docker0 -m addrtype ! --dst-type LOCAL -j DROP" in rules("-t", "raw", "-S")


def test_lowest_free_address_and_stable_mac(any_cli):
    for n in "abc":
        any_cli.out("run", "-d", "--name", f"c-{n}", "alpine", "sleep", "1h")
    any_cli.out("rm", "-f", "c-b")
    any_cli.out("run", "-d", "--name", "c-d", "alpine", "sleep", "1h")
    row = json.loads(any_cli.out("inspect", "c-d"))[0]["NetworkSettings"]
    assert (row["IPAddress"], row["MacAddress"], row["Gateway"], row["IPPrefixLen"]) == ("172.17.0.3", "02:42:ac:11:00:03", "172.17.0.1", 16)
    assert row["Networks"]["bridge"]["IPAddress"] == "172.17.0.3"
    # a new owner of an address is reached at once
    assert "1 packets received" in any_cli.out("exec", "c-a", "ping", "-c", "1", "-W", "1", "172.17.0.3")
