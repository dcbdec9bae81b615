/* tree: an ordered set of nodes that live inside their owners, so that adding and removing allocate nothing and cannot
 * fail. Every node knows the size of its subtree: the i-th node, how many are below a place, and how many lie between
 * two places cost O(log n) as well. Owns nothing. Not thread safe for writers. */
#pragma once

#include "base/own.h"

struct tree_node {
	struct tree_node *child[2];
	size_t size; /* of the subtree that starts here, this node included */
};
struct tree {
	struct tree_node *root;
};

/* Where the probe stands beside the node: negative before it, 0 on it, positive after it. */
typedef int (*tree_cmp)(const void *probe, const struct tree_node *n);

static inline size_t tree_size(const struct tree *t)
{
	return t->root ? t->root->size : 0;
}
void tree_add(
	struct tree *t, tree_cmp cmp, const void *probe, struct tree_node *n);      /* nothing may stand on the probe */
void tree_del(struct tree *t, tree_cmp cmp, const void *probe);                     /* a node must stand on the probe */
struct tree_node *tree_find(const struct tree *t, tree_cmp cmp, const void *probe); /* NULL if there is none */
struct tree_node *tree_at(const struct tree *t, size_t i);                          /* NULL beyond the end */
size_t tree_rank(const struct tree *t, tree_cmp cmp, const void *probe); /* how many stand before the probe */

/* Nodes visited by this thread so far: tests of cost count them instead of time. */
extern _Thread_local unsigned long tree_steps;
