#include <errno.h>

#include "api/view.h"
#include "base/units.h"
#include "engine/volume.h"
#include "net/join.h"
#include "net/links.h"
#include "net/names.h"

const char *view_status(const struct container *c, enum health_status health, int64_t now, struct arena *a)
{
	const char *up = units_duration((now - c->started) / 1000000000, a);
	switch (c->state) {
	case STATE_RUNNING:
		return health == HEALTH_NONE ? arena_printf(a, "Up %s", up) : arena_printf(a, "Up %s (%s%s)", up, health == HEALTH_STARTING ? "health: " : "", health_status_name(health));
	case STATE_PAUSED:
		return arena_printf(a, "Up %s (Paused)", up);
	case STATE_RESTARTING:
		return arena_printf(a, "Restarting (%lld) %s ago", (long long)c->exit_code, units_duration((now - c->finished) / 1000000000, a));
	case STATE_REMOVING:
		return "Removal In Progress";
	case STATE_DEAD:
		return "Dead";
	case STATE_EXITED:
		return arena_printf(a, "Exited (%lld) %s ago", (long long)c->exit_code, units_duration((now - c->finished) / 1000000000, a));
	case STATE_CREATED:
	case STATE_N:
		break;
	}
	return "Created";
}

static json_t *strings(const struct strv *l)
{
	json_t *j = json_array();
	for (size_t i = 0; j && i < l->n; i++)
		json_array_append_new(j, json_string_nocheck(l->v[i]));
	return j;
}

static json_t *strings_or_null(const struct strv *l)
{
	return l->n ? strings(l) : json_null();
}

static json_t *map(const struct kvs *m)
{
	json_t *j = json_object();
	for (size_t i = 0; j && i < m->n; i++)
		json_object_set_new_nocheck(j, m->v[i].key, json_string_nocheck(m->v[i].value));
	return j;
}

static json_t *ip_json(const struct ip *ip)
{
	char t[IP_TEXT];
	return json_string(ip_format(ip, t));
}

static json_t *ipam_config(const struct endpoint *ep)
{
	if (!ip_is_set(&ep->want_ip4) && !ip_is_set(&ep->want_ip6) && !ep->link_local.n)
		return json_null();
	json_t *j = json_object();
	if (ip_is_set(&ep->want_ip4))
		json_object_set_new(j, "IPv4Address", ip_json(&ep->want_ip4));
	if (ip_is_set(&ep->want_ip6))
		json_object_set_new(j, "IPv6Address", ip_json(&ep->want_ip6));
	if (ep->link_local.n)
		json_object_set_new(j, "LinkLocalIPs", strings(&ep->link_local));
	return j;
}

/* Up to API 1.44 also the short id and the hostname, which are names there, too. */
static json_t *aliases_view(const struct view *v, const struct container *c, const struct network *n, const struct endpoint *ep, struct arena *a)
{
	struct strv all = strv_copy(a, &ep->aliases);
	const char *short_id = arena_dupn(a, c->id, 12), *host = c->spec->config.hostname;
	if (v->minor >= 45 || n->driver != DRIVER_BRIDGE || n->is_default)
		return strings_or_null(&ep->aliases);
	if (short_id && !strv_has(&all, short_id))
		(void)strv_add(a, &all, short_id);
	if (!str_empty(host) && !strv_has(&all, host))
		(void)strv_add(a, &all, host);
	return strings_or_null(&all);
}

static json_t *dns_names_view(const struct view *v, const struct container *c, const struct network *n, const struct endpoint *ep, struct arena *a)
{
	struct strv names = {0};
	if (n->driver != DRIVER_BRIDGE || n->is_default || names_of(&v->core->conf->net, c, ep, a, &names) < 0)
		return json_null();
	return strings(&names);
}

