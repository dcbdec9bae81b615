#include <errno.h>

#include "cli/cmd.h"
#include "cli/template.h"

int fail(const struct err *e, int status)
{
	fprintf(stderr, "%s\n", e->msg);
	return status;
}

int each_argument(const struct parsed *p, int (*fn)(const char *name, const struct parsed *p, struct err *e))
{
	int status = 0;
	for (size_t i = 0; i < p->args.n; i++) {
		struct err e = {0};
		if (fn(p->args.v[i], p, &e) < 0)
			status = fail(&e, 1);
		else
			puts(p->args.v[i]);
	}
	return status;
}

const char *path_of(struct arena *a, const char *noun, const char *name, const char *tail)
{
	OWN(own_buf) struct buf b = {0};
	buf_printf(&b, "/%s/", noun);
	http_escape(&b, name);
	if (tail)
		buf_printf(&b, "/%s", tail);
	const char *s = arena_dup(a, buf_str(&b));
	return s ? s : "/";
}

const char *int_text(struct arena *a, int64_t v)
{
	return arena_printf(a, "%lld", (long long)v);
}

const char *arg_filters(struct arena *a, const struct strv *filters, struct err *e)
{
	OWN(own_json) json_t *j = json_object();
	OWN(own_buf) struct buf b = {0};
	for (size_t i = 0; i < filters->n; i++) {
		size_t n = strcspn(filters->v[i], "=");
		const char *key = arena_dupn(a, filters->v[i], n);
		json_t *list = json_object_get(j, key ? key : "");
		if (!list) {
			list = json_array();
			json_object_set_new(j, key ? key : "", list);
		}
		json_array_append_new(list, json_string(filters->v[i] + n + 1));
	}
	OWN(own_free) char *text = json_text(j);
	if (!text) {
		err_nomem(e);
		return NULL;
	}
	http_escape(&b, text);
	return arena_dup(a, buf_str(&b));
}

int print_template(const char *format, const json_t *v, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	if (streq(format, "json"))
		format = "{{json .}}";
	try(template_run(format, v, &b, e));
	puts(buf_str(&b));
	return 0;
}

#define CELLS_MAX 16

#define CELL_LEAST 10
#define CELL_GAP   3

/* In characters, not bytes: a shortened command ends in one of three bytes. */
static size_t width_of(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

/* As wide as the widest cell and three blanks, but not below ten, as Docker's clients do it; the last column is as it is. */
static void print_aligned(const char *const *cells, size_t rows, size_t cols)
{
	size_t width[CELLS_MAX];
	for (size_t c = 0; c < cols; c++)
		width[c] = CELL_LEAST;
	for (size_t i = 0; i < rows * cols; i++) {
		size_t n = width_of(cells[i]) + CELL_GAP;
		if (n > width[i % cols])
			width[i % cols] = n;
	}
	for (size_t r = 0; r < rows; r++) {
		for (size_t c = 0; c < cols; c++)
			printf("%s%*s", cells[r * cols + c], c + 1 < cols ? (int)(width[c] - width_of(cells[r * cols + c])) : 0, "");
		putchar('\n');
	}
}

static const char *upper_of(const struct column *cols, size_t ncols, const char *field)
{
	for (size_t i = 0; i < ncols; i++)
		if (streq(cols[i].field, field))
			return cols[i].head;
	return NULL;
}

/* `table {{.A}}\t{{.B}}`: the header is the template run over the columns' heads, then all is aligned at the tabs. */
static int print_table_template(json_t *const *rows, size_t n, const struct column *cols, size_t ncols, const char *format, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_json) json_t *heads = json_object();
	const char **cells = arena_new(&a, const char *, (n + 1) * CELLS_MAX);
	size_t width = 0;
	for (size_t i = 0; i < ncols; i++)
		json_object_set_new(heads, cols[i].field, json_string(upper_of(cols, ncols, cols[i].field)));
	for (size_t r = 0; cells && r <= n; r++) {
		OWN(own_buf) struct buf b = {0};
		try(template_run(format, r ? rows[r - 1] : heads, &b, e));
		char *text = arena_dup(&a, buf_str(&b));
		size_t c = 0;
		for (char *cell; text && c < CELLS_MAX && (cell = strsep(&text, "\t"));) /* empty ones count */
			cells[r * CELLS_MAX + c++] = cell;
		if (c > width)
			width = c;
	}
	const char **packed = arena_new(&a, const char *, (n + 1) * (width + 1));
	if (!packed)
		return err_nomem(e);
	for (size_t r = 0; r <= n; r++)
		for (size_t c = 0; c < width; c++)
			packed[r * width + c] = cells[r * CELLS_MAX + c] ? cells[r * CELLS_MAX + c] : "";
	if (width)
		print_aligned(packed, n + 1, width);
	return 0;
}

int print_rows(json_t *const *rows, size_t n, const struct column *cols, size_t ncols, const char *format, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_buf) struct buf plain = {0};
	/* In a shell's quotes \t is two characters; Docker reads it as a tab. */
	for (const char *f = format; f && *f; f++) {
		bool tab = f[0] == '\\' && (f[1] == 't' || f[1] == 'n');
		buf_putc(&plain, (char)(tab ? f[1] == 't' ? '\t' : '\n' : *f));
		f += tab;
	}
	format = format ? buf_str(&plain) : NULL;
	if (format && str_starts(format, "table ") )
		return print_table_template(rows, n, cols, ncols, format + strlen("table "), e);
	if (format && !streq(format, "table")) {
		for (size_t i = 0; i < n; i++)
			try(print_template(format, rows[i], e));
		return 0;
	}
	const char **cells = arena_new(&a, const char *, (n + 1) * ncols);
	if (!cells)
		return err_nomem(e);
	for (size_t c = 0; c < ncols; c++)
		cells[c] = cols[c].head;
	for (size_t r = 0; r < n; r++)
		for (size_t c = 0; c < ncols; c++) {
			const char *v = json_string_value(json_object_get(rows[r], cols[c].field));
			cells[(r + 1) * ncols + c] = v ? v : "";
		}
	print_aligned(cells, n + 1, ncols);
	return 0;
}

bool confirm(const char *warning)
{
	char answer[16];
	printf("%s\nAre you sure you want to continue? [y/N] ", warning);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}
