/* answer: what a registry says beside manifests and blobs: errors, tokens, lists of tags, headers. Pure: hostile text in, values of fixed size or in the arena out.
 * Errors: ERR_INVALID. */
#pragma once

#include "base/json.h"

/* The first error of {"errors":[{"code":...,"message":...}]}; of any other text code and message are "". Control characters are taken out: they are shown to people. */
struct answer_error {
	char code[64], message[512];
};
void answer_error(const char *text, size_t len, struct answer_error *out);

/* {"token":...} or {"access_token":...}: the bearer token. */
#define ANSWER_TOKEN 16384
int answer_token(const char *text, size_t len, char out[static ANSWER_TOKEN], struct err *e);

/* {"name":...,"tags":[...]} : the valid ones are appended. */
int answer_tags(const char *text, size_t len, struct arena *a, struct strv *out, struct err *e);

/* {"results":[{"name":...,"description":...,"star_count":1,"is_official":true,"is_automated":false}]}: the first `most` of them as GET /images/search has them;
 * those without a name that can be shown are left out. */
#define ANSWER_NAME        255 /* bytes */
#define ANSWER_DESCRIPTION 1024
int answer_search(const char *text, size_t len, size_t most, json_t **out, struct err *e);

/* Content-Range "bytes 100-199/200": where the body begins. */
int answer_content_range(const char *s, uint64_t *first, struct err *e);
/* Range "0-99" or "bytes=0-99", of an upload that goes on: how many bytes the registry has. */
int answer_upload_range(const char *s, uint64_t *have, struct err *e);
/* Link: </v2/x/tags/list?n=2&last=b>; rel="next" : the target of the next page, false when there is none or it does not fit. */
bool answer_next_link(const char *s, char *out, size_t size);
