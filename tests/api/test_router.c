/* Which handler a request gets, version negotiation, and the status of each kind of error. */
#include "api/router.h"
#include "test.h"

static int find(struct request *rq, const char *method, const char *url, struct err *e)
{
	arena_free(&rq->mem);
	*rq = (struct request){.method = method};
	*e = (struct err){0};
	return router_find(rq, url, e);
}

TEST(paths)
{
	static const struct {
		const char *method, *url, *pattern, *arg;
		int minor;
	} rows[] = {
		{"GET", "/version", "/version", NULL, API_MAX_MINOR},
		{"GET", "/v1.24/version", "/version", NULL, 24},
		{"GET", "/v1.51/version/", "/version", NULL, 51},
		{"HEAD", "/_ping", "/_ping", NULL, API_MAX_MINOR},
		{"GET", "/v1.41/containers/json", "/containers/json", NULL, 41},
		{"GET", "/containers/json/json", "/containers/{}/json", "json", API_MAX_MINOR},
		{"POST", "/v1.41/containers/a.b-c/start", "/containers/{}/start", "a.b-c", 41},
		{"GET", "/images/quay.io/x/y:1/json", "/images/{}/json", "quay.io/x/y:1", API_MAX_MINOR},
		{"DELETE", "/images/quay.io/x/y", "/images/{}", "quay.io/x/y", API_MAX_MINOR},
		{"GET", "/images/json/json/json", "/images/{}/json", "json/json", API_MAX_MINOR},
	};
	struct request rq = {0};
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_INT(find(&rq, rows[i].method, rows[i].url, &e), 0);
		if (!rq.route)
			continue;
		CHECK_STR(rq.route->pattern, rows[i].pattern);
		CHECK_INT(rq.minor, rows[i].minor);
		CHECK_INT(rq.nargs, rows[i].arg != NULL);
		if (rows[i].arg)
			CHECK_STR(rq.args[0], rows[i].arg);
	}
	arena_free(&rq.mem);
}

TEST(what_is_no_route)
{
	static const struct {
		const char *method, *url, *text;
		enum err_kind kind;
	} rows[] = {
		{"GET", "/none-such", "page not found", ERR_NOT_FOUND},
		{"POST", "/version", "page not found", ERR_NOT_FOUND},
		{"GET", "/containers//json", "page not found", ERR_NOT_FOUND},
		{"GET", "", "page not found", ERR_NOT_FOUND},
		{"GET", "/v1.41", "page not found", ERR_NOT_FOUND},
		{"GET", "/v1.52/version", "client version 1.52 is too new. Maximum supported API version is 1.51", ERR_INVALID},
		{"GET", "/v2.0/version", "client version 2.0 is too new. Maximum supported API version is 1.51", ERR_INVALID},
		{"GET", "/v1.23/version", "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", ERR_INVALID},
		{"GET", "/v1.41x/version", "page not found", ERR_NOT_FOUND},
	};
	struct request rq = {0};
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK(find(&rq, rows[i].method, rows[i].url, &e) < 0);
		CHECK_STR(e.msg, rows[i].text);
		CHECK_INT(e.kind, rows[i].kind);
	}
	char longest[8192];
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	CHECK(find(&rq, "GET", longest, &e) < 0);
	CHECK_INT(e.kind, ERR_INVALID);
	arena_free(&rq.mem);
}

