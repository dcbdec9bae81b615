/* ref: image references. "alpine" means docker.io/library/alpine:latest; people and the store see the short (familiar) form
 * "alpine:latest". Pure values, no allocation. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/limits.h"

#define REF_DIGEST 136 /* "sha512:" and 128 digits and a NUL */
#define REF_TEXT   (LIMIT_REF + 1 + LIMIT_TAG + 1 + REF_DIGEST)

struct ref {
	char domain[LIMIT_REF + 1]; /* "docker.io" */
	char path[LIMIT_REF + 1];   /* "library/alpine" */
	char tag[LIMIT_TAG + 1];    /* "" when not given */
	char digest[REF_DIGEST];    /* "sha256:..." or "" */
};

/* Reads [domain/]path[:tag][@digest]. Errors: ERR_INVALID with Docker's text ("invalid reference format", ...). */
int ref_parse(const char *s, struct ref *out, struct err *e);
/* As ref_parse; a reference without tag and digest gets the tag "latest". */
int ref_parse_tagged(const char *s, struct ref *out, struct err *e);
/* The repository alone: "alpine", "quay.io/x/y". */
const char *ref_repo(const struct ref *r, char out[static REF_TEXT]);
/* The short form people use: docker.io/ and library/ left out where that is read as the same again. Returns out. */
const char *ref_familiar(const struct ref *r, char out[static REF_TEXT]);
/* ref_parse_tagged, then ref_familiar: "docker.io/library/alpine" -> "alpine:latest". Beside a digest a tag says nothing and is left out: "a:1@sha256:..." -> "a@sha256:...". */
int ref_normalise(const char *s, char out[static REF_TEXT], struct err *e);
/* A term to search for: "localhost:5000/word" is "word" at that registry, anything else is looked for at docker.io. *rest points into term. INVALID. */
int ref_split_term(const char *term, char domain[static LIMIT_REF + 1], const char **rest, struct err *e);
bool ref_tag_valid(const char *tag);
/* "sha256:" and 64 lower-case hex digits, nothing after. */
bool ref_is_sha256(const char *s);
