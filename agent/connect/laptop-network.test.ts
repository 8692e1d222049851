import { expect, test } from 'vitest';
import { machine } from '../test-machines.ts';
import { laptopNetwork } from './laptop-network.ts';

function laptop(isLocal = false) {
  const state = { time: 0, interfaces: machine({ wlan0: ['192.168.1.5/24'] }), looks: [] as (() => void)[] };
  const network = laptopNetwork({
    interfaces: () => state.interfaces,
    now: () => state.time,
    every: (ms, look) => {
      const timed = () => {
        state.time += ms;
        look();
      };
      state.looks.push(timed);
      return () => void state.looks.splice(state.looks.indexOf(timed), 1);
    },
    isLocal,
  });
  const woken: [string, boolean][] = [];
  const stop = network.watch({ wake: (reason, isElsewhere) => woken.push([reason, isElsewhere]), leave: () => {} });
  const look = () => state.looks[0]?.();
  return { state, network, woken, stop, look };
}

test('as long as nothing changes nothing is said', () => {
  const { woken, look } = laptop();
  for (let i = 0; i < 10; i++) look();
  expect(woken).toEqual([]);
});

test('another address is another network; one that went away is a reason to ask', () => {
  const { state, woken, look, network } = laptop();
  state.interfaces = machine({ wlan0: ['10.0.0.7/24'] });
  look();
  look();
  expect(woken).toEqual([['network change', true]]);
  state.interfaces = {};
  look();
  expect(woken.slice(1)).toEqual([['network change', false]]);
  expect(network.online()).toBe(false);
  state.interfaces = machine({ wlan0: ['10.0.0.7/24'] });
  look();
  expect(woken.slice(2)).toEqual([['network change', true]]);
  expect(network.online()).toBe(true);
});

test('a clock that jumps is a machine that slept', () => {
  const { state, woken, look } = laptop();
  state.time += 60_000;
  look();
  look();
  expect(woken).toEqual([['sleep', false]]);
  // And comes to another place meanwhile.
  state.time += 3_600_000;
  state.interfaces = machine({ wlan0: ['10.0.0.7/24'] });
  look();
  expect(woken.slice(1)).toEqual([['network change', true]]);
});

test('an edge on this machine needs no network; who no longer watches hears nothing', () => {
  const { state, network, stop } = laptop(true);
  state.interfaces = {};
  expect(network.online()).toBe(true);
  stop();
  expect(state.looks).toEqual([]);
});
