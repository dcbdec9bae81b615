#include "base/du.h"
#include "base/fd.h"
#include "base/limits.h"
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[64], path[256];
static struct err e;

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool dir_make(void)
{
	strcpy(dir, "/tmp/pontoon-test-XXXXXX");
	return mkdtemp(dir) != NULL;
}

static void *read_slowly(void *arg)
{
	size_t *total = arg;
	char chunk[777];
	int fd = (int)*total;
	ssize_t n;
	*total = 0;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		*total += (size_t)n;
	return NULL;
}

TEST(writes_are_whole)
{
	size_t n = 1u << 20;
	OWN(own_free) char *p = calloc(1, n);
	int s[2];
	pthread_t t;
	REQUIRE(p && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
	size_t total = (size_t)s[1];
	REQUIRE(pthread_create(&t, NULL, read_slowly, &total) == 0);
	CHECK_INT(write_all(s[0], p, n), 0);
	close(s[0]);
	pthread_join(t, NULL);
	CHECK_INT(total, n);
	close(s[1]);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
	close(s[1]);
	CHECK_INT(write_all(s[0], p, 1), -EPIPE); /* and no SIGPIPE */
	close(s[0]);
	CHECK_INT(write_all(-1, p, 1), -EBADF);
}

TEST(files_are_read_up_to_a_limit)
{
	OWN(own_buf) struct buf b = {0};
	REQUIRE(dir_make());
	CHECK_INT(write_file(in_dir("f"), "12345", 5, 0640, &e), 0);
	CHECK_INT(read_file(path, 5, &b, &e), 0);
	CHECK_STR(buf_str(&b), "12345");
	buf_free(&b);
	CHECK_INT(read_file(path, 4, &b, &e), -EFBIG);
	CHECK(strstr(e.msg, "/f: larger than 4 bytes"));
	CHECK_INT(read_file(in_dir("none"), 4, &b, &e), -ENOENT);
	CHECK(strstr(e.msg, "/none: No such file or directory"));
	CHECK_INT(remove_tree(dir, &e), 0);
}

TEST(rewriting_keeps_the_file_and_its_mode)
{
	struct stat before, after;
	OWN(own_buf) struct buf b = {0};
	mode_t was = umask(077);
	REQUIRE(dir_make());
	CHECK_INT(write_file_atomic(in_dir("f"), "long text", 9, 0644, false, &e), 0);
	umask(was);
	REQUIRE(stat(path, &before) == 0);
	CHECK_INT(before.st_mode & 07777, 0644); /* exact */
	CHECK_INT(write_file(path, "x", 1, 0600, &e), 0);
	REQUIRE(stat(path, &after) == 0);
	CHECK(after.st_ino == before.st_ino && after.st_mode == before.st_mode && after.st_size == 1);
	CHECK_INT(write_file_atomic(path, "new", 3, 0600, true, &e), 0);
	REQUIRE(stat(path, &after) == 0);
	CHECK(after.st_ino != before.st_ino);
	CHECK_INT(read_file(path, 10, &b, &e), 0);
	CHECK_STR(buf_str(&b), "new");
	CHECK_INT(symlink("f", in_dir("link")), 0);
	CHECK_INT(write_file(path, "x", 1, 0600, &e), -ELOOP);
	CHECK_INT(remove_tree(dir, &e), 0);
}

TEST(a_failed_write_leaves_nothing)
{
	REQUIRE(dir_make());
	CHECK_INT(mkdir_p(in_dir("d/sub"), 0700, &e), 0);
	CHECK_INT(write_file_atomic(in_dir("d"), "x", 1, 0600, false, &e), -EISDIR); /* the rename fails */
	OWN(own_dir) DIR *d = opendir(dir);
	int n = 0;
	REQUIRE(d);
	for (const struct dirent *x; (x = readdir(d));)
		n += x->d_name[0] != '.';
	CHECK_INT(n, 1); /* "d" alone */
	CHECK_INT(remove_tree(dir, &e), 0);
}

TEST(directories_are_made_on_the_way)
{
	struct stat st;
	REQUIRE(dir_make());
	CHECK_INT(mkdir_p(in_dir("a//b/c/"), 0750, &e), 0);
	CHECK_INT(mkdir_p(path, 0750, &e), 0);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0750);
	CHECK_INT(write_file(in_dir("file"), "", 0, 0600, &e), 0);
	CHECK_INT(mkdir_p(path, 0700, &e), -ENOTDIR);
	CHECK_INT(mkdir_p(in_dir("file/x"), 0700, &e), -ENOTDIR);
	CHECK_INT(mkdir_p("", 0700, &e), -EINVAL);
	CHECK_INT(remove_tree(dir, &e), 0);
	CHECK(access(dir, F_OK) < 0);
}

