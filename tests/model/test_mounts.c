/* From what a request asks for to the one list of mount points. */
#include "model/mounts.h"
#include "model/spec_host.h"
#include "test.h"

#define ID_A "aaaa456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID_B "bbbb456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define N1   "1111111111111111111111111111111111111111111111111111111111111111"
#define N2   "2222222222222222222222222222222222222222222222222222222222222222"
#define N3   "3333333333333333333333333333333333333333333333333333333333333333"

static int resolve(const char *body, const struct world *w, struct arena *a, struct container_spec *s, struct err *e)
{
	static const char made[3][ID_TEXT] = {N1, N2, N3};
	char(*names)[ID_TEXT] = arena_new_array(a, ID_TEXT, 1, 3);
	struct strv warnings = {0};
	struct spec_host host = {.minor = 51};
	OWN(own_json) json_t *j = NULL;
	memcpy(names, made, sizeof(made));
	try(json_parse(body, strlen(body), &j, e));
	try(spec_parse(j, a, s, e));
	try(spec_check(s, &host, a, &warnings, e));
	return mounts_resolve(s, w, names, a, e);
}

/* "destination=type:name-or-source[options]" a line */
static const char *text(const struct container_spec *s, struct arena *a)
{
	const struct mount_point *m = s->mount_points.v;
	const char *t = "";
	for (size_t i = 0; i < s->mount_points.n; i++)
		t = arena_printf(a, "%s%s=%s:%s %s%s%s%s%s%s%s mode=%s prop=%s opt=%s\n", t, m[i].destination, m[i].type, m[i].name ? m[i].name : m[i].source ? m[i].source : "", m[i].rw ? "rw" : "ro",
			m[i].anonymous ? " anonymous" : "", m[i].nocopy ? " nocopy" : "", m[i].make_source ? " make" : "", m[i].flat ? " flat" : "", m[i].subpath && *m[i].subpath ? " sub=" : "",
			m[i].subpath ? m[i].subpath : "", m[i].mode ? m[i].mode : "", m[i].propagation ? m[i].propagation : "", m[i].options ? m[i].options : "");
	return t;
}

static struct container *holder(const char *id, const char *name, const char *body, const struct world *w)
{
	struct arena mem = {0};
	struct err e = {0};
	struct container_spec *s = arena_new(&mem, struct container_spec, 1);
	if (resolve(body, w, &mem, s, &e) < 0)
		printf("# %s\n", e.msg);
	return container_new(id, name, s, &mem);
}

TEST(all_sources)
{
	OWN(own_arena) struct arena a = {0};
	struct container_spec s;
	struct err e = {0};
	REQUIRE(resolve("{\"Volumes\":{\"/anon\":{},\"/named/\":{},\"/t\":{}},\"HostConfig\":{\"Binds\":[\"v1:/named\",\"/srv//x/../y:/b:ro,rslave\",\"v2:/n2:nocopy\"],\"Tmpfs\":{\"/t\":\"\"},\"Mounts\":["
			"{\"Type\":\"volume\",\"Source\":\"v3\",\"Target\":\"/m/./x\",\"ReadOnly\":true,\"VolumeOptions\":{\"NoCopy\":true,\"Subpath\":\"a/b\",\"Labels\":{\"q\":\"r\"},\"DriverConfig\":{\"Name\":"
			"\"local\",\"Options\":{\"type\":\"tmpfs\"}}}},{\"Type\":\"volume\",\"Target\":\"/m2\"},{\"Type\":\"bind\",\"Source\":\"/s\",\"Target\":\"/m3\",\"BindOptions\":{\"NonRecursive\":true}},"
			"{\"Type\":\"tmpfs\",\"Target\":\"/m4\",\"TmpfsOptions\":{\"SizeBytes\":4096,\"Mode\":511,\"Options\":[[\"exec\"],[\"uid\",\"3\"]]}}]}}",
			NULL, &a, &s, &e) == 0);
	CHECK_STR(text(&s, &a),
		"/named=volume:v1 rw mode=z prop= opt=\n"
		"/b=bind:/srv/y ro make mode=ro,rslave prop=rslave opt=\n"
		"/n2=volume:v2 rw nocopy mode=nocopy prop= opt=\n"
		"/m/x=volume:v3 ro nocopy sub=a/b mode=z prop= opt=\n"
		"/m2=volume:" N1 " rw anonymous mode= prop= opt=\n"
		"/m3=bind:/s rw flat mode= prop=rprivate opt=\n"
		"/m4=tmpfs: rw mode= prop= opt=,size=4096,mode=777,exec,uid=3\n"
		"/anon=volume:" N2 " rw anonymous mode= prop= opt=\n");
	const struct mount_point *m = s.mount_points.v;
	CHECK_STR(kvs_get(&m[3].labels, "q"), "r");
	CHECK_STR(kvs_get(&m[3].driver_opts, "type"), "tmpfs");
	CHECK(mounts_names(&s) >= 2);
}

