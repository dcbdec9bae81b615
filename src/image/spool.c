#include "image/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/ref.h"
#include "image/name.h"
#include "image/tar.h"

#define SPOOL_DIR "spool"
#define BLOBS "blobs/sha256/"
#define LINK_HOPS 8
#define FILE_NAME SPOOL_NAME

struct file {
	const char *path; /* clean */
	const char *link; /* clean path that it stands for; NULL for a file */
	unsigned number;  /* its copy is spool/<number> */
	uint64_t size;
};

struct spool {
	struct job *job;
	int dir;
	struct arena arena;
	struct map files;
	unsigned n;
};

void spool_free(struct spool *s)
{
	if (!s)
		return;
	if (s->dir >= 0) {
		close(s->dir);
		remove_tree_at(s->job->dir, SPOOL_DIR, NULL);
	}
	map_free(&s->files);
	arena_free(&s->arena);
	free(s);
}

static int spool_new(struct job *j, struct spool **out, struct err *e)
{
	OWN(own_spool) struct spool *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->job = j;
	s->dir = -1;
	if (mkdirat(j->dir, SPOOL_DIR, 0700) < 0)
		return err_errno(e, -errno, "make the directory " SPOOL_DIR);
	s->dir = openat(j->dir, SPOOL_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir < 0)
		return err_errno(e, -errno, "open the directory " SPOOL_DIR);
	*out = STEAL(s);
	return 0;
}

static const char *file_name(unsigned number, char out[static FILE_NAME])
{
	snprintf(out, FILE_NAME, "%u", number);
	return out;
}

/* Replaces an entry of the same name. */
static int remember(struct spool *s, const char *path, struct file *f, struct err *e)
{
	struct file *copy = arena_new(&s->arena, struct file, 1);
	const char *p = arena_dup(&s->arena, path);
	if (!copy || !p)
		return err_nomem(e);
	*copy = *f;
	copy->path = p;
	const struct file *old = map_gets(&s->files, path);
	char name[FILE_NAME];
	if (old && !old->link)
		unlinkat(s->dir, file_name(old->number, name), 0);
	return map_puts(&s->files, p, copy) < 0 ? err_nomem(e) : 0;
}

/* Copies one file; a blob must be what its name says. */
static int copy_file(struct spool *s, struct tar *t, struct archive_entry *entry, const char *path, struct err *e)
{
	char name[FILE_NAME], have[DIGEST_TEXT], q[NAME_QUOTED];
	const char *hex = str_starts(path, BLOBS) ? path + strlen(BLOBS) : NULL;
	struct file f = {.number = s->n};
	struct digest d;

	digest_init(&d);
	OWN(own_fd)
	int fd = openat(s->dir, file_name(s->n, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, -errno, "create " SPOOL_DIR "/%s", name);
	try(tar_copy(t, entry, fd, hex ? &d : NULL, &f.size, e));
	if (hex && !streq(digest_hex(digest_end(&d, have)), hex))
		return err_as(e, ERR_INVALID, "the blob %s does not match its name: its bytes have the digest %s",
			name_quote(path, q), have);
	s->n++;
	return remember(s, path, &f, e);
}

static int keep_link(struct spool *s, const char *path, const char *target, struct err *e)
{
	struct file f = {.link = arena_dup(&s->arena, target)};
	return f.link ? remember(s, path, &f, e) : err_nomem(e);
}

static int keep(struct spool *s, struct tar *t, struct archive_entry *entry, const char *path, struct err *e)
{
	char target[NAME_PATH];
	if (s->files.n >= LIMIT_IMAGE_SPOOL)
		return err_as(e, ERR_TOO_LARGE, "the archive has more than %d files: not an image", LIMIT_IMAGE_SPOOL);
	if (archive_entry_hardlink(entry)) {
		try(name_clean(archive_entry_hardlink(entry), target, e));
		return keep_link(s, path, target, e);
	}
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return copy_file(s, t, entry, path, e);
	case AE_IFLNK:
		try(name_resolve(path, archive_entry_symlink(entry) ? archive_entry_symlink(entry) : "", target, e));
		return keep_link(s, path, target, e);
	}
	return 0; /* directories, and what no image archive has, are of no use */
}

int spool_read(struct job *j, struct spool **out, struct err *e)
{
	OWN(own_spool) struct spool *s = NULL;
	OWN(own_tar) struct tar *t = NULL;
	struct archive_entry *entry;
	const char *path;
	int r;

	try(spool_new(j, &s, e));
	try(tar_open(j, j->in, NULL, NULL, &t, e));
	while ((r = tar_next(t, &entry, &path, e)) > 0)
		try(keep(s, t, entry, path, e));
	try(r);
	*out = STEAL(s);
	return 0;
}

/* Follows links; NULL when the path leads nowhere. */
static const struct file *find(const struct spool *s, const char *path)
{
	char clean[NAME_PATH];
	if (name_clean(path, clean, NULL) < 0)
		return NULL;
	const struct file *f = map_gets(&s->files, clean);
	for (int hops = 0; f && f->link; hops++)
		f = hops < LINK_HOPS ? map_gets(&s->files, f->link) : NULL;
	return f;
}

bool spool_has(const struct spool *s, const char *path)
{
	return find(s, path) != NULL;
}

int spool_find(const struct spool *s, const char *path, char name[static SPOOL_NAME], uint64_t *size, struct err *e)
{
	char q[NAME_QUOTED];
	const struct file *f = find(s, path);
	if (!f)
		return err_as(e, ERR_INVALID, "%s is not in the archive", name_quote(path, q));
	file_name(f->number, name);
	*size = f->size;
	return 0;
}

int spool_dir(const struct spool *s)
{
	return s->dir;
}

int spool_open(const struct spool *s, const char *path, int *out, uint64_t *size, struct err *e)
{
	char name[FILE_NAME];
	try(spool_find(s, path, name, size, e));
	int fd = openat(s->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open " SPOOL_DIR "/%s", name);
	*out = fd;
	return 0;
}

int spool_load(const struct spool *s, const char *path, struct buf *out, struct err *e)
{
	OWN(own_fd) int fd = -1;
	uint64_t size = 0;
	char q[NAME_QUOTED];
	try(spool_open(s, path, &fd, &size, e));
	if (size > LIMIT_IMAGE_JSON)
		return err_as(e, ERR_TOO_LARGE, "%s is too large: %llu bytes, at most %u are read", name_quote(path, q),
			(unsigned long long)size, LIMIT_IMAGE_JSON);
	return read_fd(fd, LIMIT_IMAGE_JSON, out, e);
}

const char *spool_blob(const char *digest, char out[static SPOOL_BLOB])
{
	snprintf(out, SPOOL_BLOB, BLOBS "%s", digest_hex(digest));
	return out;
}
