#include "base/units.h"
#include "cli/progress.h"

#include <errno.h>

#include "cli/cmd.h"

#define BAR_MOST 50
#define BAR_LEAST 10

void progress_open(struct progress *p, FILE *out, bool quiet)
{
	int rows, columns;
	*p = (struct progress){.out = out, .quiet = quiet};
	if (isatty(fileno(out)) && terminal_size(&rows, &columns))
		p->columns = columns;
}

void progress_close(struct progress *p)
{
	arena_free(&p->mem);
}

const char *progress_bar(int64_t current, int64_t total, int columns, struct arena *a)
{
	char bar[BAR_MOST + 1];
	if (total <= 0 || current > total)
		return current > 0 ? units_size(current, a) : "";
	int width = columns - 60; /* what stands around it */
	width = width > BAR_MOST ? BAR_MOST : width < BAR_LEAST ? BAR_LEAST : width;
	int done = (int)((double)current / (double)total * width);
	for (int i = 0; i < width; i++)
		bar[i] = i < done ? '=' : i == done ? '>' : ' ';
	bar[width] = '\0';
	return arena_printf(a, "[%s]  %s/%s", bar, units_size(current, a), units_size(total, a));
}

/* The line of this id, counted from the bottom (1 is the lowest); a new one is begun. */
static size_t line_of(struct progress *p, const char *id)
{
	for (size_t i = 0; i < p->ids.n; i++)
		if (streq(p->ids.v[i], id))
			return p->ids.n - i;
	if (strv_add(&p->mem, &p->ids, id) < 0)
		return 1;
	fputc('\n', p->out);
	return 1;
}

static void on_terminal(struct progress *p, const char *id, const char *status, const char *bar)
{
	size_t up = line_of(p, id);
	fprintf(p->out, "\033[%zuA\033[2K\r%s: %s %s\r\033[%zuB", up, id, status, bar, up);
	fflush(p->out);
}

static void show(struct progress *p, const json_t *j)
{
	OWN(own_arena) struct arena a = {};
	const char *id = json_string_value(json_object_get(j, "id")), *status = json_string_value(json_object_get(j, "status")), *text = json_string_value(json_object_get(j, "stream"));
	const json_t *detail = json_object_get(j, "progressDetail"), *current = json_object_get(detail, "current");
	if (text)
		fputs(text, p->out);
	if (!status)
		return;
	if (id && *id && p->columns && json_is_object(detail)) {
		const char *bar = progress_bar(json_integer_value(current), json_integer_value(json_object_get(detail, "total")), p->columns, &a);
		on_terminal(p, id, status, bar ? bar : "");
		return;
	}
	if (current) /* a number on its way: only for terminals */
		return;
	if (id && *id)
		fprintf(p->out, "%s: ", id);
	fprintf(p->out, "%s\n", status);
}

int progress_line(struct progress *p, const char *text, size_t len, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	if (json_parse(text, len, &j, NULL) < 0)
		return 0;
	const char *bad = json_string_value(json_object_get(j, "error"));
	if (bad)
		return err_set(e, -EIO, "%s", bad);
	const json_t *aux = json_object_get(j, "aux");
	if (aux && p->aux)
		p->aux(p->arg, aux);
	if (!p->quiet)
		show(p, j);
	return 0;
}

int progress_show(struct progress *p, struct http *h, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	char block[16384];
	ssize_t n;
	if (h->status >= 400)
		return http_error(h, e);
	while ((n = http_read(h, block, sizeof(block), e)) > 0) {
		buf_put(&b, block, (size_t)n);
		for (char *nl; b.len && (nl = memchr(b.data, '\n', b.len));) {
			size_t len = (size_t)(nl - b.data);
			try(progress_line(p, b.data, len, e));
			buf_drop(&b, len + 1);
		}
		if (b.bad)
			return err_nomem(e);
	}
	return n < 0 ? (int)n : 0;
}
