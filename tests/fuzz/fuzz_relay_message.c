/* What pontoond and pontoon-relay send each other. What decodes must encode to something that decodes to the same. */
#include <stdint.h>

#include "base/relay_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_buf) struct buf once = {0}, twice = {0};
	struct relay_msg m, again;
	if (relay_proto_decode(&a, data, n, &m, NULL) < 0)
		return 0;
	assert(relay_proto_encode(&m, &once, NULL) == 0);
	assert(relay_proto_decode(&a, once.data, once.len, &again, NULL) == 0);
	assert(relay_proto_encode(&again, &twice, NULL) == 0);
	assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	return 0;
}
