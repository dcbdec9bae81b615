#include "image/pack.h"

int pack_run(struct job *j, const struct pack *p, struct err *e)
{
	OWN(own_sink) struct sink *s = NULL;
	OWN(own_tar_tree) struct tar_tree *t = NULL;
	const struct job_result nothing = {};

	try(sink_open(p->out, SINK_PLAIN, &s, e));
	struct tar_writer w = tar_writer_to(s);
	try(tar_tree_new(&w, TAR_TREE_PLAIN, &t, e));
	try(tar_tree_put(t, p->source, p->name, p->as, e));
	try(tar_write_end(&w, e));
	try(sink_end(s, NULL, e));
	return job_tell_result(j, &nothing, e);
}
