/* Patterns: "{}" stands for one path segment, except that before a fixed tail it may be several ("/images/{}/json" matches
 * /images/quay.io/x/y/json), because image names contain slashes. Paths are matched after libmicrohttpd has decoded them, so a slash in a
 * container's name cannot be told from a separator; no name of ours has one. The first row that matches counts: in a table the longer patterns come first. */
#include "api/router.h"

#include <errno.h>
#include <string.h>

static const struct route *const tables[] = {routes_system, routes_df, routes_outside, routes_container, routes_stream, routes_registry, routes_image, routes_network, routes_volume, routes_stats, routes_archive};

/* "/v1.41/x" -> minor 41 and "/x". */
static int split_version(const char **url, int *minor, struct err *e)
{
	int major, n = 0;
	*minor = API_MAX_MINOR;
	if (sscanf(*url, "/v%d.%d%n", &major, minor, &n) != 2 || n == 0 || ((*url)[n] != '/' && (*url)[n] != '\0')) {
		*minor = API_MAX_MINOR;
		return 0;
	}
	if (major != 1 || *minor > API_MAX_MINOR)
		return err_as(e, ERR_INVALID, "client version %d.%d is too new. Maximum supported API version is 1.%d", major, *minor, API_MAX_MINOR);
	if (*minor < API_MIN_MINOR)
		return err_as(e, ERR_INVALID,
			"client version %d.%d is too old. Minimum supported API version is 1.%d, please upgrade your client to a newer version", major, *minor,
			API_MIN_MINOR);
	*url += n;
	return 0;
}

/* Matches from the left; a {} takes the shortest run that lets the rest match, and never nothing. */
static bool match(struct request *rq, const char *pattern, const char *path, size_t depth)
{
	while (*pattern && !str_starts(pattern, "{}")) {
		if (*pattern++ != *path++)
			return false;
	}
	if (!*pattern) {
		rq->nargs = depth;
		return *path == '\0';
	}
	if (depth == ARRAY_LEN(rq->args) || *path == '/' || !*path)
		return false;
	bool tail = pattern[2] != '\0';
	for (size_t n = 1;; n++) {
		bool end = path[n] == '\0' || path[n] == '/';
		if (end && match(rq, pattern + 2, path + n, depth + 1)) {
			rq->args[depth] = arena_dupn(&rq->mem, path, n);
			return rq->args[depth] != NULL;
		}
		if (path[n] == '\0' || (end && !tail && !str_starts(pattern, "{}")))
			return false;
	}
}

int router_find(struct request *rq, const char *url, struct err *e)
{
	char path[4096];
	bool is_get = streq(rq->method, "GET") || streq(rq->method, "HEAD");
	try(split_version(&url, &rq->minor, e));
	if (!str_copy(path, sizeof(path), url))
		return err_as(e, ERR_INVALID, "the path of the request is too long");
	size_t n = strlen(path);
	if (n > 1 && path[n - 1] == '/')
		path[n - 1] = '\0';
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (const struct route *r = tables[t]; r->method; r++) {
			if (!streq(r->method, is_get ? "GET" : rq->method) || !match(rq, r->pattern, path, 0))
				continue;
			rq->route = r;
			return 0;
		}
	}
	return err_as(e, ERR_NOT_FOUND, "page not found");
}
