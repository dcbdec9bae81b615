#include "image/import.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "image/config.h"
#include "image/layer.h"

/* Bytes to come, when standard input is a file; 0 for a pipe. */
static uint64_t size_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

int import_run(struct job *j, const struct import *in, struct err *e)
{
	const struct job_progress p = {.status = "Importing", .id = "", .total = size_of(j->in)};
	char created[TIME_TEXT], id[DIGEST_TEXT];
	OWN(own_free) char *config = NULL;
	struct layer l;

	try(layer_unpack(j, j->in, &p, &l, e));
	const char *diff_ids[] = {l.diff_id}, *tags[] = {in->tag};
	struct config_import ci = {
		.platform = &in->platform,
		.message = in->message,
		.created = time_format(clock_real_ns(), created),
		.config = &in->config,
		.diff_id = l.diff_id,
	};
	try(config_make(&ci, &config, e));
	digest_of(config, strlen(config), id);
	struct job_layer layer = {l.diff_id, l.dir, l.size};
	struct job_image image = {
		.id = digest_hex(id),
		.config = config,
		.tags = {tags, in->tag != NULL},
		.diff_ids = {diff_ids, 1},
	};
	struct job_result r = {.images = {&image, 1}, .layers = {&layer, 1}};
	return job_tell_result(j, &r, e);
}
