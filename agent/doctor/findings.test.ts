/** The sentences of each check: what is fine, what is not, what to do. */
import { describe, expect, test } from 'vitest';
import { dockerHost, machine } from '../test-machines.ts';
import { checkDns } from './edge.ts';
import { inParts } from './finding.ts';
import { clockFindings, credentialFindings, edgeFindings, type Look, presenceFindings } from './host.ts';
import { checkInterfaces, checkIpv6, checkProxy } from './interfaces.ts';
import type { NatView } from './nat.ts';
import { natFindings } from './nat-words.ts';
import { fakeFetch, settingsWith, told } from './test-doctor.ts';
import { type Result, turnFindings, turnWays } from './turn.ts';
import { checkEdgeVersion, checkNode, checkRunning, checkUpdate } from './versions.ts';

const never = new AbortController().signal;
const EDGE = 'https://edge.example';

test('messages are taken apart where the fix begins', () => {
  expect(inParts('max_conns (--max-conns): 0 is no number. Write 10.')).toEqual({
    what: 'max_conns (--max-conns): 0 is no number.',
    fix: 'Write 10.',
  });
  expect(inParts('The edge https://a.example says no.')).toEqual({ what: 'The edge https://a.example says no.' });
});

describe('names', () => {
  const look = (v4: string[], v6: string[]) => async (_: string, family: 4 | 6) => (family === 4 ? v4 : v6);
  const failing = (code: string) => async () => {
    throw Object.assign(new Error(code), { code });
  };
  const withoutTimes = (text: string) => text.replaceAll(/\d+ ms/g, '… ms');

  test('found, not found, silent, not needed', async () => {
    expect(withoutTimes(told(await checkDns(EDGE, look(['192.0.2.1'], []), never)))).toMatchInlineSnapshot(
      `"  ✓ The name edge.example has addresses: 1 of IPv4 (… ms), none of IPv6 (… ms)."`,
    );
    expect(told(await checkDns(EDGE, failing('ENOTFOUND'), never))).toMatchInlineSnapshot(`
      "  ✗ The name edge.example has no address (ENOTFOUND).
          This machine cannot find the edge, so nobody reaches it.
          → Check the spelling of the edge’s address, and whether other names work here; if none does, the network’s name server has a problem."
    `);
    expect(told(await checkDns(EDGE, failing('ETIMEOUT'), never))).toContain('(the name server does not answer)');
    expect(told(await checkDns('http://127.0.0.1:8787', failing('unused'), never))).toMatchInlineSnapshot(
      `"  – The edge’s address 127.0.0.1 is a number: no name has to be looked up."`,
    );
  });
});

