#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/limits.h"

int write_all(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
		if (w < 0 && errno == ENOTSOCK)
			w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p = (const char *)p + w;
		n -= (size_t)w;
	}
	return 0;
}

int read_fd(int fd, size_t max, struct buf *out, struct err *e)
{
	char chunk[16384];
	size_t total = 0;
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, -errno, "read");
		if (n == 0)
			return out->bad ? err_nomem(e) : 0;
		total += (size_t)n;
		if (total > max)
			return err_set(e, -EFBIG, "larger than %zu bytes", max);
		buf_put(out, chunk, (size_t)n);
	}
}

int read_file_at(int dirfd, const char *path, size_t max, struct buf *out, struct err *e)
{
	OWN(own_fd) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open %s", path);
	int r = read_fd(fd, max, out, e);
	if (r < 0)
		err_ctx(e, "%s", path);
	return r;
}

int read_file(const char *path, size_t max, struct buf *out, struct err *e)
{
	return read_file_at(AT_FDCWD, path, max, out, e);
}

static int fill(int fd, const char *path, const void *p, size_t n, bool sync, struct err *e)
{
	int r = write_all(fd, p, n);
	if (r < 0)
		return err_errno(e, r, "write %s", path);
	if (sync && fsync(fd) < 0)
		return err_errno(e, -errno, "sync %s", path);
	return 0;
}

int write_file_atomic(const char *path, const void *p, size_t n, mode_t mode, bool sync, struct err *e)
{
	char tmp[PATH_MAX];
	uint64_t unique;
	random_bytes(&unique, sizeof(unique));
	if (snprintf(tmp, sizeof(tmp), "%s.%016llx", path, (unsigned long long)unique) >= (int)sizeof(tmp))
		return err_errno(e, -ENAMETOOLONG, "%s", path);
	OWN(own_fd) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_errno(e, -errno, "create %s", tmp);
	int r = fchmod(fd, mode) < 0 ? err_errno(e, -errno, "chmod %s", tmp) : fill(fd, tmp, p, n, sync, e);
	if (r >= 0 && rename(tmp, path) < 0)
		r = err_errno(e, -errno, "rename to %s", path);
	if (r < 0)
		unlink(tmp);
	return r;
}

int write_file(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
	OWN(own_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_errno(e, -errno, "open %s", path);
	if (ftruncate(fd, 0) < 0)
		return err_errno(e, -errno, "truncate %s", path);
	return fill(fd, path, p, n, false, e);
}

int mkdir_p(const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof(part))
		return err_errno(e, n ? -ENAMETOOLONG : -EINVAL, "make directory %s", path);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_errno(e, -errno, "make directory %s", part);
	}
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_errno(e, -ENOTDIR, "make directory %s", path);
	return 0;
}

/* Same mount? Directories below a mount point are somebody else's. */
static bool same_mount(int dirfd, const char *name, uint64_t mount, bool *is_dir, int *code)
{
	struct statx st;
	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID, &st) < 0) {
		*code = -errno;
		return false;
	}
	*code = 0;
	*is_dir = S_ISDIR(st.stx_mode);
	return !(st.stx_mask & STATX_MNT_ID) || st.stx_mnt_id == mount;
}

#define LEVELS_OPEN 32 /* directories of a walk kept open; those above are opened again through ".." */

struct level { /* a directory of the walk; recursion would be bounded only by the tree */
	struct level *up;
	DIR *dir; /* NULL: closed for the time being */
	dev_t dev;
	ino_t ino;
	char name[256];
};

/* Closes the directory that is LEVELS_OPEN above, which is the one needed last. */
static void close_far(struct level *l)
{
	for (unsigned i = 0; l && i < LEVELS_OPEN; i++)
		l = l->up;
	if (l && l->dir) {
		closedir(l->dir);
		l->dir = NULL;
	}
}

static int push(struct level **top, int fd, const char *name)
{
	struct stat st;
	struct level *l = calloc(1, sizeof(*l));
	DIR *d = l && fstat(fd, &st) == 0 ? fdopendir(fd) : NULL;
	if (!d) {
		int r = l ? -errno : -ENOMEM;
		free(l);
		close(fd);
		return r;
	}
	l->dir = d;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	str_copy(l->name, sizeof(l->name), name);
	l->up = *top;
	*top = l;
	close_far(l);
	return 0;
}

/* Opens a closed directory again from the one below it. Somebody may have moved that one meanwhile: then ".." is another directory. */
static int reopen(struct level *up, const struct level *below)
{
	struct stat st;
	int fd = openat(dirfd(below->dir), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_dev != up->dev || st.st_ino != up->ino) {
		close(fd);
		return -ESTALE;
	}
	up->dir = fdopendir(fd);
	if (!up->dir) {
		int r = -errno;
		close(fd);
		return r;
	}
	return 0;
}

static void pop(struct level **top)
{
	struct level *l = *top;
	*top = l->up;
	if (l->dir)
		closedir(l->dir);
	free(l);
}

