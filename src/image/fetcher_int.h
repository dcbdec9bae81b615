/* Shared by fetcher.c (transfers) and fetcher_auth.c (authorization). */
#pragma once

#include <curl/curl.h>

#include "image/answer.h"
#include "image/fetcher.h"

struct fetcher {
	const struct fetcher_conf *conf;
	CURLM *multi;
	struct transfer *list;
	size_t active;
	int sock;
	char base[512]; /* "https://registry-1.docker.io" */
	bool answered;  /* with this base, once */
	bool has_certificate; /* of the client, for this registry: FETCH_CERT and FETCH_KEY */
	char authorization[ANSWER_TOKEN + 64]; /* header; "" = none yet */
	unsigned round; /* counts authorizations */
};

#define FETCHER_TEXT 512
#define FETCHER_BODY (64u << 10) /* of errors and tokens */

/* What every transfer has in common; NULL when out of memory. */
CURL *fetcher_easy(const struct fetcher *f);
/* One sentence for a code of curl. */
void fetcher_reason(const struct fetcher *f, CURLcode rc, const char *detail, char out[static FETCHER_TEXT]);
/* Answers what a registry asked for in WWW-Authenticate (all such headers, joined by commas): sets f->authorization. ERR_UNAUTHORIZED when it cannot be answered. */
int fetcher_authorize(struct fetcher *f, const char *challenges, struct err *e);
