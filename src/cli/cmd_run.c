/* run, create, start, attach, exec: what works with streams. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/ref.h"
#include "cli/cmd.h"

/* Docker's rule for errors of a container's start. */
static int status_of_error(const struct err *e)
{
	if (strstr(e->msg, "executable file not found") || strstr(e->msg, "no such file or directory") || strstr(e->msg, "system cannot find the file specified"))
		return 127;
	if (strstr(e->msg, "permission denied") || strstr(e->msg, "is a directory"))
		return 126;
	return TAIL_RUN;
}

static const char *query(struct arena *a, const char *key, const char *value)
{
	OWN(own_buf) struct buf b = {0};
	if (str_empty(value))
		return "";
	buf_printf(&b, "%s=", key);
	http_escape(&b, value);
	return arena_dup(a, buf_str(&b));
}

static int check_words(const struct parsed *p, struct err *e)
{
	static const char *const streams[] = {"stdin", "stdout", "stderr"};
	const char *when = flag_get(p, "pull");
	const struct strv *at = flag_list(p, "attach");
	if (when && !streq(when, "always") && !streq(when, "missing") && !streq(when, "never"))
		return err_as(e, ERR_INVALID, "invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", when);
	for (size_t i = 0, k; i < at->n; i++) {
		for (k = 0; k < ARRAY_LEN(streams) && strcasecmp(streams[k], at->v[i]) != 0; k++)
			;
		if (k == ARRAY_LEN(streams))
			return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR", at->v[i]);
	}
	return 0;
}

/* asked: the daemon, or a registry, has been asked. */
static int create(const struct parsed *p, struct arena *a, const char **id, bool *asked, struct err *e)
{
	*asked = false;
	try(check_words(p, e));
	OWN(own_json) json_t *body = run_body(p, a, e), *answer = NULL;
	const char *cid = flag_get(p, "cidfile");
	size_t i;
	json_t *w;
	if (!body)
		return -EINVAL;
	if (cid && access(cid, F_OK) == 0)
		return err_set(e, -EEXIST, "container ID file found, make sure the other container isn't running or delete %s", cid);
	*asked = true;
	const char *path = arena_printf(a, "/containers/create?%s&%s", query(a, "name", flag_get(p, "name")), query(a, "platform", flag_get(p, "platform")));
	const char *when = flag_get(p, "pull");
	if (when && streq(when, "always"))
		try(pull_image(p->args.v[0], flag_get(p, "platform"), false, flag_on(p, "quiet"), stderr, a, e));
	int r = http_call("POST", path, body, &answer, e);
	if (r == -ENOENT && strstr(e->msg, "No such image") && !(when && streq(when, "never"))) {
		struct ref ref;
		char text[REF_TEXT];
		try(ref_parse_tagged(p->args.v[0], &ref, e));
		if (!flag_on(p, "quiet"))
			fprintf(stderr, "Unable to find image '%s' locally\n", ref_familiar(&ref, text));
		try(pull_image(p->args.v[0], flag_get(p, "platform"), false, flag_on(p, "quiet"), stderr, a, e));
		r = http_call("POST", path, body, &answer, e);
	}
	try(r);
	json_array_foreach(json_object_get(answer, "Warnings"), i, w)
		fprintf(stderr, "WARNING: %s\n", json_string_value(w));
	*id = arena_dup(a, json_string_value(json_object_get(answer, "Id")));
	if (cid && *id)
		try(write_file(cid, *id, strlen(*id), 0644, e));
	return *id ? 0 : err_set(e, -EPROTO, "the daemon told no container ID");
}

static int run_create(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	const char *id;
	bool asked;
	if (create(p, a, &id, &asked, &e) < 0)
		return fail(&e, asked ? 1 : TAIL_RUN);
	puts(id);
	return 0;
}

/* --- signals for the process --- */

struct proxy {
	const char *id;
	pthread_t thread;
	sigset_t set;
};

static void *proxy_main(void *arg)
{
	struct proxy *x = arg;
	for (;;) {
		int sig;
		char path[128];
		if (sigwait(&x->set, &sig) != 0)
			continue;
		snprintf(path, sizeof(path), "/containers/%.64s/kill?signal=%d", x->id, sig);
		(void)http_call("POST", path, NULL, NULL, NULL); /* a process that has ended needs no signal */
	}
	return NULL;
}

