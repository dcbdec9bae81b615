/* errand: one request to a registry, as the job asks the fetcher for it, and what came of it. Both travel as JSON over a SEQPACKET socket; the file that a body
 * goes to or comes from travels along as a descriptor. Pure. Neither side believes the other: errand_decode and outcome_decode check everything. */
#pragma once

#include "base/json.h"

#define ERRAND_MAX 65536 /* bytes of a message */

enum errand_method { ERRAND_GET, ERRAND_HEAD, ERRAND_POST, ERRAND_PATCH, ERRAND_PUT, ERRAND_METHOD_N };
const char *errand_method_name(enum errand_method m);

struct errand {
	int64_t id;
	enum errand_method method;
	const char *url;    /* "/v2/..." at the registry, or what it said in Location */
	const char *accept; /* "" = anything */
	const char *type;   /* Content-Type of what is sent */
	int64_t offset, length; /* of the file that is sent; GET: bytes that the file has already */
	int64_t most;       /* GET: bytes that the file may have at most */
	bool resume;        /* worth several attempts: a blob */
};

/* What an outcome tells. */
struct outcome {
	int64_t id;
	bool done;          /* false: it goes on; only `sent` and `note` say something */
	int64_t sent;       /* of an upload */
	const char *note;   /* "Retrying in 2 seconds", for people */
	int64_t status;     /* of HTTP; 0: there was no answer, see error */
	const char *type, *digest, *location, *range, *link; /* headers; "" = not given */
	const char *code, *message; /* of the registry, with a status of 400 or more */
	const char *error;  /* why there was no answer that can be used */
	bool unauthorized, no_space, stalled; /* kinds of error */
};

/* The text is malloc'd. */
int errand_encode(const struct errand *m, char **out, struct err *e);
int errand_decode(const char *text, size_t len, struct arena *a, struct errand *out, struct err *e);
int outcome_encode(const struct outcome *o, char **out, struct err *e);
int outcome_decode(const char *text, size_t len, struct arena *a, struct outcome *out, struct err *e);
