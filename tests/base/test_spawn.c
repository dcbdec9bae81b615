#include "base/clock.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int run(const char *script, const struct spawn_io *io, int *status, struct err *e)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct spawn s = {.argv = argv};
	return spawn_run(&s, io, status, e);
}

TEST(both_outputs_and_the_status_come_back)
{
	OWN(own_buf) struct buf out = {0}, err = {0};
	struct err e = {0};
	struct spawn_io io = {.out = &out, .err = &err};
	int status = -1;
	CHECK_INT(run("echo to out; echo to err >&2; exit 7", &io, &status, &e), 0);
	CHECK_STR(buf_str(&out), "to out\n");
	CHECK_STR(buf_str(&err), "to err\n");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK_INT(run("kill -TERM $$", &(struct spawn_io){0}, &status, &e), 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* It shares our memory until exec, but this is not of the memory. */
TEST(a_score_of_its_own)
{
	OWN(own_buf) struct buf out = {0}, before = {0}, after = {0};
	struct err e = {0};
	const char *argv[] = {"cat", "/proc/self/oom_score_adj", NULL}, *path = "/proc/self/oom_score_adj";
	struct spawn s = {.argv = argv, .oom_score_adj = "765"};
	int status = -1;
	CHECK(read_file(path, 64, &before, &e) >= 0);
	CHECK(spawn_run(&s, &(struct spawn_io){.out = &out}, &status, &e) == 0 && status == 0);
	CHECK_STR(buf_str(&out), "765\n");
	CHECK(read_file(path, 64, &after, &e) >= 0);
	CHECK_STR(buf_str(&after), buf_str(&before));
	s.oom_score_adj = "1001";
	CHECK(spawn_run(&s, &(struct spawn_io){0}, &status, &e) < 0 && strstr(e.msg, "oom_score_adj"));
}

/* More than a pipe holds in both directions: neither side may wait for the other. */
TEST(a_large_input_comes_back_whole)
{
	size_t n = 3u << 20;
	OWN(own_free) char *in = malloc(n);
	OWN(own_buf) struct buf out = {0};
	struct err e = {0};
	int status;
	REQUIRE(in);
	for (size_t i = 0; i < n; i++)
		in[i] = (char)('a' + i % 23);
	struct spawn_io io = {.in = in, .in_len = n, .out = &out};
	CHECK_INT(run("cat", &io, &status, &e), 0);
	CHECK_INT(status, 0);
	CHECK_INT(out.len, n);
	CHECK(out.len == n && memcmp(out.data, in, n) == 0);
}

TEST(the_input_is_fed_even_when_both_outputs_are_closed)
{
	size_t n = 1u << 20;
	OWN(own_free) char *in = calloc(1, n);
	struct err e = {0};
	int status = -1;
	REQUIRE(in);
	/* The time limit is only the way out when the input is forgotten: the child waits for its end for ever then. */
	struct spawn_io io = {.in = in, .in_len = n, .timeout_ms = 60000};
	CHECK_INT(run("exec >&- 2>&-; [ $(wc -c) = 1048576 ]", &io, &status, &e), 0);
	CHECK_INT(status, 0);
}

TEST(a_child_that_ignores_its_input_does_no_harm)
{
	size_t n = 1u << 20;
	OWN(own_free) char *in = calloc(1, n);
	struct err e = {0};
	int status = -1;
	REQUIRE(in);
	CHECK_INT(run("exec <&-; exit 3", &(struct spawn_io){.in = in, .in_len = n}, &status, &e), 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

TEST(too_much_output_kills)
{
	OWN(own_buf) struct buf out = {0};
	struct err e = {0};
	int status = 0;
	CHECK_INT(run("while :; do echo 0123456789; done", &(struct spawn_io){.out = &out, .max = 1000}, &status, &e), -EFBIG);
	CHECK(out.len <= 1000);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	buf_free(&out);
	CHECK_INT(run("printf 12345", &(struct spawn_io){.out = &out, .max = 5}, &status, &e), 0);
	CHECK_STR(buf_str(&out), "12345");
}

TEST(the_time_limit_holds_after_the_outputs_are_closed)
{
	struct err e = {0};
	int status = 0;
	CHECK_INT(run("exec >&- 2>&-; exec sleep 600", &(struct spawn_io){.timeout_ms = 50}, &status, &e), -ETIMEDOUT);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_STR(e.msg, "sh: did not finish within 50 ms");
}

TEST(failures_before_the_program_runs_are_reported)
{
	struct err e = {0};
	pid_t pid = 12;
	const char *argv[] = {"no-such-program-anywhere", NULL};
	struct spawn s = {.argv = argv};
	CHECK_INT(spawn_start(&s, &pid, &e), -ENOENT);
	CHECK_STR(e.msg, "no-such-program-anywhere: not found in PATH");
	argv[0] = "/etc/passwd";
	CHECK_INT(spawn_start(&s, &pid, &e), -EACCES);
	CHECK_STR(e.msg, "/etc/passwd: exec: Permission denied");
	argv[0] = "true";
	s.cwd = "/nonexistent";
	CHECK_INT(spawn_start(&s, &pid, &e), -ENOENT);
	CHECK_STR(e.msg, "true: chdir: No such file or directory");
	s.cwd = NULL;
	s.netns_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK_INT(spawn_start(&s, &pid, &e), -EINVAL);
	CHECK(strstr(e.msg, "network namespace"));
	close(s.netns_fd);
	CHECK_INT(pid, 12);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* no zombie of those is left */
}

static bool is_kept(void *arg, pid_t pid)
{
	return pid == *(pid_t *)arg;
}

static void until_ended(pid_t pid)
{
	siginfo_t si;
	CHECK_INT(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
}

static bool is_child(pid_t pid)
{
	siginfo_t si;
	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* A process that fork made is as good as an orphan: nobody asks for its status. */
static pid_t orphan(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	until_ended(pid);
	return pid;
}

TEST(orphans_are_reaped_and_nobody_elses)
{
	struct err e = {0};
	const char *argv[] = {"sh", "-c", "exit 3", NULL};
	struct spawn s = {.argv = argv};
	pid_t own, kept = 0;
	int status;
	CHECK_INT(spawn_start(&s, &own, &e), 0);
	until_ended(own);
	kept = orphan();
	pid_t lost = orphan();
	CHECK(!spawn_reap_first(is_kept, &kept)); /* one that is somebody's is among them */
	spawn_reap_orphans(is_kept, &kept);
	CHECK(!is_child(lost));
	CHECK(is_child(kept));
	CHECK_INT(spawn_wait(own, &status, &e), 0);
	CHECK_INT(WEXITSTATUS(status), 3);
	lost = orphan();
	CHECK(!spawn_reap_first(is_kept, &kept));
	kept = 0;
	CHECK(spawn_reap_first(is_kept, &kept));
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* A directory of the program's name is in PATH before the program. */
TEST(only_files_are_programs)
{
	char dir[] = "/tmp/pontoon-test-XXXXXX", path[8192], sub[64];
	const char *was = getenv("PATH");
	struct err e = {0};
	int status = -1;
	REQUIRE(mkdtemp(dir) && was);
	OWN(own_free) char *keep = strdup(was);
	snprintf(sub, sizeof(sub), "%s/sh", dir);
	CHECK_INT(mkdir(sub, 0700), 0);
	snprintf(path, sizeof(path), "%s:%s", dir, was);
	setenv("PATH", path, 1);
	CHECK_INT(run("exit 0", &(struct spawn_io){0}, &status, &e), 0);
	CHECK_INT(status, 0);
	setenv("PATH", keep, 1);
	CHECK_INT(rmdir(sub) | rmdir(dir), 0);
}

/* Five files land on each other's numbers: 10 to 14 become 11, 12, 13, 14, 10, and one source goes to two places. */
TEST(descriptors_may_trade_places)
{
	char name[] = "/tmp/pontoon-test-XXXXXX";
	OWN(own_buf) struct buf out = {0};
	struct err e = {0};
	struct spawn_fd fds[6];
	int status, base = 10;
	for (int i = 0; i < 5; i++) {
		int fd;
		snprintf(name, sizeof(name), "/tmp/pontoon-test-XXXXXX");
		REQUIRE((fd = mkstemp(name)) >= 0);
		unlink(name);
		REQUIRE(dprintf(fd, "%d", i) == 1 && lseek(fd, 0, SEEK_SET) == 0);
		REQUIRE(dup3(fd, base + i, O_CLOEXEC) >= 0);
		close(fd);
		fds[i + 1] = (struct spawn_fd){base + i, base + (i + 1) % 5};
	}
	/* 16 is among the lowest free numbers once spawn_run has its pipes: the others must not be moved there, out of the way. */
	fds[0] = (struct spawn_fd){base + 4, 16};
	const char *argv[] = {"bash", "-c", "for i in 11 12 13 14 10; do cat <&$i; done; ls /proc/self/fd | tr '\\n' ' '", NULL};
	struct spawn s = {.argv = argv, .fds = fds, .nfds = 6};
	CHECK_INT(spawn_run(&s, &(struct spawn_io){.out = &out}, &status, &e), 0);
	/* ls has one more open, for the directory it lists: 3 */
	CHECK_STR(buf_str(&out), "012340 1 10 11 12 13 14 16 2 3 ");
	for (int i = 0; i < 5; i++) {
		CHECK(fcntl(base + i, F_GETFD) == FD_CLOEXEC); /* ours are as they were */
		close(base + i);
	}
}

TEST(unlisted_standard_descriptors_are_dev_null)
{
	struct err e = {0};
	int p[2], status;
	pid_t pid;
	REQUIRE(pipe2(p, O_CLOEXEC) == 0);
	const char *argv[] = {"sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2 >&5", NULL};
	struct spawn_fd fds[] = {{p[1], 5}};
	struct spawn s = {.argv = argv, .fds = fds, .nfds = 1};
	REQUIRE(spawn_start(&s, &pid, &e) == 0);
	close(p[1]);
	char text[64] = "";
	for (ssize_t n = 0, r; (r = read(p[0], text + n, sizeof(text) - 1 - (size_t)n)) > 0; n += r)
		;
	close(p[0]);
	CHECK_INT(spawn_wait(pid, &status, &e), 0);
	CHECK_STR(text, "/dev/null\n/dev/null\n");
}

TEST(signals_start_afresh)
{
	OWN(own_buf) struct buf out = {0};
	struct err e = {0};
	int status;
	sigset_t mask, old;
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, &old);
	void (*pipe_was)(int) = signal(SIGPIPE, SIG_IGN), (*hup_was)(int) = signal(SIGHUP, SIG_IGN);
	int r = run("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t'", &(struct spawn_io){.out = &out}, &status, &e);
	signal(SIGPIPE, pipe_was);
	signal(SIGHUP, hup_was);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK_INT(r, 0);
	CHECK_STR(buf_str(&out), "SigBlk:0000000000000000SigIgn:0000000000000000");
}

TEST(environment_directory_and_session)
{
	OWN(own_buf) struct buf out = {0};
	struct err e = {0};
	int status;
	const char *env[] = {"ONLY=this", NULL}, *argv[] = {"/bin/sh", "-c", "echo $ONLY-$HOME-$PWD", NULL};
	struct spawn s = {.argv = argv, .env = env, .cwd = "/usr", .new_session = true};
	CHECK_INT(spawn_run(&s, &(struct spawn_io){.out = &out}, &status, &e), 0);
	CHECK_STR(buf_str(&out), "this--/usr\n");
	pid_t pid;
	const char *sleep[] = {"sleep", "600", NULL};
	s = (struct spawn){.argv = sleep, .new_session = true, .die_signal = SIGKILL};
	REQUIRE(spawn_start(&s, &pid, &e) == 0);
	CHECK_INT(getsid(pid), pid);
	kill(pid, SIGTERM);
	CHECK_INT(spawn_wait(pid, &status, &e), 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* The child of a process that is killed gets the signal: the pipe that only it holds is closed. */
TEST(the_child_dies_with_its_parent)
{
	int p[2];
	char c;
	REQUIRE(pipe2(p, O_CLOEXEC) == 0);
	pid_t middle = fork();
	if (middle == 0) {
		const char *argv[] = {"sleep", "600", NULL};
		struct spawn_fd fds[] = {{p[1], 9}};
		struct spawn s = {.argv = argv, .fds = fds, .nfds = 1, .die_signal = SIGKILL};
		pid_t pid;
		if (spawn_start(&s, &pid, NULL) < 0 || write(p[1], "x", 1) != 1)
			_exit(1);
		raise(SIGKILL);
	}
	REQUIRE(middle > 0);
	close(p[1]);
	CHECK_INT(read(p[0], &c, 1), 1);
	CHECK_INT(read(p[0], &c, 1), 0);
	CHECK_INT(waitpid(middle, NULL, 0), middle);
	close(p[0]);
}

/* In a child that goes to a network namespace of its own and starts a program back in the first one. Exit 77: not allowed here. */
static int from_another_netns(void)
{
	OWN(own_buf) struct buf out = {0};
	const char *argv[] = {"readlink", "-n", "/proc/self/ns/net", NULL};
	char first[64] = "", second[64] = "";
	int status;
	OWN(own_fd) int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || readlink(argv[2], first, sizeof(first) - 1) < 0)
		return 1;
	if (unshare(CLONE_NEWNET) < 0)
		return 77;
	struct spawn s = {.argv = argv, .netns_fd = ns};
	if (spawn_run(&s, &(struct spawn_io){.out = &out}, &status, NULL) < 0 || status != 0)
		return 2;
	if (!streq(buf_str(&out), first))
		return 3;
	/* the parent stays where it is */
	return readlink(argv[2], second, sizeof(second) - 1) < 0 || streq(first, second) ? 4 : 0;
}

TEST(a_child_enters_a_network_namespace)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(from_another_netns());
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("needs to make a network namespace");
	CHECK_INT(status, 0);
}

static void *spawn_many(void *arg)
{
	size_t *good = arg;
	for (int i = 0; i < 25; i++) {
		OWN(own_buf) struct buf out = {0};
		struct spawn_io io = {.in = "ping", .in_len = 4, .out = &out};
		struct err e = {0};
		int status = -1;
		*good += run("cat", &io, &status, &e) == 0 && status == 0 && streq(buf_str(&out), "ping");
		*good += run("exit 5", &io, &status, &e) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 5;
	}
	return NULL;
}

static void *allocate(void *arg) /* keeps the allocator's locks busy: a child that took one would hang */
{
	while (!__atomic_load_n((bool *)arg, __ATOMIC_ACQUIRE))
		free(strdup("x"));
	return NULL;
}

TEST(threads_spawn_side_by_side)
{
	pthread_t t[4], noise;
	size_t good[4] = {0};
	bool stop = false;
	REQUIRE(pthread_create(&noise, NULL, allocate, &stop) == 0);
	for (int i = 0; i < 4; i++)
		REQUIRE(pthread_create(&t[i], NULL, spawn_many, &good[i]) == 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		CHECK_INT(good[i], 50);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(noise, NULL);
}

TESTS(T(both_outputs_and_the_status_come_back), T(a_score_of_its_own), T(a_large_input_comes_back_whole), T(the_input_is_fed_even_when_both_outputs_are_closed),
	T(a_child_that_ignores_its_input_does_no_harm), T(too_much_output_kills), T(the_time_limit_holds_after_the_outputs_are_closed),
	T(failures_before_the_program_runs_are_reported), T(orphans_are_reaped_and_nobody_elses), T(only_files_are_programs), T(descriptors_may_trade_places), T(unlisted_standard_descriptors_are_dev_null),
	T(signals_start_afresh), T(environment_directory_and_session), T(the_child_dies_with_its_parent), T(a_child_enters_a_network_namespace), T(threads_spawn_side_by_side))
