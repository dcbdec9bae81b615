/* pontoon-image: see job.h for the contract, confine.h for what it is allowed to do. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/ref.h"
#include "base/sanitized.h"
#include "image/commit.h"
#include "image/confine.h"
#include "image/copy.h"
#include "image/import.h"
#include "image/load.h"
#include "image/insecure.h"
#include "image/pack.h"
#include "image/pull.h"
#include "image/push.h"
#include "image/save.h"
#include "image/search.h"
#include "image/view.h"

#define REPORT 3
#define SOURCE 4 /* the directory that is read; of stat, take and put: the container's view */
#define SOCKET 5 /* toward the fetcher */

enum opt { OPT_ROOT = 1, OPT_JOB, OPT_MESSAGE, OPT_CHANGE, OPT_PLATFORM, OPT_TAG, OPT_HAVE, OPT_NAME, OPT_AS, OPT_CONTAINER, OPT_BIND, OPT_PATH, OPT_OWNER, OPT_KEEP_KINDS, OPT_READ_ONLY };
#define BIT(o) (1u << (o))

struct task;

/* What is read before the confinement comes from the command line and the daemon; what is read after it, from archives and registries. */
struct verb {
	const char *name;
	unsigned options; /* beside --root and --job */
	unsigned keep;    /* descriptors that stay open */
	unsigned needs;   /* of the confinement */
	int (*prepare)(struct task *t, const char *dir, struct err *e); /* before the confinement; NULL */
	int (*act)(struct task *t, struct job *j, struct err *e);
};

struct options {
	const struct verb *verb;
	const char *root, *job;
	const char *message, *platform, *tag, *have, *name, *as, *container, *path, *owner, *keep_kinds, *read_only;
	struct strv changes, binds;
};

static int usage(void)
{
	fputs("usage: pontoon-image import --root DIR --job NAME [--message M] [--change C]... [--platform "
	      "OS/ARCH[/VARIANT]] "
	      "[--repo-tag R[:T]]\n"
	      "       pontoon-image load --root DIR --job NAME [--have FILE] [--platform OS/ARCH[/VARIANT]]\n"
	      "       pontoon-image pack --root DIR --job NAME [--name NAME] [--as PATH]\n"
	      "       pontoon-image stat|take --root DIR --job NAME --container DIR [--bind SPEC]... --path PATH\n"
	      "       pontoon-image put --root DIR --job NAME --container DIR [--bind SPEC]... --path PATH [--owner UID:GID] [--keep-kinds yes] [--read-only yes]\n"
	      "       pontoon-image pull|push|save|commit|inspect|auth|search --root DIR --job NAME\n"
	      "The archive or request comes on standard input, JSON lines go to descriptor 3: see pontoon-image(8).\n",
		stderr);
	return -EINVAL;
}

static const struct verb *find_verb(const char *name);

static int parse(int argc, char **argv, struct options *o, struct arena *a)
{
	static const struct option table[] = {
		{"root", required_argument, NULL, OPT_ROOT},
		{"job", required_argument, NULL, OPT_JOB},
		{"message", required_argument, NULL, OPT_MESSAGE},
		{"change", required_argument, NULL, OPT_CHANGE},
		{"platform", required_argument, NULL, OPT_PLATFORM},
		{"repo-tag", required_argument, NULL, OPT_TAG},
		{"have", required_argument, NULL, OPT_HAVE},
		{"name", required_argument, NULL, OPT_NAME},
		{"as", required_argument, NULL, OPT_AS},
		{"container", required_argument, NULL, OPT_CONTAINER},
		{"bind", required_argument, NULL, OPT_BIND},
		{"path", required_argument, NULL, OPT_PATH},
		{"owner", required_argument, NULL, OPT_OWNER},
		{"keep-kinds", required_argument, NULL, OPT_KEEP_KINDS},
		{"read-only", required_argument, NULL, OPT_READ_ONLY},
		{NULL, 0, NULL, 0},
	};
	const char **text[] = {[OPT_ROOT] = &o->root,
		[OPT_JOB] = &o->job,
		[OPT_MESSAGE] = &o->message,
		[OPT_PLATFORM] = &o->platform,
		[OPT_TAG] = &o->tag,
		[OPT_HAVE] = &o->have,
		[OPT_NAME] = &o->name,
		[OPT_AS] = &o->as,
		[OPT_CONTAINER] = &o->container,
		[OPT_PATH] = &o->path,
		[OPT_OWNER] = &o->owner,
		[OPT_KEEP_KINDS] = &o->keep_kinds,
		[OPT_READ_ONLY] = &o->read_only};
	int c;

	o->verb = argc > 1 ? find_verb(argv[1]) : NULL;
	if (!o->verb)
		return usage();
	argc--;
	argv++;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == '?' || !((o->verb->options | BIT(OPT_ROOT) | BIT(OPT_JOB)) & BIT(c)))
			return usage();
		if (c == OPT_CHANGE || c == OPT_BIND) {
			if (strv_add(a, c == OPT_BIND ? &o->binds : &o->changes, optarg) < 0)
				return usage();
		} else {
			*text[c] = optarg;
		}
	}
	if ((o->verb->options & BIT(OPT_PATH)) && (!o->container || !o->path))
		return usage();
	bool name_ok = !str_empty(o->job) && !strchr(o->job, '/') && o->job[0] != '.' && strlen(o->job) <= 64;
	return str_empty(o->root) || !name_ok || optind != argc ? usage() : 0;
}