static int remove_entry(struct level **top, const char *name, uint64_t mount)
{
	int at = dirfd((*top)->dir), code;
	bool is_dir;
	bool same = same_mount(at, name, mount, &is_dir, &code);
	if (code)
		return code == -ENOENT ? 0 : code;
	if (!same)
		return -EBUSY; /* a mount point inside: not ours to go into */
	if (unlinkat(at, name, is_dir ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
		return 0;
	if (!is_dir || (errno != ENOTEMPTY && errno != EEXIST))
		return -errno;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : push(top, fd, name);
}

/* The directory on top is empty: back to the one above, which can then remove it. */
static int ascend(struct level **top)
{
	struct level *here = *top, *up = here->up;
	char name[256];
	if (!up->dir)
		try(reopen(up, here));
	STR_COPY(name, here->name);
	pop(top);
	return unlinkat(dirfd(up->dir), name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_walk(struct level **top, uint64_t mount)
{
	for (;;) {
		struct dirent *d;
		struct level *here = *top;
		int r = 0;
		while (r == 0 && *top == here && (errno = 0, d = readdir(here->dir))) {
			if (!streq(d->d_name, ".") && !streq(d->d_name, ".."))
				r = remove_entry(top, d->d_name, mount);
		}
		if (r < 0)
			return r;
		if (*top != here)
			continue;
		if (errno)
			return -errno;
		if (!here->up)
			return 0;
		try(ascend(top));
	}
}

int remove_tree_at(int at, const char *path, struct err *e)
{
	struct statx st;
	struct level *top = NULL;
	if (statx(at, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MNT_ID, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(e, -errno, "remove %s", path);
	if (!S_ISDIR(st.stx_mode))
		return unlinkat(at, path, 0) < 0 && errno != ENOENT ? err_errno(e, -errno, "remove %s", path) : 0;
	if (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) /* it could not be removed anyway: what is mounted there stays whole */
		return err_errno(e, -EBUSY, "remove %s", path);
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : push(&top, fd, "");
	if (r >= 0)
		r = remove_walk(&top, st.stx_mnt_id);
	while (top)
		pop(&top);
	if (r >= 0 && unlinkat(at, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r < 0 ? err_errno(e, r, "remove %s", path) : 0;
}

int remove_tree(const char *path, struct err *e)
{
	return remove_tree_at(AT_FDCWD, path, e);
}

int fd_send(int sock, const void *p, size_t n, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(LIMIT_FDS_PER_MESSAGE * sizeof(int))];
	} ctl = {0};
	union {
		const void *in;
		void *out;
	} u = {.in = p};
	struct iovec iov = {.iov_base = u.out, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (nfds > LIMIT_FDS_PER_MESSAGE)
		return -EINVAL;
	if (nfds) {
		m.msg_control = ctl.space;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	ssize_t r;
	do {
		r = sendmsg(sock, &m, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : (size_t)r == n ? 0 : -EMSGSIZE;
}

ssize_t fd_recv(int sock, void *p, size_t n, int *fds, size_t *nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(LIMIT_FDS_PER_MESSAGE * sizeof(int))];
	} ctl;
	struct iovec iov = {.iov_base = p, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.space, .msg_controllen = sizeof(ctl.space)};
	size_t got = 0, cap = *nfds;
	bool lost = false;
	ssize_t r;
	do {
		r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got < cap) {
				fds[got++] = fd;
			} else {
				close(fd);
				lost = true;
			}
		}
	}
	if (lost || (m.msg_flags & MSG_CTRUNC)) {
		while (got)
			close(fds[--got]);
		return -EMSGSIZE;
	}
	*nfds = got;
	return r;
}

/* The kernel gives out the lowest free number: while the first of the kept ones is free, hardly any other is in use. */
int fd_room(struct err *e)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER; /* two at once would take each other's for somebody's */
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return err_errno(e, -errno, "getrlimit");
	long eighth = (long)(l.rlim_cur / 8), kept = eighth < 48 ? 48 : eighth < LIMIT_FDS_KEPT ? eighth : LIMIT_FDS_KEPT, first = (long)l.rlim_cur - kept;
	OWN(own_fd) int any = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_mutex_lock(&one);
	int fd = any < 0 ? -1 : fcntl(any, F_DUPFD_CLOEXEC, first);
	if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&one);
	if (fd == first)
		return 0;
	return err_as(e, ERR_UNAVAILABLE, "too many open files: of the %ld that pontoond may open, the last %ld are kept for ending and removing containers: raise its limit (LimitNOFILE)",
		(long)l.rlim_cur, kept);
}

int fd_inotify(struct err *e)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0 && errno == EMFILE)
		return err_set(e, -EMFILE, "no further inotify instance: all that fs.inotify.max_user_instances gives a user (sysctl), or all descriptors of this process, are in use: raise the limit");
	return fd < 0 ? err_errno(e, -errno, "inotify") : fd;
}
