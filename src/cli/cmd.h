/* cmd: what the commands share. A command returns its exit status; errors are printed by fail(). */
#pragma once

#include "base/json.h"
#include "cli/flags.h"
#include "cli/http.h"

#define TAIL_RUN 125 /* what run answers for errors that are not the container's, and every command for options that it cannot use */

struct command {
	const char *name;   /* "run" */
	const char *group;  /* "container", "image", "network", ...; NULL: top level only */
	bool top;           /* also at the top level */
	const char *usage;  /* "IMAGE [COMMAND] [ARG...]" */
	const char *help;
	const struct flag *flags;
	size_t nflags;
	bool stop_at_first;
	int min, max; /* arguments; max -1: any */
	int (*run)(const struct parsed *p, struct arena *a);
	const char *alias; /* other names in the group, with blanks between */
};

extern const struct command commands_container[], commands_run[], commands_image[], commands_network[], commands_system[], commands_df[], commands_registry[], commands_volume[], commands_stats[], commands_copy[], commands_context[];

/* "pontoon: text" on stderr; returns the status. */
int fail(const struct err *e, int status);
/* Runs each argument through fn; prints the argument when it went well. 1 if any failed. */
int each_argument(const struct parsed *p, int (*fn)(const char *name, const struct parsed *p, struct err *e));
/* "/containers/<escaped>/<tail>" */
const char *path_of(struct arena *a, const char *noun, const char *name, const char *tail);
/* A listing: rows are JSON objects of texts; columns "HEAD\0field". format NULL: the table; "json"; a template, with `table ` in front for a header. */
struct column {
	const char *head, *field;
};
int print_rows(json_t *const *rows, size_t n, const struct column *cols, size_t ncols, const char *format, struct err *e);
int print_template(const char *format, const json_t *v, struct err *e); /* with a newline after */
typedef int inspect_find(const char *name, const void *arg, struct arena *a, json_t **out, struct err *e);
/* Prints what is found, each by the template (format; NULL, "json": all as JSON); what is not there is told. The exit status. */
int inspect_all(const struct strv *names, const char *format, inspect_find *find_one, const void *arg, struct arena *a);
const char *arg_filters(struct arena *a, const struct strv *filters, struct err *e); /* of name=value, as flags_parse lets in; JSON, escaped for a query; NULL on error */
bool confirm(const char *warning); /* asks on the terminal; no answer is no */
const char *int_text(struct arena *a, int64_t v);

/* streams (stream.c) */
/* Copies between the terminal or pipes and a hijacked connection. stdin_on: input goes too. 1: the detach keys were typed (the daemon acts on them), 0: the stream ended. */
struct streams {
	struct http *h;
	bool tty, stdin_on;
	const char *detach_keys;
	void (*resize)(void *arg, int rows, int cols); /* called at once and when the window changes */
	void *arg;
};
int streams_run(const struct streams *s, struct err *e);
/* Splits 8-byte frames to stdout and stderr; a plain stream goes to stdout. */
int demux(struct http *h, bool multiplexed, struct err *e);
bool terminal_raw(void);  /* false when stdin is no terminal */
void terminal_restore(void);
bool terminal_size(int *rows, int *cols);

/* Gets an image; its progress goes to out. platform may be NULL. */
int pull_image(const char *image, const char *platform, bool all_tags, bool quiet, FILE *out, struct arena *a, struct err *e);

/* run_body.c: the body of POST /containers/create from the flags of run and create */
#define RUN_FLAGS 98
#define RUN_ONLY  3 /* the first ones: create has them not */
extern const struct flag run_flags[RUN_FLAGS];
/* "Env" from --env and --env-file of run, create and exec; a name without "=" takes the value of our own environment. */
int environment_body(json_t *config, const struct parsed *p, struct arena *a, struct err *e);
json_t *run_body(const struct parsed *p, struct arena *a, struct err *e);
/* limits_body.c: of an update */
json_t *update_body(const struct parsed *p, struct arena *a, struct err *e);
/* endpoint_body.c */
struct endpoint_args { /* NULL: not given */
	const char *ip4, *ip6, *mac, *gw_priority;
	const struct strv *aliases, *links, *link_local, *options;
};
int endpoint_body(json_t *ep, const struct endpoint_args *x, struct err *e);
/* NetworkMode and NetworkingConfig from --network in both its forms and the flags about the first network. */
int networks_body(const struct parsed *p, struct arena *a, const char **mode, json_t **out, struct err *e);
/* ports.c: -p and --expose. Adds to "PortBindings" and "ExposedPorts" with the error texts of Docker's clients. */
int ports_publish(const char *spec, json_t *exposed, json_t *bindings, struct err *e);
int ports_expose(const char *spec, json_t *exposed, struct err *e);
