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
#include "image/import.h"
#include "image/load.h"

#define REPORT 3

enum verb { VERB_IMPORT, VERB_LOAD, VERB_N };

static const char *const verbs[] = {[VERB_IMPORT] = "import", [VERB_LOAD] = "load"};
static_assert(ARRAY_LEN(verbs) == VERB_N, "verbs[] is missing a verb");

struct options {
	enum verb verb;
	const char *root, *job;
	const char *message, *platform, *tag, *have;
	struct strv changes;
};

static int usage(void)
{
	fputs("usage: pontoon-image import --root DIR --job NAME [--message M] [--change C]... [--platform "
	      "OS/ARCH[/VARIANT]] "
	      "[--repo-tag R[:T]]\n"
	      "       pontoon-image load --root DIR --job NAME [--have FILE]\n"
	      "The archive comes on standard input, JSON lines go to descriptor 3: see pontoon-image(8).\n",
		stderr);
	return -EINVAL;
}

static int parse(int argc, char **argv, struct options *o, struct arena *a)
{
	enum { ROOT = 1, JOB, MESSAGE, CHANGE, PLATFORM, TAG, HAVE };
	static const struct option table[] = {
		{"root", required_argument, NULL, ROOT},
		{"job", required_argument, NULL, JOB},
		{"message", required_argument, NULL, MESSAGE},
		{"change", required_argument, NULL, CHANGE},
		{"platform", required_argument, NULL, PLATFORM},
		{"repo-tag", required_argument, NULL, TAG},
		{"have", required_argument, NULL, HAVE},
		{NULL, 0, NULL, 0},
	};
	int c;

	for (o->verb = 0; argc > 1 && o->verb < VERB_N && !streq(argv[1], verbs[o->verb]); o->verb++)
		;
	if (argc < 2 || o->verb == VERB_N)
		return usage();
	argc--;
	argv++;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		bool import_only = c == MESSAGE || c == CHANGE || c == PLATFORM || c == TAG;
		if (c == '?' || (import_only && o->verb != VERB_IMPORT) || (c == HAVE && o->verb != VERB_LOAD))
			return usage();
		const char **text[] = {[ROOT] = &o->root,
			[JOB] = &o->job,
			[MESSAGE] = &o->message,
			[PLATFORM] = &o->platform,
			[TAG] = &o->tag,
			[HAVE] = &o->have};
		if (c == CHANGE) {
			if (strv_add(a, &o->changes, optarg) < 0)
				return usage();
		} else {
			*text[c] = optarg;
		}
	}
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

/* What came from the command line is read before the confinement, what came from the archive after it. */
static int run(const struct options *o, struct arena *a, struct err *e)
{
	OWN(own_buf) struct buf have_text = {};
	struct map have = {};
	struct utsname uts;
	struct import in = {};
	struct job job;
	const char *dir = NULL;

	if (uname(&uts) < 0)
		return err_errno(e, -errno, "uname");
	struct platform host = platform_of_machine(uts.machine);
	if (o->verb == VERB_IMPORT)
		try(prepare_import(o, &host, &in, a, e));
	if (o->have)
		try(read_have(o->have, &have_text, &have, e));
	try(make_job_dir(o, a, &dir, e));
	try(confine(dir, REPORT + 1, e));
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_errno(e, -errno, "open the job's directory");
	job_init(&job, STDIN_FILENO, REPORT, root);
	job.host = host;
	int r = o->verb == VERB_IMPORT ? import_run(&job, &in, e) : load_run(&job, &have, e);
	if (r < 0)
		job_clear(&job);
	map_free(&have);
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
	if (run(&o, &a, &e) < 0) {
		job_tell_error(REPORT, &e);
		return 1;
	}
	return 0;
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
