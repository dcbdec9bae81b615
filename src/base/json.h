/* json: tables that say how a JSON object and a C struct correspond, in both directions, over jansson.
 * Reading follows Go's encoding/json, because that is what Docker's clients were written against: field names match
 * without regard to case, unknown fields are ignored, null leaves the field untouched. A wrong type is an error that names the field
 * ("HostConfig.Memory: expected a number, got a string"), kind ERR_INVALID. Everything read is copied into the arena. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

enum json_kind {
	J_BOOL,  /* bool */
	J_TRI,   /* int8_t: -1 absent/null, 0, 1 (store -1 before decoding: json_decode does it) */
	J_I64,   /* int64_t; a float with an integral value is accepted */
	J_F64,   /* double */
	J_STR,   /* const char *; absent = "" on output, NULL allowed in the struct */
	J_STRV,  /* struct strv; a lone string is read as a list of one only with J_STRING_OK (Go's StrSlice) */
	J_KV,    /* struct kvs from {"k":"v"} */
	J_SET,   /* struct strv from {"k":{}} */
	J_OBJ,   /* embedded struct, .sub */
	J_OBJP,  /* pointer to struct or NULL, .sub and .size */
	J_OBJV,  /* struct json_vec of structs, .sub and .size */
	J_MAPV,  /* struct json_vec from {"key":{...}}: the struct's FIRST member is `const char *key`, not in .sub */
	J_MAPVV, /* struct json_vec from {"key":[{...}]} : elements struct json_group */
	J_RAW,   /* const char *: the value's compact JSON text, NULL when absent */
	J_PAIR,  /* int64_t[2] from [a,b] */
};

enum {
	J_OMIT = 1,      /* leave out of the output when empty/zero/false/absent */
	J_NULL = 2,      /* write null instead of [] or {} (or of a NULL pointer) when empty */
	J_STRING_OK = 4, /* J_STRV: a string is accepted */
	J_MAYBE_STR = 8, /* J_I64: a number in a string is accepted */
	J_UNSET = 16,    /* J_I64: -1 means not given; it is left out, or null with J_NULL */
};

struct json_vec {
	void *v;
	size_t n;
};
struct json_group { /* one entry of J_MAPVV */
	const char *key;
	struct json_vec items;
	bool null; /* the value was null: {"80/tcp":null} */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	size_t off;
	unsigned flags;
	const struct json_field *sub; /* ends with a row whose name is NULL */
	size_t size;                  /* sizeof the sub struct */
};

#define J_END {NULL, J_BOOL, 0, 0, NULL, 0}

/* Parses text strictly: UTF-8, no duplicate keys, depth at most LIMIT_JSON_DEPTH, nothing after the value.
 * Errors: ERR_INVALID "invalid JSON: ..." ; trailing data is "unexpected content after JSON". Caller json_decref()s. */
int json_parse(const char *text, size_t len, json_t **out, struct err *e);
/* Fills *obj (already holding defaults) from a JSON object. */
int json_decode(const json_t *j, const struct json_field *t, void *obj, struct arena *a, struct err *e);
/* Refuses by name what json_decode would pass over: INVALID "unknown key "HostPrt" in Add.80/tcp". */
int json_check_known(const json_t *j, const struct json_field *t, struct err *e);
/* A new JSON object, or NULL when out of memory. */
json_t *json_encode(const struct json_field *t, const void *obj);
/* Both in one step for text. */
int json_decode_text(const char *text, size_t len, const struct json_field *t, void *obj, struct arena *a, struct err *e);
char *json_text(const json_t *j); /* compact, malloc'd; NULL when out of memory */

static inline void own_json(json_t **j)
{
	json_decref(*j);
}
