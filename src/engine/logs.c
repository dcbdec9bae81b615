/* Theory of operation
 *
 * A log is a file of lines (logline.h). `tail` finds its place by reading backwards in blocks until enough whole lines have gone by, so
 * the last lines of a large log cost what they are. Following waits for inotify on the file; the end of the container is its conmon's
 * exit file, looked at after each wake-up. When conmon rotates, the file of the name is a new one: the reader notices by the inode. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "engine/engine_int.h"
#include "engine/logline.h"

#define BLOCK     16384 /* on the stack of every follower */
#define LINE_MAX_ (1u << 20) /* conmon cuts at 8 KiB; anything longer is not its line */

struct reader {
	struct engine *en;
	const char *id, *path;
	const struct engine_logs *o;
	bool (*put)(void *arg, const void *p, size_t n);
	void *arg;
	int fd;
	struct buf rest;      /* an unfinished line */
	bool middle[3];       /* by stream: the line before was a part, so no time stamp is due */
	bool past_until, stopped;
};

/* Does the line at `at` end a message that is wanted? Its head tells. The last line of a stream may be a part that nothing followed. */
static bool counts(int fd, off_t at, const struct engine_logs *o, bool open_end[static 3])
{
	char head[96];
	struct logline l;
	ssize_t n = pread(fd, head, sizeof(head), at);
	const char *nl = n > 0 ? memchr(head, '\n', (size_t)n) : NULL;
	if (n <= 0 || !logline_parse(head, nl ? (size_t)(nl - head) : (size_t)n, &l))
		return false;
	bool ends = !l.partial || open_end[l.stream];
	open_end[l.stream] = false;
	return ends && (l.stream == 1 ? o->want_stdout : o->want_stderr);
}

/* Offset from which `want` whole messages remain to the end: the start of the line after the message before them. */
static off_t tail_offset(int fd, int64_t want, const struct engine_logs *o)
{
	char block[BLOCK];
	struct stat st;
	int64_t found = 0;
	bool open_end[3] = {true, true, true};
	if (fstat(fd, &st) < 0)
		return 0;
	off_t after = st.st_size; /* start of the line that follows the one looked at */
	for (off_t pos = st.st_size; pos > 0;) {
		size_t n = pos < BLOCK ? (size_t)pos : BLOCK;
		pos -= (off_t)n;
		if (pread(fd, block, n, pos) != (ssize_t)n)
			return 0;
		for (size_t i = n; i-- > 0;) {
			off_t start = pos + (off_t)i + 1;
			if (block[i] != '\n' || start == st.st_size)
				continue;
			if (counts(fd, start, o, open_end) && found++ == want)
				return after;
			after = start;
		}
	}
	return counts(fd, 0, o, open_end) && found == want ? after : 0;
}

static bool emit(struct reader *r, const struct logline *l)
{
	OWN(own_buf) struct buf b = {0};
	char when[TIME_TEXT];
	if (r->o->timestamps && !r->middle[l->stream]) {
		/* always nine digits: columns line up */
		int64_t frac = l->time % 1000000000;
		time_format(l->time - frac, when);
		buf_printf(&b, "%.19s.%09lldZ ", when, (long long)frac);
	}
	buf_put(&b, l->text, l->n);
	if (!l->partial)
		buf_putc(&b, '\n');
	r->middle[l->stream] = l->partial;
	if (b.bad)
		return false;
	if (r->o->multiplex) {
		unsigned char head[8] = {(unsigned char)l->stream, 0, 0, 0, (unsigned char)(b.len >> 24), (unsigned char)(b.len >> 16), (unsigned char)(b.len >> 8), (unsigned char)b.len};
		if (!r->put(r->arg, head, sizeof(head)))
			return false;
	}
	return r->put(r->arg, b.data, b.len);
}

static bool take_line(struct reader *r, const char *line, size_t n)
{
	struct logline l;
	if (!logline_parse(line, n, &l))
		return true; /* damaged: skipped */
	if (r->o->until && l.time > r->o->until) {
		r->past_until = true;
		return true;
	}
	if ((l.stream == 1 ? !r->o->want_stdout : !r->o->want_stderr) || (r->o->since && l.time < r->o->since))
		return true;
	return emit(r, &l);
}

/* Reads what is there. False: the taker wants no more. */
static bool read_on(struct reader *r)
{
	char block[BLOCK];
	ssize_t n;
	while (!r->past_until && (n = read(r->fd, block, sizeof(block))) > 0) {
		buf_put(&r->rest, block, (size_t)n);
		size_t done = 0;
		char *nl;
		while (done < r->rest.len && (nl = memchr(r->rest.data + done, '\n', r->rest.len - done))) {
			if (!take_line(r, r->rest.data + done, (size_t)(nl - r->rest.data) - done))
				return false;
			done = (size_t)(nl - r->rest.data) + 1;
		}
		buf_drop(&r->rest, done);
		if (r->rest.len > LINE_MAX_ || r->rest.bad)
			return false;
	}
	return true;
}

static bool container_over(const struct reader *r)
{
	char path[PATH_SIZE], bundle[PATH_SIZE];
	return access(path_exit(r->en, r->id, path), F_OK) == 0 || access(path_bundle(r->en, r->id, bundle), F_OK) < 0;
}

/* After rotation the name means another file. */
static void follow_rotation(struct reader *r)
{
	struct stat have, now;
	if (fstat(r->fd, &have) < 0 || stat(r->path, &now) < 0 || have.st_ino == now.st_ino)
		return;
	int fd = open(r->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	close(r->fd);
	r->fd = fd;
}

static int follow(struct reader *r, bool (*idle)(void *arg, int wake_fd), struct err *e)
{
	OWN(own_fd) int in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char drain[4096];
	if (in < 0 || inotify_add_watch(in, r->path, IN_MODIFY | IN_MOVE_SELF | IN_ATTRIB) < 0 || inotify_add_watch(in, r->en->root_exit, IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
		return err_errno(e, -errno, "follow %s", r->path);
	for (;;) {
		bool over = container_over(r); /* asked before the last reading, so that nothing written before the end is missed */
		if (!read_on(r) || r->past_until)
			return 0;
		follow_rotation(r);
		if (over)
			return 0;
		if (!idle(r->arg, in))
			return 0;
		while (read(in, drain, sizeof(drain)) > 0)
			;
	}
}

int engine_logs(struct engine *en, const char *id, const struct engine_logs *o, bool (*put)(void *arg, const void *p, size_t n), bool (*idle)(void *arg, int wake_fd), void *arg, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct reader r = {.en = en, .id = id, .path = engine_log_path(en, id, &a), .o = o, .put = put, .arg = arg};
	if (!r.path)
		return err_nomem(e);
	r.fd = open(r.path, O_RDONLY | O_CLOEXEC);
	if (r.fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, -errno, "open %s", r.path); /* never started, or logging is off */
	if (o->tail >= 0)
		(void)lseek(r.fd, o->tail ? tail_offset(r.fd, o->tail, o) : 0, o->tail ? SEEK_SET : SEEK_END);
	int rc = 0;
	if (o->follow)
		rc = follow(&r, idle, e);
	else
		(void)read_on(&r);
	close(r.fd);
	buf_free(&r.rest);
	return rc;
}
