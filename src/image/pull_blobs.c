/* Theory of operation
 *
 * Each layer goes through: waiting, on its way, verified, unpacked. A few are on their way at once; what has arrived is unpacked as soon as it is verified, bottom first. The
 * fetcher writes into a file of the layer; how far it is, the file's size says, and the digest follows behind (advance), also while another layer is being
 * unpacked (job.tick). So nothing is read twice from the disk, and nothing is unpacked that is not what the manifest names. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "image/name.h"
#include "image/pull_int.h"

#define HASH_CHUNK (256u << 10)
#define SAY_EVERY_NS 100000000
#define POLL_MS    50

enum part_state { PART_WAITING, PART_COMING, PART_COME, PART_VERIFIED, PART_DONE };

struct part {
	const struct manifest_desc *desc;
	const char *diff_id;
	char id[13]; /* for people: of the blob's digest */
	enum part_state state;
	char name[PULL_NAME];
	int fd;
	int64_t errand;
	uint64_t size, hashed;
	struct digest digest;
	int64_t said_ns;
};

struct parts {
	struct pulling *p;
	struct part *v;
	size_t n, coming;
	int64_t ticked_ns;
	unsigned char *chunk;
};

static int say(struct parts *s, struct part *x, const char *status, int64_t current, struct err *e)
{
	const struct job_progress p = {.status = status, .id = x->id, .total = x->desc->size > 0 ? (uint64_t)x->desc->size : 0};
	return job_line(s->p->job, &p, current, e);
}

static int start(struct parts *s, struct part *x, struct err *e)
{
	struct pulling *p = s->p;
	struct errand m = {.method = ERRAND_GET, .url = pulling_url(p, "blobs", x->desc->digest), .accept = "", .type = "", .most = x->desc->size, .resume = true};
	if (!m.url)
		return err_nomem(e);
	x->fd = pulling_file(p, x->name, e);
	try(x->fd);
	digest_init(&x->digest);
	try(registry_send(p->pull->registry, &m, x->fd, e));
	x->errand = m.id;
	x->state = PART_COMING;
	s->coming++;
	return 0;
}

/* Digests what has arrived and tells how far it is. */
static int advance(struct parts *s, struct part *x, struct err *e)
{
	struct stat st;
	if (fstat(x->fd, &st) < 0)
		return err_errno(e, -errno, "look at a blob");
	x->size = (uint64_t)st.st_size;
	while (x->hashed < x->size) {
		uint64_t left = x->size - x->hashed;
		ssize_t n = pread(x->fd, s->chunk, left < HASH_CHUNK ? (size_t)left : HASH_CHUNK, (off_t)x->hashed);
		if (n <= 0)
			return err_errno(e, n < 0 ? -errno : -EIO, "read a blob");
		digest_add(&x->digest, s->chunk, (size_t)n);
		x->hashed += (uint64_t)n;
	}
	int64_t now = clock_mono_ns();
	if (x->state != PART_COMING || now - x->said_ns < SAY_EVERY_NS)
		return 0;
	x->said_ns = now;
	return say(s, x, "Downloading", (int64_t)x->size, e);
}

static int verify(struct parts *s, struct part *x, struct err *e)
{
	char have[DIGEST_TEXT];
	try(say(s, x, "Verifying Checksum", -1, e));
	try(advance(s, x, e));
	if (x->size != (uint64_t)x->desc->size)
		return err_as(e, ERR_INVALID, "filesystem layer verification failed for digest %s: %llu bytes came, the manifest says %lld", x->desc->digest, (unsigned long long)x->size,
			(long long)x->desc->size);
	if (!streq(digest_end(&x->digest, have), x->desc->digest))
		return err_as(e, ERR_INVALID, "filesystem layer verification failed for digest %s: its bytes have the digest %s", x->desc->digest, have);
	x->state = PART_VERIFIED;
	close(STEAL_FD(x->fd));
	return say(s, x, "Download complete", -1, e);
}

static int take_outcome(struct parts *s, const struct outcome *o, struct err *e)
{
	struct part *x = NULL;
	for (size_t i = 0; i < s->n && !x; i++)
		if (s->v[i].state == PART_COMING && s->v[i].errand == o->id)
			x = &s->v[i];
	if (!x)
		return 0;
	if (!o->done)
		return *o->note ? say(s, x, "Retrying", -1, e) : 0;
	x->state = PART_COME;
	s->coming--;
	if (outcome_failed(o, e) < 0)
		return err_ctx(e, "layer %s", x->id);
	if (o->status == 404)
		return err_as(e, ERR_NOT_FOUND, "blob unknown to registry: %s", x->desc->digest);
	if (o->status >= 300)
		return outcome_refused(o, s->p->pull->ref.path, x->desc->digest, e);
	return verify(s, x, e);
}

/* What the fetcher has to say, and what its files have become. */
static int listen_for(struct parts *s, int ms, struct err *e)
{
	OWN(own_arena) struct arena a = {};
	struct outcome o;
	int r;
	while ((r = registry_next(s->p->pull->registry, ms, &a, &o, e)) > 0) {
		try(take_outcome(s, &o, e));
		ms = 0;
	}
	try(r);
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].state == PART_COMING)
			try(advance(s, &s->v[i], e));
	return 0;
}

