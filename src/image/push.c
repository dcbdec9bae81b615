#include "image/push.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "image/manifest.h"
#include "image/push_int.h"
#include "image/sink.h"

const struct json_field push_table[] = {
	REQUEST_REGISTRY(struct push_request, registry),
	{"images", J_OBJV, offsetof(struct push_request, images), 0, stored_image_table, sizeof(struct stored_image)},
	J_END,
};

int pushing_file(struct pushing *p, char *name, size_t size, struct err *e)
{
	char n[24];
	snprintf(n, sizeof(n), "blob.%u", p->files++);
	int fd = openat(p->job->dir, n, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, -errno, "create %s", n);
	if (name)
		(void)str_copy(name, size, n);
	else
		unlinkat(p->job->dir, n, 0);
	return fd;
}

static int say(struct pushing *p, const struct push_blob *b, const char *status, struct err *e)
{
	const struct job_progress line = {.status = status, .id = b->id};
	return job_line(p->job, &line, -1, e);
}

static bool is_gzip(int fd)
{
	unsigned char m[2] = {};
	return pread(fd, m, sizeof(m), 0) == sizeof(m) && m[0] == 0x1f && m[1] == 0x8b;
}

static int digest_file(int fd, struct push_blob *b, struct err *e)
{
	static unsigned char chunk[256u << 10];
	struct digest d;
	ssize_t n;
	b->size = 0;
	digest_init(&d);
	while ((n = pread(fd, chunk, sizeof(chunk), (off_t)b->size)) > 0) {
		digest_add(&d, chunk, (size_t)n);
		b->size += (uint64_t)n;
	}
	if (n < 0)
		return err_errno(e, -errno, "read a layer");
	digest_end(&d, b->digest);
	return 0;
}

/* Registries and their clients know gzip, and not all know zstd. */
static int repack(struct pushing *p, int from, struct push_blob *b, struct err *e)
{
	OWN(own_sink) struct sink *s = NULL;
	struct sink_sum sum;
	uint64_t size;
	b->fd = pushing_file(p, b->repacked, sizeof(b->repacked), e);
	try(b->fd);
	try(sink_open(b->fd, SINK_GZIP, &s, e));
	try(stored_plain(p->job, from, b->layer, s, &size, e));
	try(sink_end(s, &sum, e));
	memcpy(b->digest, sum.packed, sizeof(b->digest));
	b->size = sum.packed_size;
	return 0;
}

static int prepare_layer(struct pushing *p, const struct stored_layer *l, struct push_blob *b, struct err *e)
{
	OWN(own_fd) int fd = -1;
	*b = (struct push_blob){.layer = l, .fd = -1};
	try(stored_open(p->push->layers, l, &fd, e));
	snprintf(b->id, sizeof(b->id), "%.12s", digest_hex(l->diff_id));
	try(say(p, b, "Preparing", e));
	if (!is_gzip(fd))
		return repack(p, fd, b, e);
	try(digest_file(fd, b, e));
	b->fd = STEAL_FD(fd);
	return 0;
}

static int prepare_text(struct pushing *p, const char *text, struct push_blob *b, struct err *e)
{
	*b = (struct push_blob){.fd = pushing_file(p, NULL, 0, e)};
	try(b->fd);
	b->size = strlen(text);
	digest_of(text, b->size, b->digest);
	int r = write_all(b->fd, text, b->size);
	return r < 0 ? err_errno(e, r, "write a blob") : 0;
}

static char *manifest_text(const struct push_blob *config, const struct push_blob *layers, size_t n)
{
	OWN(own_json) json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "mediaType", MANIFEST_LAYER_DOCKER, "size", (json_int_t)layers[i].size, "digest", layers[i].digest));
	OWN(own_json) json_t *m = json_pack("{s:i, s:s, s:{s:s, s:I, s:s}, s:O}", "schemaVersion", 2, "mediaType", MANIFEST_TYPE_DOCKER, "config", "mediaType", MANIFEST_CONFIG_DOCKER, "size",
		(json_int_t)config->size, "digest", config->digest, "layers", list);
	return m ? json_dumps(m, JSON_INDENT(3)) : NULL;
}

