/* What the Engine API has and Pontoon has not: clusters, builds, plugins, checkpoints. Every such route is here by name, so that a client gets a sentence about what to do
 * instead of "page not found". Questions with a truthful answer ("which plugins are there?" "none") are answered. */
#include <errno.h>

#include "api/router.h"
#include "ops/happen.h"

/* The first sentence is what clients look for. */
static int no_manager(struct request *rq, struct err *e)
{
	(void)rq;
	return err_as(e, ERR_UNAVAILABLE, "This node is not a swarm manager. Pontoon serves one host and has no swarm mode: services, nodes, tasks, secrets and configs need a Docker swarm or another orchestrator.");
}

static int no_member(struct request *rq, struct err *e)
{
	(void)rq;
	return err_as(e, ERR_UNAVAILABLE, "This node is not part of a swarm");
}

static int no_swarm(struct request *rq, struct err *e)
{
	(void)rq;
	return err_as(e, ERR_NOT_IMPLEMENTED, "Pontoon serves one host and has no swarm mode: for several containers that belong together on this host use docker-compose, for several hosts a Docker swarm or another orchestrator");
}

static int no_build(struct request *rq, struct err *e)
{
	(void)rq;
	return err_as(e, ERR_NOT_IMPLEMENTED, "Pontoon builds no images. Build elsewhere and load the result here: "
		"`buildah build -t NAME . && buildah push NAME docker-archive:/tmp/image.tar:NAME`, or `docker buildx build -o type=docker,dest=/tmp/image.tar -t NAME .`, and then `docker load -i /tmp/image.tar`");
}

static int no_checkpoints(struct request *rq, struct err *e)
{
	(void)rq;
	return err_as(e, ERR_NOT_IMPLEMENTED, "Pontoon has no checkpoints: a container can be paused and unpaused, or stopped and started");
}

static int no_websocket(struct request *rq, struct err *e)
{
	return err_as(e, ERR_NOT_IMPLEMENTED, "Pontoon attaches by POST /containers/%.64s/attach with Upgrade: tcp, not by WebSocket", rq->args[0]);
}

static int no_plugins(struct request *rq, struct err *e)
{
	(void)rq;
	return err_as(e, ERR_NOT_IMPLEMENTED, "Pontoon has no plugins: its network, volume and log drivers are built in");
}

static int plugin_unknown(struct request *rq, struct err *e)
{
	return err_as(e, ERR_NOT_FOUND, "plugin \"%.255s\" not found", rq->args[0]);
}

static int plugins(struct request *rq, struct err *e)
{
	static const char *const known[] = {"enable", "capability", NULL};
	struct filters f;
	try(request_filters(rq, known, &f, e));
	return reply_json(rq, 200, json_array());
}

static int no_cluster_volumes(struct request *rq, struct err *e)
{
	return err_as(e, ERR_UNAVAILABLE, "This node is not a swarm manager: %.255s cannot be updated, only cluster volumes can", rq->args[0]);
}

/* There is no cache of builds: pruning it, which `docker system prune` does, finds nothing. */
static int build_prune(struct request *rq, struct err *e)
{
	(void)e;
	event_of_prune(rq->core, "builder", 0);
	return reply_json(rq, 200, json_pack("{s:n, s:i}", "CachesDeleted", "SpaceReclaimed", 0));
}

const struct route routes_outside[] = {
	{"GET", "/swarm", no_manager, BODY_JSON},
	{"POST", "/swarm/init", no_swarm, BODY_JSON},
	{"POST", "/swarm/join", no_swarm, BODY_JSON},
	{"POST", "/swarm/leave", no_member, BODY_JSON},
	{"POST", "/swarm/update", no_manager, BODY_JSON},
	{"GET", "/swarm/unlockkey", no_manager, BODY_JSON},
	{"POST", "/swarm/unlock", no_member, BODY_JSON},
	{"GET", "/nodes", no_manager, BODY_JSON},
	{"GET", "/nodes/{}", no_manager, BODY_JSON},
	{"DELETE", "/nodes/{}", no_manager, BODY_JSON},
	{"POST", "/nodes/{}/update", no_manager, BODY_JSON},
	{"GET", "/services", no_manager, BODY_JSON},
	{"POST", "/services/create", no_manager, BODY_JSON},
	{"GET", "/services/{}/logs", no_manager, BODY_JSON},
	{"GET", "/services/{}", no_manager, BODY_JSON},
	{"DELETE", "/services/{}", no_manager, BODY_JSON},
	{"POST", "/services/{}/update", no_manager, BODY_JSON},
	{"GET", "/tasks", no_manager, BODY_JSON},
	{"GET", "/tasks/{}/logs", no_manager, BODY_JSON},
	{"GET", "/tasks/{}", no_manager, BODY_JSON},
	{"GET", "/secrets", no_manager, BODY_JSON},
	{"POST", "/secrets/create", no_manager, BODY_JSON},
	{"GET", "/secrets/{}", no_manager, BODY_JSON},
	{"DELETE", "/secrets/{}", no_manager, BODY_JSON},
	{"POST", "/secrets/{}/update", no_manager, BODY_JSON},
	{"GET", "/configs", no_manager, BODY_JSON},
	{"POST", "/configs/create", no_manager, BODY_JSON},
	{"GET", "/configs/{}", no_manager, BODY_JSON},
	{"DELETE", "/configs/{}", no_manager, BODY_JSON},
	{"POST", "/configs/{}/update", no_manager, BODY_JSON},
	{"PUT", "/volumes/{}", no_cluster_volumes, BODY_JSON},
	{"GET", "/plugins", plugins, BODY_JSON},
	{"GET", "/plugins/privileges", no_plugins, BODY_JSON},
	{"POST", "/plugins/pull", no_plugins, BODY_JSON},
	{"POST", "/plugins/create", no_plugins, BODY_STREAM},
	{"GET", "/plugins/{}/json", plugin_unknown, BODY_JSON},
	{"POST", "/plugins/{}/enable", plugin_unknown, BODY_JSON},
	{"POST", "/plugins/{}/disable", plugin_unknown, BODY_JSON},
	{"POST", "/plugins/{}/upgrade", plugin_unknown, BODY_JSON},
	{"POST", "/plugins/{}/push", plugin_unknown, BODY_JSON},
	{"POST", "/plugins/{}/set", plugin_unknown, BODY_JSON},
	{"DELETE", "/plugins/{}", plugin_unknown, BODY_JSON},
	{"POST", "/build", no_build, BODY_STREAM},
	{"POST", "/build/prune", build_prune, BODY_JSON},
	{"POST", "/build/cancel", no_build, BODY_JSON},
	{"POST", "/session", no_build, BODY_JSON},
	{"POST", "/grpc", no_build, BODY_JSON},
	{"GET", "/containers/{}/checkpoints", no_checkpoints, BODY_JSON},
	{"POST", "/containers/{}/checkpoints", no_checkpoints, BODY_JSON},
	{"DELETE", "/containers/{}/checkpoints/{}", no_checkpoints, BODY_JSON},
	{"GET", "/containers/{}/attach/ws", no_websocket, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
