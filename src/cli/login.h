/* login: credentials for registries as docker keeps them: in config.json of $DOCKER_CONFIG (~/.docker), or with a helper program that it names (credsStore, credHelpers).
 * Texts here are secrets: they are not printed, and go to helpers through a pipe. */
#pragma once

#include "base/json.h"

#define LOGIN_HUB "https://index.docker.io/v1/" /* how the file calls docker.io */

struct login {
	const char *username, *password, *identity_token, *registry_token; /* NULL = none; in the arena */
};
/* server: "docker.io", "localhost:5000", or an address with a scheme. All NULL when nothing is stored. */
int login_find(const char *server, struct arena *a, struct login *out, struct err *e);
int login_store(const char *server, const struct login *l, struct err *e);
int login_forget(const char *server, bool *was_there, struct err *e);
/* The name that the file has for a server: LOGIN_HUB for docker.io. */
const char *login_key(const char *server, struct arena *a);
/* The value of X-Registry-Auth for an image's registry. */
int login_header(const char *image, struct arena *a, const char **out, struct err *e);
/* The same for a registry by name. */
int login_header_of(const char *domain, struct arena *a, const char **out, struct err *e);
/* "user:password" in base64 into two texts; -EINVAL. */
int login_decode(const char *text, struct arena *a, const char **user, const char **password);