/* A tree deeper than any path may be long, with fewer descriptors than levels. */
TEST(deep_trees_go)
{
	struct rlimit was, few = {100, 100};
	REQUIRE(dir_make() && getrlimit(RLIMIT_NOFILE, &was) == 0);
	few.rlim_max = was.rlim_max;
	OWN(own_fd) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 1000 && at >= 0; i++) {
		int next = mkdirat(at, "a_directory", 0700) == 0 ? openat(at, "a_directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
		if (i % 100 == 0)
			CHECK_INT(symlinkat("/etc", at, "link"), 0);
		close(at);
		at = next;
	}
	REQUIRE(at >= 0);
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK_INT(remove_tree(dir, &e), 0);
	setrlimit(RLIMIT_NOFILE, &was);
	CHECK(access(dir, F_OK) < 0);
	CHECK(access("/etc/passwd", F_OK) == 0);
}

TEST(a_link_is_removed_and_not_followed)
{
	REQUIRE(dir_make());
	CHECK_INT(mkdir_p(in_dir("keep/inner"), 0700, &e), 0);
	CHECK_INT(symlink("keep", in_dir("link")), 0);
	CHECK_INT(remove_tree(path, &e), 0);
	CHECK(access(in_dir("link"), F_OK) < 0 && access(in_dir("keep/inner"), F_OK) == 0);
	CHECK_INT(remove_tree(dir, &e), 0);
}

/* In a child with a mount namespace of its own. Exit 0: as wanted; 77: not allowed to mount here. */
static int with_mount(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	if (mkdir_p(in_dir("tree/a/mnt"), 0700, &e) < 0 || mount("none", path, "tmpfs", 0, NULL) < 0)
		return 77;
	if (write_file(in_dir("tree/a/mnt/keep"), "x", 1, 0600, &e) < 0)
		return 1;
	if (remove_tree(in_dir("tree"), &e) != -EBUSY)
		return 2;
	if (access(in_dir("tree/a/mnt/keep"), F_OK) < 0)
		return 3;
	if (remove_tree(in_dir("tree/a/mnt"), &e) != -EBUSY) /* the path itself */
		return 7;
	if (access(in_dir("tree/a/mnt/keep"), F_OK) < 0)
		return 8;
	/* another mount of the very same file system is another mount all the same */
	if (mkdir_p(in_dir("other/keep"), 0700, &e) < 0 || mkdir_p(in_dir("bound/mnt"), 0700, &e) < 0)
		return 4;
	char from[256];
	snprintf(from, sizeof(from), "%s/other", dir);
	if (mount(from, path, NULL, MS_BIND, NULL) < 0)
		return 77;
	if (remove_tree(in_dir("bound"), &e) != -EBUSY)
		return 5;
	return access(in_dir("other/keep"), F_OK) < 0 ? 6 : 0;
}