/* The file's lines as a set; they point into *text. */
static int read_have(const char *path, struct buf *text, struct map *out, struct err *e)
{
	char *save = NULL;
	try(read_file(path, LIMIT_IMAGE_HAVE, text, e));
	for (char *s = text->data ? strtok_r(text->data, "\n", &save) : NULL; s; s = strtok_r(NULL, "\n", &save)) {
		if (!ref_is_sha256(s))
			return err_as(e, ERR_INVALID, "%s: \"%.100s\" is not a diff id", path, s);
		if (map_puts(out, s, s) < 0)
			return err_nomem(e);
	}
	return 0;
}

static int prepare_import(
	const struct options *o, const struct platform *host, struct import *in, struct arena *a, struct err *e)
{
	*in = (struct import){.message = o->message ? o->message : "", .platform = *host};
	change_config_init(&in->config);
	if (!str_empty(o->platform))
		try(platform_parse(o->platform, host, &in->platform, e));
	if (!str_empty(o->tag)) {
		char *tag = arena_alloc(a, REF_TEXT, 1);
		if (!tag)
			return err_nomem(e);
		try(ref_normalise(o->tag, tag, e));
		in->tag = tag;
	}
	for (size_t i = 0; i < o->changes.n; i++)
		try(change_apply(&in->config, o->changes.v[i], a, e));
	return 0;
}

static int make_job_dir(const struct options *o, struct arena *a, const char **out, struct err *e)
{
	const char *dir = arena_printf(a, "%s/tmp/%s", o->root, o->job);
	if (!dir)
		return err_nomem(e);
	try(mkdir_p(dir, 0700, e));
	*out = dir;
	return 0;
}

struct task {
	const struct options *o;
	struct arena *arena;
	struct platform host;
	struct import import;
	struct buf have_text;
	struct map have;
	struct pull_request pull_request;
	struct push_request push_request;
	struct save_request save_request;
	struct search_request search_request;
	struct commit_request commit_request;
	struct pull pull;
	struct push push;
	struct search search;
};

static int prepare_import_task(struct task *t, const char *dir UNUSED, struct err *e)
{
	return prepare_import(t->o, &t->host, &t->import, t->arena, e);
}

/* Of an archive for several platforms the one that is asked for, and not this machine's. */
static int prepare_load(struct task *t, const char *dir UNUSED, struct err *e)
{
	if (!str_empty(t->o->platform))
		try(platform_parse(t->o->platform, &t->host, &t->host, e));
	return t->o->have ? read_have(t->o->have, &t->have_text, &t->have, e) : 0;
}

/* The view takes the directory's place. */
static int prepare_view(struct task *t UNUSED, const char *dir UNUSED, struct err *e)
{
	int view = -1;
	try(tar_tree_view(SOURCE, &view, e));
	int r = dup3(view, SOURCE, O_CLOEXEC) < 0 ? err_errno(e, -errno, "dup") : 0;
	close(view);
	return r;
}

