#include "ops/wait.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct waiter {
	struct tree_node of_container;
	char container[ID_TEXT];
	enum wait_condition cond;
	int fd;
	bool over, exited;
	int64_t code;
};

static const char *const condition_names[] = {
	[WAIT_NOT_RUNNING] = "not-running", [WAIT_NEXT_EXIT] = "next-exit", [WAIT_REMOVED] = "removed"};
static_assert(ARRAY_LEN(condition_names) == WAIT_N, "condition_names[] is missing a kind");

int wait_condition_parse(const char *s, enum wait_condition *out, struct err *e)
{
	if (str_empty(s)) {
		*out = WAIT_NOT_RUNNING;
		return 0;
	}
	for (int i = 0; i < WAIT_N; i++) {
		if (streq(s, condition_names[i])) {
			*out = (enum wait_condition)i;
			return 0;
		}
	}
	return err_as(e, ERR_INVALID, "invalid condition: \"%s\"", s);
}

static struct waiter *by_container(const struct tree_node *n)
{
	return (struct waiter *)(uintptr_t)((const char *)n - offsetof(struct waiter, of_container));
}

static int cmp_container(const void *probe, const struct tree_node *n)
{
	const struct waiter *a = probe, *b = by_container(n);
	int r = strcmp(a->container, b->container);
	return r ? r : (a->fd > b->fd) - (a->fd < b->fd);
}

static void finish(struct waiter *w)
{
	if (w->over)
		return;
	w->over = true;
	eventfd_write(w->fd, 1);
}

static void remember(struct waiter *w, const struct container *c)
{
	w->exited = true;
	w->code = c->exit_code;
}

/* Between two runs of a restart policy it is not over. */
static bool goes_on(const struct container *c)
{
	return container_is_running(c) || c->starting || c->state == STATE_RESTARTING;
}

static void note_one(struct waiter *w, const struct container *before, const struct container *after)
{
	bool ran = before && goes_on(before);
	bool runs = after && (container_is_running(after) || after->starting); /* each end of a run is one that clients wait for */
	if (ran && after && !runs)
		remember(w, after);
	if (!after) {
		if (!w->exited && before)
			remember(w, before);
		finish(w); /* removed: nothing else can come */
	} else if (ran && !runs && w->cond != WAIT_REMOVED) {
		finish(w);
	}
}

void wait_note(struct core *c, const struct change *ch, size_t n)
{
	pthread_mutex_lock(&c->life_mutex);
	for (size_t i = 0; i < n; i++) {
		if (ch[i].noun != NOUN_CONTAINER)
			continue;
		const struct thing *t = ch[i].after ? ch[i].after : ch[i].before;
		struct waiter first = {.fd = -1}; /* before all of that container */
		const struct tree_node *node;
		STR_COPY(first.container, t->key);
		for (size_t k = tree_rank(&c->waiters, cmp_container, &first); (node = tree_at(&c->waiters, k)) && streq(by_container(node)->container, t->key); k++)
			note_one(by_container(node), ch[i].before, ch[i].after);
	}
	pthread_mutex_unlock(&c->life_mutex);
}

int waiter_open(struct core *c, const char *term, enum wait_condition cond, struct waiter **out, struct err *e)
{
	struct waiter *w = calloc(1, sizeof(*w));
	if (!w)
		return err_nomem(e);
	w->cond = cond;
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0) {
		int r = -errno;
		free(w);
		return err_errno(e, r, "eventfd");
	}
	const struct container *ct;
	int r = world_find_container(core_read(c), term, &ct, e);
	if (r >= 0) {
		STR_COPY(w->container, ct->id);
		if (cond == WAIT_NOT_RUNNING && !goes_on(ct)) {
			remember(w, ct);
			finish(w);
		}
		/* Listed before the world may change: no exit can fall in between. */
		pthread_mutex_lock(&c->life_mutex);
		tree_add(&c->waiters, cmp_container, w, &w->of_container);
		pthread_mutex_unlock(&c->life_mutex);
	}
	core_read_end(c);
	if (r < 0) {
		close(w->fd);
		free(w);
		return r;
	}
	*out = w;
	return 0;
}

int waiter_fd(const struct waiter *w)
{
	return w->fd;
}

bool waiter_result(struct waiter *w, int64_t *exit_code)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	if (poll(&p, 1, 0) != 1)
		return false;
	if (exit_code)
		*exit_code = w->code;
	return true;
}

void waiter_close(struct core *c, struct waiter *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&c->life_mutex);
	tree_del(&c->waiters, cmp_container, w);
	pthread_mutex_unlock(&c->life_mutex);
	close(w->fd);
	free(w);
}
