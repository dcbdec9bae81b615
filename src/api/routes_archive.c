/* A container's files: HEAD, GET and PUT of archive, export, changes. */
#include <errno.h>
#include <stdlib.h>

#include "api/reply.h"
#include "api/router.h"
#include "base/base64.h"
#include "base/log.h"
#include "ops/archive.h"

#define TAR_TYPE "application/x-tar"

static int path_of_request(const struct request *rq, const char **out, struct err *e)
{
	*out = request_query(rq, "path");
	return str_empty(*out) ? err_as(e, ERR_INVALID, "bad parameter: path cannot be empty") : 0;
}

/* The stat as the header wants it. */
static const char *header_of(struct request *rq, json_t *stat)
{
	OWN(own_json) json_t *j = stat;
	OWN(own_free) char *text = json_text(j);
	return text ? base64_encode(&rq->mem, text, strlen(text), false) : NULL;
}

struct taking {
	struct archive *a;
	char *path; /* NULL: the whole */
};

static void take_run(void *arg, int sock)
{
	struct taking *t = arg;
	struct err e = {0};
	/* The head has gone out: a client sees an archive that ends too early. */
	if ((t->path ? archive_take(t->a, t->path, sock, &e) : archive_export(t->a, sock, &e)) < 0)
		log_warn("%s: %s", t->path ? "archive" : "export", e.msg);
}

static void take_done(void *arg)
{
	struct taking *t = arg;
	archive_close(t->a);
	free(t->path);
	free(t);
}

/* Takes the archive over. */
static int reply_tar(struct request *rq, struct archive *a, const char *path, struct err *e)
{
	struct taking *t = calloc(1, sizeof(*t));
	if (t) {
		t->a = a;
		t->path = path ? strdup(path) : NULL;
	}
	if (t && (!path || t->path))
		return reply_push(rq, TAR_TYPE, take_run, take_done, t);
	free(t);
	archive_close(a);
	return err_nomem(e);
}

static int get(struct request *rq, struct err *e)
{
	const char *path;
	struct archive *a;
	json_t *stat = NULL;
	try(path_of_request(rq, &path, e));
	try(archive_open(rq->core, rq->args[0], &a, e));
	int r = archive_stat(a, path, &stat, e);
	const char *header = r >= 0 ? header_of(rq, stat) : NULL;
	if (r >= 0 && !header)
		r = err_nomem(e);
	if (r < 0) {
		archive_close(a);
		return r;
	}
	if (streq(rq->method, "HEAD")) {
		archive_close(a);
		r = reply_empty(rq, 200);
	} else {
		r = reply_tar(rq, a, path, e);
	}
	return r < 0 ? r : reply_header(rq, "X-Docker-Container-Path-Stat", header);
}

static int put(struct request *rq, struct err *e)
{
	const char *path;
	struct archive *a;
	try(path_of_request(rq, &path, e));
	try(archive_open(rq->core, rq->args[0], &a, e));
	int r = archive_put(a, path, request_upload(rq), request_bool(rq, "noOverwriteDirNonDir", false), request_bool(rq, "copyUIDGID", false), e);
	archive_close(a);
	return r < 0 ? r : reply_empty(rq, 200);
}

static int export(struct request *rq, struct err *e)
{
	struct archive *a;
	try(archive_open(rq->core, rq->args[0], &a, e));
	return reply_tar(rq, a, NULL, e);
}

static int changes(struct request *rq, struct err *e)
{
	struct archive *a;
	json_t *list = NULL;
	try(archive_open(rq->core, rq->args[0], &a, e));
	int r = archive_changes(a, &list, e);
	archive_close(a);
	if (r >= 0 && !json_array_size(list)) {
		json_decref(list);
		list = json_null();
	}
	return r < 0 ? r : reply_json(rq, 200, list);
}

const struct route routes_archive[] = {
	{"GET", "/containers/{}/archive", get, BODY_JSON},
	{"PUT", "/containers/{}/archive", put, BODY_STREAM},
	{"GET", "/containers/{}/export", export, BODY_JSON},
	{"GET", "/containers/{}/changes", changes, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
