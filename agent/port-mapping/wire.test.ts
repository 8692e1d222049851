import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasRestarted } from './epoch.ts';
import { findGateway, parseNetstat, parseProcRoute, parseProcRoute6, parseRoutePrint } from './gateways.ts';
import { isGlobal, pcpAddressBytes, pcpAddressText } from './ip-address.ts';
import { NoAnswer, Refused } from './lease.ts';
import * as natPmp from './nat-pmp.ts';
import * as pcp from './pcp.ts';
import { parseSearchAnswer, searchRequest } from './ssdp.ts';
import { parseDescription, parseSoap } from './upnp-xml.ts';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
const NONCE = bytes('000102030405060708090a0b');

describe('PCP', () => {
  // RFC 6887, figures 2 and 9: the header, then the opcode's part.
  const request = bytes(`
    02 01 0000 00000708 00000000 00000000 0000ffff c0a80102
    000102030405060708090a0b 11 000000 9c40 9c40 00000000 00000000 0000ffff 00000000`);
  const answer = bytes(`
    02 81 00 00 00000708 0000002a 00000000 00000000 00000000
    000102030405060708090a0b 11 000000 9c40 9c41 00000000 00000000 0000ffff cb007109`);
  const mapping = { nonce: NONCE, internalPort: 40_000 };

  test('a request', () => {
    const external = { address: '0.0.0.0', port: 40_000 };
    const encoded = pcp.encodeMapRequest({ ...mapping, client: '192.168.1.2', external, lifetimeSeconds: 1800 });
    expect(Buffer.from(encoded).toString('hex')).toBe(request.toString('hex'));
  });

  test('an answer', () => {
    const external = { address: '203.0.113.9', port: 40_001 };
    expect(pcp.parseMapAnswer(answer, mapping)).toEqual({ epoch: 42, lifetimeSeconds: 1800, external });
  });

  test('our own request is no answer', () => {
    expect(pcp.parseMapAnswer(request, mapping)).toBeUndefined();
  });

  test.each([
    [2, Refused],
    [7, Refused],
    [8, Refused],
    [10, Refused],
    [11, Refused],
    [1, NoAnswer],
    [3, NoAnswer],
    [4, NoAnswer],
    [9, NoAnswer],
    [12, NoAnswer],
    [99, NoAnswer],
  ])('result %i', (result, error) => {
    const refusal = Buffer.from(answer);
    refusal[3] = result;
    expect(() => pcp.parseMapAnswer(refusal, mapping)).toThrow(error);
    expect(() => pcp.parseMapAnswer(refusal.subarray(0, 24), mapping)).toThrow(error);
    // To somebody else.
    expect(pcp.parseMapAnswer(refusal, { ...mapping, internalPort: 1 })).toBeUndefined();
  });

  test('a refusal holds for an hour at most', () => {
    const refusal = Buffer.from(answer).fill(0xff, 4, 8);
    refusal[3] = 8;
    try {
      pcp.parseMapAnswer(refusal, mapping);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ retryAfterMs: 3_600_000 });
    }
  });

  test('a NAT-PMP router says that it knows version 0', () => {
    expect(() => pcp.parseMapAnswer(bytes('00 81 0001 00000bb8'), mapping)).toThrow(NoAnswer);
  });
});

describe('NAT-PMP', () => {
  test('requests', () => {
    expect([...natPmp.encodeExternalAddressRequest()]).toEqual([0, 0]);
    const encoded = natPmp.encodeMapRequest(40_000, 40_001, 1800);
    expect(Buffer.from(encoded).toString('hex')).toBe('00010000 9c40 9c41 00000708'.replaceAll(' ', ''));
  });

  test('answers', () => {
    expect(natPmp.parseExternalAddressAnswer(bytes('00 80 0000 0000002a cb007109'))).toBe('203.0.113.9');
    const answer = bytes('00 81 0000 0000002a 9c40 9c41 00000708');
    expect(natPmp.parseMapAnswer(answer, 40_000)).toEqual({ epoch: 42, externalPort: 40_001, lifetimeSeconds: 1800 });
    expect(natPmp.parseMapAnswer(answer, 40_002)).toBeUndefined();
    expect(natPmp.parseMapAnswer(answer.subarray(0, 15), 40_000)).toBeUndefined();
    expect(natPmp.parseExternalAddressAnswer(answer)).toBeUndefined();
  });

  test.each([
    ['0001', NoAnswer],
    ['0002', Refused],
    ['0003', Refused],
    ['0004', Refused],
    ['0005', NoAnswer],
  ])('result %s', (result, error) => {
    expect(() => natPmp.parseMapAnswer(bytes(`00 81 ${result} 0000002a`), 40_000)).toThrow(error);
    expect(() => natPmp.parseExternalAddressAnswer(bytes(`00 80 ${result}`))).toThrow(error);
  });
});

