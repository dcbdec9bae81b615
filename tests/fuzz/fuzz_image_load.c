/* A saved archive or OCI layout, from the outer tar to the unpacked layers. */
#include "fuzz_image_job.h"

#include "image/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_job f;
	struct map have = {};
	struct err e = {};
	fuzz_job_open(&f, data, size);
	load_run(&f.job, &have, NULL, &e);
	fuzz_job_close(&f);
	return 0;
}
