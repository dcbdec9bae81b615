/* Commands about registries: pull, push, search, login, logout. */
#include <errno.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/ref.h"
#include "cli/cmd.h"
#include "cli/login.h"
#include "cli/progress.h"

#define FLAGS(t) t, ARRAY_LEN(t)
#define SECRET_MAX 65536

/* A request whose answer is progress. Errors of a registry for lack of credentials say what to do. */
static int transfer(const char *path, const char *image, struct progress *p, struct arena *a, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	const char *auth = NULL;
	try(login_header(image, a, &auth, e));
	try(http_open(&h, e));
	h.header = arena_printf(a, "X-Registry-Auth: %s", auth);
	if (!h.header)
		return err_nomem(e);
	try(http_send(&h, "POST", path, "", 0, NULL, false, e));
	return progress_show(p, &h, e);
}

int pull_image(const char *image, const char *platform, bool all_tags, bool quiet, FILE *out, struct arena *a, struct err *e)
{
	OWN(own_buf) struct buf q = {0};
	struct ref r;
	char repo[REF_TEXT];
	struct progress p;
	try(all_tags ? ref_parse(image, &r, e) : ref_parse_tagged(image, &r, e));
	if (all_tags && (*r.tag || *r.digest))
		return err_as(e, ERR_INVALID, "tag can't be used with --all-tags/-a");
	buf_puts(&q, "/images/create?fromImage=");
	http_escape(&q, ref_repo(&r, repo));
	if (!all_tags) {
		buf_puts(&q, "&tag=");
		http_escape(&q, *r.digest ? r.digest : r.tag);
	}
	if (!str_empty(platform)) {
		buf_puts(&q, "&platform=");
		http_escape(&q, platform);
	}
	if (q.bad)
		return err_nomem(e);
	progress_open(&p, out, quiet);
	int rc = transfer(buf_str(&q), image, &p, a, e);
	progress_close(&p);
	return rc;
}

static const struct flag pull_flags[] = {{"all-tags", 'a', NULL, "Pull every tag of the repository"}, {"disable-content-trust", 0, NULL, NULL}, {"platform", 0, "string", "Platform of the image, if there are several"}, {"quiet", 'q', NULL, "No progress"}};

static int run_pull(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct ref r;
	bool all = flag_on(p, "all-tags");
	if ((all ? ref_parse(p->args.v[0], &r, &e) : ref_parse_tagged(p->args.v[0], &r, &e)) < 0)
		return fail(&e, 1);
	bool named = ref_parse(p->args.v[0], &r, NULL) >= 0 && (*r.tag || *r.digest);
	if (!named && !all && !flag_on(p, "quiet"))
		puts("Using default tag: latest");
	if (pull_image(p->args.v[0], flag_get(p, "platform"), all, flag_on(p, "quiet"), stdout, a, &e) < 0)
		return fail(&e, 1);
	if (!all)
		(void)ref_parse_tagged(p->args.v[0], &r, NULL);
	printf("%s/%s%s%s\n", r.domain, r.path, all ? "" : *r.digest ? "@" : ":", all ? "" : *r.digest ? r.digest : r.tag);
	return 0;
}

static const struct flag push_flags[] = {{"all-tags", 'a', NULL, "Push every tag of the repository"}, {"disable-content-trust", 0, NULL, NULL}, {"quiet", 'q', NULL, "No progress"}};

static int run_push(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct ref r;
	char repo[REF_TEXT];
	OWN(own_buf) struct buf q = {0};
	struct progress shown;
	bool all = flag_on(p, "all-tags");
	if ((all ? ref_parse(p->args.v[0], &r, &e) : ref_parse_tagged(p->args.v[0], &r, &e)) < 0)
		return fail(&e, 1);
	if (all && (*r.tag || *r.digest)) {
		err_as(&e, ERR_INVALID, "tag can't be used with --all-tags/-a");
		return fail(&e, 1);
	}
	struct ref named;
	if (!all && !flag_on(p, "quiet") && ref_parse(p->args.v[0], &named, NULL) >= 0 && !*named.tag)
		puts("Using default tag: latest");
	ref_repo(&r, repo);
	buf_puts(&q, path_of(a, "images", repo, "push?tag="));
	if (!all)
		http_escape(&q, r.tag);
	progress_open(&shown, stdout, flag_on(p, "quiet"));
	int rc = transfer(buf_str(&q), p->args.v[0], &shown, a, &e);
	progress_close(&shown);
	if (rc < 0)
		return fail(&e, 1);
	if (flag_on(p, "quiet"))
		printf("%s/%s%s%s\n", r.domain, r.path, all ? "" : ":", all ? "" : r.tag);
	return 0;
}