static int put_manifest(struct pushing *p, const char *tag, const char *text, struct err *e)
{
	struct push_blob b;
	struct outcome o;
	try(prepare_text(p, text, &b, e));
	struct errand m = {.method = ERRAND_PUT, .url = arena_printf(&p->arena, "/v2/%s/manifests/%s", p->push->ref.path, tag), .accept = "", .type = MANIFEST_TYPE_DOCKER, .length = (int64_t)b.size};
	int r = m.url ? registry_call(p->push->registry, &m, b.fd, NULL, NULL, &p->arena, &o, e) : err_nomem(e);
	close(b.fd);
	try(r);
	if (o.status >= 300)
		return pushing_refused(&o, tag, e);
	if (*o.digest && !streq(o.digest, b.digest))
		return err_as(e, ERR_INVALID, "the registry stored the manifest %s as %.100s", b.digest, o.digest);
	try(job_note(p->job, e, "%s: digest: %s size: %llu", tag, b.digest, (unsigned long long)b.size));
	struct job_pushed *v = p->pushed.v;
	v[p->pushed.n] = (struct job_pushed){tag, arena_dup(&p->arena, b.digest), (int64_t)b.size};
	return v[p->pushed.n++].digest ? job_aux(p->job, &v[p->pushed.n - 1], e) : err_nomem(e);
}

static void remember_repacked(struct pushing *p, const struct push_blob *b, size_t n)
{
	struct job_blob *v = p->blobs.v;
	for (size_t i = 0; i < n; i++)
		if (*b[i].repacked)
			v[p->blobs.n++] = (struct job_blob){b[i].layer->dir, arena_dup(&p->arena, b[i].repacked)};
}

static int push_image(struct pushing *p, const struct stored_image *im, struct err *e)
{
	size_t n = im->layers.n;
	const struct stored_layer *l = im->layers.v;
	struct push_blob *v = arena_new(&p->arena, struct push_blob, n + 1);
	OWN(own_free) char *text = NULL;
	int r = v ? 0 : err_nomem(e);
	for (size_t i = 0; v && i <= n; i++)
		v[i].fd = -1;
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = prepare_layer(p, &l[i], &v[i], e);
	if (r >= 0)
		r = prepare_text(p, im->config, &v[n], e);
	if (r >= 0)
		r = pushing_blobs(p, v, n + 1, e);
	if (r >= 0 && !(text = manifest_text(&v[n], v, n)))
		r = err_nomem(e);
	for (size_t i = 0; r >= 0 && i < im->tags.n; i++)
		r = put_manifest(p, im->tags.v[i], text, e);
	for (size_t i = 0; v && i <= n; i++)
		if (v[i].fd >= 0)
			close(v[i].fd);
	if (r >= 0)
		remember_repacked(p, v, n);
	return r;
}

static int push_all(struct pushing *p, struct err *e)
{
	const struct push_request *q = p->push->request;
	const struct stored_image *im = q->images.v;
	size_t tags = 0, layers = 0;
	char repo[REF_TEXT];
	for (size_t i = 0; i < q->images.n; i++) {
		tags += im[i].tags.n;
		layers += im[i].layers.n;
	}
	p->pushed.v = arena_new(&p->arena, struct job_pushed, tags + 1);
	p->blobs.v = arena_new(&p->arena, struct job_blob, layers + 1);
	if (p->arena.bad)
		return err_nomem(e);
	try(job_note(p->job, e, "The push refers to repository [%s%s]", streq(p->push->ref.domain, "docker.io") ? "docker.io/" : "", streq(p->push->ref.domain, "docker.io") ? p->push->ref.path : ref_repo(&p->push->ref, repo)));
	for (size_t i = 0; i < q->images.n; i++)
		try(push_image(p, &im[i], e));
	const struct job_result r = {.pushed = p->pushed, .blobs = p->blobs};
	return job_tell_result(p->job, &r, e);
}

int push_run(struct job *j, const struct push *push, struct err *e)
{
	struct pushing p = {.job = j, .push = push};
	int r = push_all(&p, e);
	map_free(&p.sent);
	arena_free(&p.arena);
	return r;
}
