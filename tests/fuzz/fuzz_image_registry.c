/* What a registry and a client say about authorization: WWW-Authenticate (registry), X-Registry-Auth (client); what a registry says beside blobs; the fetcher's messages. */
#include <stdlib.h>
#include <string.h>

#include "image/answer.h"
#include "image/auth.h"
#include "image/challenge.h"
#include "image/errand.h"
#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answers(const char *s, size_t n)
{
	OWN(own_arena) struct arena a = {};
	char token[ANSWER_TOKEN], link[256];
	struct answer_error said;
	struct strv tags = {};
	struct errand m;
	struct outcome o;
	struct err e;
	uint64_t at;

	answer_error(s, n, &said);
	for (const char *p = said.message; *p; p++)
		if ((unsigned char)*p < ' ')
			abort();
	if (answer_token(s, n, token, &e) == 0 && strpbrk(token, " \r\n"))
		abort();
	answer_tags(s, n, &a, &tags, &e);
	OWN(own_json) json_t *found = NULL;
	if (answer_search(s, n, 5, &found, &e) == 0 && json_array_size(found) > 5)
		abort();
	answer_content_range(s, &at, &e);
	answer_upload_range(s, &at, &e);
	answer_next_link(s, link, sizeof(link));
	manifest_kind_of("", s, n);
	if (errand_decode(s, n, &a, &m, &e) == 0 && (m.most < 0 || m.length < 0 || m.offset < 0))
		abort();
	outcome_decode(s, n, &a, &o, &e);
}

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
	read_answers(s, size);
	free(s);
	return 0;
}
