/* The body of a create request: what is accepted must be stored and read back as it was. */
#include <string.h>

#include "model/spec.h"
#include "model/spec_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct container_spec *s, struct arena *a)
{
	OWN(own_json) json_t *j = spec_to_json(s);
	OWN(own_free) char *text = j ? json_text(j) : NULL;
	OWN(own_json) json_t *read = NULL;
	struct container_spec back;
	struct err e;
	if (!text || json_parse(text, strlen(text), &read, &e) < 0 || spec_from_json(read, a, &back, &e) < 0)
		abort();
	OWN(own_json) json_t *again = spec_to_json(&back);
	if (!again || !json_equal(j, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_json) json_t *j = NULL;
	struct container_spec s;
	struct strv warnings = {0};
	struct err e;
	if (size == 0 || json_parse((const char *)data + 1, size - 1, &j, &e) < 0 || spec_parse(j, &a, &s, &e) < 0)
		return 0;
	struct spec_host host = {.minor = data[0] & 1 ? 51 : 44,
		.ncpu = data[0] & 2 ? 4 : 0,
		.cgroup2 = data[0] & 4,
		.lacks = data[0] & 8 ? (1u << CONTROL_N) - 1 : 0,
		.cpus = data[0] & 16 ? "0-3,7" : NULL, .mems = data[0] & 16 ? "0" : NULL};
	if (spec_check(&s, &host, &a, &warnings, &e) >= 0)
		round_trip(&s, &a);
	return 0;
}
