/* auth: who a client is to a registry: what the X-Registry-Auth header holds. Pure. The texts are secrets: they are never logged,
 * never part of an error, and auth_wipe clears them.
 * Errors: ERR_INVALID. */
#pragma once

#include "base/err.h"

struct auth {
	char username[256], password[8192];
	char identity_token[8192]; /* a refresh token, in the place of a password */
	char registry_token[8192]; /* a bearer token, to be used as it is */
	char server[512];
};

/* `text`: base64 (URL alphabet or not, padded or not) of a JSON object. "" and "{}" in base64: nobody in particular. */
int auth_decode(const char *text, struct auth *out, struct err *e);
/* base64 of "user:password", for an Authorization header: at most `size` bytes with the NUL; false when it does not fit. */
bool auth_basic(const struct auth *a, char *out, size_t size);
void auth_wipe(struct auth *a);
