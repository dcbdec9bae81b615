#include "image/sink.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/fd.h"

#define BLOCK (256u << 10)

struct sink {
	int fd;
	enum sink_format format;
	struct digest plain, packed;
	uint64_t plain_size, packed_size;
	int write_error; /* of the descriptor */
	size_t held;     /* plain bytes in `in` */
	unsigned char *in, *out;
	bool z_ready;
	z_stream z;
	struct archive *archive; /* zstd */
};

static int emit(struct sink *s, const void *p, size_t n)
{
	if (n == 0)
		return 0;
	if (s->format != SINK_PLAIN)
		digest_add(&s->packed, p, n);
	s->packed_size += n;
	s->write_error = write_all(s->fd, p, n);
	return s->write_error;
}

static la_ssize_t on_write(struct archive *a, void *arg, const void *p, size_t n)
{
	struct sink *s = arg;
	if (emit(s, p, n) < 0) {
		archive_set_error(a, EIO, "write failed");
		return ARCHIVE_FATAL;
	}
	return (la_ssize_t)n;
}

static int failed(struct sink *s, const char *why, struct err *e)
{
	if (s->write_error == -ENOSPC || s->write_error == -EDQUOT)
		return err_set(e, s->write_error, "no space left on device while writing an archive");
	if (s->write_error)
		return err_errno(e, s->write_error, "write the archive");
	return err_set(e, -EIO, "compress the archive: %s", why ? why : "unknown error");
}

/* libarchive's zstd filter under its "raw" format: one nameless file. */
static int open_zstd(struct sink *s, struct err *e)
{
	struct archive *a = s->archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	bool ok = a && entry && archive_write_set_format_raw(a) == ARCHIVE_OK && archive_write_add_filter_zstd(a) == ARCHIVE_OK &&
		  archive_write_set_filter_option(a, "zstd", "compression-level", "1") == ARCHIVE_OK && archive_write_set_bytes_per_block(a, BLOCK) == ARCHIVE_OK &&
		  archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK && archive_write_open(a, s, NULL, on_write, NULL) == ARCHIVE_OK;
	if (ok) {
		archive_entry_set_filetype(entry, AE_IFREG);
		ok = archive_write_header(a, entry) == ARCHIVE_OK;
	}
	archive_entry_free(entry);
	return ok ? 0 : failed(s, a ? archive_error_string(a) : NULL, e);
}

int sink_open(int fd, enum sink_format format, struct sink **out, struct err *e)
{
	OWN(own_sink) struct sink *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->fd = fd;
	s->format = format;
	digest_init(&s->plain);
	digest_init(&s->packed);
	s->in = malloc(BLOCK);
	s->out = malloc(BLOCK);
	if (!s->in || !s->out)
		return err_nomem(e);
	if (format == SINK_GZIP) {
		/* 16: a gzip head, which zlib leaves empty; level 4 is twice as fast as the usual 6 and 2 % larger */
		if (deflateInit2(&s->z, 4, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
			return err_nomem(e);
		s->z_ready = true;
	} else if (format == SINK_ZSTD) {
		try(open_zstd(s, e));
	}
	*out = STEAL(s);
	return 0;
}

void sink_free(struct sink *s)
{
	if (!s)
		return;
	if (s->z_ready)
		deflateEnd(&s->z);
	if (s->archive)
		archive_write_free(s->archive);
	free(s->in);
	free(s->out);
	free(s);
}

static int deflate_all(struct sink *s, int flush, struct err *e)
{
	int r;
	s->z.next_in = s->in;
	s->z.avail_in = (unsigned)s->held;
	do {
		s->z.next_out = s->out;
		s->z.avail_out = BLOCK;
		r = deflate(&s->z, flush);
		if (r == Z_STREAM_ERROR || emit(s, s->out, BLOCK - s->z.avail_out) < 0)
			return failed(s, s->z.msg, e);
	} while (s->z.avail_out == 0 || (flush == Z_FINISH && r != Z_STREAM_END));
	return 0;
}

static int flush_block(struct sink *s, bool last, struct err *e)
{
	digest_add(&s->plain, s->in, s->held);
	s->plain_size += s->held;
	int r = 0;
	if (s->format == SINK_GZIP)
		r = deflate_all(s, last ? Z_FINISH : Z_NO_FLUSH, e);
	else if (s->format == SINK_PLAIN)
		r = emit(s, s->in, s->held) < 0 ? failed(s, NULL, e) : 0;
	else if (s->held && archive_write_data(s->archive, s->in, s->held) != (la_ssize_t)s->held)
		r = failed(s, archive_error_string(s->archive), e);
	s->held = 0;
	return r;
}

int sink_put(struct sink *s, const void *p, size_t n, struct err *e)
{
	while (n > 0) {
		size_t k = BLOCK - s->held < n ? BLOCK - s->held : n;
		memcpy(s->in + s->held, p, k);
		s->held += k;
		p = (const char *)p + k;
		n -= k;
		if (s->held == BLOCK)
			try(flush_block(s, false, e));
	}
	return 0;
}

int sink_zeros(struct sink *s, uint64_t n, struct err *e)
{
	while (n > 0) {
		size_t k = BLOCK - s->held < n ? BLOCK - s->held : (size_t)n;
		memset(s->in + s->held, 0, k);
		s->held += k;
		n -= k;
		if (s->held == BLOCK)
			try(flush_block(s, false, e));
	}
	return 0;
}

int sink_end(struct sink *s, struct sink_sum *sum, struct err *e)
{
	try(flush_block(s, true, e));
	if (s->archive && archive_write_close(s->archive) != ARCHIVE_OK)
		return failed(s, archive_error_string(s->archive), e);
	if (!sum)
		return 0;
	sum->plain_size = s->plain_size;
	sum->packed_size = s->packed_size;
	digest_end(&s->plain, sum->plain);
	if (s->format == SINK_PLAIN)
		memcpy(sum->packed, sum->plain, sizeof(sum->plain));
	else
		digest_end(&s->packed, sum->packed);
	return 0;
}
