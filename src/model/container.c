#include "model/container.h"

#include <errno.h>

static const char *const state_names[] = {[STATE_CREATED] = "created",
	[STATE_RUNNING] = "running",
	[STATE_PAUSED] = "paused",
	[STATE_RESTARTING] = "restarting",
	[STATE_REMOVING] = "removing",
	[STATE_EXITED] = "exited",
	[STATE_DEAD] = "dead"};
static_assert(ARRAY_LEN(state_names) == STATE_N, "state_names[] is missing a state");

const char *container_state_name(enum container_state s)
{
	return state_names[s];
}

struct strv container_args(struct arena *a, const struct config *own, const struct config *image)
{
	struct strv args = {0};
	const struct config *from = own->entrypoint.n || own->has_entrypoint ? own : image;
	const struct strv *cmd = own->cmd.n || from == own ? &own->cmd : &image->cmd;
	const struct strv *parts[] = {&from->entrypoint, cmd};
	for (size_t p = 0; p < 2; p++)
		for (size_t i = 0; i < parts[p]->n; i++)
			if (strv_add(a, &args, parts[p]->v[i]) < 0)
				break;
	return args;
}

struct container *container_new(
	const char *id, const char *name, const struct container_spec *spec, struct arena *spec_mem)
{
	struct container *c = thing_new(NOUN_CONTAINER, sizeof(*c));
	struct thing *owner = thing_new(NOUN_CONTAINER, sizeof(*owner));
	struct strv *args = arena_new(spec_mem, struct strv, 1);
	if (args)
		*args = container_args(spec_mem, &spec->config, &spec->config);
	if (!c || !owner || spec_mem->bad) {
		thing_unref(c);
		thing_unref(owner);
		return NULL;
	}
	owner->mem = *spec_mem;
	*spec_mem = (struct arena){0};
	STR_COPY(c->id, id);
	c->thing.key = c->id;
	STR_COPY(c->name, name);
	c->thing.spec_owner = owner;
	c->spec = spec;
	c->args = args;
	return c;
}

struct container *container_copy(const struct container *old)
{
	struct container *c = thing_new(NOUN_CONTAINER, sizeof(*c));
	if (!c)
		return NULL;
	struct thing own = c->thing;
	*c = *old;
	c->thing = own;
	c->thing.key = c->id;
	c->thing.spec_owner = thing_ref(old->thing.spec_owner);
	return c;
}

struct container *container_respec(const struct container *old, const struct container_spec *spec, struct arena *spec_mem)
{
	struct container *c = container_new(old->id, old->name, spec, spec_mem);
	if (!c)
		return NULL;
	struct container own = *c;
	*c = *old;
	c->thing = own.thing;
	c->spec = own.spec;
	c->args = own.args;
	return c;
}

bool container_is_running(const struct container *c)
{
	return c->state == STATE_RUNNING || c->state == STATE_PAUSED;
}

struct state_row {
	int64_t state, pid, monitor_pid, exit_code, created, started, finished, restart_count;
	bool starting, oom_killed, stopped_by_user;
	const char *error, *boot_id;
};
#define R(m) offsetof(struct state_row, m)
static const struct json_field state_table[] = {{"state", J_I64, R(state), 0, NULL, 0},
	{"pid", J_I64, R(pid), J_OMIT, NULL, 0}, {"monitor_pid", J_I64, R(monitor_pid), J_OMIT, NULL, 0},
	{"exit_code", J_I64, R(exit_code), J_OMIT, NULL, 0}, {"created", J_I64, R(created), 0, NULL, 0},
	{"started", J_I64, R(started), J_OMIT, NULL, 0}, {"finished", J_I64, R(finished), J_OMIT, NULL, 0},
	{"restart_count", J_I64, R(restart_count), J_OMIT, NULL, 0}, {"starting", J_BOOL, R(starting), J_OMIT, NULL, 0},
	{"oom_killed", J_BOOL, R(oom_killed), J_OMIT, NULL, 0},
	{"stopped_by_user", J_BOOL, R(stopped_by_user), J_OMIT, NULL, 0}, {"error", J_STR, R(error), J_OMIT, NULL, 0},
	{"boot_id", J_STR, R(boot_id), J_OMIT, NULL, 0}, J_END};

