#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/platform.h"
#include "base/ref.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/progress.h"

#define FLAGS(t) t, ARRAY_LEN(t)

static const struct flag images_flags[] = {{"all", 'a', NULL, "Show all images"}, {"digests", 0, NULL, "Show digests"}, {"filter", 'f', "filter", "Filter by conditions"}, {"format", 0, "string", "table, json or a template"},
	{"no-trunc", 0, NULL, "Do not shorten"}, {"quiet", 'q', NULL, "Only IDs"}};
static const struct column digest_columns[] = {{"REPOSITORY", "Repository"}, {"TAG", "Tag"}, {"DIGEST", "Digest"}, {"IMAGE ID", "ID"}, {"CREATED", "CreatedSince"}, {"SIZE", "Size"}};
static const struct column image_columns[] = {{"REPOSITORY", "Repository"}, {"TAG", "Tag"}, {"IMAGE ID", "ID"}, {"CREATED", "CreatedSince"}, {"SIZE", "Size"}};

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* Of the repository of that name: "sha256:..." out of "name@sha256:..." */
static const char *digest_of(const json_t *img, const char *repo)
{
	size_t i, n = strlen(repo);
	json_t *one;
	json_array_foreach(json_object_get(img, "RepoDigests"), i, one)
	{
		const char *s = json_string_value(one);
		if (s && strncmp(s, repo, n) == 0 && s[n] == '@')
			return s + n + 1;
	}
	return "<none>";
}

static json_t *image_row(const json_t *img, const char *tag, bool trunc, struct arena *a)
{
	char when[TIME_TEXT];
	const char *colon = tag ? strrchr(tag, ':') : NULL, *id = text_of(img, "Id");
	int64_t created = json_integer_value(json_object_get(img, "Created"));
	time_format(created * 1000000000, when);
	when[10] = ' ';
	if (trunc && str_starts(id, "sha256:"))
		id = arena_printf(a, "%.12s", id + 7);
	const char *repo = colon ? arena_dupn(a, tag, (size_t)(colon - tag)) : "<none>";
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Repository", repo, "Tag", colon ? colon + 1 : "<none>", "ID", id, "CreatedSince",
		arena_printf(a, "%s ago", units_duration(clock_real_ns() / 1000000000 - created, a)), "CreatedAt", arena_printf(a, "%.19s +0000 UTC", when), "Size",
		units_size(json_integer_value(json_object_get(img, "Size")), a), "Digest", repo ? digest_of(img, repo) : "<none>", "Containers", "N/A", "SharedSize", "N/A", "UniqueSize",
		"N/A");
}

static int run_images(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *list = NULL, *rows = json_array();
	struct strv filters = strv_copy(a, flag_list(p, "filter"));
	size_t i, k;
	json_t *img, *tag;
	if (p->args.n)
		strv_add(a, &filters, arena_printf(a, "reference=%s", p->args.v[0]));
	const char *f = arg_filters(a, &filters, &e);
	if (!f || http_call("GET", arena_printf(a, "/images/json?all=%d&filters=%s", flag_on(p, "all"), f), NULL, &list, &e) < 0)
		return fail(&e, 1);
	bool trunc = !flag_on(p, "no-trunc");
	json_array_foreach(list, i, img)
	{
		const json_t *tags = json_object_get(img, "RepoTags");
		if (!json_array_size(tags))
			json_array_append_new(rows, image_row(img, NULL, trunc, a));
		json_array_foreach(tags, k, tag)
			json_array_append_new(rows, image_row(img, json_string_value(tag), trunc, a));
	}
	size_t n = json_array_size(rows);
	json_t **v = arena_new(a, json_t *, n + 1);
	for (i = 0; v && i < n; i++)
		v[i] = json_array_get(rows, i);
	if (!v)
		return 1;
	if (flag_on(p, "quiet"))
		return print_rows(v, n, image_columns, ARRAY_LEN(image_columns), "{{.ID}}", &e) < 0 ? fail(&e, 1) : 0;
	bool digests = flag_on(p, "digests");
	return print_rows(v, n, digests ? digest_columns : image_columns, digests ? ARRAY_LEN(digest_columns) : ARRAY_LEN(image_columns), flag_get(p, "format"), &e) < 0 ? fail(&e, 1) : 0;
}

static int upload(const char *path, int fd, bool quiet, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	try(http_open(&h, e));
	try(http_send_fd(&h, "POST", path, fd, "application/x-tar", e));
	struct progress p;
	progress_open(&p, stdout, quiet);
	int r = progress_show(&p, &h, e);
	progress_close(&p);
	return r;
}

static const struct flag import_flags[] = {{"change", 'c', "list", "Apply a Dockerfile instruction"}, {"message", 'm', "string", "Commit message"}, {"platform", 0, "string", "Platform of the image"}};

