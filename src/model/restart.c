#include "model/restart.h"

static bool policy_is(const struct container *c, const char *name)
{
	const char *have = c->spec->host.restart_name;
	return have && streq(have, name);
}

bool restart_after_exit(const struct container *c, int64_t exit_code, bool stopped)
{
	if (stopped)
		return false;
	if (policy_is(c, "always") || policy_is(c, "unless-stopped"))
		return true;
	int64_t max = c->spec->host.restart_max;
	return policy_is(c, "on-failure") && exit_code != 0 && (max == 0 || c->restart_count < max);
}

bool restart_at_boot(const struct container *c)
{
	if (c->state == STATE_RESTARTING)
		return true;
	if (c->state != STATE_EXITED || !c->started)
		return false;
	/* "always" means also one that the user has stopped: only a removal ends it for good. */
	return policy_is(c, "always") || restart_after_exit(c, c->exit_code, c->stopped_by_user);
}

int64_t restart_wait(int64_t last_ns, int64_t ran_ns)
{
	if (last_ns <= 0 || ran_ns >= RESTART_STEADY_NS)
		return RESTART_WAIT_FIRST_NS;
	return last_ns >= RESTART_WAIT_MAX_NS / 2 ? RESTART_WAIT_MAX_NS : last_ns * 2;
}
