/* request: what the daemon asks a job for on standard input: one JSON object. It may hold secrets, so it is wiped when it has been read. */
#pragma once

#include "base/json.h"
#include "image/auth.h"

struct request_registry { /* what every job that speaks with a registry needs */
	const char *reference; /* "alpine:latest", "localhost:5000/a/b@sha256:..." */
	const char *auth;      /* X-Registry-Auth, as it came */
	struct strv insecure;  /* see insecure.h */
	const char *mirror;    /* "http://host:port" or https: asked in the reference's place, without credentials; "" or NULL = none */
	int64_t stall;         /* seconds; 0 = FETCHER_STALL */
	int64_t attempts;      /* at a blob whose connection breaks off; 0 = FETCHER_ATTEMPTS */
	int64_t parallel;      /* transfers at once; 0 = REQUEST_PARALLEL */
};
#define REQUEST_PARALLEL 3
#define REQUEST_REGISTRY(type, member) /* rows of a table for such a member */                                     \
	{"reference", J_STR, offsetof(type, member.reference)}, {"auth", J_STR, offsetof(type, member.auth)},      \
		{"insecure", J_STRV, offsetof(type, member.insecure)}, {"mirror", J_STR, offsetof(type, member.mirror)}, {"stall", J_I64, offsetof(type, member.stall)}, \
		{"attempts", J_I64, offsetof(type, member.attempts)}, {"parallel", J_I64, offsetof(type, member.parallel)}

/* Reads fd to its end into *obj; texts live in a. */
int request_read(int fd, const struct json_field *t, void *obj, struct arena *a, struct err *e);