static int fill(struct parts *s, struct err *e)
{
	int64_t most = s->p->pull->request->registry.parallel;
	most = most <= 0 ? REQUEST_PARALLEL : most > FETCHER_ACTIVE ? FETCHER_ACTIVE : most;
	for (size_t i = 0; i < s->n && s->coming < (size_t)most; i++)
		if (s->v[i].state == PART_WAITING)
			try(start(s, &s->v[i], e));
	return 0;
}

static int tick(void *arg, struct err *e)
{
	struct parts *s = arg;
	int64_t now = clock_mono_ns();
	if (now - s->ticked_ns < POLL_MS * 1000000ll)
		return 0;
	s->ticked_ns = now;
	try(listen_for(s, 0, e));
	return fill(s, e);
}

static int add_layer(struct pulling *p, const struct layer *l, struct err *e)
{
	if (p->layers.n == p->cap_layers) {
		size_t cap = p->cap_layers ? 2 * p->cap_layers : 16;
		struct job_layer *v = arena_new(&p->arena, struct job_layer, cap);
		if (!v)
			return err_nomem(e);
		if (p->layers.n)
			memcpy(v, p->layers.v, p->layers.n * sizeof(*v));
		p->layers.v = v;
		p->cap_layers = cap;
	}
	struct job_layer x = {arena_dup(&p->arena, l->diff_id), arena_dup(&p->arena, l->dir), l->size};
	if (!x.diff_id || !x.dir || map_puts(&p->have, x.diff_id, (void *)(uintptr_t)x.diff_id) < 0)
		return err_nomem(e);
	((struct job_layer *)p->layers.v)[p->layers.n++] = x;
	return 0;
}

static int unpack(struct parts *s, struct part *x, struct err *e)
{
	struct job *j = s->p->job;
	const struct job_progress p = {.status = "Extracting", .id = x->id, .total = (uint64_t)x->desc->size};
	struct layer l = {};
	j->tick = tick;
	j->tick_arg = s;
	j->said_ns = 0;
	int r = layer_unpack_file(j, j->dir, x->name, &p, &l, e);
	j->tick = NULL;
	if (r < 0)
		return err_ctx(e, "layer %s", x->id);
	if (!streq(l.diff_id, x->diff_id))
		return err_as(e, ERR_INVALID, "layer %s: its content has the digest %s, the image's configuration says %s", x->id, l.diff_id, x->diff_id);
	unlinkat(j->dir, x->name, 0);
	x->state = PART_DONE;
	try(say(s, x, "Extracting", x->desc->size, e));
	try(say(s, x, "Pull complete", -1, e));
	return add_layer(s->p, &l, e);
}

/* The lowest layer that can be unpacked; NULL when all are done or still to come. */
static struct part *ready(struct parts *s, bool *all)
{
	*all = true;
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].state == PART_VERIFIED)
			return &s->v[i];
		*all = *all && s->v[i].state == PART_DONE;
	}
	return NULL;
}

static int run(struct parts *s, struct err *e)
{
	for (;;) {
		bool all;
		try(fill(s, e));
		struct part *x = ready(s, &all);
		if (x)
			try(unpack(s, x, e));
		else if (all)
			return 0;
		else
			try(listen_for(s, POLL_MS, e));
	}
}

static bool repeated(const struct parts *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (streq(s->v[k].diff_id, s->v[i].diff_id))
			return true;
	return false;
}

static int plan(struct parts *s, const struct manifest_image *m, const struct strv *diff_ids, struct err *e)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct part *x = &s->v[i];
		*x = (struct part){.desc = &m->layers.v[i], .diff_id = diff_ids->v[i], .fd = -1};
		snprintf(x->id, sizeof(x->id), "%.12s", digest_hex(x->desc->digest));
		sum += (uint64_t)x->desc->size;
		if ((uint64_t)x->desc->size > s->p->job->budget.file || sum > s->p->job->budget.bytes)
			return err_as(e, ERR_TOO_LARGE, "layer %s is too large: %lld bytes", x->id, (long long)x->desc->size);
		bool have = map_gets(&s->p->have, x->diff_id);
		if (have || repeated(s, i))
			x->state = PART_DONE;
		try(say(s, x, have ? "Already exists" : "Pulling fs layer", -1, e));
		if (!have && x->state == PART_DONE)
			try(say(s, x, "Pull complete", -1, e));
	}
	for (size_t i = 0, n = 0; i < s->n; i++)
		if (s->v[i].state == PART_WAITING && n++ >= REQUEST_PARALLEL)
			try(say(s, &s->v[i], "Waiting", -1, e));
	return 0;
}

int pulling_layers(struct pulling *p, const struct manifest_image *m, const struct strv *diff_ids, struct err *e)
{
	struct parts s = {.p = p, .n = m->layers.n, .v = arena_new(&p->arena, struct part, m->layers.n + 1), .chunk = arena_alloc(&p->arena, HASH_CHUNK, 16)};
	if (p->arena.bad)
		return err_nomem(e);
	int r = plan(&s, m, diff_ids, e);
	if (r >= 0)
		r = run(&s, e);
	for (size_t i = 0; i < s.n; i++)
		if (s.v[i].fd >= 0)
			close(s.v[i].fd);
	return r;
}
