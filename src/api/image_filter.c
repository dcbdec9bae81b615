/* The filters of GET /images/json. */
#include <errno.h>
#include <fnmatch.h>

#include "api/view.h"
#include "base/clock.h"

/* As a user may write it: "alpine", "alpine:3.*", "localhost:5000/team/web*"; a star stops at a slash. */
static bool reference_is(const char *pattern, const char *tag, struct arena *a)
{
	const char *colon = strrchr(tag, ':');
	const char *repo = arena_dupn(a, tag, colon ? (size_t)(colon - tag) : strlen(tag));
	return fnmatch(pattern, tag, FNM_PATHNAME) == 0 || (repo && fnmatch(pattern, repo, FNM_PATHNAME) == 0);
}

static bool reference_matches(const struct filters *f, const char *tag, struct arena *a)
{
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, "reference") && reference_is(f->v[i].value, tag, a))
			return true;
	return !filters_have(f, "reference");
}

/* before and since name an image: those made earlier or later than it. */
static int age_matches(const struct filters *f, const struct world *w, const struct image *img, bool *yes, struct err *e)
{
	for (size_t i = 0; i < f->n; i++) {
		bool before = streq(f->v[i].key, "before"), since = streq(f->v[i].key, "since");
		const struct image *other;
		int64_t until;
		if (before || since) {
			try(world_find_image(w, f->v[i].value, &other, e));
			*yes &= before ? img->created < other->created : img->created > other->created;
		}
		if (streq(f->v[i].key, "until")) {
			if (time_parse(f->v[i].value, clock_real_ns(), &until) < 0)
				return err_as(e, ERR_INVALID, "failed to parse value as time or duration: \"%.100s\"", f->v[i].value);
			*yes &= img->created < until;
		}
	}
	return 0;
}

int image_filter_check(const struct filters *f, struct err *e)
{
	static const char *const known[] = {"true", "1", "false", "0"};
	for (size_t i = 0; i < f->n; i++) {
		bool ok = !streq(f->v[i].key, "dangling");
		for (size_t k = 0; k < ARRAY_LEN(known); k++)
			ok |= streq(f->v[i].value, known[k]);
		if (!ok)
			return err_as(e, ERR_INVALID, "invalid filter 'dangling=[%.100s]'", f->v[i].value);
	}
	return 0;
}

static bool dangling_matches(const struct filters *f, const struct tag *const *tags, size_t n)
{
	if (!filters_have(f, "dangling"))
		return true;
	bool want = filters_match(f, "dangling", "true") || filters_match(f, "dangling", "1"), named = false;
	for (size_t i = 0; i < n; i++)
		named |= !tag_is_digest(tags[i]->ref);
	return want == !named;
}

int image_row_filtered(const struct view *v, const struct world *w, const struct image *img, const struct filters *f, struct arena *a, json_t **out, struct err *e)
{
	size_t n;
	const struct tag **tags = world_tags_of_image(w, a, img->id, &n);
	bool yes = filters_match_labels(f, &img->config.labels) && dangling_matches(f, tags, tags ? n : 0);
	*out = NULL;
	try(age_matches(f, w, img, &yes, e));
	if (!yes)
		return 0;
	json_t *list = json_array();
	for (size_t i = 0; tags && i < n; i++)
		if (!tag_is_digest(tags[i]->ref) && reference_matches(f, tags[i]->thing.key, a))
			json_array_append_new(list, json_string(tags[i]->thing.key));
	if (filters_have(f, "reference") && !json_array_size(list)) {
		json_decref(list);
		return 0;
	}
	*out = view_image_row(v, w, img, false, a);
	if (json_object_set_new(*out, "RepoTags", list) < 0)
		return err_nomem(e);
	return 0;
}
