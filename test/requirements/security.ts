import type { Row } from './row.ts'

export const security = [
  ['SEC-01', 'API keys', 'A key is made, displayed a single time, and stops working when revoked.'],
  ['SEC-02', 'JWT', 'A valid token is let in; an expired one and one signed by another key are not.'],
  ['SEC-03', 'Roles', 'Someone with the viewer role is refused when spawning.'],
  ['SEC-04', 'Agent identity', 'The token of an agent cannot be used to act as a different one.'],
  ['SEC-05', 'Rate limits', 'Too many calls by a key, agent or tenant are answered 429 with Retry-After.'],
  ['SEC-06', 'Tenants', 'Nothing of one organisation reaches another: not through endpoints, topics, metrics or searches.'],
  [
    'SEC-07',
    'Encryption',
    'Planted plaintext is in neither database, log file nor backup; keys can be rotated; traffic may run over TLS.',
  ],
  ['SEC-08', 'Audit trail', 'Each change is on record with its author, its time and the values on either side of it.'],
  ['SEC-09', 'Secrets', 'No log line, trace or answer ever contains one.'],
  ['SEC-10', 'Errors without leaks', 'What goes wrong inside is reported without stack traces or secrets.'],
  ['SEC-11', 'Origins', 'Pages from origins that are not listed cannot use the API.'],
  ['SEC-12', 'Signed webhooks', 'A receiver can verify by HMAC that a webhook came from here unaltered.'],
  ['SEC-13', 'Signing in', 'The control room opens only after sign-in, and sign-out or expiry closes it.'],
] as const satisfies readonly Row[]