/* A mirror is named by an address and gets no credentials: they are those of the origin. */
static int use_mirror(const char *mirror, struct fetcher_conf *c, char domain[static LIMIT_REF + 1], struct err *e)
{
	const char *host = strstr(mirror, "://");
	if (!host || snprintf(domain, LIMIT_REF + 1, "%.*s", (int)strcspn(host + 3, "/"), host + 3) > LIMIT_REF)
		return err_as(e, ERR_INVALID, "invalid mirror: %.200s", mirror);
	c->domain = domain;
	c->base = mirror;
	c->plain = str_starts(mirror, "http://");
	return 0;
}

/* Starts the fetcher; what it is told is wiped here. */
static int open_registry(
	const struct request_registry *q, const struct ref *ref, bool push, const struct strv *mounts, const char *dir, struct registry **out, struct err *e)
{
	static struct auth auth;
	char domain[LIMIT_REF + 1], base[LIMIT_REF + 16];
	struct fetcher_conf c = {.domain = ref->domain, .base = base, .repo = ref->path, .push = push, .attempts = FETCHER_ATTEMPTS, .stall = FETCHER_STALL, .auth = &auth};
	snprintf(base, sizeof(base), "https://%s", streq(ref->domain, "docker.io") ? "registry-1.docker.io" : ref->domain);
	if (!str_empty(q->mirror))
		try(use_mirror(q->mirror, &c, domain, e));
	c.insecure = insecure_allows(&q->insecure, c.domain);
	if (q->attempts > 0 && q->attempts <= LIMIT_ATTEMPTS)
		c.attempts = (int)q->attempts;
	if (q->stall > 0 && q->stall < 86400)
		c.stall = (int)q->stall;
	if (mounts)
		c.mounts = *mounts;
	if (str_empty(q->mirror))
		try(auth_decode(q->auth, &auth, e));
	int r = registry_open(&c, dir, SOCKET, out, e);
	auth_wipe(&auth);
	explicit_bzero((char *)(uintptr_t)q->auth, strlen(q->auth));
	return r;
}

static int prepare_pull(struct task *t, const char *dir, struct err *e)
{
	struct pull_request *q = &t->pull_request;
	struct ref *r = &t->pull.ref;
	*q = (struct pull_request){.registry = {.reference = "", .auth = ""}, .platform = ""};
	try(request_read(STDIN_FILENO, pull_table, q, t->arena, e));
	try(q->all_tags ? ref_parse(q->registry.reference, r, e) : ref_parse_tagged(q->registry.reference, r, e));
	if (*r->digest && !ref_is_sha256(r->digest))
		return err_as(e, ERR_INVALID, "unsupported digest algorithm: %.100s", r->digest);
	t->pull.request = q;
	t->pull.platform = t->host;
	t->pull.platform_given = *q->platform;
	if (*q->platform)
		try(platform_parse(q->platform, &t->host, &t->pull.platform, e));
	return open_registry(&q->registry, r, false, NULL, dir, &t->pull.registry, e);
}

/* The reference is only a server's: no repository is asked for. */
static int prepare_auth(struct task *t, const char *dir, struct err *e)
{
	struct pull_request *q = &t->pull_request;
	*q = (struct pull_request){.registry = {.reference = "", .auth = ""}, .platform = ""};
	try(request_read(STDIN_FILENO, pull_table, q, t->arena, e));
	try(ref_parse(q->registry.reference, &t->pull.ref, e));
	*t->pull.ref.path = '\0';
	t->pull.request = q;
	return open_registry(&q->registry, &t->pull.ref, false, NULL, dir, &t->pull.registry, e);
}

static int prepare_search(struct task *t, const char *dir, struct err *e)
{
	struct search_request *q = &t->search_request;
	struct ref *r = &t->search.ref;
	*q = (struct search_request){.registry = {.reference = "", .auth = ""}, .term = ""};
	try(request_read(STDIN_FILENO, search_table, q, t->arena, e));
	try(ref_parse(q->registry.reference, r, e));
	*r->path = '\0';
	if (streq(r->domain, "docker.io"))
		STR_COPY(r->domain, "index.docker.io"); /* where its search is */
	if (q->limit < 1 || q->limit > LIMIT_SEARCH)
		return err_as(e, ERR_INVALID, "limit %lld is outside the range of [1, %d]", (long long)q->limit, LIMIT_SEARCH);
	t->search.request = q;
	return open_registry(&q->registry, r, false, NULL, dir, &t->search.registry, e);
}

