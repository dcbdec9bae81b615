#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/strv.h"

#define NS 1000000000ll

static int64_t now(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * NS + t.tv_nsec;
}

int64_t clock_real_ns(void)
{
	return now(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
	return now(CLOCK_MONOTONIC);
}

const char *time_format(int64_t ns, char out[static TIME_TEXT])
{
	if (ns == 0) {
		memcpy(out, "0001-01-01T00:00:00Z", 21);
		return out;
	}
	int64_t sec = ns / NS, frac = ns % NS;
	if (frac < 0) {
		frac += NS;
		sec--;
	}
	time_t t = (time_t)sec;
	struct tm tm;
	gmtime_r(&t, &tm);
	size_t n = strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	if (frac) {
		n += (size_t)snprintf(out + n, TIME_TEXT - n, ".%09lld", (long long)frac);
		while (out[n - 1] == '0')
			n--;
	}
	out[n++] = 'Z';
	out[n] = '\0';
	return out;
}

/* Exactly n digits. */
static bool digits(const char **s, int n, int *out)
{
	int v = 0;
	for (int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	*out = v;
	return true;
}

static bool sign(const char **s, char c)
{
	return **s == c && (*s)++;
}

/* ".5" as nanoseconds, 0 without a dot; what is finer is cut off. */
static bool fraction(const char **s, int64_t *out)
{
	int64_t unit = NS / 10;
	int d;
	*out = 0;
	if (!sign(s, '.'))
		return true;
	if (!digits(s, 1, &d))
		return false;
	do {
		*out += d * unit;
		unit /= 10;
	} while (digits(s, 1, &d));
	return true;
}

/* "1h30m", "10m", "1.5s", "200ms": Go's time.ParseDuration for what people write. */
static int parse_duration(const char *s, int64_t *out)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", NS}, {"m", 60 * NS}, {"h", 3600 * NS}};
	int64_t total = 0;
	while (*s) {
		int64_t whole = 0, frac, part;
		int d;
		if (!digits(&s, 1, &d))
			return -EINVAL;
		do {
			if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, d, &whole))
				return -EINVAL;
		} while (digits(&s, 1, &d));
		if (!fraction(&s, &frac))
			return -EINVAL;
		size_t n = strcspn(s, "0123456789."), i = 0;
		while (i < ARRAY_LEN(units) && (strlen(units[i].name) != n || strncmp(units[i].name, s, n) != 0))
			i++;
		if (i == ARRAY_LEN(units) || __builtin_mul_overflow(whole, units[i].ns, &part) || __builtin_add_overflow(total, part, &total))
			return -EINVAL;
		/* at most an hour's worth: 3600 s in steps that cannot overflow */
		part = units[i].ns >= NS ? frac * (units[i].ns / NS) : frac * units[i].ns / NS;
		if (__builtin_add_overflow(total, part, &total))
			return -EINVAL;
		s += n;
	}
	*out = total;
	return 0;
}

/* "1700000000", "1700000000.123456789", "-1.5" */
static int parse_unix(const char *s, int64_t *out)
{
	bool minus = sign(&s, '-');
	int64_t sec = 0, frac;
	int d;
	if (!digits(&s, 1, &d))
		return -EINVAL;
	do {
		sec = sec * 10 + d;
		if (sec > INT64_MAX / NS)
			return -EINVAL;
	} while (digits(&s, 1, &d));
	if (!fraction(&s, &frac) || *s || __builtin_add_overflow(sec * NS, frac, &sec))
		return -EINVAL;
	*out = minus ? -sec : sec;
	return 0;
}

static int parse_offset(const char *s, int64_t *out)
{
	int h, m;
	if (!*s || streq(s, "Z")) {
		*out = 0;
		return 0;
	}
	int64_t way = *s == '+' ? 1 : *s == '-' ? -1 : 0;
	s++;
	if (!way || !digits(&s, 2, &h) || !sign(&s, ':') || !digits(&s, 2, &m) || *s || h > 23 || m > 59)
		return -EINVAL;
	*out = way * (h * 3600ll + m * 60ll);
	return 0;
}

/* Also without seconds, without an offset (then UTC) and the date alone: people write these on command lines. */
static int parse_rfc3339(const char *s, int64_t *out)
{
	struct tm tm = {0};
	int64_t frac = 0, offset;
	if (!digits(&s, 4, &tm.tm_year) || !sign(&s, '-') || !digits(&s, 2, &tm.tm_mon) || !sign(&s, '-') || !digits(&s, 2, &tm.tm_mday))
		return -EINVAL;
	if (sign(&s, 'T') || sign(&s, ' ')) {
		if (!digits(&s, 2, &tm.tm_hour) || !sign(&s, ':') || !digits(&s, 2, &tm.tm_min))
			return -EINVAL;
		if (sign(&s, ':') && (!digits(&s, 2, &tm.tm_sec) || !fraction(&s, &frac)))
			return -EINVAL;
	}
	try(parse_offset(s, &offset));
	if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 || tm.tm_year < 1700 || tm.tm_year > 2200)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	int day = tm.tm_mday, month = tm.tm_mon;
	struct tm noon = {.tm_year = tm.tm_year, .tm_mon = month, .tm_mday = day, .tm_hour = 12};
	if (timegm(&noon) == -1 || noon.tm_mday != day || noon.tm_mon != month) /* 30 February became 2 March */
		return -EINVAL;
	*out = ((int64_t)timegm(&tm) - offset) * NS + frac;
	return 0;
}

int time_parse(const char *s, int64_t now_ns, int64_t *out)
{
	int64_t d;
	if (!*s)
		return -EINVAL;
	if (parse_unix(s, &d) == 0 || parse_rfc3339(s, &d) == 0) {
		*out = d;
		return 0;
	}
	if (parse_duration(s, &d) < 0)
		return -EINVAL;
	*out = now_ns - d;
	return 0;
}

void random_bytes(void *p, size_t n)
{
	while (n) {
		ssize_t r = getrandom(p, n, 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			abort(); /* no kernel that runs containers lacks it */
		p = (char *)p + r;
		n -= (size_t)r;
	}
}

void random_id(char out[static ID_TEXT])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char b[32];
	bool letter = false;
	while (!letter) {
		random_bytes(b, sizeof(b));
		for (int i = 0; i < 32; i++) {
			out[i * 2] = hex[b[i] >> 4];
			out[i * 2 + 1] = hex[b[i] & 15];
		}
		out[64] = '\0';
		for (int i = 0; i < 12; i++)
			letter |= out[i] >= 'a';
	}
}
