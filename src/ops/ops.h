/* ops: the verbs. Each is one function and all or nothing; `term` is what the user wrote (id, name, prefix). Any thread; errors carry Docker's texts and kinds.
 * Waiting ones take a `struct waiter`, so that the caller can watch its client at the same time. */
#pragma once

#include "model/network_spec.h"
#include "net/exposure.h"
#include "ops/core.h"

/* --- containers --- */
/* name NULL or "" = generated. platform: that the image must have, NULL or "" = any. body: POST /containers/create. minor: the request's API minor version. *warnings lives in a. */
int op_container_create(struct core *c, const char *name, const char *platform, const json_t *body, int minor, struct arena *a, char out_id[static ID_TEXT], struct strv *warnings, struct err *e);
int op_container_start(struct core *c, const char *term, struct err *e);   /* NOT_MODIFIED when running */
/* timeout: seconds, -1 = never kill, INT_MIN = the container's own; signal NULL = its stop signal. alive(): false when the client has gone (the stop still completes); may be NULL. */
int op_container_stop(struct core *c, const char *term, int timeout, const char *signal, struct err *e); /* NOT_MODIFIED when stopped */
int op_container_restart(struct core *c, const char *term, int timeout, const char *signal, struct err *e);
int op_container_kill(struct core *c, const char *term, const char *signal, struct err *e);
int op_container_pause(struct core *c, const char *term, bool pause, struct err *e);
int op_container_rename(struct core *c, const char *term, const char *name, struct err *e);
int op_container_remove(struct core *c, const char *term, bool force, bool volumes, bool link, struct err *e);
/* Removes one of a container's links. */
int op_container_unlink(struct core *c, const char *term, const char *alias, struct err *e);
/* body: POST /containers/{}/update; warnings in a. */
int op_container_update(struct core *c, const char *term, const json_t *body, struct arena *a, struct strv *warnings, struct err *e);
/* body: POST /containers/{}/ports (model/port_edit.h), on running and stopped containers. */
int op_container_ports(struct core *c, const char *term, const json_t *body, struct err *e);
int op_container_resize(struct core *c, const char *term, int h, int w, struct err *e);
int op_container_top(struct core *c, const char *term, const char *ps_args, json_t **out, struct err *e);
int op_container_prune(struct core *c, const struct kvs *label_filters, int64_t until, struct arena *a, struct strv *deleted, int64_t *freed, struct err *e);
/* A reference to the container as it is now (thing_unref it); for attach, logs, exec. */
int op_container_get(struct core *c, const char *term, const struct container **out, struct err *e);
/* The same, and it must be running and not paused: CONFLICT "container ID is not running" / "Container ID is paused, unpause the container before exec". */
int op_container_get_running(struct core *c, const char *term, const struct container **out, struct err *e);
int op_exec_create(struct core *c, const char *term, const struct exec_spec *s, char out_id[static ID_TEXT], struct err *e);

/* Waiting for the end of a container. */
enum wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED, WAIT_N };
int wait_condition_parse(const char *s, enum wait_condition *out, struct err *e); /* "" = not-running; INVALID `invalid condition: "x"` */
int waiter_open(struct core *c, const char *term, enum wait_condition cond, struct waiter **out, struct err *e);
int waiter_fd(const struct waiter *w); /* readable when it is over */
bool waiter_result(struct waiter *w, int64_t *exit_code); /* false: not over yet */
void waiter_close(struct core *c, struct waiter *w);

/* --- networks --- */
int op_network_create(struct core *c, const struct network_spec *s, char out_id[static ID_TEXT], struct err *e);
int op_network_remove(struct core *c, const char *term, struct err *e);
/* Networks that no container uses (stopped ones count as users, as Docker does) and the filters match; deleted: their names. */
int op_network_prune(struct core *c, const struct kvs *label_filters, int64_t until, struct arena *a, struct strv *deleted, struct err *e);
int op_network_connect(struct core *c, const char *term, const char *container, const struct endpoint_settings *s, struct err *e);
int op_network_disconnect(struct core *c, const char *term, const char *container, bool force, struct err *e);

