/** Parts of the page that come when they are needed. When a new build has come since, the edge has them no more. */

export class MissingPartError extends Error {
  override readonly name = 'MissingPartError';

  constructor(cause: unknown) {
    super('A part of this page could not be loaded. Reload the page when there is a network: it may be a newer one.', {
      cause,
    });
  }
}

/** @throws MissingPartError, in words for the person */
export async function laterPart<Part>(load: () => Promise<Part>): Promise<Part> {
  try {
    return await load();
  } catch (error) {
    throw new MissingPartError(error);
  }
}

/** What helps, as a button. */
export const RELOAD = { label: 'Reload', run: () => location.reload() };
