/* The configuration of an image: chosen by whoever built the archive. */
#include <string.h>

#include "model/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {0};
	const char *text = arena_dupn(&a, (const char *)data, size);
	struct image *img;
	struct err e;
	if (!text || image_new("0123", text, &img, &e) < 0)
		return 0;
	if (strcmp(img->config_text, text) != 0)
		abort();
	json_t *j = json_encode(config_table, &img->config);
	char *shown = j ? json_text(j) : NULL;
	if (!shown)
		abort();
	free(shown);
	json_decref(j);
	thing_unref(img);
	return 0;
}
