#include "model/update.h"

#include <errno.h>

#include "model/spec_check.h"

static int refuse_conflicts(const struct host_config *h, const struct host_config *u, struct err *e)
{
	if (u->nano_cpus > 0 && h->cpu_period > 0)
		return err_as(e, ERR_CONFLICT, "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set");
	if (u->nano_cpus > 0 && h->cpu_quota > 0)
		return err_as(e, ERR_CONFLICT, "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set");
	if (u->cpu_period && h->nano_cpus)
		return err_as(e, ERR_CONFLICT, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
	if (u->cpu_quota && h->nano_cpus)
		return err_as(e, ERR_CONFLICT, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
	if (u->memory && !u->memory_swap && h->memory_swap > 0 && u->memory > h->memory_swap)
		return err_as(e, ERR_CONFLICT, "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
	if (!str_empty(u->restart_name) && h->auto_remove && !streq(u->restart_name, "no"))
		return err_as(e, ERR_CONFLICT, "Restart policy cannot be updated because AutoRemove is enabled for the container");
	return 0;
}

/* Only what is given changes: 0 and "" are not. */
static bool merge(struct host_config *h, const struct host_config *u, const json_t *body)
{
	const struct {
		int64_t *to;
		int64_t from;
	} numbers[] = {{&h->cpu_shares, u->cpu_shares}, {&h->memory, u->memory}, {&h->nano_cpus, u->nano_cpus}, {&h->blkio_weight, u->blkio_weight}, {&h->cpu_period, u->cpu_period}, {&h->cpu_quota, u->cpu_quota},
		{&h->cpu_rt_period, u->cpu_rt_period}, {&h->cpu_rt_runtime, u->cpu_rt_runtime}, {&h->memory_reservation, u->memory_reservation}, {&h->memory_swap, u->memory_swap}};
	const struct {
		const char **to, *from;
	} texts[] = {{&h->cpuset_cpus, u->cpuset_cpus}, {&h->cpuset_mems, u->cpuset_mems}};
	bool any = false;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (!numbers[i].from)
			continue;
		*numbers[i].to = numbers[i].from;
		any = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (str_empty(texts[i].from))
			continue;
		*texts[i].to = texts[i].from;
		any = true;
	}
	if (json_is_integer(json_object_get(body, "PidsLimit"))) { /* 0 is "no limit" here, null is "as it was" */
		h->pids_limit = u->pids_limit ? u->pids_limit : -1;
		any = true;
	}
	return any;
}

int update_apply(struct container_spec *s, const json_t *body, const struct spec_host *host, struct arena *a, struct strv *warnings, bool *resources, struct err *e)
{
	struct host_config u = {.memory_swappiness = -1, .oom_kill_disable = -1, .init = -1};
	struct check c = {.s = s, .host = host, .a = a, .warnings = warnings};
	if (body)
		try(json_decode(body, host_config_table, &u, a, e));
	try(refuse_conflicts(&s->host, &u, e));
	bool any = merge(&s->host, &u, body);
	if (!str_empty(u.restart_name)) {
		s->host.restart_name = u.restart_name;
		s->host.restart_max = u.restart_max;
	}
	try(check_restart(&s->host, e));
	try(check_resources(&c, e));
	*resources = any;
	return 0;
}