/* Tokens must let in to where layers are mounted from. */
static int mounts_of(const struct push_request *q, struct arena *a, struct strv *out, struct err *e)
{
	const struct stored_image *im = q->images.v;
	for (size_t i = 0; i < q->images.n; i++)
		for (size_t k = 0; k < im[i].layers.n; k++) {
			const char *from = ((const struct stored_layer *)im[i].layers.v)[k].from;
			if (!str_empty(from) && !strv_has(out, from) && strv_add(a, out, from) < 0)
				return err_nomem(e);
		}
	return 0;
}

static int prepare_push(struct task *t, const char *dir, struct err *e)
{
	struct push_request *q = &t->push_request;
	struct strv mounts = {};
	*q = (struct push_request){.registry = {.reference = "", .auth = ""}};
	try(request_read(STDIN_FILENO, push_table, q, t->arena, e));
	try(ref_parse(q->registry.reference, &t->push.ref, e));
	try(mounts_of(q, t->arena, &mounts, e));
	try(prepare_view(t, dir, e));
	t->push.request = q;
	t->push.layers = SOURCE;
	return open_registry(&q->registry, &t->push.ref, true, &mounts, dir, &t->push.registry, e);
}

static int prepare_save(struct task *t, const char *dir, struct err *e)
{
	try(request_read(STDIN_FILENO, save_table, &t->save_request, t->arena, e));
	return prepare_view(t, dir, e);
}

static int prepare_copy(struct task *t, const char *dir UNUSED, struct err *e)
{
	int view = -1;
	try(view_open(t->o->container, &t->o->binds, t->o->verb->options & BIT(OPT_OWNER), &view, e));
	if (view == SOURCE)
		return 0;
	int r = dup3(view, SOURCE, O_CLOEXEC) < 0 ? err_errno(e, -errno, "dup") : 0;
	close(view);
	return r;
}

static int prepare_commit(struct task *t, const char *dir, struct err *e)
{
	struct commit_request *q = &t->commit_request;
	*q = (struct commit_request){.parent = "", .container = "", .config = "{}", .author = "", .message = "", .tag = ""};
	try(request_read(STDIN_FILENO, commit_table, q, t->arena, e));
	return prepare_view(t, dir, e);
}

static int act_import(struct task *t, struct job *j, struct err *e)
{
	return import_run(j, &t->import, e);
}
static int act_load(struct task *t, struct job *j, struct err *e)
{
	return load_run(j, &t->have, str_empty(t->o->platform) ? NULL : &t->host, e);
}
static int act_pack(struct task *t, struct job *j, struct err *e)
{
	const struct pack p = {.source = SOURCE, .out = STDOUT_FILENO, .name = t->o->name ? t->o->name : ".", .as = t->o->as ? t->o->as : ""};
	return pack_run(j, &p, e);
}
static int act_stat(struct task *t, struct job *j, struct err *e)
{
	return copy_stat(j, SOURCE, t->o->path, e);
}
static int act_take(struct task *t, struct job *j, struct err *e)
{
	return copy_take(j, SOURCE, t->o->path, STDOUT_FILENO, e);
}
static int act_put(struct task *t, struct job *j, struct err *e)
{
	const struct options *o = t->o;
	unsigned uid, gid;
	struct copy_in in = {.path = o->path, .read_only = o->read_only != NULL, .place = {.keep_kinds = o->keep_kinds != NULL}};
	if (o->owner) {
		if (sscanf(o->owner, "%u:%u", &uid, &gid) != 2)
			return err_as(e, ERR_INVALID, "\"%.64s\" is not UID:GID", o->owner);
		in.place.own = true;
		in.place.uid = uid;
		in.place.gid = gid;
	}
	return copy_put(j, SOURCE, &in, e);
}
static int act_pull(struct task *t, struct job *j, struct err *e)
{
	return pull_run(j, &t->pull, e);
}
static int act_push(struct task *t, struct job *j, struct err *e)
{
	return push_run(j, &t->push, e);
}
static int act_save(struct task *t, struct job *j, struct err *e)
{
	return save_run(j, &t->save_request, SOURCE, STDOUT_FILENO, e);
}
static int act_commit(struct task *t, struct job *j, struct err *e)
{
	return commit_run(j, &t->commit_request, SOURCE, e);
}
static int act_inspect(struct task *t, struct job *j, struct err *e)
{
	return pull_describe(j, &t->pull, e);
}
static int act_auth(struct task *t, struct job *j, struct err *e)
{
	return pull_login(j, &t->pull, e);
}
static int act_search(struct task *t, struct job *j, struct err *e)
{
	return search_run(j, &t->search, e);
}