/* --- search --- */

#define DESCRIPTION_WIDTH 45

static const struct flag search_flags[] = {{"filter", 'f', "filter", "Filter by conditions (is-official=true, stars=3)"}, {"format", 0, "string", "table, json or a template"}, {"limit", 0, "int", "At most so many (1 to 100, default 25)"},
	{"no-trunc", 0, NULL, "Descriptions as they are"}};
static const struct column search_columns[] = {{"NAME", "Name"}, {"DESCRIPTION", "Description"}, {"STARS", "StarCount"}, {"OFFICIAL", "IsOfficial"}, {"AUTOMATED", "IsAutomated"}};

/* In characters. */
static const char *shortened(const char *s, struct arena *a)
{
	size_t n = 0, cut = 0;
	for (const char *c = s; *c; c++) {
		if ((*c & 0xc0) == 0x80)
			continue;
		if (n++ == DESCRIPTION_WIDTH - 1)
			cut = (size_t)(c - s);
	}
	return n > DESCRIPTION_WIDTH ? arena_printf(a, "%.*s…", (int)cut, s) : s;
}

static const char *yes_or_no(const json_t *x, const char *key, bool words)
{
	bool yes = json_is_true(json_object_get(x, key));
	return words ? yes ? "true" : "false" : yes ? "[OK]" : "";
}

static json_t *search_row(const json_t *x, bool whole, bool words, struct arena *a)
{
	const char *name = json_string_value(json_object_get(x, "name")), *about = json_string_value(json_object_get(x, "description"));
	about = about ? about : "";
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "Description", whole ? about : shortened(about, a), "IsAutomated", yes_or_no(x, "is_automated", words), "IsOfficial", yes_or_no(x, "is_official", words),
		"Name", name ? name : "", "StarCount", int_text(a, json_integer_value(json_object_get(x, "star_count"))));
}

static int ask_search(const struct parsed *p, struct arena *a, json_t **out, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	OWN(own_buf) struct buf path = {0}, body = {0};
	char domain[LIMIT_REF + 1];
	const char *word, *auth, *limit = flag_get(p, "limit"), *filters = arg_filters(a, flag_list(p, "filter"), e);
	if (!filters)
		return -ENOMEM;
	try(ref_split_term(p->args.v[0], domain, &word, e));
	try(login_header_of(domain, a, &auth, e));
	buf_puts(&path, "/images/search?term=");
	http_escape(&path, p->args.v[0]);
	buf_printf(&path, "&filters=%s&limit=", filters);
	http_escape(&path, limit ? limit : "");
	try(http_open(&h, e));
	h.header = arena_printf(a, "X-Registry-Auth: %s", auth);
	if (!h.header || path.bad)
		return err_nomem(e);
	try(http_send(&h, "GET", buf_str(&path), NULL, 0, NULL, false, e));
	if (h.status != 200)
		return http_error(&h, e);
	try(http_read_all(&h, &body, e));
	return json_parse(buf_str(&body), body.len, out, e);
}

static int run_search(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *found = NULL, *rows = json_array();
	const char *format = flag_get(p, "format");
	if (ask_search(p, a, &found, &e) < 0)
		return fail(&e, 1);
	size_t n = json_array_size(found);
	json_t **v = arena_new(a, json_t *, n + 1);
	for (size_t i = 0; v && i < n; i++) {
		v[i] = search_row(json_array_get(found, i), flag_on(p, "no-trunc"), format && strstr(format, "json"), a);
		if (json_array_append_new(rows, v[i]) < 0)
			return 1;
	}
	if (!v)
		return 1;
	return print_rows(v, n, search_columns, ARRAY_LEN(search_columns) - (format ? 0 : 1), format, &e) < 0 ? fail(&e, 1) : 0;
}

/* --- login and logout --- */

/* A line from the terminal, without showing it. */
static int ask_secret(const char *prompt, char *out, size_t size, struct err *e)
{
	struct termios before, quiet;
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return err_set(e, -ENOTTY, "cannot perform an interactive login from a non TTY device: use --password-stdin");
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fputs(prompt, stderr);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	char *line = fgets(out, (int)size, stdin);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	if (!line)
		return err_set(e, -EIO, "no password was given");
	out[strcspn(out, "\r\n")] = '\0';
	return 0;
}