/* All signals that a process may want; those of the terminal reach it through the terminal. */
static void proxy_start(struct proxy *x, const char *id)
{
	static const int sigs[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGALRM};
	x->id = id;
	sigemptyset(&x->set);
	for (size_t i = 0; i < ARRAY_LEN(sigs); i++)
		sigaddset(&x->set, sigs[i]);
	pthread_sigmask(SIG_BLOCK, &x->set, NULL);
	(void)pthread_create(&x->thread, NULL, proxy_main, x); /* without it signals are not passed on, the run goes well */
}

static void resize_container(void *arg, int rows, int cols)
{
	char path[128];
	snprintf(path, sizeof(path), "/containers/%.64s/resize?h=%d&w=%d", (const char *)arg, rows, cols);
	(void)http_call("POST", path, NULL, NULL, NULL); /* a container that has ended has no terminal */
}

/* --- run and start -a --- */

struct session {
	struct arena *a;
	const char *id;
	bool tty, in, out, err, rm;
	const char *keys;
	struct http attach, wait;
	bool attached;
};

static int open_attach(struct session *s, struct err *e)
{
	const char *path = arena_printf(s->a, "/containers/%s/attach?stream=1&stdin=%d&stdout=%d&stderr=%d&%s", s->id, s->in, s->out, s->err, query(s->a, "detachKeys", s->keys));
	if (!path)
		return err_nomem(e);
	try(http_open(&s->attach, e));
	try(http_send(&s->attach, "POST", path, NULL, 0, NULL, true, e));
	s->attached = s->attach.status == 101;
	return s->attached ? 0 : s->attach.status >= 400 ? http_error(&s->attach, e) : err_set(e, -EPROTO, "unable to upgrade to tcp, received %d", s->attach.status);
}

/* Its head comes at once: from then on no exit is missed. */
static int open_wait(struct session *s, const char *condition, struct err *e)
{
	const char *path = arena_printf(s->a, "/containers/%s/wait?condition=%s", s->id, condition);
	try(http_open(&s->wait, e));
	try(http_send(&s->wait, "POST", path, NULL, 0, NULL, false, e));
	return s->wait.status >= 400 ? http_error(&s->wait, e) : 0;
}

static int exit_status(struct session *s, int *code, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	OWN(own_json) json_t *j = NULL;
	try(http_read_all(&s->wait, &b, e));
	try(json_parse(buf_str(&b), b.len, &j, e));
	*code = (int)json_integer_value(json_object_get(j, "StatusCode"));
	return 0;
}

static int session_run(struct session *s, struct err *e)
{
	int code = 0;
	try(open_attach(s, e));
	try(open_wait(s, s->rm ? "removed" : "next-exit", e));
	try(http_call("POST", arena_printf(s->a, "/containers/%s/start", s->id), NULL, NULL, e));
	struct streams st = {.h = &s->attach, .tty = s->tty, .stdin_on = s->in, .resize = resize_container, .arg = (void *)(uintptr_t)s->id};
	st.detach_keys = s->keys;
	int r = streams_run(&st, e);
	if (r != 0)
		return r < 0 ? r : 0; /* detached */
	try(exit_status(s, &code, e));
	return code;
}

static void session_close(struct session *s)
{
	http_close(&s->attach);
	http_close(&s->wait);
}

static int run_run(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct proxy proxy;
	const char *id;
	bool asked, detach = flag_on(p, "detach"), tty = flag_on(p, "tty"), in = flag_on(p, "interactive");
	if (tty && in && !detach && !isatty(STDIN_FILENO)) {
		fprintf(stderr, "the input device is not a TTY\n");
		return 1;
	}
	if (create(p, a, &id, &asked, &e) < 0)
		return fail(&e, TAIL_RUN);
	if (detach) {
		if (http_call("POST", arena_printf(a, "/containers/%s/start", id), NULL, NULL, &e) < 0)
			return fail(&e, status_of_error(&e));
		puts(id);
		return 0;
	}
	const struct strv *at = flag_list(p, "attach");
	struct session s = {.a = a, .id = id, .tty = tty, .in = in, .rm = flag_on(p, "rm"), .keys = flag_get(p, "detach-keys"), .attach = HTTP_NONE, .wait = HTTP_NONE};
	s.out = !at->n || strv_has(at, "stdout") || strv_has(at, "STDOUT");
	s.err = !at->n || strv_has(at, "stderr") || strv_has(at, "STDERR");
	if (!tty && (!flag_get(p, "sig-proxy") || flag_on(p, "sig-proxy")))
		proxy_start(&proxy, id);
	int r = session_run(&s, &e);
	session_close(&s);
	return r < 0 ? fail(&e, status_of_error(&e)) : r;
}