static json_t *endpoint_view(const struct view *v, const struct container *c, const struct network *n, const struct endpoint *ep, struct arena *a)
{
	char mac[MAC_TEXT] = "";
	bool up = ep->joined, v4 = up && ip_is_set(&ep->ip4), v6 = up && ip_is_set(&ep->ip6);
	static const struct ip none;
	if (up && mac_is_set(&ep->mac))
		mac_format(&ep->mac, mac);
	else if (mac_is_set(&ep->want_mac))
		mac_format(&ep->want_mac, mac);
	json_t *j = json_pack("{s:o, s:o, s:o, s:s, s:o, s:s, s:s, s:o, s:o, s:i, s:o, s:o, s:i}", "IPAMConfig", ipam_config(ep), "Links", strings_or_null(&ep->links), "Aliases",
		aliases_view(v, c, n, ep, a), "MacAddress", mac, "DriverOpts", ep->driver_opts.n ? map(&ep->driver_opts) : json_null(), "NetworkID", up || c->started ? n->id : "",
		"EndpointID", up ? ep->id : "", "Gateway", ip_json(v4 && !n->internal ? &n->v4.gateway : &none), "IPAddress", ip_json(v4 ? &ep->ip4 : &none), "IPPrefixLen",
		v4 ? n->v4.net.len : 0, "IPv6Gateway", ip_json(v6 && !n->internal ? &n->v6.gateway : &none), "GlobalIPv6Address", ip_json(v6 ? &ep->ip6 : &none), "GlobalIPv6PrefixLen",
		v6 ? n->v6.net.len : 0);
	if (j && v->minor >= 44)
		json_object_set_new(j, "DNSNames", dns_names_view(v, c, n, ep, a));
	if (j && v->minor >= 48)
		json_object_set_new(j, "GwPriority", json_integer(ep->gw_priority));
	return j;
}

static json_t *endpoints_view(const struct view *v, const struct world *w, const struct container *c, struct arena *a)
{
	size_t n;
	const struct endpoint **eps = world_endpoints_of_container(w, a, c->id, &n);
	json_t *j = json_object();
	for (size_t i = 0; j && i < n; i++) {
		const struct network *net = world_network(w, eps[i]->network);
		if (net)
			json_object_set_new(j, net->name, endpoint_view(v, c, net, eps[i], a));
	}
	return j;
}

/* The fields of the network `bridge` stand at the top, too, up to API 1.51. */
static void mirror_bridge(json_t *settings, const json_t *networks)
{
	static const char *const text[] = {"EndpointID", "Gateway", "IPAddress", "IPv6Gateway", "GlobalIPv6Address", "MacAddress"}, *const number[] = {"IPPrefixLen", "GlobalIPv6PrefixLen"};
	const json_t *b = json_object_get(networks, "bridge");
	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		json_object_set_new(settings, text[i], json_string(b ? json_string_value(json_object_get(b, text[i])) : ""));
	for (size_t i = 0; i < ARRAY_LEN(number); i++)
		json_object_set_new(settings, number[i], json_integer(b ? json_integer_value(json_object_get(b, number[i])) : 0));
}

/* What is exposed, port by port. */
static void exposed_view(json_t *j, const struct container *c)
{
	for (size_t i = 0; i < c->spec->config.exposed_ports.n; i++) {
		const char *key = c->spec->config.exposed_ports.v[i], *slash = strchr(key, '/'), *dash = strchr(key, '-');
		for (int k = atoi(key); k <= (dash ? atoi(dash + 1) : atoi(key)); k++) {
			char one[32];
			snprintf(one, sizeof(one), "%d%s", k, slash ? slash : "/tcp");
			json_object_set_new(j, one, json_null());
		}
	}
}

/* Published, and not only opened beside the gateway's own? */
static bool is_shown(const struct world *w, struct arena *a, const struct port *p)
{
	const struct endpoint *gw = p->host_port ? NULL : join_gateway(w, a, p->container, p->ip.family);
	return p->host_port || (gw && streq(gw->network, p->network));
}

static const struct port **shown_ports(const struct world *w, const struct container *c, struct arena *a, size_t *n)
{
	size_t all = 0;
	const struct port **v = world_ports_of_container(w, a, c->id, &all);
	*n = 0;
	for (size_t i = 0; v && i < all; i++)
		if (is_shown(w, a, v[i]))
			v[(*n)++] = v[i];
	if (*n)
		qsort(v, *n, sizeof(*v), port_order);
	return v;
}

