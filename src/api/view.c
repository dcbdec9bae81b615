#include "api/view.h"

#include <string.h>

#include "engine/volume.h"

static json_t *references(const struct world *w, const struct image *img, bool digests, struct arena *a)
{
	size_t n;
	const struct tag **tags = world_tags_of_image(w, a, img->id, &n);
	json_t *j = json_array();
	for (size_t i = 0; j && tags && i < n; i++)
		if (tag_is_digest(tags[i]->ref) == digests)
			json_array_append_new(j, json_string(tags[i]->ref));
	return j;
}

json_t *view_tags(const struct world *w, const struct image *img, struct arena *a)
{
	return references(w, img, false, a);
}

static json_t *text(const char *s)
{
	return json_string_nocheck(s ? s : "");
}

static json_t *map(const struct kvs *m)
{
	json_t *j = json_object();
	for (size_t i = 0; j && i < m->n; i++)
		json_object_set_new_nocheck(j, m->v[i].key, json_string_nocheck(m->v[i].value));
	return j;
}

/* What older clients still expect of an image, from its own configuration. */
static void image_of_old(const struct view *v, const struct image *img, json_t *j)
{
	OWN(own_json) json_t *config = json_loads(img->config_text, 0, NULL);
	const json_t *version = json_object_get(config, "docker_version"), *container = json_object_get(config, "container");
	static const struct config none = {.stop_timeout = -1};
	if (v->minor < 51)
		json_object_set_new(j, "DockerVersion", text(json_string_value(version)));
	if (v->minor < 45)
		json_object_set_new(j, "Container", text(json_string_value(container)));
	/* Docker leaves it out from 1.45 on; docker-compose 1.29, which takes any version, cannot recreate a container without it. */
	json_t *nothing = json_encode(config_table, &none);
	json_object_set_new(nothing, "Env", json_null());
	json_object_set_new(nothing, "Labels", json_null());
	json_object_set_new(j, "ContainerConfig", nothing);
	if (v->minor < 44)
		json_object_set_new(j, "VirtualSize", json_integer(img->size));
}

/* Directories of the layers as overlayfs takes them: the topmost first. skip: how many of the topmost to leave out. */
json_t *view_lower_dirs(const struct view *v, const struct world *w, const struct image *img, size_t skip)
{
	OWN(own_buf) struct buf b = {0};
	for (size_t i = img ? img->diff_ids.n : 0; i > skip; i--) {
		const struct layer *l = world_get(w, NOUN_LAYER, img->diff_ids.v[i - 1]);
		if (l)
			buf_printf(&b, "%s%s/image/layers/%s/diff", b.len ? ":" : "", v->core->conf->data_root, l->dir);
	}
	return b.bad ? NULL : json_string(buf_str(&b));
}

json_t *view_image(const struct view *v, const struct world *w, const struct image *img, struct arena *a)
{
	char created[TIME_TEXT], stored[TIME_TEXT];
	json_t *layers = json_array(), *upper;
	for (size_t i = 0; layers && i < img->diff_ids.n; i++)
		json_array_append_new(layers, json_string(img->diff_ids.v[i]));
	const struct layer *top = img->diff_ids.n ? world_get(w, NOUN_LAYER, img->diff_ids.v[img->diff_ids.n - 1]) : NULL;
	upper = json_sprintf("%s/image/layers/%s/diff", v->core->conf->data_root, top ? top->dir : "");
	json_t *j = json_pack("{s:o, s:o, s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:{s:s, s:{s:o}}, s:{s:s, s:o}, s:{s:s}}", "Id", json_sprintf("sha256:%s", img->id), "RepoTags",
		view_tags(w, img, a), "RepoDigests", references(w, img, true, a), "Parent", "", "Comment", text(img->comment), "Created", time_format(img->created, created), "Author", text(img->author), "Config",
		json_encode(config_table, &img->config), "Architecture", text(img->architecture), "Os", text(img->os), "Size", (json_int_t)img->size, "GraphDriver", "Name", "overlay2", "Data", "UpperDir",
		upper, "RootFS", "Type", "layers", "Layers", layers, "Metadata", "LastTagTime", time_format(img->stored, stored));
	if (!j)
		return NULL;
	if (!str_empty(img->variant))
		json_object_set_new(j, "Variant", text(img->variant));
	json_t *data = json_object_get(json_object_get(j, "GraphDriver"), "Data");
	json_object_set_new(data, "MergedDir", json_string(""));
	json_object_set_new(data, "WorkDir", json_string(""));
	if (img->diff_ids.n > 1)
		json_object_set_new(data, "LowerDir", view_lower_dirs(v, w, img, 1));
	image_of_old(v, img, j);
	return j;
}