static int read_secret(const struct parsed *p, char *out, size_t size, struct err *e)
{
	const char *given = flag_get(p, "password");
	if (given) {
		fprintf(stderr, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
		return str_copy(out, size, given) ? 0 : err_as(e, ERR_INVALID, "the password is too long");
	}
	if (!flag_on(p, "password-stdin"))
		return ask_secret("Password: ", out, size, e);
	OWN(own_buf) struct buf b = {0};
	try(read_fd(STDIN_FILENO, size - 1, &b, e));
	memcpy(out, buf_str(&b), b.len);
	out[b.len] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	if (b.data)
		explicit_bzero(b.data, b.cap);
	return 0;
}

static const struct flag login_flags[] = {{"password", 'p', "string", "Password; others see it: better --password-stdin"}, {"password-stdin", 0, NULL, "Read the password from STDIN"}, {"username", 'u', "string", "User name"}};

static int login(const struct parsed *p, const char *server, struct arena *a, struct err *e)
{
	static char secret[SECRET_MAX];
	char name[512];
	OWN(own_json) json_t *answer = NULL;
	struct login l = {.username = flag_get(p, "username")};
	const char *key = login_key(server, a);
	if (flag_on(p, "password-stdin") && !l.username)
		return err_as(e, ERR_INVALID, "Must provide --username with --password-stdin");
	if (flag_on(p, "password-stdin") && flag_get(p, "password"))
		return err_as(e, ERR_INVALID, "--password and --password-stdin are mutually exclusive");
	if (!l.username) {
		if (!isatty(STDIN_FILENO))
			return err_set(e, -ENOTTY, "cannot perform an interactive login from a non TTY device: use --username and --password-stdin");
		fputs("Username: ", stderr);
		if (!fgets(name, sizeof(name), stdin))
			return err_set(e, -EIO, "no user name was given");
		name[strcspn(name, "\r\n")] = '\0';
		l.username = name;
	}
	try(read_secret(p, secret, sizeof(secret), e));
	l.password = secret;
	if (!*l.username || !*l.password)
		return err_as(e, ERR_INVALID, "user name and password must not be empty");
	OWN(own_json) json_t *body = json_pack("{s:s, s:s, s:s}", "username", l.username, "password", l.password, "serveraddress", key);
	int r = body ? http_call("POST", "/auth", body, &answer, e) : err_as(e, ERR_INVALID, "user name or password is not UTF-8");
	if (r >= 0) {
		const char *token = json_string_value(json_object_get(answer, "IdentityToken"));
		l.identity_token = str_empty(token) ? NULL : token;
		r = login_store(server, &l, e);
	}
	explicit_bzero(secret, sizeof(secret));
	if (r >= 0) {
		const char *status = json_string_value(json_object_get(answer, "Status"));
		puts(status ? status : "Login Succeeded");
	}
	return r;
}

static int run_login(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	return login(p, p->args.n ? p->args.v[0] : "docker.io", a, &e) < 0 ? fail(&e, 1) : 0;
}

static int run_logout(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	bool was_there = false;
	const char *server = p->args.n ? p->args.v[0] : "docker.io";
	if (login_forget(server, &was_there, &e) < 0)
		return fail(&e, 1);
	printf(was_there ? "Removing login credentials for %s\n" : "Not logged in to %s\n", login_key(server, a));
	return 0;
}

const struct command commands_registry[] = {
	{"pull", "image", true, "NAME[:TAG|@DIGEST]", "Get an image from a registry", FLAGS(pull_flags), false, 1, 1, run_pull, NULL},
	{"push", "image", true, "NAME[:TAG]", "Send an image to a registry", FLAGS(push_flags), false, 1, 1, run_push, NULL},
	{"search", NULL, true, "TERM", "Search Docker Hub or another registry for images", FLAGS(search_flags), false, 1, 1, run_search, NULL},
	{"login", NULL, true, "[SERVER]", "Log in to a registry", FLAGS(login_flags), false, 0, 1, run_login, NULL},
	{"logout", NULL, true, "[SERVER]", "Forget the credentials for a registry", NULL, 0, false, 0, 1, run_logout, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
