/* A request's body against a table with a field of every kind. What was accepted, written out and read again is the
 * same; what was refused names a reason. */
#include <errno.h>
#include <stdint.h>

#include "../base/things.h"

static char *text_of(const struct thing *t)
{
	OWN(own_json) json_t *j = json_encode(thing_table, t);
	char *text = j ? json_text(j) : NULL;
	if (!text)
		abort();
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {0};
	struct thing one = {.unset = -1}, two = {.unset = -1};
	struct err e = {0};
	int r = json_decode_text((const char *)data, size, thing_table, &one, &a, &e);
	if (r < 0) {
		if (r != -EINVAL || e.code != r || e.kind != ERR_INVALID || !e.msg[0])
			abort();
		return 0;
	}
	OWN(own_free) char *first = text_of(&one);
	if (json_decode_text(first, strlen(first), thing_table, &two, &a, &e) < 0)
		abort();
	OWN(own_free) char *second = text_of(&two);
	if (!streq(first, second))
		abort();
	return 0;
}
