#include "image/commit.h"

#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "image/config.h"
#include "image/layer.h"
#include "image/tar_tree.h"

const struct json_field commit_table[] = {
	{"parent", J_STR, offsetof(struct commit_request, parent)},
	{"container", J_STR, offsetof(struct commit_request, container)},
	{"config", J_RAW, offsetof(struct commit_request, config)},
	{"author", J_STR, offsetof(struct commit_request, author)},
	{"message", J_STR, offsetof(struct commit_request, message)},
	{"tag", J_STR, offsetof(struct commit_request, tag)},
	{"changes", J_STRV, offsetof(struct commit_request, changes)},
	J_END,
};

#define FILE_NAME "upper"
#define EMPTY     1024 /* bytes of a tar with nothing in it */

/* The tree as a file of the job. */
static int pack(struct job *j, int upper, struct sink_sum *sum, struct err *e)
{
	OWN(own_fd) int fd = openat(j->dir, FILE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	OWN(own_sink) struct sink *s = NULL;
	OWN(own_tar_tree) struct tar_tree *t = NULL;
	if (fd < 0)
		return err_errno(e, -errno, "create " FILE_NAME);
	try(sink_open(fd, SINK_ZSTD, &s, e));
	struct tar_writer w = tar_writer_to(s);
	try(tar_tree_new(&w, TAR_TREE_LAYER, &t, e));
	try(tar_tree_put(t, upper, ".", "", e));
	try(tar_write_end(&w, e));
	return sink_end(s, sum, e);
}

int commit_run(struct job *j, const struct commit_request *q, int upper, struct err *e)
{
	OWN(own_arena) struct arena a = {};
	OWN(own_free) char *config = NULL;
	char created[TIME_TEXT], id[DIGEST_TEXT];
	const struct job_progress p = {.status = "Committing", .id = ""};
	struct sink_sum sum;
	struct config_facts facts;
	struct layer l = {};

	try(pack(j, upper, &sum, e));
	bool empty = sum.plain_size == EMPTY;
	if (!empty) {
		try(layer_unpack_file(j, j->dir, FILE_NAME, &p, &l, e));
		if (!streq(l.diff_id, sum.plain))
			return err_set(e, -EIO, "the layer of the container reads otherwise than it was written");
	}
	unlinkat(j->dir, FILE_NAME, 0);
	const struct config_commit c = {
		.parent = q->parent, .container = q->container, .config = q->config, .author = q->author, .message = q->message, .created = time_format(clock_real_ns(), created),
		.diff_id = empty ? NULL : l.diff_id, .changes = &q->changes,
	};
	try(config_make_commit(&c, &config, &a, e));
	try(config_read(config, strlen(config), &a, &facts, e));
	digest_of(config, strlen(config), id);
	struct job_layer layer = {l.diff_id, l.dir, l.size};
	struct job_image image = {.id = digest_hex(id), .config = config, .tags = {(const char *[]){q->tag}, *q->tag != '\0'}, .diff_ids = facts.diff_ids};
	const struct job_result r = {.images = {&image, 1}, .layers = {&layer, !empty}};
	return job_tell_result(j, &r, e);
}
