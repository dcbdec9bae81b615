#include "image/request.h"

#include "base/fd.h"
#include "base/limits.h"

int request_read(int fd, const struct json_field *t, void *obj, struct arena *a, struct err *e)
{
	OWN(own_buf) struct buf b = {};
	int r = read_fd(fd, LIMIT_IMAGE_HAVE, &b, e);
	if (r >= 0)
		r = json_decode_text(buf_str(&b), b.len, t, obj, a, e);
	if (b.data)
		explicit_bzero(b.data, b.cap);
	return r < 0 ? err_ctx(e, "the request") : 0;
}
