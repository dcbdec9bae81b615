/* top: the host's `ps`, of which only the lines of the container's own processes are kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/spawn.h"
#include "engine/engine_int.h"

static int words_of(struct arena *a, char *line, struct strv *out, size_t most)
{
	for (;;) {
		line += strspn(line, " \t");
		if (!*line)
			return 0;
		if (out->n + 1 == most) /* the last column is the rest: a command has blanks */
			return strv_add(a, out, line);
		size_t n = strcspn(line, " \t");
		char *w = arena_dupn(a, line, n);
		if (!w)
			return -ENOMEM;
		try(strv_add(a, out, w));
		line += n;
	}
}

static json_t *texts(const struct strv *l)
{
	json_t *j = json_array();
	for (size_t i = 0; j && i < l->n; i++) {
		json_t *s = json_string(l->v[i]);
		json_array_append_new(j, s ? s : json_string("?")); /* not UTF-8 */
	}
	return j;
}

static bool is_ours(const char *text, const pid_t *pids, size_t n)
{
	long pid = strtol(text, NULL, 10);
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static int filter(char *text, struct arena *a, const pid_t *pids, size_t npids, json_t **out, struct err *e)
{
	struct strv titles = {0};
	size_t column = 0;
	char *save = NULL, *line = strtok_r(text, "\n", &save);
	if (!line || words_of(a, line, &titles, SIZE_MAX) < 0)
		return err_set(e, -EPROTO, "ps printed nothing");
	while (column < titles.n && !streq(titles.v[column], "PID"))
		column++;
	if (column == titles.n)
		return err_set(e, -EINVAL, "Couldn't find PID field in ps output");
	json_t *rows = json_array();
	while ((line = strtok_r(NULL, "\n", &save))) {
		struct strv row = {0};
		if (words_of(a, line, &row, titles.n) < 0) {
			json_decref(rows);
			return err_nomem(e);
		}
		if (row.n > column && is_ours(row.v[column], pids, npids))
			json_array_append_new(rows, texts(&row));
	}
	*out = json_pack("{s:o, s:o}", "Titles", texts(&titles), "Processes", rows);
	return *out ? 0 : err_nomem(e);
}

int engine_top(struct engine *en, const struct container *c, const char *ps_args, json_t **out, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_buf) struct buf text = {0}, errs = {0};
	struct strv argv = {0};
	pid_t *pids;
	size_t n;
	int status;
	(void)en;
	char *args = arena_dup(&a, str_empty(ps_args) ? "-ef" : ps_args);
	if (!args || strv_add(&a, &argv, "ps") < 0 || words_of(&a, args, &argv, SIZE_MAX) < 0)
		return err_nomem(e);
	const char **v = arena_new(&a, const char *, argv.n + 1);
	if (!v)
		return err_nomem(e);
	memcpy(v, argv.v, argv.n * sizeof(*v));
	try(cgroup_pids(c->pid, &a, &pids, &n, e));
	struct spawn s = {.argv = v};
	struct spawn_io io = {.out = &text, .err = &errs, .timeout_ms = 10000};
	int r = spawn_run(&s, &io, &status, e);
	if (r == -ENOENT)
		return err_as(e, ERR_UNAVAILABLE, "top needs the host's `ps`: install the package procps");
	if (r < 0)
		return r;
	if (status != 0)
		return err_set(e, -EINVAL, "ps: exit status %d: %.512s", WEXITSTATUS(status), buf_str(&errs));
	if (!text.len)
		return err_set(e, -EPROTO, "ps printed nothing");
	return filter(text.data, &a, pids, n, out, e);
}