static int open_input(const char *name, int *fd, struct err *e)
{
	*fd = !name || streq(name, "-") ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? err_errno(e, -errno, "open %s", name ? name : "standard input") : 0;
}

static void add_query(struct buf *q, const char *key, const char *value)
{
	if (str_empty(value))
		return;
	buf_printf(q, "&%s=", key);
	http_escape(q, value);
}

/* As the API wants it, in JSON. */
static int add_platform(struct buf *q, const char *text, struct err *e)
{
	struct platform host = platform_here(), p;
	if (str_empty(text))
		return 0;
	try(platform_parse(text, &host, &p, e));
	OWN(own_json) json_t *j = json_pack("{s:s, s:s}", "os", p.os, "architecture", p.arch);
	if (*p.variant)
		json_object_set_new(j, "variant", json_string(p.variant));
	OWN(own_free) char *json = j ? json_text(j) : NULL;
	if (!json)
		return err_nomem(e);
	add_query(q, "platform", json);
	return 0;
}

static int run_import(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_fd) int fd = -1;
	OWN(own_buf) struct buf q = {0};
	const char *ref = p->args.n > 1 ? p->args.v[1] : NULL, *colon = ref ? strrchr(ref, ':') : NULL;
	const struct strv *changes = flag_list(p, "change");
	if (colon && strchr(colon, '/'))
		colon = NULL; /* the port of a registry */
	buf_puts(&q, "/images/create?fromSrc=-");
	add_query(&q, "repo", colon ? arena_dupn(a, ref, (size_t)(colon - ref)) : ref);
	add_query(&q, "tag", colon ? colon + 1 : NULL);
	add_query(&q, "message", flag_get(p, "message"));
	add_query(&q, "platform", flag_get(p, "platform"));
	for (size_t i = 0; i < changes->n; i++)
		add_query(&q, "changes", changes->v[i]);
	int r = open_input(p->args.v[0], &fd, &e);
	if (r >= 0)
		r = upload(buf_str(&q), fd, false, &e);
	return r < 0 ? fail(&e, 1) : 0;
}

static const struct flag load_flags[] = {{"input", 'i', "string", "Read from this file instead of STDIN"}, {"quiet", 'q', NULL, "No progress"}, {"platform", 0, "string", "Platform of the image, if there are several"}};

static int run_load(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_fd) int fd = -1;
	OWN(own_buf) struct buf q = {0};
	const char *input = flag_get(p, "input");
	(void)a;
	if (!input && isatty(STDIN_FILENO)) {
		fprintf(stderr, "requested load from stdin, but stdin is empty\n");
		return 1;
	}
	buf_printf(&q, "/images/load?quiet=%d", flag_on(p, "quiet"));
	int r = add_platform(&q, flag_get(p, "platform"), &e);
	if (r >= 0)
		r = open_input(input, &fd, &e);
	if (r >= 0)
		r = upload(buf_str(&q), fd, flag_on(p, "quiet"), &e);
	return r < 0 ? fail(&e, 1) : 0;
}

static const struct flag save_flags[] = {{"output", 'o', "string", "Write to this file instead of STDOUT"}, {"platform", 0, "string", "Platform that the images must have"}};

/* The archive goes to a file beside the one named and is renamed when it is whole. */
static int save_to(int fd, const char *path, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	char block[65536];
	ssize_t n;
	try(http_open(&h, e));
	try(http_send(&h, "GET", path, NULL, 0, NULL, false, e));
	if (h.status >= 400)
		return http_error(&h, e);
	while ((n = http_read(&h, block, sizeof(block), e)) > 0) {
		int r = write_all(fd, block, (size_t)n);
		if (r < 0)
			return err_errno(e, r, "write the archive");
	}
	return (int)n;
}

static int run_save(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_buf) struct buf q = {0};
	const char *out = flag_get(p, "output");
	if (!out && isatty(STDOUT_FILENO)) {
		fprintf(stderr, "cowardly refusing to save to a terminal. Use the -o flag or redirect\n");
		return 1;
	}
	buf_puts(&q, "/images/get?x=1");
	for (size_t i = 0; i < p->args.n; i++)
		add_query(&q, "names", p->args.v[i]);
	if (add_platform(&q, flag_get(p, "platform"), &e) < 0)
		return fail(&e, 1);
	if (!out)
		return save_to(STDOUT_FILENO, buf_str(&q), &e) < 0 ? fail(&e, 1) : 0;
	char *tmp = arena_printf(a, "%s.XXXXXX", out);
	OWN(own_fd) int fd = tmp ? mkostemp(tmp, O_CLOEXEC) : -1;
	if (fd < 0) {
		err_errno(&e, -errno, "create a file beside %s", out);
		return fail(&e, 1);
	}
	int r = save_to(fd, buf_str(&q), &e);
	if (r >= 0 && (fchmod(fd, 0600) < 0 || rename(tmp, out) < 0))
		r = err_errno(&e, -errno, "write %s", out);
	if (r < 0)
		unlink(tmp);
	return r < 0 ? fail(&e, 1) : 0;
}

