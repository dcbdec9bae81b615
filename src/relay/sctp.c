/* A message that the other side does not take is kept, one in each direction; while it is, nothing more is read, and SCTP slows the sender down. Linux has no way to
 * send a message in parts, so the parts in which a long one can arrive are put together first.
 *
 * What is decided is tested by tests/relay/test_sctp.c; tests/relay/test_stream_real.c carries real messages where the kernel has SCTP. */
#include "relay/sctp.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

struct sctp_sndinfo sctp_onward(const struct sctp_rcvinfo *in)
{
	return (struct sctp_sndinfo){.snd_sid = in->rcv_sid, .snd_flags = in->rcv_flags & SCTP_UNORDERED, .snd_ppid = in->rcv_ppid};
}

int letter_add(struct letter **l, const struct sctp_rcvinfo *in, const void *p, size_t n, bool last)
{
	size_t had = *l ? (*l)->n : 0;
	if (n > LIMIT_RELAY_LETTER - had)
		return -EMSGSIZE;
	struct letter *more = realloc(*l, sizeof(*more) + had + n);
	if (!more)
		return -ENOMEM;
	if (!had)
		*more = (struct letter){.info = sctp_onward(in)};
	memcpy(more->bytes + had, p, n);
	more->n = had + n;
	more->whole = last;
	*l = more;
	return 0;
}

void sctp_forget(struct half *h)
{
	free(h->letter);
	h->letter = NULL;
}

/* syscalls: setsockopt */
int sctp_prepare(int fd)
{
	const struct sctp_initmsg streams = {.sinit_num_ostreams = SCTP_STREAMS, .sinit_max_instreams = UINT16_MAX};
	const int on = 1;
	if (setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &streams, sizeof(streams)) < 0 || setsockopt(fd, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

static void find_info(struct msghdr *m, struct sctp_rcvinfo *out)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_SCTP && c->cmsg_type == SCTP_RCVINFO && c->cmsg_len >= CMSG_LEN(sizeof(*out)))
			memcpy(out, CMSG_DATA(c), sizeof(*out));
}

/* One part of a message into in->letter; 0: none is there. syscalls: recvmsg */
static ssize_t receive(struct half *in)
{
	static uint8_t p[64 << 10];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct sctp_rcvinfo))];
	} ctl;
	struct sctp_rcvinfo info = {0};
	struct iovec iov = {p, sizeof(p)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.space, .msg_controllen = sizeof(ctl.space)};
	ssize_t n = recvmsg(in->source.fd, &m, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		in->readable = false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0) {
		in->ended = true;
		return 0;
	}
	if (m.msg_flags & MSG_NOTIFICATION) /* none was asked for */
		return 0;
	find_info(&m, &info);
	return letter_add(&in->letter, &info, p, (size_t)n, m.msg_flags & MSG_EOR);
}

/* The message goes on, whole or not at all. syscalls: sendmsg */
static ssize_t pass_on(struct half *in, struct half *out)
{
	struct letter *l = in->letter;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct sctp_sndinfo))];
	} ctl = {0};
	struct iovec iov = {l->bytes, l->n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.space, .msg_controllen = sizeof(ctl.space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = IPPROTO_SCTP;
	c->cmsg_type = SCTP_SNDINFO;
	c->cmsg_len = CMSG_LEN(sizeof(l->info));
	memcpy(CMSG_DATA(c), &l->info, sizeof(l->info));
	ssize_t n = sendmsg(out->source.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		out->writable = false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	sctp_forget(in);
	return n;
}

ssize_t sctp_move(struct half *in, struct half *out)
{
	ssize_t moved = 0, n = 0;
	while (n >= 0 && moved < STREAM_BYTES) {
		if (in->letter && in->letter->whole) {
			if (!out->writable)
				break;
			n = pass_on(in, out);
		} else if (in->readable && !in->ended) {
			n = receive(in);
		} else {
			break;
		}
		moved += n > 0 ? n : 0;
	}
	if (in->ended && in->letter && !in->letter->whole) /* its end will not come */
		sctp_forget(in);
	return n < 0 ? n : moved;
}
