#include "image/tar.h"

#include <archive.h>
#include <errno.h>

#include "base/fd.h"
#include "image/name.h"
#include "image/source.h"

struct tar {
	struct job *job;
	const struct job_progress *progress;
	struct source *source;
	struct digest digest;
	struct archive *archive;
	struct sink *tee;
	struct err read_err; /* of the bytes below the tar: better than what libarchive makes of it */
	uint64_t entries;
	bool any; /* at least one byte came */
	char path[NAME_PATH];
};

/* Pulls, digests, tells. */
static ssize_t pull(struct tar *t, const void **p, struct err *e)
{
	ssize_t n = source_next(t->source, p, e);
	if (n <= 0)
		return n;
	t->any = true;
	digest_add(&t->digest, *p, (size_t)n);
	if (t->tee)
		try(sink_put(t->tee, *p, (size_t)n, e));
	if (t->progress)
		try(job_say(t->job, t->progress, source_consumed(t->source), e));
	return n;
}

static la_ssize_t on_read(struct archive *a, void *arg, const void **p)
{
	struct tar *t = arg;
	ssize_t n = pull(t, p, &t->read_err);
	if (n < 0)
		archive_set_error(a, EIO, "read failed");
	return n < 0 ? ARCHIVE_FATAL : n;
}

static int open_source(struct job *j, int fd, const struct job_progress *p, struct tar **out, struct err *e)
{
	OWN(own_tar) struct tar *t = calloc(1, sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->job = j;
	t->progress = p;
	digest_init(&t->digest);
	try(source_open(fd, &j->budget.bytes, &t->source, e));
	*out = STEAL(t);
	return 0;
}

/* What went wrong, with the name of the last good entry. */
static int broken(struct tar *t, struct err *e)
{
	char q[NAME_QUOTED];
	const char *why = archive_error_string(t->archive);
	if (t->read_err.code) {
		if (e)
			*e = t->read_err;
		return t->read_err.code;
	}
	why = why ? why : "unknown error";
	if (!t->any)
		why = "it is empty";
	if (archive_errno(t->archive) == ENOMEM)
		return err_nomem(e);
	if (t->entries == 0)
		return err_as(e, ERR_INVALID, "archive is not a tar: %.200s", why);
	return err_as(e, ERR_INVALID, "the tar is broken after entry %llu, %s: %.200s", (unsigned long long)t->entries,
		name_quote(t->path, q), why);
}

int tar_open(struct job *j, int fd, const struct job_progress *p, struct sink *tee, struct tar **out, struct err *e)
{
	OWN(own_tar) struct tar *t = NULL;
	try(open_source(j, fd, p, &t, e));
	t->tee = tee;
	t->archive = archive_read_new();
	if (!t->archive || archive_read_support_format_tar(t->archive) != ARCHIVE_OK)
		return err_nomem(e);
	archive_read_set_callback_data(t->archive, t);
	archive_read_set_read_callback(t->archive, on_read);
	if (archive_read_open1(t->archive) != ARCHIVE_OK)
		return broken(t, e);
	*out = STEAL(t);
	return 0;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	if (t->archive)
		archive_read_free(t->archive);
	source_free(t->source);
	free(t);
}

int tar_next(struct tar *t, struct archive_entry **entry, const char **path, struct err *e)
{
	struct archive_entry *x;
	int r = archive_read_next_header(t->archive, &x);
	if (r == ARCHIVE_EOF)
		return 0;
	/* A warning is about an attribute that is not used here, or about a name that is not UTF-8: then it stays as it
	 * is. */
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return broken(t, e);
	if (t->job->budget.entries == 0)
		return err_as(e, ERR_TOO_LARGE, "the archive has too many entries for one job");
	const char *name = archive_entry_pathname(x);
	if (!name)
		return err_as(e, ERR_INVALID, "entry %llu of the tar has no readable name",
			(unsigned long long)t->entries + 1);
	try(name_clean(name, t->path, e));
	t->job->budget.entries--;
	t->entries++;
	*entry = x;
	*path = t->path;
	return 1;
}

ssize_t tar_data(struct tar *t, const void **p, uint64_t *offset, struct err *e)
{
	size_t n = 0;
	la_int64_t at = 0;
	int r;
	do
		r = archive_read_data_block(t->archive, p, &n, &at);
	while (r == ARCHIVE_OK && n == 0);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return broken(t, e);
	if (at < 0 || (uint64_t)at > t->job->budget.file || n > t->job->budget.file - (uint64_t)at)
		return err_as(e, ERR_TOO_LARGE, "a file in the archive is too large");
	*offset = (uint64_t)at;
	return (ssize_t)n;
}

static int write_at(int fd, const char *p, size_t n, uint64_t offset)
{
	while (n > 0) {
		ssize_t w = pwrite(fd, p, n, (off_t)offset);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
		offset += (uint64_t)w;
	}
	return 0;
}

static int write_failed(struct tar *t, int code, struct err *e)
{
	char q[NAME_QUOTED];
	if (code == -ENOSPC || code == -EDQUOT)
		return err_set(e, code, "no space left on device while writing %s", name_quote(t->path, q));
	return err_errno(e, code, "write %s", name_quote(t->path, q));
}

int tar_copy(struct tar *t, struct archive_entry *entry, int fd, struct digest *d, uint64_t *size, struct err *e)
{
	la_int64_t want = archive_entry_size(entry);
	uint64_t end = 0, offset = 0;
	const void *p;
	ssize_t n;

	if (want < 0 || (uint64_t)want > t->job->budget.file)
		return err_as(e, ERR_TOO_LARGE, "a file in the archive is too large");
	while ((n = tar_data(t, &p, &offset, e)) > 0) {
		int r = write_at(fd, p, (size_t)n, offset);
		if (r < 0)
			return write_failed(t, r, e);
		if (d && offset != end)
			return err_as(e, ERR_INVALID, "a file that must be verified has holes");
		if (d)
			digest_add(d, p, (size_t)n);
		end = offset + (uint64_t)n > end ? offset + (uint64_t)n : end;
	}
	try((int)n);
	if (end < (uint64_t)want) {
		if (d)
			return err_as(e, ERR_INVALID, "a file that must be verified has holes");
		if (ftruncate(fd, want) < 0)
			return write_failed(t, -errno, e);
		end = (uint64_t)want;
	}
	*size = end;
	return 0;
}

static int drain(struct tar *t, char digest[static DIGEST_TEXT], struct err *e)
{
	const void *p;
	ssize_t n;
	while ((n = pull(t, &p, e)) > 0)
		;
	try((int)n);
	digest_end(&t->digest, digest);
	return 0;
}

int tar_end(struct tar *t, char digest[static DIGEST_TEXT], struct err *e)
{
	return drain(t, digest, e);
}

int tar_digest(struct job *j, int fd, const struct job_progress *p, char digest[static DIGEST_TEXT], struct err *e)
{
	OWN(own_tar) struct tar *t = NULL;
	try(open_source(j, fd, p, &t, e));
	return drain(t, digest, e);
}
