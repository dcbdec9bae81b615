/* fetcher: the process that speaks with one registry for one job. It gets errands over a socket, runs several at once, authorizes itself, follows redirects, resumes what
 * broke off, and tells the outcomes. It believes nothing and decides nothing about images. */
#pragma once

#include "base/strv.h"
#include "image/auth.h"

struct fetcher_conf {
	const char *domain; /* "docker.io", "localhost:5000": whose certificates count */
	const char *base;   /* "https://registry-1.docker.io" */
	const char *repo;   /* "library/alpine": what tokens are asked for; "" = none */
	bool push;          /* tokens are for writing too */
	bool insecure;      /* plain HTTP, and certificates that nobody vouches for */
	bool plain;         /* plain HTTP only because the base says so: where TLS is spoken it is verified */
	int attempts;       /* at a blob whose connection breaks off */
	int stall;          /* seconds without a byte after which a connection is given up */
	struct strv mounts; /* repositories of this registry that blobs are mounted from */
	const struct auth *auth;
};

#define FETCHER_STALL 60
#define FETCHER_ATTEMPTS 5
#define FETCHER_ACTIVE 16 /* errands at once */

/* Until the other end of the socket closes. Never returns. dir: of the job, covered by the fetcher's view. */
_Noreturn void fetcher_run(int sock, const char *dir, const struct fetcher_conf *c);