json_t *view_image_row(const struct view *v, const struct world *w, const struct image *img, bool count, struct arena *a)
{
	json_t *j = json_pack("{s:o, s:s, s:o, s:o, s:I, s:I, s:i, s:o, s:I}", "Id", json_sprintf("sha256:%s", img->id), "ParentId", "", "RepoTags", view_tags(w, img, a), "RepoDigests", references(w, img, true, a), "Created",
		(json_int_t)(img->created / 1000000000), "Size", (json_int_t)img->size, "SharedSize", -1, "Labels", img->config.labels.n ? map(&img->config.labels) : json_null(), "Containers",
		count || v->minor >= 51 ? (json_int_t)world_containers_of_image(w, img->id) : -1);
	if (j && v->minor < 44)
		json_object_set_new(j, "VirtualSize", json_integer(img->size));
	return j;
}

static void add_subnet(json_t *list, const struct subnet *s)
{
	char t[PREFIX_TEXT], ip[IP_TEXT];
	if (!s->net.ip.family)
		return;
	json_t *j = json_pack("{s:s}", "Subnet", prefix_format(&s->net, t));
	if (s->has_range)
		json_object_set_new(j, "IPRange", json_string(prefix_format(&s->range, t)));
	if (ip_is_set(&s->gateway))
		json_object_set_new(j, "Gateway", json_string(ip_format(&s->gateway, ip)));
	if (s->naux) {
		json_t *aux = json_object();
		for (size_t i = 0; i < s->naux; i++)
			json_object_set_new(aux, s->aux[i].name, json_string(ip_format(&s->aux[i].ip, ip)));
		json_object_set_new(j, "AuxiliaryAddresses", aux);
	}
	json_array_append_new(list, j);
}

static json_t *joined_json(const struct world *w, const struct network *n, struct arena *a)
{
	size_t count;
	const struct endpoint **eps = world_endpoints_of_network(w, a, n->id, &count);
	json_t *j = json_object();
	for (size_t i = 0; j && i < count; i++) {
		const struct endpoint *ep = eps[i];
		const struct container *c = world_container(w, ep->container);
		char mac[MAC_TEXT] = "", t[PREFIX_TEXT] = "", u[PREFIX_TEXT] = "";
		if (!ep->joined || !c)
			continue;
		struct prefix p4 = {.ip = ep->ip4, .len = n->v4.net.len}, p6 = {.ip = ep->ip6, .len = n->v6.net.len};
		if (mac_is_set(&ep->mac))
			mac_format(&ep->mac, mac);
		json_object_set_new(j, c->id, json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", c->name, "EndpointID", ep->id, "MacAddress", mac, "IPv4Address", prefix_format(&p4, t), "IPv6Address",
			prefix_format(&p6, u)));
	}
	return j;
}

