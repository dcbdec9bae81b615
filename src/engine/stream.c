#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "engine/engine_int.h"

int frame_send(int sock, bool multiplex, int stream, const void *p, size_t n)
{
	if (multiplex) {
		unsigned char head[8] = {(unsigned char)stream, 0, 0, 0, (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};
		try(write_all(sock, head, sizeof(head)));
	}
	return write_all(sock, p, n);
}

void frame_put(struct buf *out, bool multiplex, int stream, const void *p, size_t n)
{
	if (multiplex) {
		unsigned char head[8] = {(unsigned char)stream, 0, 0, 0, (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};
		buf_put(out, head, sizeof(head));
	}
	buf_put(out, p, n);
}

/* One key: a character, or ctrl-<a letter or one of @[\]^_>. */
static int parse_key(const char *s, size_t n, unsigned char *out)
{
	static const char special[] = "@[\\]^_";
	if (n == 1 && (unsigned char)*s < 0x80) {
		*out = (unsigned char)*s;
		return 0;
	}
	if (n != 6 || strncmp(s, "ctrl-", 5) != 0)
		return -EINVAL;
	char c = s[5];
	if (c >= 'a' && c <= 'z')
		*out = (unsigned char)(c - 'a' + 1);
	else if (c == '@')
		*out = 0;
	else if (strchr(special, c))
		*out = (unsigned char)(c - '[' + 27);
	else
		return -EINVAL;
	return 0;
}

int engine_detach_keys_check(const char *s, struct err *e)
{
	struct keys k;
	return keys_parse(s, &k, e);
}

int keys_parse(const char *s, struct keys *out, struct err *e)
{
	struct keys k = {0};
	if (str_empty(s))
		s = "ctrl-p,ctrl-q";
	for (const char *p = s;;) {
		size_t n = strcspn(p, ",");
		if (p[0] == ',' && (p[1] == ',' || !p[1]))
			n = 1; /* the comma itself */
		if (k.n == sizeof(k.seq) || parse_key(p, n, &k.seq[k.n]) < 0)
			return err_as(e, ERR_INVALID, "Invalid detach keys (%s) provided", s);
		k.n++;
		p += n;
		if (!*p)
			break;
		p++;
	}
	*out = k;
	return 0;
}

bool keys_filter(struct keys *k, const unsigned char *in, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		if (k->n && in[i] == k->seq[k->at]) {
			if (++k->at == k->n) {
				k->at = 0;
				return true;
			}
			continue;
		}
		buf_put(out, k->seq, k->at); /* it was no detach: what was held back goes on */
		k->at = 0;
		if (k->n && in[i] == k->seq[0]) {
			k->at = 1;
			if (k->n == 1)
				return true;
			continue;
		}
		buf_putc(out, (char)in[i]);
	}
	return false;
}
