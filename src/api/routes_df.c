/* GET /system/df, and the sizes of containers that it shares with `ps --size` and `inspect --size`. */
#include <errno.h>

#include "api/router.h"
#include "api/view.h"
#include "base/map.h"
#include "base/du.h"
#include "engine/size.h"
#include "model/mounts.h"

void reply_add_size(struct core *core, json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "Id")), *image = json_string_value(json_object_get(row, "ImageID"));
	if (!image)
		image = json_string_value(json_object_get(row, "Image"));
	if (!id || !image)
		return;
	int64_t own = engine_container_size(core->engine, id);
	const struct image *img = world_image(core_read(core), str_starts(image, "sha256:") ? image + strlen("sha256:") : image);
	int64_t below = img ? img->size : 0;
	core_read_end(core);
	json_object_set_new(row, "SizeRw", json_integer(own));
	json_object_set_new(row, "SizeRootFs", json_integer(own + below));
}

/* How many images have each layer; a map from its diff id to the number. */
static int count_layers(const struct world *w, struct map *out)
{
	const struct image *img;
	for (size_t i = 0; (img = world_next(w, NOUN_IMAGE, &i));)
		for (size_t k = 0; k < img->diff_ids.n; k++) {
			uintptr_t n = (uintptr_t)map_gets(out, img->diff_ids.v[k]);
			if (map_puts(out, img->diff_ids.v[k], (void *)(n + 1)) < 0)
				return -ENOMEM;
		}
	return 0;
}

/* What of an image's layers other images have too. */
static int64_t shared_size(const struct world *w, const struct image *img, const struct map *users)
{
	const struct layer *l;
	int64_t sum = 0;
	for (size_t k = 0; k < img->diff_ids.n; k++)
		if ((uintptr_t)map_gets(users, img->diff_ids.v[k]) > 1 && (l = world_get(w, NOUN_LAYER, img->diff_ids.v[k])))
			sum += l->size;
	return sum;
}

static json_t *images(struct request *rq, const struct view *v, const struct world *w)
{
	const struct image *img;
	OWN(map_free) struct map users = {0};
	if (count_layers(w, &users) < 0)
		return NULL;
	json_t *list = json_array();
	for (size_t i = 0; (img = world_next(w, NOUN_IMAGE, &i));) {
		json_t *row = view_image_row(v, w, img, true, &rq->mem);
		if (row)
			json_object_set_new(row, "SharedSize", json_integer(shared_size(w, img, &users)));
		json_array_append_new(list, row);
	}
	return list;
}

static json_t *containers(struct request *rq, const struct view *v, const struct world *w)
{
	const struct container *c;
	json_t *list = json_array();
	for (size_t i = 0; (c = world_next(w, NOUN_CONTAINER, &i));)
		json_array_append_new(list, view_container_row(v, w, c, &rq->mem));
	return list;
}

static json_t *volumes(struct request *rq, const struct view *v, const struct world *w)
{
	const struct volume *vol;
	const struct container *c;
	json_t *list = json_array();
	for (size_t i = 0; (vol = world_next(w, NOUN_VOLUME, &i));) {
		int64_t users = 0;
		json_t *row = view_volume(v, vol, &rq->mem);
		for (size_t k = 0; (c = world_next(w, NOUN_CONTAINER, &k));)
			users += mounts_use(c, vol->name);
		json_object_set_new(row, "UsageData", json_pack("{s:I}", "RefCount", (json_int_t)users));
		json_array_append_new(list, row);
	}
	return list;
}

static int64_t layers_size(const struct world *w)
{
	const struct layer *l;
	int64_t size = 0;
	for (size_t i = 0; (l = world_next(w, NOUN_LAYER, &i));)
		size += l->size;
	return size;
}

/* Without types all are asked for. */
static int read_types(struct request *rq, bool wanted[static 4], struct err *e)
{
	static const char *const names[] = {"container", "image", "volume", "build-cache"};
	struct strv types = {0};
	if (request_list(rq, "type", &types) < 0)
		return err_nomem(e);
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		wanted[k] = types.n == 0 || strv_has(&types, names[k]);
	for (size_t i = 0; i < types.n; i++) {
		size_t k = 0;
		while (k < ARRAY_LEN(names) && !streq(names[k], types.v[i]))
			k++;
		if (k == ARRAY_LEN(names))
			return err_as(e, ERR_INVALID, "unknown object type: %.100s", types.v[i]);
	}
	return 0;
}

static int df(struct request *rq, struct err *e)
{
	struct view v = {.core = rq->core, .minor = rq->minor, .now = clock_real_ns()};
	bool wanted[4];
	size_t i;
	json_t *row;
	try(read_types(rq, wanted, e));
	const struct world *w = core_read(rq->core);
	json_t *cs = wanted[0] ? containers(rq, &v, w) : json_null(), *is = wanted[1] ? images(rq, &v, w) : json_null();
	json_t *j = json_pack("{s:I, s:o, s:o, s:o, s:o}", "LayersSize", (json_int_t)(wanted[1] ? layers_size(w) : 0), "Images", is, "Containers", cs, "Volumes", wanted[2] ? volumes(rq, &v, w) : json_null(),
		"BuildCache", wanted[3] ? json_array() : json_null());
	core_read_end(rq->core);
	json_array_foreach(json_object_get(j, "Containers"), i, row)
		reply_add_size(rq->core, row);
	json_array_foreach(json_object_get(j, "Volumes"), i, row)
		json_object_set_new(json_object_get(row, "UsageData"), "Size", json_integer(du_size(json_string_value(json_object_get(row, "Mountpoint")))));
	if (rq->minor < 42)
		json_object_set_new(j, "BuilderSize", json_integer(0));
	return reply_json(rq, 200, j);
}

const struct route routes_df[] = {
	{"GET", "/system/df", df, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
