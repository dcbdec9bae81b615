#include "image/auth.h"

#include <nettle/base64.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/json.h"

#define TEXT_MAX (64u << 10) /* bytes of the header that are read */

static int bad(struct err *e)
{
	return err_as(e, ERR_INVALID, "X-Registry-Auth is not base64 of a JSON object of texts of usual length");
}

/* Absent, null and "" are the same. */
static bool take(const json_t *j, const char *key, char *out, size_t size)
{
	const json_t *v = json_object_get(j, key);
	if (!v || json_is_null(v))
		return true;
	return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v) && str_copy(out, size, json_string_value(v));
}

/* "auth": base64 of user:password, as the client's configuration file has it. */
static bool take_pair(const json_t *j, struct auth *a)
{
	char text[sizeof(a->username) + sizeof(a->password)] = "";
	unsigned char plain[sizeof(text)];
	if (!take(j, "auth", text, sizeof(text)))
		return false;
	ssize_t n = *text && !*a->username ? base64_bytes(text, strlen(text), plain) : 0;
	bool ok = n >= 0;
	if (n > 0) {
		plain[n] = '\0';
		char *colon = memchr(plain, ':', (size_t)n);
		ok = colon && strlen((char *)plain) == (size_t)n;
		if (ok) {
			*colon = '\0';
			ok = STR_COPY(a->username, (char *)plain) && STR_COPY(a->password, colon + 1);
		}
	}
	explicit_bzero(text, sizeof(text));
	explicit_bzero(plain, sizeof(plain));
	return ok;
}

static bool take_all(const json_t *j, struct auth *a)
{
	return json_is_object(j) && take(j, "username", a->username, sizeof(a->username)) && take(j, "password", a->password, sizeof(a->password)) &&
	       take(j, "identitytoken", a->identity_token, sizeof(a->identity_token)) &&
	       take(j, "registrytoken", a->registry_token, sizeof(a->registry_token)) && take(j, "serveraddress", a->server, sizeof(a->server)) &&
	       take_pair(j, a);
}

int auth_decode(const char *text, struct auth *out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	struct auth a = {};
	size_t n = strnlen(text, TEXT_MAX + 1);
	if (n == 0) {
		*out = a;
		return 0;
	}
	OWN(own_free) unsigned char *plain = n <= TEXT_MAX ? malloc(n) : NULL;
	if (n <= TEXT_MAX && !plain)
		return err_nomem(e);
	ssize_t len = plain ? base64_bytes(text, n, plain) : -1;
	/* the parser's own message would quote the text */
	bool ok = len > 0 && json_parse((char *)plain, (size_t)len, &j, NULL) == 0 && take_all(j, &a);
	if (plain)
		explicit_bzero(plain, n);
	if (ok)
		*out = a;
	auth_wipe(&a);
	return ok ? 0 : bad(e);
}

bool auth_basic(const struct auth *a, char *out, size_t size)
{
	char pair[sizeof(a->username) + sizeof(a->password)];
	int n = snprintf(pair, sizeof(pair), "%s:%s", a->username, a->password);
	bool fits = n >= 0 && (size_t)n < sizeof(pair) && BASE64_ENCODE_RAW_LENGTH((size_t)n) < size;
	if (fits) {
		base64_encode_raw(out, (size_t)n, (const uint8_t *)pair);
		out[BASE64_ENCODE_RAW_LENGTH((size_t)n)] = '\0';
	}
	explicit_bzero(pair, sizeof(pair));
	return fits;
}

void auth_wipe(struct auth *a)
{
	explicit_bzero(a, sizeof(*a));
}
