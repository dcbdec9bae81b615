#include "engine/follow.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"

int follow_open(struct engine *en, struct err *e)
{
	en->growth = fd_inotify(e);
	return en->growth < 0 ? en->growth : 0;
}

void follow_close(struct engine *en)
{
	if (en->growth >= 0)
		close(en->growth);
	en->growth = -1;
}

int follow_begin(struct engine *en, const char *id, struct follower *f, struct err *e)
{
	char dir[PATH_SIZE];
	path_container(en, id, NULL, dir);
	*f = (struct follower){.id = id, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (f->fd < 0)
		return err_errno(e, -errno, "eventfd");
	pthread_mutex_lock(&en->lock);
	f->dir = inotify_add_watch(en->growth, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
	int r = f->dir < 0 ? -errno : 0;
	if (r >= 0) {
		f->next = en->followers;
		en->followers = f;
	}
	pthread_mutex_unlock(&en->lock);
	if (r >= 0)
		return 0;
	close(f->fd);
	return err_errno(e, r, "watch %s", dir);
}

void follow_end(struct engine *en, struct follower *f)
{
	bool others = false;
	pthread_mutex_lock(&en->lock);
	for (struct follower **p = &en->followers; *p;) {
		if (*p == f) {
			*p = f->next;
		} else {
			others |= (*p)->dir == f->dir;
			p = &(*p)->next;
		}
	}
	if (!others)
		(void)inotify_rm_watch(en->growth, f->dir); /* it went with the directory, if that has gone */
	pthread_mutex_unlock(&en->lock);
	close(f->fd);
}

/* dir: -1 = all of them. */
static void wake(struct engine *en, int dir, const char *id)
{
	pthread_mutex_lock(&en->lock);
	for (const struct follower *f = en->followers; f; f = f->next)
		if (id ? streq(f->id, id) : dir < 0 || f->dir == dir)
			eventfd_write(f->fd, 1);
	pthread_mutex_unlock(&en->lock);
}

void follow_read(struct engine *en)
{
	_Alignas(struct inotify_event) char buf[8192];
	int last = 0; /* one writer's events come in a row */
	ssize_t n = read(en->growth, buf, sizeof(buf));
	for (const char *p = buf; n > 0 && p < buf + n;) {
		const struct inotify_event *ev = (const struct inotify_event *)p;
		if (ev->mask & IN_Q_OVERFLOW)
			wake(en, -1, NULL);
		else if (ev->wd != last)
			wake(en, ev->wd, NULL);
		last = ev->wd;
		p += sizeof(*ev) + ev->len;
	}
}

void follow_wake(struct engine *en, const char *id)
{
	wake(en, 0, id);
}