describe('what the edge says', () => {
  const NOW = Date.parse('2026-11-21T12:00:00Z');
  const seen: Look = {
    unreachable: undefined,
    credential: 'accepted',
    online: true,
    since: NOW - 90 * 60_000,
    version: undefined,
    problem: undefined,
    clockAheadMs: 300,
    ms: 20,
  };
  const local = { pid: 4711, version: '1.0.0', hostId: 'attic', problem: null };
  const all = (look: Look, agent?: typeof local & { problem: string | null }) =>
    told([
      ...edgeFindings(EDGE, look),
      ...clockFindings(look),
      ...credentialFindings(look),
      ...presenceFindings(look, agent, NOW),
    ]);

  test('all is well', () => {
    expect(all(seen, local)).toMatchInlineSnapshot(`
      "  ✓ The edge https://edge.example answers (20 ms).
        ✓ This machine’s clock agrees with the edge’s (within 1 s).
        ✓ The edge accepts this host’s credential.
        ✓ The edge sees the agent, connected for 90 minutes. It runs on this machine (process 4711)."
    `);
  });

  test('the edge cannot be reached', () => {
    const unreachable = `The edge ${EDGE} cannot be reached (ECONNREFUSED). Check its address and this machine’s connection.`;
    const look: Look = { ...seen, unreachable, credential: 'unknown', online: null, clockAheadMs: undefined };
    expect(all(look)).toMatchInlineSnapshot(`
      "  ✗ The edge https://edge.example cannot be reached (ECONNREFUSED).
          While the edge cannot be reached, nobody outside reaches this host.
          → Check its address and this machine’s connection.
        – This machine’s clock is not compared: the edge does not answer.
        – The credential is not checked: the edge does not answer.
        – Whether the edge sees an agent of this host is not known."
    `);
  });

  test('the credential is refused', () => {
    const problem = `The edge ${EDGE} does not accept this host’s credential: it is wrong, or was revoked or replaced. Run: direct-agent login ${EDGE}`;
    expect(told(credentialFindings({ ...seen, credential: 'refused', problem }))).toMatchInlineSnapshot(`
      "  ✗ The edge https://edge.example does not accept this host’s credential: it is wrong, or was revoked or replaced.
          The agent cannot serve, and a running one has stopped.
          → Run: direct-agent login https://edge.example"
    `);
    const other = told(credentialFindings({ ...seen, credential: 'unknown', problem: 'The edge says: no. Wait.' }));
    expect(other).toMatchInlineSnapshot(`
      "  ! The edge says: no.
          → Wait."
    `);
  });

  test('the clock is off', () => {
    expect(told(clockFindings({ ...seen, clockAheadMs: -3_600_000 }))).toMatchInlineSnapshot(`
      "  ! This machine’s clock is 3600 s slow.
          Certificates, TURN credentials and expiry dates are judged by it, and may count as ended or not begun.
          → Switch on the automatic time (NTP) of this system."
    `);
    expect(told(clockFindings({ ...seen, clockAheadMs: 61_000 }))).toContain('! This machine’s clock is 61 s fast.');
    expect(told(clockFindings({ ...seen, clockAheadMs: 60_000 }))).toMatch(/^ {2}✓/);
  });

  test('no agent, or one that the edge does not see', () => {
    const offline = { ...seen, online: false, since: undefined };
    expect(told(presenceFindings(offline, undefined, NOW))).toMatchInlineSnapshot(`
      "  ! The edge sees no agent of this host: it is offline.
          Nobody can use this host now.
          → Start it with: direct-agent up; or let it start by itself: direct-agent service install"
    `);
    const problem = 'getaddrinfo EAI_AGAIN edge.example';
    expect(told(presenceFindings(offline, { ...local, problem }, NOW))).toMatchInlineSnapshot(`
      "  ✗ An agent runs on this machine (process 4711), but the edge does not see it. It says: getaddrinfo EAI_AGAIN edge.example.
          Nobody can use this host now.
          → If the lines above about the edge are right, wait a minute, then restart the agent."
    `);
    expect(told(presenceFindings({ ...seen, since: undefined }, undefined, NOW))).toMatchInlineSnapshot(
      `"  ✓ The edge sees the agent, which polls."`,
    );
    expect(told(presenceFindings({ ...seen, online: null }, undefined, NOW))).toMatch(/^ {2}–/);
  });
});

describe('this machine’s network', () => {
  test('interfaces used and left out', () => {
    expect(told(checkInterfaces(dockerHost, settingsWith().network))).toMatchInlineSnapshot(`
      "  ✓ Used: enp3s0 (192.168.1.73, 2001:db8:a::73, fd12:3456::73).
        ✓ Left out: br-3f2a9c01d4e5, br-77aa88bb99cc, docker0 (for containers inside this machine)."
    `);
    expect(told(checkInterfaces(machine({}), settingsWith().network))).toMatchInlineSnapshot(`
      "  ! No network interface is used.
          There can be no direct connection.
          → Connect this machine to a network; if it is connected, see “interfaces” in the configuration.
        ✓ Left out: lo (loopback)."
    `);
    const { network } = settingsWith({ interfaces: ['eth*', 'wlan0'] });
    expect(told(checkInterfaces(machine({ eth0: ['192.168.1.5/24'] }), network))).toMatchInlineSnapshot(`
      "  ! interfaces (--interfaces): "wlan0" matches no interface that is up.
          → This machine has eth0 (192.168.1.5).
        ✓ Used: eth0 (192.168.1.5)."
    `);
  });

  test('IPv6', async () => {
    const { network } = settingsWith();
    const look = async () => ['2001:db8::1'];
    const options = { network, edge: EDGE, look, signal: AbortSignal.timeout(300) };
    const none = await checkIpv6({ ...options, interfaces: machine({ eth0: ['192.168.1.5/24', 'fd00::5/64'] }) });
    expect(told(none)).toMatchInlineSnapshot(`
      "  ✓ This machine has no global IPv6 address.
          Direct connections use IPv4 alone, through the router’s NAT.
          → If your provider offers IPv6, switch it on in the router: it needs no NAT."
    `);
    const off = await checkIpv6({ ...options, interfaces: {}, network: settingsWith({ ipFamily: 'ipv4' }).network });
    expect(told(off)).toMatchInlineSnapshot(`"  – IPv6 is not used: ip_family is ipv4."`);
    const unknown = { ...options, edge: undefined, interfaces: machine({ eth0: ['2001:db8::5/64'] }) };
    expect(told(await checkIpv6(unknown))).toMatchInlineSnapshot(
      `"  ✓ This machine has the global IPv6 address 2001:db8::5; nothing was there to try it with."`,
    );
  });

  test('a proxy that is not used', async () => {
    const env = { HTTPS_PROXY: 'http://user:secret@proxy.example:3128', https_proxy: '' };
    const said = told([...(await checkProxy(env, async () => true)), ...(await checkProxy(env, async () => false))]);
    expect(said).toMatchInlineSnapshot(`
      "  ✓ HTTPS_PROXY is set; direct-agent uses no proxy.
          It does not need one: the edge answers without.
        ! HTTPS_PROXY is set; direct-agent uses no proxy.
          That may be why the edge does not answer.
          → Let this machine reach the edge by TCP port 443 without the proxy."
    `);
    expect(said).not.toContain('secret');
    expect(await checkProxy({}, async () => false)).toEqual([]);
  });
});