static const struct flag start_flags[] = {{"attach", 'a', NULL, "Attach STDOUT and STDERR and pass signals on"}, {"interactive", 'i', NULL, "Attach STDIN"},
	{"detach-keys", 0, "string", "Key sequence for detaching"}};

static int start_one(const char *name, const struct parsed *p, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	(void)p;
	return http_call("POST", path_of(&a, "containers", name, "start"), NULL, NULL, e);
}

static int inspect_tty(struct arena *a, const char *name, const char **id, bool *tty, bool *open_stdin, const char **state, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	try(http_call("GET", path_of(a, "containers", name, "json"), NULL, &j, e));
	const json_t *c = json_object_get(j, "Config");
	*tty = json_is_true(json_object_get(c, "Tty"));
	*open_stdin = json_is_true(json_object_get(c, "OpenStdin"));
	*state = arena_dup(a, json_string_value(json_object_get(json_object_get(j, "State"), "Status")));
	*id = arena_dup(a, json_string_value(json_object_get(j, "Id")));
	return *id && *state ? 0 : err_set(e, -EPROTO, "the daemon told no ID or no state");
}

static int run_start(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	bool open_stdin;
	const char *state;
	bool attach = flag_on(p, "attach") || flag_on(p, "interactive");
	if (!attach)
		return each_argument(p, start_one);
	if (p->args.n != 1) {
		fprintf(stderr, "you cannot start and attach multiple containers at once\n");
		return 1;
	}
	struct session s = {.a = a, .out = true, .err = true, .keys = flag_get(p, "detach-keys"), .attach = HTTP_NONE, .wait = HTTP_NONE};
	int r = inspect_tty(a, p->args.v[0], &s.id, &s.tty, &open_stdin, &state, &e);
	s.in = flag_on(p, "interactive") && open_stdin;
	if (r >= 0)
		r = session_run(&s, &e);
	session_close(&s);
	return r < 0 ? fail(&e, 1) : r;
}

static const struct flag attach_flags[] = {{"detach-keys", 0, "string", "Key sequence for detaching"}, {"no-stdin", 0, NULL, "Do not attach STDIN"}, {"sig-proxy", 0, NULL, "Pass signals on (default true)"}};

static int run_attach(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct proxy proxy;
	bool open_stdin = false;
	const char *state;
	int code = 0;
	struct session s = {.a = a, .out = true, .err = true, .keys = flag_get(p, "detach-keys"), .attach = HTTP_NONE, .wait = HTTP_NONE};
	int r = inspect_tty(a, p->args.v[0], &s.id, &s.tty, &open_stdin, &state, &e);
	if (r >= 0 && (streq(state, "paused") || streq(state, "restarting")))
		r = err_set(&e, -EINVAL, streq(state, "paused") ? "You cannot attach to a paused container, unpause it first" : "You cannot attach to a restarting container, wait until it is running");
	else if (r >= 0 && !streq(state, "running"))
		r = err_set(&e, -EINVAL, "You cannot attach to a stopped container, start it first");
	s.in = open_stdin && !flag_on(p, "no-stdin");
	if (r >= 0)
		r = open_wait(&s, "next-exit", &e);
	if (r >= 0)
		r = open_attach(&s, &e);
	if (r >= 0) {
		if (!s.tty && (!flag_get(p, "sig-proxy") || flag_on(p, "sig-proxy")))
			proxy_start(&proxy, s.id);
		struct streams st = {.h = &s.attach, .tty = s.tty, .stdin_on = s.in, .detach_keys = s.keys, .resize = resize_container, .arg = (void *)(uintptr_t)s.id};
		r = streams_run(&st, &e);
	}
	if (r == 0)
		r = exit_status(&s, &code, &e);
	session_close(&s);
	return r < 0 ? fail(&e, 1) : code;
}

/* --- exec --- */

static const struct flag exec_flags[] = {{"detach", 'd', NULL, "Run in the background"}, {"detach-keys", 0, "string", "Key sequence for detaching"}, {"env", 'e', "list", "Set environment variables"},
	{"env-file", 0, "list", "Read environment variables from a file"}, {"interactive", 'i', NULL, "Keep STDIN open"}, {"privileged", 0, NULL, "All capabilities"}, {"tty", 't', NULL, "Allocate a terminal"},
	{"user", 'u', "string", "User name or UID"}, {"workdir", 'w', "string", "Working directory"}};

