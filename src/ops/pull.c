#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "base/ref.h"
#include "ops/image_job.h"

/* A reference that is being pulled. Another pull of it waits: afterwards all layers are there. */
struct turn {
	struct turn *next;
	const char *ref;
};
static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_cond = PTHREAD_COND_INITIALIZER;
static struct turn *turns;

#define TURN_POLL_NS 200000000

static bool is_taken(const char *ref)
{
	for (const struct turn *t = turns; t; t = t->next)
		if (streq(t->ref, ref))
			return true;
	return false;
}

/* False when the client has gone meanwhile. */
static bool take_turn(struct turn *t, int cancel)
{
	struct pollfd p = {.fd = cancel > 0 ? cancel : -1};
	struct timespec at;
	bool there = true;
	pthread_mutex_lock(&turn_lock);
	while (is_taken(t->ref) && there) {
		clock_gettime(CLOCK_REALTIME, &at);
		at.tv_nsec += TURN_POLL_NS;
		at.tv_sec += at.tv_nsec / 1000000000;
		at.tv_nsec %= 1000000000;
		(void)pthread_cond_timedwait(&turn_cond, &turn_lock, &at);
		there = poll(&p, 1, 0) <= 0;
	}
	if (there) {
		t->next = turns;
		turns = t;
	}
	pthread_mutex_unlock(&turn_lock);
	return there;
}

static void end_turn(struct turn *t)
{
	pthread_mutex_lock(&turn_lock);
	for (struct turn **p = &turns; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	pthread_cond_broadcast(&turn_cond);
	pthread_mutex_unlock(&turn_lock);
}

static json_t *string_list(const struct strv *v)
{
	json_t *j = json_array();
	for (size_t i = 0; i < v->n; i++)
		json_array_append_new(j, json_string(v->v[i]));
	return j;
}

json_t *image_registry_request(struct core *c, const char *reference, const char *auth, int64_t parallel)
{
	json_t *j = json_pack("{s:s, s:o, s:I}", "reference", reference, "insecure", string_list(&c->conf->insecure_registries), "parallel", (json_int_t)parallel);
	json_t *secret = json_string(auth ? auth : ""); /* NULL when it is not UTF-8: then it is no base64 either */
	json_object_set_new(j, "auth", secret ? secret : json_string("?"));
	return j;
}

/* The client has gone, or there is no room: asking somebody else does not help. */
static bool is_final(const struct err *e)
{
	return e->code == -ECANCELED || e->code == -ENOSPC || e->code == -ENOMEM;
}

int image_run_mirrored(struct core *c, const struct image_run *r, const struct ref *ref, struct arena *a, struct err *e)
{
	const struct core_conf *conf = c->conf;
	for (size_t i = 0; streq(ref->domain, "docker.io") && i < conf->registry_mirrors.n; i++) {
		struct err one = {0};
		json_object_set_new(r->request, "mirror", json_string(conf->registry_mirrors.v[i]));
		int rc = image_run(c, r, a, &one);
		if (rc >= 0 || is_final(&one)) {
			*e = one;
			return rc;
		}
		log_warn("%s of %s: the mirror %s: %s", r->verb, ref->path, conf->registry_mirrors.v[i], one.msg);
	}
	json_object_del(r->request, "mirror");
	return image_run(c, r, a, e);
}

/* The image that the reference names now; "" = none. */
static void image_of(struct core *c, const char *ref, char out[static ID_TEXT])
{
	const struct world *w = core_read(c);
	const struct tag *t = world_get(w, NOUN_TAG, ref);
	*out = '\0';
	if (t)
		memcpy(out, t->image, ID_TEXT);
	core_read_end(c);
}

static int pulled(void *arg, struct op *op, const json_t *result, struct err *e)
{
	const char *ref = arg;
	struct ref r;
	char repo[REF_TEXT];
	const char *id = json_string_value(json_object_get(json_array_get(json_object_get(result, "images"), 0), "id"));
	try(ref_parse(ref, &r, e));
	op_image_event(op, id ? world_image(op->next, id) : NULL, "pull", ref, ref_repo(&r, repo));
	return 0;
}

static int pull_in_turn(struct core *c, const struct image_pull *p, const struct ref *to, const char *ref, struct arena *a, const char **told, struct err *e)
{
	static const char *const argv[] = {"pull", NULL};
	char before[ID_TEXT], id[ID_TEXT] = "";
	OWN(own_json) json_t *request = image_registry_request(c, ref, p->auth, c->conf->max_downloads), *result = NULL;
	if (!request)
		return err_nomem(e);
	json_object_set_new(request, "attempts", json_integer(c->conf->max_attempts));
	json_object_set_new(request, "platform", json_string(p->platform ? p->platform : ""));
	json_object_set_new(request, "all_tags", json_boolean(p->all_tags));
	image_of(c, ref, before);
	const struct image_run r = {.verb = "pull", .argv = argv, .input = -1, .output = -1, .request = request, .stream = &p->stream, .id = id, .result = &result, .more = pulled, .arg = (void *)(uintptr_t)ref};
	try(image_run_mirrored(c, &r, to, a, e));
	bool same = p->all_tags ? json_array_size(json_object_get(result, "layers")) == 0 : streq(before, id);
	*told = arena_printf(a, same ? "Status: Image is up to date for %s" : "Status: Downloaded newer image for %s", ref);
	return *told ? 0 : err_nomem(e);
}

int op_image_pull(struct core *c, const struct image_pull *p, struct arena *a, const char **told, struct err *e)
{
	struct ref r;
	char ref[REF_TEXT];
	try(p->all_tags ? ref_parse(p->reference, &r, e) : ref_parse_tagged(p->reference, &r, e));
	if (p->all_tags)
		ref_repo(&r, ref);
	else
		ref_familiar(&r, ref);
	struct turn t = {.ref = ref};
	if (!take_turn(&t, p->stream.cancel))
		return err_set(e, -ECANCELED, "cancelled: the client has gone");
	int rc = pull_in_turn(c, p, &r, ref, a, told, e);
	end_turn(&t);
	return rc;
}
