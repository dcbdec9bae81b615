/* tar_write: a tar that we make, entry by entry, into a sink. POSIX ustar; a pax header goes before an entry only where ustar cannot say it (long or not plain
 * ASCII names, large ids and sizes, times before 1970, extended attributes). Deterministic: the same entries give the same bytes. Times have whole seconds, as in
 * Docker's archives. Owns nothing. Errors: of the sink; -EINVAL for a caller's fault. */
#pragma once

#include <sys/stat.h>

#include "image/sink.h"

struct tar_xattr {
	const char *name; /* "security.capability" */
	const void *value;
	size_t len;
};

struct tar_entry {
	const char *path; /* relative, without "./"; of a directory without "/" at the end: that is added here */
	mode_t mode;      /* type and permissions. S_IFSOCK is refused: no tar holds one */
	uid_t uid;
	gid_t gid;
	int64_t mtime;     /* seconds */
	uint64_t size;     /* of a file's data: exactly so much must follow */
	const char *link;  /* target of a symbolic link; of any other type: the entry is a hard link to this path of the archive. NULL: none */
	dev_t rdev;
	const struct tar_xattr *xattrs;
	size_t nxattrs;
};

struct tar_writer {
	struct sink *sink;
	uint64_t left; /* of the present entry's data */
	unsigned pad;
};

static inline struct tar_writer tar_writer_to(struct sink *s)
{
	return (struct tar_writer){.sink = s};
}
int tar_write_entry(struct tar_writer *w, const struct tar_entry *t, struct err *e);
int tar_write_data(struct tar_writer *w, const void *p, size_t n, struct err *e);
int tar_write_zeros(struct tar_writer *w, uint64_t n, struct err *e); /* a hole */
/* The next n bytes have been put into the sink by somebody else. */
int tar_write_skip(struct tar_writer *w, uint64_t n, struct err *e);
/* A regular file with this content, owner 0:0. */
int tar_write_text(struct tar_writer *w, const char *path, const void *p, size_t n, struct err *e);
/* The two blocks of zeros at the end; the sink is the caller's to end. */
int tar_write_end(struct tar_writer *w, struct err *e);
