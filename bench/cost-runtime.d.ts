// What cost-worker.ts uses of workerd's `nodejs_als`; Node's own types do not mix with the Worker's.
declare module 'node:async_hooks' {
  export class AsyncLocalStorage<Store> {
    run<Result>(store: Store, run: () => Result): Result;
    getStore(): Store | undefined;
  }
}
