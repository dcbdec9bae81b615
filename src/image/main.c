/* pontoon-image: see job.h for the contract, confine.h for what it is allowed to do. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/ref.h"
#include "image/confine.h"
#include "image/copy.h"
#include "image/import.h"
#include "image/load.h"
#include "image/insecure.h"
#include "image/pack.h"
#include "image/pull.h"
#include "image/view.h"

#define REPORT 3
#define SOURCE 4 /* of pack: the directory; of stat, take and put: the container's view */
#define SOCKET 5 /* toward the fetcher */

enum verb { VERB_IMPORT, VERB_LOAD, VERB_PACK, VERB_PULL, VERB_STAT, VERB_TAKE, VERB_PUT, VERB_N };
enum opt { OPT_ROOT = 1, OPT_JOB, OPT_MESSAGE, OPT_CHANGE, OPT_PLATFORM, OPT_TAG, OPT_HAVE, OPT_NAME, OPT_AS, OPT_CONTAINER, OPT_BIND, OPT_PATH, OPT_OWNER, OPT_KEEP_KINDS, OPT_READ_ONLY };
#define BIT(o) (1u << (o))

static const struct {
	const char *name;
	unsigned options; /* beside --root and --job */
	unsigned keep;    /* descriptors that stay open */
	unsigned needs;   /* of the confinement */
} verbs[] = {
	[VERB_IMPORT] = {"import", BIT(OPT_MESSAGE) | BIT(OPT_CHANGE) | BIT(OPT_PLATFORM) | BIT(OPT_TAG), REPORT + 1, CONFINE_UNPACK},
	[VERB_LOAD] = {"load", BIT(OPT_HAVE), REPORT + 1, CONFINE_UNPACK},
	[VERB_PACK] = {"pack", BIT(OPT_NAME) | BIT(OPT_AS), SOURCE + 1, CONFINE_PACK},
	[VERB_PULL] = {"pull", 0, SOCKET + 1, CONFINE_ERRANDS},
	[VERB_STAT] = {"stat", BIT(OPT_CONTAINER) | BIT(OPT_BIND) | BIT(OPT_PATH), SOURCE + 1, CONFINE_PACK},
	[VERB_TAKE] = {"take", BIT(OPT_CONTAINER) | BIT(OPT_BIND) | BIT(OPT_PATH), SOURCE + 1, CONFINE_PACK},
	[VERB_PUT] = {"put", BIT(OPT_CONTAINER) | BIT(OPT_BIND) | BIT(OPT_PATH) | BIT(OPT_OWNER) | BIT(OPT_KEEP_KINDS) | BIT(OPT_READ_ONLY), SOURCE + 1, CONFINE_PACK},
};
static_assert(ARRAY_LEN(verbs) == VERB_N, "verbs[] is missing a verb");

struct options {
	enum verb verb;
	const char *root, *job;
	const char *message, *platform, *tag, *have, *name, *as, *container, *path, *owner, *keep_kinds, *read_only;
	struct strv changes, binds;
};

static int usage(void)
{
	fputs("usage: pontoon-image import --root DIR --job NAME [--message M] [--change C]... [--platform "
	      "OS/ARCH[/VARIANT]] "
	      "[--repo-tag R[:T]]\n"
	      "       pontoon-image load --root DIR --job NAME [--have FILE]\n"
	      "       pontoon-image pack --root DIR --job NAME [--name NAME] [--as PATH]\n"
	      "       pontoon-image pull --root DIR --job NAME\n"
	      "       pontoon-image stat|take --root DIR --job NAME --container DIR [--bind SPEC]... --path PATH\n"
	      "       pontoon-image put --root DIR --job NAME --container DIR [--bind SPEC]... --path PATH [--owner UID:GID] [--keep-kinds yes] [--read-only yes]\n"
	      "The archive or request comes on standard input, JSON lines go to descriptor 3: see pontoon-image(8).\n",
		stderr);
	return -EINVAL;
}

static bool copies(enum verb v)
{
	return v == VERB_STAT || v == VERB_TAKE || v == VERB_PUT;
}

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

	for (o->verb = 0; argc > 1 && o->verb < VERB_N && !streq(argv[1], verbs[o->verb].name); o->verb++)
		;
	if (argc < 2 || o->verb == VERB_N)
		return usage();
	argc--;
	argv++;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == '?' || !((verbs[o->verb].options | BIT(OPT_ROOT) | BIT(OPT_JOB)) & BIT(c)))
			return usage();
		if (c == OPT_CHANGE || c == OPT_BIND) {
			if (strv_add(a, c == OPT_BIND ? &o->binds : &o->changes, optarg) < 0)
				return usage();
		} else {
			*text[c] = optarg;
		}
	}
	if (copies(o->verb) && (!o->container || !o->path))
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
	struct platform host;
	struct import import;
	struct buf have_text;
	struct map have;
	struct pull_request pull_request;
	struct pull pull;
};

