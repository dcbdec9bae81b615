#include "model/health.h"

#include <errno.h>

#define SECOND 1000000000ll

static const char *const names[] = {[HEALTH_NONE] = "none", [HEALTH_STARTING] = "starting", [HEALTH_HEALTHY] = "healthy", [HEALTH_UNHEALTHY] = "unhealthy"};
static_assert(ARRAY_LEN(names) == HEALTH_N, "names[] is missing a status");

const char *health_status_name(enum health_status s)
{
	return names[s];
}

static int64_t or_else(int64_t given, int64_t otherwise)
{
	return given > 0 ? given : otherwise;
}

bool health_plan(const struct config *c, struct health_plan *out)
{
	const struct healthcheck *h = c->healthcheck;
	if (!h || !h->test.n || (!streq(h->test.v[0], "CMD") && !streq(h->test.v[0], "CMD-SHELL")) || h->test.n < 2)
		return false;
	*out = (struct health_plan){.interval = or_else(h->interval, 30 * SECOND),
		.timeout = or_else(h->timeout, 30 * SECOND),
		.start_period = or_else(h->start_period, 0),
		.start_interval = or_else(h->start_interval, 5 * SECOND),
		.retries = or_else(h->retries, 3)};
	return true;
}

struct strv health_command(const struct config *c, struct arena *a)
{
	static const char *sh[] = {"/bin/sh", "-c"};
	const struct strv usual = {.v = sh, .n = 2}, *test = &c->healthcheck->test, *shell = c->shell.n ? &c->shell : &usual;
	struct strv out = {0};
	bool by_shell = streq(test->v[0], "CMD-SHELL");
	for (size_t i = 0; by_shell && i < shell->n; i++)
		(void)strv_add(a, &out, shell->v[i]);
	for (size_t i = 1; i < test->n; i++)
		(void)strv_add(a, &out, test->v[i]);
	return out;
}

static bool is_starting(const struct health *h, const struct health_plan *p, int64_t started, int64_t when)
{
	return h->status == HEALTH_STARTING && p->start_period && when - started < p->start_period;
}

bool health_result(struct health *h, const struct health_plan *p, int64_t started, int64_t begun, int code)
{
	enum health_status before = h->status;
	if (code == 0) {
		h->streak = 0;
		h->status = HEALTH_HEALTHY;
	} else if (!is_starting(h, p, started, begun)) {
		if (++h->streak >= p->retries)
			h->status = HEALTH_UNHEALTHY;
	}
	return h->status != before;
}

int64_t health_wait(const struct health *h, const struct health_plan *p, int64_t started, int64_t now)
{
	return is_starting(h, p, started, now) ? p->start_interval : p->interval;
}

int health_merge(struct config *own, const struct config *img, struct arena *a)
{
	const struct healthcheck *i = img->healthcheck;
	struct healthcheck *h;
	if (!i)
		return 0;
	h = arena_new(a, struct healthcheck, 1);
	if (!h)
		return -ENOMEM;
	if (own->healthcheck)
		*h = *own->healthcheck;
	if (!h->test.n)
		h->test = strv_copy(a, &i->test);
	h->interval = or_else(h->interval, i->interval);
	h->timeout = or_else(h->timeout, i->timeout);
	h->start_period = or_else(h->start_period, i->start_period);
	h->start_interval = or_else(h->start_interval, i->start_interval);
	h->retries = or_else(h->retries, i->retries);
	own->healthcheck = h;
	return a->bad ? -ENOMEM : 0;
}