static void resize_exec(void *arg, int rows, int cols)
{
	char path[128];
	snprintf(path, sizeof(path), "/exec/%.64s/resize?h=%d&w=%d", (const char *)arg, rows, cols);
	(void)http_call("POST", path, NULL, NULL, NULL); /* a process that has ended has no terminal */
}

static json_t *strings(const struct strv *l, size_t from)
{
	json_t *j = json_array();
	for (size_t i = from; i < l->n; i++)
		json_array_append_new(j, json_string(l->v[i]));
	return j;
}

static int exec_session(const struct parsed *p, const char *id, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	OWN(own_json) json_t *answer = NULL;
	OWN(arena_free) struct arena a = {0};
	bool detach = flag_on(p, "detach"), tty = flag_on(p, "tty");
	const char *path = arena_printf(&a, "/exec/%s/start", id), *body = arena_printf(&a, "{\"Detach\":%s,\"Tty\":%s}", detach ? "true" : "false", tty ? "true" : "false");
	if (a.bad)
		return err_nomem(e);
	try(http_open(&h, e));
	try(http_send(&h, "POST", path, body, strlen(body), "application/json", !detach, e));
	if (h.status >= 400)
		return http_error(&h, e);
	if (detach)
		return 0;
	if (h.status != 101)
		return err_set(e, -EPROTO, "unable to upgrade to tcp, received %d", h.status);
	struct streams st = {.h = &h, .tty = tty, .stdin_on = flag_on(p, "interactive"), .detach_keys = flag_get(p, "detach-keys"), .resize = resize_exec, .arg = (void *)(uintptr_t)id};
	int r = streams_run(&st, e);
	if (r != 0)
		return r < 0 ? r : 0; /* detached */
	try(http_call("GET", arena_printf(&a, "/exec/%s/json", id), NULL, &answer, e));
	return (int)json_integer_value(json_object_get(answer, "ExitCode"));
}

static int run_exec(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *answer = NULL;
	bool detach = flag_on(p, "detach"), tty = flag_on(p, "tty"), in = flag_on(p, "interactive");
	const char *user = flag_get(p, "user"), *dir = flag_get(p, "workdir"), *keys = flag_get(p, "detach-keys");
	if (tty && in && !detach && !isatty(STDIN_FILENO)) {
		fprintf(stderr, "the input device is not a TTY\n");
		return 1;
	}
	OWN(own_json) json_t *body = json_pack("{s:b, s:b, s:b, s:b, s:b, s:o, s:s, s:s, s:s}", "AttachStdin", in && !detach, "AttachStdout", !detach, "AttachStderr", !detach, "Tty", tty, "Privileged",
		flag_on(p, "privileged"), "Cmd", strings(&p->args, 1), "User", user ? user : "", "WorkingDir", dir ? dir : "", "DetachKeys", keys ? keys : "");
	int r = environment_body(body, p, a, &e);
	if (r >= 0)
		r = http_call("POST", path_of(a, "containers", p->args.v[0], "exec"), body, &answer, &e);
	if (r >= 0)
		r = exec_session(p, json_string_value(json_object_get(answer, "Id")), &e);
	return r < 0 ? fail(&e, e.msg[0] && status_of_error(&e) != TAIL_RUN ? status_of_error(&e) : 1) : r;
}

#define FLAGS(t) t, ARRAY_LEN(t)
const struct command commands_run[] = {
	{"run", "container", true, "IMAGE [COMMAND] [ARG...]", "Create and run a new container from an image", run_flags, RUN_FLAGS, true, 1, -1, run_run, NULL},
	{"create", "container", true, "IMAGE [COMMAND] [ARG...]", "Create a new container", run_flags + RUN_ONLY, RUN_FLAGS - RUN_ONLY, true, 1, -1, run_create, NULL},
	{"start", "container", true, "CONTAINER [CONTAINER...]", "Start stopped containers", FLAGS(start_flags), false, 1, -1, run_start, NULL},
	{"attach", "container", true, "CONTAINER", "Attach to a running container", FLAGS(attach_flags), false, 1, 1, run_attach, NULL},
	{"exec", "container", true, "CONTAINER COMMAND [ARG...]", "Run a command in a running container", FLAGS(exec_flags), true, 2, -1, run_exec, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
