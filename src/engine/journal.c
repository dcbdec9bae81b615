/* Theory of operation
 *
 * conmon sends each line as an entry with CONTAINER_ID_FULL, PRIORITY (6 stdout, 3 stderr) and, for a part of a long line, CONTAINER_PARTIAL_MESSAGE. journald stores them when
 * it comes to it: before the last reading it is asked to store all that it has been sent (its Synchronize call), so that nothing that a container said
 * before its end is missed. A journald that does not know the call is read as it is.
 *
 * libsystemd is loaded by the first who reads.
 *
 * tests/scenario/test_journal.py, with a journald of its own. */
#include "engine/journal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ref.h"
#include "base/strv.h"

#define SOCKET "/run/systemd/journal/socket"

bool journal_is_there(void)
{
	return access(SOCKET, W_OK) == 0;
}

/* What a word between braces stands for; NULL: unknown. */
static const char *word(const struct container *c, const char *name, size_t n, struct arena *a)
{
	const char *image = c->spec->config.image ? c->spec->config.image : "";
	const struct {
		const char *name, *value;
		int most;
	} words[] = {{"ID", c->id, 12}, {"FullID", c->id, ID_TEXT}, {"Name", c->name, LIMIT_NAME}, {"ImageID", c->image, 12}, {"ImageFullID", c->image, ID_TEXT}, {"ImageName", image, LIMIT_REF},
		{"DaemonName", "docker", 6}};
	while (n && *name == ' ') {
		name++;
		n--;
	}
	while (n && name[n - 1] == ' ')
		n--;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (n == strlen(words[i].name) + 1 && *name == '.' && strncmp(name + 1, words[i].name, n - 1) == 0)
			return arena_printf(a, "%.*s", words[i].most, words[i].value);
	return NULL;
}

int journal_tag(const struct container *c, struct arena *a, const char **out, struct err *e)
{
	const char *tag = kvs_get(&c->spec->host.log_config_opts, "tag"), *text = "";
	if (str_empty(tag))
		tag = "{{.ID}}";
	for (const char *s = tag; *s && text;) {
		const char *open = strstr(s, "{{"), *close = open ? strstr(open, "}}") : NULL;
		if (open && !close)
			return err_as(e, ERR_INVALID, "failed to initialize logging driver: the tag \"%.100s\" lacks a }}", tag);
		text = arena_printf(a, "%s%.*s", text, open ? (int)(open - s) : (int)strlen(s), s);
		if (!open)
			break;
		const char *value = word(c, open + 2, (size_t)(close - open - 2), a);
		if (!value)
			return err_as(e, ERR_INVALID, "failed to initialize logging driver: unknown in a tag: \"%.100s\" (known are .ID, .FullID, .Name, .ImageID, .ImageFullID, .ImageName, .DaemonName)", tag);
		text = arena_printf(a, "%s%s", text, value);
		s = close + 2;
	}
	*out = text;
	return text ? 0 : err_nomem(e);
}

#ifdef HAVE_LIBSYSTEMD

#include <pthread.h>
#include <systemd/sd-journal.h>

#include "base/fd.h"
#include "base/systemd.h"

#define VARLINK      "/run/systemd/journal/io.systemd.journal"
#define SYNC_SECONDS 5
#define FUNCTIONS(X)                                                                                                                                                                      \
	X(sd_journal_open) X(sd_journal_close) X(sd_journal_add_match) X(sd_journal_seek_head) X(sd_journal_seek_tail) X(sd_journal_seek_realtime_usec) X(sd_journal_next) X(sd_journal_previous)  \
	X(sd_journal_get_data) X(sd_journal_get_realtime_usec) X(sd_journal_get_fd) X(sd_journal_process)
SYSTEMD_LIBRARY(FUNCTIONS)

bool journal_can_read(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, lib_load);
	return lib.loaded;
}

static void own_journal(sd_journal **j)
{
	if (*j)
		lib.sd_journal_close(*j);
}

/* Returns when the journal holds all that was sent to it before. */
static void synchronize(void)
{
	static const char call[] = "{\"method\":\"io.systemd.Journal.Synchronize\"}"; /* and its NUL */
	const struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = VARLINK};
	const struct timeval patience = {.tv_sec = SYNC_SECONDS};
	char answer[512];
	ssize_t n;
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || write_all(fd, call, sizeof(call)) < 0)
		return;
	while ((n = read(fd, answer, sizeof(answer))) > 0 && !memchr(answer, '\0', (size_t)n))
		;
}

/* The value of a field; NULL when the entry has none. */
static const char *field(sd_journal *j, const char *name, size_t *n)
{
	const void *data;
	size_t k = strlen(name) + 1;
	if (lib.sd_journal_get_data(j, name, &data, n) < 0 || *n < k)
		return NULL;
	*n -= k;
	return (const char *)data + k;
}

