/* context: named daemons, kept as the docker command keeps them, so that both have the same ones. Below the user's directory (user_config.h):
 *   contexts/meta/ID/meta.json           {"Name", "Metadata": {"Description"}, "Endpoints": {"docker": {"Host", "SkipTLSVerify"}}}
 *   contexts/tls/ID/docker/{ca,cert,key}.pem    0600; those that the context has
 *   config.json                          "currentContext"
 * ID is the SHA-256 of the name. What else is in these files stays as it is. The context "default" is no file: it is what -H, the TLS options and the environment say. */
#pragma once

#include "base/json.h"
#include "base/strv.h"

#define CONTEXT_DEFAULT "default"

extern const char *context_asked; /* --context; NULL */
extern bool context_host_asked;   /* -H was given: it alone counts */

enum { CONTEXT_CA, CONTEXT_CERT, CONTEXT_KEY, CONTEXT_FILES };
struct context_endpoint { /* in an arena */
	const char *host; /* NULL: not said */
	bool skip_verify;
	const char *file[CONTEXT_FILES]; /* paths; NULL: none */
};

bool context_name_ok(const char *name);
/* The name of the context that counts: --context, then -H, $PONTOON_HOST or $DOCKER_HOST (default), then $PONTOON_CONTEXT, $DOCKER_CONTEXT, then config.json's. It need not be there. */
int context_current(struct arena *a, const char **name, struct err *e);
/* That of config.json; NULL: none. */
const char *context_configured(struct arena *a);
bool context_host_in_environment(void); /* $PONTOON_HOST or $DOCKER_HOST */
/* Makes http_host and http_tls, which are those of "default" so far, those of the context that counts. */
int context_enter(struct arena *a, struct err *e);

/* All, "default" among them, in the order of their names. */
int context_names(struct arena *a, struct strv *out, struct err *e);
bool context_exists(const char *name);
/* The content of meta.json, of "default" too. NOT_FOUND: context "x" does not exist. */
int context_load(const char *name, struct arena *a, json_t **out, struct err *e);
/* From the content and name: where its daemon is. */
int context_endpoint(const char *name, const json_t *meta, struct arena *a, struct context_endpoint *out, struct err *e);
/* The directories of a context: "meta", "tls". */
const char *context_dir(const char *kind, const char *name, struct arena *a);
/* The file's own name: "ca.pem". */
const char *context_file(unsigned which);
/* Makes or replaces a context. files: paths whose content becomes its own; NULL: it keeps those that it has. All or nothing. */
int context_save(const char *name, const json_t *meta, const char *const files[], struct arena *a, struct err *e);
int context_remove(const char *name, struct arena *a, struct err *e);
/* Writes currentContext; "default" takes it out. */
int context_use(const char *name, struct arena *a, struct err *e);
