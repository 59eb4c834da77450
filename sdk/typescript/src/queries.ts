/**
 * Operations that only read. They travel without an idempotency key; everything else carries one, so that sending it again after a
 * lost connection has no second effect. The contract is here as types only, so their verbs are kept by hand, and a test compares.
 */
const verbs = new Set(
  (
    'get list read query search status info history wait receipt inbox settings topics subscriptions calls chunks collections ' +
    'dead_letters download health metrics connections whoami unwatch counts'
  ).split(' '),
)

export const isQuery = (operation: string): boolean => verbs.has(operation.slice(operation.indexOf('.') + 1))