static const struct flag commit_flags[] = {{"author", 'a', "string", "Author"}, {"change", 'c', "list", "Apply a Dockerfile instruction"}, {"message", 'm', "string", "Commit message"},
	{"pause", 'p', NULL, "Pause the container meanwhile (the default; --pause=false)"}};

static int run_commit(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_buf) struct buf q = {0};
	OWN(own_json) json_t *j = NULL;
	const char *ref = p->args.n > 1 ? p->args.v[1] : NULL, *slash = ref ? strrchr(ref, '/') : NULL, *colon = ref ? strrchr(slash ? slash : ref, ':') : NULL;
	const struct strv *changes = flag_list(p, "change");
	buf_puts(&q, "/commit?x=1");
	add_query(&q, "container", p->args.v[0]);
	add_query(&q, "repo", colon ? arena_dupn(a, ref, (size_t)(colon - ref)) : ref);
	add_query(&q, "tag", colon ? colon + 1 : NULL);
	add_query(&q, "author", flag_get(p, "author"));
	add_query(&q, "comment", flag_get(p, "message"));
	add_query(&q, "pause", flag_get(p, "pause"));
	for (size_t i = 0; i < changes->n; i++)
		add_query(&q, "changes", changes->v[i]);
	if (q.bad || http_call("POST", buf_str(&q), NULL, &j, &e) < 0)
		return fail(&e, 1);
	puts(json_string_value(json_object_get(j, "Id")) ? json_string_value(json_object_get(j, "Id")) : "");
	return 0;
}

static const struct flag prune_flags[] = {{"all", 'a', NULL, "Every image that no container has, not only those without a name"}, {"filter", 0, "filter", "Filter by conditions (until=24h)"},
	{"force", 'f', NULL, "Do not ask"}};

static int run_prune(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *j = NULL;
	size_t i;
	json_t *one;
	struct strv conditions = strv_copy(a, flag_list(p, "filter"));
	bool all = flag_on(p, "all");
	if (strv_add(a, &conditions, all ? "dangling=false" : "dangling=true") < 0)
		return 1;
	const char *filters = arg_filters(a, &conditions, &e);
	if (!filters)
		return fail(&e, 1);
	if (!flag_on(p, "force") && !confirm(all ? "WARNING! This will remove all images without at least one container associated to them."
						 : "WARNING! This will remove all dangling images."))
		return 0;
	if (http_call("POST", arena_printf(a, "/images/prune?filters=%s", filters), NULL, &j, &e) < 0)
		return fail(&e, 1);
	if (json_array_size(json_object_get(j, "ImagesDeleted")))
		puts("Deleted Images:");
	json_array_foreach(json_object_get(j, "ImagesDeleted"), i, one)
	{
		const char *untagged = json_string_value(json_object_get(one, "Untagged")), *gone = json_string_value(json_object_get(one, "Deleted"));
		printf("%s: %s\n", untagged ? "untagged" : "deleted", untagged ? untagged : gone ? gone : "");
	}
	printf("%sTotal reclaimed space: %s\n", i ? "\n" : "", units_size(json_integer_value(json_object_get(j, "SpaceReclaimed")), a));
	return 0;
}

static const struct flag rmi_flags[] = {{"force", 'f', NULL, "Remove although it is in use or has several names"}, {"no-prune", 0, NULL, "Keep untagged parents"}};

static int run_rmi(const struct parsed *p, struct arena *a)
{
	int status = 0;
	for (size_t i = 0; i < p->args.n; i++) {
		struct err e = {0};
		OWN(own_json) json_t *j = NULL;
		size_t k;
		json_t *row, *v;
		const char *key;
		if (http_call("DELETE", arena_printf(a, "%s?force=%d&noprune=%d", path_of(a, "images", p->args.v[i], NULL), flag_on(p, "force"), flag_on(p, "no-prune")), NULL, &j, &e) < 0) {
			status = fail(&e, 1);
			continue;
		}
		json_array_foreach(j, k, row)
		{
			json_object_foreach(row, key, v)
				printf("%s: %s\n", key, json_string_value(v));
		}
	}
	return status;
}

