#include "image/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/limits.h"

struct registry {
	int sock;
	int64_t last; /* id */
};

int registry_open(const struct fetcher_conf *c, const char *dir, int at, struct registry **out, struct err *e)
{
	int pair[2];
	struct outcome hello;
	OWN(own_arena) struct arena a = {};
	OWN(own_registry) struct registry *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(e);
	r->sock = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, -errno, "socketpair");
	pid_t pid = fork();
	if (pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return err_errno(e, -errno, "start the fetcher");
	}
	if (pid == 0) {
		if (dup3(pair[1], 3, O_CLOEXEC) < 0) /* in place of the descriptor that tells the result */
			_exit(1);
		fetcher_run(3, dir, c);
	}
	close(pair[1]);
	r->sock = pair[0];
	if (r->sock != at) {
		int moved = dup3(r->sock, at, O_CLOEXEC);
		close(r->sock);
		r->sock = moved;
	}
	if (r->sock < 0)
		return err_errno(e, -errno, "dup");
	try(registry_next(r, -1, &a, &hello, e));
	if (hello.status == 0)
		return err_set(e, -EIO, "%s", hello.error);
	*out = STEAL(r);
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	if (r->sock >= 0)
		close(r->sock);
	free(r);
}

int registry_send(struct registry *r, struct errand *m, int fd, struct err *e)
{
	OWN(own_free) char *text = NULL;
	m->id = ++r->last;
	try(errand_encode(m, &text, e));
	int n = fd_send(r->sock, text, strlen(text), &fd, fd >= 0);
	return n < 0 ? err_errno(e, n, "write to the fetcher") : 0;
}

int registry_next(struct registry *r, int ms, struct arena *a, struct outcome *o, struct err *e)
{
	static char text[ERRAND_MAX];
	struct pollfd p = {.fd = r->sock, .events = POLLIN};
	int k = poll(&p, 1, ms);
	if (k == 0 || (k < 0 && errno == EINTR))
		return 0;
	ssize_t n = recv(r->sock, text, sizeof(text), 0);
	if (n <= 0)
		return err_set(e, -EIO, "the process that speaks with the registry has ended");
	try(outcome_decode(text, (size_t)n, a, o, e));
	return 1;
}

int outcome_failed(const struct outcome *o, struct err *e)
{
	if (o->status)
		return 0;
	if (o->no_space)
		return err_set(e, -ENOSPC, "%s", o->error);
	if (o->unauthorized) /* kind internal: a client would ask a person for a password in the middle of it, as it must not */
		return err_set(e, -EACCES, "%s", o->error);
	return err_set(e, o->stalled ? -ETIMEDOUT : -EIO, "%s", o->error);
}

int registry_call(struct registry *r, struct errand *m, int fd, void (*heard)(void *arg, const struct outcome *o), void *arg, struct arena *a, struct outcome *o, struct err *e)
{
	try(registry_send(r, m, fd, e));
	for (;;) {
		struct outcome x;
		int k = registry_next(r, -1, a, &x, e);
		try(k);
		if (k == 0 || x.id != m->id)
			continue;
		if (x.done) {
			try(outcome_failed(&x, e));
			*o = x;
			return 0;
		}
		if (heard)
			heard(arg, &x);
	}
}

int outcome_refused(const struct outcome *o, const char *repo, const char *ref, struct err *e)
{
	const char *said = *o->message ? o->message : "the registry does not say why";
	if (streq(o->code, "DENIED"))
		return err_as(e, ERR_NOT_FOUND, "pull access denied for %s, repository does not exist or may require 'docker login': denied: %s", repo, said);
	if (streq(o->code, "NAME_UNKNOWN"))
		return err_as(e, ERR_NOT_FOUND, "repository %s not found: name unknown: %s", repo, said);
	if (streq(o->code, "MANIFEST_UNKNOWN") || (o->status == 404 && !*o->code))
		return err_as(e, ERR_NOT_FOUND, "manifest for %s not found: manifest unknown: %s", ref, *o->message ? o->message : "manifest unknown");
	if (streq(o->code, "TOOMANYREQUESTS"))
		return err_as(e, ERR_UNAVAILABLE, "toomanyrequests: %s", said);
	if (o->status == 403 || streq(o->code, "UNAUTHORIZED"))
		return err_set(e, -EACCES, "%s: %s", o->status == 403 ? "denied" : "unauthorized", said);
	return err_set(e, -EIO, "the registry answered with status %lld%s%s: %s", (long long)o->status, *o->code ? " " : "", o->code, said);
}
