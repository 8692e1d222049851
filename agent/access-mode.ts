/** Whom the agent accepts of those whom the edge lets through. */
export const ACCESS_MODES = ['edge', 'paired'] as const;
/** `edge`: whoever the edge lets in. `paired`: of these only devices whose key this host knows. */
export type AccessMode = (typeof ACCESS_MODES)[number];