test('whatever a router sends, it is read, or refused in a way that is expected', () => {
  const near = fc.uint8Array({ maxLength: 80 }).map((noise) => Uint8Array.of(noise.length % 3, 0x81, 0, ...noise));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 1200 }), near), (packet) => {
      for (const parse of [
        () => pcp.parseMapAnswer(packet, { nonce: NONCE, internalPort: 1 }),
        () => natPmp.parseMapAnswer(packet, 1),
        () => natPmp.parseExternalAddressAnswer(packet),
        () => parseSearchAnswer(packet, '192.168.1.1'),
      ]) {
        try {
          parse();
        } catch (error) {
          if (!(error instanceof NoAnswer || error instanceof Refused)) throw error;
        }
      }
    }),
  );
});

describe('addresses', () => {
  test.each([
    ['192.168.1.2', '00000000000000000000ffffc0a80102'],
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['::', '00000000000000000000000000000000'],
    ['2001:db8:1:2:3:4:5:6', '20010db8000100020003000400050006'],
    ['fe80::1:0:0:1', 'fe800000000000000001000000000001'],
  ])('%s', (text, hex) => {
    expect(Buffer.from(pcpAddressBytes(text)).toString('hex')).toBe(hex);
    expect(pcpAddressText(bytes(hex))).toBe(text);
  });

  test('any 16 bytes come back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (given) => {
        expect(pcpAddressBytes(pcpAddressText(given))).toEqual(given);
      }),
    );
  });

  test('what is no address', () => {
    expect(() => pcpAddressBytes('router')).toThrow(TypeError);
  });

  test.each([
    ['203.0.113.9', true],
    ['10.1.2.3', false],
    ['100.64.0.1', false],
    ['100.128.0.1', true],
    ['172.32.0.1', true],
    ['172.31.0.1', false],
    ['169.254.0.1', false],
    ['239.1.1.1', false],
    ['2001:db8::1', true],
    ['fd00::1', false],
    ['fe80::1', false],
    ['::1', false],
  ])('%s is global: %s', (address, expected) => {
    expect(isGlobal(address)).toBe(expected);
  });
});

describe('a router’s clock', () => {
  const at = (epoch: number, seconds: number) => ({ epoch, at: seconds * 1000 });
  test.each([
    ['goes as ours', at(100, 0), at(1000, 900), false],
    ['is a little slow', at(100, 0), at(950, 900), false],
    ['is a little fast', at(100, 0), at(1050, 900), false],
    ['went back', at(100, 0), at(90, 900), true],
    ['began anew, and is further than it was', at(100, 0), at(200, 900), true],
    ['leapt', at(100, 0), at(5000, 900), true],
    ['was overtaken by a packet', at(100, 0), at(99, 0), false],
  ])('%s', (_, before, now, expected) => {
    expect(hasRestarted(before, now)).toBe(expected);
  });
});

