/* fd: whole reads and writes, small files, passing descriptors. Every descriptor made here is CLOEXEC. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

int write_all(int fd, const void *p, size_t n); /* retries EINTR and short writes; -errno (no SIGPIPE is raised by us: sockets use MSG_NOSIGNAL) */
/* Reads to end of file, at most max bytes (-EFBIG beyond). */
int read_fd(int fd, size_t max, struct buf *out, struct err *e);
int read_file(const char *path, size_t max, struct buf *out, struct err *e);
/* Like read_file, relative to a directory descriptor. */
int read_file_at(int dirfd, const char *path, size_t max, struct buf *out, struct err *e);
/* Writes a new file beside it, optionally fsyncs, renames over. Mode is exact (umask does not apply). */
int write_file_atomic(const char *path, const void *p, size_t n, mode_t mode, bool sync, struct err *e);
/* Truncates and rewrites in place: for files that are bind-mounted. Creates with `mode` when absent. */
int write_file(const char *path, const void *p, size_t n, mode_t mode, struct err *e);
int mkdir_p(const char *path, mode_t mode, struct err *e); /* existing is fine */
/* Removes a tree without following links and without crossing mount points (-EBUSY, also for the path itself); absent is fine. */
int remove_tree(const char *path, struct err *e);
/* The same, relative to a directory descriptor (O_PATH will do). Few descriptors are used, however deep the tree is. */
int remove_tree_at(int at, const char *path, struct err *e);
/* SCM_RIGHTS over a connected unix socket: at most LIMIT_FDS_PER_MESSAGE descriptors with n bytes of data. */
int fd_send(int sock, const void *p, size_t n, const int *fds, size_t nfds);
ssize_t fd_recv(int sock, void *p, size_t n, int *fds, size_t *nfds); /* *nfds: capacity in, count out */
/* Whether something new may begin: the highest descriptor numbers are kept for what must go on, ends, removals and taking back. If they are in use,
 * -EMFILE and a text that says what to do. */
int fd_room(struct err *e);
/* A non-blocking inotify instance, or -errno. EMFILE is usually the user's limit of instances (inotify(7)), not that of descriptors: the text names it. */
int fd_inotify(struct err *e);