static json_t *ports_view(const struct world *w, const struct container *c, struct arena *a)
{
	json_t *j = json_object();
	size_t n;
	if (!j || !container_is_running(c))
		return j;
	exposed_view(j, c);
	const struct port **v = shown_ports(w, c, a, &n);
	for (size_t i = 0; v && i < n; i++) {
		char ip[IP_TEXT];
		ip_format(&v[i]->host_ip, ip);
		for (unsigned k = 0; k < v[i]->count; k++) {
			char key[32], host[8] = "";
			snprintf(key, sizeof(key), "%u/%s", v[i]->port + k, port_proto_name(v[i]->proto));
			if (v[i]->host_port)
				snprintf(host, sizeof(host), "%u", v[i]->host_port + k);
			json_t *list = json_object_get(j, key);
			if (!json_is_array(list)) {
				json_object_set_new(j, key, json_array());
				list = json_object_get(j, key);
			}
			json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", ip, "HostPort", host));
		}
	}
	return j;
}

/* The list of `ps`: what is published, and what is only exposed. */
static json_t *ports_row(const struct world *w, const struct container *c, struct arena *a)
{
	json_t *all = ports_view(w, c, a), *j = json_array(), *bindings, *b;
	const char *key;
	size_t i;
	json_object_foreach (all, key, bindings) {
		const char *slash = strchr(key, '/'), *proto = slash ? slash + 1 : "tcp";
		if (!json_is_array(bindings))
			json_array_append_new(j, json_pack("{s:i, s:s}", "PrivatePort", atoi(key), "Type", proto));
		json_array_foreach (bindings, i, b) {
			int host = atoi(json_string_value(json_object_get(b, "HostPort")));
			json_t *row = json_pack("{s:O, s:i}", "IP", json_object_get(b, "HostIp"), "PrivatePort", atoi(key));
			if (host)
				json_object_set_new(row, "PublicPort", json_integer(host));
			json_object_set_new(row, "Type", json_string(proto));
			json_array_append_new(j, row);
		}
	}
	json_decref(all);
	return j;
}

static json_t *network_settings(const struct view *v, const struct world *w, const struct container *c, struct arena *a)
{
	struct netconf *conf = arena_new(a, struct netconf, 1);
	bool up = container_is_running(c) && want_has_sandbox(c);
	json_t *nets = endpoints_view(v, w, c, a);
	if (!conf || !nets)
		return NULL;
	*conf = v->core->conf->net;
	json_t *j = json_pack("{s:s, s:s, s:s, s:b, s:s, s:i, s:o, s:n, s:n}", "Bridge", "", "SandboxID", up ? c->id : "", "SandboxKey", up ? want_netns_path(conf, c->id, a) : "",
		"HairpinMode", 0, "LinkLocalIPv6Address", "", "LinkLocalIPv6PrefixLen", 0, "Ports", ports_view(w, c, a), "SecondaryIPAddresses", "SecondaryIPv6Addresses");
	if (!j) {
		json_decref(nets);
		return NULL;
	}
	mirror_bridge(j, nets);
	json_object_set_new(j, "Networks", nets);
	return j;
}

static json_t *when(int64_t ns)
{
	char t[TIME_TEXT];
	return json_string(time_format(ns, t));
}

static json_t *health_view(const struct view *v, const struct container *c, struct arena *a)
{
	struct health_view h;
	json_t *log = json_array();
	health_look(v->core, c->id, a, &h);
	for (size_t i = 0; i < h.n; i++)
		json_array_append_new(log, json_pack("{s:o, s:o, s:i, s:s}", "Start", when(h.log[i].start), "End", when(h.log[i].end), "ExitCode", h.log[i].code, "Output", h.log[i].output ? h.log[i].output : ""));
	return json_pack("{s:s, s:I, s:o}", "Status", health_status_name(h.health.status), "FailingStreak", (json_int_t)h.health.streak, "Log", log);
}

