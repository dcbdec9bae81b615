#include "base/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

unsigned ip_bits(uint8_t family)
{
	return family == AF_INET6 ? 128 : 32;
}

static unsigned ip_bytes(uint8_t family)
{
	return ip_bits(family) / 8;
}

int ip_parse(const char *s, struct ip *out)
{
	struct ip a = {0};
	a.family = strchr(s, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, s, a.b) != 1)
		return -EINVAL;
	*out = a;
	return 0;
}

const char *ip_format(const struct ip *a, char out[static IP_TEXT])
{
	if (!a->family || !inet_ntop(a->family, a->b, out, IP_TEXT))
		out[0] = '\0';
	return out;
}

struct ip ip4(uint32_t v)
{
	return (struct ip){.family = AF_INET, .b = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}};
}

uint32_t ip4_host(const struct ip *a)
{
	if (a->family != AF_INET)
		return 0;
	return (uint32_t)a->b[0] << 24 | (uint32_t)a->b[1] << 16 | (uint32_t)a->b[2] << 8 | a->b[3];
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
	return ip_cmp(a, b) == 0;
}

bool ip_next(struct ip *a)
{
	for (unsigned i = ip_bytes(a->family); i-- > 0;)
		if (++a->b[i])
			return true;
	return false;
}

bool ip_prev(struct ip *a)
{
	for (unsigned i = ip_bytes(a->family); i-- > 0;)
		if (a->b[i]--)
			return true;
	return false;
}

bool ip_is_unspecified(const struct ip *a)
{
	static const uint8_t zero[16];
	return memcmp(a->b, zero, sizeof(zero)) == 0;
}

bool ip_is_loopback(const struct ip *a)
{
	static const uint8_t one[16] = {[15] = 1};
	return a->family == AF_INET ? a->b[0] == 127 : a->family == AF_INET6 && memcmp(a->b, one, sizeof(one)) == 0;
}

bool ip_is_linklocal(const struct ip *a)
{
	return a->family == AF_INET ? a->b[0] == 169 && a->b[1] == 254 : a->family == AF_INET6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool ip_is_multicast(const struct ip *a)
{
	return a->family == AF_INET ? (a->b[0] & 0xf0) == 0xe0 : a->family == AF_INET6 && a->b[0] == 0xff;
}

int prefix_parse(const char *s, struct prefix *out)
{
	char text[IP_TEXT];
	struct prefix p;
	const char *slash = strchr(s, '/');
	if (!slash || (size_t)(slash - s) >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, (size_t)(slash - s));
	text[slash - s] = '\0';
	if (ip_parse(text, &p.ip) < 0)
		return -EINVAL;
	unsigned len = 0;
	const char *d = slash + 1;
	if (!*d || strlen(d) > 3 || (*d == '0' && d[1]))
		return -EINVAL;
	for (; *d; d++) {
		if (*d < '0' || *d > '9')
			return -EINVAL;
		len = len * 10 + (unsigned)(*d - '0');
	}
	if (len > ip_bits(p.ip.family))
		return -EINVAL;
	p.len = (uint8_t)len;
	*out = p;
	return 0;
}

const char *prefix_format(const struct prefix *p, char out[static PREFIX_TEXT])
{
	char text[IP_TEXT];
	if (!p->ip.family)
		out[0] = '\0';
	else
		snprintf(out, PREFIX_TEXT, "%s/%u", ip_format(&p->ip, text), p->len);
	return out;
}

static uint8_t mask_byte(const struct prefix *p, unsigned i)
{
	unsigned bits = p->len > i * 8 ? p->len - i * 8 : 0;
	return bits >= 8 ? 0xff : (uint8_t)(0xff00 >> bits);
}

struct prefix prefix_masked(const struct prefix *p)
{
	struct prefix m = *p;
	for (unsigned i = 0; i < ip_bytes(p->ip.family); i++)
		m.ip.b[i] &= mask_byte(p, i);
	return m;
}

struct ip prefix_first(const struct prefix *p)
{
	return prefix_masked(p).ip;
}

struct ip prefix_last(const struct prefix *p)
{
	struct ip a = p->ip;
	for (unsigned i = 0; i < ip_bytes(a.family); i++)
		a.b[i] |= (uint8_t)~mask_byte(p, i);
	return a;
}

bool prefix_has(const struct prefix *p, const struct ip *a)
{
	if (!p->ip.family || p->ip.family != a->family)
		return false;
	struct prefix other = {.ip = *a, .len = p->len};
	struct ip x = prefix_first(p), y = prefix_first(&other);
	return ip_eq(&x, &y);
}

bool prefix_overlap(const struct prefix *a, const struct prefix *b)
{
	return a->len <= b->len ? prefix_has(a, &b->ip) : prefix_has(b, &a->ip);
}

bool prefix_eq(const struct prefix *a, const struct prefix *b)
{
	struct ip x = prefix_first(a), y = prefix_first(b);
	return a->len == b->len && ip_eq(&x, &y);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int mac_parse(const char *s, struct mac *out)
{
	struct mac m;
	for (unsigned i = 0; i < 6; i++, s += 3) {
		int hi = hex_digit(s[0]), lo = hi < 0 ? -1 : hex_digit(s[1]);
		if (lo < 0 || (i < 5 ? s[2] != ':' && s[2] != '-' : s[2] != '\0'))
			return -EINVAL;
		m.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = m;
	return 0;
}

const char *mac_format(const struct mac *m, char out[static MAC_TEXT])
{
	snprintf(out, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m->b[0], m->b[1], m->b[2], m->b[3], m->b[4], m->b[5]);
	return out;
}

bool mac_is_set(const struct mac *m)
{
	static const struct mac none;
	return memcmp(m, &none, sizeof(none)) != 0;
}

bool mac_is_station(const struct mac *m)
{
	return mac_is_set(m) && !(m->b[0] & 1);
}

struct mac mac_from_ip4(const struct ip *a)
{
	return (struct mac){.b = {0x02, 0x42, a->b[0], a->b[1], a->b[2], a->b[3]}};
}
