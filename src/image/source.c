/* Theory of operation
 *
 * gzip is read with zlib itself, because libarchive does not check the length and CRC at its end: a flipped bit in an
 * imported file would go unnoticed. The others are read with libarchive's filters under its "raw" format, each one
 * enabled alone, by the magic number seen here: a layer cannot choose a decoder that images do not use.
 *
 * Proven by tests/image/test_program.py: every format, whole, cut, with a flipped bit.
 */
#include "image/source.h"

#include <archive.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#define CHUNK (256u << 10)
#define MAGIC 6

enum format { FORMAT_NONE, FORMAT_GZIP, FORMAT_BZIP2, FORMAT_XZ, FORMAT_ZSTD, FORMAT_N };

static const struct {
	const char *name;
	const char *magic;
	size_t len;
	int (*enable)(struct archive *a); /* NULL: not libarchive's */
} formats[] = {
	[FORMAT_NONE] = {"none", "", 0, NULL},
	[FORMAT_GZIP] = {"gzip", "\x1f\x8b", 2, NULL},
	[FORMAT_BZIP2] = {"bzip2", "BZh", 3, archive_read_support_filter_bzip2},
	[FORMAT_XZ] = {"xz", "\xfd\x37zXZ\0", 6, archive_read_support_filter_xz},
	[FORMAT_ZSTD] = {"zstd", "\x28\xb5\x2f\xfd", 4, archive_read_support_filter_zstd},
};
static_assert(ARRAY_LEN(formats) == FORMAT_N, "formats[] is missing a format");

struct source {
	int fd;
	enum format format;
	uint64_t *budget;
	uint64_t consumed;
	int read_error; /* of the descriptor: not the data's fault */
	bool eof;       /* of the descriptor */
	bool done;      /* of the plain data */
	bool peeked;    /* the first bytes are in `in`, not yet given out */
	size_t in_len;
	unsigned char *in, *out;
	bool z_ready, z_in_member;
	z_stream z;
	struct archive *archive;
};

/* Bytes from the descriptor into s->in: those that were peeked at first. 0 at the end. */
static ssize_t fill(struct source *s)
{
	if (s->peeked) {
		s->peeked = false;
		return (ssize_t)s->in_len;
	}
	if (s->eof)
		return 0;
	ssize_t n;
	do
		n = read(s->fd, s->in, CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		s->read_error = -errno;
		return s->read_error;
	}
	s->eof = n == 0;
	s->in_len = (size_t)n;
	s->consumed += (uint64_t)n;
	return n;
}

static enum format format_of(const unsigned char *p, size_t n)
{
	for (int f = FORMAT_GZIP; f < FORMAT_N; f++)
		if (n >= formats[f].len && memcmp(p, formats[f].magic, formats[f].len) == 0)
			return (enum format)f;
	return FORMAT_NONE;
}

bool source_is_packed(int fd)
{
	unsigned char p[MAGIC];
	ssize_t n = pread(fd, p, sizeof(p), 0);
	return n > 0 && format_of(p, (size_t)n) != FORMAT_NONE;
}

