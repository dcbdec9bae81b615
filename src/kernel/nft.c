/* Theory of operation
 *
 * The table "inet pontoon" of the host: one transaction a step, one listing an observation.
 *
 * What a transaction deletes the kernel frees later, when its last reader has left, 15 ms or more; and whoever closes a socket of netfilter
 * until then waits for it (net/netfilter/nf_tables_api.c, nft_rcv_nl_event). So the context of libnftables stays open. It belongs to the
 * namespace in which it was made.
 *
 * libnftables waits with select(2), which ends the program when its socket's number is 1024 or more, and nft_ctx_new() ends it when no number is
 * left. The context is made by the first observation, at the start, when numbers are low. */
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/real.h"
#include "net/fw_nft.h"

static struct nft_ctx *open_context(struct err *e)
{
	struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!ctx) {
		(void)err_set(e, -EIO, "open nftables");
		return NULL;
	}
	nft_ctx_buffer_output(ctx);
	nft_ctx_buffer_error(ctx);
	nft_ctx_output_set_flags(ctx, NFT_CTX_OUTPUT_STATELESS);
	return ctx;
}

/* Both buffers are emptied by reading them. */
static int run(struct nft_ctx *ctx, const char *text, struct buf *out, struct err *e)
{
	int r = nft_run_cmd_from_buffer(ctx, text) == 0 ? 0 : -EIO;
	const char *said = nft_ctx_get_output_buffer(ctx), *error = nft_ctx_get_error_buffer(ctx);
	if (r < 0)
		return err_set(e, r, "nftables: %.1024s", error);
	if (out)
		buf_puts(out, said);
	return 0;
}

int nft_run(struct real *k, const char *text, struct buf *out, struct err *e)
{
	if (!k->nft)
		k->nft = open_context(e);
	return k->nft ? run(k->nft, text, out, e) : -EIO;
}

void nft_close(struct real *k)
{
	if (k->nft)
		nft_ctx_free(k->nft);
	free(k->nft_printed);
}

/* No table is an empty listing. */
static int listing(struct real *k, struct arena *a, struct fw_nft_listing *l, bool *present, struct err *e)
{
	OWN(own_buf) struct buf text = {0};
	struct err one = {0};
	int r = nft_run(k, FW_NFT_LIST, &text, &one);
	*present = r >= 0;
	if (r < 0 && !strstr(one.msg, "No such file or directory")) {
		if (e)
			*e = one;
		return r;
	}
	return fw_nft_parse(buf_str(&text), a, l, e);
}

int nft_step(struct real *k, const struct step *s, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_buf) struct buf text = {0};
	struct fw_nft_listing l = {.user = ""};
	bool table = false, made = false, present = true;
	for (size_t i = 0; i < s->nfw; i++) {
		table |= s->fw[i].o->kind == K_NFT_TABLE;
		made |= s->fw[i].o->kind == K_NFT_TABLE && s->fw[i].add;
	}
	if (table)
		try(listing(k, &a, &l, &present, e));
	try(fw_nft_render(s, l.user, present, &text, e));
	if (!text.len)
		return 0;
	struct stamp before;
	stamp_read(&k->stamper, false, &before);
	try(nft_run(k, buf_str(&text), NULL, e));
	real_changed_rules(k, &before, 1);
	if (!table)
		return 0;
	/* How this library prints the skeleton: what is compared with from now on, as its next version may print it differently. */
	free(k->nft_printed);
	k->nft_printed = NULL;
	if (made && listing(k, &a, &l, &present, NULL) >= 0 && present)
		k->nft_printed = strdup(l.skeleton);
	return 0;
}

/* A skeleton that differs counts as absent, unless it is not wanted: then it is to go. */
int nft_observe(struct real *k, struct arena *a, const struct kstate *want, struct kstate *out, struct err *e)
{
	static const char rest[] = "table inet pontoon {\nchain user {\n}\n}\n"; /* the people's rules, kept when the table went */
	struct fw_nft_listing l;
	struct kobj table = {.kind = K_NFT_TABLE, .unit = {UNIT_HOST, ""}};
	const struct kobj *wanted = NULL;
	bool present;
	try(listing(k, a, &l, &present, e));
	for (size_t i = 0; !wanted && i < want->n; i++)
		wanted = want->v[i].kind == K_NFT_TABLE ? &want->v[i] : NULL;
	const char *right = k->nft_printed ? k->nft_printed : fw_nft_skeleton(wanted ? wanted->elem.value : NULL, a);
	if (!right)
		return err_nomem(e);
	if (!present || (wanted ? !streq(l.skeleton, right) : streq(l.skeleton, rest)))
		return 0;
	if (kstate_add(out, &table) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < l.elements.n; i++)
		if (kstate_add(out, &l.elements.v[i]) < 0)
			return err_nomem(e);
	return 0;
}
