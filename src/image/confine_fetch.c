/* Theory of operation
 *
 * A registry, or whoever sits between it and us, may be an enemy, and TLS and HTTP are large pieces of code. What takes over this process finds:
 *
 *   files     a read-only tmpfs with resolv.conf, hosts, nsswitch.conf, certificates and the client's key for this registry, if there is one. What a layer's bytes are written to is a descriptor that the job opened.
 *   user      an id that nobody has; no capability, no new privileges, no way to see or signal another process.
 *   calls     a list. Sockets are IPv4, IPv6 and the kernel's routing messages (getaddrinfo asks for addresses); no unix sockets, since abstract ones would be those of
 *             the host. Threads may be made (the resolver's), processes not.
 *
 * It does have the host's network: what it can reach, whoever can send packets from this host can reach.
 *
 * Proven by tests/image/test_registry.py (the_fetcher_is_confined). */
#include "image/confine_fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/paths.h"
#include "base/sanitized.h"

#define FILE_MAX_BYTES (4u << 20)
#define SYSTEM_CA      "/etc/ssl/certs/ca-certificates.crt"
#define OPEN_FILES     256

/* What is not there is empty: a host without certificates can still use a registry on loopback. */
static int add_file(const char *path, struct buf *out, struct err *e)
{
	struct err why = {};
	if (read_file(path, FILE_MAX_BYTES, out, &why) < 0 && why.code != -ENOENT && why.code != -ENOTDIR)
		return err_set(e, why.code, "%s", why.msg);
	buf_putc(out, '\n');
	return 0;
}

struct identity { /* what a registry's directories hold */
	struct buf ca, cert, key;
};

static void own_identity(struct identity *i)
{
	buf_free(&i->ca);
	buf_free(&i->cert);
	buf_free(&i->key); /* the process's memory goes with it */
}

static bool ends_in(const char *name, const char *ending)
{
	size_t n = strlen(name), k = strlen(ending);
	return n > k && streq(name + n - k, ending);
}

/* The file beside it with the other ending, which must be there. */
static int find_partner(const char *dir, const char *name, const char *ending, char path[static PATH_MAX], struct err *e)
{
	int stem = (int)(strrchr(name, '.') - name);
	if (snprintf(path, PATH_MAX, "%s/%.*s%s", dir, stem, name, ending) >= PATH_MAX)
		return err_as(e, ERR_INVALID, "%s/%s: the name is too long", dir, name);
	if (access(path, F_OK) == 0)
		return 0;
	if (streq(ending, ".key"))
		return err_as(e, ERR_INVALID, "missing key %.*s.key for client certificate %s. CA certificates must use the extension .crt", stem, name, name);
	return err_as(e, ERR_INVALID, "missing client certificate %.*s.cert for key %s", stem, name, name);
}

