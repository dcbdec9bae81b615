/* Rotation of logs. conmon appends to a file and knows no second one: so the files are renamed (x.1 to x.2, x to x.1) while it writes on in what is x.1 by
 * then, and it is told to open x anew. Nothing is lost between the two. The thread that watches processes looks at the sizes while there is a log with a bound, the more often the
 * faster one grows: a program that writes as fast as it can fills 200 MB in half a second. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "engine/engine_int.h"
#include "engine/rotate.h"
#include "model/logging.h"

#define REOPEN "2 0 0\n" /* to conmon's ctl: open the log again */

struct rotated {
	struct rotated *next;
	char id[ID_TEXT];
	struct log_limits limits;
	int64_t size; /* at the last look */
};

void rotate_watch(struct engine *en, const struct container *c)
{
	struct log_limits l;
	if (!c->spec || streq(c->spec->host.log_type, "none") || log_limits(&c->spec->host, &l, NULL) < 0 || !l.size)
		return;
	rotate_forget(en, c->id);
	struct rotated *r = calloc(1, sizeof(*r));
	if (!r) {
		log_error("the log of %.12s is not rotated: out of memory", c->id);
		return;
	}
	STR_COPY(r->id, c->id);
	r->limits = l;
	pthread_mutex_lock(&en->lock);
	r->next = en->rotated;
	en->rotated = r;
	bool soon = en->rotate_ms && en->rotate_ms <= 2 * ROTATE_MIN;
	en->rotate_ms = ROTATE_MIN; /* nobody knows yet how fast it grows */
	pthread_mutex_unlock(&en->lock);
	if (!soon)
		eventfd_write(en->wake, 1); /* the thread has to look from now on */
}

void rotate_forget(struct engine *en, const char *id)
{
	pthread_mutex_lock(&en->lock);
	for (struct rotated **p = &en->rotated; *p;) {
		struct rotated *r = *p;
		if (streq(r->id, id)) {
			*p = r->next;
			free(r);
		} else {
			p = &r->next;
		}
	}
	if (!en->rotated)
		en->rotate_ms = 0;
	pthread_mutex_unlock(&en->lock);
}

void rotate_free(struct engine *en)
{
	while (en->rotated) {
		struct rotated *r = en->rotated;
		en->rotated = r->next;
		free(r);
	}
}

static int tell_conmon(const struct engine *en, const char *id)
{
	char bundle[PATH_SIZE], path[PATH_SIZE + 8];
	snprintf(path, sizeof(path), "%s/ctl", path_bundle(en, id, bundle));
	OWN(own_fd) int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : write_all(fd, REOPEN, strlen(REOPEN));
}

static void rotate(const struct engine *en, const struct rotated *r, const char *log)
{
	char from[PATH_SIZE + 128], to[PATH_SIZE + 128];
	int keep = r->limits.files > 1 ? r->limits.files - 1 : 1;
	for (int i = keep; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%d", log, i);
		if (i > 1)
			snprintf(from, sizeof(from), "%s.%d", log, i - 1);
		else
			snprintf(from, sizeof(from), "%s", log);
		if (rename(from, to) < 0 && errno != ENOENT)
			log_warn("rotate %s: %s", from, strerror(errno));
	}
	int e = tell_conmon(en, r->id);
	if (e < 0)
		log_debug("rotate the log of %.12s: %s", r->id, strerror(-e)); /* it has ended; what it wrote is in the renamed file */
	if (r->limits.files == 1) { /* only the present one is kept */
		snprintf(to, sizeof(to), "%s.1", log);
		(void)unlink(to);
	}
}

int rotate_pause(int64_t ms, int64_t grown, int64_t left)
{
	ms = ms < 1 ? 1 : ms > ROTATE_MS ? ROTATE_MS : ms;
	int64_t next = 2 * ms;
	if (grown > 0 && left / (grown / ms + 1) / 2 < next)
		next = left / (grown / ms + 1) / 2;
	return next < ROTATE_MIN ? ROTATE_MIN : next > ROTATE_MS ? ROTATE_MS : (int)next;
}

/* The size after it: 0 for a log that begins anew. */
static int64_t look_at(const struct engine *en, const struct rotated *r, struct arena *a, int64_t *grown)
{
	struct stat st;
	const char *log = engine_log_path(en, r->id, a);
	*grown = 0;
	if (!log || stat(log, &st) < 0)
		return 0;
	*grown = st.st_size - r->size;
	if (st.st_size < r->limits.size)
		return st.st_size;
	rotate(en, r, log);
	return 0;
}

void rotate_look(struct engine *en)
{
	OWN(arena_free) struct arena a = {0};
	int64_t now = clock_mono_ns(), ms = (now - en->rotate_looked) / 1000000, grown;
	pthread_mutex_lock(&en->lock);
	int next = en->rotated ? ROTATE_MS : 0;
	for (struct rotated *r = en->rotated; r; r = r->next) {
		r->size = look_at(en, r, &a, &grown);
		int pause = rotate_pause(ms, grown, r->limits.size - r->size);
		next = pause < next ? pause : next;
	}
	en->rotate_ms = next;
	en->rotate_looked = now;
	pthread_mutex_unlock(&en->lock);
}
