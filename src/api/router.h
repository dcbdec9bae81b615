/* router: which handler answers a method and path. One row a route, in tables by noun. */
#pragma once

#include "api/server.h"

typedef int (*handler)(struct request *rq, struct err *e);

enum body_kind {
	BODY_JSON,   /* read whole, at most LIMIT_BODY_JSON */
	BODY_STREAM, /* arrives through rq->upload while the handler runs */
};

struct route {
	const char *method;  /* "GET"; GET also answers HEAD */
	const char *pattern; /* "/containers/{}/json"; {} is one or more segments only when last is `{*}` style names with slashes: see router.c */
	handler run;
	enum body_kind body;
};

extern const struct route routes_system[], routes_container[], routes_stream[], routes_image[], routes_registry[], routes_network[], routes_outside[], routes_df[], routes_volume[], routes_stats[], routes_archive[];

/* Splits the version off, finds the row, fills rq->route, args, minor. Errors: 404 "page not found", 400 for versions. */
int router_find(struct request *rq, const char *url, struct err *e);
