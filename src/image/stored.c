#include "image/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/ref.h"
#include "image/sink.h"
#include "image/source.h"

static const struct json_field layer_table[] = {
	{"diff_id", J_STR, offsetof(struct stored_layer, diff_id)},
	{"dir", J_STR, offsetof(struct stored_layer, dir)},
	{"from", J_STR, offsetof(struct stored_layer, from)},
	J_END,
};

const struct json_field stored_image_table[] = {
	{"id", J_STR, offsetof(struct stored_image, id)},
	{"config", J_STR, offsetof(struct stored_image, config)},
	{"tags", J_STRV, offsetof(struct stored_image, tags)},
	{"layers", J_OBJV, offsetof(struct stored_image, layers), 0, layer_table, sizeof(struct stored_layer)},
	J_END,
};

int stored_open(int layers, const struct stored_layer *l, int *out, struct err *e)
{
	struct open_how how = {.flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	char path[64];
	if (!l->dir || !l->diff_id || !ref_is_sha256(l->diff_id) || snprintf(path, sizeof(path), "%s/blob", l->dir) >= (int)sizeof(path))
		return err_as(e, ERR_INVALID, "the request names a layer that is none");
	int fd = (int)syscall(SYS_openat2, layers, path, &how, sizeof(how));
	if (fd < 0 && errno == ENOENT)
		return err_set(e, -ENOENT, "the archive of layer %.19s is not stored: get the image again", l->diff_id);
	if (fd < 0)
		return err_errno(e, -errno, "open the archive of layer %.19s", l->diff_id);
	*out = fd;
	return 0;
}

int stored_plain(struct job *j, int fd, const struct stored_layer *l, struct sink *to, uint64_t *size, struct err *e)
{
	OWN(own_source) struct source *s = NULL;
	struct digest d;
	char have[DIGEST_TEXT];
	const void *p;
	ssize_t n;
	uint64_t budget = j->budget.bytes, all = 0;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(e, -errno, "read a layer");
	digest_init(&d);
	try(source_open(fd, &budget, &s, e));
	while ((n = source_next(s, &p, e)) > 0) {
		digest_add(&d, p, (size_t)n);
		all += (uint64_t)n;
		if (to)
			try(sink_put(to, p, (size_t)n, e));
	}
	try((int)n);
	if (!streq(digest_end(&d, have), l->diff_id))
		return err_set(e, -EUCLEAN, "the archive of layer %.19s is damaged: its content has the digest %s", l->diff_id, have);
	*size = all;
	return 0;
}
