/* The body of POST /containers/{}/ports: what is accepted changes a description into one that a create could have made; the edit of nothing is refused. Two JSON
 * texts, parted by a zero byte: what is published, and the body. */
#include <string.h>

#include "model/port_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int edit(struct container_spec *s, const json_t *body, struct arena *a, struct err *e)
{
	struct port given = {.proto = 6, .count = 3, .host_port = 32768, .port = 80};
	const struct port *now[] = {&given};
	struct port_gone gone[4];
	size_t ngone;
	int r = port_edit(s, body, now, 1, a, gone, ARRAY_LEN(gone), &ngone, e);
	if (r >= 0 && ngone > ARRAY_LEN(gone))
		abort();
	return r >= 0 ? spec_check_bindings(&s->host, a, e) : r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_json) json_t *bindings = NULL, *body = NULL;
	const char *text = (const char *)data, *second = size ? memchr(text, 0, size) : NULL;
	struct container_spec s = {0}, back = {0};
	struct err e = {0};
	if (!second || json_parse(text, (size_t)(second - text), &bindings, &e) < 0 || json_parse(second + 1, size - (size_t)(second + 1 - text), &body, &e) < 0)
		return 0;
	OWN(own_json) json_t *create = json_pack("{s:{s:O}}", "HostConfig", "PortBindings", bindings);
	if (!create || spec_parse(create, &a, &s, &e) < 0 || spec_check_bindings(&s.host, &a, &e) < 0)
		return 0;
	if (edit(&s, body, &a, &e) < 0) {
		if (!e.msg[0])
			abort();
		return 0;
	}
	OWN(own_json) json_t *stored = spec_to_json(&s);
	if (!stored || spec_from_json(stored, &a, &back, &e) < 0)
		abort();
	OWN(own_json) json_t *again = spec_to_json(&back);
	if (!again || !json_equal(stored, again))
		abort();
	return 0;
}