json_t *container_state_to_json(const struct container *c)
{
	char error[sizeof(c->error)]; /* words of a runtime, perhaps cut within a character */
	memcpy(error, c->error, sizeof(error));
	str_make_utf8(error);
	struct state_row r = {.state = c->state,
		.pid = c->pid,
		.monitor_pid = c->monitor_pid,
		.exit_code = c->exit_code,
		.created = c->created,
		.started = c->started,
		.finished = c->finished,
		.restart_count = c->restart_count,
		.starting = c->starting,
		.oom_killed = c->oom_killed,
		.stopped_by_user = c->stopped_by_user,
		.error = error,
		.boot_id = c->boot_id};
	return json_encode(state_table, &r);
}

int container_state_from_json(struct container *c, const json_t *j, struct err *e)
{
	struct state_row r = {0};
	try(json_decode(j, state_table, &r, &c->thing.mem, e));
	if (r.state < 0 || r.state >= STATE_N)
		return err_set(e, -EINVAL, "stored state of container %.12s cannot be read", c->id);
	c->state = (enum container_state)r.state;
	c->pid = r.pid;
	c->monitor_pid = r.monitor_pid;
	c->exit_code = r.exit_code;
	c->created = r.created;
	c->started = r.started;
	c->finished = r.finished;
	c->restart_count = r.restart_count;
	c->starting = r.starting;
	c->oom_killed = r.oom_killed;
	c->stopped_by_user = r.stopped_by_user;
	str_copy(c->error, sizeof(c->error), r.error ? r.error : "");
	str_copy(c->boot_id, sizeof(c->boot_id), r.boot_id ? r.boot_id : "");
	return 0;
}

/* Without the locale. */
static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int container_name_check(const char *name, struct err *e)
{
	size_t n = 0;
	bool ok = is_alnum(name[0]);
	for (; ok && name[n]; n++)
		ok = is_alnum(name[n]) || strchr("_.-", name[n]);
	if (!ok || n < 2)
		return err_as(e, ERR_INVALID, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
			name);
	if (n > LIMIT_NAME)
		return err_as(e, ERR_INVALID, "Invalid container name (%s): longer than %d bytes", name, LIMIT_NAME);
	return 0;
}

/* Rivers and boats, since a pontoon floats. */
static const char *const left[] = {"amber", "ample", "apt", "bold", "brisk", "bright", "calm", "candid", "clear",
	"clever", "cosy", "crisp", "daring", "deft", "eager", "early", "fair", "fleet", "fluent", "fond", "gentle",
	"glad", "golden", "hardy", "hazel", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "lucky",
	"mellow", "merry", "mild", "misty", "modest", "neat", "nimble", "noble", "patient", "placid", "plucky", "proud",
	"quick", "quiet", "ready", "rosy", "serene", "sharp", "silver", "sleek", "smooth", "snug", "steady", "still",
	"sunny", "swift", "tidy", "tranquil", "trusty", "vivid", "wise"};
static const char *const right[] = {"barge", "brig", "canoe", "clipper", "coble", "cog", "coracle", "cutter", "dhow",
	"dinghy", "dory", "ferry", "flyboat", "frigate", "galleon", "galley", "gig", "gondola", "hulk", "jollyboat",
	"junk", "kayak", "ketch", "launch", "lighter", "lugger", "narrowboat", "packet", "pinnace", "pirogue", "proa",
	"punt", "raft", "sampan", "schooner", "scow", "shallop", "skiff", "sloop", "smack", "tartane", "tender",
	"trawler", "trimaran", "tug", "umiak", "wherry", "whaler", "xebec", "yawl", "elbe", "rhine", "loire", "tagus",
	"volga", "danube", "severn", "tyne", "vistula", "shannon", "garonne", "ebro", "neckar", "mersey"};

void container_name_generate(unsigned entropy, char *out, size_t size)
{
	snprintf(out, size, "%s_%s", left[entropy % ARRAY_LEN(left)],
		right[entropy / ARRAY_LEN(left) % ARRAY_LEN(right)]);
}