/* The paths of the Engine API 1.24 to 1.51: each is answered or refused by a row of its own, none is "page not found". */
TEST(every_route_of_the_api)
{
	static const struct {
		const char *method, *pattern;
	} rows[] = {
#define CONTAINERS(x) "/containers/{}/" x
		{"GET", "/_ping"}, {"HEAD", "/_ping"}, {"GET", "/version"}, {"GET", "/info"}, {"GET", "/events"}, {"GET", "/system/df"},
		{"GET", "/containers/json"}, {"POST", "/containers/create"}, {"POST", "/containers/prune"}, {"DELETE", "/containers/{}"}, {"GET", CONTAINERS("json")}, {"GET", CONTAINERS("top")},
		{"GET", CONTAINERS("logs")}, {"POST", CONTAINERS("resize")}, {"POST", CONTAINERS("start")}, {"POST", CONTAINERS("stop")}, {"POST", CONTAINERS("restart")}, {"POST", CONTAINERS("kill")},
		{"POST", CONTAINERS("rename")}, {"POST", CONTAINERS("pause")}, {"POST", CONTAINERS("unpause")}, {"POST", CONTAINERS("attach")}, {"GET", CONTAINERS("attach/ws")}, {"POST", CONTAINERS("wait")},
		{"POST", CONTAINERS("exec")}, {"POST", "/exec/{}/start"}, {"POST", "/exec/{}/resize"}, {"GET", "/exec/{}/json"},
		{"GET", CONTAINERS("checkpoints")}, {"POST", CONTAINERS("checkpoints")}, {"DELETE", CONTAINERS("checkpoints/{}")},
		{"GET", "/images/json"}, {"POST", "/images/create"}, {"POST", "/images/load"}, {"POST", "/images/prune"}, {"GET", "/images/{}/json"}, {"GET", "/images/{}/history"}, {"POST", "/images/{}/tag"},
		{"DELETE", "/images/{}"},
		{"POST", "/build"}, {"POST", "/build/prune"}, {"POST", "/build/cancel"}, {"POST", "/session"}, {"POST", "/grpc"},
		{"GET", "/networks"}, {"GET", "/networks/{}"}, {"DELETE", "/networks/{}"}, {"POST", "/networks/create"}, {"POST", "/networks/{}/connect"}, {"POST", "/networks/{}/disconnect"}, {"POST", "/networks/prune"},
		{"GET", "/volumes"}, {"POST", "/volumes/create"}, {"POST", "/volumes/prune"}, {"GET", "/volumes/{}"}, {"DELETE", "/volumes/{}"}, {"PUT", "/volumes/{}"},
		{"GET", CONTAINERS("stats")}, {"POST", CONTAINERS("update")}, {"GET", CONTAINERS("archive")}, {"HEAD", CONTAINERS("archive")}, {"PUT", CONTAINERS("archive")}, {"GET", CONTAINERS("export")},
		{"GET", CONTAINERS("changes")}, {"POST", "/commit"}, {"POST", "/images/{}/push"}, {"GET", "/images/get"}, {"GET", "/images/{}/get"}, {"GET", "/images/search"}, {"POST", "/auth"}, {"GET", "/distribution/{}/json"},
		{"GET", "/plugins"}, {"GET", "/plugins/privileges"}, {"POST", "/plugins/pull"}, {"POST", "/plugins/create"}, {"GET", "/plugins/{}/json"}, {"DELETE", "/plugins/{}"}, {"POST", "/plugins/{}/enable"},
		{"POST", "/plugins/{}/disable"}, {"POST", "/plugins/{}/upgrade"}, {"POST", "/plugins/{}/push"}, {"POST", "/plugins/{}/set"},
		{"GET", "/swarm"}, {"POST", "/swarm/init"}, {"POST", "/swarm/join"}, {"POST", "/swarm/leave"}, {"POST", "/swarm/update"}, {"GET", "/swarm/unlockkey"}, {"POST", "/swarm/unlock"},
		{"GET", "/nodes"}, {"GET", "/nodes/{}"}, {"DELETE", "/nodes/{}"}, {"POST", "/nodes/{}/update"},
		{"GET", "/services"}, {"POST", "/services/create"}, {"GET", "/services/{}"}, {"DELETE", "/services/{}"}, {"POST", "/services/{}/update"}, {"GET", "/services/{}/logs"},
		{"GET", "/tasks"}, {"GET", "/tasks/{}"}, {"GET", "/tasks/{}/logs"},
		{"GET", "/secrets"}, {"POST", "/secrets/create"}, {"GET", "/secrets/{}"}, {"DELETE", "/secrets/{}"}, {"POST", "/secrets/{}/update"},
		{"GET", "/configs"}, {"POST", "/configs/create"}, {"GET", "/configs/{}"}, {"DELETE", "/configs/{}"}, {"POST", "/configs/{}/update"},
#undef CONTAINERS
	};
	struct request rq = {0};
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char url[256] = "/v1.41", *at = url + strlen(url);
		for (const char *p = rows[i].pattern; *p; p++) { /* an argument for each {} */
			if (*p != '{' && *p != '}')
				*at++ = *p;
			else if (*p == '{')
				*at++ = 'x';
		}
		*at = '\0';
		if (find(&rq, rows[i].method, url, &e) < 0) {
			printf("# %s %s: %s\n", rows[i].method, url, e.msg);
			CHECK(!"the route is missing");
		} else {
			CHECK_STR(rq.route->pattern, rows[i].pattern);
		}
	}
	arena_free(&rq.mem);
}

TEST(statuses)
{
	static const struct {
		enum err_kind kind;
		int status;
	} rows[] = {{ERR_INTERNAL, 500}, {ERR_NOT_FOUND, 404}, {ERR_CONFLICT, 409}, {ERR_FORBIDDEN, 403}, {ERR_INVALID, 400}, {ERR_NOT_MODIFIED, 304}, {ERR_UNAVAILABLE, 503}, {ERR_NOT_IMPLEMENTED, 501}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {.kind = rows[i].kind};
		CHECK_INT(err_status(&e), rows[i].status);
	}
}

TESTS(T(paths), T(what_is_no_route), T(every_route_of_the_api), T(statuses))
