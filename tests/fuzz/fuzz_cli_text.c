/* What a user types and a daemon answers: templates, port specifications, heads of answers. The first byte chooses. */
#include <stdint.h>

#include "cli/cmd.h"
#include "cli/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	OWN(arena_free) struct arena a = {0};
	if (n < 1)
		return 0;
	char *text = arena_dupn(&a, (const char *)data + 1, n - 1);
	if (data[0] % 3 == 0) {
		OWN(own_json) json_t *j = json_pack("{s:s, s:[s,s], s:{s:i}}", "ID", "abc", "L", "x", "y", "M", "a", 1);
		OWN(own_buf) struct buf out = {.max = 1u << 20};
		(void)template_run(text, j, &out, NULL);
	} else if (data[0] % 3 == 1) {
		OWN(own_json) json_t *x = json_object(), *b = json_object();
		(void)ports_publish(text, x, b, NULL);
		(void)ports_expose(text, x, NULL);
	} else {
		struct http h = HTTP_NONE;
		(void)http_parse_head(&h, text, n - 1, NULL);
	}
	return 0;
}