/* The entry that stands there. False: it is not of a container. */
static bool entry(sd_journal *j, struct logline *l)
{
	uint64_t usec;
	size_t n;
	const char *priority = field(j, "PRIORITY", &n);
	l->stream = priority && n == 1 && *priority == '3' ? 2 : 1;
	l->partial = field(j, "CONTAINER_PARTIAL_MESSAGE", &n) != NULL;
	l->text = field(j, "MESSAGE", &l->n); /* the last: what was got before is not valid any more */
	if (!l->text || lib.sd_journal_get_realtime_usec(j, &usec) < 0)
		return false;
	if (l->n && !l->partial && l->text[l->n - 1] == '\n') /* conmon sends it along */
		l->n--;
	l->time = (int64_t)usec * 1000;
	return true;
}

static bool wanted(const struct engine_logs *o, int stream)
{
	return stream == 1 ? o->want_stdout : o->want_stderr;
}

/* Stands so that the next entry is the first that is to be told. */
static int begin(sd_journal *j, const struct engine_logs *o)
{
	struct logline l;
	int64_t found = 0;
	int r = 1;
	if (o->tail < 0)
		return o->since ? lib.sd_journal_seek_realtime_usec(j, (uint64_t)o->since / 1000) : lib.sd_journal_seek_head(j);
	try(lib.sd_journal_seek_tail(j));
	while ((r = lib.sd_journal_previous(j)) > 0)
		if (entry(j, &l) && !l.partial && wanted(o, l.stream) && found++ == o->tail)
			return 0; /* the one before the first */
	return r < 0 ? r : lib.sd_journal_seek_head(j);
}

/* What is there. False: the taker wants no more, or it is past the end of the time. */
static bool read_on(sd_journal *j, struct log_out *out, int *r)
{
	struct logline l;
	while ((*r = lib.sd_journal_next(j)) > 0) {
		if (!entry(j, &l) || (out->o->since && l.time < out->o->since))
			continue;
		if (out->o->until && l.time > out->o->until)
			return false;
		if (wanted(out->o, l.stream) && !log_out_line(out, &l))
			return false;
	}
	return *r >= 0;
}

/* One descriptor for two. */
static int both(int a, int b)
{
	OWN(own_fd) int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN};
	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, a, &ev) < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, b, &ev) < 0)
		return -errno;
	return STEAL_FD(fd);
}

static int follow(sd_journal *j, struct log_out *out, bool (*idle)(void *arg, int wake_fd), const struct journal_end *end)
{
	char drain[4096];
	int r = 0, own = lib.sd_journal_get_fd(j); /* from here on the descriptor tells of what comes */
	try(own);
	OWN(own_fd) int fd = both(own, end->fd);
	try(fd);
	synchronize();
	try(begin(j, out->o));
	for (;;) {
		while (read(end->fd, drain, sizeof(drain)) > 0)
			;
		bool last = end->over(end->arg); /* asked before the last reading */
		if (last)
			synchronize();
		try(lib.sd_journal_process(j));
		if (!read_on(j, out, &r) || last)
			return r;
		if (!idle(out->arg, fd))
			return 0;
	}
}

static int read_all(sd_journal *j, struct log_out *out, bool (*idle)(void *arg, int wake_fd), const struct journal_end *end)
{
	int r;
	if (out->o->follow)
		return follow(j, out, idle, end);
	synchronize();
	try(begin(j, out->o));
	(void)read_on(j, out, &r);
	return r;
}

int journal_read(struct log_out *out, const char *id, bool (*idle)(void *arg, int wake_fd), const struct journal_end *end, struct err *e)
{
	char match[ID_TEXT + 32];
	OWN(own_journal) sd_journal *j = NULL;
	if (!journal_can_read())
		return err_as(e, ERR_NOT_IMPLEMENTED, "configured logging driver does not support reading");
	int r = lib.sd_journal_open(&j, 0);
	snprintf(match, sizeof(match), "CONTAINER_ID_FULL=%s", id);
	if (r >= 0)
		r = lib.sd_journal_add_match(j, match, 0);
	if (r >= 0)
		r = read_all(j, out, idle, end);
	return r < 0 ? err_errno(e, r, "read the journal") : 0;
}

#else

bool journal_can_read(void)
{
	return false;
}

int journal_read(struct log_out *out, const char *id, bool (*idle)(void *arg, int wake_fd), const struct journal_end *end, struct err *e)
{
	(void)out, (void)id, (void)idle, (void)end;
	return err_as(e, ERR_NOT_IMPLEMENTED, "configured logging driver does not support reading");
}

#endif
