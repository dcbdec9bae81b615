#include "cli/user_config.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/strv.h"

#define CONFIG_MAX (4u << 20)

const char *user_config_dir(struct arena *a)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	return str_empty(dir) ? arena_printf(a, "%s/.docker", str_empty(home) ? "" : home) : arena_dup(a, dir);
}

const char *user_config_path(struct arena *a)
{
	const char *dir = user_config_dir(a);
	return dir ? arena_printf(a, "%s/config.json", dir) : NULL;
}

int user_config_read(struct arena *a, json_t **out, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	OWN(own_json) json_t *j = NULL;
	const char *path = user_config_path(a);
	struct err why = {0};
	if (!path)
		return err_nomem(e);
	int r = read_file(path, CONFIG_MAX, &b, &why);
	if (r == -ENOENT || r == -ENOTDIR || (r >= 0 && b.len == 0)) {
		*out = json_object();
		return *out ? 0 : err_nomem(e);
	}
	if (r < 0)
		return err_set(e, r, "%s", why.msg);
	r = json_parse(buf_str(&b), b.len, &j, NULL); /* the parser's words might quote a secret */
	explicit_bzero(b.data, b.cap);
	if (r < 0 || !json_is_object(j))
		return err_as(e, ERR_INVALID, "%s is not a JSON object", path);
	*out = STEAL(j);
	return 0;
}

int user_config_write(const json_t *j, struct arena *a, struct err *e)
{
	const char *path = user_config_path(a), *dir = user_config_dir(a);
	OWN(own_free) char *text = json_dumps(j, JSON_INDENT(8));
	if (!path || !dir || !text)
		return err_nomem(e);
	if (*dir)
		try(mkdir_p(dir, 0700, e));
	int r = write_file_atomic(path, text, strlen(text), 0600, true, e);
	explicit_bzero(text, strlen(text));
	return r;
}