json_t *view_network(const struct view *v, const struct world *w, const struct network *n, bool containers, struct arena *a)
{
	char created[TIME_TEXT];
	json_t *subnets = json_array();
	add_subnet(subnets, &n->v4);
	add_subnet(subnets, &n->v6);
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", n->name, "Id", n->id, "Created", time_format(n->created, created), "Scope", "local", "Driver", driver_kind_name(n->driver));
	if (!j)
		return NULL;
	if (v->minor >= 48)
		json_object_set_new(j, "EnableIPv4", json_boolean(n->enable_v4 || n->driver != DRIVER_BRIDGE));
	json_object_set_new(j, "EnableIPv6", json_boolean(n->enable_v6));
	json_object_set_new(j, "IPAM", json_pack("{s:s, s:o, s:o}", "Driver", "default", "Options", n->predefined ? json_null() : map(&n->ipam_options), "Config", subnets));
	json_object_set_new(j, "Internal", json_boolean(n->internal));
	json_object_set_new(j, "Attachable", json_boolean(n->attachable));
	json_object_set_new(j, "Ingress", json_false());
	json_object_set_new(j, "ConfigFrom", json_pack("{s:s}", "Network", n->config_from));
	json_object_set_new(j, "ConfigOnly", json_boolean(n->config_only));
	json_object_set_new(j, "Containers", containers ? joined_json(w, n, a) : json_object());
	json_object_set_new(j, "Options", map(&n->options));
	json_object_set_new(j, "Labels", map(&n->labels));
	return j;
}

json_t *view_exec(const struct exec_info *x)
{
	json_t *args = json_array();
	for (size_t i = 1; i < x->spec.cmd.n; i++)
		json_array_append_new(args, json_string_nocheck(x->spec.cmd.v[i]));
	json_t *p = json_pack("{s:b, s:o, s:o, s:b, s:o}", "tty", x->spec.tty, "entrypoint", text(x->spec.cmd.n ? x->spec.cmd.v[0] : ""), "arguments", args, "privileged", x->spec.privileged, "user",
		text(x->spec.user));
	return json_pack("{s:s, s:b, s:o, s:o, s:b, s:b, s:b, s:b, s:s, s:s, s:s, s:I}", "ID", x->id, "Running", x->running, "ExitCode", x->ended ? json_integer(x->exit_code) : json_null(),
		"ProcessConfig", p, "OpenStdin", x->spec.attach_stdin, "OpenStderr", x->spec.attach_stderr, "OpenStdout", x->spec.attach_stdout, "CanRemove", x->ended, "ContainerID", x->container,
		"DetachKeys", x->spec.detach_keys ? x->spec.detach_keys : "", "Status", x->running ? "running" : x->ended ? "exited" : "created", "Pid", (json_int_t)x->pid);
}

json_t *view_event(const struct view *v, const struct event *ev)
{
	json_t *j = json_object();
	bool container = streq(ev->type, "container");
	const char *from = container ? kvs_get(&ev->attributes, "image") : NULL;
	if (v->minor < 52 && (container || streq(ev->type, "image"))) {
		json_object_set_new(j, "status", text(ev->action));
		json_object_set_new(j, "id", text(ev->id));
		if (from)
			json_object_set_new(j, "from", text(from));
	}
	json_object_set_new(j, "Type", text(ev->type));
	json_object_set_new(j, "Action", text(ev->action));
	json_object_set_new(j, "Actor", json_pack("{s:o, s:o}", "ID", text(ev->id), "Attributes", map(&ev->attributes)));
	json_object_set_new(j, "scope", json_string("local"));
	json_object_set_new(j, "time", json_integer(ev->time / 1000000000));
	json_object_set_new(j, "timeNano", json_integer(ev->time));
	return j;
}

json_t *view_volume(const struct view *v, const struct volume *vol, struct arena *a)
{
	char when[TIME_TEXT];
	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:s}", "CreatedAt", time_format(vol->created - vol->created % 1000000000, when), "Driver", "local", "Labels",
		vol->labels.n ? map(&vol->labels) : json_null(), "Mountpoint", engine_volume_path(v->core->engine, vol->name, a), "Name", vol->name, "Options",
		vol->options.n ? map(&vol->options) : json_null(), "Scope", "local");
}
