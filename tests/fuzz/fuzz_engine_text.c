/* What a container writes: its passwd and group files, its log, and what a client asks: detach keys, a system call filter. The first byte chooses. */
#include <stdint.h>

#include "engine/engine_int.h"
#include "engine/user.h"
#include "engine/logline.h"
#include "engine/seccomp_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	OWN(arena_free) struct arena a = {0};
	static const struct strv none;
	struct user_found u;
	struct logline l;
	struct keys k;
	if (n < 2)
		return 0;
	char *text = arena_dupn(&a, (const char *)data + 1, n - 1), *rest = strchr(text, '\1');
	if (rest)
		*rest++ = '\0';
	if (data[0] % 3 == 0)
		(void)user_lookup(text, rest ? rest : "", "user:staff", &none, &u, NULL);
	if (data[0] % 3 == 1 && logline_parse((const char *)data + 1, n - 1, &l))
		assert(l.text >= (const char *)data && l.text + l.n == (const char *)data + n);
	if (data[0] % 4 == 3) { /* beside the others */
		OWN(own_json) json_t *caps = json_pack("[s]", "CAP_SYS_ADMIN"), *in = NULL, *out = NULL;
		if (json_parse((const char *)data + 1, n - 1, &in, NULL) == 0)
			out = seccomp_profile(in, caps, NULL);
		assert(!out || json_is_string(json_object_get(out, "defaultAction")));
	}
	if (data[0] % 3 == 2 && keys_parse(text, &k, NULL) == 0) {
		OWN(own_buf) struct buf out = {0};
		(void)keys_filter(&k, data, n, &out);
		assert(out.len <= n + sizeof(k.seq));
	}
	return 0;
}
