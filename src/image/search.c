#include "image/search.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "image/answer.h"

#define ANSWER_MAX (1u << 20) /* a hundred of Docker Hub's are 40 KB */

const struct json_field search_table[] = {
	REQUEST_REGISTRY(struct search_request, registry),
	{"term", J_STR, offsetof(struct search_request, term)},
	{"limit", J_I64, offsetof(struct search_request, limit)},
	J_END,
};

static void put_escaped(struct buf *b, const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	for (; *s; s++)
		buf_printf(b, strchr(plain, *s) ? "%c" : "%%%02X", (unsigned char)*s);
}

static int ask(struct job *j, const struct search *s, struct arena *a, struct buf *text, struct err *e)
{
	OWN(own_buf) struct buf url = {};
	struct outcome o;
	buf_puts(&url, "/v1/search?q=");
	put_escaped(&url, s->request->term);
	buf_printf(&url, "&n=%lld", (long long)s->request->limit);
	if (url.bad)
		return err_nomem(e);
	struct errand m = {.method = ERRAND_GET, .url = url.data, .accept = "application/json", .type = "", .most = ANSWER_MAX};
	OWN(own_fd) int fd = job_scratch(j, e);
	try(fd);
	if (registry_call(s->registry, &m, fd, NULL, NULL, a, &o, e) < 0)
		return err_ctx(e, "search %s", s->ref.domain);
	if (o.status != 200)
		return err_set(e, -EIO, "Unexpected status code %lld: %s cannot be searched%s%s", (long long)o.status, s->ref.domain, *o.message ? ": " : ", as most registries", o.message);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(e, -errno, "read what the registry sent");
	return read_fd(fd, ANSWER_MAX, text, e);
}

int search_run(struct job *j, const struct search *s, struct err *e)
{
	OWN(own_arena) struct arena a = {};
	OWN(own_buf) struct buf text = {};
	OWN(own_json) json_t *found = NULL;
	try(ask(j, s, &a, &text, e));
	if (answer_search(buf_str(&text), text.len, (size_t)s->request->limit, &found, e) < 0)
		return err_ctx(e, "what %s answered to the search", s->ref.domain);
	OWN(own_free) char *about = json_text(found);
	const struct job_result result = {.about = about};
	return about ? job_tell_result(j, &result, e) : err_nomem(e);
}
