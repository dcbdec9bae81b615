/* manifest: the JSON files that say what an archive holds: docker save's manifest.json, OCI indexes and OCI manifests.
 * Pure: text in, values in the arena out. Nothing here is trusted by being parsed: digests are checked against bytes by the caller.
 * Errors: ERR_INVALID, naming the field. */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "base/platform.h"

/* One element of manifest.json. Paths are as written. */
struct manifest_saved {
	const char *config;
	struct strv tags;   /* normalised, familiar: "alpine:latest" */
	struct strv layers; /* bottom first */
};
struct manifest_saved_list {
	struct manifest_saved *v;
	size_t n;
};
int manifest_read_saved(const char *text, size_t len, struct arena *a, struct manifest_saved_list *out, struct err *e);

/* A descriptor of an index or manifest. */
struct manifest_desc {
	const char *media_type;
	const char *digest; /* "sha256:..." */
	int64_t size;
	struct platform platform; /* os "" when not given */
	const char *tag;          /* normalised name from the annotations; NULL when there is none */
	bool attestation;         /* a build's provenance, not an image */
};
struct manifest_descs {
	struct manifest_desc *v;
	size_t n;
};
/* What a text is, by the registry's Content-Type or, when that says nothing, by its own words. */
enum manifest_kind { MANIFEST_UNKNOWN, MANIFEST_IMAGE, MANIFEST_INDEX, MANIFEST_OLD };
enum manifest_kind manifest_kind_of(const char *content_type, const char *text, size_t len);
/* For an Accept header: all that can be read, and what is only recognised. */
extern const char MANIFEST_ACCEPT[];
#define MANIFEST_TYPE_INDEX    "application/vnd.oci.image.index.v1+json"
#define MANIFEST_TYPE_OCI      "application/vnd.oci.image.manifest.v1+json"
#define MANIFEST_TYPE_DOCKER   "application/vnd.docker.distribution.manifest.v2+json"
#define MANIFEST_CONFIG_OCI    "application/vnd.oci.image.config.v1+json"
#define MANIFEST_CONFIG_DOCKER "application/vnd.docker.container.image.v1+json"
#define MANIFEST_LAYER_TAR     "application/vnd.oci.image.layer.v1.tar"
#define MANIFEST_LAYER_DOCKER  "application/vnd.docker.image.rootfs.diff.tar.gzip"
bool manifest_is_index(const struct manifest_desc *d);
int manifest_read_index(const char *text, size_t len, struct arena *a, struct manifest_descs *out, struct err *e);

/* Which descriptor of `all` with the same tag fits the platform best; attestations never do. NULL when none fits.
 * One that names no platform fits when nothing fits better; a single one always fits. */
const struct manifest_desc *manifest_choose(const struct manifest_descs *all, const char *tag, const struct platform *want);

/* "linux/arm64, linux/s390x", for messages. */
const char *manifest_platforms(const struct manifest_descs *all, struct arena *a);

struct manifest_image {
	struct manifest_desc config;
	struct manifest_descs layers; /* bottom first */
};
int manifest_read_image(const char *text, size_t len, struct arena *a, struct manifest_image *out, struct err *e);
