#include "base/base64.h"

#include <errno.h>
#include <string.h>

char *base64_encode(struct arena *a, const void *p, size_t n, bool url)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *digits = url ? safe : plain;
	const unsigned char *in = p;
	char *out = arena_alloc(a, (n + 2) / 3 * 4 + 1, 1);
	size_t k = 0;
	for (size_t i = 0; out && i < n; i += 3) {
		unsigned v = (unsigned)in[i] << 16 | (i + 1 < n ? (unsigned)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
		out[k++] = digits[v >> 18];
		out[k++] = digits[v >> 12 & 63];
		out[k++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
		out[k++] = i + 2 < n ? digits[v & 63] : '=';
	}
	return out;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

ssize_t base64_bytes(const char *text, size_t n, void *out)
{
	unsigned char *b = out;
	unsigned bits = 0, have = 0;
	size_t k = 0;
	while (n && text[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++) {
		int d = digit(text[i]);
		if (d < 0)
			return -EINVAL;
		bits = (bits << 6 | (unsigned)d) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			b[k++] = (unsigned char)(bits >> have);
		}
	}
	return n % 4 == 1 ? -EINVAL : (ssize_t)k;
}

ssize_t base64_decode(struct arena *a, const char *text, char **out)
{
	size_t n = strlen(text);
	char *b = arena_alloc(a, n + 1, 1);
	if (!b)
		return -ENOMEM;
	ssize_t k = base64_bytes(text, n, b);
	if (k < 0)
		return k;
	b[k] = '\0';
	*out = b;
	return k;
}
