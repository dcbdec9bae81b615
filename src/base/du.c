#include "base/du.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"

static bool is_self(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int64_t size_below(int fd, dev_t dev, unsigned depth)
{
	OWN(own_dir) DIR *d = fdopendir(fd);
	const struct dirent *entry;
	int64_t sum = 0;
	struct stat st;
	if (!d) {
		close(fd);
		return 0;
	}
	while ((entry = readdir(d))) {
		if (is_self(entry->d_name) || fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev)
			continue;
		if (!S_ISDIR(st.st_mode))
			sum += st.st_nlink < 2 ? st.st_size : st.st_size / (int64_t)st.st_nlink;
		if (!S_ISDIR(st.st_mode) || depth == 0)
			continue;
		int sub = openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			sum += size_below(sub, dev, depth - 1);
	}
	return sum;
}

int64_t du_size(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return 0;
	}
	return size_below(fd, st.st_dev, DU_DEPTH);
}
