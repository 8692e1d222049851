/** Whether the platform's Request shows its body as a stream, and takes one. */
export function canStreamRequests(): boolean {
  return 'body' in Request.prototype;
}
