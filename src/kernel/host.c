#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/spawn.h"
#include "kernel/real.h"

static bool same_netns(const char *pid, const struct stat *own)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	return stat(path, &st) == 0 && st.st_dev == own->st_dev && st.st_ino == own->st_ino;
}

static bool is_dockerd(const char *pid)
{
	OWN(own_buf) struct buf b = {0};
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	return read_file(path, 64, &b, NULL) >= 0 && streq(buf_str(&b), "dockerd\n");
}

/* The module br_netfilter, loaded on demand. It begins by showing the packets of all bridges to the firewall; where it was not there before,
 * nobody reckons with that, so it is told not to: ours are switched one by one. */
int netfilter_on_bridges(struct err *e)
{
	static const char sign[] = "/proc/sys/net/bridge/bridge-nf-call-iptables";
	static const char *const argv[] = {"modprobe", "br_netfilter", NULL}, *const calls[] = {"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
		"net/bridge/bridge-nf-call-arptables"};
	OWN(own_buf) struct buf text = {0};
	struct spawn s = {.argv = argv};
	struct spawn_io io = {.err = &text, .timeout_ms = 10000};
	const char *ignore = getenv("DOCKER_IGNORE_BR_NETFILTER_ERROR");
	int status = 0;
	if (access(sign, F_OK) == 0)
		return 0;
	(void)spawn_run(&s, &io, &status, NULL); /* what counts is whether it is there now */
	if (access(sign, F_OK) == 0) {
		for (size_t i = 0; i < ARRAY_LEN(calls); i++)
			try(sysctl_write(calls[i], "0", e));
		return 0;
	}
	if (ignore && streq(ignore, "1"))
		return 0;
	text.len = strcspn(buf_str(&text), "\n");
	if (text.data)
		text.data[text.len] = '\0';
	return err_set(e, -ENOSYS,
		"cannot restrict inter-container communication or run without the userland proxy: modprobe br_netfilter: %.256s: set environment variable DOCKER_IGNORE_BR_NETFILTER_ERROR=1 to ignore",
		text.len ? buf_str(&text) : "the kernel has no such module");
}

int kernel_foreign_dockerd(struct err *e)
{
	struct stat own;
	struct dirent *d;
	if (stat("/proc/self/ns/net", &own) < 0)
		return err_errno(e, -errno, "stat /proc/self/ns/net");
	OWN(own_dir) DIR *proc = opendir("/proc");
	if (!proc)
		return err_errno(e, -errno, "open /proc");
	while ((d = readdir(proc)))
		if (isdigit((unsigned char)d->d_name[0]) && is_dockerd(d->d_name) && same_netns(d->d_name, &own))
			return err_as(e, ERR_CONFLICT, "dockerd (pid %s) runs in this network namespace and owns docker0 and its firewall rules: stop it first (systemctl stop docker docker.socket)",
				d->d_name);
	return 0;
}
