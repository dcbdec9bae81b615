/* What is decided about SCTP messages; the kernel need not have SCTP. */
#include "relay/sctp.h"

#include "base/limits.h"
#include "test.h"

TEST(a_message_keeps_its_stream_and_kind)
{
	const struct sctp_rcvinfo in = {.rcv_sid = 7, .rcv_ssn = 99, .rcv_flags = SCTP_UNORDERED | 0x100, .rcv_ppid = 0x2e000000, .rcv_tsn = 5, .rcv_context = 3, .rcv_assoc_id = 11};
	struct sctp_sndinfo out = sctp_onward(&in);
	CHECK_INT(out.snd_sid, 7);
	CHECK_INT(out.snd_flags, SCTP_UNORDERED); /* what else a received message says means something else when sending: ABORT, EOF */
	CHECK_INT(out.snd_ppid, 0x2e000000);
	CHECK_INT(out.snd_assoc_id, 0);
	CHECK_INT(out.snd_context, 0);
}

TEST(parts_become_one_message)
{
	struct half h = {.source.fd = -1};
	const struct sctp_rcvinfo first = {.rcv_sid = 2, .rcv_ppid = 9}, rest = {.rcv_sid = 3};
	CHECK(letter_add(&h.letter, &first, "abc", 3, false) == 0 && !h.letter->whole);
	CHECK(letter_add(&h.letter, &rest, "de", 2, true) == 0 && h.letter->whole);
	CHECK(h.letter->n == 5 && memcmp(h.letter->bytes, "abcde", 5) == 0);
	CHECK_INT(h.letter->info.snd_sid, 2);
	CHECK_INT(h.letter->info.snd_ppid, 9);
	sctp_forget(&h);
	CHECK(!h.letter);
}

TEST(a_message_without_end_is_refused)
{
	static uint8_t part[64 << 10];
	struct half h = {.source.fd = -1};
	const struct sctp_rcvinfo in = {0};
	size_t n = 0;
	while (letter_add(&h.letter, &in, part, sizeof(part), false) == 0)
		n += sizeof(part);
	CHECK_INT(n, LIMIT_RELAY_LETTER);
	CHECK_INT(letter_add(&h.letter, &in, part, 1, true), -EMSGSIZE);
	sctp_forget(&h);
}

TESTS(T(a_message_keeps_its_stream_and_kind), T(parts_become_one_message), T(a_message_without_end_is_refused))
