#include "image/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"

#define SAY_EVERY_NS 100000000

void job_init(struct job *j, int in, int report, int dir)
{
	*j = (struct job){
		.in = in,
		.report = report,
		.dir = dir,
		.budget = {LIMIT_IMAGE_BYTES, LIMIT_IMAGE_ENTRIES, LIMIT_IMAGE_DIR_TEXT, LIMIT_IMAGE_FILE},
	};
}

/* One line, in one write. Takes the object. */
static int tell(int fd, json_t *line, struct err *e)
{
	OWN(own_json) json_t *j = line;
	OWN(own_free) char *text = j ? json_text(j) : NULL;
	OWN(own_buf) struct buf b = {};
	if (!text)
		return err_nomem(e);
	buf_puts(&b, text);
	buf_putc(&b, '\n');
	if (b.bad)
		return err_nomem(e);
	int r = write_all(fd, b.data, b.len);
	return r < 0 ? err_errno(e, r, "write to descriptor 3") : 0;
}

int job_line(struct job *j, const struct job_progress *p, int64_t current, struct err *e)
{
	json_t *detail = json_object();
	if (detail && current >= 0)
		json_object_set_new(detail, "current", json_integer(current));
	if (detail && current >= 0 && p->total)
		json_object_set_new(detail, "total", json_integer((json_int_t)p->total));
	json_t *line = json_pack("{ss}", "status", p->status);
	if (line)
		json_object_set_new(line, "progressDetail", detail);
	else
		json_decref(detail);
	if (line && *p->id)
		json_object_set_new(line, "id", json_string(p->id));
	return tell(j->report, line, e);
}

int job_say(struct job *j, const struct job_progress *p, uint64_t current, struct err *e)
{
	int64_t now = clock_mono_ns();
	if (j->said_ns && now - j->said_ns < SAY_EVERY_NS)
		return 0;
	j->said_ns = now;
	return job_line(j, p, (int64_t)current, e);
}

int job_note(struct job *j, struct err *e, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	str_make_utf8(text);
	return tell(j->report, json_pack("{ss}", "status", text), e);
}

static const struct json_field image_table[] = {
	{"id", J_STR, offsetof(struct job_image, id)},
	{"config", J_STR, offsetof(struct job_image, config)},
	{"tags", J_STRV, offsetof(struct job_image, tags)},
	{"digests", J_STRV, offsetof(struct job_image, digests)},
	{"diff_ids", J_STRV, offsetof(struct job_image, diff_ids)},
	J_END,
};

static const struct json_field layer_table[] = {
	{"diff_id", J_STR, offsetof(struct job_layer, diff_id)},
	{"dir", J_STR, offsetof(struct job_layer, dir)},
	{"size", J_I64, offsetof(struct job_layer, size)},
	J_END,
};

static const struct json_field pushed_table[] = {
	{"tag", J_STR, offsetof(struct job_pushed, tag)},
	{"digest", J_STR, offsetof(struct job_pushed, digest)},
	{"size", J_I64, offsetof(struct job_pushed, size)},
	J_END,
};

static const struct json_field blob_table[] = {
	{"dir", J_STR, offsetof(struct job_blob, dir)},
	{"file", J_STR, offsetof(struct job_blob, file)},
	J_END,
};

int job_aux(struct job *j, const struct job_pushed *p, struct err *e)
{
	return tell(j->report, json_pack("{s{sssssI}}", "aux", "Tag", p->tag, "Digest", p->digest, "Size", (json_int_t)p->size), e);
}

static const struct json_field result_table[] = {
	{"images", J_OBJV, offsetof(struct job_result, images), 0, image_table, sizeof(struct job_image)},
	{"layers", J_OBJV, offsetof(struct job_result, layers), 0, layer_table, sizeof(struct job_layer)},
	{"pushed", J_OBJV, offsetof(struct job_result, pushed), J_OMIT, pushed_table, sizeof(struct job_pushed)},
	{"blobs", J_OBJV, offsetof(struct job_result, blobs), J_OMIT, blob_table, sizeof(struct job_blob)},
	{"about", J_RAW, offsetof(struct job_result, about), J_OMIT},
	J_END,
};

int job_tell_json(struct job *j, json_t *result, struct err *e)
{
	return tell(j->report, result ? json_pack("{so}", "result", result) : NULL, e);
}

int job_tell_result(struct job *j, const struct job_result *r, struct err *e)
{
	/* The store will say that the layers exist: so they must, after a power loss too. One sync for all files is
	 * much cheaper than one each. */
	if ((r->layers.n || r->blobs.n) && syncfs(j->dir) < 0)
		return err_errno(e, -errno, "write the layers to disk");
	return tell(j->report, json_pack("{so}", "result", json_encode(result_table, r)), e);
}

/* The kinds of the contract; the others cannot come from an archive. */
static const char *kind_name(enum err_kind k)
{
	switch (k) {
	case ERR_INVALID:
		return "invalid";
	case ERR_NOT_FOUND:
		return "not_found";
	case ERR_CONFLICT:
		return "conflict";
	case ERR_TOO_LARGE:
		return "too_large";
	case ERR_UNAVAILABLE:
		return "unavailable";
	case ERR_UNAUTHORIZED:
		return "unauthorized";
	case ERR_INTERNAL:
	case ERR_FORBIDDEN:
	case ERR_NOT_MODIFIED:
	case ERR_NOT_IMPLEMENTED:
	case ERR_KIND_N:
		break;
	}
	return "internal";
}

/* Text that came from an archive may be cut in the middle of a character, which JSON does not take. */
static json_t *safe_string(const char *s)
{
	OWN(own_buf) struct buf b = {};
	json_t *j = json_string(s);
	if (j)
		return j;
	for (; *s; s++) {
		if (*s & 0x80)
			buf_printf(&b, "\\x%02x", (unsigned char)*s);
		else
			buf_putc(&b, *s);
	}
	return json_string(buf_str(&b));
}

int job_tell_error(int report, const struct err *why)
{
	return tell(report,
		json_pack("{s{ssso}}", "error", "kind", kind_name(why->kind), "message", safe_string(why->msg)), NULL);
}

int job_new_layer(struct job *j, char name[static JOB_DIR], int *diff, struct err *e)
{
	uint64_t r;
	char n[JOB_DIR];

	random_bytes(&r, sizeof(r));
	snprintf(n, sizeof(n), "%016llx", (unsigned long long)r);
	if (mkdirat(j->dir, n, 0710) < 0)
		return err_errno(e, -errno, "make the layer's directory %s", n);
	OWN(own_fd) int at = openat(j->dir, n, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (at < 0 || mkdirat(at, "diff", 0755) < 0)
		return err_errno(e, -errno, "make the layer's directory %s/diff", n);
	int fd = openat(at, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open the layer's directory %s/diff", n);
	memcpy(name, n, sizeof(n));
	*diff = fd;
	return 0;
}

int job_scratch(struct job *j, struct err *e)
{
	int fd = openat(j->dir, "scratch", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, -errno, "create a file");
	unlinkat(j->dir, "scratch", 0);
	return fd;
}

void job_clear(struct job *j)
{
	OWN(own_dir) DIR *d = NULL;
	int fd = openat(j->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *x;

	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	while ((x = readdir(d)))
		if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
			remove_tree_at(fd, x->d_name, NULL);
}
