export { AccountObject } from './account-object.ts';
export { edge as default } from './edge.ts';
export { HostObject } from './host-object.ts';
export { SessionObject } from './session-object.ts';
