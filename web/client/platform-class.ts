/** What WebIDL gives to the platform's classes, for classes that are ours. */
import type { EventHandlers } from './event-handlers.ts';

export interface PlatformClass<Instance> {
  name: string;
  /** On the class and on its prototype. */
  constants: Readonly<Record<string, number>>;
  /** Types of events that have a handler attribute: `open` has `onopen`. */
  events: readonly string[];
  /** Throws a TypeError for what is no instance, as reading a private field does. */
  handlers(instance: Instance): EventHandlers;
}

export function makePlatformClass<Instance extends object>(
  made: { readonly prototype: Instance },
  { name, constants, events, handlers }: PlatformClass<Instance>,
): void {
  Object.defineProperty(made, 'name', { value: name, configurable: true });
  Object.defineProperty(made.prototype, Symbol.toStringTag, { value: name, configurable: true });
  for (const owner of [made, made.prototype]) {
    for (const [constant, value] of Object.entries(constants)) {
      Object.defineProperty(owner, constant, { value, enumerable: true });
    }
  }
  for (const type of events) {
    const attribute = `on${type}`;
    const accessors = {
      get [attribute](): unknown {
        return handlers(this as unknown as Instance).get(type);
      },
      set [attribute](handler: unknown) {
        handlers(this as unknown as Instance).set(type, handler);
      },
    };
    const descriptor = Object.getOwnPropertyDescriptor(accessors, attribute);
    Object.defineProperty(made.prototype, attribute, { ...descriptor, enumerable: false });
  }
}