static const struct verb verbs[] = {
	{"import", BIT(OPT_MESSAGE) | BIT(OPT_CHANGE) | BIT(OPT_PLATFORM) | BIT(OPT_TAG), REPORT + 1, CONFINE_UNPACK, prepare_import_task, act_import},
	{"load", BIT(OPT_HAVE) | BIT(OPT_PLATFORM), REPORT + 1, CONFINE_UNPACK, prepare_load, act_load},
	{"pack", BIT(OPT_NAME) | BIT(OPT_AS), SOURCE + 1, CONFINE_PACK, prepare_view, act_pack},
	{"stat", BIT(OPT_CONTAINER) | BIT(OPT_BIND) | BIT(OPT_PATH), SOURCE + 1, CONFINE_PACK, prepare_copy, act_stat},
	{"take", BIT(OPT_CONTAINER) | BIT(OPT_BIND) | BIT(OPT_PATH), SOURCE + 1, CONFINE_PACK, prepare_copy, act_take},
	{"put", BIT(OPT_CONTAINER) | BIT(OPT_BIND) | BIT(OPT_PATH) | BIT(OPT_OWNER) | BIT(OPT_KEEP_KINDS) | BIT(OPT_READ_ONLY), SOURCE + 1, CONFINE_PACK, prepare_copy, act_put},
	{"pull", 0, SOCKET + 1, CONFINE_ERRANDS | CONFINE_WORKERS, prepare_pull, act_pull},
	{"push", 0, SOCKET + 1, CONFINE_ERRANDS, prepare_push, act_push},
	{"save", 0, SOURCE + 1, CONFINE_UNPACK, prepare_save, act_save},
	{"commit", 0, SOURCE + 1, CONFINE_PACK, prepare_commit, act_commit},
	{"inspect", 0, SOCKET + 1, CONFINE_ERRANDS, prepare_pull, act_inspect},
	{"auth", 0, SOCKET + 1, CONFINE_ERRANDS, prepare_auth, act_auth},
	{"search", 0, SOCKET + 1, CONFINE_ERRANDS, prepare_search, act_search},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (streq(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int run(struct task *t, struct err *e)
{
	const struct verb *v = t->o->verb;
	struct job job;
	const char *dir = NULL;

	t->host = platform_here();
	try(make_job_dir(t->o, t->arena, &dir, e));
	if (v->prepare)
		try(v->prepare(t, dir, e));
	try(confine(dir, v->keep, v->needs, e));
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_errno(e, -errno, "open the job's directory");
	job_init(&job, STDIN_FILENO, REPORT, root);
	job.host = t->host;
	int r = v->act(t, &job, e);
	if (r < 0)
		job_clear(&job);
	close(root);
	return r;
}

int main(int argc, char **argv)
{
	struct options o = {};
	OWN(own_arena) struct arena a = {};
	struct err e = {};

	signal(SIGPIPE, SIG_IGN);
	/* libarchive converts names to the locale's character set; in this one bytes stay what they are */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (parse(argc, argv, &o, &a) < 0)
		return 2;
	if (fcntl(REPORT, F_GETFD) < 0) {
		fprintf(stderr, "pontoon-image: descriptor %d is not open: it tells the result\n", REPORT);
		return 2;
	}
	struct task t = {.o = &o, .arena = &a};
	int r = run(&t, &e);
	if (r < 0)
		job_tell_error(REPORT, &e);
	map_free(&t.have);
	buf_free(&t.have_text);
	return r < 0;
}

#if SANITIZED
/* The leak check at exit starts a tracing process, which the confinement does not let it; leaks are looked for in the
 * unit tests. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif
