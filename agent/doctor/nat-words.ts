/** What a person reads about NAT and UDP. */
import { endpointText } from '../datagram.ts';
import { isGlobal, isPrivate } from '../port-mapping/ip-address.ts';
import { type Finding, ok, skipped, warning } from './finding.ts';
import type { NatFiltering, NatView } from './nat.ts';

const FORWARD =
  'Let the router pass a UDP port to this machine: UPnP or PCP switched on there, or a port forwarding with udp_ports set. With TURN set up at the edge, connections work all the same.';

/** `reached`: the edge answers by TCP. */
export function natFindings(view: NatView | undefined, family: 4 | 6, reached: boolean): Finding[] {
  const check = (what: string) => `nat.${what}${family === 6 ? '6' : ''}`;
  const name = `IPv${family}`;
  if (view === undefined) {
    // A network without IPv6 is told elsewhere.
    if (family === 6) return [];
    return [
      skipped('nat.udp', 'No STUN server was asked how UDP fares: none is known, or their names cannot be resolved.', {
        fix: 'Look at DNS on this machine, or name one: direct-agent doctor --stun stun:stun.example.org:3478',
      }),
    ];
  }
  const data = {
    asked: view.asked.map(endpointText),
    answered: view.answered.map(({ server, ms }) => ({ server: endpointText(server), ms })),
    mapped: view.mapped === undefined ? null : endpointText(view.mapped),
  };
  if (view.mapped === undefined) return [blocked(check('udp'), name, reached, data)];
  const fastest = Math.min(...view.answered.map(({ ms }) => ms));
  const udp = ok(
    check('udp'),
    `UDP over ${name} is open: ${view.answered.length} of ${view.asked.length} STUN servers answer (${fastest} ms); outside, this machine is ${view.mapped[0]}.`,
    { data },
  );
  return [
    udp,
    mappingFinding(check('mapping'), view),
    ...filteringFinding(check('filtering'), view),
    ...hairpinFinding(view),
  ];
}

function blocked(check: string, name: string, reached: boolean, data: Finding['data']): Finding {
  const more = data === undefined ? {} : { data };
  if (!reached) {
    return warning(check, `No STUN server answers by UDP over ${name}, and the edge does not answer either.`, {
      meaning: 'This machine seems to have no connection to the internet.',
      fix: 'See the lines about the edge.',
      ...more,
    });
  }
  return warning(check, `UDP over ${name} is blocked: no STUN server answers, while TCP works.`, {
    meaning:
      'There are no direct connections but within this network; others go through TURN by TCP or TLS, or through the edge’s relay.',
    fix: 'Let the firewall pass UDP to the internet, port 3478 at least; or set up TURN over TLS at the edge.',
    ...more,
  });
}

function mappingFinding(check: string, { mapping, mapped }: NatView): Finding {
  const data = { mapping: mapping ?? null };
  const carrier = mapped !== undefined && isPrivate(mapped[0]);
  switch (mapping) {
    case 'none':
      if (mapped !== undefined && !isGlobal(mapped[0])) {
        return skipped(check, `The STUN servers see this machine’s own address ${mapped[0]}, which is not public.`, {
          meaning: 'They are in the same network, so they cannot tell what the router does.',
          fix: 'Name one outside: direct-agent doctor --stun stun:stun.example.org:3478',
          data,
        });
      }
      return ok(check, 'There is no NAT: this machine’s own address is its public one.', {
        meaning: 'Direct connections work with almost everybody.',
        data,
      });
    case 'endpoint-independent':
      return ok(check, 'The router keeps one public port for all destinations (endpoint-independent mapping).', {
        meaning: carrier
          ? 'The address that servers see is not public, so that they may be in the same network; direct connections work within it.'
          : 'Direct connections work with almost everybody.',
        data,
      });
    case 'address-dependent':
    case 'address-and-port-dependent': {
      const each = mapping === 'address-dependent' ? 'each destination address' : 'each destination';
      const kind = mapping === 'address-dependent' ? 'address-dependent' : 'address- and port-dependent, “symmetric”';
      return warning(check, `The router takes another public port for ${each} (${kind} mapping).`, {
        meaning:
          'Direct connections work only with clients whose own router lets in packets from ports that they do not know; all others go through TURN or the edge’s relay.',
        fix: FORWARD,
        data,
      });
    }
    default:
      return skipped(
        check,
        'Whether the router keeps one public port for all destinations is not known: only one server address answered.',
        {
          meaning: 'It takes two to compare.',
          fix: 'Name another one: direct-agent doctor --stun stun:stun.example.org:3478',
          data,
        },
      );
  }
}

const FILTERS: Record<NatFiltering, { what: string; meaning: string }> = {
  'endpoint-independent': {
    what: 'Everybody may send to an open port (endpoint-independent filtering)',
    meaning: 'Even clients behind a symmetric NAT connect directly.',
  },
  'address-dependent': {
    what: 'Only addresses to which this machine has sent may answer, from any port (address-dependent filtering)',
    meaning: 'Even clients behind a symmetric NAT connect directly.',
  },
  'address-and-port-dependent': {
    what: 'Only the very ports to which this machine has sent may answer (address- and port-dependent filtering)',
    meaning: 'That is usual. Clients behind a symmetric NAT need TURN or the relay; others connect directly.',
  },
};

function filteringFinding(check: string, { filtering, mapping }: NatView): Finding[] {
  const data = { filtering: filtering ?? null };
  if (filtering === undefined) {
    return [
      skipped(
        check,
        'Who may send to an open port (filtering) cannot be told: these STUN servers do not speak RFC 5780.',
        {
          fix: 'Name one that does, such as coturn with two addresses: direct-agent doctor --stun stun:stun.example.org:3478',
          data,
        },
      ),
    ];
  }
  const { what, meaning } = FILTERS[filtering];
  const isSymmetric = mapping === 'address-dependent' || mapping === 'address-and-port-dependent';
  // What the mapping spoils, no filter mends.
  return [ok(check, `${what}.`, isSymmetric ? { data } : { meaning, data })];
}

function hairpinFinding({ hairpin, family }: NatView): Finding[] {
  if (hairpin === undefined || family === 6) return [];
  const data = { hairpin };
  if (hairpin) return [ok('nat.hairpin', 'The router leads back inside by its outer address (hairpinning).', { data })];
  return [
    ok('nat.hairpin', 'The router does not lead back inside by its outer address (no hairpinning).', {
      meaning:
        'Devices in the same network connect by the inner addresses; only those in another network behind the same router need TURN or the relay.',
      data,
    }),
  ];
}