static json_t *state_view(const struct view *v, const struct container *c, struct arena *a)
{
	json_t *j = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:s, s:o, s:o}", "Status", container_state_name(c->state), "Running", container_is_running(c) || c->state == STATE_RESTARTING, "Paused",
		c->state == STATE_PAUSED, "Restarting", c->state == STATE_RESTARTING, "OOMKilled", c->oom_killed, "Dead", c->state == STATE_DEAD, "Pid", (json_int_t)c->pid, "ExitCode",
		(json_int_t)c->exit_code, "Error", c->error, "StartedAt", when(c->started), "FinishedAt", when(c->finished));
	if (j && health_of(v->core, c->id) != HEALTH_NONE)
		json_object_set_new(j, "Health", health_view(v, c, a));
	return j;
}

static json_t *mount_view(const struct view *v, const struct mount_point *m, struct arena *a)
{
	bool volume = streq(m->type, "volume");
	const char *source = volume ? engine_volume_path(v->core->engine, m->name, a) : m->source;
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "Type", m->type, "Source", source ? source : "", "Destination", m->destination, "Mode", m->mode ? m->mode : "", "RW", m->rw, "Propagation",
		m->propagation ? m->propagation : "");
	if (j && volume) {
		json_object_set_new(j, "Name", json_string(m->name));
		json_object_set_new(j, "Driver", json_string("local"));
	}
	return j;
}

static json_t *mounts_view(const struct view *v, const struct container *c, struct arena *a)
{
	const struct mount_point *m = c->spec->mount_points.v;
	json_t *j = json_array();
	for (size_t i = 0; j && i < c->spec->mount_points.n; i++)
		json_array_append_new(j, mount_view(v, &m[i], a));
	return j;
}

static json_t *config_view(const struct container *c)
{
	json_t *j = json_encode(config_table, &c->spec->config);
	const char *host = c->spec->config.hostname;
	char short_id[13];
	snprintf(short_id, sizeof(short_id), "%.12s", c->id);
	if (j && str_empty(host))
		json_object_set_new(j, "Hostname", json_string(short_id));
	return j;
}

static json_t *exec_ids(const struct view *v, const struct container *c, struct arena *a)
{
	const char **ids;
	size_t n = engine_exec_ids(v->core->engine, c->id, a, &ids);
	if (!n)
		return json_null();
	json_t *j = json_array();
	for (size_t i = 0; j && i < n; i++)
		json_array_append_new(j, json_string(ids[i]));
	return j;
}

json_t *view_container(const struct view *v, const struct world *w, const struct container *c, struct arena *a)
{
	struct engine_info info;
	struct netconf conf = v->core->conf->net;
	struct strv args = {0};
	const struct strv *e = &c->spec->config.entrypoint, *m = &c->spec->config.cmd;
	engine_info(v->core->engine, &info);
	for (size_t i = 0; i < e->n; i++)
		(void)strv_add(a, &args, e->v[i]);
	for (size_t i = 0; i < m->n; i++)
		(void)strv_add(a, &args, m->v[i]);
	struct strv rest = {.v = args.v + 1, .n = args.n ? args.n - 1 : 0};
	const char *dir = arena_printf(a, "%s/containers/%s", conf.data_root, c->id);
	json_t *host = json_encode(host_config_table, &c->spec->host);
	if (a->bad || !host) {
		json_decref(host);
		return NULL;
	}
	struct strv links = {0};
	if (links_shown(w, c, a, &links) >= 0 && links.n)
		json_object_set_new(host, "Links", strings(&links));
	if (str_empty(c->spec->host.runtime))
		json_object_set_new(host, "Runtime", json_string(info.runtime));
	bool never = !c->started; /* its files are made by the first start */
	const char *files = world_netns_owner(w, c)->id;
	bool in_file = !streq(c->spec->host.log_type, "journald") && !streq(c->spec->host.log_type, "none");
	if (v->minor < 42) {
		json_object_set_new(host, "KernelMemory", json_integer(0));
		json_object_set_new(host, "KernelMemoryTCP", json_integer(0));
	}
	json_t *j = json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:s, s:s, s:s, s:s, s:o}", "Id", c->id, "Created", when(c->created), "Path", args.n ? args.v[0] : "", "Args",
		strings(&rest), "State", state_view(v, c, a), "Image", json_sprintf("sha256:%s", c->image), "ResolvConfPath", never ? "" : want_file_path(&conf, files, "resolv.conf", a), "HostnamePath",
		never ? "" : want_file_path(&conf, files, "hostname", a), "HostsPath", never ? "" : want_file_path(&conf, files, "hosts", a), "LogPath", never || !in_file ? "" : engine_log_path(v->core->engine, c->id, a), "Name",
		json_sprintf("/%s", c->name), "RestartCount", (json_int_t)c->restart_count, "Driver", "overlay2", "Platform", "linux", "MountLabel", "", "ProcessLabel", "", "AppArmorProfile", "", "ExecIDs",
		exec_ids(v, c, a));
	if (!j) {
		json_decref(host);
		return NULL;
	}
	json_object_set_new(j, "HostConfig", host);
	json_object_set_new(j, "GraphDriver", json_pack("{s:s, s:{s:o, s:o, s:o, s:o}}", "Name", "overlay2", "Data", "LowerDir",
		view_lower_dirs(v, w, world_get(w, NOUN_IMAGE, c->image), 0), "MergedDir", json_string(engine_root_path(v->core->engine, c->id, a)), "UpperDir",
		json_sprintf("%s/upper", dir), "WorkDir", json_sprintf("%s/work", dir)));
	json_object_set_new(j, "Mounts", mounts_view(v, c, a));
	json_object_set_new(j, "Config", config_view(c));
	json_object_set_new(j, "NetworkSettings", network_settings(v, w, c, a));
	return j;
}

