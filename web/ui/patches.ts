/** Replacements of the platform's own parts that nobody sees, and that can be taken back. */

type Call = (this: unknown, ...args: never[]) => unknown;

export class Patches {
  readonly #undo: (() => void)[] = [];

  /** Puts `value`, or accessors, in the place of a property, whose flags stay. */
  replace(owner: object, name: PropertyKey, change: Pick<PropertyDescriptor, 'value' | 'get' | 'set'>): void {
    const original = Object.getOwnPropertyDescriptor(owner, name);
    if (original === undefined) throw new TypeError(`there is no ${String(name)}`);
    Object.defineProperty(owner, name, { ...original, ...change });
    this.#undo.push(() => Object.defineProperty(owner, name, original));
  }

  /** Takes everything back. */
  undo(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }

  /**
   * Lets the members of `prototype` serve objects of another class, too: those of which `isOurs` is true. Members that
   * only one of them has stay.
   */
  share(prototype: object, ours: object, isOurs: (object: unknown) => boolean): void {
    for (const [name, own] of Object.entries(Object.getOwnPropertyDescriptors(ours))) {
      const [owner, original] = find(prototype, name) ?? [];
      if (name === 'constructor' || owner === undefined || original === undefined) continue;
      const either = (platforms: unknown, other: unknown): unknown =>
        typeof platforms !== 'function' || typeof other !== 'function'
          ? platforms
          : instead(platforms as Call, (call, self, args) =>
              Reflect.apply(isOurs(self) ? (other as Call) : call, self, args),
            );
      if (original.get === undefined) this.replace(owner, name, { value: either(original.value, own.value) });
      else {
        const set = either(original.set, own.set) as (value: unknown) => void;
        this.replace(owner, name, { get: either(original.get, own.get) as () => unknown, set });
      }
    }
  }

  /** Makes `new scope[name](url, …)` an object of `Ours` where `wants` it, which looks like one of the platform's. */
  shareClass<Name extends string, Class extends new (...args: never[]) => object>(
    scope: Record<Name, Class>,
    name: Name,
    Ours: Class,
    wants: (url: string) => boolean,
  ): void {
    const Platforms = scope[name];
    const made = new WeakSet<object>();
    this.share(Platforms.prototype, Ours.prototype, (object) => made.has(object as object));
    const construct = (_: unknown, args: unknown[], newTarget: new () => object): object => {
      if (args.length === 0) return Reflect.construct(Platforms, [], newTarget);
      // Read once: what is decided about must be what is used.
      const [url, ...rest] = [String(args[0]), ...args.slice(1)];
      if (!wants(url)) return Reflect.construct(Platforms, [url, ...rest], newTarget);
      const object = Reflect.construct(Ours, [url, ...rest], newTarget) as object;
      made.add(object);
      return object;
    };
    const value = new Proxy(Platforms, { construct });
    this.replace(Platforms.prototype, 'constructor', { value });
    this.replace(scope, name, { value });
  }
}

/** A property with its owner, which may be a prototype of `object`: somebody may have put a subclass here before. */
function find(object: object, name: string): [owner: object, descriptor: PropertyDescriptor] | undefined {
  for (let owner: object | null = object; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    if (descriptor !== undefined) return [owner, descriptor];
  }
  return undefined;
}

/** A function with the platform's name, length and text, that does something else. */
export function instead<Platforms extends (...args: never[]) => unknown>(
  platforms: Platforms,
  apply: (platforms: Call, self: unknown, args: never[]) => unknown,
): Platforms {
  return new Proxy(platforms, { apply: (target, self, args) => apply(target as Call, self, args as never[]) });
}
