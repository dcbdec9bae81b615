#include "model/addrset.h"

#include <errno.h>
#include <string.h>

void addrset_free(struct addrset *s)
{
	free(s->v);
	*s = (struct addrset){0};
}

/* Index of the first interval whose end is not below a. */
static size_t locate(const struct addrset *s, const struct ip *a)
{
	size_t lo = 0, hi = s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (ip_cmp(&s->v[mid].hi, a) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool addrset_has(const struct addrset *s, const struct ip *a)
{
	size_t i = locate(s, a);
	return i < s->n && ip_cmp(&s->v[i].lo, a) <= 0;
}

static int insert_at(struct addrset *s, size_t i, struct addr_range r)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 4;
		struct addr_range *v = realloc(s->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	memmove(&s->v[i + 1], &s->v[i], (s->n - i) * sizeof(*s->v));
	s->v[i] = r;
	s->n++;
	return 0;
}

static void remove_at(struct addrset *s, size_t i)
{
	memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof(*s->v));
	s->n--;
}

int addrset_add(struct addrset *s, const struct ip *a)
{
	size_t i = locate(s, a);
	struct ip before = *a, after = *a;
	if (i < s->n && ip_cmp(&s->v[i].lo, a) <= 0)
		return 0;
	bool joins_left = i > 0 && ip_prev(&before) && ip_eq(&s->v[i - 1].hi, &before);
	bool joins_right = i < s->n && ip_next(&after) && ip_eq(&s->v[i].lo, &after);
	if (joins_left && joins_right) {
		s->v[i - 1].hi = s->v[i].hi;
		remove_at(s, i);
	} else if (joins_left) {
		s->v[i - 1].hi = *a;
	} else if (joins_right) {
		s->v[i].lo = *a;
	} else {
		return insert_at(s, i, (struct addr_range){*a, *a});
	}
	return 0;
}

int addrset_del(struct addrset *s, const struct ip *a)
{
	size_t i = locate(s, a);
	if (i == s->n || ip_cmp(&s->v[i].lo, a) > 0)
		return 0;
	struct addr_range *r = &s->v[i];
	struct ip before = *a, after = *a;
	bool first = ip_eq(&r->lo, a), last = ip_eq(&r->hi, a);
	(void)ip_prev(&before);
	(void)ip_next(&after);
	if (first && last) {
		remove_at(s, i);
	} else if (first) {
		r->lo = after;
	} else if (last) {
		r->hi = before;
	} else {
		struct addr_range right = {after, r->hi};
		try(insert_at(s, i + 1, right));
		s->v[i].hi = before;
	}
	return 0;
}

bool addrset_first_gap(const struct addrset *s, const struct ip *from, const struct ip *to, struct ip *out)
{
	struct ip a = *from;
	if (ip_cmp(from, to) > 0)
		return false;
	size_t i = locate(s, &a);
	/* Intervals never touch: the address after one is free. */
	if (i < s->n && ip_cmp(&s->v[i].lo, &a) <= 0) {
		a = s->v[i].hi;
		if (!ip_next(&a) || ip_cmp(&a, to) > 0)
			return false;
	}
	*out = a;
	return true;
}
