#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/real.h"

/* /proc/sys/net shows the namespace of the reading task; /proc itself need not be mounted anew for it. */
static int open_ctl(const char *path, int flags, struct err *e)
{
	char full[PATH_MAX];
	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	int fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? err_errno(e, -errno, "sysctl %s", path) : fd;
}

int sysctl_write(const char *path, const char *value, struct err *e)
{
	OWN(own_fd) int fd = open_ctl(path, O_WRONLY, e);
	if (fd < 0)
		return fd;
	int r = write_all(fd, value, strlen(value));
	return r < 0 ? err_errno(e, r, "sysctl %s = %s", path, value) : 0;
}

bool sysctl_is_moot(const char *path, const char *value)
{
	char link[IFNAME], name[32], dir[64];
	if (!str_starts(path, "net/ipv6/"))
		return false;
	if (access("/proc/sys/net/ipv6", F_OK) < 0)
		return true;
	if (sscanf(path, "net/ipv6/conf/%15[^/]/%31s", link, name) != 2 ||
		!((streq(name, "accept_ra") && streq(value, "0")) || (streq(name, "disable_ipv6") && streq(value, "1"))))
		return false;
	snprintf(dir, sizeof(dir), "/proc/sys/net/ipv6/conf/%s", link);
	return access(dir, F_OK) < 0 && if_nametoindex(link);
}

int sysctl_read(const char *path, char *out, size_t size, struct err *e)
{
	OWN(own_fd) int fd = open_ctl(path, O_RDONLY, e);
	if (fd < 0)
		return fd;
	ssize_t n = read(fd, out, size - 1);
	if (n < 0)
		return err_errno(e, -errno, "sysctl %s", path);
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

int kernel_sysctl_get(const char *path, char *out, size_t size, struct err *e)
{
	return sysctl_read(path, out, size, e);
}
