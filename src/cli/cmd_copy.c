/* cp, diff, export. Local files are packed and unpacked by the system's tar, which knows how to keep hostile names inside a directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "cli/cmd.h"

#define FLAGS(t) t, ARRAY_LEN(t)
#define BLOCK      512
#define LINKS_MOST 40
#define GO_DIR     (1ll << 31) /* of a mode as the API tells it */
#define GO_LINK    (1ll << 27)

static const struct flag cp_flags[] = {{"archive", 'a', NULL, "Keep owners"}, {"follow-link", 'L', NULL, "Copy what SRC_PATH leads to, not the link"}, {"quiet", 'q', NULL, "No progress (there is none)"}};

/* "container:path"; a path of this host begins with "/" or "." or has no colon. */
static bool split(struct arena *a, const char *s, const char **container, const char **path)
{
	const char *colon = strchr(s, ':');
	if (*s == '/' || *s == '.' || !colon || colon == s)
		return false;
	*container = arena_dupn(a, s, (size_t)(colon - s));
	*path = colon + 1;
	return true;
}

static const char *archive_path(struct arena *a, const char *container, const char *path, bool own)
{
	OWN(own_buf) struct buf q = {0};
	buf_puts(&q, "archive?path=");
	http_escape(&q, *path ? path : "/");
	buf_puts(&q, own ? "&copyUIDGID=true" : "");
	return path_of(a, "containers", container, buf_str(&q));
}

/* tar with one end of a pipe; *fd is the other. */
static int start_tar(const char *const *argv, bool reads, pid_t *pid, int *fd, struct err *e)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(e, -errno, "pipe");
	struct spawn_fd fds[] = {{p[!reads], reads ? 0 : 1}, {2, 2}};
	struct spawn s = {.argv = argv, .fds = fds, .nfds = 2};
	int r = spawn_start(&s, pid, e);
	close(p[!reads]);
	if (r < 0) {
		close(p[reads]);
		return r == -ENOENT ? err_set(e, r, "cp needs the program tar: install it") : r;
	}
	*fd = p[reads];
	return 0;
}

