#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

const char *units_size(int64_t bytes, struct arena *a)
{
	static const char *const names[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double v = (double)bytes;
	size_t i = 0;
	while (v >= 1000 && i + 1 < ARRAY_LEN(names)) {
		v /= 1000;
		i++;
	}
	return arena_printf(a, "%.*g%s", v >= 999.5 && v < 1000 ? 4 : 3, v, names[i]);
}

const char *units_binary(double v, struct arena *a)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	size_t i = 0;
	for (; v >= 1024 && i + 1 < ARRAY_LEN(names); i++)
		v /= 1024;
	return arena_printf(a, "%.4g%s", v, names[i]);
}

const char *units_duration(int64_t s, struct arena *a)
{
	int64_t m = s / 60, h = (m + 30) / 60;
	if (s < 1)
		return "Less than a second";
	if (s == 1)
		return "1 second";
	if (s < 60)
		return arena_printf(a, "%lld seconds", (long long)s);
	if (m == 1)
		return "About a minute";
	if (m < 60)
		return arena_printf(a, "%lld minutes", (long long)m);
	if (h == 1)
		return "About an hour";
	if (h < 48)
		return arena_printf(a, "%lld hours", (long long)h);
	if (h < 24 * 7 * 2)
		return arena_printf(a, "%lld days", (long long)(h / 24));
	if (h < 24 * 30 * 2)
		return arena_printf(a, "%lld weeks", (long long)(h / 24 / 7));
	if (h < 24 * 365 * 2)
		return arena_printf(a, "%lld months", (long long)(h / 24 / 30));
	return arena_printf(a, "%lld years", (long long)(s / 3600 / 24 / 365));
}

int units_parse_bytes(const char *s, int64_t *out)
{
	static const char letters[] = "bkmgtp";
	char *end;
	double v = strtod(s, &end);
	if (end == s || v < 0 || !isdigit((unsigned char)*s))
		return -EINVAL;
	double unit = 1;
	if (*end) {
		const char *p = strchr(letters, tolower((unsigned char)*end));
		if (!p)
			return -EINVAL;
		for (const char *q = letters; q < p; q++)
			unit *= 1024;
		end++;
		if (strcasecmp(end, "") != 0 && strcasecmp(end, "b") != 0 && strcasecmp(end, "ib") != 0)
			return -EINVAL;
	}
	if (v * unit > 9e18)
		return -EINVAL;
	*out = (int64_t)(v * unit);
	return 0;
}

int units_parse_bool(const char *s, bool *out)
{
	static const char *const words[][2] = {{"0", "1"}, {"f", "t"}, {"F", "T"}, {"FALSE", "TRUE"}, {"false", "true"}, {"False", "True"}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (int v = 0; v < 2; v++)
			if (strcmp(s, words[i][v]) == 0) {
				*out = v;
				return 0;
			}
	return -EINVAL;
}
