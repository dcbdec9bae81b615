/* Theory of operation
 *
 * Each layer goes through: waiting, on its way, verified, being unpacked, done. A few are on their way at once. The fetcher writes into a file of the layer; how far it is, the
 * file's size says, and the digest follows behind (advance). So nothing is read twice from the disk, and nothing is unpacked that is not what the manifest names.
 *
 * What is verified is unpacked, bottom first, by workers: forks of this process, as confined as it is, two at once, which end with it. A worker tells its progress itself (a
 * line is one write), and its result through a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "image/name.h"
#include "image/pull_int.h"

#define HASH_CHUNK (256u << 10)
#define SAY_EVERY_NS 100000000
#define POLL_MS    50
#define WORKERS    2
#define WORK_POLL_MS 5

enum part_state { PART_WAITING, PART_COMING, PART_COME, PART_VERIFIED, PART_UNPACKED, PART_DONE };

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
	pid_t worker;
	int pidfd;
	int result; /* the pipe of the worker; -1 = none */
};

/* What a worker tells. */
struct worker_result {
	int r;
	struct layer layer;
	struct job_budget budget; /* what it used */
	struct err e;
};

struct parts {
	struct pulling *p;
	struct part *v;
	size_t n, coming, working;
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

/* In the worker. */
static _Noreturn void work(struct parts *s, const struct part *x, int out)
{
	struct job *j = s->p->job;
	const struct job_progress p = {.status = "Extracting", .id = x->id, .total = (uint64_t)x->desc->size};
	static struct worker_result w;
	const struct job_budget before = j->budget;
	j->said_ns = 0;
	w.r = layer_unpack_file(j, j->dir, x->name, &p, &w.layer, &w.e);
	w.budget = (struct job_budget){.bytes = before.bytes - j->budget.bytes, .entries = before.entries - j->budget.entries};
	_exit(write_all(out, &w, sizeof(w)) < 0);
}

static int start_worker(struct parts *s, struct part *x, struct err *e)
{
	int p[2];
	pid_t parent = getpid();
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(e, -errno, "pipe");
	/* as fork(), with a descriptor to end it by. This process has one thread. */
	x->worker = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &x->pidfd, NULL, NULL);
	if (x->worker == 0) {
		/* both must hold: it may have ended before the signal was asked for */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
			_exit(1);
		work(s, x, p[1]);
	}
	close(p[1]);
	if (x->worker < 0) {
		close(p[0]);
		return err_errno(e, -errno, "start a worker");
	}
	x->result = p[0];
	x->state = PART_UNPACKED;
	s->working++;
	return 0;
}

static uint64_t less(uint64_t have, uint64_t used)
{
	return have > used ? have - used : 0;
}

/* The worker has ended. */
static int take_result(struct parts *s, struct part *x, struct err *e)
{
	static struct worker_result w;
	struct job *j = s->p->job;
	size_t n = 0;
	ssize_t k;
	while (n < sizeof(w) && ((k = read(x->result, (char *)&w + n, sizeof(w) - n)) > 0 || (k < 0 && errno == EINTR)))
		n += k > 0 ? (size_t)k : 0;
	close(STEAL_FD(x->result));
	close(x->pidfd);
	(void)waitpid(x->worker, NULL, 0);
	s->working--;
	if (n < sizeof(w))
		return err_set(e, -EIO, "layer %s: the process that unpacked it has ended", x->id);
	if (w.r < 0) {
		if (e)
			*e = w.e;
		return e ? err_ctx(e, "layer %s", x->id) : w.r;
	}
	j->budget.bytes = less(j->budget.bytes, w.budget.bytes);
	j->budget.entries = less(j->budget.entries, w.budget.entries);
	if (!streq(w.layer.diff_id, x->diff_id))
		return err_as(e, ERR_INVALID, "layer %s: its content has the digest %s, the image's configuration says %s", x->id, w.layer.diff_id, x->diff_id);
	unlinkat(j->dir, x->name, 0);
	x->state = PART_DONE;
	try(say(s, x, "Extracting", x->desc->size, e));
	try(say(s, x, "Pull complete", -1, e));
	return add_layer(s->p, &w.layer, e);
}

/* Workers for what can be unpacked, the lowest first. */
static int start_workers(struct parts *s, struct err *e)
{
	for (size_t i = 0; i < s->n && s->working < WORKERS; i++)
		if (s->v[i].state == PART_VERIFIED)
			try(start_worker(s, &s->v[i], e));
	return 0;
}

static int take_results(struct parts *s, struct err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		struct pollfd p = {.fd = s->v[i].result, .events = POLLIN};
		if (s->v[i].state == PART_UNPACKED && poll(&p, 1, 0) > 0)
			try(take_result(s, &s->v[i], e));
	}
	return 0;
}

static bool all_done(const struct parts *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].state != PART_DONE)
			return false;
	return true;
}

static int run(struct parts *s, struct err *e)
{
	while (!all_done(s)) {
		try(fill(s, e));
		try(start_workers(s, e));
		/* a worker's end is noticed at the latest after this time: little, next to what a layer takes */
		try(listen_for(s, s->working ? WORK_POLL_MS : POLL_MS, e));
		try(take_results(s, e));
	}
	return 0;
}

/* After a failure nothing may go on writing. */
static void end_workers(struct parts *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].result < 0)
			continue;
		close(s->v[i].result);
		(void)syscall(SYS_pidfd_send_signal, s->v[i].pidfd, SIGKILL, NULL, 0); /* -ESRCH: it has ended by itself */
		close(s->v[i].pidfd);
		(void)waitpid(s->v[i].worker, NULL, 0);
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
		*x = (struct part){.desc = &m->layers.v[i], .diff_id = diff_ids->v[i], .fd = -1, .result = -1};
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
	for (size_t i = 0; i < s.n; i++)
		s.v[i].result = s.v[i].fd = -1;
	int r = plan(&s, m, diff_ids, e);
	if (r >= 0)
		r = run(&s, e);
	end_workers(&s);
	for (size_t i = 0; i < s.n; i++)
		if (s.v[i].fd >= 0)
			close(s.v[i].fd);
	return r;
}