TEST(mounts_are_not_crossed)
{
	int status = 0;
	REQUIRE(dir_make());
	pid_t pid = fork();
	if (pid == 0)
		_exit(with_mount());
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_INT(remove_tree(dir, &e), 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("needs to make a mount namespace");
	CHECK_INT(status, 0);
}

TEST(descriptors_pass_through_a_socket)
{
	int s[2], p[2], got[LIMIT_FDS_PER_MESSAGE], many[LIMIT_FDS_PER_MESSAGE + 1];
	char text[8] = "";
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) == 0 && pipe2(p, O_CLOEXEC) == 0);
	CHECK_INT(fd_send(s[0], "hi", 2, (int[]){p[0], p[1]}, 2), 0);
	size_t n = ARRAY_LEN(got);
	CHECK_INT(fd_recv(s[1], text, sizeof(text), got, &n), 2);
	REQUIRE(n == 2);
	CHECK_STR(text, "hi");
	CHECK(fcntl(got[0], F_GETFD) == FD_CLOEXEC && fcntl(got[1], F_GETFD) == FD_CLOEXEC);
	CHECK(write(got[1], "x", 1) == 1 && read(p[0], text, 1) == 1 && text[0] == 'x');
	close(got[0]);
	close(got[1]);
	/* as many as there may be, and one more */
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = p[0];
	CHECK_INT(fd_send(s[0], "x", 1, many, ARRAY_LEN(many)), -EINVAL);
	CHECK_INT(fd_send(s[0], "x", 1, many, LIMIT_FDS_PER_MESSAGE), 0);
	n = ARRAY_LEN(got);
	CHECK_INT(fd_recv(s[1], text, sizeof(text), got, &n), 1);
	CHECK_INT(n, LIMIT_FDS_PER_MESSAGE);
	while (n)
		close(got[--n]);
	/* more than the receiver has room for: none is taken, none leaks */
	int before = dup(0);
	close(before);
	CHECK_INT(fd_send(s[0], "x", 1, many, 3), 0);
	n = 2;
	CHECK_INT(fd_recv(s[1], text, sizeof(text), got, &n), -EMSGSIZE);
	int after = dup(0);
	close(after);
	CHECK_INT(after, before);
	CHECK_INT(n, 2);
	/* no descriptor, and the end */
	CHECK_INT(fd_send(s[0], "y", 1, NULL, 0), 0);
	CHECK_INT(fd_recv(s[1], text, sizeof(text), got, &n), 1);
	CHECK_INT(n, 0);
	close(s[0]);
	CHECK_INT(fd_recv(s[1], text, sizeof(text), got, &n), 0);
	close(s[1]);
	close(p[0]);
	close(p[1]);
}

static bool file_of(const char *name, size_t n)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && ftruncate(fd, (off_t)n) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

TEST(du_counts_what_is_below)
{
	char a[256], b[256];
	REQUIRE(dir_make());
	CHECK_INT(du_size(dir), 0);
	CHECK_INT(du_size("/none-such"), 0);
	REQUIRE(file_of("one", 1000));
	REQUIRE(mkdir(in_dir("sub"), 0700) == 0);
	REQUIRE(file_of("sub/two", 10));
	CHECK_INT(du_size(dir), 1010);
	/* one file with two names is one file; a link leads nowhere */
	strcpy(a, in_dir("one"));
	strcpy(b, in_dir("sub/one"));
	REQUIRE(link(a, b) == 0 && symlink("/usr", in_dir("usr")) == 0);
	CHECK_INT(du_size(dir), 1010 + 4);
	CHECK_INT(du_size(in_dir("usr")), 0);
	CHECK_INT(remove_tree(dir, &e), 0);
}

TEST(the_last_descriptors_are_kept)
{
	struct rlimit was, low = {.rlim_cur = 480};
	int fds[480], n = 0;
	REQUIRE(getrlimit(RLIMIT_NOFILE, &was) == 0);
	low.rlim_max = was.rlim_max;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
	while (fd_room(&e) >= 0 && n < 480)
		fds[n++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK_INT(fds[n - 1], 419); /* an eighth of 480 stays */
	CHECK_INT(e.kind, ERR_UNAVAILABLE);
	CHECK(strstr(e.msg, "too many open files: of the 480 that pontoond may open, the last 60 are kept"));
	close(fds[--n]);
	CHECK_INT(fd_room(&e), 0);
	while (n > 0)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &was);
}

TEST(a_full_inotify_names_its_limit)
{
	struct rlimit was, none = {0};
	getrlimit(RLIMIT_NOFILE, &was);
	none.rlim_max = was.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none); /* the same errno, without using up what others share */
	CHECK_INT(fd_inotify(&e), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &was);
	CHECK(strstr(e.msg, "fs.inotify.max_user_instances"));
	int fd = fd_inotify(&e);
	CHECK(fd >= 0);
	close(fd);
}

TESTS(T(a_full_inotify_names_its_limit), T(the_last_descriptors_are_kept), T(writes_are_whole), T(files_are_read_up_to_a_limit), T(rewriting_keeps_the_file_and_its_mode), T(a_failed_write_leaves_nothing),
	T(directories_are_made_on_the_way), T(deep_trees_go), T(a_link_is_removed_and_not_followed), T(mounts_are_not_crossed), T(descriptors_pass_through_a_socket), T(du_counts_what_is_below));
