#include "daemon/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "base/strv.h"

static struct sockaddr_un address;
static socklen_t length;

void notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	if (!str_empty(path) && (*path == '/' || *path == '@') && STR_COPY(address.sun_path, path)) {
		address.sun_family = AF_UNIX;
		length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
		if (*path == '@')
			address.sun_path[0] = '\0'; /* abstract: the length counts, not a NUL */
	}
	unsetenv("NOTIFY_SOCKET");
}

static void tell(const char *text)
{
	if (!length)
		return;
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, length) < 0)
		log_warn("systemd could not be told: %.20s", text);
}

void notify_ready(void)
{
	tell("READY=1\nSTATUS=Serving");
}

void notify_reloading(void)
{
	struct timespec now;
	char text[96];
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	tell(text);
}

void notify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=Stopping containers");
}
