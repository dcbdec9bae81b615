#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

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

/* "1h30m", "10m", "1.5s", "200ms": Go's time.ParseDuration for what people write. */
static int parse_duration(const char *s, int64_t *out)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", NS}, {"m", 60 * NS}, {"h", 3600 * NS}};
	double total = 0;
	while (*s) {
		char *end;
		if (*s < '0' || *s > '9')
			return -EINVAL;
		double v = strtod(s, &end);
		size_t n = strcspn(end, "0123456789."), i = 0;
		while (i < ARRAY_LEN(units) && (strlen(units[i].name) != n || strncmp(units[i].name, end, n) != 0))
			i++;
		if (i == ARRAY_LEN(units))
			return -EINVAL;
		total += v * (double)units[i].ns;
		s = end + n;
	}
	if (total > 9e18)
		return -EINVAL;
	*out = (int64_t)total;
	return 0;
}

/* "1700000000", "1700000000.123456789" */
static int parse_unix(const char *s, int64_t *out)
{
	char *end;
	errno = 0;
	long long sec = strtoll(s, &end, 10);
	if (errno || end == s || sec > INT64_MAX / NS || sec < INT64_MIN / NS)
		return -EINVAL;
	int64_t frac = 0, unit = NS / 10;
	if (*end == '.') {
		for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
			frac += (*end - '0') * unit;
	}
	if (*end)
		return -EINVAL;
	if (__builtin_mul_overflow(sec, NS, out) || __builtin_add_overflow(*out, frac, out))
		return -EINVAL;
	return 0;
}

static int parse_rfc3339(const char *s, int64_t *out)
{
	struct tm tm = {0};
	int n = 0;
	if (sscanf(s, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &n) != 3)
		return -EINVAL;
	s += n;
	int64_t frac = 0, offset = 0;
	if (*s == 'T' || *s == ' ') {
		if (sscanf(s + 1, "%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &n) != 2)
			return -EINVAL;
		s += 1 + n;
		if (*s == ':') {
			if (sscanf(s + 1, "%2d%n", &tm.tm_sec, &n) != 1)
				return -EINVAL;
			s += 1 + n;
		}
		if (*s == '.') {
			int64_t unit = NS / 10;
			for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
				frac += (*s - '0') * unit;
		}
		if (*s == 'Z') {
			s++;
		} else if (*s == '+' || *s == '-') {
			int h, m;
			if (sscanf(s + 1, "%2d:%2d%n", &h, &m, &n) != 2)
				return -EINVAL;
			offset = (*s == '-' ? -1 : 1) * (h * 3600ll + m * 60ll);
			s += 1 + n;
		}
	}
	if (*s || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 ||
		tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60 || tm.tm_year < 1700 || tm.tm_year > 2200)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon--;
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
