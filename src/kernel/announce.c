#include "kernel/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "kernel/netns.h"

static_assert(ANNOUNCE_FRAME == sizeof(struct ether_header) + sizeof(struct ip6_hdr) + sizeof(struct nd_neighbor_advert) + 8, "an advertisement with one option");

/* RFC 5227, 2.3: asks for the own address, so that those who know it correct what they know. */
static size_t arp_frame(const struct mac *mac, const struct ip *ip, uint8_t *out)
{
	struct ether_header eth = {.ether_type = htons(ETHERTYPE_ARP)};
	struct ether_arp arp = {.arp_hrd = htons(ARPHRD_ETHER), .arp_pro = htons(ETHERTYPE_IP), .arp_hln = 6, .arp_pln = 4, .arp_op = htons(ARPOP_REQUEST)};
	memset(eth.ether_dhost, 0xff, 6);
	memcpy(eth.ether_shost, mac->b, 6);
	memcpy(arp.arp_sha, mac->b, 6);
	memcpy(arp.arp_spa, ip->b, 4);
	memcpy(arp.arp_tpa, ip->b, 4);
	memcpy(out, &eth, sizeof(eth));
	memcpy(out + sizeof(eth), &arp, sizeof(arp));
	return sizeof(eth) + sizeof(arp);
}

static uint32_t sum_words(uint32_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

/* RFC 4861, 7.2.6: unsolicited, to all nodes, with the override flag. */
static size_t na_frame(const struct mac *mac, const struct ip *ip, uint8_t *out)
{
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1}, all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct ether_header eth = {.ether_type = htons(ETHERTYPE_IPV6)};
	struct {
		struct nd_neighbor_advert na;
		uint8_t option[8];
	} body = {.na = {.nd_na_type = ND_NEIGHBOR_ADVERT, .nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE}, .option = {ND_OPT_TARGET_LINKADDR, 1}};
	struct ip6_hdr six = {.ip6_flow = htonl(6u << 28), .ip6_plen = htons(sizeof(body)), .ip6_nxt = IPPROTO_ICMPV6, .ip6_hlim = 255};
	memcpy(eth.ether_dhost, all_nodes_mac, 6);
	memcpy(eth.ether_shost, mac->b, 6);
	memcpy(&six.ip6_src, ip->b, 16);
	memcpy(&six.ip6_dst, all_nodes, 16);
	memcpy(&body.na.nd_na_target, ip->b, 16);
	memcpy(body.option + 2, mac->b, 6);
	uint32_t sum = sum_words(sizeof(body) + IPPROTO_ICMPV6, &six.ip6_src, 32);
	sum = sum_words(sum, &body, sizeof(body));
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	body.na.nd_na_cksum = htons((uint16_t)~sum);
	memcpy(out, &eth, sizeof(eth));
	memcpy(out + sizeof(eth), &six, sizeof(six));
	memcpy(out + sizeof(eth) + sizeof(six), &body, sizeof(body));
	return sizeof(eth) + sizeof(six) + sizeof(body);
}

size_t announce_frame(const struct mac *mac, const struct ip *ip, uint8_t out[static ANNOUNCE_FRAME])
{
	return ip->family == AF_INET6 ? na_frame(mac, ip, out) : ip->family == AF_INET ? arp_frame(mac, ip, out) : 0;
}

struct sending {
	const char *link;
	const struct mac *mac;
	const struct ip *ips;
	size_t n;
};

static int send_in(void *arg, struct err *e)
{
	const struct sending *s = arg;
	struct ifreq ifr = {0};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	memset(to.sll_addr, 0xff, 6);
	if (!str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), s->link))
		return err_set(e, -EINVAL, "the interface name %s is too long", s->link);
	/* Protocol 0: it receives nothing. */
	OWN(own_fd) int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		return err_errno(e, -errno, "announce the addresses of %s", s->link);
	if (memcmp(ifr.ifr_hwaddr.sa_data, s->mac->b, 6) != 0)
		return err_set(e, -ESTALE, "%s has another MAC by now", s->link);
	to.sll_ifindex = (int)if_nametoindex(s->link);
	for (size_t i = 0; i < s->n; i++) {
		uint8_t frame[ANNOUNCE_FRAME];
		size_t n = announce_frame(s->mac, &s->ips[i], frame);
		to.sll_protocol = htons(s->ips[i].family == AF_INET6 ? ETHERTYPE_IPV6 : ETHERTYPE_ARP);
		if (n && sendto(fd, frame, n, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			return err_errno(e, -errno, "announce the addresses of %s", s->link);
	}
	return 0;
}

int kernel_announce(const char *netns_path, const char *link, const struct mac *mac, const struct ip *ips, size_t n, struct err *e)
{
	struct sending s = {.link = link, .mac = mac, .ips = ips, .n = n};
	OWN(own_fd) int fd = netns_open(netns_path, e);
	return fd < 0 ? fd : netns_run(fd, send_in, &s, e);
}
