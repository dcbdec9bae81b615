/* Theory of operation
 *
 * A weight-balanced binary tree: the weight of a subtree is its size plus one, and no child weighs more than DELTA
 * times its sibling. One rotation restores that after an addition or a removal: a double one when the inner grandchild
 * weighs at least GAMMA times the outer. With (3, 2) this is proven to hold for every sequence (Hirai and Yamamoto,
 * "Balancing weight-balanced trees", 2011). The depth is then at most log(n) / log(4/3), about 2.4 times log2(n), so
 * recursion is shallow. The sizes give ranks at no extra cost. tests/model/test_tree.c checks balance and content
 * against a sorted array. */
#include "model/tree.h"

#define DELTA 3
#define GAMMA 2

_Thread_local unsigned long tree_steps;

static size_t size(const struct tree_node *n)
{
	return n ? n->size : 0;
}

static size_t weight(const struct tree_node *n)
{
	return size(n) + 1;
}

static void count(struct tree_node *n)
{
	n->size = size(n->child[0]) + size(n->child[1]) + 1;
}

/* The child on `side` becomes the root. */
static struct tree_node *rotate(struct tree_node *n, int side)
{
	struct tree_node *up = n->child[side];
	n->child[side] = up->child[!side];
	up->child[!side] = n;
	count(n);
	count(up);
	return up;
}

static struct tree_node *balance(struct tree_node *n)
{
	count(n);
	for (int heavy = 0; heavy < 2; heavy++) {
		struct tree_node *c = n->child[heavy];
		if (weight(c) <= DELTA * weight(n->child[!heavy]))
			continue;
		if (weight(c->child[!heavy]) >= GAMMA * weight(c->child[heavy]))
			n->child[heavy] = rotate(c, !heavy);
		return rotate(n, heavy);
	}
	return n;
}

static struct tree_node *add(struct tree_node *at, tree_cmp cmp, const void *probe, struct tree_node *n)
{
	if (!at)
		return n;
	tree_steps++;
	int r = cmp(probe, at);
	assert(r != 0);
	at->child[r > 0] = add(at->child[r > 0], cmp, probe, n);
	return balance(at);
}

void tree_add(struct tree *t, tree_cmp cmp, const void *probe, struct tree_node *n)
{
	*n = (struct tree_node){.size = 1};
	t->root = add(t->root, cmp, probe, n);
}

/* Takes the first node out of the subtree. */
static struct tree_node *take_first(struct tree_node *at, struct tree_node **first)
{
	tree_steps++;
	if (!at->child[0]) {
		*first = at;
		return at->child[1];
	}
	at->child[0] = take_first(at->child[0], first);
	return balance(at);
}

static struct tree_node *del(struct tree_node *at, tree_cmp cmp, const void *probe)
{
	struct tree_node *next;
	assert(at);
	tree_steps++;
	int r = cmp(probe, at);
	if (r != 0) {
		at->child[r > 0] = del(at->child[r > 0], cmp, probe);
		return balance(at);
	}
	if (!at->child[0] || !at->child[1])
		return at->child[!at->child[0]];
	struct tree_node *rest = take_first(at->child[1], &next);
	next->child[0] = at->child[0];
	next->child[1] = rest;
	return balance(next);
}

void tree_del(struct tree *t, tree_cmp cmp, const void *probe)
{
	t->root = del(t->root, cmp, probe);
}

struct tree_node *tree_find(const struct tree *t, tree_cmp cmp, const void *probe)
{
	struct tree_node *n = t->root;
	while (n) {
		tree_steps++;
		int r = cmp(probe, n);
		if (r == 0)
			break;
		n = n->child[r > 0];
	}
	return n;
}

struct tree_node *tree_at(const struct tree *t, size_t i)
{
	struct tree_node *n = t->root;
	while (n) {
		tree_steps++;
		size_t before = size(n->child[0]);
		if (i == before)
			break;
		bool right = i > before;
		if (right)
			i -= before + 1;
		n = n->child[right];
	}
	return n;
}

size_t tree_rank(const struct tree *t, tree_cmp cmp, const void *probe)
{
	size_t rank = 0;
	for (struct tree_node *n = t->root; n;) {
		tree_steps++;
		int r = cmp(probe, n);
		if (r > 0)
			rank += size(n->child[0]) + 1;
		n = n->child[r > 0];
	}
	return rank;
}
