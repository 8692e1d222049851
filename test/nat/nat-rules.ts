/** NATs and firewalls as nftables rules of a router whose outer device is `wan` and whose inner ones are `lan*`. */
import type { Nat, Passes } from './network-types.ts';

/** RFC 4787, REQ-5: a mapping lives for two minutes or more. */
const MAPPING_LIFETIME = '5m';
/** From here the router also leads back to its own external address. */
export const HAIRPIN_DEVICE = 'lan2';

/**
 * Linux alone makes two kinds: `snat` keeps the port, and its filter is address- and port-dependent; with `fully-random`
 * each destination gets a port of its own. What the others let in is kept in sets: what each local port is mapped
 * to, and where it has sent.
 *
 * `snat` keeps ports only as long as no two local machines use the same one: labs give each a range of its own.
 */
export function natRules({ mapping, filtering }: Nat, external: string): string {
  const isSymmetric = mapping === 'address-and-port-dependent';
  const { types, sent, sender, sentBack, senderBack } = PERMISSIONS[filtering];
  const lifetime = `flags dynamic, timeout; timeout ${MAPPING_LIFETIME}; size 65535;`;
  const cone = `
    map mapping { type inet_service : ipv4_addr . inet_service; ${lifetime} }
    set permitted { type ${types}; ${lifetime} }
    set permitted_back { type ${types.replace(' . ipv4_addr', '')}; ${lifetime} }
    # Before addresses change, and with each packet, so that a mapping in use does not end.
    chain remember {
      type filter hook prerouting priority mangle
      iifname != "lan*" return
      meta l4proto udp update @mapping { udp sport : ip saddr . udp sport }
      meta l4proto udp update @permitted { udp sport${sent} }
      ip daddr ${external} meta l4proto udp update @permitted_back { udp sport${sentBack} }
    }
    chain in {
      type nat hook prerouting priority dstnat
      ip daddr != ${external} return
      iifname "wan" udp dport${sender} @permitted dnat to udp dport map @mapping
      iifname "lan*" udp dport${senderBack} ${filtering === 'endpoint-independent' ? '@permitted' : '@permitted_back'} dnat to udp dport map @mapping
    }`;
  // What asks for something new from outside is dropped before it is delivered to the router itself: the connection
  // that Linux would remember of it would take the external port away from the local one, and change its mapping.
  return `table ip nat {
    ${isSymmetric ? '' : cone}
    chain late {
      type filter hook prerouting priority dstnat + 10
      ip daddr ${external} ct state new ct status & dnat == 0 meta l4proto { tcp, udp } drop
    }
    chain forward {
      type filter hook forward priority filter
      # What went round through the external address is known by its changed destination.
      iifname { "lan", "${HAIRPIN_DEVICE}" } oifname { "lan", "${HAIRPIN_DEVICE}" } ct status dnat accept
      iifname "lan*" oifname "lan*" drop
    }
    chain out {
      type nat hook postrouting priority srcnat
      # RFC 4787, REQ-9: a hairpinned packet has its sender's external address and port.
      iifname "lan*" oifname "lan*" snat to ${external}
      oifname "wan" snat to ${external} ${isSymmetric ? 'fully-random' : ''}
    }
  }`;
}

/**
 * What the sets hold besides the local port, and what of a packet from outside must be in them. `permitted_back` is for
 * what goes round through the router's own address, where only ports tell who is who.
 */
const PERMISSIONS: Record<Nat['filtering'], Record<'types' | 'sent' | 'sender' | 'sentBack' | 'senderBack', string>> = {
  none: { types: 'inet_service', sent: '', sender: '', sentBack: '', senderBack: '' },
  'endpoint-independent': { types: 'inet_service', sent: '', sender: '', sentBack: '', senderBack: '' },
  'address-dependent': {
    types: 'inet_service . ipv4_addr',
    sent: ' . ip daddr',
    sender: ' . ip saddr',
    sentBack: '',
    senderBack: '',
  },
  'address-and-port-dependent': {
    types: 'inet_service . ipv4_addr . inet_service',
    sent: ' . ip daddr . udp dport',
    sender: ' . ip saddr . udp sport',
    sentBack: ' . udp dport',
    senderBack: ' . udp sport',
  },
};

/** RFC 6092, section 3.2.2: from outside come answers only. Neighbour discovery is not forwarded. */
export function ipv6FirewallRules(): string {
  return `table ip6 firewall {
    chain forward {
      type filter hook forward priority filter
      ct state new iifname "wan" drop
      iifname "lan*" oifname "lan*" drop
    }
  }`;
}

/** Drops what a network does not let out. Answers may come in. */
export function blockRules(passes: Passes, edge: { ipv4: string; ipv6: string }): string {
  if (passes === 'all') return '';
  const allowed = {
    tcp: 'meta l4proto tcp accept',
    'tcp-443': 'tcp dport 443 accept',
    edge: `ip daddr ${edge.ipv4} tcp dport 443 accept\nip6 daddr ${edge.ipv6} tcp dport 443 accept`,
  }[passes];
  return `table inet block {
    chain forward {
      type filter hook forward priority filter - 1
      iifname "lan*" oifname "lan*" accept
      ct state established,related accept
      ${allowed}
      drop
    }
  }`;
}
