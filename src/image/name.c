#include "image/name.h"

#include <limits.h>

#include "base/strv.h"

#define WH ".wh."
#define WH_META ".wh..wh."

const char *name_quote(const char *s, char out[static NAME_QUOTED])
{
	size_t n = 0;
	out[n++] = '"';
	for (; *s && n < NAME_QUOTED - 12; s++) {
		unsigned char c = (unsigned char)*s;
		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	snprintf(out + n, NAME_QUOTED - n, "\"%s", *s ? "..." : "");
	return out;
}

static int bad(const char *s, struct err *e, const char *why)
{
	char q[NAME_QUOTED];
	return err_as(e, ERR_INVALID, "the name %s %s", name_quote(s, q), why);
}

int name_clean(const char *s, char out[static NAME_PATH], struct err *e)
{
	char r[NAME_PATH];
	const char *whole = s;
	size_t len = 0, parts = 0;

	if (!*s)
		return err_as(e, ERR_INVALID, "an entry without a name");
	while (*s) {
		size_t n = strcspn(s, "/");
		if (n == 2 && s[0] == '.' && s[1] == '.')
			return bad(whole, e, "has \"..\" in it");
		if (n > NAME_MAX)
			return bad(whole, e, "has a part of more than 255 bytes");
		if (n > 0 && !(n == 1 && *s == '.')) {
			if (len + (len > 0) + n > LIMIT_IMAGE_PATH)
				return bad(whole, e, "is too long");
			if (++parts > LIMIT_IMAGE_DEPTH)
				return bad(whole, e, "has too many directories in it");
			if (len > 0)
				r[len++] = '/';
			memcpy(r + len, s, n);
			len += n;
		}
		s += n + (s[n] == '/');
	}
	memcpy(out, r, len);
	out[len] = '\0';
	return 0;
}

/* True when a directory above the last part begins with `prefix`. */
static bool above_has(const char *path, const char *prefix)
{
	for (const char *next; (next = strchr(path, '/')); path = next + 1)
		if (str_starts(path, prefix))
			return true;
	return false;
}

int name_classify(const char *path, enum name_kind *kind, const char **hidden, struct err *e)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

	if (str_starts(base, WH_META) || above_has(path, WH_META)) {
		*kind = streq(base, WH_META ".opq") && !above_has(path, WH) ? NAME_OPAQUE : NAME_IGNORED;
		return 0;
	}
	if (above_has(path, WH))
		return bad(path, e, "has a directory named as a whiteout");
	if (!str_starts(base, WH)) {
		*kind = NAME_PLAIN;
		return 0;
	}
	base += strlen(WH);
	if (!*base || streq(base, ".") || streq(base, ".."))
		return bad(path, e, "is a whiteout of nothing");
	*kind = NAME_WHITEOUT;
	*hidden = base;
	return 0;
}

int name_resolve(const char *at, const char *target, char out[static NAME_PATH], struct err *e)
{
	char r[NAME_PATH];
	const char *whole = target, *slash = strrchr(at, '/');
	size_t len = slash && *target != '/' ? (size_t)(slash - at) : 0;

	memcpy(r, at, len);
	while (*target) {
		size_t n = strcspn(target, "/");
		if (n == 2 && target[0] == '.' && target[1] == '.') {
			if (len == 0)
				return bad(whole, e, "is a link that leads out of the archive");
			while (len > 0 && r[len - 1] != '/')
				len--;
			len -= len > 0;
		} else if (n > 0 && !(n == 1 && *target == '.')) {
			if (len + 1 + n > LIMIT_IMAGE_PATH)
				return bad(whole, e, "is too long");
			if (len > 0)
				r[len++] = '/';
			memcpy(r + len, target, n);
			len += n;
		}
		target += n + (target[n] == '/');
	}
	memcpy(out, r, len);
	out[len] = '\0';
	return 0;
}
