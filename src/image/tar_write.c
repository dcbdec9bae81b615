#include "image/tar_write.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/buf.h"

#define BLOCK 512

struct header { /* POSIX.1-2001, "ustar Interchange Format" */
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8], typeflag, linkname[100];
	char magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8], prefix[155], pad[12];
};
static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

/* Octal with a NUL at the end; false when the number is too large: then the field is 0 and a pax record says it. */
static bool octal(char *field, size_t size, uint64_t v)
{
	bool fits = v >> (3 * (size - 1)) == 0;
	char text[24];
	snprintf(text, sizeof(text), "%0*llo", (int)size - 1, fits ? (unsigned long long)v : 0ull);
	memcpy(field, text, size);
	return fits;
}

static void checksum(struct header *h)
{
	unsigned sum = 0;
	memset(h->chksum, ' ', sizeof(h->chksum));
	for (size_t i = 0; i < BLOCK; i++)
		sum += ((const unsigned char *)h)[i];
	snprintf(h->chksum, sizeof(h->chksum), "%06o", sum & 0777777); /* six digits, NUL, blank */
}

/* One pax record: "<length> key=value\n", where the length counts its own digits. */
static void record(struct buf *b, const char *key, const void *value, size_t n)
{
	size_t rest = strlen(key) + n + 3, len = rest + 1, digits;
	do {
		digits = (size_t)snprintf(NULL, 0, "%zu", len);
		len = rest + digits;
	} while (digits != (size_t)snprintf(NULL, 0, "%zu", len));
	buf_printf(b, "%zu %s=", len, key);
	buf_put(b, value, n);
	buf_putc(b, '\n');
}

static void record_number(struct buf *b, const char *key, int64_t v)
{
	char text[24];
	record(b, key, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)v));
}

/* A reader may take the bytes of a ustar name for any character set; those of a pax record are UTF-8. */
static bool plain(const char *s)
{
	for (; *s; s++)
		if (*s & 0x80)
			return false;
	return true;
}

/* Into name and prefix; false when no slash is at the right place. */
static bool split(struct header *h, const char *path, size_t n)
{
	if (n <= sizeof(h->name)) {
		memcpy(h->name, path, n);
		return true;
	}
	for (size_t i = n - 1; i > 0; i--) {
		if (path[i] != '/' || i > sizeof(h->prefix))
			continue;
		if (n - i - 1 > sizeof(h->name) || n - i - 1 == 0)
			continue;
		memcpy(h->prefix, path, i);
		memcpy(h->name, path + i + 1, n - i - 1);
		return true;
	}
	return false;
}

static int put_padded(struct tar_writer *w, const void *p, size_t n, struct err *e)
{
	try(sink_put(w->sink, p, n, e));
	return sink_zeros(w->sink, (BLOCK - n % BLOCK) % BLOCK, e);
}

static int put_pax(struct tar_writer *w, const struct buf *b, struct err *e)
{
	struct header h = {.name = "PaxHeaders.0/x", .typeflag = 'x', .magic = "ustar", .version = {'0', '0'}};
	octal(h.mode, sizeof(h.mode), 0644);
	octal(h.uid, sizeof(h.uid), 0);
	octal(h.gid, sizeof(h.gid), 0);
	octal(h.size, sizeof(h.size), b->len);
	octal(h.mtime, sizeof(h.mtime), 0);
	octal(h.devmajor, sizeof(h.devmajor), 0);
	octal(h.devminor, sizeof(h.devminor), 0);
	checksum(&h);
	try(sink_put(w->sink, &h, sizeof(h), e));
	return put_padded(w, b->data, b->len, e);
}

static char type_of(const struct tar_entry *t)
{
	if (t->link && !S_ISLNK(t->mode))
		return '1';
	switch (t->mode & S_IFMT) {
	case S_IFREG:
		return '0';
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	}
	return 0;
}

static void fill_names(struct header *h, const struct tar_entry *t, struct buf *pax)
{
	OWN(own_buf) struct buf path = {};
	buf_puts(&path, t->path);
	if (h->typeflag == '5' && !streq(t->path, "/"))
		buf_putc(&path, '/');
	if (path.bad || !split(h, path.data, path.len) || !plain(t->path))
		record(pax, "path", buf_str(&path), path.len);
	pax->bad |= path.bad;
	size_t n = t->link ? strlen(t->link) : 0;
	if (n)
		memcpy(h->linkname, t->link, n < sizeof(h->linkname) ? n : sizeof(h->linkname));
	if (n > sizeof(h->linkname) || (n && !plain(t->link)))
		record(pax, "linkpath", t->link, n);
}

