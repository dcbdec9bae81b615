/* The files of a sandbox: hosts, hostname, resolv.conf. The container has them mounted, so they are written in place and never renamed.
 *
 * What the container has written into one since is its own: of hosts only the lines that come or go with a network are changed, and a
 * resolv.conf that is not as we wrote it stays as it is. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/real.h"

#define FILE_MAX (1u << 20) /* more than this the container wrote, not we */

int files_add(const struct kobj *o, struct err *e)
{
	return o->file.text ? write_file(o->file.path, o->file.text, strlen(o->file.text), o->file.mode, e) : 0;
}

int files_del(const struct kobj *o, struct err *e)
{
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
	OWN(own_buf) struct buf now = {0}, text = {0};
	const char *name = strrchr(o->file.path, '/');
	if (!o->file.text || !was->file.text || read_file(o->file.path, FILE_MAX, &now, NULL) < 0 || streq(buf_str(&now), was->file.text))
		return files_add(o, e);
	if (!name || !streq(name, "/hosts"))
		return 0;
	files_merge_lines(buf_str(&now), was->file.text, o->file.text, &text);
	return text.bad ? err_nomem(e) : write_file(o->file.path, buf_str(&text), text.len, o->file.mode, e);
}
