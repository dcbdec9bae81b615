/* Users by the image's own /etc/passwd and /etc/group: no name service of the host is asked. The files may be anything a container wrote. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "engine/engine_int.h"
#include "engine/user.h"

#define USER_FILE_MAX (4u << 20)
#define FIELDS_MAX    7

/* The line's fields, cut at colons. Returns how many. */
static size_t fields(char *line, char *out[static FIELDS_MAX])
{
	size_t n = 0;
	while (n < FIELDS_MAX) {
		out[n++] = line;
		line += strcspn(line, ":");
		if (!*line)
			break;
		*line++ = '\0';
	}
	return n;
}

static bool number(const char *s, uint32_t *out)
{
	uint64_t v = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s) || (v = v * 10 + (uint64_t)(*s - '0')) > 0x7fffffff)
			return false;
	}
	*out = (uint32_t)v;
	return true;
}

/* Calls each() for every line; the text is changed. */
static void lines(char *text, bool (*each)(char *f[], size_t n, void *arg), void *arg)
{
	while (*text) {
		char *f[FIELDS_MAX], *end = text + strcspn(text, "\n");
		bool more = *end != '\0';
		*end = '\0';
		if (!each(f, fields(text, f), arg))
			return;
		text = end + more;
	}
}

struct want_user {
	const char *name; /* or a number's text */
	uint32_t uid;
	bool numeric, found;
	struct user_found *out;
	char login[256];
};

static bool user_line(char *f[], size_t n, void *arg)
{
	struct want_user *w = arg;
	uint32_t uid, gid;
	if (n < 4 || !number(f[2], &uid) || !number(f[3], &gid))
		return true;
	if (!streq(f[0], w->name) && !(w->numeric && uid == w->uid))
		return true;
	w->found = true;
	w->out->uid = uid;
	w->out->gid = gid;
	STR_COPY(w->login, f[0]);
	STR_COPY(w->out->home, n > 5 && *f[5] ? f[5] : "/");
	return false;
}

struct want_group {
	const char *name;
	const char *login; /* collect all groups that list this user */
	uint32_t gid;
	bool found;
	struct user_found *out;
};

static void add_group(struct user_found *u, uint32_t gid)
{
	for (size_t i = 0; i < u->ngroups; i++)
		if (u->groups[i] == gid)
			return;
	if (u->ngroups < ARRAY_LEN(u->groups))
		u->groups[u->ngroups++] = gid;
}

static bool listed(const char *members, const char *login)
{
	size_t len = strlen(login);
	while (*members) {
		size_t n = strcspn(members, ",");
		if (n == len && strncmp(members, login, n) == 0)
			return true;
		members += n + (members[n] == ',');
	}
	return false;
}

static bool group_line(char *f[], size_t n, void *arg)
{
	struct want_group *w = arg;
	uint32_t gid;
	if (n < 3 || !number(f[2], &gid))
		return true;
	if (w->login) {
		if (n > 3 && listed(f[3], w->login))
			add_group(w->out, gid);
		return true;
	}
	if (!streq(f[0], w->name))
		return true;
	w->gid = gid;
	w->found = true;
	return false;
}

static int group_id(const char *group, const char *name, uint32_t *out, struct err *e)
{
	struct want_group w = {.name = name};
	OWN(own_free) char *text = strdup(group);
	if (!text)
		return err_nomem(e);
	lines(text, group_line, &w);
	if (w.found) {
		*out = w.gid;
		return 0;
	}
	if (number(name, out))
		return 0;
	return err_as(e, ERR_INVALID, "unable to find group %s: no matching entries in group file", name);
}

int user_lookup(const char *passwd, const char *group, const char *spec, const struct strv *extra_groups, struct user_found *out, struct err *e)
{
	char user[256], *colon;
	struct user_found u = {.home = "/"};
	if (!STR_COPY(user, str_empty(spec) ? "0" : spec))
		return err_as(e, ERR_INVALID, "unable to find user %.64s...: the name is too long", spec);
	colon = strchr(user, ':');
	if (colon)
		*colon = '\0';
	struct want_user w = {.name = user, .out = &u};
	w.numeric = number(user, &w.uid);
	OWN(own_free) char *text = strdup(passwd);
	if (!text)
		return err_nomem(e);
	lines(text, user_line, &w);
	if (!w.found && !w.numeric && *user)
		return err_as(e, ERR_INVALID, "unable to find user %s: no matching entries in passwd file", user);
	if (!w.found)
		u.uid = w.uid;
	if (!w.found && u.uid == 0)
		STR_COPY(u.home, "/root");
	if (colon && colon[1]) {
		try(group_id(group, colon + 1, &u.gid, e));
	} else if (w.found) {
		struct want_group all = {.login = w.login, .out = &u};
		OWN(own_free) char *groups = strdup(group);
		if (!groups)
			return err_nomem(e);
		lines(groups, group_line, &all);
	}
	for (size_t i = 0; i < extra_groups->n; i++) {
		uint32_t gid;
		if (group_id(group, extra_groups->v[i], &gid, e) < 0)
			return e ? e->code : -EINVAL;
		add_group(&u, gid);
	}
	*out = u;
	return 0;
}

/* Opens a path of the container as the container would see it: links cannot lead out, /proc magic links are refused. */
static int open_inside(int root, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	int fd;
	do { /* EAGAIN: something was renamed or mounted during the walk, so the kernel could not be sure (openat2(2)) */
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd;
}

static int read_inside(int root, const char *path, struct buf *out, struct err *e)
{
	OWN(own_fd) int fd = open_inside(root, path);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 /* an image may lack it */ : err_errno(e, -errno, "open %s of the container", path);
	return read_fd(fd, USER_FILE_MAX, out, e) < 0 ? err_ctx(e, "%s of the container", path) : 0;
}

int user_resolve(const char *root, const char *spec, const struct strv *extra_groups, struct user_found *out, struct err *e)
{
	OWN(own_buf) struct buf passwd = {0}, group = {0};
	OWN(own_fd) int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open %s", root);
	try(read_inside(fd, "etc/passwd", &passwd, e));
	try(read_inside(fd, "etc/group", &group, e));
	return user_lookup(buf_str(&passwd), buf_str(&group), spec, extra_groups, out, e);
}