/* --- images --- */
struct image_stream {
	bool (*progress)(void *arg, const char *json_line); /* false: cancel; NULL: nobody wants to know */
	void *arg;
	int cancel; /* a socket: the job ends when its other end is gone; 0 = none */
};
struct image_source {
	int input; /* descriptor to read the archive from */
	struct image_stream stream;
};
/* An image from a registry. auth: X-Registry-Auth as it came, "" = none. told: the last sentence for the client ("Status: ..."), in a. */
struct image_pull {
	const char *reference; /* "alpine", "alpine:3", "localhost:5000/a@sha256:..." */
	const char *platform, *auth;
	bool all_tags;
	struct image_stream stream;
};
int op_image_pull(struct core *c, const struct image_pull *p, struct arena *a, const char **told, struct err *e);
/* reference: "localhost:5000/a:1", or without a tag: all tags of the repository. */
int op_image_push(struct core *c, const char *reference, const char *auth, const struct image_stream *stream, struct arena *a, struct err *e);
/* NOT_FOUND when there is nothing to push or save: known before anything is told. */
int op_image_push_check(struct core *c, const char *reference, struct arena *a, struct err *e);
int op_image_save_check(struct core *c, const struct strv *names, struct arena *a, struct err *e);
/* Writes the archive to out. */
int op_image_save(struct core *c, const struct strv *names, int out, const struct image_stream *stream, struct arena *a, struct err *e);
struct image_commit {
	const char *container, *repo, *tag, *author, *message; /* "" = none */
	const struct strv *changes;
	const json_t *config; /* in the place of the container's own; NULL */
	bool pause;
};
int op_image_commit(struct core *c, const struct image_commit *q, char out_id[static ID_TEXT], struct err *e);
/* Credentials tried at the server: UNAUTHORIZED when it refuses. auth: as in X-Registry-Auth. */
int op_registry_login(struct core *c, const char *server, const char *auth, int cancel, struct err *e);
/* What a registry has for a name, as GET /distribution/NAME/json answers. */
int op_registry_describe(struct core *c, const char *reference, const char *auth, int cancel, json_t **out, struct err *e);
/* What a registry (in front of the term, else Docker Hub) finds, at most limit: as GET /images/search answers, before the filters. */
int op_registry_search(struct core *c, const char *term, int64_t limit, const char *auth, int cancel, json_t **out, struct err *e);
int op_image_import(struct core *c, const struct image_source *s, const char *repo, const char *tag, const char *message, const char *platform, const struct strv *changes, char out_id[static ID_TEXT], struct err *e);
/* platform: of an archive for several, "" = this machine's. loaded: the lines for the client ("Loaded image: x:y"), in a. */
int op_image_load(struct core *c, const struct image_source *s, const char *platform, struct arena *a, struct strv *loaded, struct err *e);
int op_image_tag(struct core *c, const char *term, const char *repo, const char *tag, struct err *e);
/* deleted: "Untagged: ..."/"Deleted: ..." as pairs key "Untagged"|"Deleted", value */
int op_image_remove(struct core *c, const char *term, bool force, bool noprune, struct arena *a, struct kvs *deleted, struct err *e);
/* Images that no container has and the filters match: those without a tag, or all. deleted: as above; freed: bytes of their layers. */
int op_image_prune(struct core *c, bool all, const struct kvs *label_filters, int64_t until, struct arena *a, struct kvs *deleted, int64_t *freed, struct err *e);

/* --- the whole --- */
struct difference { /* as `pontoon doctor` prints it */
	const char *unit, *kind; /* kind: missing, leftover, different */
	const char *object, *want, *have;
};
/* What of containers can be reached, from where. */
int op_exposure(struct core *c, struct arena *a, struct exposure **out, size_t *n, struct err *e);
int op_doctor(struct core *c, bool repair, struct arena *a, struct difference **out, size_t *n, struct err *e);