describe('NAT', () => {
  const view: NatView = {
    family: 4,
    asked: [
      ['198.51.100.1', 3478],
      ['198.51.100.2', 3478],
    ],
    answered: [{ server: ['198.51.100.1', 3478], ms: 12 }],
    mapped: ['203.0.113.9', 50_000],
    mapping: 'endpoint-independent',
    filtering: 'address-and-port-dependent',
    hairpin: false,
  };

  test('an ordinary router', () => {
    expect(told(natFindings(view, 4, true))).toMatchInlineSnapshot(`
      "  ✓ UDP over IPv4 is open: 1 of 2 STUN servers answer (12 ms); outside, this machine is 203.0.113.9.
        ✓ The router keeps one public port for all destinations (endpoint-independent mapping).
          Direct connections work with almost everybody.
        ✓ Only the very ports to which this machine has sent may answer (address- and port-dependent filtering).
          That is usual. Clients behind a symmetric NAT need TURN or the relay; others connect directly.
        ✓ The router does not lead back inside by its outer address (no hairpinning).
          Devices in the same network connect by the inner addresses; only those in another network behind the same router need TURN or the relay."
    `);
  });

  test('a symmetric one', () => {
    const findings = natFindings({ ...view, mapping: 'address-and-port-dependent', hairpin: undefined }, 4, true);
    expect(told(findings)).toMatchInlineSnapshot(`
      "  ✓ UDP over IPv4 is open: 1 of 2 STUN servers answer (12 ms); outside, this machine is 203.0.113.9.
        ! The router takes another public port for each destination (address- and port-dependent, “symmetric” mapping).
          Direct connections work only with clients whose own router lets in packets from ports that they do not know; all others go through TURN or the edge’s relay.
          → Let the router pass a UDP port to this machine: UPnP or PCP switched on there, or a port forwarding with udp_ports set. With TURN set up at the edge, connections work all the same.
        ✓ Only the very ports to which this machine has sent may answer (address- and port-dependent filtering)."
    `);
    const other = natFindings({ ...view, mapping: 'address-dependent', hairpin: undefined }, 4, true);
    expect(told(other)).toContain('another public port for each destination address (address-dependent mapping)');
  });

  test('none, and open to all', () => {
    const open = { ...view, mapping: 'none', filtering: 'endpoint-independent', hairpin: undefined } as const;
    expect(told(natFindings(open, 4, true))).toMatchInlineSnapshot(`
      "  ✓ UDP over IPv4 is open: 1 of 2 STUN servers answer (12 ms); outside, this machine is 203.0.113.9.
        ✓ There is no NAT: this machine’s own address is its public one.
          Direct connections work with almost everybody.
        ✓ Everybody may send to an open port (endpoint-independent filtering).
          Even clients behind a symmetric NAT connect directly."
    `);
    const filtered = { ...open, filtering: 'address-dependent', hairpin: true } as const;
    expect(told(natFindings(filtered, 4, true))).toMatchInlineSnapshot(`
      "  ✓ UDP over IPv4 is open: 1 of 2 STUN servers answer (12 ms); outside, this machine is 203.0.113.9.
        ✓ There is no NAT: this machine’s own address is its public one.
          Direct connections work with almost everybody.
        ✓ Only addresses to which this machine has sent may answer, from any port (address-dependent filtering).
          Even clients behind a symmetric NAT connect directly.
        ✓ The router leads back inside by its outer address (hairpinning)."
    `);
    const inside = { ...open, mapped: ['192.168.1.5', 50_000] } as const;
    expect(told(natFindings(inside, 4, true))).toMatchInlineSnapshot(`
      "  ✓ UDP over IPv4 is open: 1 of 2 STUN servers answer (12 ms); outside, this machine is 192.168.1.5.
        – The STUN servers see this machine’s own address 192.168.1.5, which is not public.
          They are in the same network, so they cannot tell what the router does.
          → Name one outside: direct-agent doctor --stun stun:stun.example.org:3478
        ✓ Everybody may send to an open port (endpoint-independent filtering).
          Even clients behind a symmetric NAT connect directly."
    `);
  });

  test('what cannot be told', () => {
    const unknown = { ...view, mapping: undefined, filtering: undefined, hairpin: undefined };
    expect(told(natFindings(unknown, 4, true))).toMatchInlineSnapshot(`
      "  ✓ UDP over IPv4 is open: 1 of 2 STUN servers answer (12 ms); outside, this machine is 203.0.113.9.
        – Whether the router keeps one public port for all destinations is not known: only one server address answered.
          It takes two to compare.
          → Name another one: direct-agent doctor --stun stun:stun.example.org:3478
        – Who may send to an open port (filtering) cannot be told: these STUN servers do not speak RFC 5780.
          → Name one that does, such as coturn with two addresses: direct-agent doctor --stun stun:stun.example.org:3478"
    `);
    expect(told(natFindings(undefined, 4, true))).toMatchInlineSnapshot(`
      "  – No STUN server was asked how UDP fares: none is known, or their names cannot be resolved.
          → Look at DNS on this machine, or name one: direct-agent doctor --stun stun:stun.example.org:3478"
    `);
    expect(natFindings(undefined, 6, true)).toEqual([]);
  });

  test('UDP blocked, or no network at all', () => {
    const silent = { ...view, answered: [], mapped: undefined, mapping: undefined, filtering: undefined };
    expect(told(natFindings(silent, 4, true))).toMatchInlineSnapshot(`
      "  ! UDP over IPv4 is blocked: no STUN server answers, while TCP works.
          There are no direct connections but within this network; others go through TURN by TCP or TLS, or through the edge’s relay.
          → Let the firewall pass UDP to the internet, port 3478 at least; or set up TURN over TLS at the edge."
    `);
    expect(told(natFindings(silent, 4, false))).toMatchInlineSnapshot(`
      "  ! No STUN server answers by UDP over IPv4, and the edge does not answer either.
          This machine seems to have no connection to the internet.
          → See the lines about the edge."
    `);
  });
});