/* "sh -c 'a b'" as ps shows it: words with blanks are quoted. */
static const char *command_text(const struct container *c, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	const struct strv *parts[] = {&c->spec->config.entrypoint, &c->spec->config.cmd};
	for (size_t p = 0; p < 2; p++) {
		for (size_t i = 0; i < parts[p]->n; i++) {
			const char *word = parts[p]->v[i];
			bool quote = strpbrk(word, " \t\n'\"") != NULL;
			buf_printf(&b, quote ? "%s'%s'" : "%s%s", b.len ? " " : "", word);
		}
	}
	return arena_dup(a, buf_str(&b));
}

/* The image as the user wrote it, unless the name now means another image: then the id. */
static json_t *image_name(const struct world *w, const struct container *c)
{
	const struct image *img;
	const char *asked = c->spec->config.image;
	if (!str_empty(asked) && world_find_image(w, asked, &img, NULL) >= 0 && streq(img->id, c->image))
		return json_string_nocheck(asked);
	return json_sprintf("sha256:%s", c->image);
}

/* Its name, and what others that link to it call it. */
static json_t *all_names(const struct world *w, const struct container *c, struct arena *a)
{
	size_t n, count;
	json_t *j = json_array();
	json_array_append_new(j, json_sprintf("/%s", c->name));
	const struct container **v = links_to(w, a, c->id, &n);
	for (size_t i = 0; v && i < n; i++) {
		struct link *links;
		if (links_of(w, v[i], a, &links, &count) < 0)
			continue;
		for (size_t k = 0; k < count; k++)
			if (links[k].target == c)
				json_array_append_new(j, json_sprintf("/%s/%s", v[i]->name, links[k].alias));
	}
	return j;
}

json_t *view_container_row(const struct view *v, const struct world *w, const struct container *c, struct arena *a)
{
	const char *mode = c->spec->host.network_mode;
	json_t *ports = ports_row(w, c, a);
	return json_pack("{s:s, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:s, s:s, s:{s:s}, s:{s:o}, s:o}", "Id", c->id, "Names", all_names(w, c, a), "Image", image_name(w, c), "ImageID",
		json_sprintf("sha256:%s", c->image), "Command", command_text(c, a), "Created", (json_int_t)(c->created / 1000000000), "Ports", ports, "Labels", map(&c->spec->config.labels), "State",
		container_state_name(c->state), "Status", view_status(c, health_of(v->core, c->id), v->now, a), "HostConfig", "NetworkMode", mode ? mode : "", "NetworkSettings", "Networks", endpoints_view(v, w, c, a), "Mounts",
		mounts_view(v, c, a));
}