static int peek(struct source *s, struct err *e)
{
	size_t have = 0;
	while (have < MAGIC) {
		ssize_t n = read(s->fd, s->in + have, CHUNK - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, -errno, "read the archive");
		s->eof = n == 0;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	s->in_len = have;
	s->consumed = have;
	s->peeked = true;
	s->format = format_of(s->in, have);
	return 0;
}

static la_ssize_t raw_read(struct archive *a, void *arg, const void **p)
{
	struct source *s = arg;
	ssize_t n = fill(s);
	if (n < 0) {
		archive_set_error(a, (int)-n, "read failed");
		return ARCHIVE_FATAL;
	}
	*p = s->in;
	return n;
}

static int broken(struct source *s, struct err *e, const char *why)
{
	if (s->read_error)
		return err_errno(e, s->read_error, "read the archive");
	return err_as(
		e, ERR_INVALID, "the %s data is broken: %.200s", formats[s->format].name, why ? why : "unknown error");
}

static int open_archive(struct source *s, struct err *e)
{
	s->archive = archive_read_new();
	if (!s->archive)
		return err_nomem(e);
	/* ARCHIVE_WARN: this libarchive would run an outside program for the format. That never happens here: exec is
	 * forbidden. */
	if (formats[s->format].enable(s->archive) != ARCHIVE_OK)
		return err_as(
			e, ERR_NOT_IMPLEMENTED, "this build of libarchive cannot read %s", formats[s->format].name);
	if (archive_read_support_format_raw(s->archive) != ARCHIVE_OK)
		return err_nomem(e);
	archive_read_set_callback_data(s->archive, s);
	archive_read_set_read_callback(s->archive, raw_read);
	struct archive_entry *entry;
	if (archive_read_open1(s->archive) != ARCHIVE_OK)
		return broken(s, e, archive_error_string(s->archive));
	int r = archive_read_next_header(s->archive, &entry);
	if (r == ARCHIVE_EOF)
		s->done = true;
	else if (r != ARCHIVE_OK)
		return broken(s, e, archive_error_string(s->archive));
	return 0;
}

int source_open(int fd, uint64_t *budget, struct source **out, struct err *e)
{
	OWN(own_source) struct source *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->fd = fd;
	s->budget = budget;
	s->in = malloc(CHUNK);
	s->out = malloc(CHUNK);
	if (!s->in || !s->out)
		return err_nomem(e);
	try(peek(s, e));
	if (s->format == FORMAT_GZIP) {
		if (inflateInit2(&s->z, 15 + 16) != Z_OK)
			return err_nomem(e);
		s->z_ready = true;
	} else if (formats[s->format].enable) {
		try(open_archive(s, e));
	}
	*out = STEAL(s);
	return 0;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	if (s->z_ready)
		inflateEnd(&s->z);
	if (s->archive)
		archive_read_free(s->archive);
	free(s->in);
	free(s->out);
	free(s);
}

/* Fills z's input; 1, or 0 at the end of the descriptor. */
static int gzip_input(struct source *s, struct err *e)
{
	if (s->z.avail_in > 0)
		return 1;
	ssize_t n = fill(s);
	if (n < 0)
		return broken(s, e, NULL);
	s->z.next_in = s->in;
	s->z.avail_in = (unsigned)n;
	return n > 0;
}

/* Between two members: another one begins, or the file ends, maybe with padding of zeros. 1 = go on. */
static int gzip_member(struct source *s, struct err *e)
{
	for (;;) {
		int more = gzip_input(s, e);
		if (more <= 0)
			return more;
		if (*s->z.next_in != 0)
			return s->z.total_in == 0 || inflateReset(&s->z) == Z_OK ? 1
										 : broken(s, e, "cannot start anew");
		s->z.next_in++;
		s->z.avail_in--;
	}
}

static ssize_t gzip_next(struct source *s, const void **p, struct err *e)
{
	s->z.next_out = s->out;
	s->z.avail_out = CHUNK;
	while (s->z.avail_out == CHUNK) {
		if (!s->z_in_member) {
			int more = gzip_member(s, e);
			if (more <= 0)
				return more;
			s->z_in_member = true;
		}
		int more = gzip_input(s, e);
		try(more);
		if (!more)
			return broken(s, e, "it is cut off");
		int r = inflate(&s->z, Z_NO_FLUSH);
		if (r == Z_STREAM_END)
			s->z_in_member = false;
		else if (r != Z_OK)
			return broken(s, e, s->z.msg ? s->z.msg : "bad data");
	}
	*p = s->out;
	return CHUNK - (ssize_t)s->z.avail_out;
}

static ssize_t archive_next(struct source *s, const void **p, struct err *e)
{
	size_t n = 0;
	la_int64_t offset;
	int r;
	do
		r = archive_read_data_block(s->archive, p, &n, &offset);
	while (r == ARCHIVE_OK && n == 0);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK)
		return broken(s, e, archive_error_string(s->archive));
	return (ssize_t)n;
}

ssize_t source_next(struct source *s, const void **p, struct err *e)
{
	ssize_t n;
	if (s->done)
		return 0;
	if (s->format == FORMAT_GZIP) {
		n = gzip_next(s, p, e);
	} else if (s->archive) {
		n = archive_next(s, p, e);
	} else {
		n = fill(s);
		if (n < 0)
			return broken(s, e, NULL);
		*p = s->in;
	}
	if (n > 0 && (uint64_t)n > *s->budget)
		return err_as(
			e, ERR_TOO_LARGE, "the archive is too large: it unpacks to more than the limit of one job");
	if (n > 0)
		*s->budget -= (uint64_t)n;
	s->done = n == 0;
	return n;
}

uint64_t source_consumed(const struct source *s)
{
	return s->consumed;
}

const char *source_format(const struct source *s)
{
	return formats[s->format].name;
}