describe('TURN', () => {
  const urls = [
    'turn:turn.example:3478?transport=udp',
    'turn:turn.example:3478?transport=tcp',
    'turns:turn.example:443',
  ];
  const ways = turnWays([{ urls, username: 'name', credential: 'secret' }]);
  const say = (...results: Result[]) => {
    const said = told(
      turnFindings(results.flatMap((result, i) => (ways[i] === undefined ? [] : [{ way: ways[i], result }]))),
    );
    expect(said).not.toContain('secret');
    return said;
  };

  test('all ways, some, none, refused', () => {
    const works = { ms: 14, relayed: '198.51.100.1' };
    const silent = { problem: 'no answer in time' };
    const refused = { problem: 'answers 401', code: 401 };
    expect(say(works, works, works)).toMatchInlineSnapshot(`
      "  ✓ TURN over UDP works: turn:turn.example:3478?transport=udp (RTT about 14 ms).
        ✓ TURN over TCP works: turn:turn.example:3478?transport=tcp (RTT about 14 ms).
        ✓ TURN over TLS works: turns:turn.example:443?transport=tcp (RTT about 14 ms)."
    `);
    expect(say(silent, works, silent)).toMatchInlineSnapshot(`
      "  ! TURN over UDP does not work: turn:turn.example:3478?transport=udp (no answer in time).
          Another way to TURN works, and is used.
          → A firewall may block UDP; else check that the server runs and that its address and port are right.
        ✓ TURN over TCP works: turn:turn.example:3478?transport=tcp (RTT about 14 ms).
        ! TURN over TLS does not work: turns:turn.example:443?transport=tcp (no answer in time).
          Another way to TURN works, and is used.
          → A firewall may block that port; else check that the server listens for TLS there with a certificate for that name."
    `);
    expect(say(silent, { problem: 'ECONNREFUSED' }, silent)).toMatchInlineSnapshot(`
      "  ✗ TURN over UDP does not work: turn:turn.example:3478?transport=udp (no answer in time).
          Clients that cannot connect directly have only the edge’s relay.
          → A firewall may block UDP; else check that the server runs and that its address and port are right.
        ✗ TURN over TCP does not work: turn:turn.example:3478?transport=tcp (ECONNREFUSED).
          Clients that cannot connect directly have only the edge’s relay.
          → A firewall may block that port; else check that the server listens for TCP there.
        ✗ TURN over TLS does not work: turns:turn.example:443?transport=tcp (no answer in time).
          Clients that cannot connect directly have only the edge’s relay.
          → A firewall may block that port; else check that the server listens for TLS there with a certificate for that name."
    `);
    expect(say(refused, refused, { problem: 'answers 486', code: 486 })).toMatchInlineSnapshot(`
      "  ✗ TURN over UDP does not work: turn:turn.example:3478?transport=udp (answers 401).
          Clients that cannot connect directly have only the edge’s relay.
          → The server does not accept the credentials that the edge makes: compare TURN_SECRET, or the provider’s key, at both.
        ✗ TURN over TCP does not work: turn:turn.example:3478?transport=tcp (answers 401).
          Clients that cannot connect directly have only the edge’s relay.
          → The server does not accept the credentials that the edge makes: compare TURN_SECRET, or the provider’s key, at both.
        ✗ TURN over TLS does not work: turns:turn.example:443?transport=tcp (answers 486).
          Clients that cannot connect directly have only the edge’s relay.
          → The server has no room for another one now: raise its quota."
    `);
    expect(told(turnFindings([]))).toMatchInlineSnapshot(`
      "  – The edge names no TURN server.
          Where no direct connection is possible, all goes through the edge’s relay: encrypted end to end, but slower, and it counts against the edge’s daily limits.
          → Set up TURN at the edge; Cloudflare’s has a free part. See “TURN” in the documentation."
    `);
  });
});

