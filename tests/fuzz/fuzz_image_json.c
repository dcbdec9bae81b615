/* manifest.json, indexes, manifests, configurations; file names. The first byte chooses. */
#include <string.h>

#include "image/config.h"
#include "image/manifest.h"
#include "image/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_names(const char *s)
{
	char out[NAME_PATH], again[NAME_PATH], quoted[NAME_QUOTED];
	enum name_kind kind;
	const char *hidden = NULL;
	struct err e;

	name_quote(s, quoted);
	if (name_clean(s, out, &e) < 0)
		return;
	/* clean stays clean, and has nothing that leads up or to the root */
	if (*out && (name_clean(out, again, &e) < 0 || strcmp(out, again) != 0))
		abort();
	if (*out == '/' || strcmp(out, "..") == 0 || strncmp(out, "../", 3) == 0 || strstr(out, "/../"))
		abort();
	if (name_classify(out, &kind, &hidden, &e) == 0 && kind == NAME_WHITEOUT && (!hidden || strchr(hidden, '/')))
		abort();
	if (name_resolve(out, s, again, &e) == 0 && (*again == '/' || strncmp(again, "..", 3) == 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {};
	static const struct platform want = {.os = "linux", .arch = "amd64"};
	struct manifest_saved_list saved;
	struct manifest_descs descs;
	struct manifest_image image;
	struct config_facts facts;
	struct platform p;
	struct err e;

	if (size == 0)
		return 0;
	const char *text = arena_dupn(&a, (const char *)data + 1, size - 1);
	if (!text)
		return 0;
	switch (data[0] % 6) {
	case 0:
		manifest_read_saved(text, size - 1, &a, &saved, &e);
		break;
	case 1:
		if (manifest_read_index(text, size - 1, &a, &descs, &e) == 0) {
			manifest_choose(&descs, NULL, &want);
			manifest_platforms(&descs, &a);
		}
		break;
	case 2:
		manifest_read_image(text, size - 1, &a, &image, &e);
		break;
	case 3:
		config_read(text, size - 1, &a, &facts, &e);
		break;
	case 4:
		platform_parse(text, &want, &p, &e);
		break;
	case 5:
		read_names(text);
		break;
	}
	return 0;
}
