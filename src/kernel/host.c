#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "kernel/kernel.h"

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