/* Starts the fetcher; what it is told is wiped here. */
static int open_registry(const struct request_registry *q, const struct ref *ref, bool push, const struct strv *mounts, const char *dir, struct registry **out, struct err *e)
{
	static struct auth auth;
	struct fetcher_conf c = {.domain = ref->domain, .repo = ref->path, .push = push, .insecure = insecure_allows(&q->insecure, ref->domain), .stall = FETCHER_STALL, .auth = &auth};
	if (q->stall > 0 && q->stall < 86400)
		c.stall = (int)q->stall;
	if (mounts)
		c.mounts = *mounts;
	try(auth_decode(q->auth, &auth, e));
	int r = registry_open(&c, dir, SOCKET, out, e);
	auth_wipe(&auth);
	explicit_bzero((char *)(uintptr_t)q->auth, strlen(q->auth));
	return r;
}

static int prepare_pull(struct task *t, struct arena *a, const char *dir, struct err *e)
{
	struct pull_request *q = &t->pull_request;
	struct ref *r = &t->pull.ref;
	*q = (struct pull_request){.registry = {.reference = "", .auth = ""}, .platform = ""};
	try(request_read(STDIN_FILENO, pull_table, q, a, e));
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

/* What came from the command line and from the daemon is read before the confinement, what came from the archive after it. */
static int prepare(struct task *t, struct arena *a, const char *dir, struct err *e)
{
	struct utsname uts;
	if (uname(&uts) < 0)
		return err_errno(e, -errno, "uname");
	t->host = platform_of_machine(uts.machine);
	if (t->o->verb == VERB_IMPORT)
		try(prepare_import(t->o, &t->host, &t->import, a, e));
	if (t->o->verb == VERB_PULL)
		return prepare_pull(t, a, dir, e);
	if (t->o->verb == VERB_PACK) { /* the view takes the directory's place */
		int view = -1;
		try(tar_tree_view(SOURCE, &view, e));
		int r = dup3(view, SOURCE, O_CLOEXEC) < 0 ? err_errno(e, -errno, "dup") : 0;
		close(view);
		return r;
	}
	if (copies(t->o->verb)) {
		int view = -1;
		try(view_open(t->o->container, &t->o->binds, t->o->verb == VERB_PUT, &view, e));
		if (view == SOURCE)
			return 0;
		int r = dup3(view, SOURCE, O_CLOEXEC) < 0 ? err_errno(e, -errno, "dup") : 0;
		close(view);
		return r;
	}
	return t->o->have ? read_have(t->o->have, &t->have_text, &t->have, e) : 0;
}

static int put(const struct options *o, struct job *j, struct err *e)
{
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

static int act(struct task *t, struct job *j, struct err *e)
{
	const struct pack p = {.source = SOURCE, .out = STDOUT_FILENO, .name = t->o->name ? t->o->name : ".", .as = t->o->as ? t->o->as : ""};
	switch (t->o->verb) {
	case VERB_IMPORT:
		return import_run(j, &t->import, e);
	case VERB_LOAD:
		return load_run(j, &t->have, e);
	case VERB_PACK:
		return pack_run(j, &p, e);
	case VERB_PULL:
		return pull_run(j, &t->pull, e);
	case VERB_STAT:
		return copy_stat(j, SOURCE, t->o->path, e);
	case VERB_TAKE:
		return copy_take(j, SOURCE, t->o->path, STDOUT_FILENO, e);
	case VERB_PUT:
		return put(t->o, j, e);
	case VERB_N:
		break;
	}
	return err_set(e, -EINVAL, "unknown verb");
}

static int run(struct task *t, struct arena *a, struct err *e)
{
	struct job job;
	const char *dir = NULL;

	try(make_job_dir(t->o, a, &dir, e));
	try(prepare(t, a, dir, e));
	try(confine(dir, verbs[t->o->verb].keep, verbs[t->o->verb].needs, e));
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_errno(e, -errno, "open the job's directory");
	job_init(&job, STDIN_FILENO, REPORT, root);
	job.host = t->host;
	int r = act(t, &job, e);
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
	struct task t = {.o = &o};
	int r = run(&t, &a, &e);
	if (r < 0)
		job_tell_error(REPORT, &e);
	map_free(&t.have);
	buf_free(&t.have_text);
	return r < 0;
}

#if defined(__SANITIZE_ADDRESS__) || (defined(__clang__) && defined(__has_feature))
/* The leak check at exit starts a tracing process, which the confinement does not let it; leaks are looked for in the
 * unit tests. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif
