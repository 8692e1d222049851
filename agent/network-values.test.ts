import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Mistake } from './mistake.ts';
import { addressMapping, interfacePattern, portRange } from './network-values.ts';

/** Undefined where `parse` refuses; anything but a Mistake fails the test. */
function accepted<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Mistake) return undefined;
    throw error;
  }
}

test('an address comes out as Node lists those of interfaces, in whatever form it went in', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), fc.ipV4()), (text) => {
      const mapping = accepted(() => addressMapping(text));
      if (mapping === undefined) return;
      const family = text.includes(':') ? 'ipv6' : 'ipv4';
      expect(mapping.external).toBe(new SocketAddress({ address: text, family }).address);
      for (const other of [`[${text}]`, text.toUpperCase(), mapping.external, ` ${text} `]) {
        expect(addressMapping(other)).toEqual(mapping);
      }
      expect(addressMapping(`${text}/[${text}]`)).toEqual({ ...mapping, local: mapping.external });
    }),
  );
});

test('any text is a value or a mistake', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.stringMatching(/^[0-9a-f:./[\]%-]{0,40}$/),
    fc.constantFrom('', '/', '[]', '[/]', '1.2.3.4/', '/1.2.3.4', '[1.2.3.4', '::', '-', '1-', '-1'),
  );
  fc.assert(
    fc.property(texts, (text) => {
      for (const parse of [addressMapping, interfacePattern, portRange]) accepted(() => parse(text) as unknown);
    }),
    { numRuns: 1000 },
  );
});

test('a range of ports is what was written, and within what UDP has', () => {
  fc.assert(
    fc.property(fc.nat(100_000), fc.nat(100_000), fc.constantFrom('-', ' - '), (min, max, dash) => {
      const valid = min >= 1 && max <= 65_535 && min <= max;
      expect(accepted(() => portRange(`${min}${dash}${max}`))).toEqual(valid ? { min, max } : undefined);
    }),
  );
});