static int run_tag(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct ref ref;
	char repo[REF_TEXT];
	OWN(own_buf) struct buf q = {0};
	if (ref_parse_tagged(p->args.v[1], &ref, &e) < 0)
		return fail(&e, 1);
	buf_puts(&q, "tag?x");
	add_query(&q, "repo", ref_repo(&ref, repo));
	add_query(&q, "tag", ref.tag);
	return http_call("POST", path_of(a, "images", p->args.v[0], buf_str(&q)), NULL, NULL, &e) < 0 ? fail(&e, 1) : 0;
}

static const struct flag history_flags[] = {{"format", 0, "string", "table, json or a template"}, {"human", 'H', NULL, "Sizes and times for people (the default; --human=false)"}, {"no-trunc", 0, NULL, "Do not shorten"}, {"quiet", 'q', NULL, "Only IDs"}};
static const struct column history_raw[] = {{"IMAGE", "ID"}, {"CREATED AT", "CreatedAt"}, {"CREATED BY", "CreatedBy"}, {"SIZE", "Size"}, {"COMMENT", "Comment"}}; /* not for people */
static const struct column history_columns[] = {{"IMAGE", "ID"}, {"CREATED", "CreatedSince"}, {"CREATED BY", "CreatedBy"}, {"SIZE", "Size"}, {"COMMENT", "Comment"}};

static json_t *history_row(const json_t *h, bool trunc, bool human, struct arena *a)
{
	char when[TIME_TEXT];
	const char *id = text_of(h, "Id"), *by = text_of(h, "CreatedBy");
	int64_t created = json_integer_value(json_object_get(h, "Created")), size = json_integer_value(json_object_get(h, "Size"));
	time_format(created * 1000000000, when);
	if (trunc && str_starts(id, "sha256:"))
		id = arena_printf(a, "%.12s", id + 7);
	if (trunc && strlen(by) > 45)
		by = arena_printf(a, "%.44s…", by);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "ID", id, "CreatedAt", when, "CreatedSince", arena_printf(a, "%s ago", units_duration(clock_real_ns() / 1000000000 - created, a)),
		"CreatedBy", by, "Size", human ? units_size(size, a) : int_text(a, size), "Comment", text_of(h, "Comment"));
}

static int run_history(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *list = NULL, *rows = json_array();
	bool human = !flag_get(p, "human") || flag_on(p, "human");
	size_t i;
	json_t *h;
	if (http_call("GET", path_of(a, "images", p->args.v[0], "history"), NULL, &list, &e) < 0)
		return fail(&e, 1);
	json_t **v = arena_new(a, json_t *, json_array_size(list) + 1);
	if (!v)
		return 1;
	json_array_foreach(list, i, h)
	{
		v[i] = history_row(h, !flag_on(p, "no-trunc"), human, a);
		json_array_append_new(rows, v[i]);
	}
	return print_rows(v, json_array_size(list), human ? history_columns : history_raw, ARRAY_LEN(history_columns), flag_on(p, "quiet") ? "{{.ID}}" : flag_get(p, "format"), &e) < 0 ? fail(&e, 1) : 0;
}

const struct command commands_image[] = {
	{"images", NULL, true, "[REPOSITORY[:TAG]]", "List images", FLAGS(images_flags), false, 0, 1, run_images, NULL},
	{"ls", "image", false, "[REPOSITORY[:TAG]]", "List images", FLAGS(images_flags), false, 0, 1, run_images, "list"},
	{"import", "image", true, "file|- [REPOSITORY[:TAG]]", "Make an image of a tarball of a file system", FLAGS(import_flags), false, 1, 2, run_import, NULL},
	{"load", "image", true, "", "Load images from a saved archive", FLAGS(load_flags), false, 0, 0, run_load, NULL},
	{"save", "image", true, "IMAGE [IMAGE...]", "Write images to an archive", FLAGS(save_flags), false, 1, -1, run_save, NULL},
	{"commit", "container", true, "CONTAINER [REPOSITORY[:TAG]]", "Make an image of what a container has changed", FLAGS(commit_flags), false, 1, 2, run_commit, NULL},
	{"rmi", NULL, true, "IMAGE [IMAGE...]", "Remove images", FLAGS(rmi_flags), false, 1, -1, run_rmi, NULL},
	{"rm", "image", false, "IMAGE [IMAGE...]", "Remove images", FLAGS(rmi_flags), false, 1, -1, run_rmi, "remove rmi"},
	{"prune", "image", false, "", "Remove images that are not in use", FLAGS(prune_flags), false, 0, 0, run_prune, NULL},
	{"tag", "image", true, "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Give an image a further name", NULL, 0, false, 2, 2, run_tag, NULL},
	{"history", "image", true, "IMAGE", "Show how an image was made", FLAGS(history_flags), false, 1, 1, run_history, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
