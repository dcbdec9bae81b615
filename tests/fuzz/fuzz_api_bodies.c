/* The smaller JSON bodies of requests, by their tables: what is decoded is bounded, and is the same after it was encoded and decoded again. The first byte chooses. */
#include <string.h>

#include "engine/engine.h"
#include "model/network_spec.h"
#include "ops/volume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct json_field *table, const json_t *j, size_t size)
{
	OWN(own_arena) struct arena a = {0};
	void *one = arena_new_array(&a, size, _Alignof(max_align_t), 1), *two = arena_new_array(&a, size, _Alignof(max_align_t), 1);
	struct err e = {0};
	if (json_decode(j, table, one, &a, &e) < 0) {
		if (!e.msg[0])
			abort();
		return;
	}
	OWN(own_json) json_t *first = json_encode(table, one);
	if (!first || json_decode(first, table, two, &a, &e) < 0)
		abort();
	OWN(own_json) json_t *second = json_encode(table, two);
	if (!second || !json_equal(first, second))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_json) json_t *j = NULL;
	struct network_spec n;
	struct err e = {0};
	if (size == 0 || json_parse((const char *)data + 1, size - 1, &j, &e) < 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		if (network_spec_parse(j, &a, &n, &e) < 0 && !e.msg[0])
			abort();
		break;
	case 1:
		round_trip(exec_spec_table, j, sizeof(struct exec_spec));
		break;
	case 2:
		round_trip(volume_spec_table, j, sizeof(struct volume_spec));
		break;
	case 3:
		round_trip(endpoint_settings_table, j, sizeof(struct endpoint_settings));
		break;
	}
	return 0;
}
