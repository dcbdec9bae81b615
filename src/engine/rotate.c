/* Rotation of logs. conmon appends to a file and knows no second one: so the files are renamed (x.1 to x.2, x to x.1) while it writes on in what is x.1 by
 * then, and it is told to open x anew. Nothing is lost between the two. The thread that watches processes looks at the sizes while there is a log with a bound. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

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
	bool first = !en->rotated;
	r->next = en->rotated;
	en->rotated = r;
	en->rotating = true;
	pthread_mutex_unlock(&en->lock);
	if (first)
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
	en->rotating = en->rotated != NULL;
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

void rotate_look(struct engine *en)
{
	OWN(arena_free) struct arena a = {0};
	pthread_mutex_lock(&en->lock);
	for (const struct rotated *r = en->rotated; r; r = r->next) {
		struct stat st;
		const char *log = engine_log_path(en, r->id, &a);
		if (log && stat(log, &st) == 0 && st.st_size >= r->limits.size)
			rotate(en, r, log);
	}
	pthread_mutex_unlock(&en->lock);
}
