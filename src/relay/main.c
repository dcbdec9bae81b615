/* pontoon-relay: started by pontoond with its control socket (SEQPACKET, listening) as descriptor 3 and a first connection as 4; see pontoon-relay(8). */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/sanitized.h"
#include "relay/confine.h"
#include "relay/relay.h"

#define LISTENER 3
#define FIRST    4

/* By the page: one call for hundreds of ids. */
void chance_bytes(void *p, size_t n)
{
	static uint8_t page[4096];
	static size_t used = sizeof(page);
	if (n > sizeof(page) - used) {
		while (getrandom(page, sizeof(page), 0) != sizeof(page))
			;
		used = 0;
	}
	memcpy(p, page + used, n);
	used += n;
}

static bool is_listener(int fd)
{
	int on = 0;
	socklen_t n = sizeof(on);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 && on;
}

static void relay_free(struct relay *r)
{
	control_close(r);
	sandboxes_free(r);
	proxy_close(r);
	lanes_close(&r->host);
	zones_free(&r->zones);
	cache_free(&r->cache);
	loop_close(&r->loop);
}

static int serve(uid_t uid, gid_t gid, struct err *e)
{
	static struct relay relay;
	struct relay *r = &relay;
	r->host.relay = r;
	try(loop_open(&r->loop, e));
	chance_bytes(&r->chance, sizeof(r->chance));
	int result = control_open(r, LISTENER, FIRST, e);
	if (result >= 0)
		result = relay_confine(uid, gid, e);
	if (result >= 0)
		proxy_open(r, (unsigned)result);
	if (result >= 0)
		result = loop_run(&r->loop, e);
	relay_free(r);
	return result;
}

#if SANITIZED
/* As in pontoon-image: the leak check at exit starts a tracing process, which the confinement does not let it; it would wait for that forever. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int usage(void)
{
	fputs("usage: pontoon-relay --uid N --gid N [--debug]\nIt is started by pontoond: see pontoon-relay(8).\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option table[] = {{"uid", required_argument, NULL, 'u'}, {"gid", required_argument, NULL, 'g'}, {"debug", no_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
	struct err e = {0};
	unsigned long uid = 0, gid = 0;
	int c;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'u')
			uid = strtoul(optarg, NULL, 10);
		else if (c == 'g')
			gid = strtoul(optarg, NULL, 10);
		else if (c == 'd')
			log_set_level(LOG_L_DEBUG);
		else
			return usage();
	}
	if (!uid || !gid || optind != argc || !is_listener(LISTENER))
		return usage();
	/* A connecting daemon takes the pid of whoever called listen(2) for the relay's (SO_PEERCRED, net/unix/af_unix.c): that must be this process. */
	if (listen(LISTENER, 4) < 0) {
		log_error("listen: %s", strerror(errno));
		return 1;
	}
	/* The daemon's signals are not ours: whoever stops the daemon by its process group leaves names and ports alone. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (serve((uid_t)uid, (gid_t)gid, &e) < 0) {
		log_error("%s", e.msg);
		return 1;
	}
	return 0;
}
