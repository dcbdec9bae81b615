#include "net/fw_shape.h"

#include <stdlib.h>

/* iptables-save quotes a comment with any other character. */
static const char comment_plain[] = "_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

static void fill_ports(unsigned first, unsigned count, struct buf *b)
{
	buf_printf(b, count > 1 ? "%u:%u" : "%u", first, first + count - 1);
}

/* A run that keeps its numbers needs none; one that is moved is told from where (iptables 1.8, revision 2 of DNAT). */
static void fill_target(const struct blanks *v, struct buf *b)
{
	char t[IP_TEXT];
	bool v6 = v->ip.family == AF_INET6, plain = v->count > 1 && v->port == v->host_port;
	ip_format(&v->ip, t);
	buf_printf(b, v6 && !plain ? "[%s]" : "%s", t);
	if (v->count > 1 && !plain)
		buf_printf(b, ":%u-%u/%u", v->port, v->port + v->count - 1, v->host_port);
	else if (!plain)
		buf_printf(b, ":%u", v->port);
}

static void fill_host(const struct ip *ip, struct buf *b)
{
	char t[IP_TEXT];
	buf_printf(b, "%s/%u", ip_format(ip, t), ip_bits(ip->family));
}

static void fill(const struct shape *s, const struct blanks *v, struct buf *b)
{
	char net[PREFIX_TEXT];
	for (const char *p = s->text; *p; p++) {
		if (*p != '%') {
			buf_putc(b, *p);
			continue;
		}
		switch (*++p) {
		case 'D':
			buf_puts(b, v->device);
			break;
		case 'S':
			buf_puts(b, ip_format(&v->source, net));
			break;
		case 'A':
			fill_host(&v->ip, b);
			break;
		case 'H':
			fill_host(&v->host, b);
			break;
		case 'P':
			fill_ports(v->port, v->count, b);
			break;
		case 'O':
			fill_ports(v->host_port, v->count, b);
			break;
		case 'Q':
			buf_puts(b, v->proto);
			break;
		case 'C':
			buf_printf(b, strspn(v->device, comment_plain) == strlen(v->device) ? "%s" : "\"%s\"", v->device);
			break;
		case 'T':
			buf_puts(b, v->trusted);
			break;
		case 'M':
			buf_puts(b, v->mark);
			break;
		case 'L':
			fill_target(v, b);
			break;
		default:
			buf_puts(b, prefix_format(&v->subnet, net));
		}
	}
}

static const char *filled(const struct shape *s, const struct blanks *v, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	fill(s, v, &b);
	return b.bad ? NULL : arena_dup(a, buf_str(&b));
}

struct blanks fw_blanks_of(const struct network *n, enum fw_family f)
{
	struct blanks v = {.subnet = f == FW_V6 ? n->v6.net : n->v4.net, .source = f == FW_V6 ? n->snat6 : n->snat4};
	STR_COPY(v.device, n->bridge);
	return v;
}

int fw_shape_want(const struct shape *s, enum fw_family f, struct unit u, struct fw_rank rank, const struct blanks *v, struct kstate *out, struct err *e)
{
	struct kobj o = {.kind = K_RULE, .unit = u, .rule = {.family = f, .table = s->table, .chain = s->chain, .text = filled(s, v, out->mem), .rank = rank}};
	return !o.rule.text || kstate_add(out, &o) < 0 ? err_nomem(e) : 0;
}

/* The next word of a text, at most size - 1 bytes; false when it is empty or longer. */
static bool take_word(const char **text, char *out, size_t size)
{
	size_t n = strcspn(*text, " ");
	if (n == 0 || n >= size)
		return false;
	memcpy(out, *text, n);
	out[n] = '\0';
	*text += n;
	return true;
}

static bool read_ports(const char *word, unsigned *first, unsigned *count)
{
	char *end;
	unsigned long lo = strtoul(word, &end, 10), hi = *end == ':' ? strtoul(end + 1, &end, 10) : lo;
	*first = (unsigned)lo;
	*count = (unsigned)(hi - lo + 1);
	return lo > 0 && lo <= hi && hi <= 65535 && *end == '\0';
}

static bool read_host(const char *word, enum fw_family f, struct ip *out)
{
	struct prefix p;
	if (prefix_parse(word, &p) < 0 || p.len != ip_bits(p.ip.family) || p.ip.family != (f == FW_V6 ? AF_INET6 : AF_INET))
		return false;
	*out = p.ip;
	return true;
}

/* "A", "A:80", "A:80-89/8080"; an address of IPv6 with a port is in brackets. */
static bool read_target(const char *word, enum fw_family f, struct blanks *v)
{
	char ip[IP_TEXT];
	bool brackets = *word == '[';
	size_t n = brackets ? strcspn(++word, "]") : f == FW_V6 ? strlen(word) : strcspn(word, ":");
	if (n >= sizeof(ip))
		return false;
	memcpy(ip, word, n);
	ip[n] = '\0';
	word += n + (brackets && word[n]);
	v->port = *word == ':' ? (unsigned)strtoul(word + 1, NULL, 10) : v->host_port;
	return ip_parse(ip, &v->ip) >= 0 && v->ip.family == (f == FW_V6 ? AF_INET6 : AF_INET);
}

/* One word for one %. The device must be the same everywhere; the subnet may be any of the family. */
static bool read_blank(char what, const char *word, enum fw_family f, struct blanks *v)
{
	char device[KIFNAME];
	switch (what) {
	case 'N':
		return prefix_parse(word, &v->subnet) >= 0 && v->subnet.ip.family == (f == FW_V6 ? AF_INET6 : AF_INET);
	case 'S':
		return ip_parse(word, &v->source) >= 0;
	case 'A':
		return read_host(word, f, &v->ip);
	case 'H':
		return read_host(word, f, &v->host);
	case 'P':
		return read_ports(word, &v->port, &v->count);
	case 'O':
		return read_ports(word, &v->host_port, &v->count);
	case 'Q':
		return STR_COPY(v->proto, word);
	case 'T':
		return STR_COPY(v->trusted, word);
	case 'M':
		return true;
	case 'L':
		return read_target(word, f, v);
	default:
		if (!STR_COPY(device, word) || (v->device[0] && !streq(v->device, device)))
			return false;
		return STR_COPY(v->device, device);
	}
}

bool fw_shape_is_port(const struct shape *s)
{
	return s->when >= PORT_OPEN && s->when <= LINK;
}

/* Matches a line against a shape. What is read of a port must make the same text again. */
bool fw_shape_matches(const struct shape *s, enum fw_family f, const char *text, struct blanks *v)
{
	const char *whole = text;
	uint8_t proto;
	*v = (struct blanks){0};
	for (const char *p = s->text; *p; p++) {
		char word[128];
		if (*p != '%') {
			if (*text++ != *p)
				return false;
			continue;
		}
		bool quoted = *++p == 'C' && *text == '"';
		text += quoted;
		if (!take_word(&text, word, sizeof(word)))
			return false;
		size_t len = strlen(word);
		if (quoted && word[len - 1] != '"')
			return false;
		word[len - quoted] = '\0';
		if (!read_blank(*p, word, f, v))
			return false;
	}
	if (*text || !fw_shape_is_port(s))
		return *text == '\0';
	OWN(own_buf) struct buf b = {0};
	fill(s, v, &b);
	return !b.bad && streq(buf_str(&b), whole) && port_proto_parse(v->proto, &proto) >= 0 && streq(port_proto_name(proto), v->proto);
}
