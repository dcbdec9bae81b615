/* The files of a sandbox: hosts, hostname, resolv.conf. The container has them mounted, so they are written in place and never renamed.
 *
 * What the container has written into one since is its own: of hosts only the lines that come or go with a network are changed, and a
 * resolv.conf that is not as we wrote it stays as it is. What we wrote stands beside it, in resolv.conf.written: it also follows from what
 * the host's resolv.conf said then. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/real.h"

#define FILE_MAX (1u << 20) /* more than this the container wrote, not we */

/* The path of the copy of what we wrote; false: there is none of this file. */
static bool copy_path(const struct kobj *o, char out[static PATH_MAX])
{
	const char *name = strrchr(o->file.path, '/');
	return name && streq(name, "/resolv.conf") && snprintf(out, PATH_MAX, "%s.written", o->file.path) < PATH_MAX;
}

int files_add(const struct kobj *o, struct err *e)
{
	char copy[PATH_MAX];
	if (!o->file.text)
		return 0;
	if (copy_path(o, copy))
		try(write_file(copy, o->file.text, strlen(o->file.text), o->file.mode, e));
	return write_file(o->file.path, o->file.text, strlen(o->file.text), o->file.mode, e);
}

int files_del(const struct kobj *o, struct err *e)
{
	char copy[PATH_MAX];
	if (copy_path(o, copy) && unlink(copy) < 0 && errno != ENOENT)
		return err_errno(e, -errno, "remove %s", copy);
	return unlink(o->file.path) < 0 && errno != ENOENT ? err_errno(e, -errno, "remove %s", o->file.path) : 0;
}

static bool has_line(const char *text, const char *line, size_t n)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		if (len == n && memcmp(text, line, n) == 0)
			return true;
		text += len + (text[len] == '\n');
	}
	return false;
}

void files_merge_lines(const char *now, const char *was, const char *wanted, struct buf *out)
{
	for (const char *p = now; *p;) {
		size_t n = strcspn(p, "\n");
		if (!has_line(was, p, n) || has_line(wanted, p, n)) {
			buf_put(out, p, n);
			buf_putc(out, '\n');
		}
		p += n + (p[n] == '\n');
	}
	for (const char *p = wanted; *p;) {
		size_t n = strcspn(p, "\n");
		if (!has_line(was, p, n) && !has_line(now, p, n)) {
			buf_put(out, p, n);
			buf_putc(out, '\n');
		}
		p += n + (p[n] == '\n');
	}
}

int files_change(const struct kobj *was, const struct kobj *o, struct err *e)
{
	OWN(own_buf) struct buf now = {0}, text = {0}, ours = {0};
	const char *name = strrchr(o->file.path, '/');
	char copy[PATH_MAX];
	if (o->file.text && copy_path(o, copy) && read_file(copy, FILE_MAX, &ours, NULL) >= 0) {
		bool edited = read_file(o->file.path, FILE_MAX, &now, NULL) >= 0 && !streq(buf_str(&now), buf_str(&ours));
		return edited || streq(buf_str(&ours), o->file.text) ? 0 : files_add(o, e);
	}
	if (!o->file.text || !was->file.text || read_file(o->file.path, FILE_MAX, &now, NULL) < 0 || streq(buf_str(&now), was->file.text))
		return files_add(o, e);
	if (!name || !streq(name, "/hosts"))
		return 0;
	files_merge_lines(buf_str(&now), was->file.text, o->file.text, &text);
	return text.bad ? err_nomem(e) : write_file(o->file.path, buf_str(&text), text.len, o->file.mode, e);
}
