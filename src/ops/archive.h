/* archive: a container's files by the API's verbs: errors in Docker's words, the life lock where the root is mounted for it. */
#pragma once

#include "engine/archive.h"
#include "ops/core.h"

struct archive; /* an opened container: what its files are made of stays as long */
int archive_open(struct core *c, const char *term, struct archive **out, struct err *e);
void archive_close(struct archive *a); /* NULL is fine */
int archive_stat(struct archive *a, const char *path, json_t **out, struct err *e);
int archive_take(struct archive *a, const char *path, int out, struct err *e);
int archive_put(struct archive *a, const char *path, int in, bool keep_kinds, bool as_user, struct err *e);
int archive_export(struct archive *a, int out, struct err *e);
int archive_changes(struct archive *a, json_t **out, struct err *e);
const char *archive_id(const struct archive *a);
