#include "engine/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/ip.h"
#include "engine/engine_int.h"

static const char *path_volume(const struct engine *en, const char *name, const char *sub, char out[static PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%s/volumes/%s%s%s", en->conf.data_root, name, *sub ? "/" : "", sub);
	return out;
}

const char *engine_volume_path(const struct engine *en, const char *name, struct arena *a)
{
	return arena_printf(a, "%s/volumes/%s/_data", en->conf.data_root, name);
}

/* The directory above keeps others out; the modes of _data belong to the containers. */
int engine_volume_make(struct engine *en, const char *name, struct err *e)
{
	char dir[PATH_SIZE], path[PATH_SIZE];
	struct stat st;
	if (stat(path_volume(en, name, "_data", path), &st) == 0)
		return 0;
	try(mkdir_p(path_volume(en, name, "", dir), 0701, e));
	try(engine_volume_unsettle(en, name, e));
	return mkdir_p(path, 0755, e);
}

int engine_volume_unsettle(struct engine *en, const char *name, struct err *e)
{
	char path[PATH_SIZE];
	OWN(own_fd) int fd = open(path_volume(en, name, "unsettled", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? err_errno(e, -errno, "make %s", path) : 0;
}

int engine_volume_settle(struct engine *en, const char *name, struct err *e)
{
	char path[PATH_SIZE];
	return unlink(path_volume(en, name, "unsettled", path)) < 0 && errno != ENOENT ? err_errno(e, -errno, "remove %s", path) : 0;
}

int engine_volume_umount(struct engine *en, const char *name, struct err *e)
{
	char path[PATH_SIZE];
	if (umount2(path_volume(en, name, "_data", path), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
		return 0;
	return err_errno(e, -errno, "unmount %s", path);
}

/* Its mark goes last: a removal that was cut short is gone on with. */
int engine_volume_remove(struct engine *en, const char *name, struct err *e)
{
	char path[PATH_SIZE];
	try(engine_volume_umount(en, name, e));
	try(remove_tree(path_volume(en, name, "_data", path), e));
	return remove_tree(path_volume(en, name, "", path), e);
}

static const struct {
	const char *word;
	unsigned long set;
	bool off;
} flag_words[] = {{"defaults", 0, false}, {"ro", MS_RDONLY, false}, {"rw", MS_RDONLY, true}, {"nosuid", MS_NOSUID, false}, {"suid", MS_NOSUID, true}, {"nodev", MS_NODEV, false}, {"dev", MS_NODEV, true},
	{"noexec", MS_NOEXEC, false}, {"exec", MS_NOEXEC, true}, {"sync", MS_SYNCHRONOUS, false}, {"async", MS_SYNCHRONOUS, true}, {"dirsync", MS_DIRSYNC, false}, {"noatime", MS_NOATIME, false},
	{"atime", MS_NOATIME, true}, {"nodiratime", MS_NODIRATIME, false}, {"diratime", MS_NODIRATIME, true}, {"relatime", MS_RELATIME, false}, {"norelatime", MS_RELATIME, true},
	{"strictatime", MS_STRICTATIME, false}, {"nostrictatime", MS_STRICTATIME, true}, {"bind", MS_BIND, false}, {"rbind", MS_BIND | MS_REC, false}};
static const struct {
	const char *word;
	unsigned long value;
} propagation_words[] = {{"private", MS_PRIVATE}, {"rprivate", MS_PRIVATE | MS_REC}, {"shared", MS_SHARED}, {"rshared", MS_SHARED | MS_REC}, {"slave", MS_SLAVE}, {"rslave", MS_SLAVE | MS_REC},
	{"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC}};

static bool one_word(const char *s, size_t n, struct mount_words *w)
{
	for (size_t i = 0; i < ARRAY_LEN(flag_words); i++) {
		if (strlen(flag_words[i].word) != n || strncmp(flag_words[i].word, s, n) != 0)
			continue;
		w->flags = flag_words[i].off ? w->flags & ~flag_words[i].set : w->flags | flag_words[i].set;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(propagation_words); i++) {
		if (strlen(propagation_words[i].word) != n || strncmp(propagation_words[i].word, s, n) != 0)
			continue;
		w->propagation = propagation_words[i].value;
		return true;
	}
	return false;
}

int mount_words_parse(const char *text, struct mount_words *out, struct err *e)
{
	struct mount_words w = {0};
	size_t used = 0;
	for (size_t n; *text; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		if (!n || one_word(text, n, &w))
			continue;
		if (used + n + 2 > sizeof(w.data))
			return err_as(e, ERR_INVALID, "the options of a mount are longer than %zu bytes", sizeof(w.data));
		if (used)
			w.data[used++] = ',';
		memcpy(w.data + used, text, n);
		used += n;
		w.data[used] = '\0';
	}
	w.bind = w.flags & MS_BIND;
	*out = w;
	return 0;
}

/* The kernel's NFS client takes addresses only: addr=<name> is looked up here. */
static int resolve_addr(struct mount_words *w, struct err *e)
{
	char *at = str_starts(w->data, "addr=") ? w->data : strstr(w->data, ",addr="), host[256], text[IP_TEXT], rest[sizeof(w->data)];
	struct addrinfo *list = NULL;
	struct ip ip;
	if (!at)
		return 0;
	at = strchr(at, '=') + 1;
	size_t n = strcspn(at, ",");
	snprintf(host, sizeof(host), "%.*s", (int)n, at);
	if (ip_parse(host, &ip) == 0)
		return 0;
	int r = getaddrinfo(host, NULL, &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &list);
	if (r)
		return err_set(e, -EADDRNOTAVAIL, "error resolving passed in network volume address: lookup %s: %s", host, gai_strerror(r));
	r = getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(list);
	STR_COPY(rest, at + n);
	*at = '\0';
	size_t head = (size_t)(at - w->data);
	if (r || snprintf(at, sizeof(w->data) - head, "%s%s", text, rest) >= (int)(sizeof(w->data) - head))
		return err_set(e, -EADDRNOTAVAIL, "error resolving passed in network volume address: %s", host);
	return 0;
}

static int mount_it(const char *device, const char *target, const char *type, const struct mount_words *w)
{
	const unsigned long restrict_ = w->flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME);
	if (mount(device, target, type, w->flags, w->data) < 0)
		return -errno;
	/* A bind takes its flags only by a second call. */
	if ((w->bind && restrict_ && mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | restrict_, NULL) < 0) || (w->propagation && mount(NULL, target, NULL, w->propagation, NULL) < 0)) {
		int r = -errno;
		umount2(target, MNT_DETACH);
		return r;
	}
	return 0;
}

int engine_volume_mount(struct engine *en, const char *name, const struct kvs *options, struct err *e)
{
	struct mount_words w;
	char path[PATH_SIZE];
	const char *device = kvs_get(options, "device"), *type = kvs_get(options, "type"), *o = kvs_get(options, "o");
	if (!device || path_is_mounted(path_volume(en, name, "_data", path)))
		return 0;
	try(mount_words_parse(o ? o : "", &w, e));
	if (type && str_starts(type, "nfs"))
		try(resolve_addr(&w, e));
	int r = mount_it(device, path, type, &w);
	if (r >= 0)
		return 0;
	char flags[32] = "";
	if (w.flags)
		snprintf(flags, sizeof(flags), ", flags: 0x%lx", w.flags);
	return err_set(e, r, "error while mounting volume '%s': failed to mount local volume: mount %s:%s%s%s%s: %s", path, device, path, flags, *w.data ? ", data: " : "", w.data, strerror(-r));
}

int engine_volumes_scan(struct engine *en, struct arena *a, struct volume_found **out, size_t *n, struct err *e)
{
	char path[PATH_SIZE], mark[PATH_SIZE];
	const struct dirent *x;
	struct strv names = {0};
	snprintf(path, sizeof(path), "%s/volumes", en->conf.data_root);
	OWN(own_dir) DIR *d = opendir(path);
	if (!d)
		return err_errno(e, -errno, "open %s", path);
	while ((errno = 0, x = readdir(d)))
		if (x->d_name[0] != '.' && strv_add(a, &names, x->d_name) < 0)
			return err_nomem(e);
	if (errno)
		return err_errno(e, -errno, "read %s", path);
	struct volume_found *v = arena_new(a, struct volume_found, names.n + 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < names.n; i++) /* the mark comes right after the directory and goes right before it: without data it is as if it were there */
		v[i] = (struct volume_found){names.v[i], access(path_volume(en, names.v[i], "unsettled", mark), F_OK) == 0 || access(path_volume(en, names.v[i], "_data", mark), F_OK) < 0};
	*out = v;
	*n = names.n;
	return 0;
}

static bool is_empty(int dir)
{
	OWN(own_fd) int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN(own_dir) DIR *d = again < 0 ? NULL : fdopendir(again);
	const struct dirent *x;
	if (!d)
		return false;
	again = -1;
	while ((x = readdir(d)))
		if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
			return false;
	return true;
}

/* What the image has there; -1: nothing. */
static int open_source(const char *root, const char *destination, int *out, struct err *e)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	OWN(own_fd) int at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*out = at < 0 ? -1 : (int)syscall(SYS_openat2, at, destination, &how, sizeof(how));
	if (*out >= 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR)
		return err_as(e, ERR_INVALID, "cannot mount volume over existing file, file exists %s", destination);
	return err_errno(e, -errno, "open %s of the image", destination);
}

static int fill_one(struct engine *en, const struct mount_point *m, const char *root, struct err *e)
{
	char path[PATH_SIZE];
	OWN(own_fd) int src = -1, dst = open(path_volume(en, m->name, "_data", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dst < 0)
		return err_errno(e, -errno, "open %s", path);
	try(open_source(root, m->destination, &src, e));
	return src >= 0 && is_empty(dst) ? copy_tree(src, dst, e) : 0;
}

static bool is_filled(const struct mount_point *m)
{
	return streq(m->type, "volume") && !m->nocopy && str_empty(m->subpath);
}

int engine_volumes_fill(struct engine *en, const struct container_spec *s, const char *id, const struct engine_layers *l, struct err *e)
{
	const struct mount_point *m = s->mount_points.v;
	char root[PATH_SIZE];
	bool any = false;
	int r = 0;
	for (size_t i = 0; i < s->mount_points.n; i++)
		any |= is_filled(&m[i]);
	if (!any)
		return 0;
	try(rootfs_mount(en, id, l, e));
	path_root(en, id, root);
	for (size_t i = 0; r >= 0 && i < s->mount_points.n; i++)
		if (is_filled(&m[i]))
			r = fill_one(en, &m[i], root, e);
	struct err late = {0};
	int u = rootfs_umount(en, id, r < 0 ? &late : e);
	return r < 0 ? r : u;
}
