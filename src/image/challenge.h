/* challenge: what a registry asks for in WWW-Authenticate. Pure: hostile text in, a value of fixed size out.
 * Errors: ERR_INVALID when the text is not such a header or a part does not fit. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum challenge_kind {
	CHALLENGE_NONE, /* no scheme in it that we speak */
	CHALLENGE_BASIC,
	CHALLENGE_BEARER,
};

struct challenge {
	enum challenge_kind kind;
	char realm[1024];  /* for a bearer: the URL that gives tokens */
	char service[256]; /* "" = not given */
	char scope[1024];
};

/* Reads one header's value, which may hold several challenges. A bearer is preferred to basic, an earlier one to a later.
 * A bearer without a realm cannot be answered: ERR_INVALID. */
int challenge_parse(const char *s, struct challenge *out, struct err *e);