static int read_entry(const char *dir, const char *name, struct identity *out, struct err *e)
{
	char path[PATH_MAX], partner[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return 0;
	if (ends_in(name, ".crt"))
		return add_file(path, &out->ca, e);
	if (ends_in(name, ".key"))
		return find_partner(dir, name, ".cert", partner, e);
	if (!ends_in(name, ".cert"))
		return 0;
	try(find_partner(dir, name, ".key", partner, e));
	if (out->cert.len)
		return 0;
	try(add_file(path, &out->cert, e));
	return add_file(partner, &out->key, e);
}

static int read_directory(const char *parent, const char *domain, struct identity *out, struct err *e)
{
	char dir[PATH_MAX];
	struct dirent **list = NULL;
	int r = 0;
	snprintf(dir, sizeof(dir), "%s/%s", parent, domain);
	int n = scandir(dir, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		r = r < 0 ? r : read_entry(dir, list[i]->d_name, out, e);
		free(list[i]);
	}
	free(list);
	return r;
}

static int read_identity(const char *domain, struct identity *out, struct err *e)
{
	static const char *const parents[] = {"/etc/pontoon/certs.d", "/etc/docker/certs.d"};
	try(add_file(SYSTEM_CA, &out->ca, e));
	for (size_t i = 0; i < ARRAY_LEN(parents); i++)
		try(read_directory(parents[i], domain, out, e));
	return 0;
}

static int put_file(const char *name, const struct buf *b, struct err *e)
{
	return b->bad ? err_nomem(e) : write_file(name, b->data ? b->data : "", b->len, 0444, e);
}

static int make_view(const char *dir, const struct identity *id, struct err *e)
{
	OWN(own_buf) struct buf resolv = {}, hosts = {}, nss = {};
	try(add_file("/etc/resolv.conf", &resolv, e));
	try(add_file("/etc/hosts", &hosts, e));
	buf_puts(&nss, "hosts: files dns\n");
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return err_errno(e, -errno, "make name spaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(e, -errno, "make mounts private");
	if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=32m") < 0 || chdir(dir) < 0 || mkdir("etc", 0755) < 0)
		return err_errno(e, -errno, "make a view at %s", dir);
	try(put_file("etc/resolv.conf", &resolv, e));
	try(put_file("etc/hosts", &hosts, e));
	try(put_file("etc/nsswitch.conf", &nss, e));
	try(put_file(&FETCH_CA[1], &id->ca, e));
	if (id->cert.len) {
		try(put_file(&FETCH_CERT[1], &id->cert, e));
		try(put_file(&FETCH_KEY[1], &id->key, e));
	}
	if (mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return err_errno(e, -errno, "make the view read-only");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_errno(e, -errno, "make the view the root");
	return 0;
}

static int drop(struct err *e)
{
	const struct rlimit core = {0, 0}, files = {OPEN_FILES, OPEN_FILES};
	const uid_t id = PONTOON_FETCH_UID;
	if (setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_errno(e, -errno, "set a resource limit");
#if !SANITIZED
	const struct rlimit memory = {LIMIT_IMAGE_MEMORY, LIMIT_IMAGE_MEMORY};
	if (setrlimit(RLIMIT_AS, &memory) < 0)
		return err_errno(e, -errno, "set a resource limit");
#endif
	/* all three ids leave root, and with it all capabilities; no exec brings one back */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
		return err_errno(e, -errno, "become user %u", id);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) /* changing the user has cleared it */
		return err_errno(e, -errno, "prctl");
	return 0;
}

static const int calls[] = {
	/* sockets */
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(shutdown), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(ioctl),
	/* what wakes curl's loop */
	SCMP_SYS(pipe2), SCMP_SYS(pipe), SCMP_SYS(eventfd2),
	/* files: those of the view, and those that bodies come from and go to */
	SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(close), SCMP_SYS(lseek),
	SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(access), SCMP_SYS(uname),
	/* memory, threads, time, chance, end */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(prlimit64), SCMP_SYS(getrlimit), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getrusage), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
};

static const int sanitizer_calls[] = {
	SCMP_SYS(sigaltstack), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(prctl), SCMP_SYS(sched_getaffinity), SCMP_SYS(tgkill), SCMP_SYS(sysinfo),
};

static void own_filter(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static int rule(scmp_filter_ctx f, int r, uint32_t action, int call, struct scmp_arg_cmp arg)
{
	return r < 0 ? r : seccomp_rule_add(f, action, call, 1, arg);
}

static int load_filter(struct err *e)
{
	static const int families[] = {AF_INET, AF_INET6, AF_NETLINK};
	OWN(own_filter) scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = f ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(calls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	for (size_t i = 0; SANITIZED && r == 0 && i < ARRAY_LEN(sanitizer_calls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, sanitizer_calls[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		r = rule(f, r, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	/* the resolver tries a cache daemon first, curl a socket pair for its own wake-up: they do without */
	r = rule(f, r, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	r = rule(f, r, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	r = rule(f, r, SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	r = rule(f, r, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	r = rule(f, r, SCMP_ACT_ALLOW, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r == 0) /* its flags are in memory, where a filter cannot look: glibc falls back to clone */
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!SANITIZED)
		r = rule(f, r, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (r == 0)
		r = seccomp_load(f);
	return r < 0 ? err_errno(e, r, "load the system call filter") : 0;
}

int confine_fetch(const char *dir, const char *domain, unsigned keep, bool *has_certificate, struct err *e)
{
	OWN(own_identity) struct identity id = {};
	try(read_identity(domain, &id, e));
	if (syscall(SYS_close_range, keep, ~0u, 0) < 0)
		return err_errno(e, -errno, "close descriptors");
	if (make_view(dir, &id, e) < 0 || drop(e) < 0 || load_filter(e) < 0)
		return err_ctx(e, "confinement of the fetcher");
	*has_certificate = id.cert.len > 0;
	return 0;
}
