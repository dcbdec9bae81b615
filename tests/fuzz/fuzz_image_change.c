/* --change instructions and the configuration made of them. */
#include <string.h>

#include "image/change.h"
#include "image/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {};
	struct change_config c;
	struct err e;
	const char *text = arena_dupn(&a, (const char *)data, size);
	struct platform p = {.os = "linux", .arch = "amd64"};
	struct config_import in = {.platform = &p, .message = "", .created = "", .config = &c, .diff_id = ""};
	char *config = NULL;

	if (!text || size > 4096)
		return 0;
	change_config_init(&c);
	if (change_apply(&c, text, &a, &e) == 0 && config_make(&in, &config, &e) == 0) {
		json_t *j = NULL;
		if (json_parse(config, strlen(config), &j, &e) < 0)
			abort(); /* what we write, we read */
		json_decref(j);
		free(config);
	}
	return 0;
}
