/* What a registry and a client say about authorization: WWW-Authenticate (registry), X-Registry-Auth (client). */
#include <stdlib.h>
#include <string.h>

#include "image/auth.h"
#include "image/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1), basic[16384];
	struct challenge c;
	struct auth a;
	struct err e = {};
	if (!s)
		return 0;
	if (size)
		memcpy(s, data, size);
	s[size] = '\0';
	if (challenge_parse(s, &c, &e) == 0 && c.kind == CHALLENGE_BEARER && !*c.realm)
		abort();
	if (auth_decode(s, &a, &e) == 0 && auth_basic(&a, basic, sizeof(basic)) && strlen(basic) % 4 != 0)
		abort();
	free(s);
	return 0;
}
