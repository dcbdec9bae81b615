/* view: model to Docker's JSON. Reads the world (the caller holds core_read), changes nothing. A NULL answer means out of memory. */
#pragma once

#include "api/server.h"
#include "ops/events.h"
#include "ops/health.h"

struct view { /* what the shapes depend on besides the world */
	struct core *core;
	int minor;
	int64_t now;
};

json_t *view_container(const struct view *v, const struct world *w, const struct container *c, struct arena *a);      /* inspect */
json_t *view_container_row(const struct view *v, const struct world *w, const struct container *c, struct arena *a);  /* a row of GET /containers/json */
json_t *view_image(const struct view *v, const struct world *w, const struct image *img, struct arena *a);
json_t *view_image_row(const struct view *v, const struct world *w, const struct image *img, bool count, struct arena *a); /* count: with the number of its containers */
/* One that the filters of GET /images/json let through, with the names that they let through; else NULL (image_filter.c). */
/* INVALID for a value that no image can have. */
int image_filter_check(const struct filters *f, struct err *e);
int image_row_filtered(const struct view *v, const struct world *w, const struct image *img, const struct filters *f, struct arena *a, json_t **out, struct err *e);
json_t *view_tags(const struct world *w, const struct image *img, struct arena *a);
json_t *view_lower_dirs(const struct view *v, const struct world *w, const struct image *img, size_t skip);
json_t *view_network(const struct view *v, const struct world *w, const struct network *n, bool containers, struct arena *a);
json_t *view_volume(const struct view *v, const struct volume *vol, struct arena *a);
json_t *view_exec(const struct exec_info *x);
json_t *view_event(const struct view *v, const struct event *ev);
json_t *view_info(const struct view *v, const struct world *w, struct arena *a);
json_t *view_version(const struct view *v, struct arena *a);
/* "Up 5 minutes", "Exited (0) 2 hours ago", ... */
const char *view_status(const struct container *c, enum health_status health, int64_t now, struct arena *a);