describe('versions', () => {
  test('of Node, the edge and the agent that runs', () => {
    expect(told([...checkNode('24.21.0'), ...checkNode('v22.19.0'), ...checkNode('22.18.9')])).toMatchInlineSnapshot(`
      "  ✓ Node 24.21.0.
        ✓ Node v22.19.0.
        ✗ Node 22.18.9 is too old.
          direct-agent may break off anywhere.
          → Install Node 22.19.0 or newer."
    `);
    const edges = [
      { version: '1.2.0', protocol: 1 },
      { version: '1.1.9', protocol: 1 },
      { version: '1.10.0', protocol: undefined },
      { version: undefined, protocol: 1 },
      { version: undefined, protocol: 2 },
      { version: undefined, protocol: undefined },
    ];
    expect(told(edges.flatMap((edge) => checkEdgeVersion('1.2.0', edge)))).toMatchInlineSnapshot(`
      "  ✓ The edge has the same version (1.2.0).
        ! The edge has version 1.1.9, this agent 1.2.0.
          They work together as long as the protocol is the same, but one lacks what the other has.
          → Deploy the edge again: npx direct-agent@latest deploy
        ! The edge has version 1.10.0, this agent 1.2.0.
          They work together as long as the protocol is the same, but one lacks what the other has.
          → Install the agent again: npm install -g direct-agent
        ✓ The edge speaks this agent’s version of the protocol (1).
        ✗ The edge speaks version 2 of the protocol, this agent 1.
          They do not understand each other.
          → Deploy the edge and install the agent from the same version.
        – The edge’s version is not known."
    `);
    expect(told([...checkRunning('1.2.0', '1.1.0'), ...checkRunning('1.2.0', '1.2.0')])).toMatchInlineSnapshot(`
      "  ! The agent that runs here has version 1.1.0, this program 1.2.0.
          → Restart the agent."
    `);
  });

  test('of the registry', async () => {
    const look = async () => ['192.0.2.1'];
    const ask = async (body: unknown) => {
      const answer = () => Response.json(body);
      const fetch = fakeFetch({ 'https://registry.npmjs.org/direct-agent/latest': answer });
      return told(await checkUpdate('1.2.0', { fetch, look, signal: never }));
    };
    expect(await ask({ version: '1.3.0' })).toMatchInlineSnapshot(`
      "  ! direct-agent 1.2.0; there is 1.3.0.
          → Install it: npm install -g direct-agent; then restart the agent."
    `);
    expect(await ask({ version: '1.2.0' })).toMatchInlineSnapshot(`"  ✓ direct-agent 1.2.0 is the newest version."`);
    expect(await ask({ error: 'Not found' })).toMatchInlineSnapshot(
      `"  – direct-agent 1.2.0; whether there is a newer one is not known: the npm registry does not say."`,
    );
    const offline = { fetch: fakeFetch({}), look: async () => [], signal: never };
    expect(told(await checkUpdate('1.2.0', offline))).toMatch(/^ {2}–/);
  });
});
