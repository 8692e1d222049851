/** What the agent takes of undici, to be loaded as one: bundlers find names in CommonJS by static imports only. */
export { Agent, fetch } from 'undici';