static void fill_numbers(struct header *h, const struct tar_entry *t, uint64_t size, struct buf *pax)
{
	octal(h->mode, sizeof(h->mode), t->mode & 07777);
	if (!octal(h->uid, sizeof(h->uid), t->uid))
		record_number(pax, "uid", t->uid);
	if (!octal(h->gid, sizeof(h->gid), t->gid))
		record_number(pax, "gid", t->gid);
	if (!octal(h->size, sizeof(h->size), size))
		record_number(pax, "size", (int64_t)size);
	if (!octal(h->mtime, sizeof(h->mtime), (uint64_t)t->mtime))
		record_number(pax, "mtime", t->mtime);
	bool dev = h->typeflag == '3' || h->typeflag == '4';
	octal(h->devmajor, sizeof(h->devmajor), dev ? major(t->rdev) : 0);
	octal(h->devminor, sizeof(h->devminor), dev ? minor(t->rdev) : 0);
}

int tar_write_entry(struct tar_writer *w, const struct tar_entry *t, struct err *e)
{
	OWN(own_buf) struct buf pax = {};
	struct header h = {.magic = "ustar", .version = {'0', '0'}};
	char key[300];

	if (w->left)
		return err_set(e, -EINVAL, "tar: %llu bytes of the entry before are missing", (unsigned long long)w->left);
	h.typeflag = type_of(t);
	if (!h.typeflag || !*t->path)
		return err_set(e, -EINVAL, "tar: an entry without a name, or of a type that no tar holds");
	uint64_t size = h.typeflag == '0' ? t->size : 0;
	fill_names(&h, t, &pax);
	fill_numbers(&h, t, size, &pax);
	for (size_t i = 0; i < t->nxattrs; i++) {
		snprintf(key, sizeof(key), "SCHILY.xattr.%s", t->xattrs[i].name);
		record(&pax, key, t->xattrs[i].value, t->xattrs[i].len);
	}
	if (pax.bad)
		return err_nomem(e);
	if (pax.len)
		try(put_pax(w, &pax, e));
	checksum(&h);
	try(sink_put(w->sink, &h, sizeof(h), e));
	w->left = size;
	w->pad = (unsigned)((BLOCK - size % BLOCK) % BLOCK);
	return 0;
}

static int take(struct tar_writer *w, uint64_t n, struct err *e)
{
	if (n > w->left)
		return err_set(e, -EINVAL, "tar: more data than the entry has");
	w->left -= n;
	return 0;
}

static int pad(struct tar_writer *w, struct err *e)
{
	return w->left == 0 ? sink_zeros(w->sink, w->pad, e) : 0;
}

int tar_write_data(struct tar_writer *w, const void *p, size_t n, struct err *e)
{
	if (n == 0)
		return 0;
	try(take(w, n, e));
	try(sink_put(w->sink, p, n, e));
	return pad(w, e);
}

int tar_write_zeros(struct tar_writer *w, uint64_t n, struct err *e)
{
	if (n == 0)
		return 0;
	try(take(w, n, e));
	try(sink_zeros(w->sink, n, e));
	return pad(w, e);
}

int tar_write_skip(struct tar_writer *w, uint64_t n, struct err *e)
{
	if (n == 0)
		return 0;
	try(take(w, n, e));
	return pad(w, e);
}

int tar_write_text(struct tar_writer *w, const char *path, const void *p, size_t n, struct err *e)
{
	const struct tar_entry t = {.path = path, .mode = S_IFREG | 0644, .size = n};
	try(tar_write_entry(w, &t, e));
	return tar_write_data(w, p, n, e);
}

int tar_write_end(struct tar_writer *w, struct err *e)
{
	if (w->left)
		return err_set(e, -EINVAL, "tar: %llu bytes of the last entry are missing", (unsigned long long)w->left);
	return sink_zeros(w->sink, 2 * BLOCK, e);
}
