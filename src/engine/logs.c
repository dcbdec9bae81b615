/* Theory of operation
 *
 * A log is a file of lines (logline.h). `tail` finds its place by reading backwards in blocks until enough whole lines have gone by, so
 * the last lines of a large log cost what they are. Following waits for inotify on the file; the end of the container is its conmon's
 * exit file, looked at after each wake-up. When conmon rotates, the file of the name is a new one: the reader notices by the inode. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "engine/follow.h"
#include "engine/journal.h"

#define BLOCK     4096 /* on the stack of every follower, and again in what it keeps of a line */
#define FILES_MOST 1000 /* as many as rotation may keep */
#define LINE_MAX_ (1u << 20) /* conmon cuts at 8 KiB; anything longer is not its line */

struct reader {
	struct engine *en;
	const char *id, *path;
	struct log_out out;
	int fd;
	struct buf rest; /* an unfinished line */
	bool past_until;
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

/* Offset from which `want` whole messages remain to the end: the start of the line after the message before them. *count: how many there are, at most want. */
static off_t tail_offset(int fd, int64_t want, const struct engine_logs *o, int64_t *count)
{
	char block[BLOCK];
	struct stat st;
	int64_t found = 0;
	bool open_end[3] = {true, true, true};
	*count = 0;
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
			if (counts(fd, start, o, open_end) && found++ == want) {
				*count = want;
				return after;
			}
			after = start;
		}
	}
	found += counts(fd, 0, o, open_end);
	*count = found > want ? want : found;
	return found > want ? after : 0;
}

bool log_out_line(struct log_out *r, const struct logline *l)
{
	OWN(own_buf) struct buf b = {0};
	char when[TIME_TEXT];
	if (r->o->timestamps && !r->middle[l->stream]) {
		/* always nine digits: columns line up */
		int64_t frac = l->time % 1000000000;
		time_format(l->time - frac, when);
		buf_printf(&b, "%.19s.%09lldZ ", when, (long long)frac);
	}
	if (r->o->details && !r->middle[l->stream])
		buf_printf(&b, "%s ", r->o->details);
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
	const struct engine_logs *o = r->out.o;
	if (o->until && l.time > o->until) {
		r->past_until = true;
		return true;
	}
	if ((l.stream == 1 ? !o->want_stdout : !o->want_stderr) || (o->since && l.time < o->since))
		return true;
	return log_out_line(&r->out, &l);
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

static const char *numbered(const char *path, int i, char out[static PATH_SIZE + 160])
{
	snprintf(out, PATH_SIZE + 160, i ? "%s.%d" : "%s", path, i);
	return out;
}

/* After rotation the present file is another: goes to the one that followed ours. conmon writes to a new file before it leaves the old one for good, so ours is
 * whole by then. True: there was one. */
static bool follow_rotation(struct reader *r)
{
	struct stat have, now;
	char name[PATH_SIZE + 160];
	int i = 0;
	if (fstat(r->fd, &have) < 0 || stat(r->path, &now) < 0 || have.st_ino == now.st_ino)
		return false;
	for (int k = 1; k < FILES_MOST && !i && stat(numbered(r->path, k, name), &now) == 0; k++)
		i = now.st_ino == have.st_ino ? k - 1 : 0;
	int fd = read_on(r) && !r->past_until ? open(numbered(r->path, i, name), O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	close(r->fd);
	r->fd = fd;
	return true;
}

static int follow(struct reader *r, bool (*idle)(void *arg, int wake_fd), struct err *e)
{
	struct follower f;
	try(follow_begin(r->en, r->id, &f, e));
	for (;;) {
		bool over = container_over(r); /* asked before the last reading, so that nothing written before the end is missed */
		eventfd_t v;
		if (!read_on(r) || r->past_until)
			break;
		if (follow_rotation(r))
			continue;
		if (over || !idle(r->out.arg, f.fd))
			break;
		(void)eventfd_read(f.fd, &v);
	}
	follow_end(r->en, &f);
	return 0;
}

/* The files of a log, the present one first; what rotation does from now on changes none of them. Returns how many; -errno. */
static int open_files(const char *path, int fds[static FILES_MOST], struct err *e)
{
	char name[PATH_SIZE + 160];
	int n = 0;
	for (int i = 0; n < FILES_MOST; i++) {
		if (i)
			snprintf(name, sizeof(name), "%s.%d", path, i);
		fds[n] = open(i ? name : path, O_RDONLY | O_CLOEXEC);
		if (fds[n] < 0 && errno != ENOENT) {
			int r = err_errno(e, -errno, "open %s", i ? name : path);
			while (n)
				close(fds[--n]);
			return r;
		}
		if (fds[n] < 0 && i) /* the present one is missing for a moment while it is rotated */
			break;
		n += fds[n] >= 0;
	}
	return n;
}

/* The oldest file that is needed for the tail; it stands where reading begins. */
static int first_file(const int *fds, int n, const struct engine_logs *o)
{
	int64_t want = o->tail, count;
	if (want < 0)
		return n - 1;
	if (want == 0) {
		(void)lseek(fds[0], 0, SEEK_END);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		off_t at = tail_offset(fds[i], want, o, &count);
		want -= count;
		if (want > 0 && i + 1 < n)
			continue;
		(void)lseek(fds[i], at, SEEK_SET);
		return i;
	}
	return 0;
}

static bool reader_over(void *arg)
{
	return container_over(arg);
}

static int read_journal(struct reader *r, bool (*idle)(void *arg, int wake_fd), struct err *e)
{
	struct follower f;
	try(follow_begin(r->en, r->id, &f, e));
	int rc = journal_read(&r->out, r->id, idle, &(struct journal_end){.fd = f.fd, .over = reader_over, .arg = r}, e);
	follow_end(r->en, &f);
	return rc;
}

/* What the files have that is wanted, but for what the present one may still get: r->fd is it. *more: nothing has ended it. Not in its caller's frame: a follower waits there. */
static __attribute__((noinline)) int read_files(struct reader *r, bool *more, struct err *e)
{
	int fds[FILES_MOST];
	int n = open_files(r->path, fds, e);
	if (n <= 0)
		return n;
	*more = true;
	for (int i = first_file(fds, n, r->out.o); i > 0 && *more; i--) {
		r->fd = fds[i];
		*more = read_on(r) && !r->past_until;
	}
	r->fd = fds[0];
	for (int i = 1; i < n; i++)
		close(fds[i]);
	return n;
}

int engine_logs(struct engine *en, const char *id, const struct engine_logs *o, bool (*put)(void *arg, const void *p, size_t n), bool (*idle)(void *arg, int wake_fd), void *arg, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct reader r = {.en = en, .id = id, .path = engine_log_path(en, id, &a), .out = {.o = o, .put = put, .arg = arg}};
	bool more = false;
	if (!r.path)
		return err_nomem(e);
	if (o->journal)
		return read_journal(&r, idle, e);
	int rc = read_files(&r, &more, e);
	if (rc <= 0)
		return rc; /* 0: never started, or logging is off */
	rc = 0;
	if (more && o->follow)
		rc = follow(&r, idle, e);
	else if (more)
		(void)read_on(&r);
	close(r.fd); /* after a rotation it is another */
	buf_free(&r.rest);
	return rc;
}