TEST(volumes_from)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_world) struct world *w = world_new();
	struct container_spec s;
	struct err e = {0};
	world_put(w, holder(ID_A, "one", "{\"Volumes\":{\"/anon\":{}},\"HostConfig\":{\"Binds\":[\"v1:/d\",\"/srv:/s:ro\"],\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\"}]}}", w), &e);
	REQUIRE(resolve("{\"HostConfig\":{\"VolumesFrom\":[\"one\"],\"Binds\":[\"v2:/d\"]}}", w, &a, &s, &e) == 0);
	CHECK_STR(text(&s, &a), "/d=volume:v2 rw mode=z prop= opt=\n/s=bind:/srv ro make mode=ro prop=rprivate opt=\n/anon=volume:" N1 " rw anonymous mode= prop= opt=\n");
	REQUIRE(resolve("{\"HostConfig\":{\"VolumesFrom\":[\"aaaa:ro\"]}}", w, &a, &s, &e) == 0);
	CHECK_STR(text(&s, &a), "/d=volume:v1 ro mode=ro prop= opt=\n/s=bind:/srv ro make mode=ro prop=rprivate opt=\n/anon=volume:" N1 " ro anonymous mode=ro prop= opt=\n");
	world_put(w, holder(ID_B, "two", "{\"HostConfig\":{\"VolumesFrom\":[\"one\"]}}", w), &e);
	CHECK_STR(world_volume_users(w, "v1", &a), "[" ID_A " " ID_B "]");
	CHECK(!world_volume_users(w, "v2", &a));
	CHECK(mounts_use(world_container(w, ID_B), N1) && !mounts_use(world_container(w, ID_B), "x"));
}

TEST(refused)
{
	static const struct {
		const char *body, *want;
		enum err_kind kind;
	} v[] = {{"{\"HostConfig\":{\"VolumesFrom\":[\"nope\"]}}", "No such container: nope", ERR_INVALID}, {"{\"HostConfig\":{\"VolumesFrom\":[\"\"]}}", "volumes-from specification cannot be an empty string", ERR_INVALID},
		{"{\"HostConfig\":{\"VolumesFrom\":[\"x:foo\"]}}", "invalid mode: foo", ERR_INVALID}, {"{\"HostConfig\":{\"VolumesFrom\":[\"x:nocopy\"]}}", "invalid mode: nocopy", ERR_INVALID},
		{"{\"HostConfig\":{\"VolumesFrom\":[\"x:rshared\"]}}", "invalid mode: rshared", ERR_INVALID},
		{"{\"HostConfig\":{\"Binds\":[\"ab:/y\"],\"VolumeDriver\":\"nope\"}}", "create ab: error looking up volume plugin nope: plugin \"nope\" not found", ERR_NOT_FOUND},
		{"{\"HostConfig\":{\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"ab\",\"Target\":\"/y\",\"VolumeOptions\":{\"DriverConfig\":{\"Name\":\"nope\"}}}]}}",
			"create ab: error looking up volume plugin nope: plugin \"nope\" not found", ERR_NOT_FOUND},
		{"{\"HostConfig\":{\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"ab\",\"Target\":\"/y\",\"VolumeOptions\":{\"Subpath\":\"../x\"}}]}}",
			"invalid mount config for type \"volume\": subpath must be a relative path within the volume", ERR_INVALID},
		{"{\"HostConfig\":{\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"ab\",\"Target\":\"/y\",\"VolumeOptions\":{\"NoCopy\":1}}]}}", "NoCopy: expected true or false, got a number", ERR_INVALID}};
	OWN(own_world) struct world *w = world_new();
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		OWN(own_arena) struct arena a = {0};
		struct container_spec s;
		struct err e = {0};
		CHECK(resolve(v[i].body, w, &a, &s, &e) < 0);
		CHECK_STR(e.msg, v[i].want);
		CHECK_INT(e.kind, v[i].kind);
	}
}

TEST(names_and_options)
{
	static const char *const good[] = {"ab", "a.b_c-D", "0x", N1}, *const bad[] = {"", "a", "/x", "..", "-a", "a b", "a/b", "\xc3\xa4x"};
	struct kvs o = {0};
	struct err e = {0};
	OWN(own_arena) struct arena a = {0};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK(volume_name_check(good[i], NULL) == 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(volume_name_check(bad[i], NULL) < 0);
	char *much = arena_alloc(&a, LIMIT_VOLUME_NAME + 2, 1);
	memset(much, 'a', LIMIT_VOLUME_NAME + 1);
	CHECK(volume_name_check(much, NULL) < 0 && volume_name_check(much + 1, NULL) == 0);
	CHECK(volume_options_check(&o, &e) == 0);
	kvs_set(&a, &o, "o", "bind");
	CHECK(volume_options_check(&o, &e) < 0);
	CHECK_STR(e.msg, "missing required option: \"device\"");
	kvs_set(&a, &o, "device", "/x");
	CHECK(volume_options_check(&o, &e) < 0);
	CHECK_STR(e.msg, "missing required option: \"type\"");
	kvs_set(&a, &o, "type", "none");
	CHECK(volume_options_check(&o, &e) == 0);
	kvs_set(&a, &o, "foo", "none");
	CHECK(volume_options_check(&o, &e) < 0);
	CHECK_STR(e.msg, "invalid option: \"foo\"");
}

TESTS(T(all_sources), T(volumes_from), T(refused), T(names_and_options))
