"""Every flag and option of networks and endpoints, and every refusal with its status and text: one row each, at several API versions."""
import json
import re
import subprocess

import pytest

from conftest import Client, programs

VERSIONS = [24, 40, 41, 44, 47, 48, 51]
B = "com.docker.network.bridge."
N = "com.docker.network."


def ipam(*configs, **more):
    return dict({"Config": [dict(c) for c in configs]}, **more)


def sub(subnet, gateway=None, range=None, **aux):
    return {k: v for k, v in {"Subnet": subnet, "Gateway": gateway, "IPRange": range, "AuxiliaryAddresses": aux or None}.items() if v}


# What is asked for, and the status and text that it gets.
REFUSED = [
    ({"Name": ""}, 400, "invalid name: name is empty"),
    ({"Name": " \t"}, 400, "invalid name: name is empty"),
    ({"Name": "taken"}, 409, "network with name taken already exists"),
    ({"Name": "bridge"}, 403, "operation is not permitted on predefined bridge network "),
    ({"Name": "host"}, 403, "operation is not permitted on predefined host network "),
    ({"Name": "none"}, 403, "operation is not permitted on predefined none network "),
    ({"Driver": "nope"}, 404, 'plugin "nope" not found'),
    ({"Driver": "macvlan"}, 404, 'plugin "macvlan" not found'),
    ({"Driver": "ipvlan"}, 404, 'plugin "ipvlan" not found'),
    ({"Driver": "overlay"}, 404, 'plugin "overlay" not found'),
    ({"IPAM": {"Driver": "nope"}}, 404, 'plugin "nope" not found'),
    ({"IPAM": {"Driver": "null"}}, 400, "ipv4 pool is empty"),
    ({"IPAM": {"Driver": "null"}, "EnableIPv4": False, "EnableIPv6": True}, 400, "ipv6 pool is empty"),
    ({"EnableIPv4": False}, 400, "IPv4 or IPv6 must be enabled"),
    ({"IPAM": ipam(sub("172.30.99.0/24"))}, 403, "invalid pool request: Pool overlaps with other one on this address space"),
    ({"IPAM": ipam(sub("172.30.0.0/8"))}, 400, "invalid network config:\ninvalid subnet 172.30.0.0/8: it should be 172.0.0.0/8"),
    ({"IPAM": ipam(sub("10.9.0.1/24"))}, 400, "invalid network config:\ninvalid subnet 10.9.0.1/24: it should be 10.9.0.0/24"),
    ({"IPAM": ipam(sub("soup"))}, 400, "invalid network config:\ninvalid subnet soup: invalid CIDR block notation"),
    ({"IPAM": ipam(sub("10.9.0.0/24", range="fd00::/64"))}, 400, "invalid network config:\ninvalid ip-range fd00::/64: parent subnet is an IPv4 block"),
    ({"IPAM": ipam(sub("10.9.0.0/24", range="10.9.0.0/16"))}, 400, "invalid network config:\ninvalid ip-range 10.9.0.0/16: CIDR block is bigger than its parent subnet 10.9.0.0/24"),
    ({"IPAM": ipam(sub("10.9.0.0/24", range="10.9.0.9/28"))}, 400, "invalid network config:\ninvalid ip-range 10.9.0.9/28: it should be 10.9.0.0/28"),
    ({"IPAM": ipam(sub("10.9.0.0/24", range="10.8.0.0/28"))}, 400, "invalid network config:\ninvalid ip-range 10.8.0.0/28: parent subnet 10.9.0.0/24 doesn't contain ip-range"),
    ({"IPAM": ipam(sub("10.9.0.0/24", "10.8.0.1"))}, 400, "invalid network config:\ninvalid gateway 10.8.0.1: parent subnet 10.9.0.0/24 doesn't contain this address"),
    ({"IPAM": ipam(sub("10.9.0.0/24", "fd00::1"))}, 400, "invalid network config:\ninvalid gateway fd00::1: parent subnet is an IPv4 block"),
    ({"IPAM": ipam(sub("10.9.0.0/24", "soup"))}, 400, "invalid network config:\ninvalid gateway soup: invalid address"),
    ({"IPAM": ipam(sub("10.9.0.0/24", host="10.8.0.1"))}, 400, "invalid network config:\ninvalid auxiliary address host 10.8.0.1: parent subnet 10.9.0.0/24 doesn't contain this address"),
    ({"IPAM": ipam(sub("10.9.0.1/24", "10.8.0.1"), sub("soup"))}, 400,
     "invalid network config:\ninvalid subnet 10.9.0.1/24: it should be 10.9.0.0/24\ninvalid gateway 10.8.0.1: parent subnet 10.9.0.0/24 doesn't contain this address\ninvalid subnet soup: invalid CIDR block notation"),
    ({"IPAM": ipam(sub("10.9.0.0/24", "10.9.0.7", x="10.9.0.7"))}, 500, "failed to allocate gateway (10.9.0.7): Address already in use"),
    ({"IPAM": ipam(sub("10.9.0.0/24", DefaultGatewayIPv4="10.9.0.7")), "Internal": True}, 400, "no gateway can be set on an internal bridge network"),
    ({"IPAM": ipam(sub("10.9.0.0/24"), sub("10.10.0.0/24"))}, 403, "bridge driver doesn't support multiple subnets"),
    ({"EnableIPv6": True, "IPAM": ipam(sub("ff02::/64"))}, 400, "multicast subnet 'ff02::/64' is not allowed"),
    ({"EnableIPv6": True, "IPAM": ipam(sub("fe80::/80"))}, 400, "'fe80::/80' clashes with the Link-Local prefix 'fe80::/64'"),
    ({"IPAM": ipam(sub("0.0.0.0/12"))}, 400, "invalid address pool"),
    ({"Options": {N + "driver.mtu": "abc"}}, 400, re.compile(r"failed to parse com.docker.network.driver.mtu value: abc \(.+\)")),
    ({"Options": {N + "driver.mtu": "-1"}}, 400, "invalid MTU number: -1"),
    ({"Options": {B + "enable_icc": "perhaps"}}, 400, re.compile(r"failed to parse com.docker.network.bridge.enable_icc value: perhaps \(.+\)")),
    ({"Options": {B + "enable_ip_masquerade": "x"}}, 400, re.compile(r"failed to parse com.docker.network.bridge.enable_ip_masquerade value: x \(.+\)")),
    ({"Options": {B + "gateway_mode_ipv4": "xyz"}}, 400, re.compile("unknown gateway mode xyz")),
    ({"Options": {B + "gateway_mode_ipv4": "isolated"}}, 500, "gateway mode 'isolated' can only be used for an internal network"),
    ({"Options": {B + "host_binding_ipv4": "soup"}}, 400, re.compile("failed to parse com.docker.network.bridge.host_binding_ipv4 value: soup")),
    ({"Options": {N + "host_ipv4": "fd00::1"}}, 400, re.compile("failed to parse com.docker.network.host_ipv4 value: fd00::1")),
    ({"Options": {B + "name": "a name"}}, 400, re.compile("failed to parse com.docker.network.bridge.name value: a name")),
    *[({"Options": {B + "name": name}}, 400, re.compile(re.escape(f"failed to parse com.docker.network.bridge.name value: {name} (")))
      for name in ("br%d", "br+", "br*", "br:1", 'br"x', "br;x", "br'x", "!br", "-x", ".x", "br\\x", "brä", "a/b", "sixteen-bytes-xx", "lo", "all", "default")],
    *[({"Options": {N + "container_iface_prefix": name}}, 400, re.compile(re.escape(f"failed to parse com.docker.network.container_iface_prefix value: {name} (")))
      for name in ("e%d", "e:", "..", "x+", "fourteen-bytes")],
    ({"Options": {B + "trusted_host_interfaces": "lan+"}}, 400, re.compile("failed to parse")),
    ({"Name": "."}, 400, 'invalid name: no request could name a network "."'),
    ({"Name": ".."}, 400, 'invalid name: no request could name a network ".."'),
    ({"Name": "a\nb"}, 400, "invalid name: it has control characters"),
    ({"Options": {B + "name": "docker0"}}, 403, re.compile("networks have same bridge name")),
    ({"Options": {B + "name": "brtaken"}}, 403, re.compile(r"cannot create network [0-9a-f]{64} \(brtaken\): conflicts with network [0-9a-f]{64} \(brtaken\): networks have same bridge name")),
    ({"Options": {B + "name": "uplink0"}}, 400, re.compile("the device uplink0 exists and is not a bridge")),
    ({"Options": {B + "trusted_host_interfaces": "lan0::lan1"}}, 400, re.compile("failed to parse com.docker.network.bridge.trusted_host_interfaces value: lan0::lan1")),
    ({"Options": {B + "trusted_host_interfaces": "lan0 -j ACCEPT"}}, 400, re.compile("failed to parse")),
    ({"Options": {N + "advertise_addr_nmsgs": "4"}}, 500, "com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3"),
    ({"Options": {N + "advertise_addr_ms": "99"}}, 500, "com.docker.network.advertise_addr_ms must be in the range 100 to 2000"),
    ({"Options": {N + "advertise_addr_ms": "x"}}, 400, re.compile("failed to parse com.docker.network.advertise_addr_ms value: x")),
    ({"ConfigOnly": True, "Internal": True}, 403,
     "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."),
    ({"ConfigFrom": {"Network": "nope"}}, 404, 'configuration network "nope" does not exist'),
    ({"ConfigFrom": {"Network": "taken"}}, 404, 'configuration network "taken" does not exist'),
    ({"ConfigFrom": {"Network": "params"}, "Labels": {"a": "b"}}, 403, "user-specified configurations are not supported if the network depends on a configuration network"),
    ({"ConfigFrom": {"Network": "params"}, "IPAM": ipam(sub("10.9.0.0/24"))}, 403, "user-specified configurations are not supported if the network depends on a configuration network"),
    ({"Scope": "swarm"}, 403, 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'),
    ({"Ingress": True}, 403, 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'),
]

# What is asked for, what inspect then says, and what is on the host.
MADE = [
    ({}, {"Driver": "bridge", "EnableIPv6": False, "Internal": False, "Attachable": False, "Ingress": False, "ConfigOnly": False, "Scope": "local", "Options": {}, "IPAMOptions": {}, "Labels": {}}, None),
    ({"IPAM": ipam(sub("10.9.0.0/24"))}, {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]}, "inet 10.9.0.1/24"),
    ({"IPAM": ipam(sub("10.9.0.0/24", range="10.9.0.64/26"))}, {"Config": [{"Subnet": "10.9.0.0/24", "IPRange": "10.9.0.64/26", "Gateway": "10.9.0.64"}]}, "inet 10.9.0.64/24"),
    ({"IPAM": ipam(sub("10.9.0.0/24", "10.9.0.254", a="10.9.0.2", b="10.9.0.3"))},
     {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.254", "AuxiliaryAddresses": {"a": "10.9.0.2", "b": "10.9.0.3"}}]}, "inet 10.9.0.254/24"),
    ({"IPAM": ipam(sub("10.9.0.0/31"), Options={"foo": "bar"})}, {"Config": [{"Subnet": "10.9.0.0/31", "Gateway": "10.9.0.0"}], "IPAMOptions": {"foo": "bar"}}, "inet 10.9.0.0/31"),
    ({"EnableIPv6": True, "IPAM": ipam(sub("10.9.0.0/24"), sub("fd00:9::/64"))},
     {"EnableIPv6": True, "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}, {"Subnet": "fd00:9::/64", "Gateway": "fd00:9::1"}]}, "inet6 fd00:9::1/64"),
    ({"EnableIPv6": True, "IPAM": ipam(sub("fd00:9::/127"))}, {"EnableIPv6": True}, "inet6 fd00:9::/127"),
    ({"IPAM": ipam(sub("10.9.0.0/24"), sub("fd00:9::/64"))}, {"EnableIPv6": False, "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]}, None),
    ({"EnableIPv4": False, "EnableIPv6": True, "IPAM": ipam(sub("fd00:9::/64"))}, {"EnableIPv6": True, "Config": [{"Subnet": "fd00:9::/64", "Gateway": "fd00:9::1"}]}, "inet6 fd00:9::1/64"),
    ({"Internal": True, "Attachable": True, "Labels": {"x": "y"}}, {"Internal": True, "Attachable": True, "Labels": {"x": "y"}}, None),
    ({"Internal": True, "Options": {B + "gateway_mode_ipv4": "isolated"}, "IPAM": ipam(sub("10.9.0.0/31"))}, {"Config": [{"Subnet": "10.9.0.0/31"}]}, "!inet 10.9"),
    ({"Options": {B + "inhibit_ipv4": "true"}, "IPAM": ipam(sub("10.9.0.0/24"))}, {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]}, "!inet 10.9"),
    ({"Options": {N + "driver.mtu": "1280"}}, {"Options": {N + "driver.mtu": "1280"}}, "mtu 1280"),
    ({"Options": {N + "driver.mtu": "9000"}}, {}, "mtu 9000"),
    ({"Options": {N + "enable_ipv6": "true"}, "IPAM": ipam(sub("fd00:9::/64"))}, {"EnableIPv6": True, "Options": {N + "enable_ipv6": "true"}}, "inet6 fd00:9::1/64"),
    ({"Options": {N + "enable_ipv6": "true"}, "EnableIPv6": False}, {"EnableIPv6": False, "Options": {}}, None),
    ({"Options": {B + "name": "", N + "container_iface_prefix": ""}}, {"Options": {B + "name": "", N + "container_iface_prefix": ""}}, None),
    ({"Options": {"unknown.option": "is kept"}}, {"Options": {"unknown.option": "is kept"}}, None),
    ({"Options": {B + "trusted_host_interfaces": "lan0:lan1", N + "advertise_addr_nmsgs": "0", N + "advertise_addr_ms": "2000", N + "container_iface_prefix": "net"}}, {}, None),
    ({"Driver": "bridge", "CheckDuplicate": True, "IPAM": {"Driver": "default", "Config": []}}, {"Driver": "bridge"}, None),
]


def fits(text, want):
    return want.search(text) if hasattr(want, "search") else text == want


@pytest.fixture(scope="module")
def scene(daemon):
    made = [{"Name": "taken", "IPAM": ipam(sub("172.30.0.0/16"))}, {"Name": "named", "Options": {B + "name": "brtaken"}},
            {"Name": "params", "ConfigOnly": True, "Labels": {"from": "params"}, "Options": {N + "driver.mtu": "1300"}, "IPAM": ipam(sub("10.11.0.0/24"))}]
    ids = {}
    for body in made:
        status, j = daemon.api("POST", "/networks/create", body)
        assert status == 201 and j["Warning"] == "", j
        ids[body["Name"]] = j["Id"]
    yield ids
    for c in daemon.api("GET", "/containers/json?all=1")[1]:
        daemon.api("DELETE", f"/containers/{c['Id']}?force=1")
    for name in ids:
        daemon.api("DELETE", f"/networks/{name}")
    assert daemon.doctor() == []


def test_refusals(daemon, scene):
    bad = []
    for i, (body, status, text) in enumerate(REFUSED):
        v = VERSIONS[i % len(VERSIONS)]
        got = daemon.api("POST", f"/v1.{v}/networks/create", dict({"Name": "row"}, **body))
        if got[0] == 201:
            daemon.api("DELETE", f"/networks/{got[1]['Id']}")
        if got[0] != status or not fits(got[1].get("message", ""), text):
            bad.append((body, got, status, text))
    assert not bad, "\n".join(map(str, bad))
    assert {n["Name"] for n in daemon.api("GET", "/networks")[1]} == {"bridge", "host", "none"} | set(scene) and daemon.doctor() == []


def test_what_is_made(daemon, scene):
    bad = []
    for i, (body, want, on_host) in enumerate(MADE):
        v = VERSIONS[i % len(VERSIONS)]
        status, made = daemon.api("POST", f"/v1.{v}/networks/create", dict({"Name": "row"}, **body))
        if status != 201:
            bad.append((body, made))
            continue
        j = daemon.api("GET", f"/v1.{v}/networks/row")[1]
        j["Config"], j["IPAMOptions"] = j["IPAM"]["Config"], j["IPAM"]["Options"]
        text = subprocess.run(["ip", "addr", "show", f"br-{made['Id'][:12]}"], capture_output=True, text=True).stdout
        if on_host and (on_host.lstrip("!") in text) == on_host.startswith("!"):
            bad.append((body, on_host, text))
        bad += [(body, k, j[k], w) for k, w in want.items() if j[k] != w]
        if v >= 48 and j["EnableIPv4"] != body.get("EnableIPv4", True):
            bad.append((body, "EnableIPv4"))
        assert daemon.doctor() == [], body
        assert daemon.api("DELETE", "/networks/row")[0] == 204
    assert not bad, "\n".join(map(str, bad))


def test_config_from(daemon, scene):
    assert daemon.api("POST", "/networks/create", {"Name": "row", "ConfigFrom": {"Network": "params"}, "Internal": True})[0] == 201
    j = daemon.api("GET", "/networks/row")[1]
    assert j["ConfigFrom"] == {"Network": "params"} and j["Internal"] and j["Labels"] == {"from": "params"} and j["Options"] == {N + "driver.mtu": "1300"} and j["IPAM"]["Config"][0]["Subnet"] == "10.11.0.0/24"
    assert daemon.api("DELETE", "/networks/params") == (403, {"message": 'error while removing network: configuration network "params" is in use'})
    assert daemon.api("GET", "/networks/params")[1]["ConfigOnly"]
    assert daemon.api("DELETE", "/networks/row")[0] == 204


def test_finding(daemon, scene):
    """Whole id, then name, then a unique part of an id; more than one is told."""
    by_name = daemon.api("GET", "/networks/taken")[1]["Id"]
    assert all(daemon.api("GET", f"/networks/{t}")[1]["Id"] == by_name for t in (by_name, by_name[:12], by_name[:20]))
    assert daemon.api("GET", "/networks/zz") == (404, {"message": "network zz not found"})
    # A network whose name is another's whole id, and one whose name is a part of it.
    for name in (by_name, by_name[:10]):
        assert daemon.api("POST", "/networks/create", {"Name": name})[0] == 201
    assert daemon.api("GET", f"/networks/{by_name}")[1]["Name"] == "taken" and daemon.api("GET", f"/networks/{by_name[:10]}")[1]["Name"] == by_name[:10]
    firsts, made = {}, []
    for i in range(17):
        n = daemon.api("POST", "/networks/create", {"Name": f"many{i}", "Internal": True})[1]["Id"]
        made.append(n)
        if n[0] in firsts:
            break
        firsts[n[0]] = n
    else:
        raise AssertionError("17 ids with 16 first letters")
    alike = [x["Id"] for x in daemon.api("GET", "/networks")[1] if x["Id"].startswith(made[-1][0])]
    assert daemon.api("GET", f"/networks/{made[-1][0]}") == (400, {"message": f"network {made[-1][0]} is ambiguous ({len(alike)} matches found based on ID prefix)"})
    for n in made:
        assert daemon.api("DELETE", f"/networks/{n}")[0] == 204
    for name in (by_name[:10],):
        assert daemon.api("DELETE", f"/networks/{name}")[0] == 204
    [other] = [x["Id"] for x in daemon.api("GET", "/networks")[1] if x["Name"] == by_name]
    assert daemon.api("DELETE", f"/networks/{other}")[0] == 204


def test_filters(daemon, scene):
    daemon.api("POST", "/networks/create", {"Name": "labelled", "Labels": {"tier": "front", "odd": ""}})
    ids = {n["Name"]: n["Id"] for n in daemon.api("GET", "/networks")[1]}

    def names(**f):
        status, j = daemon.api("GET", "/networks?filters=" + json.dumps({k.replace("NOT", "!"): v for k, v in f.items()}).replace(" ", ""))
        return {n["Name"] for n in j} if status == 200 else (status, j["message"])

    for f, want in [
        ({"name": ["aken"]}, {"taken"}), ({"name": {"aken": True}}, {"taken"}), ({"name": ["aken", "amed"]}, {"taken", "named"}), ({"id": [ids["taken"][:8]]}, {"taken"}),
        ({"driver": ["host"]}, {"host"}), ({"driver": ["null"]}, {"none", "params"}), ({"label": ["tier"]}, {"labelled"}), ({"label": ["tier=front"]}, {"labelled"}), ({"label": ["tier=back"]}, set()),
        ({"label": ["tier", "odd"]}, {"labelled"}), ({"type": ["builtin"]}, {"bridge", "host", "none"}), ({"type": ["custom"], "name": ["a"]}, {"taken", "named", "labelled", "params"}),
        ({"scope": ["local"]}, set(ids)), ({"scope": ["swarm"]}, set()), ({"dangling": ["false"]}, {"bridge", "host", "none"}), ({"dangling": ["true"]}, set(ids) - {"bridge", "host", "none"}),
        ({"shape": ["round"]}, (400, "invalid filter 'shape'")), ({"type": ["odd"]}, (400, "invalid filter: 'type'='odd'")), ({"dangling": ["perhaps"]}, (400, "invalid filter 'dangling=[perhaps]'")),
    ]:
        assert names(**f) == want, f
    for f, gone in [({"label": ["nothing"]}, None), ({"label!": ["tier", "from"], "label": ["tier"]}, None), ({"until": ["1h"]}, None), ({"label": ["tier=front"]}, ["labelled"])]:
        assert daemon.api("POST", "/networks/prune?filters=" + json.dumps(f).replace(" ", ""))[1] == {"NetworksDeleted": gone}, f
    assert daemon.api("POST", '/networks/prune?filters={"name":["x"]}')[0] == 400


@pytest.mark.parametrize("client", [n for n, _ in programs()])
def test_client(daemon, scene, client):
    """The flags as people write them."""
    cli = Client(client, dict(programs())[client], daemon)
    for name in ("flags", "several0", "several1"):
        daemon.api("DELETE", f"/networks/{name}")  # of one that failed
    n = cli.out("network", "create", "-d", "bridge", "--subnet", "10.12.0.0/24", "--subnet", "fd00:12::/64", "--ip-range", "10.12.0.0/25", "--gateway", "10.12.0.7", "--gateway", "fd00:12::7", "--ipv6", "--aux-address", "r1=10.12.0.1",
                "--label", "a=b", "--label", "c", "--attachable", "-o", N + "driver.mtu=1400", "--ipam-opt", "x=y", "--ipam-driver", "default", "flags")
    j = json.loads(cli.out("network", "inspect", "flags"))[0]
    assert j["Id"] == n and j["Attachable"] and j["Labels"] == {"a": "b", "c": ""} and j["Options"] == {N + "driver.mtu": "1400"} and j["IPAM"]["Options"] == {"x": "y"}
    assert j["IPAM"]["Config"] == [{"Subnet": "10.12.0.0/24", "IPRange": "10.12.0.0/25", "Gateway": "10.12.0.7", "AuxiliaryAddresses": {"r1": "10.12.0.1"}}, {"Subnet": "fd00:12::/64", "Gateway": "fd00:12::7"}]
    assert cli.out("network", "ls", "-q", "--filter", "name=flags") == n[:12] and cli.out("network", "ls", "-q", "--no-trunc", "-f", "label=a=b") == n
    assert cli.out("network", "ls", "--filter", "name=flags", "--format", "{{.ID}} {{.Name}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} {{.Labels}}").split() in ([n[:12], "flags", "bridge", "local", "true", "false", "a=b,c="], [n[:12], "flags", "bridge", "local", "true", "false", "c=,a=b"])
    assert cli.out("network", "ls", "--filter", "name=flags").splitlines()[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert cli.out("network", "inspect", "-f", "{{.Name}} {{range .IPAM.Config}}{{.Gateway}} {{end}}", "flags") == "flags 10.12.0.7 fd00:12::7"
    r = cli("network", "inspect", "flags", "nothere")
    assert r.rc == 1 and json.loads(r.out)[0]["Name"] == "flags" and re.search("network nothere not found|No such network: nothere", r.err)
    cli.out("run", "-d", "--name", "guest", "--network", "flags", "--ip", "10.12.0.50", "--ip6", "fd00:12::50", "--network-alias", "al1", "--network-alias", "al2", "--mac-address", "02:00:00:00:00:01", "alpine", "sleep", "1h")
    ep = json.loads(cli.out("inspect", "guest"))[0]["NetworkSettings"]["Networks"]["flags"]
    assert (ep["IPAddress"], ep["GlobalIPv6Address"], ep["MacAddress"], ep["Gateway"], ep["IPv6Gateway"]) == ("10.12.0.50", "fd00:12::50", "02:00:00:00:00:01", "10.12.0.7", "fd00:12::7") and {"al1", "al2"} <= set(ep["Aliases"])
    r = cli("network", "rm", "flags")
    assert r.rc == 1 and 'error while removing network: network flags has active endpoints (name:"guest" id:"' in r.err
    for args, text in [(["run", "--network", "container:nobody", "alpine", "true"], "No such container: nobody"), (["run", "--network", "container:guest", "-p", "80", "alpine", "true"], "port publishing and the container type network mode"),
                       (["run", "--network", "container:guest", "--hostname", "x", "alpine", "true"], "conflicting options: hostname and the network mode"),
                       (["run", "--network", "container:guest", "--dns", "1.1.1.1", "alpine", "true"], "conflicting options: dns and the network mode"),
                       (["run", "--network", "container:guest", "--add-host", "a:1.1.1.1", "alpine", "true"], "conflicting options: custom host-to-IP mapping and the network mode"),
                       (["run", "--network", "container:guest", "--expose", "80", "alpine", "true"], "conflicting options: port exposing and the container type network mode"),
                       (["run", "--network", "container:guest", "--mac-address", "02:00:00:00:00:02", "alpine", "true"], "conflicting options: mac-address and the network mode"),
                       (["run", "--network", "nowhere", "alpine", "true"], "network nowhere not found"), (["network", "connect", "host", "guest"], "cannot connect container to host network"),
                       (["network", "connect", "none", "guest"], "container cannot be connected to multiple networks with one of the networks in private (none) mode"),
                       (["network", "disconnect", "bridge", "guest"], "is not connected to network bridge"), (["network", "rm", "host"], "host is a pre-defined network and cannot be removed")]:
        r = cli(*args)
        assert r.rc and text in r.err, (args, r)
    assert cli.out("run", "--rm", "--network", "host", "alpine", "cat", "/proc/sys/net/ipv4/ip_forward") and "uplink0" in cli.out("run", "--rm", "--network", "host", "alpine", "ip", "link")
    assert re.findall(r"^\d+: (\S+):", cli.out("run", "--rm", "--network", "none", "alpine", "ip", "link"), re.M) == ["lo"]
    assert "10.12.0.50" in cli.out("run", "--rm", "--network", "container:guest", "alpine", "ip", "addr")
    cli.out("create", "--name", "onhost", "--network", "host", "alpine", "sleep", "1h")
    assert "container sharing network namespace with another container or host cannot be connected to any other network" in cli("network", "connect", "flags", "onhost").err
    assert "cannot disconnect container from host network - container was created in host network mode" in cli("network", "disconnect", "host", "onhost").err
    cli.out("rm", "-f", "guest", "onhost")
    assert cli.out("network", "rm", "flags") == "flags"
    for i in range(2):
        cli.out("network", "create", f"several{i}")
    assert cli.out("network", "rm", "several0", "several1").split() == ["several0", "several1"]


def test_endpoints_by_version(daemon, scene):
    """Several endpoints at once from 1.44 on; what each version shows."""
    body = {"Image": "alpine", "Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": "taken"}, "NetworkingConfig": {"EndpointsConfig": {"taken": {"Aliases": ["x"]}, "named": {"GwPriority": 3}}}}
    assert daemon.api("POST", "/v1.43/containers/create?name=multi", body) == (400, {"message": "Container cannot be created with multiple network endpoints: taken, named"})
    assert daemon.api("POST", "/v1.44/containers/create?name=multi", body)[0] == 201
    assert daemon.api("POST", "/containers/multi/start")[0] == 204
    for v in VERSIONS:
        j = daemon.api("GET", f"/v1.{v}/containers/multi/json")[1]
        nets = j["NetworkSettings"]["Networks"]
        assert set(nets) == {"taken", "named"} and ("GwPriority" in nets["named"]) == (v >= 48) and ("DNSNames" in nets["named"]) == (v >= 44)
        ids = {j["Id"][:12]}
        if v < 45:
            assert ids <= set(nets["taken"]["Aliases"]) and "x" in nets["taken"]["Aliases"]
        else:
            assert nets["taken"]["Aliases"] == ["x"] and nets["named"]["Aliases"] is None
        if v >= 44:
            assert nets["taken"]["DNSNames"] == ["multi", "x", j["Id"][:12]], nets["taken"]["DNSNames"]
    body["NetworkingConfig"]["EndpointsConfig"] = {"taken": None}
    assert daemon.api("POST", "/v1.44/containers/create", body) == (400, {"message": "invalid config for network taken: EndpointsConfig is nil"})
    body["NetworkingConfig"]["EndpointsConfig"] = {"taken": {"MacAddress": "02:00:00:00:00:09"}}
    assert daemon.api("POST", "/v1.44/containers/create", dict(body, MacAddress="02:00:00:00:00:08")) == (
        400, {"message": "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty"})
    for alone, text in (("none", "container cannot be connected to multiple networks with one of the networks in private (none) mode"),
                        ("host", "cannot connect container to host network - container must be created in host network mode")):
        body["NetworkingConfig"]["EndpointsConfig"] = {"taken": {}, alone: {}}
        assert daemon.api("POST", "/v1.44/containers/create", body) == (400, {"message": text})
    daemon.api("DELETE", "/containers/multi?force=1")


def test_interface_names(daemon, scene):
    """A network's prefix, a name of one's own, and no clash between them; numbers are the lowest free."""
    daemon.api("POST", "/networks/create", {"Name": "prefixed", "Options": {N + "container_iface_prefix": "lan"}})
    made = daemon.api("POST", "/containers/create?name=names", {"Image": "alpine", "Cmd": ["sleep", "1h"], "HostConfig": {"NetworkMode": "taken"}, "NetworkingConfig": {"EndpointsConfig": {
        "taken": {"DriverOpts": {N + "endpoint.ifname": "eth1"}}, "named": {}, "prefixed": {}}}})
    assert made[0] == 201, made
    assert daemon.api("POST", "/containers/names/start")[0] == 204
    pid = str(daemon.api("GET", "/containers/names/json")[1]["State"]["Pid"])
    links = subprocess.run(["nsenter", "-n", "-t", pid, "ip", "-br", "link"], capture_output=True, text=True).stdout
    assert sorted(re.findall(r"^(\w+)@", links, re.M)) == ["eth0", "eth1", "lan0"], links
    assert daemon.api("POST", "/networks/named/disconnect", {"Container": "names"})[0] == 200
    got = daemon.api("POST", "/networks/named/connect", {"Container": "names", "EndpointConfig": {"DriverOpts": {N + "endpoint.ifname": "lan0"}}})
    assert got[0] == 500 and "file exists" in got[1]["message"]
    assert daemon.api("POST", "/networks/named/connect", {"Container": "names"})[0] == 200 and daemon.doctor() == []
    daemon.api("DELETE", "/containers/names?force=1")
    assert daemon.api("DELETE", "/networks/prefixed")[0] == 204


def test_sdk(daemon, scene):
    """python3-docker: its shapes of requests and filters."""
    docker = pytest.importorskip("docker")
    c = docker.DockerClient(base_url=f"unix://{daemon.sock}")
    pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="10.13.0.0/24", gateway="10.13.0.9", aux_addresses={"x": "10.13.0.2"})])
    n = c.networks.create("sdk", driver="bridge", ipam=pool, labels={"by": "sdk"}, internal=False, check_duplicate=True)
    assert c.networks.get("sdk").attrs["IPAM"]["Config"][0]["Gateway"] == "10.13.0.9"
    assert [x.name for x in c.networks.list(filters={"label": "by=sdk"})] == ["sdk"] and [x.name for x in c.networks.list(names=["sdk"], greedy=True)] == ["sdk"]
    ct = c.containers.run("alpine", "sleep 1h", detach=True, name="sdk-one", network="sdk")
    bridge = c.networks.get("bridge")
    bridge.connect(ct)
    n.disconnect(ct)
    n.connect(ct, ipv4_address="10.13.0.77", aliases=["other"])
    ct.reload()
    assert ct.attrs["NetworkSettings"]["Networks"]["sdk"]["IPAddress"] == "10.13.0.77" and set(ct.attrs["NetworkSettings"]["Networks"]) == {"sdk", "bridge"}
    n.reload()
    assert [x.name for x in n.containers] == ["sdk-one"]
    with pytest.raises(docker.errors.APIError, match="active endpoints"):
        n.remove()
    ct.remove(force=True)
    assert "sdk" in c.networks.prune(filters={"label": "by=sdk"})["NetworksDeleted"]
    c.close()
