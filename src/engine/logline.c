#include "engine/logline.h"

#include <string.h>

bool logline_parse(const char *line, size_t n, struct logline *out)
{
	char when[64];
	const char *end = line + n, *sp = memchr(line, ' ', n);
	if (!sp || (size_t)(sp - line) >= sizeof(when))
		return false;
	memcpy(when, line, (size_t)(sp - line));
	when[sp - line] = '\0';
	if (memchr(when, '\0', (size_t)(sp - line)) || time_parse(when, 0, &out->time) < 0)
		return false;
	const char *s = sp + 1;
	if (end - s < 9 || (memcmp(s, "stdout ", 7) != 0 && memcmp(s, "stderr ", 7) != 0))
		return false;
	out->stream = s[3] == 'o' ? 1 : 2;
	s += 7;
	if ((s[0] != 'F' && s[0] != 'P') || s[1] != ' ')
		return false;
	out->partial = s[0] == 'P';
	out->text = s + 2;
	out->n = (size_t)(end - out->text);
	return true;
}
