#include "model/tree.h"

#include "test.h"

struct item {
	int value;
	struct tree_node node;
};

static int cmp(const void *probe, const struct tree_node *n)
{
	const struct item *i = (const struct item *)(const void *)((const char *)n - offsetof(struct item, node));
	int v = *(const int *)probe;
	return (v > i->value) - (v < i->value);
}

static size_t weight(const struct tree_node *n)
{
	return n ? n->size + 1 : 1;
}

static bool sound(const struct tree_node *n)
{
	if (!n)
		return true;
	size_t l = weight(n->child[0]), r = weight(n->child[1]);
	return n->size == l + r - 1 && l <= 3 * r && r <= 3 * l && sound(n->child[0]) && sound(n->child[1]);
}

#define N 1024

/* Random additions and removals; every question is compared with an array of flags. */
TEST(like_a_sorted_array)
{
	static struct item items[N];
	static bool in[N];
	struct tree t = {0};
	unsigned seed = 7;
	for (int round = 0; round < 20000; round++) {
		int v = (int)((unsigned)rand_r(&seed) % N), i = 0;
		items[v].value = v;
		if (in[v])
			tree_del(&t, cmp, &v);
		else
			tree_add(&t, cmp, &v, &items[v].node);
		in[v] = !in[v];
		if (round % 97)
			continue;
		REQUIRE(sound(t.root));
		for (int k = 0; k < N; k++) {
			REQUIRE((tree_find(&t, cmp, &k) == &items[k].node) == in[k]);
			REQUIRE(tree_rank(&t, cmp, &k) == (size_t)i);
			if (in[k])
				REQUIRE(tree_at(&t, (size_t)i++) == &items[k].node);
		}
		CHECK_INT(tree_size(&t), i);
		CHECK(tree_at(&t, (size_t)i) == NULL);
	}
}

/* In order, in reverse, and from both ends: the depth stays logarithmic. */
TEST(sorted_input_stays_balanced)
{
	enum { MANY = 100000 };
	struct item *items = calloc(MANY, sizeof(*items));
	REQUIRE(items);
	for (int way = 0; way < 3; way++) {
		struct tree t = {0};
		for (int i = 0; i < MANY; i++) {
			int v = way == 0 ? i : way == 1 ? MANY - 1 - i : i % 2 ? MANY - 1 - i / 2 : i / 2;
			items[v].value = v;
			tree_add(&t, cmp, &v, &items[v].node);
		}
		CHECK(sound(t.root));
		unsigned long most = 0;
		for (int v = 0; v < MANY; v++) {
			unsigned long before = tree_steps;
			tree_find(&t, cmp, &v);
			most = tree_steps - before > most ? tree_steps - before : most;
		}
		CHECK(most <= 40);
		for (int v = 0; v < MANY; v += 2)
			tree_del(&t, cmp, &v);
		CHECK(sound(t.root));
		CHECK_INT(tree_size(&t), MANY / 2);
	}
	free(items);
}

TESTS(T(like_a_sorted_array), T(sorted_input_stays_balanced))
