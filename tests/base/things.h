/* things: an object with a field of every kind that base/json knows. */
#pragma once

#include "base/json.h"

struct part {
	const char *key; /* of J_MAPV */
	int64_t n;
	int8_t tri;
	struct strv l;
};
struct thing {
	bool b;
	int8_t tri;
	int64_t i, unset, text_number;
	double f;
	const char *s, *raw;
	struct strv l, set;
	struct kvs m;
	struct part sub, *subp;
	struct json_vec v, map, groups;
	int64_t pair[2];
};

#define P(m) offsetof(struct part, m)
#define G(m) offsetof(struct thing, m)
static const struct json_field part_table[] = {{"N", J_I64, P(n), J_OMIT, NULL, 0},
	{"Tri", J_TRI, P(tri), J_OMIT, NULL, 0}, {"L", J_STRV, P(l), J_NULL, NULL, 0}, J_END};
static const struct json_field thing_table[] = {{"B", J_BOOL, G(b), 0, NULL, 0}, {"Tri", J_TRI, G(tri), 0, NULL, 0},
	{"I", J_I64, G(i), 0, NULL, 0}, {"Unset", J_I64, G(unset), J_UNSET | J_NULL, NULL, 0},
	{"TextNumber", J_I64, G(text_number), J_MAYBE_STR | J_OMIT, NULL, 0}, {"F", J_F64, G(f), J_OMIT, NULL, 0},
	{"S", J_STR, G(s), 0, NULL, 0}, {"Raw", J_RAW, G(raw), J_OMIT, NULL, 0},
	{"L", J_STRV, G(l), J_STRING_OK, NULL, 0}, {"Set", J_SET, G(set), J_OMIT, NULL, 0},
	{"M", J_KV, G(m), 0, NULL, 0}, {"Sub", J_OBJ, G(sub), 0, part_table, sizeof(struct part)},
	{"SubP", J_OBJP, G(subp), J_NULL, part_table, sizeof(struct part)},
	{"V", J_OBJV, G(v), 0, part_table, sizeof(struct part)},
	{"Map", J_MAPV, G(map), 0, part_table, sizeof(struct part)},
	{"Groups", J_MAPVV, G(groups), 0, part_table, sizeof(struct part)}, {"Pair", J_PAIR, G(pair), J_OMIT, NULL, 0},
	J_END};
#undef P
#undef G
