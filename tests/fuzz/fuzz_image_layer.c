/* A layer's tar, plain or compressed, unpacked into a directory. */
#include "fuzz_image_job.h"

#include "image/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_job f;
	struct layer l;
	struct err e = {};
	fuzz_job_open(&f, data, size);
	layer_unpack(&f.job, f.job.in, NULL, &l, &e);
	fuzz_job_close(&f);
	return 0;
}
