#!/usr/bin/env node
// Starts the agent: in a clone from its source, in the package what was built of it. In words that any Node
// understands, so that an old one says what is wrong.
'use strict';

const wanted = require('../package.json')
  .engines.node.replace(/[^0-9.]/g, '')
  .split('.')
  .map(Number);
const here = process.versions.node.split('.').map(Number);
if (here[0] > wanted[0] || (here[0] === wanted[0] && here[1] >= wanted[1])) {
  const source = require('node:path').join(__dirname, '../agent/main.ts');
  void import(require('node:fs').existsSync(source) ? '../agent/main.ts' : '../dist/agent/main.js');
} else {
  const [node, floor] = [process.versions.node, wanted.slice(0, 2).join('.')];
  process.stderr.write(
    `direct-agent: this is Node ${node}, and direct-agent needs ${floor} or newer. Install one from https://nodejs.org, or let npm bring it: npx -p node@24 -p direct-agent direct-agent\n`,
  );
  process.exitCode = 78;
}
