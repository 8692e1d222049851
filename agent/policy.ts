/** What the host itself allows to each kind of client. It narrows what the edge's grant says, and never widens it. */
import type { Grant } from '../shared/grant.ts';
import type { TargetPolicy } from '../shared/target.ts';
import { checkPrefix } from './access.ts';

/**
 * - `owner`: the owner's token and the browsers that are signed in with it.
 * - `keys`: API keys.
 * - `guests`: whoever came by an invitation.
 * - `anonymous`: whoever comes without a credential, where the edge allows it.
 */
export const SCOPES = ['owner', 'keys', 'guests', 'anonymous'] as const;
export type Scope = (typeof SCOPES)[number];

export interface Rule {
  readonly prefixes?: readonly string[] | undefined;
  readonly models?: readonly string[] | undefined;
  /** Of each client. */
  readonly requestsPerMinute?: number | undefined;
  /** Of each client; more wait for their turn. */
  readonly concurrentRequests?: number | undefined;
  /** In place of the host's `allow_management`. */
  readonly allowManagement?: boolean | undefined;
}

export type Rules = Readonly<Partial<Record<Scope, Rule>>>;

/** As the configuration has them. */
type Configured = Partial<
  Record<
    Scope,
    | {
        prefixes?: string[] | undefined;
        models?: string[] | undefined;
        requests_per_minute?: number | undefined;
        concurrent_requests?: number | undefined;
        allow_management?: boolean | undefined;
      }
    | undefined
  >
>;

export function rulesOf(configured: Configured): Rules {
  return Object.fromEntries(
    SCOPES.flatMap((scope) => {
      const rule = configured[scope];
      if (rule === undefined) return [];
      const { prefixes, models } = rule;
      return [
        [
          scope,
          {
            prefixes,
            models,
            requestsPerMinute: rule.requests_per_minute,
            concurrentRequests: rule.concurrent_requests,
            allowManagement: rule.allow_management,
          } satisfies Rule,
        ],
      ];
    }),
  );
}

export interface HostPolicy extends TargetPolicy {
  readonly rules?: Rules;
}

/** A list of models, and whose it is, for the refusal. */
export interface ModelLimit {
  readonly whose: string;
  readonly models: readonly string[];
}

/** What one request may do. */
export interface Access {
  readonly grant: Grant;
  readonly target: TargetPolicy;
  /** A model must be on each of these. */
  readonly models: readonly ModelLimit[];
  /** Requests of the client that run at a time; absent: any number. */
  readonly share: number | undefined;
  /** Whose turn it is where requests wait: clients that share a subject are told apart as far as the edge does. */
  readonly client: string;
  /** @throws DirectError `E_FORBIDDEN` that says who refuses */
  checkPath(target: { path: string; query: string }): void;
}

export function scopeOf(subject: string): Scope {
  const kind = subject.split(':', 1)[0];
  if (kind === 'owner' || kind === 'session') return 'owner';
  if (kind === 'key') return 'keys';
  return kind === 'invitation' ? 'guests' : 'anonymous';
}

export function accessOf(grant: Grant, { rules = {}, ...host }: HostPolicy): Access {
  const scope = scopeOf(grant.subject);
  const rule = rules[scope] ?? {};
  const whose = `the host’s policy for ${scope === 'anonymous' ? 'anonymous clients' : scope}`;
  const models: ModelLimit[] = [];
  if (grant.models !== undefined) models.push({ whose: 'the credential', models: grant.models });
  if (rule.models !== undefined) models.push({ whose, models: rule.models });
  const rates = [grant.requests_per_minute, rule.requestsPerMinute].filter((rate) => rate !== undefined);
  // Whether there is a limit at all counts for the web UI, which knows no paths and no models.
  const limits = {
    ...(rule.prefixes === undefined ? {} : { prefixes: [...rule.prefixes] }),
    ...(rule.models === undefined ? {} : { models: [...rule.models] }),
  };
  return {
    grant: { ...limits, ...grant, ...(rates.length === 0 ? {} : { requests_per_minute: Math.min(...rates) }) },
    target: { ...host, allowManagement: rule.allowManagement ?? host.allowManagement },
    models,
    share: rule.concurrentRequests,
    client: `${grant.subject} ${grant.browser ?? ''}`,
    checkPath: (target) => {
      if (grant.prefixes !== undefined) checkPrefix(target, grant.prefixes, 'the credential');
      if (rule.prefixes !== undefined) checkPrefix(target, rule.prefixes, whose);
    },
  };
}