describe('SSDP', () => {
  const TARGET = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1';
  const answer = (lines: string[]) => Buffer.from(['HTTP/1.1 200 OK', ...lines, '', ''].join('\r\n'));

  test('a search', () => {
    expect(searchRequest(TARGET)).toBe(
      `M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ${TARGET}\r\n\r\n`,
    );
  });

  test.each([
    ['an answer', [`ST: ${TARGET}`, 'LOCATION: http://192.168.1.1:5000/root.xml'], true],
    ['one in small letters', [`st:${TARGET}`, 'location:http://192.168.1.1/'], true],
    ['another machine', [`ST: ${TARGET}`, 'LOCATION: http://192.168.1.2:5000/root.xml'], false],
    ['a name', [`ST: ${TARGET}`, 'LOCATION: http://router/root.xml'], false],
    ['a name that begins like it', [`ST: ${TARGET}`, 'LOCATION: http://192.168.1.1.example/root.xml'], false],
    ['another scheme', [`ST: ${TARGET}`, 'LOCATION: file://192.168.1.1/root.xml'], false],
    ['no location', [`ST: ${TARGET}`], false],
    ['a television', ['ST: urn:schemas-upnp-org:device:MediaRenderer:1', 'LOCATION: http://192.168.1.1/'], false],
    ['too much', [`ST: ${TARGET}`, 'LOCATION: http://192.168.1.1/', 'X'.repeat(4096)], false],
  ])('%s', (_, lines, isTaken) => {
    expect(parseSearchAnswer(answer(lines), '192.168.1.1') !== undefined).toBe(isTaken);
  });

  test('a search, or an announcement, is no answer', () => {
    const packet = Buffer.from(`NOTIFY * HTTP/1.1\r\nST: ${TARGET}\r\nLOCATION: http://192.168.1.1/\r\n\r\n`);
    expect(parseSearchAnswer(packet, '192.168.1.1')).toBeUndefined();
  });
});

describe('UPnP’s XML', () => {
  test('prefixes, character data and entities', () => {
    const xml = '<s:a xmlns:s="x"><s:b><![CDATA[1 < 2]]></s:b><c> a &amp; b </c><d/></s:a>';
    expect([...parseSoap(xml)]).toEqual([
      ['b', '1 < 2'],
      ['c', 'a & b'],
      ['d', ''],
    ]);
  });

  test('a service without an address for its control is left out', () => {
    const xml = '<r><service><serviceType>a</serviceType></service><service><controlURL>/c</controlURL></service></r>';
    expect(parseDescription(xml)).toEqual({ baseUrl: undefined, services: [] });
  });
});

describe('default gateways', () => {
  test('Linux, IPv4', () => {
    const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
`;
    expect(parseProcRoute(text, 'LE')).toEqual([{ via: 'eth0', gateway: '192.168.1.1', metric: 100 }]);
    const big = 'eth0 00000000 C0A80101 0003 0 0 100 00000000 0 0 0\n';
    expect(parseProcRoute(big, 'BE')).toEqual([{ via: 'eth0', gateway: '192.168.1.1', metric: 100 }]);
  });

  test('Linux, IPv6', () => {
    const zero = '0'.repeat(32);
    const text = `${zero} 00 ${zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
2a000077000000000000000000000000 40 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001     eth0
${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200200       lo
`;
    expect(parseProcRoute6(text)).toEqual([{ via: 'eth0', gateway: 'fe80::1', metric: 1024 }]);
  });

  test('macOS and the BSDs', () => {
    const text = `Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            192.168.1.1        UGScg                 en0
default            link#20            UCSIg             bridge1
127                127.0.0.1          UCS                   lo0

Internet6:
default                                 fe80::1%en0                             UGcg                  en0
`;
    expect(parseNetstat(text)).toEqual([
      { via: 'en0', gateway: '192.168.1.1', metric: 4 },
      { via: 'en0', gateway: 'fe80::1', metric: 9 },
    ]);
  });

  test('Windows, in German', () => {
    const text = `IPv4-Routentabelle\r
===========================================================================\r
Aktive Routen:\r
     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik\r
          0.0.0.0          0.0.0.0      192.168.1.1    192.168.1.50     25\r
        127.0.0.0        255.0.0.0   Auf Verbindung         127.0.0.1    331\r
Ständige Routen:\r
  Netzwerkadresse          Netzmaske  Gatewayadresse  Metrik\r
          0.0.0.0          0.0.0.0      192.168.9.1  Standard\r
 If Metrik Netzwerkziel             Gateway\r
 12    281 ::/0                     fe80::1\r
`;
    expect(parseRoutePrint(text)).toEqual([
      { via: '192.168.1.50', gateway: '192.168.1.1', metric: 25 },
      { via: '12', gateway: 'fe80::1', metric: 281 },
    ]);
  });

  test('an address that no interface has, has none', async () => {
    expect(await findGateway('192.0.2.1')).toBeUndefined();
    expect(await findGateway('2001:db8::1')).toBeUndefined();
  });
});
