/* The host's devices in the OCI configuration: nodes, and limits of block devices. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "engine/engine_int.h"

static int add_device(json_t *list, const char *host, const char *inside, struct err *e)
{
	struct stat st;
	if (stat(host, &st) < 0)
		return err_as(e, ERR_INVALID, "error gathering device information while adding custom device \"%s\": no such file or directory", host);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_as(e, ERR_INVALID, "error gathering device information while adding custom device \"%s\": not a device node", host);
	json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "path", inside, "type", S_ISCHR(st.st_mode) ? "c" : "b", "major", (int)major(st.st_rdev), "minor", (int)minor(st.st_rdev),
		"fileMode", (int)(st.st_mode & 07777), "uid", (int)st.st_uid, "gid", (int)st.st_gid));
	return 0;
}

/* Privileged: every device node directly below the host's /dev that the runtime does not make by itself. */
static int host_devices(json_t *list, struct err *e)
{
	static const char *const made[] = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"};
	OWN(own_dir) DIR *d = opendir("/dev");
	struct dirent *entry;
	while (d && (entry = readdir(d))) {
		char path[300];
		struct stat st;
		bool skip = entry->d_name[0] == '.';
		for (size_t i = 0; !skip && i < ARRAY_LEN(made); i++)
			skip = streq(entry->d_name, made[i]);
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		if (!skip && lstat(path, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
			try(add_device(list, path, path, e));
	}
	return 0;
}

json_t *oci_devices(const struct host_config *h, struct err *e)
{
	json_t *j = json_array();
	const struct device_mapping *d = h->devices.v;
	int r = h->privileged ? host_devices(j, e) : 0;
	for (size_t i = 0; r >= 0 && !h->privileged && i < h->devices.n; i++)
		r = add_device(j, d[i].host, str_empty(d[i].container) ? d[i].host : d[i].container, e);
	if (r >= 0)
		return j;
	json_decref(j);
	return NULL;
}

static int block_device(const char *path, const char *key, int64_t value, json_t *list, struct err *e)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return err_as(e, ERR_INVALID, "no such file or directory: %s", path);
	json_array_append_new(list, json_pack("{s:i, s:i, s:I}", "major", (int)major(st.st_rdev), "minor", (int)minor(st.st_rdev), key, (json_int_t)value));
	return 0;
}

int oci_block_io(const struct host_config *h, json_t *resources, struct err *e)
{
	const struct {
		const char *key;
		const struct json_vec *v;
	} throttles[] = {{"throttleReadBpsDevice", &h->blkio_read_bps}, {"throttleWriteBpsDevice", &h->blkio_write_bps}, {"throttleReadIOPSDevice", &h->blkio_read_iops},
		{"throttleWriteIOPSDevice", &h->blkio_write_iops}};
	OWN(own_json) json_t *io = json_object();
	const struct weight_device *w = h->blkio_weight_devices.v;
	if (h->blkio_weight)
		json_object_set_new(io, "weight", json_integer(h->blkio_weight));
	for (size_t i = 0; i < h->blkio_weight_devices.n; i++) {
		if (i == 0)
			json_object_set_new(io, "weightDevice", json_array());
		try(block_device(w[i].path, "weight", w[i].weight, json_object_get(io, "weightDevice"), e));
	}
	for (size_t k = 0; k < ARRAY_LEN(throttles); k++) {
		const struct throttle *t = throttles[k].v->v;
		for (size_t i = 0; i < throttles[k].v->n; i++) {
			if (i == 0)
				json_object_set_new(io, throttles[k].key, json_array());
			try(block_device(t[i].path, "rate", t[i].rate, json_object_get(io, throttles[k].key), e));
		}
	}
	return json_object_size(io) ? json_object_set(resources, "blockIO", io) : 0;
}
