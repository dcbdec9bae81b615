#include "base/strv.h"

#include <errno.h>

/* Full when n is a power of two (or 0): the capacity is the next one. */
static bool full(size_t n)
{
	return (n & (n - 1)) == 0;
}

static void *grow(struct arena *a, const void *old, size_t n, size_t size)
{
	void *v = arena_new_array(a, size, _Alignof(max_align_t), n ? n * 2 : 1);
	if (v && n)
		memcpy(v, old, n * size);
	return v;
}

int strv_add(struct arena *a, struct strv *l, const char *s)
{
	const char *copy = arena_dup(a, s);
	if (full(l->n)) {
		const char **v = grow(a, l->v, l->n, sizeof(*v));
		if (!v)
			return -ENOMEM;
		l->v = v;
	}
	if (!copy)
		return -ENOMEM;
	l->v[l->n++] = copy;
	return 0;
}

int kvs_set(struct arena *a, struct kvs *m, const char *key, const char *value)
{
	const char *copy = arena_dup(a, value);
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		if (streq(m->v[i].key, key)) {
			m->v[i].value = copy;
			return 0;
		}
	}
	if (full(m->n)) {
		struct kv *v = grow(a, m->v, m->n, sizeof(*v));
		if (!v)
			return -ENOMEM;
		m->v = v;
	}
	const char *name = arena_dup(a, key);
	if (!name)
		return -ENOMEM;
	m->v[m->n++] = (struct kv){.key = name, .value = copy};
	return 0;
}

const char *kvs_get(const struct kvs *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++)
		if (streq(m->v[i].key, key))
			return m->v[i].value;
	return NULL;
}

bool strv_has(const struct strv *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->v[i], s))
			return true;
	return false;
}

struct strv strv_copy(struct arena *a, const struct strv *l)
{
	struct strv out = {0};
	for (size_t i = 0; i < l->n; i++)
		if (strv_add(a, &out, l->v[i]) < 0)
			break; /* the arena remembers */
	return out;
}

struct kvs kvs_copy(struct arena *a, const struct kvs *m)
{
	struct kvs out = {0};
	for (size_t i = 0; i < m->n; i++)
		if (kvs_set(a, &out, m->v[i].key, m->v[i].value) < 0)
			break;
	return out;
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);
	bool fits = n < size;
	if (!fits)
		n = size - 1;
	memmove(dst, src, n);
	dst[n] = '\0';
	return fits;
}

/* Length of the well-formed sequence at s, 0 if there is none: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char first, last, low, high; /* of the first byte; of the second */
		size_t n;
	} forms[] = {{0x01, 0x7f, 0, 0, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4}};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (s[0] < forms[i].first || s[0] > forms[i].last)
			continue;
		if (forms[i].n > 1 && (s[1] < forms[i].low || s[1] > forms[i].high))
			return 0;
		for (size_t k = 2; k < forms[i].n; k++)
			if (s[k] < 0x80 || s[k] > 0xbf) /* the NUL at the end is no continuation: never read beyond it */
				return 0;
		return forms[i].n;
	}
	return 0;
}

void str_make_utf8(char *s)
{
	while (*s) {
		size_t n = utf8_length((const unsigned char *)s);
		if (!n)
			*s = '?';
		s += n ? n : 1;
	}
}

bool kvs_has_term(const struct kvs *m, const char *term)
{
	size_t n = strcspn(term, "=");
	for (size_t i = 0; i < m->n; i++)
		if (strncmp(m->v[i].key, term, n) == 0 && m->v[i].key[n] == '\0')
			return !term[n] || streq(m->v[i].value, term + n + 1);
	return false;
}