static int end_tar(pid_t pid, struct err *e)
{
	int status;
	try(spawn_wait(pid, &status, e));
	return status == 0 ? 0 : err_set(e, -EIO, "tar: exit status %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* --- out of a container --- */

static int open_get(struct http *h, const char *path, struct err *e)
{
	try(http_open(h, e));
	h->keep = "X-Docker-Container-Path-Stat";
	try(http_send(h, "GET", path, NULL, 0, NULL, false, e));
	return h->status >= 400 ? http_error(h, e) : 0;
}

static int pour(struct http *h, int fd, const char *first, size_t n, struct err *e)
{
	char buf[65536];
	ssize_t k;
	int r = write_all(fd, first, n);
	while (r >= 0 && (k = http_read(h, buf, sizeof(buf), e)) != 0)
		r = k < 0 ? (int)k : write_all(fd, buf, (size_t)k);
	return r == -EPIPE ? 0 : r < 0 && e && !e->code ? err_errno(e, r, "write") : r; /* the reader says by itself why it ended */
}

static int untar(struct http *h, const char *dir, bool own, struct err *e)
{
	const char *argv[] = {"tar", "-x", "-p", "-f", "-", own ? "--same-owner" : "--no-same-owner", "--numeric-owner", "-C", dir, NULL};
	pid_t pid;
	int fd;
	try(start_tar(argv, true, &pid, &fd, e));
	int r = pour(h, fd, NULL, 0, e);
	close(fd);
	int t = end_tar(pid, r < 0 ? NULL : e);
	return r < 0 ? r : t;
}

/* The one thing in a directory. Its name in the archive need not be UTF-8, so it is looked for rather than known. */
static const char *only_one_in(struct arena *a, const char *dir)
{
	OWN(own_dir) DIR *d = opendir(dir);
	const struct dirent *x;
	while (d && (x = readdir(d)))
		if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
			return arena_printf(a, "%s/%s", dir, x->d_name);
	return NULL;
}

/* Under another name: beside its place, then there by one rename. */
static int untar_as(struct http *h, const char *to, bool own, struct arena *a, struct err *e)
{
	char *dir = arena_printf(a, "%s.XXXXXX", to);
	if (!dir)
		return err_nomem(e);
	if (!mkdtemp(dir))
		return errno == ENOENT ? err_set(e, -ENOENT, "invalid output path: the directory of %s does not exist", to) : err_errno(e, -errno, "make a directory beside %s", to);
	int r = untar(h, dir, own, e);
	const char *from = r < 0 ? NULL : only_one_in(a, dir);
	if (r >= 0 && !from)
		r = err_set(e, -EPROTO, "the archive ended too early");
	if (r >= 0 && rename(from, to) < 0)
		r = err_errno(e, -errno, "rename to %s", to);
	struct err gone = {0};
	if (remove_tree(dir, &gone) < 0 && r >= 0) {
		*e = gone;
		r = gone.code;
	}
	return r;
}

/* What the daemon says of a path beside its archive. */
struct found {
	const char *name; /* "." and "/": what is in a directory */
	const char *target; /* of a link; "" */
	bool is_dir;
};

static int get(struct http *h, const char *container, const char *path, struct arena *a, struct found *out, struct err *e)
{
	OWN(own_json) json_t *stat = NULL;
	char *text;
	try(open_get(h, archive_path(a, container, path, false), e));
	ssize_t n = base64_decode(a, buf_str(&h->kept), &text);
	if (n < 0 || json_parse(text, (size_t)n, &stat, NULL) < 0)
		return err_set(e, -EPROTO, "the daemon did not say what %s is", path);
	const char *target = json_string_value(json_object_get(stat, "linkTarget")), *name = json_string_value(json_object_get(stat, "name"));
	json_int_t mode = json_integer_value(json_object_get(stat, "mode"));
	*out = (struct found){.name = arena_dup(a, name ? name : ""), .target = arena_dup(a, target && mode & GO_LINK ? target : ""), .is_dir = mode & GO_DIR};
	return a->bad ? err_nomem(e) : 0;
}

static int get_again(struct http *h, const char *container, const char *path, struct arena *a, struct found *out, struct err *e)
{
	http_close(h);
	return path ? get(h, container, path, a, out, e) : err_nomem(e);
}

/* The path, or what a link there leads to; *linked: its name is not the one that was asked for. */
static int get_followed(struct http *h, const char *container, const char *path, bool follow, bool *linked, struct arena *a, struct found *f, struct err *e)
{
	try(get(h, container, path, a, f, e));
	for (int i = 0; follow && *f->target; i++) {
		const char *slash = strrchr(path, '/');
		if (i == LINKS_MOST)
			return err_set(e, -ELOOP, "too many links");
		path = *f->target == '/' || !slash ? f->target : arena_printf(a, "%.*s/%s", (int)(slash - path), path, f->target);
		try(get_again(h, container, path, a, f, e));
		*linked = true;
	}
	return 0;
}

static int copy_out(const struct parsed *p, struct arena *a, const char *container, const char *path, const char *to, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	struct found f;
	struct stat st;
	bool own = flag_on(p, "archive"), linked = false;
	try(get_followed(&h, container, path, flag_on(p, "follow-link"), &linked, a, &f, e));
	if (streq(to, "-"))
		return pour(&h, STDOUT_FILENO, NULL, 0, e);
	if (streq(f.name, "/")) /* tar would say that it takes the "/" away */
		try(get_again(&h, container, "/.", a, &f, e));
	bool there = stat(to, &st) == 0;
	if (there && S_ISDIR(st.st_mode) && linked) { /* as the link is called */
		const char *slash = strrchr(path, '/'), *as = arena_printf(a, "%s/%s", to, slash ? slash + 1 : path);
		return as ? untar_as(&h, as, own, a, e) : err_nomem(e);
	}
	if (there && S_ISDIR(st.st_mode))
		return untar(&h, to, own, e);
	if (there && f.is_dir)
		return err_set(e, -ENOTDIR, "cannot copy directory");
	if (!there && to[strlen(to) - 1] == '/' && !f.is_dir)
		return err_set(e, -ENOENT, "no such directory");
	if (streq(f.name, ".")) {
		if (mkdir(to, 0755) < 0)
			return err_errno(e, -errno, "make %s", to);
		return untar(&h, to, own, e);
	}
	char *plain = arena_dup(a, to);
	for (size_t n = plain ? strlen(plain) : 0; n > 1 && plain[n - 1] == '/'; n--)
		plain[n - 1] = '\0';
	return plain ? untar_as(&h, plain, own, a, e) : err_nomem(e);
}

/* --- into a container --- */

static int put(const char *path, int fd, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	try(http_open(&h, e));
	try(http_send_fd(&h, "PUT", path, fd, "application/x-tar", e));
	return h.status >= 400 ? http_error(&h, e) : 0;
}

/* An archive of nothing: it goes well where there is a directory. */
static int is_directory(const char *path, struct err *e)
{
	static const char nothing[2 * BLOCK];
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(e, -errno, "pipe");
	int r = write_all(p[1], nothing, sizeof(nothing));
	close(p[1]);
	if (r >= 0)
		r = put(path, p[0], e);
	close(p[0]);
	return r;
}

/* What stands for itself in an expression of tar's --transform=s,PATTERN,NAME, when a backslash is before each of `special`. More must not have one: in the name, tar
 * keeps a backslash that it has no use for. */
static const char *literal(struct arena *a, const char *s, const char *special)
{
	OWN(own_buf) struct buf b = {0};
	for (; *s; s++)
		buf_printf(&b, strchr(special, *s) ? "\\%c" : "%c", *s);
	return arena_dup(a, buf_str(&b));
}

static int put_tar(const char *const *argv, const char *path, struct err *e)
{
	pid_t pid;
	int fd;
	try(start_tar(argv, false, &pid, &fd, e));
	int r = put(path, fd, e);
	close(fd);
	int t = end_tar(pid, r < 0 ? NULL : e);
	return r < 0 ? r : t;
}

/* Cuts "a/b/" to "a" (or ".") and "b". */
static int cut(struct arena *a, const char *path, const char **dir, const char **base, struct err *e)
{
	char *s = arena_dup(a, path);
	size_t n = s ? strlen(s) : 0;
	while (n > 1 && s[n - 1] == '/')
		s[--n] = '\0';
	char *slash = s ? strrchr(s, '/') : NULL;
	*base = slash ? slash + 1 : s;
	*dir = !slash ? "." : slash == s ? "/" : s;
	if (slash && slash != s)
		*slash = '\0';
	return s ? 0 : err_nomem(e);
}

static int copy_in(const struct parsed *p, struct arena *a, const char *from, const char *container, const char *path, struct err *e)
{
	bool own = flag_on(p, "archive");
	const char *target = archive_path(a, container, path, own), *dir, *base, *above, *name;
	struct stat st;
	char real[PATH_MAX];
	if (streq(from, "-"))
		return put(target, STDIN_FILENO, e);
	if (flag_on(p, "follow-link") && realpath(from, real))
		from = real;
	if (lstat(from, &st) < 0)
		return err_errno(e, -errno, "lstat %s", from);
	size_t n = strlen(from);
	bool inside = n >= 2 && streq(from + n - 2, "/."), is_dir = S_ISDIR(st.st_mode);
	int r = is_directory(target, e);
	if (r >= 0 || (inside && r == -ENOENT)) {
		try(cut(a, from, &dir, &base, e));
		const char *argv[] = {"tar", "-c", "--no-unquote", "--numeric-owner", "-f", "-", "-C", inside || streq(from, ".") ? from : dir, "--", inside || streq(from, ".") ? "." : base, NULL};
		return r >= 0 ? put_tar(argv, target, e) : err_ctx(e, "copy into %s", path);
	}
	bool missing = r == -ENOENT;
	if (!missing && r != -EINVAL)
		return r;
	if (is_dir && !missing)
		return err_set(e, -ENOTDIR, "cannot copy directory");
	if (!is_dir && (!*path || path[strlen(path) - 1] == '/'))
		return missing ? r : err_set(e, -ENOTDIR, "%s: no such directory", path);
	*e = (struct err){0};
	try(cut(a, path, &above, &name, e));
	try(cut(a, from, &dir, &base, e));
	const char *rename_it = arena_printf(a, "--transform=s,^%s,%s,S", literal(a, base, "\\.*[]^$,"), literal(a, name, "\\&,"));
	const char *argv[] = {"tar", "-c", "--no-unquote", "--numeric-owner", "-f", "-", "-C", dir, rename_it, "--", base, NULL};
	return rename_it ? put_tar(argv, archive_path(a, container, above, own), e) : err_nomem(e);
}

static int run_cp(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	const char *from_c = NULL, *from = p->args.v[0], *to_c = NULL, *to = p->args.v[1];
	bool out = split(a, from, &from_c, &from), in = split(a, to, &to_c, &to);
	int r;
	if (out && in)
		r = err_as(&e, ERR_INVALID, "copying between containers is not supported");
	else if (!out && !in)
		r = err_as(&e, ERR_INVALID, "must specify at least one container source");
	else
		r = out ? copy_out(p, a, from_c, from, to, &e) : copy_in(p, a, from, to_c, to, &e);
	return r < 0 ? fail(&e, 1) : 0;
}

/* --- diff, export --- */

static int run_diff(const struct parsed *p, struct arena *a)
{
	static const char kinds[] = "CAD";
	struct err e = {0};
	OWN(own_json) json_t *list = NULL;
	size_t i;
	json_t *x;
	if (http_call("GET", path_of(a, "containers", p->args.v[0], "changes"), NULL, &list, &e) < 0)
		return fail(&e, 1);
	json_array_foreach(list, i, x)
	{
		json_int_t kind = json_integer_value(json_object_get(x, "Kind"));
		printf("%c %s\n", kind >= 0 && kind < 3 ? kinds[kind] : '?', json_string_value(json_object_get(x, "Path")));
	}
	return 0;
}

static const struct flag export_flags[] = {{"output", 'o', "string", "Write to a file, instead of STDOUT"}};

static int run_export(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_http) struct http h = HTTP_NONE;
	char first[BLOCK];
	size_t n = 0;
	const char *file = flag_get(p, "output");
	if (!file && isatty(STDOUT_FILENO)) {
		fputs("cowardly refusing to save to a terminal. Use the -o flag or redirect\n", stderr);
		return 1;
	}
	int r = open_get(&h, path_of(a, "containers", p->args.v[0], "export"), &e);
	while (r >= 0 && n < BLOCK) { /* the file is not touched for nothing */
		ssize_t k = http_read(&h, first + n, BLOCK - n, &e);
		r = k > 0 ? 0 : k < 0 ? (int)k : err_set(&e, -EPROTO, "the archive ended too early");
		n += k > 0 ? (size_t)k : 0;
	}
	OWN(own_fd) int fd = r < 0 ? -1 : file ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : dup(STDOUT_FILENO);
	if (r >= 0)
		r = fd < 0 ? err_errno(&e, -errno, "open %s", file ? file : "stdout") : pour(&h, fd, first, BLOCK, &e);
	return r < 0 ? fail(&e, 1) : 0;
}

const struct command commands_copy[] = {
	{"cp", "container", true, "CONTAINER:SRC_PATH DEST_PATH|-  or  SRC_PATH|- CONTAINER:DEST_PATH", "Copy files between a container and this host", FLAGS(cp_flags), false, 2, 2, run_cp, NULL},
	{"diff", "container", true, "CONTAINER", "List what a container changed in its file system", NULL, 0, false, 1, 1, run_diff, NULL},
	{"export", "container", true, "CONTAINER", "Write a container's file system as a tar", FLAGS(export_flags), false, 1, 1, run_export, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
